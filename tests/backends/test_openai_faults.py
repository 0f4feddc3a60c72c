"""Every request ends as exactly one row, in order, whatever the server does."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from openai_server import FakeServer, Raw, connect, message, ok, refused

from oldham.core.errors import ModelError
from oldham.core.records import StopReason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oldham.backends.base import Request
    from oldham.backends.openai.backend import OpenAIBackend

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

GOOD = json.dumps(message("fine")).encode()
PAGE = Raw(b"<html>Bad gateway</html>", headers=(("Content-Type", "text/html"),))
FAULTS = {
    "429": (refused(429, "slow down", **{"Retry-After": "0.001"}), "the server answers 429 (slow down, asks to wait"),
    "429 that asks for too long": (refused(429, "later", **{"Retry-After": "600"}), "asks to wait 600 s; one attempt"),
    "500": (refused(500, "out of memory"), "the server answers 500 (out of memory; 3 attempts)"),
    "hang": (Raw(b"", hangs=True), "no answer within 0.2 s (3 attempts)"),
    "cut connection": (Raw(GOOD, cut_at=9), "the connection was cut (3 attempts)"),
    "truncated JSON": (Raw(GOOD[:-9]), "the answer is broken JSON (3 attempts)"),
    "wrong charset": (Raw(GOOD.replace(b"fine", b"f\xefne")), "the answer is not in UTF-8 (3 attempts)"),
    "no choices": (ok({"choices": []}), "the answer holds no choices (3 attempts)"),
    "no message": (ok({"choices": [{"finish_reason": "stop"}]}), "the answer holds no message (3 attempts)"),
    "nothing said": (ok(message(None)), "the answer holds neither content nor reasoning (3 attempts)"),
    "a list": (Raw(b"[]"), "the answer is no JSON object (3 attempts)"),
    "an error in a success": (ok({"error": {"message": "x"}}), "the server reports an error ({'message': 'x'}) (3"),
    "a tool call": (ok(message("", "tool_calls")), "the answer ended for the reason `tool_calls` (3 attempts)"),
    "a web page": (PAGE, "the answer is a web page (3 attempts)"),
    "a filter": (ok(message("fi", "content_filter")), "the provider's content filter cut the answer"),
}
NOT_TRIED_AGAIN = {"429 that asks for too long", "a filter"}


def backend_for(server: FakeServer, monkeypatch: pytest.MonkeyPatch, folder: Path, **options: Any) -> OpenAIBackend:
    return connect(server, monkeypatch, folder, **{"retries": 2, "timeout_s": 0.2, **options})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_an_error_row_with_its_reason(
    fault: str, ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raw, reason = FAULTS[fault]
    with FakeServer(lambda body: raw) as server:
        made = backend_for(server, monkeypatch, tmp_path).generate([ask("one")])
    assert [g.stop for g in made] == [StopReason.ERROR]
    assert made[0].error is not None
    assert reason in made[0].error
    assert "\n" not in made[0].error
    assert len(server.requests) == (1 if fault in NOT_TRIED_AGAIN else 3)


def test_attempts_are_counted_together_whatever_fails(
    ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mixed = [FAULTS[name][0] for name in ("500", "no choices", "cut connection", "truncated JSON", "429", "500")]
    with FakeServer(lambda body: message("fine"), faults=mixed) as server:
        first = backend_for(server, monkeypatch, tmp_path).generate([ask("one")])[0]
        assert len(server.requests) == 3
        second = backend_for(server, monkeypatch, tmp_path, retries=3).generate([ask("one")])[0]
        assert len(server.requests) == 7
    assert first.error == "the connection was cut (3 attempts)"
    assert second.answer_text == "fine"


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - NOT_TRIED_AGAIN))
def test_a_fault_that_passes_costs_one_more_request_and_nothing_else(
    fault: str, ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with FakeServer(lambda body: message(body["messages"][-1]["content"]), faults=[FAULTS[fault][0]]) as server:
        made = backend_for(server, monkeypatch, tmp_path).generate([ask(text) for text in ("one", "two", "three")])
    assert [g.answer_text for g in made] == ["one", "two", "three"]
    assert len(server.requests) == 4


def test_many_rows_with_many_faults_keep_their_order(
    ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    passing = [FAULTS[name][0] for name in sorted(FAULTS.keys() - NOT_TRIED_AGAIN - {"hang"})]
    texts = [f"row {n}" for n in range(40)]
    with FakeServer(lambda body: message(body["messages"][-1]["content"])) as server:
        backend = backend_for(server, monkeypatch, tmp_path, retries=20, concurrency=5)
        made = backend.generate([ask(texts[0])])  # the first row goes alone
        server.faults += 2 * passing
        made += backend.generate([ask(text) for text in texts[1:]])
    assert [g.answer_text for g in made] == texts
    assert [g.trial.item for g in made] == texts
    assert len(server.requests) == len(texts) + 2 * len(passing)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (refused(401, "bad key secret-key"), r"does not accept the key \(401: bad key …\)"),
        (refused(403, "not yours"), "forbids the request"),
        (refused(402, "no credit"), "wants to be paid"),
        (refused(404, "no such model"), "does not know the model or the API"),
        (refused(400, "no such field"), r"Nothing can be generated: the server refuses the request \(no such field\)"),
        (
            Raw(b'{"error": {"message": "all gone", "code": "insufficient_quota"}}', 429, (("Retry-After", "0.001"),)),
            "quota is used up",
        ),
    ],
)
def test_what_holds_for_every_request_stops_the_run(
    raw: Raw, reason: str, ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with FakeServer(lambda body: raw) as server:
        backend = backend_for(server, monkeypatch, tmp_path)
        with pytest.raises(ModelError, match=reason) as error:
            backend.generate([ask(f"row {n}") for n in range(30)])
    assert "secret-key" not in str(error.value)
    assert len(server.requests) <= (62 if raw.status == 400 else 3)


def test_an_unknown_model_names_the_nearest(
    ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with FakeServer(lambda body: refused(404, "no such model")) as server:
        backend = backend_for(server, monkeypatch, tmp_path)
        backend._model = type(backend._model)("tini", None, "chat", backend._model.options)
        with pytest.raises(ModelError, match="404") as error:
            backend.generate([ask("one")])
    assert error.value.remedy is not None
    assert "Did you mean `tiny`" in error.value.remedy


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (refused(400, "bad words"), "the server refuses the request (bad words)"),
        (refused(400, "maximum context length is 9"), "maximum context length is 9"),
        (refused(403, "flagged"), "the server answers 403 (flagged; one attempt)"),
    ],
)
def test_a_refusal_of_one_row_is_that_rows_error(
    raw: Raw, reason: str, ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answer(body: dict[str, Any]) -> Any:
        return raw if body["messages"][-1]["content"] == "two" else message("fine")

    with FakeServer(answer) as server:
        made = backend_for(server, monkeypatch, tmp_path).generate([ask(text) for text in ("one", "two", "three")])
    assert [g.answer_text for g in made] == ["fine", None, "fine"]
    assert made[1].error is not None
    assert reason in made[1].error
    assert len(server.requests) == 3


def test_rows_that_were_made_before_the_key_was_withdrawn_are_kept(
    ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left = iter(range(3))

    def answer(body: dict[str, Any]) -> Any:
        return message("fine") if next(left, None) is not None else refused(401, "withdrawn")

    with FakeServer(answer) as server:
        backend = backend_for(server, monkeypatch, tmp_path, concurrency=1)
        made = backend.generate([ask(f"row {n}") for n in range(9)])
        assert [g.answer_text for g in made] == ["fine"] * 3 + [None] * 6
        assert all(g.error is not None and "withdrawn" in g.error for g in made[3:])
        assert len(server.requests) == 4
        with pytest.raises(ModelError, match="withdrawn"):
            backend.generate([ask("one more")])


def test_nobody_listens(ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with FakeServer(lambda body: message("fine")) as server:
        backend = backend_for(server, monkeypatch, tmp_path)
    with pytest.raises(ModelError, match="cannot be reached"):
        backend.generate([ask("one"), ask("two")])


def test_no_more_requests_at_a_time_than_allowed(
    ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    meeting = threading.Barrier(3)
    counts: list[int] = []

    def answer(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["content"] != "first":
            counts.append(meeting.wait(5))
        return message("fine")

    with FakeServer(answer) as server:
        backend = backend_for(server, monkeypatch, tmp_path, concurrency=3, timeout_s=10)
        made = backend.generate([ask("first"), *(ask(f"row {n}") for n in range(9))])
    assert all(g.answer_text == "fine" for g in made)
    assert sorted(counts) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert backend.batch_size == 12


def test_inside_a_running_loop_as_in_a_notebook(
    ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with FakeServer(lambda body: message("fine")) as server:
        backend = backend_for(server, monkeypatch, tmp_path)

        async def cell() -> str | None:
            return backend.generate([ask("one")])[0].answer_text

        assert asyncio.run(cell()) == "fine"


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_ctrl_c_stops_the_requests_in_flight(
    in_a_loop: bool, ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main = threading.main_thread().ident or 0
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores Ctrl-C

    def answer(body: dict[str, Any]) -> Any:
        signal.pthread_kill(main, signal.SIGINT)
        return Raw(b"", hangs=True)

    with FakeServer(answer) as server:
        backend = backend_for(server, monkeypatch, tmp_path, timeout_s=5)

        async def cell() -> None:
            backend.generate([ask("one"), ask("two")])

        loop = asyncio.new_event_loop()  # `asyncio.run` would keep the first Ctrl-C for its own task
        try:
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(cell()) if in_a_loop else backend.generate([ask("one"), ask("two")])
        finally:
            signal.signal(signal.SIGINT, before)
        loop.close()
        assert len(server.requests) == 1
    assert not [t for t in threading.enumerate() if t.name == "oldham-openai" and t.is_alive()]


def test_fields_that_a_server_does_not_know_are_left_out_from_then_on(
    ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answer(body: dict[str, Any]) -> Any:
        for name in ("min_p", "chat_template_kwargs"):
            if name in body:
                return refused(400, f"Unknown parameter: '{name}'.")
        if "max_tokens" in body:
            return refused(400, "Unsupported parameter: use 'max_completion_tokens' instead.")
        return message("fine")

    with FakeServer(answer) as server:
        backend = backend_for(server, monkeypatch, tmp_path)
        made = backend.generate([ask(f"row {n}") for n in range(6)])
        assert all(g.answer_text == "fine" for g in made)
        assert len(server.requests) == 6 + 3
        last = server.requests[-1]
        assert last["max_completion_tokens"] == 12
        assert (last["temperature"], last["top_p"], last["top_k"], last["repetition_penalty"]) == (0.0, 1.0, -1, 1.0)
        assert last["seed"] == ask("row 5").seed % 2**31 or "row 5" not in str(last["messages"])
    assert set(server.keys) == {"Bearer secret-key"}
