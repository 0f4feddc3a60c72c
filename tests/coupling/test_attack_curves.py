"""Time to success, dose curves and the length of traces."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from attack_ladders import BAD, GOOD, ladder_of
from scipy.stats import norm

from oldham.core.errors import ConfigError
from oldham.coupling.attack_curves import survival_steps

if TYPE_CHECKING:
    from conftest import Table

REMISSION = [6, 6, 6, 7, 10, 13, 16, 22, 23]
STILL_IN_REMISSION = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
"""Weeks of remission under 6-mercaptopurine (Freireich et al. 1963), the example of Kalbfleisch and Prentice."""


def remissions(table: Table) -> pl.DataFrame:
    times = [*REMISSION, *STILL_IN_REMISSION]
    scores: list[float | None] = [*[BAD] * len(REMISSION), *[GOOD] * len(STILL_IN_REMISSION)]
    return table({"direct": scores}, attack="pair", queries=lambda i: times[i])


def test_queries_to_success_are_the_textbook_curve(table: Table) -> None:
    (curve,) = ladder_of(remissions(table)).survival
    told = {step.time: round(step.survival, 3) for step in curve.steps}
    assert told == {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert [step.n_at_risk for step in curve.steps] == [21, 17, 15, 12, 11, 7, 6]
    assert [step.n_fell for step in curve.steps] == [3, 1, 1, 1, 1, 1, 1]
    assert (curve.unit, curve.median, curve.last) == ("queries", 23, 35)
    assert (curve.n_items, curve.n_events, curve.n_missing) == (21, 9, 0)
    assert curve.median_interval.low == 13  # as R's survfit gives it with conf.type = "log-log"
    assert math.isnan(curve.median_interval.high)


def test_the_band_is_the_exponential_greenwood(table: Table) -> None:
    (curve,) = ladder_of(remissions(table)).survival
    step = curve.steps[1]
    error = math.sqrt(3 / (21 * 18) + 1 / (17 * 16)) / abs(math.log(step.survival))
    ends = [step.survival ** math.exp(side * norm.ppf(0.975) * error) for side in (1, -1)]
    assert tuple(step.interval) == pytest.approx(tuple(ends))


def test_once_nothing_stands_the_band_ends_at_nothing() -> None:
    (step,) = survival_steps(np.array([1.0, 1.0]), np.array([True, True]))
    assert (step.survival, step.interval.low) == (0, 0)
    assert math.isnan(step.interval.high)
    assert list(survival_steps(np.array([3.0]), np.array([False]))) == []


def drawn(table: Table, *items: str, **columns: Any) -> pl.DataFrame:
    """One item a word: its draws in order, `x` for a success, `.` for a failure, `?` for no score."""
    values = {"x": BAD, ".": GOOD, "?": None}
    most = max(map(len, items))
    tables = [table({"direct": [values[i.ljust(most)[d]] if d < len(i) else 9.0 for i in items]}, attack="a", draw=d,
                    **columns) for d in range(most)]  # fmt: skip
    return pl.concat(tables, how="diagonal_relaxed").filter(pl.col("score").is_null() | (pl.col("score") < 9))


def test_draws_to_success_are_censored_at_the_last_draw_and_before_a_missing_one(table: Table) -> None:
    (curve,) = ladder_of(drawn(table, "x...", ".x..", "...x", "....", "..", ".?x.", "?x..")).survival
    assert (curve.unit, curve.n_items, curve.n_events, curve.n_missing) == ("draws", 6, 3, 1)
    assert [(s.time, s.n_at_risk) for s in curve.steps] == [(1, 6), (2, 4), (4, 2)]
    assert [s.survival for s in curve.steps] == pytest.approx([5 / 6, 5 / 6 * 3 / 4, 5 / 6 * 3 / 4 / 2])
    assert (curve.median, curve.last) == (4, 4)


def test_a_curve_that_stays_above_one_half_has_no_median(table: Table) -> None:
    (curve,) = ladder_of(drawn(table, "x.", "..", "..")).survival
    assert math.isnan(curve.median)
    (flat,) = ladder_of(drawn(table, "..", "..")).survival
    assert (flat.steps, flat.n_events, flat.last) == ((), 0, 2)
    (half,) = ladder_of(drawn(table, "x.", "..")).survival
    assert half.median == 1


def test_an_adaptive_attack_with_several_draws_starts_anew(table: Table) -> None:
    (curve,) = ladder_of(drawn(table, ".x", "x.", "..", ".?", queries=lambda i: 10 + i)).survival
    assert curve.unit == "queries"
    assert [(s.time, s.n_at_risk) for s in curve.steps] == [(11, 4), (20, 2)]  # the item `.?` is gone after 13
    assert curve.last == 24


def test_single_tries_have_no_curve_and_clusters_are_told(table: Table) -> None:
    assert ladder_of(table({"direct": [BAD, GOOD]}, attack="a")).survival == ()
    ladder = ladder_of(drawn(table, "x.", "..", "..", cluster="one"))
    assert ladder.survival[0].n_clusters == 1
    assert any("share clusters" in told for told in ladder.caveats)


def test_dose_curves_hold_the_cells_in_the_order_of_doses(table: Table) -> None:
    tables = [
        table(
            {"direct": [BAD] * bad + [GOOD] * (9 - bad) + [None], "cot": [GOOD] * 10},
            attack=f"prefill[tokens={k}]",
            technique="prefill",
            attack_dose=float(k),
        )
        for k, bad in ((5, 1), (40, 9), (10, 3))
    ]
    lone = table({"direct": [BAD]}, attack="many_shot", technique="many_shot", attack_dose=8.0)
    ladder = ladder_of(*tables, lone)
    of_direct = [d for d in ladder.doses if d.arm == "direct"]
    assert [(d.dose, d.attack) for d in of_direct] == [(k, f"prefill[tokens={k}]") for k in (5, 10, 40)]
    assert [d.bad_share for d in of_direct] == pytest.approx([1 / 9, 3 / 9, 1])
    assert {(d.technique, d.n_items, d.n_missing) for d in of_direct} == {("prefill", 9, 1)}
    cells = {(c.arm, c.attack): c.interval for c in ladder.cells}
    assert all(d.interval == cells[d.arm, d.attack] for d in ladder.doses)


def test_traces_grow_item_by_item_whatever_was_judged(table: Table) -> None:
    none = table({"direct": [GOOD] * 6, "cot": [GOOD] * 6}, trace_tokens=lambda i: 100 + 10 * i)
    hit = table(
        {"direct": [GOOD] * 6, "cot": [GOOD, GOOD, None, None, BAD, BAD]},
        attack="decoy",
        trace_tokens=lambda i: None if i == 5 else 400 + 20 * i,
        trace_stop=lambda i: "budget_forced" if i in (2, 3) else "stop",
    )
    cost = next(c for c in ladder_of(none, hit).costs if c.arm == "cot")
    assert cost.change.delta == pytest.approx(np.mean([300, 310, 320, 330, 340]))
    assert (cost.before, cost.counted, cost.n_cut) == (120, "trace_tokens", 2)
    assert (cost.change.n_items, cost.change.n_missing) == (5, 1)
    assert cost.change.p_value == pytest.approx(2 / 2**5)
    assert 0 < cost.change.interval.low < 320 < cost.change.interval.high


def test_reported_thinking_stands_in_where_no_trace_is_counted(table: Table) -> None:
    tables = [
        table({"direct": [GOOD] * 3}, attack=a, realised_thinking_tokens=lambda i, n=n: n + i)
        for a, n in (("none", 50), ("decoy", 80))
    ]
    (cost,) = ladder_of(*tables).costs
    assert (cost.counted, cost.change.delta) == ("realised_thinking_tokens", 30)
    assert ladder_of(table({"direct": [GOOD]}), table({"direct": [BAD]}, attack="a")).costs == ()


def test_every_table_becomes_a_frame(table: Table) -> None:
    tables = [
        table(
            {"direct": [BAD, GOOD, GOOD, None], "cot": [GOOD, BAD, BAD, BAD]},
            attack=attack,
            technique=attack.partition("[")[0],
            attack_dose=dose,
            draw=draw,
            trace_tokens=7,
        )
        for attack, dose in (
            ("none", None),
            ("distractor_padding[words=9]", 9.0),
            ("distractor_padding", 500.0),
            ("filler_padding", 500.0),
        )  # fmt: skip
        for draw in (0, 1)
    ]
    ladder = ladder_of(*tables)
    own = ("cells", "tries", "worst", "powers", "interactions", "changes", "transfers", "doses", "controls", "costs")
    for name in own:
        frame = ladder.to_frame(name)  # type: ignore[arg-type]
        assert frame.height == len(getattr(ladder, name)) > 0, name
    assert ladder.to_frame().row(0, named=True)["low"] == ladder.cells[0].interval.low
    worst = ladder.to_frame("worst")
    assert worst["change_delta"].null_count() == 1
    assert worst["attacks"].to_list()[0] == list(ladder.attacks)
    assert ladder.to_frame("survival").height == sum(max(len(s.steps), 1) for s in ladder.survival)
    nothing = ladder_of(table({"direct": [GOOD]}, attack="a"))
    assert nothing.to_frame("powers").columns == ladder.to_frame("powers").columns
    assert nothing.to_frame("survival").columns == ladder.to_frame("survival").columns
    with pytest.raises(ConfigError, match="no table `power`"):
        ladder.to_frame("power")  # type: ignore[arg-type]
