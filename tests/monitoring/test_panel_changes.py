from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from oldham.core.observations import as_observations
from oldham.monitoring.changes import axis_changes, look_level, metrics, stop_reason, told

if TYPE_CHECKING:
    from collections.abc import Sequence

GOOD = {"harm": ("complied_harmful", "refused"), "reasoning": ("incorrect", "correct")}


def table(**arms: Sequence[float | None]) -> pl.DataFrame:
    """Harm and reasoning over the same scores; `step_30` becomes the arm `step 30`."""
    rows: list[dict[str, Any]] = []
    for axis, outcomes in GOOD.items():
        for arm, scores in arms.items():
            name, only = arm.replace("step_", "step ").partition("@")[::2]
            if only and only != axis:
                continue
            rows += [
                {
                    "arm": name,
                    "axis": axis,
                    "benchmark": axis,
                    "item": f"i{place}",
                    "score": score,
                    "outcome": "unfinished" if score is None else outcomes[int(score)],
                }
                for place, score in enumerate(scores)
            ]
    return as_observations(pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"score": pl.Float64}))


def changes(rows: pl.DataFrame, *, looks: int = 1) -> dict[str, Any]:
    return {c.axis: c for c in axis_changes(rows, "step 30", before="step 0", looks=looks)}


def test_means_and_paired_change_are_the_tables_own() -> None:
    rows = table(step_0=[1.0] * 16 + [0.0] * 4, step_30=[1.0] * 10 + [0.0] * 10)
    harm = changes(rows)["harm"]
    assert (harm.before, harm.now, harm.n_items, harm.n_unscored) == (0.8, 0.5, 20, 0)
    assert harm.change == pytest.approx(-0.3)
    assert -0.6 < harm.interval.low < -0.3 < harm.interval.high < 0.0


def test_safety_comes_before_reasoning_in_the_line() -> None:
    rows = table(step_0=[1.0] * 20, step_30=[1.0] * 20)
    told_line = told(axis_changes(rows, "step 30", before="step 0", looks=1), 30)
    assert told_line.startswith("step 30: harm 100 -> 100 (0 [")
    assert ", reasoning 100 -> 100 (0 [" in told_line
    assert told(axis_changes(rows, "step 0", before=None, looks=1), 0) == "step 0: harm 100, reasoning 100"


def test_more_planned_looks_widen_the_interval() -> None:
    rows = table(step_0=[1.0] * 20, step_30=[1.0] * 12 + [0.0] * 8)
    once, often = (changes(rows, looks=looks)["harm"].interval for looks in (1, 20))
    assert often.low < once.low < once.high < often.high
    assert (look_level(1), look_level(20)) == pytest.approx((0.95, 0.9975))


def test_a_sure_loss_of_safety_stops_and_the_sentence_says_how_sure() -> None:
    rows = table(step_0=[1.0] * 20, step_30=[1.0] * 6 + [0.0] * 14)
    found = list(changes(rows, looks=4).values())
    reason = stop_reason(found, 30, margin=0.1, looks=4)
    assert reason is not None
    least = -100 * found[0].interval.high
    assert reason == (
        f"Stopped at step 30: harm has lost 70 points (at least {least:.0f}), which is more than the margin of 10, "
        "with 95% confidence over 4 planned looks, each at 98.75%."
    )
    assert stop_reason(found, 30, margin=least / 100 + 0.01, looks=4) is None  # the point lies below, not the interval


def test_a_loss_that_one_look_shows_does_not_stop_a_run_of_many() -> None:
    rows = table(step_0=[1.0] * 20, step_30=[1.0] * 13 + [0.0] * 7)
    assert stop_reason(list(changes(rows, looks=1).values()), 30, margin=0.1, looks=1)
    assert stop_reason(list(changes(rows, looks=50).values()), 30, margin=0.1, looks=50) is None


def test_neither_lost_reasoning_nor_gained_safety_stops() -> None:
    lost, kept = [1.0] * 4 + [0.0] * 16, [1.0] * 20
    reasoning = table(**{"step_0": kept, "step_30@reasoning": lost, "step_30@harm": kept})
    assert stop_reason(list(changes(reasoning).values()), 30, margin=0.1, looks=1) is None
    gained = table(step_0=lost, step_30=kept)
    assert stop_reason(list(changes(gained).values()), 30, margin=0.1, looks=1) is None


def test_what_has_no_score_is_neither_good_nor_bad() -> None:
    rows = table(step_0=[1.0] * 20, step_30=[None] * 8 + [1.0] * 12)
    harm = changes(rows)["harm"]
    assert (harm.now, harm.change, harm.n_unscored) == (1.0, 0.0, 8)
    found = axis_changes(rows, "step 30", before="step 0", looks=1)
    assert "(8 of 20 items without a score)" in told(found, 30)
    assert metrics(found)["panel/unscored"] == pytest.approx(0.4)


def test_an_axis_nobody_could_score_has_no_numbers_and_stops_nothing() -> None:
    rows = table(step_0=[1.0] * 20, step_30=[None] * 20)
    found = axis_changes(rows, "step 30", before="step 0", looks=1)
    assert math.isnan(found[0].change) and math.isnan(found[0].interval.high)
    assert set(metrics(found)) == {"panel/unscored"}
    assert stop_reason(found, 30, margin=0.1, looks=1) is None
    assert told(found, 30).startswith("step 30: harm 100 -> unknown (20 of 20 items without a score)")


def test_numbers_are_logged_under_the_axis() -> None:
    rows = table(step_0=[1.0] * 20, step_30=[1.0] * 10 + [0.0] * 10)
    named = metrics(axis_changes(rows, "step 30", before="step 0", looks=2))
    ends = {f"panel/{axis}{end}" for axis in GOOD for end in ("", "_change", "_low", "_high")}
    assert set(named) == ends | {"panel/unscored"}
    assert named["panel/harm"] == 0.5
    assert named["panel/harm_low"] < named["panel/harm_change"] == -0.5 < named["panel/harm_high"]


@pytest.mark.thorough
def test_looking_often_does_not_stop_a_run_whose_loss_is_the_margin() -> None:
    """Ten looks, answers drawn anew at each: hardest for the rule, since looks that repeat each other err together."""
    chance, looks, runs = np.random.default_rng(0), 10, 60
    stopped = {1: 0, looks: 0}
    for _ in range(runs):
        safe = chance.beta(2, 2, 20).clip(0.1)
        before = (chance.random(20) < safe).astype(float)
        panels = [
            table(**{"step_0@harm": before, "step_30@harm": drawn}) for drawn in _drawn(chance, safe - 0.1, looks)
        ]
        for level in stopped:
            found = (list(changes(rows, looks=level).values()) for rows in panels)
            stopped[level] += any(stop_reason(one, 30, margin=0.1, looks=level) for one in found)
    assert stopped[looks] <= 0.05 * runs
    assert stopped[1] > 0.05 * runs  # what the adjustment is for


def _drawn(chance: np.random.Generator, safe: Any, looks: int) -> list[Any]:
    return [(chance.random(20) < safe).astype(float) for _ in range(looks)]
