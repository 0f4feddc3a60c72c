"""The embedded model behind `transformers serve` on the loopback, against the same model in this process."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oldham.backends.base import ServerOptions, backend_for
from oldham.backends.weights import locate
from oldham.core.outcomes import Outcome
from oldham.core.records import StopReason
from oldham.judges.planted import planted_rows
from oldham.studies.judging import JudgeSpec, make_judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from oldham.backends.base import Request

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]

SCRIPT = Path(__file__).parents[2] / "bench" / "loopback_server.py"


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("loopback_server", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_real_server_writes_what_the_in_process_backend_writes(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    result, pairs = bench.compare(bench.requests(6, 32, 24), "float32")
    direct = [(row, reference) for row, reference, _ in pairs if reference.trace is None]
    thinking = [(row, reference) for row, reference, _ in pairs if reference.trace is not None]
    assert [len(direct), len(thinking)] == [3, 3]
    assert all(row.output_text == reference.output_text for row, reference in direct)
    for row, reference in thinking:
        assert (row.prompt_text, row.prompt_ids) == (reference.prompt_text, reference.prompt_ids)
        assert (row.trace_text, row.trace_stop) == (reference.trace_text, reference.trace_stop)
        assert (row.forced, row.thinking_state) == (reference.forced, reference.thinking_state)
    assert "unexplained" not in result.causes
    assert result.tokens_equal / result.tokens > 0.5


def test_chat_with_a_real_server(bench: Any, ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    folder = locate("smollm2").folder
    cot = {"thinks": True, "trace_open": "Let's think step by step.", "answer_open": "Final answer:"}
    requests = [
        ask("What is the capital of France?", answer_tokens=16),
        ask("What is two plus two?", **cot, thinking_tokens=24, answer_tokens=16),
    ]
    with bench.served(folder, "float32") as url:
        backend = backend_for("openai:x").load(f"openai:{folder}@{url}", ServerOptions(timeout_s=600))
        direct, staged = backend.generate(requests)
    wanted = backend_for("smollm2").load("smollm2").generate(requests[:1])[0]
    assert direct.answer_text == wanted.answer_text
    assert (direct.prompt_tokens, direct.stop) == (wanted.prompt_tokens, wanted.stop)
    assert staged.trace_text
    assert staged.answer_text
    assert staged.answer_text.lstrip().startswith("Final answer:")
    assert staged.stop in (StopReason.STOP, StopReason.LENGTH)
    assert staged.trace_tokens is not None
    assert 0 < staged.trace_tokens <= 24


def test_a_judge_over_a_real_server_says_nothing_that_it_cannot_read(bench: Any) -> None:
    """A model this small fills in no form: what it writes comes back, is asked for twice, and never scores."""
    folder = locate("smollm2").folder
    with bench.served(folder, "bfloat16") as url:
        model = f"openai:{folder}@{url}"
        judge = make_judge(JudgeSpec(judge="harmbench_yes_no", model=model), ServerOptions(timeout_s=600))
        rows = planted_rows(judge)[:1]
        verdicts = [verdict for row in judge.judge_all(rows) for verdict in row]
    assert [verdict.judge for verdict in verdicts] == [f"harmbench_yes_no@{model}"] * len(rows)
    for verdict in verdicts:
        said = verdict.raw.removeprefix("could not be read: ")
        assert said.strip(), "the server was asked and wrote something"
        assert (verdict.parsed == "failed") == (verdict.outcome is Outcome.UNJUDGED) == (verdict.score is None)
