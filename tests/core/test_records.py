from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from oldham.core.outcomes import Axis, Outcome, legal_outcomes, score_of
from oldham.core.records import Generation, Item, ModelFingerprint, Sampling, Trial, Verdict
from oldham.core.thinking import Span

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = {str: "another", int: 9}


def an_item(**changes: Any) -> Item:
    values = {"id": "7", "benchmark": "sums", "axis": "reasoning", "cluster": "c", "category": "k", "prompt": "2+2?"}
    return Item.model_validate(values | changes)


def test_records_are_frozen(generation: Callable[..., Generation]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        generation().output_text = "another"


def test_records_refuse_unknown_fields(trial: Callable[..., Trial]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        trial(temperature=1.0)


def test_records_survive_json(generation: Callable[..., Generation], verdict: Callable[..., Verdict]) -> None:
    for record in (generation(), verdict(), an_item(reference={"answer": [4, "four"]})):
        assert type(record).model_validate_json(record.model_dump_json()) == record
        assert type(record).model_validate(json.loads(json.dumps(record.model_dump(mode="json")))) == record


def test_records_survive_pickling(trial: Callable[..., Trial]) -> None:
    one = trial()
    assert pickle.loads(pickle.dumps(one)).fingerprint == one.fingerprint


def test_the_fingerprint_of_a_trial_never_changes(trial: Callable[..., Trial]) -> None:
    one = trial(arm_fingerprint="f", benchmark="b", item="i", item_fingerprint="x")
    assert one.fingerprint == "ec848001722d2a710772433a1cf6071c"
    assert one.seed == 1686570241041833870


@pytest.mark.parametrize("field", Trial.model_fields)
def test_a_trial_is_identified_by_everything_but_the_name_of_its_arm(trial: Callable[..., Trial], field: str) -> None:
    one = trial()
    other = trial(**{field: OTHER[str if getattr(one, field) is None else type(getattr(one, field))]})
    assert (other.fingerprint == one.fingerprint) == (field == "arm")
    assert (other.seed == one.seed) == (field == "arm")


@pytest.mark.parametrize("field", ModelFingerprint.model_fields)
def test_a_model_is_identified_by_everything(field: str) -> None:
    values = {"weights": "w", "adapter": None, "template": "t", "dtype": "d", "backend": "b"}
    one, other = ModelFingerprint.model_validate(values), ModelFingerprint.model_validate(values | {field: "another"})
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    "change",
    [{"prompt": "3+3?"}, {"context": ""}, {"reference": {"answer": 4}}, {"pair": "8"}, {"axis": "harm"}, {"id": "8"}],
    ids=str,
)
def test_an_item_is_identified_by_its_content(change: dict[str, Any]) -> None:
    assert an_item(**change).fingerprint != an_item().fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"judge": "other"},
        {"judge_fingerprint": "j2"},
        {"generation": "g2"},
        {"axis": Axis.TRUTHFULNESS},
        {"span": "trace"},
    ],
    ids=str,
)
def test_a_verdict_is_identified_by_judge_and_what_it_read(
    verdict: Callable[..., Verdict], change: dict[str, str]
) -> None:
    assert verdict(**change).fingerprint != verdict().fingerprint


def test_a_judge_says_one_thing_of_one_span(verdict: Callable[..., Verdict]) -> None:
    assert verdict(outcome=Outcome.INCORRECT, score=0.0, raw="5").fingerprint == verdict().fingerprint


@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_with_a_change_has_its_own_fingerprint(trial: Callable[..., Trial], deep: bool) -> None:
    one = trial()
    first = one.fingerprint  # kept by the original from here on
    assert one.model_copy(deep=deep).fingerprint == first
    assert one.model_copy(update={"draw": 1}, deep=deep).fingerprint == trial(draw=1).fingerprint != first
    assert one.fingerprint == first


def test_spans_read_the_stored_text(generation: Callable[..., Generation]) -> None:
    one = generation()
    assert (one.trace_text, one.answer_text) == ("2 and 2", "4")
    none = generation(trace=None, answer=None)
    assert (none.trace_text, none.answer_text) == (None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("answer", Span(22, 24)),
        ("answer", Span(-1, 3)),
        ("trace", Span(9, 8)),
        ("trace", Span(30, 31)),
        ("forced", (Span(0, 7), Span(14, 99))),
    ],
)
def test_a_span_lies_inside_the_output(generation: Callable[..., Generation], field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match="lies outside the output of 23 characters"):
        generation(**{field: value})


def test_the_trace_ends_before_the_answer_starts(generation: Callable[..., Generation]) -> None:
    with pytest.raises(ValidationError, match="runs into answer"):
        generation(trace=Span(7, 23))
    assert generation(trace=Span(7, 22)).trace == (7, 22)


@pytest.mark.parametrize("axis", Axis)
@pytest.mark.parametrize("outcome", Outcome)
def test_a_verdict_is_legal_on_its_axis(verdict: Callable[..., Verdict], axis: Axis, outcome: Outcome) -> None:
    if outcome in legal_outcomes(axis):
        assert verdict(axis=axis, outcome=outcome, score=score_of(axis, outcome)).outcome is outcome
    else:
        with pytest.raises(ValidationError, match="is not legal on axis"):
            verdict(axis=axis, outcome=outcome, score=None)


@pytest.mark.parametrize("outcome", [Outcome.UNFINISHED, Outcome.UNJUDGED])
def test_missing_is_never_good_or_bad(verdict: Callable[..., Verdict], outcome: Outcome) -> None:
    with pytest.raises(ValidationError, match="it has no score"):
        verdict(outcome=outcome, score=0.0)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_score_lies_between_0_and_1(verdict: Callable[..., Verdict], score: float) -> None:
    with pytest.raises(ValidationError, match="score"):
        verdict(score=score)


@pytest.mark.parametrize("change", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}], ids=str)
def test_sampling_has_ranges(change: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Sampling.model_validate(change)
