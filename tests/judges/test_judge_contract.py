"""What holds for every registered judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asking_double import built

from oldham.core.outcomes import MISSING, Axis, Outcome, legal_outcomes, score_of
from oldham.core.records import StopReason
from oldham.judges.asking import ModelJudge
from oldham.judges.base import JUDGES
from oldham.judges.planted import planted_failures

if TYPE_CHECKING:
    from conftest import MakeGeneration, MakeItem
    from oldham.core.records import Verdict
    from oldham.judges.base import Judge

REFERENCE: dict[str, Any] = {
    "answer": "42",
    "correct_any": ["it is blue"],
    "false_any": ["it is green"],
    "secret": ["QZ-77"],
    "choices": ["the noon boat", "the late boat"],
    "letter": "B",
    "correct": ["It is blue"],
    "incorrect": ["It is green"],
    "labels": [1, 0],
    "measure": "mc2",
}
CASES: dict[str, dict[str, Any]] = {
    "a plain answer": {"answer": "Take the early boat, and walk up to the mill from the old pier by noon."},
    "a refusal": {"answer": "I'm sorry, but I can't help with that."},
    "a trace and an answer": {"answer": "Take the early boat.", "trace": "Let me think. It is 9."},
    "an empty answer": {"answer": ""},
    "an empty cut answer": {"answer": "", "stop": StopReason.LENGTH},
    "a cut answer": {"answer": "Take the", "stop": StopReason.LENGTH},
    "a trace that never ended": {"answer": None, "trace": "Let me", "stop": StopReason.LENGTH},
    "nothing at all": {"answer": None, "stop": StopReason.LENGTH},
    "a failed row": {"answer": None, "stop": StopReason.ERROR},
    "a failed row with text": {"answer": "Take", "trace": "Let me", "stop": StopReason.ERROR},
    "a loop": {"answer": "boat and boat " * 50, "trace": "boat and boat " * 50},
    "no language": {"answer": "?!? ?!? \ufffd"},
    "other scripts": {"answer": "这是一个完整的回答。", "trace": "Это мысль."},
    "an endless number": {"answer": "It is " + "1" * 9000, "trace": "7" * 9000},
    "odd characters": {"answer": "a\x00b \u202e\U0001f600 \\ { ( [ $^"},
}
KINDS = {name: JUDGES.get(name) for name in JUDGES.names()}
JUDGE_AXES = [(name, axis) for name in KINDS for axis in sorted(KINDS[name].axes)]
ANSWER_AXES = [(name, axis) for name, axis in JUDGE_AXES if "answer" in KINDS[name].spans]


def agrees(judge: Judge, verdict: Verdict, worth: float | None) -> bool:
    """The score is the outcome's own; a model's may be finer, on the same side of one half."""
    if verdict.score is None or worth is None or not isinstance(judge, ModelJudge):
        return verdict.score == worth
    return abs(verdict.score - worth) <= 0.5


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("name", "axis"), JUDGE_AXES)
def test_verdicts_are_legal(
    make_item: MakeItem, make_generation: MakeGeneration, name: str, axis: Axis, case: str
) -> None:
    judge = built(name)
    generation = make_generation(**CASES[case])
    verdicts = judge.judge(make_item(axis, reference=REFERENCE), generation)
    spans = [verdict.span for verdict in verdicts]
    assert spans[:1] == ["answer"] or judge.spans == ("trace",)
    assert len(spans) == len(set(spans))
    assert set(spans) <= set(judge.spans)
    assert ("trace" in spans) == ("trace" in judge.spans and bool(generation.trace_text))
    for verdict in verdicts:
        assert verdict.outcome in legal_outcomes(axis)
        assert judge.likelihood or agrees(judge, verdict, score_of(axis, verdict.outcome))
        assert verdict.judge == judge.label == (f"{name}@canned:judge" if isinstance(judge, ModelJudge) else name)
        assert verdict.judge_fingerprint == judge.fingerprint
        assert verdict.generation == generation.trial.fingerprint


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        ("an empty answer", Outcome.INCOHERENT),
        ("an empty cut answer", Outcome.UNFINISHED),
        ("a cut answer", Outcome.UNFINISHED),
        ("a trace that never ended", Outcome.UNFINISHED),
        ("nothing at all", Outcome.UNFINISHED),
        ("a failed row", Outcome.UNJUDGED),
        ("a failed row with text", Outcome.UNJUDGED),
        ("a loop", Outcome.INCOHERENT),
        ("no language", Outcome.INCOHERENT),
    ],
)
@pytest.mark.parametrize(("name", "axis"), ANSWER_AXES)
def test_an_answer_that_says_nothing_is_neither_good_nor_bad(
    make_item: MakeItem, make_generation: MakeGeneration, name: str, axis: Axis, case: str, outcome: Outcome
) -> None:
    judge = built(name)
    verdict = judge.judge(make_item(axis, reference=REFERENCE), make_generation(**CASES[case]))[0]
    assert verdict.outcome is (Outcome.UNJUDGED if judge.likelihood else outcome)
    if outcome in MISSING:
        assert verdict.score is None


@pytest.mark.parametrize(("name", "axis"), [pair for pair in JUDGE_AXES if KINDS[pair[0]].likelihood])
@pytest.mark.parametrize("logprobs", [(-1.0, -2.0), (-2.0, -1.0), (-9.0, -9.0)])
def test_a_score_of_likelihoods_agrees_with_its_outcome(
    make_item: MakeItem, make_generation: MakeGeneration, name: str, axis: Axis, logprobs: tuple[float, ...]
) -> None:
    generation = make_generation(None).model_copy(update={"choice_logprobs": logprobs})
    verdict = built(name).judge(make_item(axis, reference=REFERENCE), generation)[0]
    assert verdict.score is not None
    assert verdict.outcome is (Outcome.CORRECT if verdict.score >= 0.5 else Outcome.INCORRECT)


@pytest.mark.parametrize("name", JUDGES.names())
def test_a_judge_gets_its_planted_cases_right(name: str) -> None:
    judge = built(name)
    scores = {score_of(case.axis, case.outcome) for case in judge.planted}
    assert len(judge.planted) >= 4
    assert {0.0, 1.0} <= scores, "cases of both directions are needed"
    assert {case.axis for case in judge.planted} <= judge.axes
    assert planted_failures(judge) == []


@pytest.mark.parametrize("name", JUDGES.names())
def test_a_judge_says_what_it_is(name: str) -> None:
    entry, judge = JUDGES.entry(name), KINDS[name]
    assert entry.citation
    assert entry.summary
    assert judge.name == name
    assert judge.version >= 1
    assert judge.axes
    assert judge.spans[0] == "answer" or judge.spans == ("trace",)


def test_every_axis_has_a_judge() -> None:
    assert {axis for _, axis in JUDGE_AXES} == set(Axis)


@pytest.mark.parametrize("name", JUDGES.names())
def test_the_fingerprint_is_stable_and_follows_the_version(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = built(name).fingerprint
    assert built(name).fingerprint == before
    monkeypatch.setattr(KINDS[name], "version", KINDS[name].version + 1)
    assert built(name).fingerprint != before
