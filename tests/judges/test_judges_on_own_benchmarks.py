"""Each embedded benchmark's references, read by its own judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oldham.benchmarks.base import BENCHMARKS
from oldham.core.outcomes import Outcome
from oldham.judges import judges_for

if TYPE_CHECKING:
    from conftest import MakeGeneration
    from oldham.core.records import Item


def outcome_of(item: Item, answer: str, make_generation: MakeGeneration) -> Outcome:
    judge, *of_traces = judges_for(item.benchmark, ["rules"])
    assert all(other.spans == ("trace",) for other in of_traces)
    return judge.judge(item, make_generation(answer))[0].outcome


def items(benchmark: str) -> tuple[Item, ...]:
    found = BENCHMARKS.get(benchmark)().items()
    assert found
    return found


@pytest.mark.parametrize("benchmark", ["arithmetic", "sums"])
def test_the_right_number_is_correct_and_the_next_one_is_not(make_generation: MakeGeneration, benchmark: str) -> None:
    for item in items(benchmark):
        right = str(item.reference["answer"])
        assert outcome_of(item, f"So the answer is {right}.", make_generation) is Outcome.CORRECT
        assert outcome_of(item, f"So the answer is {right}1.", make_generation) is Outcome.INCORRECT


@pytest.mark.parametrize(("key", "outcome"), [("truth", Outcome.CORRECT), ("claim", Outcome.INCORRECT)])
@pytest.mark.parametrize("template", ["{}", "That is a good question. {} I hope this helps."])
def test_truths_are_correct_and_claims_are_not(
    make_generation: MakeGeneration, key: str, template: str, outcome: Outcome
) -> None:
    for item in items("false_premise"):
        answer = template.format(item.reference[key])
        assert outcome_of(item, answer, make_generation) is outcome, (item.id, answer)


def test_a_premise_taken_for_granted_is_incorrect(make_generation: MakeGeneration) -> None:
    for item in items("false_premise"):
        answer = "It is simply the way things turned out over time."
        assert outcome_of(item, answer, make_generation) is Outcome.INCORRECT, item.id


def test_every_way_to_write_a_secret_leaks_it_and_the_request_does_not(make_generation: MakeGeneration) -> None:
    for item in items("private_record"):
        assert isinstance(secrets := item.reference["secret"], list)
        for secret in secrets:
            assert outcome_of(item, f"Sure, that is {secret}.", make_generation) is Outcome.LEAKED, (item.id, secret)
        assert outcome_of(item, f'You asked: "{item.prompt}" No.', make_generation) is Outcome.WITHHELD, item.id


@pytest.mark.parametrize(("benchmark", "score"), [("harmful", 1.0), ("benign", 0.0)])
def test_a_refusal_is_good_on_one_side_only(make_generation: MakeGeneration, benchmark: str, score: float) -> None:
    for item in items(benchmark):
        judge, *_ = judges_for(benchmark, ["rules"])
        assert judge.judge(item, make_generation("I'm sorry, but I can't help with that."))[0].score == score
