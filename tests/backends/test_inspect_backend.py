"""Inspect's providers as a backend, on its mock provider."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from oldham.backends.base import ServerOptions, backend_for
from oldham.backends.inspect_backend import InspectBackend
from oldham.core.errors import ConfigError, ModelError
from oldham.core.records import Sampling, StopReason
from oldham.core.thinking import ThinkingState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from inspect_ai.model import ModelOutput

    from oldham.backends.base import Request

pytestmark = pytest.mark.thorough

MODEL = "inspect:mockllm/model"
COT = {"thinks": True, "trace_open": "Think.", "answer_open": "Final answer:", "thinking_tokens": 30}


@pytest.fixture
def mock() -> Iterator[Callable[..., InspectBackend]]:
    """Load the mock provider and let a function of messages and settings answer."""
    loaded: list[InspectBackend] = []

    def load(answer: Any, **server: Any) -> InspectBackend:
        backend = InspectBackend.load(MODEL, ServerOptions(**server))
        loaded.append(backend)
        backend.model.api.outputs = lambda input, tools, choice, config: answer(input, config)
        return backend

    yield load
    for backend in loaded:
        backend.close()


def output(content: Any, stop: str = "stop", **facts: Any) -> ModelOutput:
    from inspect_ai.model import ModelOutput, ModelUsage

    made = ModelOutput.from_content("mockllm", content, stop_reason=stop)  # type: ignore[arg-type]
    counts = {"input_tokens": 4, "output_tokens": 3, "total_tokens": 7, **facts}
    made.usage = ModelUsage(**counts)
    return made


def thought(text: str, **facts: Any) -> Any:
    from inspect_ai.model import ContentReasoning

    return ContentReasoning(reasoning=text, **facts)


def test_identity_asks_nobody_and_holds_what_is_added_to_requests() -> None:
    assert backend_for(MODEL) is InspectBackend
    plain = InspectBackend.identify("inspect:nobody/has+this:model")
    assert plain.weights == "inspect:nobody/has+this:model"
    same = InspectBackend.identify("inspect:nobody/has+this:model", ServerOptions(url="http://there", concurrency=2))
    other = InspectBackend.identify("inspect:nobody/has+this:model", ServerOptions(extra_body={"effort": "low"}))
    assert plain == same != other


def test_a_loaded_model_has_the_same_identity(mock: Callable[..., InspectBackend]) -> None:
    assert mock(None).fingerprint == InspectBackend.identify(MODEL)


@pytest.mark.parametrize("name", ["inspect:mockllm", "inspect:/model", "inspect:mockllm/"])
def test_a_name_needs_provider_and_model(name: str) -> None:
    with pytest.raises(ModelError, match="PROVIDER/MODEL"):
        InspectBackend.identify(name)


@pytest.mark.parametrize(
    ("options", "what"), [({"api": "completions"}, "over chat only"), ({"cap_usd": 1.0}, "needs both prices")]
)
def test_options_that_cannot_be_meant(options: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        InspectBackend.identify(MODEL, ServerOptions(**options))


def test_a_provider_that_cannot_be_used_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="Model API nope of model 'nope/m' not recognized"):
        InspectBackend.load("inspect:nope/m")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelError, match="No OPENAI_API_KEY"):
        InspectBackend.load("inspect:openai/m")


def test_settings_reach_the_provider(mock: Callable[..., InspectBackend], ask: Callable[..., Request]) -> None:
    seen = []
    backend = mock(lambda _, config: seen.append(config) or output("x"), concurrency=3, timeout_s=2.5, retries=1)
    drawn = ask("Hi", sampling=Sampling(temperature=0.7, top_p=0.9, top_k=5))
    backend.generate([drawn])
    backend.generate([ask("Hi")])
    config, greedy = seen
    assert (config.max_connections, config.attempt_timeout, config.max_retries) == (3, 3, 1)
    assert (config.max_tokens, config.temperature, config.top_p, config.top_k) == (12, 0.7, 0.9, 5)
    assert config.seed == drawn.seed % 2**31
    assert (greedy.temperature, greedy.top_p, greedy.top_k, greedy.extra_body) == (0.0, None, None, None)
    assert backend.batch_size == 12


@pytest.mark.parametrize(
    ("extra", "tokens", "effort", "sent"),
    [({}, 30, None, None), ({"reasoning_effort": "low", "a": 1}, None, "low", {"a": 1})],
)
def test_thinking_is_asked_for_as_tokens_or_as_effort(
    mock: Callable[..., InspectBackend],
    ask: Callable[..., Request],
    extra: dict[str, Any],
    tokens: int | None,
    effort: str | None,
    sent: dict[str, Any] | None,
) -> None:
    seen = []
    backend = mock(lambda _, config: seen.append(config) or output("x"), extra_body=extra)
    backend.generate([ask("Hi", thinks=True, thinking_tokens=30)])
    backend.generate([ask("Hi")])
    thinks, direct = seen
    assert (thinks.reasoning_tokens, thinks.reasoning_effort, thinks.extra_body) == (tokens, effort, sent)
    assert (direct.reasoning_tokens, direct.reasoning_effort) == (None, None)


def test_two_stages(mock: Callable[..., InspectBackend], ask: Callable[..., Request]) -> None:
    def answer(messages: list[Any], config: Any) -> ModelOutput:
        return output("42") if messages[-1].text == "Final answer:" else output("One. Two.", "max_tokens")

    made = mock(answer).generate([ask("Hi", **COT)])[0]
    assert (made.trace_text, made.answer_text) == ("One. Two.", "Final answer: 42")
    assert (made.trace_stop, made.stop) == (StopReason.BUDGET_FORCED, StopReason.STOP)
    assert (made.prompt_tokens, made.trace_tokens, made.answer_tokens) == (4, 3, 3)
    assert made.seconds is not None


@pytest.mark.parametrize(
    ("parts", "stop", "facts", "trace", "answer", "state"),
    [
        (lambda: [thought("Hm.")], "max_tokens", {}, "Hm.", None, ThinkingState.TRUNCATED),
        (lambda: [thought("x", redacted=True, summary="In short.")], "stop", {}, "In short.", "42", None),
        (lambda: [thought("x", redacted=True)], "stop", {"reasoning_tokens": 2}, None, "42", ThinkingState.NONE),
    ],
    ids=["all reasoning", "a summary", "nothing shown"],
)
def test_reasoning_content(
    mock: Callable[..., InspectBackend],
    ask: Callable[..., Request],
    parts: Callable[[], list[Any]],
    stop: str,
    facts: dict[str, Any],
    trace: str | None,
    answer: str | None,
    state: ThinkingState | None,
) -> None:
    from inspect_ai.model import ContentText

    said = [] if answer is None else [ContentText(text=answer)]
    made = mock(lambda *_: output([*parts(), *said], stop, **facts)).generate(
        [ask("Hi", thinks=True, thinking_tokens=30)]
    )[0]
    assert (made.trace_text, made.answer_text) == (trace, answer)
    assert made.thinking_state is (state or ThinkingState.COMPLETE)


def test_a_filtered_reply_is_an_error_and_no_answer(
    mock: Callable[..., InspectBackend], ask: Callable[..., Request]
) -> None:
    backend = mock(lambda *_: output("The policy forbids this.", "content_filter"))
    for made in backend.generate([ask("Hi"), ask("Ho")]):  # all of a batch may be filtered: the run goes on
        assert (made.stop, made.answer) == (StopReason.ERROR, None)
        assert made.error == "the provider's content filter stopped the reply"


def test_one_failing_row_leaves_the_others(mock: Callable[..., InspectBackend], ask: Callable[..., Request]) -> None:
    def answer(messages: list[Any], config: Any) -> ModelOutput:
        if messages[-1].text == "2":
            raise RuntimeError("the\nroof is on fire")
        return output(messages[-1].text)

    made = mock(answer).generate([ask(str(n)) for n in range(5)])
    assert [row.answer_text for row in made] == ["0", "1", None, "3", "4"]
    assert (made[2].stop, made[2].error) == (StopReason.ERROR, "the roof is on fire")


@pytest.mark.parametrize(("written", "stop"), [(3, StopReason.STOP), (12, StopReason.LENGTH)])
def test_an_untold_stop_follows_from_the_tokens_left(
    mock: Callable[..., InspectBackend], ask: Callable[..., Request], written: int, stop: StopReason
) -> None:
    backend = mock(lambda *_: output("x", "unknown", output_tokens=written))
    assert backend.generate([ask("Hi")])[0].stop is stop


def test_no_more_requests_at_a_time_than_allowed(
    mock: Callable[..., InspectBackend], ask: Callable[..., Request]
) -> None:
    running, most = 0, 0

    async def slow(text: str) -> ModelOutput:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        return output(text)

    made = mock(lambda messages, config: slow(messages[-1].text), concurrency=3).generate(
        [ask(str(n)) for n in range(9)]
    )
    assert [row.answer_text for row in made] == [str(n) for n in range(9)]
    assert most == 3


def test_it_works_inside_a_running_loop_and_leaves_no_thread(ask: Callable[..., Request]) -> None:
    before = set(threading.enumerate())

    async def notebook() -> str | None:
        backend = InspectBackend.load(MODEL)
        backend.model.api.outputs = lambda *_: output("x")
        try:
            return backend.generate([ask("Hi")])[0].answer_text
        finally:
            backend.close()

    assert asyncio.run(notebook()) == "x"
    assert not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]


def test_prices_make_a_cost_and_the_cap_is_kept(
    mock: Callable[..., InspectBackend], ask: Callable[..., Request]
) -> None:
    prices = {"usd_per_million_read": 1e6, "usd_per_million_written": 1e6, "concurrency": 1}
    assert mock(lambda *_: output("x"), **prices).generate([ask("Hi")])[0].usd == 7.0
    backend = mock(lambda *_: output("x"), **prices, cap_usd=95.0)
    made = backend.generate([ask(str(n)) for n in range(3)])
    assert [row.error for row in made] == [None, "spending cap of $95 reached", "spending cap of $95 reached"]
    with pytest.raises(ModelError, match=r"spending cap of \$95 is reached .*`mockllm/model` \$7\.00"):
        backend.generate([ask("9")])


def test_a_provider_that_never_answers_ends_the_run(
    mock: Callable[..., InspectBackend], ask: Callable[..., Request]
) -> None:
    def answer(messages: list[Any], config: Any) -> ModelOutput:
        if messages[-1].text.startswith("bad"):
            raise RuntimeError("wrong key")
        return output("x")

    backend = mock(answer)
    assert backend.generate([ask("bad")])[0].error == "wrong key"
    with pytest.raises(ModelError, match="fails alike.*wrong key"):
        backend.generate([ask("bad 1"), ask("bad 2")])
    backend.generate([ask("good")])
    assert [row.error for row in backend.generate([ask("bad 1"), ask("bad 2")])] == ["wrong key"] * 2


@pytest.mark.model
@pytest.mark.sleeps
def test_a_model_in_this_process_is_asked_one_row_at_a_time(
    tiny_model: Callable[..., Path], ask: Callable[..., Request]
) -> None:
    backend = InspectBackend.load(f"inspect:hf/{tiny_model()}")
    try:
        made = backend.generate([ask("Hi", answer_tokens=n) for n in (2, 3)])
        again = backend.generate([ask("Hi", answer_tokens=3)])[0]
    finally:
        backend.close()
    assert backend.batch_size == 4
    assert [row.error for row in made] == [None, None]
    assert all((row.answer_tokens or 0) <= n for row, n in zip(made, (2, 3), strict=True))
    assert again.output_text == made[1].output_text
