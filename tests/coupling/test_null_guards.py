"""What keeps a claim from being made of chance, of the judge, or of answers that are missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from oldham.coupling import CouplingOptions, Gate, couple, judge_gate
from oldham.coupling.bootstrap import resample_means
from oldham.coupling.findings import effect_finding
from oldham.coupling.flip_caveats import chance_flips
from oldham.coupling.results import Corrected, Effect, Flips, Interval

if TYPE_CHECKING:
    from conftest import Table

QUICK = CouplingOptions(resamples=2000, permutations=400, cards={})


@pytest.mark.parametrize("seed", range(6))
def test_the_p_value_is_the_level_at_which_the_interval_reaches_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    (change,) = resample_means(rng.normal(0.3, 1.0, (40, 1)), np.arange(40), resamples=4000, seed=1)
    p = change.p_value()
    assert not change.interval(1 - 0.97 * p).excludes_zero or p < 0.001
    assert change.interval(1 - min(1.03 * p, 0.999)).excludes_zero
    up = change.p_value(above=True)
    assert p == pytest.approx(2 * min(up, 1 - up), rel=0.02)


def test_the_p_value_agrees_with_students_where_changes_are_normal() -> None:
    d = np.random.default_rng(3).normal(0.35, 1.0, 50)
    (change,) = resample_means(d[:, None], np.arange(50), resamples=20_000, seed=1)
    known = 2 * t.sf(abs(d.mean()) / (d.std(ddof=1) / math.sqrt(50)), 49)
    assert change.p_value() == pytest.approx(known, rel=0.15)


def test_a_p_value_is_never_smaller_than_the_resamples_can_show() -> None:
    (change,) = resample_means(np.ones((30, 1)) + np.arange(30)[:, None], np.arange(30), resamples=200, seed=1)
    assert 0.001 < change.p_value(above=True) < 0.02
    (lone,) = resample_means(np.ones((3, 1)), np.zeros(3, dtype=np.int64), resamples=200, seed=1)
    assert math.isnan(lone.p_value())


def effect(**changed: object) -> Effect:
    usual: dict[str, object] = {
        "arm": "cot",
        "axis": "reasoning",
        "benchmarks": ("b",),
        "delta": -0.2,
        "interval": Interval(-0.3, -0.1),
        "p_value": 0.001,
        "p_holm": 0.003,
        "q_bh": 0.003,
        "test": "mcnemar",
        "smallest_detectable": 0.1,
        "n_items": 60,
        "n_clusters": 60,
        "n_missing": 0,
        "finding": "",
    }
    return Effect(**{**usual, **changed})  # type: ignore[arg-type]


def corrected(low: float, high: float, p_holm: float) -> Corrected:
    return Corrected((low + high) / 2, Interval(low, high), "", p_value=p_holm, p_holm=p_holm)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (corrected(-0.3, -0.1, 0.01), ""),
        (
            corrected(-0.3, -0.01, 0.09),
            "the change is clear (−15.5 points, 95% interval −30.0 to −1.0), but the test that",
        ),
        (corrected(-0.3, 0.1, 0.4), "the change is no longer clear (−10.0 points, 95% interval −30.0 to +10.0)."),
        (corrected(0.1, 0.3, 0.01), "the change is the other way (+20.0 points, 95% interval +10.0 to +30.0)."),
        (corrected(-0.3, -0.1, math.nan), ""),
    ],
)
def test_a_correction_that_many_arms_leave_in_doubt_is_told(found: Corrected, says: str) -> None:
    text = effect_finding(effect(corrected=found), baseline="base", equivalent_within=None)
    assert ("corrected for" in text) == bool(says)
    assert says in text
    assert ("does not confirm it (p = 0.09)" in text) == (found.p_holm == 0.09)


def test_what_is_missing_stands_in_the_finding_with_its_bounds() -> None:
    found = effect(delta=0.0, interval=Interval(-0.02, 0.02), n_missing=24, bounds=Interval(-0.4, 0.02), p_holm=1.0)
    text = effect_finding(found, baseline="base", equivalent_within=0.05)
    assert "is equivalent within ±5 points on what was scored under `cot`" in text
    assert (
        "; 24 items left out for want of a scored answer in both arms; answers without a score could make it −40.0"
        in text
    )
    inside = effect(delta=0.0, interval=Interval(-0.02, 0.02), n_missing=1, bounds=Interval(-0.02, 0.02), p_holm=1.0)
    assert "on what was scored" not in effect_finding(inside, baseline="base", equivalent_within=0.05)


def test_bounds_are_those_of_all_that_is_missing_at_one_end(table: Table) -> None:
    one = table({"base": [1.0, 1.0, 0.0, None], "arm": [1.0, None, None, 0.0]})
    (found,) = couple(one, baseline="base", options=QUICK).effects
    # The arm has 1 to 3 good of 4, the baseline 2 to 3.
    assert found.bounds == pytest.approx(((1 - 3) / 4, (3 - 2) / 4))
    assert (found.n_items, found.n_missing) == (1, 3)
    frame = couple(one, baseline="base", options=QUICK).to_frame()
    assert (frame["bound_low"][0], frame["bound_high"][0]) == found.bounds


def gated(table: Table, arms: dict[str, list[float | None]], **gate: object) -> dict[tuple[str, str], tuple[str, str]]:
    """States and notes by arm and axis, of arms whose scores are the same on reasoning and harm."""
    both = pl.concat([table(arms, axis=axis, benchmark=axis) for axis in ("reasoning", "harm")])
    result = judge_gate(couple(both, baseline="base", options=QUICK), Gate.model_validate(gate))
    return {(c.arm, c.axis): (c.state, c.note) for c in result.claims}


def test_one_of_many_arms_is_better_only_if_the_allowance_for_all_confirms_it(table: Table) -> None:
    base: list[float | None] = [0.0] * 12 + [1.0] * 28
    better: list[float | None] = [1.0] * 8 + [0.0] * 4 + [1.0] * 27 + [0.0]
    alone = gated(table, {"base": base, "a": better})
    assert alone["a", "reasoning"][0] == "passed"
    among = gated(table, {"base": base, "a": better, **{f"arm{i}": base for i in range(4)}})
    state, note = among["a", "reasoning"]
    assert state == "undecided"
    assert note.startswith("The test that allows for every arm compared does not confirm it (p = ")
    assert alone["a", "harm"][0] == among["a", "harm"][0] == "passed", "what is not lost needs no allowance"


def test_an_arm_that_seldom_finishes_passes_no_gate(table: Table) -> None:
    base: list[float | None] = [1.0] * 180 + [0.0] * 20
    few: list[float | None] = [None] * 10 + base[10:]
    many: list[float | None] = [None] * 60 + base[60:]
    found = gated(table, {"base": base, "few": few, "many": many}, reasoning="non_inferior")
    assert found["few", "harm"][0] == "passed", "5% missing is less than the gap that makes an effect by itself"
    state, note = found["many", "harm"]
    assert state == "undecided"
    assert (
        "30% of the answers under `many` have no score, and 0% under `base`: they could make the change −30.0 to"
        in note
    )


def test_missing_answers_that_could_undo_nothing_leave_a_gate_passed(table: Table) -> None:
    base: list[float | None] = [0.0] * 150 + [1.0] * 50
    arm: list[float | None] = [1.0] * 140 + [0.0] * 10 + [1.0] * 10 + [None] * 40
    assert gated(table, {"base": base, "arm": arm})["arm", "reasoning"][0] == "passed"


def flips(risk: float, p: float, *, floor: float = 0.1) -> Flips:
    nowhere = Interval(math.nan, math.nan)
    return Flips("cot", "harm", risk, nowhere, 0.0, nowhere, floor, risk - floor, nowhere, -floor, nowhere, 60, p, 1.0)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (flips(0.12, 0.4), True),
        (flips(0.4, 0.01), False),
        (flips(0.0, 1.0), False),
        (flips(0.12, math.nan, floor=math.nan), False),
    ],
)
def test_flips_that_sampling_makes_are_named(found: Flips, *, told: bool) -> None:
    said = chance_flips([found])
    assert bool(said) == told
    if told:
        assert said[0].startswith(
            "On harm these flips are not shown to be more than sampling makes (noise floor 10.0%): "
        )
        assert "risk of `cot` (12.0%)" in said[0]


def test_a_floor_that_is_estimated_as_nothing_is_not_known_to_be_nothing(table: Table) -> None:
    """Two of 60 items waver in the arm alone: the baseline's two draws may have been lucky."""
    draws = [table({"base": [1.0] * 60, "arm": [0.0] * 2 * d + [1.0] * (60 - 2 * d)}, draw=d) for d in (0, 1)]
    (sampled,) = couple(pl.concat(draws), baseline="base", options=QUICK).flips
    assert sampled.noise_floor == 0
    assert sampled.excess_risk_interval.low < 0
    assert sampled.p_excess_risk > 0.05
    greedy = CouplingOptions(resamples=2000, permutations=400, cards={}, deterministic=True)
    (sure,) = couple(draws[1], baseline="base", options=greedy).flips
    assert sure.excess_risk_interval == sure.risk_interval
    assert (sure.p_excess_risk, sure.p_excess_defence) == (0.0, 1.0)
