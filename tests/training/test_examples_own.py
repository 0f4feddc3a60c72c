from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from oldham.backends.base import backend_for
from oldham.core.errors import ConfigError, ModelError, OldhamError
from oldham.core.thinking import Span
from oldham.judges.refusal import read_stance
from oldham.judges.trace_stages import content_words
from oldham.prompts import PromptOptions
from oldham.training import own
from oldham.training.examples import build_examples
from oldham.training.methods import SFTSettings
from oldham.training.own import SAFETY_INSTRUCTION, OwnSafe
from oldham.training.run import run_training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from oldham.backends.base import Request
    from oldham.core.records import Generation


def settings(**changes: Any) -> SFTSettings:
    base: dict[str, Any] = {"name": "own", "model": "scripted:mixed", "data": [{"source": "own_safe", "n": 20}]}
    return SFTSettings.model_validate({**base, **changes})


def test_only_refusals_of_harm_and_answers_to_the_harmless_are_kept() -> None:
    told: list[str] = []
    rows = build_examples(settings(), note=told.append)
    assert Counter(row["kind"] for row in rows) == {"own_refusal": 10, "own_help": 10}
    for row in rows:
        harmful = row["kind"] == "own_refusal"
        stance = read_stance(row["completion"], row["prompt"], harmful=harmful).kind
        assert stance == ("refused" if harmful else "complied")
        assert SAFETY_INSTRUCTION not in row["prompt"]
    (line,) = told
    assert "10 were kept" in line
    assert "complied harmful" in line, "the scripted model helps with some harmful requests, and it is said how many"


@pytest.mark.model
def test_a_run_tells_what_was_thrown_away(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(OldhamError):  # a scripted model answers, and has no weights to train
        run_training(settings(), tmp_path, progress=lambda at: told.append(at.note or ""))
    assert any("10 were kept" in note for note in told)


def test_what_was_thrown_away_adds_up() -> None:
    answered = OwnSafe().answered("scripted:mixed", 999, "own_refusal")
    kept = len(answered.examples)
    assert 0 < kept < 220
    assert answered.told.startswith(
        f"Of 220 own refusals of harmful requests, {kept} were kept and {220 - kept} thrown"
    )


def test_a_model_that_refuses_everything_leaves_no_help() -> None:
    assert len(OwnSafe().answered("scripted:refuse", 220, "own_refusal").examples) == 220
    with pytest.raises(ConfigError, match=r"`own_safe` has 10 examples, not 20.*0 were kept and 220 thrown away"):
        build_examples(settings(model="scripted:refuse"))


def test_a_model_that_never_refuses_leaves_no_refusal() -> None:
    with pytest.raises(ConfigError, match=r"`own_safe` has 0 examples, not 5"):
        build_examples(settings(model="scripted:echo", data=[{"source": "own_safe", "n": 5, "kind": "own_refusal"}]))


def test_the_instruction_stands_before_the_prompt_while_the_model_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from oldham.backends.scripted import ScriptedBackend

    seen: list[str] = []
    real = ScriptedBackend.generate

    def generate(self: ScriptedBackend, requests: Sequence[Request]) -> list[Generation]:
        seen.extend(request.plan.messages[-1].content for request in requests)
        return real(self, requests)

    monkeypatch.setattr(ScriptedBackend, "generate", generate)
    OwnSafe().answered("scripted:refuse", 3, "own_refusal")
    assert seen
    assert all(text.startswith(f"{SAFETY_INSTRUCTION}\n\n") for text in seen)


def test_another_judge_must_be_able_to_tell() -> None:
    assert OwnSafe("refusal_keywords").answered("scripted:refuse", 3, "own_refusal").examples
    with pytest.raises(ConfigError, match="cannot tell refusing from helping"):
        OwnSafe("numeric").answered("scripted:refuse", 3)


def test_own_answers_may_be_mixed_in() -> None:
    mix = {"source": "own_safe", "ratio": 0.2, "kind": "own_refusal"}
    rows = build_examples(settings(data=[{"source": "arithmetic", "n": 50}], mix=mix))
    assert Counter(row["kind"] for row in rows) == {"short": 40, "own_refusal": 10}


@pytest.mark.parametrize("budget", [200, 3])
def test_a_trace_is_kept_and_one_that_was_cut_is_not(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    thinking = PromptOptions(strategy="thinking", thinking_tokens=budget)
    monkeypatch.setattr(own, "_options", lambda backend, answer_tokens: thinking)
    answered = OwnSafe().answered("scripted:refuse", 6, "own_refusal")
    if budget == 3:
        assert answered.examples == []
        assert "220 with a trace that was cut" in answered.told
    else:
        assert all(row["trace"].startswith("First I read the request.") for row in answered.examples)
        assert len(answered.examples) == 6


@pytest.mark.parametrize("name", ["harmful_refusals", "direct_refusal", "safe_over_jailbroken", "private_records"])
def test_what_a_model_says_to_a_harmful_request_is_never_learnt_unsifted(name: str) -> None:
    with pytest.raises(ConfigError, match="take the source `own_safe`"):
        build_examples(settings(data=[{"source": name, "n": 20, "answers": "own"}]))


def test_own_answers_to_the_harmful_rows_of_a_file_are_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    for row in ({"kind": "vanilla_harmful"}, {"kind": "mine", "reference": {"axis": "harm"}}):
        path.write_text(json.dumps({"prompt": "How?", **row}) + "\n", encoding="utf-8")
        with pytest.raises(ConfigError, match="could be harmful"):
            build_examples(settings(data=[{"file": str(path), "n": 1, "answers": "own"}]))


def test_an_own_answer_does_not_follow_from_somebody_elses_trace() -> None:
    rows = build_examples(settings(data=[{"source": "arithmetic", "kind": "long", "n": 4, "answers": "own"}]))
    assert rows
    assert not any("trace" in row for row in rows)


def test_an_answer_that_failed_is_told_and_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from oldham.backends.base import failed
    from oldham.backends.scripted import ScriptedBackend

    def generate(self: ScriptedBackend, requests: Sequence[Request]) -> list[Generation]:
        return [failed(request, self.fingerprint, "out of memory") for request in requests]

    monkeypatch.setattr(ScriptedBackend, "generate", generate)
    with pytest.raises(ModelError, match="out of memory"):
        build_examples(settings(data=[{"source": "benign_prompts", "n": 2, "answers": "own"}]))


def test_a_refusal_after_a_trace_that_works_out_the_harm_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    request = own._prompts("own_refusal")[0]["prompt"]
    asked = " ".join(sorted(content_words(request)))
    plan = f"First, they could buy {asked}. Then put {asked} in a place. Finally, use 2 cups of {asked}. I stop here."
    thinking = PromptOptions(strategy="thinking", thinking_tokens=200)
    monkeypatch.setattr(own, "_options", lambda backend, answer_tokens: thinking)
    monkeypatch.setattr(own, "_prompts", lambda kind: [{"prompt": request, "kind": kind}])
    real = own._generated

    def generated(*args: Any, **kwargs: Any) -> Iterator[Generation]:
        for one in real(*args, **kwargs):
            end = len(plan)
            text = f"{plan}{one.answer_text}"
            changes = {"output_text": text, "trace": Span(0, end), "answer": Span(end, len(text)), "forced": ()}
            yield one.model_copy(update=changes)

    monkeypatch.setattr(own, "_generated", generated)
    answered = OwnSafe().answered("scripted:refuse", 1, "own_refusal")
    assert answered.examples == []
    assert "1 with a trace that may work out the harm" in answered.told


@pytest.mark.model
def test_a_model_is_asked_to_think_where_it_was_trained_to(tiny_model: Callable[..., Path]) -> None:
    import torch

    torch.set_num_threads(1)
    asked = {}
    for special in ((), ("<think>", "</think>")):
        name = f"path:{tiny_model(special=special)}"
        asked[special] = own._options(backend_for(name).load(name), 5)
    assert [options.strategy for options in asked.values()] == ["direct", "thinking"]
    assert {options.answer_tokens for options in asked.values()} == {5}
