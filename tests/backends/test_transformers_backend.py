from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from oldham.core.errors import ConfigError, ModelError
from oldham.core.records import Generation, Sampling, StopReason
from oldham.core.thinking import ThinkingState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oldham.backends.base import Request
    from oldham.backends.transformers import TransformersBackend

    Ask = Callable[..., Request]
    Load = Callable[[Path | str], TransformersBackend]
    Tiny = Callable[..., Path]

pytestmark = pytest.mark.model

COT: dict[str, Any] = {
    "thinks": True,
    "trace_open": "Let us think step by step.",
    "answer_open": "Final answer:",
    "thinking_tokens": 9,
}
QUESTIONS = ["two?", "What is three and four?", "Tom has three apples. " * 4, "A kind answer is short. " * 9]


def text_of(backend: TransformersBackend, ids: tuple[int, ...]) -> str:
    text: str = backend.tokenizer.decode(ids, skip_special_tokens=False)
    return text


def check_exact(backend: TransformersBackend, made: Generation) -> None:
    """Check that text, tokens, spans and counts say the same."""
    ids = made.output_ids[:-1] if made.stop is StopReason.STOP else made.output_ids
    assert text_of(backend, made.prompt_ids) == made.prompt_text
    assert made.prompt_tokens == len(made.prompt_ids)
    assert text_of(backend, ids) == made.output_text
    if made.trace is not None:
        assert text_of(backend, ids[: made.trace_tokens]) == made.trace_text
    assert made.answer is not None
    assert made.answer.end == len(made.output_text)
    assert text_of(backend, ids[len(ids) - made.answer_tokens :]) == made.answer_text


def test_a_direct_answer_is_what_transformers_generates(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    backend = load(tiny_model())
    import torch

    requests = [ask(question, answer_tokens=90) for question in QUESTIONS]
    for made in backend.generate(requests):
        prompt = torch.tensor([made.prompt_ids])
        wanted = backend.model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=90, do_sample=False
        )[0, prompt.shape[1] :]
        assert made.output_ids == tuple(wanted.tolist())
        assert (made.thinking_state, made.trace, made.trace_stop) == (ThinkingState.NONE, None, None)
        assert made.requested_thinking_tokens == 0
        check_exact(backend, made)


def test_a_layer_with_a_window_sees_the_same_in_a_batch(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    backend = load(tiny_model(sliding_window=12))
    requests = [ask(question, answer_tokens=30) for question in QUESTIONS]
    alone = [backend.generate([request])[0].output_ids for request in requests]
    assert [made.output_ids for made in backend.generate(requests)] == alone


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0), Sampling(temperature=1.2, top_p=0.9)])
def test_tokens_do_not_depend_on_the_batch(ask: Ask, load: Load, tiny_model: Tiny, sampling: Sampling) -> None:
    backend = load(tiny_model())
    plans: list[dict[str, Any]] = [{"answer_tokens": 20}, COT, {**COT, "thinking_tokens": 25}, {"answer_tokens": 3}]
    requests = [ask(f"{q} {n}", sampling=sampling, **p) for n, p in enumerate(plans) for q in QUESTIONS[:2]]
    alone = [backend.generate([request])[0] for request in requests]
    together = backend.generate(requests)
    assert [made.output_ids for made in together] == [made.output_ids for made in alone]
    assert [made.trial for made in together] == [request.trial for request in requests]
    assert all(made.seconds > 0 for made in together)


def test_draws_differ_and_a_draw_repeats(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    backend = load(tiny_model())
    requests = [ask("two?", draw=n, sampling=Sampling(temperature=1.0)) for n in range(4)]
    first, second = backend.generate(requests), backend.generate(requests[::-1])[::-1]
    assert [made.output_ids for made in first] == [made.output_ids for made in second]
    assert len({made.output_ids for made in first}) == 4


@pytest.mark.parametrize("budget", [0, 1, 9])
def test_a_budget_is_taken_exactly(ask: Ask, load: Load, tiny_model: Tiny, budget: int) -> None:
    backend = load(tiny_model())
    made = backend.generate([ask("two?", **{**COT, "thinking_tokens": budget})])[0]
    assert (made.trace_stop, made.thinking_state) == (StopReason.BUDGET_FORCED, ThinkingState.OPEN_IN_PROMPT)
    assert (made.requested_thinking_tokens, made.realised_thinking_tokens) == (budget, budget)
    assert made.prompt_text.endswith("assistant\nLet us think step by step.")
    assert [span.of(made.output_text) for span in made.forced] == ["\n\nFinal answer:"]
    assert made.answer_text is not None
    assert made.answer_text.startswith("Final answer:")
    check_exact(backend, made)


def test_the_trace_continues_as_if_nothing_followed(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    backend = load(tiny_model())
    short, long = backend.generate([ask("two?", **{**COT, "thinking_tokens": n}) for n in (5, 12)])
    assert long.output_ids[:5] == short.output_ids[:5]


def test_the_answer_follows_from_the_whole_text_before_it(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    backend = load(tiny_model())
    import torch

    made = backend.generate([ask("two?", **COT)])[0]
    with torch.inference_mode():
        logits = backend.model(torch.tensor([made.prompt_ids + made.output_ids])).logits[0]
    likeliest = logits.argmax(-1).tolist()[len(made.prompt_ids) - 1 : -1]
    answer = made.answer_tokens - len(backend.tokenizer.encode("Final answer:"))
    chosen = [*range(9), *range(len(made.output_ids) - answer, len(made.output_ids))]
    assert [likeliest[n] for n in chosen] == [made.output_ids[n] for n in chosen]


def test_a_trace_that_writes_the_answers_opening_has_ended(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    backend = load(tiny_model())
    before = backend.generate([ask("two?", **{**COT, "thinking_tokens": 30})])[0]
    traced = before.trace_text or ""
    pairs = [text_of(backend, before.output_ids[n : n + 2]) for n in range(8, 28)]
    opening = next(pair for pair in pairs if "\ufffd" not in pair and traced.find(pair) > 4)
    made = backend.generate([ask("two?", **{**COT, "thinking_tokens": 30, "answer_open": opening})])[0]
    assert made.trace_text == traced[: traced.index(opening)]
    assert made.answer_text is not None
    assert made.answer_text.startswith(opening)
    assert (made.trace_stop, made.forced) == (StopReason.STOP, ())
    assert made.realised_thinking_tokens == made.trace_tokens < 30


def test_an_ending_token_in_the_trace_leads_to_the_answer(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    traced = load(tiny_model()).generate([ask("two?", **COT)])[0].output_ids
    ending = next(n for n in range(2, 9) if traced[n] not in traced[:n])
    backend = load(tiny_model(eos=(traced[ending],)))
    made = backend.generate([ask("two?", **COT)])[0]
    assert made.output_ids[:ending] == traced[:ending]
    assert (made.trace_stop, made.realised_thinking_tokens) == (StopReason.STOP, ending)
    assert made.output_text[made.forced[0].start :].startswith("\n\nFinal answer:")


def test_an_answer_is_owed_after_a_trace(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    free = load(tiny_model()).generate([ask("two?", **COT)])[0]
    assert free.stop is StopReason.LENGTH
    first = free.output_ids[-12]  # the answer's budget of 12 tokens was used up
    assert first not in free.output_ids[: free.trace_tokens]
    thought = load(tiny_model(eos=(first,))).generate([ask("two?", **COT)])[0]
    assert thought.output_ids[: free.trace_tokens] == free.output_ids[: free.trace_tokens]
    answer = thought.answer_text
    assert answer is not None
    assert answer.removeprefix("Final answer:"), "the ending token was the likeliest and may not come first"


def test_an_ending_token_ends_the_answer_and_stays_in_the_ids(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    free = load(tiny_model()).generate([ask("two?")])[0].output_ids
    ending = next(n for n in range(2, 12) if free[n] not in free[:n])
    backend = load(tiny_model(eos=(free[ending],)))
    made = backend.generate([ask("two?")])[0]
    assert (made.output_ids, made.stop, made.answer_tokens) == (free[: ending + 1], StopReason.STOP, ending)
    check_exact(backend, made)


TAGS = ("<think>", "</think>")
OPENING = "{% if add_generation_prompt %}<|im_start|>assistant\n"
ALWAYS_OPEN = "{% for m in messages %}<|im_start|>{{ m.content }}\n{% endfor %}" + OPENING + "<think>\n{% endif %}"
SWITCHED = (
    "{% for m in messages %}<|im_start|>{{ m.content }}\n{% endfor %}"
    + OPENING
    + "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


@pytest.mark.parametrize(
    "settings", [{"special": TAGS}, {"special": TAGS, "template": ALWAYS_OPEN}, {"template": SWITCHED}]
)
def test_a_model_with_markers_thinks_between_them(
    ask: Ask, load: Load, tiny_model: Tiny, settings: dict[str, Any]
) -> None:
    backend = load(tiny_model(**settings))
    made = backend.generate([ask("two?", **{**COT, "answer_open": ""})])[0]
    assert made.prompt_text.endswith("assistant\n<think>\nLet us think step by step.")
    assert [span.of(made.output_text) for span in made.forced] == ["\n</think>\n\n"]
    assert (made.realised_thinking_tokens, made.thinking_state) == (9, ThinkingState.OPEN_IN_PROMPT)
    check_exact(backend, made)


@pytest.mark.parametrize("settings", [{"special": TAGS}, {"special": TAGS, "template": ALWAYS_OPEN}])
def test_a_direct_answer_closes_the_markers_at_once(
    ask: Ask, load: Load, tiny_model: Tiny, settings: dict[str, Any]
) -> None:
    backend = load(tiny_model(**settings))
    made = backend.generate([ask("two?")])[0]
    assert made.prompt_text.endswith("assistant\n<think>\n")
    assert made.output_text.startswith("\n</think>\n\n")
    assert [span.of(made.output_text) for span in made.forced] == ["\n</think>\n\n"]
    assert (made.trace_text, made.requested_thinking_tokens, made.answer_tokens) == ("", 0, 12)
    check_exact(backend, made)


def test_a_direct_answer_uses_the_templates_own_switch(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    made = load(tiny_model(template=SWITCHED)).generate([ask("two?")])[0]
    assert made.prompt_text.endswith("assistant\n<think>\n\n</think>\n\n")
    assert (made.forced, made.trace, made.thinking_state) == ((), None, ThinkingState.NONE)


def test_rows_that_fail_leave_the_others_alone(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    backend = load(tiny_model(context=200))
    poison = backend.tokenizer.encode("%")[0]
    backend.model.get_input_embeddings().weight[poison] = float("nan")
    good = ask("two?")
    requests = [ask("no template"), good, ask("ten % of two?"), ask("two?", answer_tokens=500)]
    refused, made, nan, long = backend.generate(requests)
    assert refused.error == "refused by the template"
    assert made.output_ids == backend.generate([good])[0].output_ids
    assert nan.error == "the model's logits are not finite"
    assert long.error is not None
    assert "the model reads 200" in long.error
    assert [g.stop is StopReason.ERROR for g in (refused, made, nan, long)] == [True, False, True, True]


def test_a_batch_that_does_not_fit_is_halved(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    import torch

    backend = load(tiny_model())
    requests = [ask(f"{n} two? " * 4) for n in range(7)]
    wanted = [made.output_ids for made in backend.generate(requests)]
    sizes = []

    def small_memory(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        sizes.append(inputs["input_ids"].numel())
        if sizes[-1] > 64:
            raise torch.OutOfMemoryError("out of memory")

    backend.model.register_forward_pre_hook(small_memory, with_kwargs=True)
    assert [made.output_ids for made in backend.generate(requests)] == wanted
    assert max(sizes) > 128


def test_a_model_that_never_works_is_one_error(ask: Ask, load: Load, tiny_model: Tiny) -> None:
    backend = load(tiny_model())

    def broken(*_: Any) -> None:
        raise RuntimeError("device lost\nand a long story")

    backend.model.register_forward_pre_hook(broken)
    with pytest.raises(ModelError, match=r"cannot generate \(device lost\)"):
        backend.generate([ask("two?"), ask("three?")])
    assert backend.generate([ask("two?")])[0].error == "device lost"


def test_the_batch_size_can_be_set(load: Load, tiny_model: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load(tiny_model())
    assert backend.batch_size == 64
    monkeypatch.setenv("OLDHAM_BATCH", "3")
    assert backend.batch_size == 3
    monkeypatch.setenv("OLDHAM_BATCH", "0")
    with pytest.raises(ConfigError, match="OLDHAM_BATCH: `0` is not a batch size"):
        _ = backend.batch_size


def test_more_requests_than_a_batch_keep_their_order(
    ask: Ask, load: Load, tiny_model: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load(tiny_model())
    requests = [ask(question) for question in reversed(QUESTIONS)]
    wanted = [made.output_ids for made in backend.generate(requests)]
    monkeypatch.setenv("OLDHAM_BATCH", "3")
    assert [made.output_ids for made in backend.generate(requests)] == wanted


def test_nothing_asked_is_nothing_made(load: Load, tiny_model: Tiny) -> None:
    assert load(tiny_model()).generate([]) == []
