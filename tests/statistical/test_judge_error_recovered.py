"""Does the correction for judge error find the truth, and does it find nothing where only the judge differs?"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.thorough

LOW, HIGH = 0.93, 0.97
SIZES = [(60, 100), (60, 450), (300, 100), (300, 450)]


def _bench() -> Any:
    path = Path(__file__).parents[2] / "bench" / "judge_error_only.py"
    spec = importlib.util.spec_from_file_location("judge_error_only", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


BENCH = _bench()


@pytest.mark.parametrize(("n", "labels"), SIZES)
@pytest.mark.parametrize("own_cell", [False, True])
def test_corrected_values_are_unbiased_and_their_intervals_hold_the_truth(
    n: int, labels: int, *, own_cell: bool
) -> None:
    design = BENCH.Design(n=n, labels=labels, base=BENCH.Judged(0.92, 0.88), share=0.7, gain=0.05, loss=0.20)
    if own_cell:
        design = replace(design, arm=BENCH.Judged(0.85, 0.94))
    found = BENCH.run(design, studies=1500, seed=1)
    assert LOW <= found.effect_held <= HIGH
    assert LOW <= found.rate_held <= HIGH
    # A ratio of estimates is off by about the squared error of its slope.
    assert abs(found.effect_off) < 0.01
    assert abs(found.rate_off) < 0.01
    assert abs(design.judged_change - design.change) > 0.015, "as judged, the change would be off"


@pytest.mark.parametrize("labels", [100, 450])
def test_arms_that_differ_only_in_judge_error_differ_as_judged_and_not_once_corrected(labels: int) -> None:
    found = BENCH.run(replace(BENCH.ONLY_ERROR, labels=labels), studies=2000, seed=1)
    assert found.raw_clear > 0.8
    assert found.corrected_clear <= 0.06


@pytest.mark.parametrize(("n", "labels"), SIZES)
def test_nothing_changed_is_called_a_change_at_most_as_often_as_allowed(n: int, labels: int) -> None:
    found = BENCH.run(BENCH.Design(n=n, labels=labels, gain=0.06, loss=0.06), studies=2000, seed=2)
    assert found.corrected_clear <= 0.06


def test_a_true_loss_is_still_found_once_corrected() -> None:
    found = BENCH.run(BENCH.Design(n=300, labels=450, gain=0.0, loss=0.15), studies=1000, seed=1)
    assert found.corrected_clear > 0.95


@pytest.mark.parametrize("loss", [0.02, 0.10])
def test_a_judge_that_errs_less_here_than_on_its_card_costs_little_coverage(loss: float) -> None:
    # Nearly everything is good and the judge misses none of it: rates as judged lie above what its card allows.
    here, there = BENCH.Judged(0.998, 0.95), BENCH.Judged(0.96, 0.95)
    design = BENCH.Design(n=300, labels=450, base=here, card=there, share=0.98, gain=0.0, loss=loss)
    found = BENCH.run(design, studies=1000, seed=1)
    assert found.effect_held >= 0.90


def test_a_rate_above_what_its_card_allows_keeps_an_honest_interval() -> None:
    here, there = BENCH.Judged(0.998, 0.95), BENCH.Judged(0.96, 0.95)
    design = BENCH.Design(n=300, labels=450, base=here, card=there, share=0.98, gain=0.0, loss=0.0)
    assert BENCH.run(design, studies=1000, seed=1).rate_held >= 0.93
