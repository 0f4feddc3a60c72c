"""The coupling coefficient of a table: families, rates, ranks, and what is said of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from scipy.stats import kendalltau

from oldham.coupling import Coupling, CouplingOptions, couple
from oldham.coupling.coefficient import EVERY_ARM, kendall
from oldham.coupling.coefficient_text import (
    AS_JUDGED,
    _likeliest,
    coefficient_lines,
    exchange_sentence,
    price_lines,
    quadrant_lines,
    slope_sentence,
)
from oldham.coupling.meta_models import pool_kappa, shared_items
from oldham.coupling.slope import Points

if TYPE_CHECKING:
    from conftest import Table

N = 200
OPTIONS = CouplingOptions(resamples=500, permutations=200, cards={})


def scores(good: int, n: int = N) -> list[float | None]:
    return [float(i < good) for i in range(n)]


def study(table: Table, good: dict[str, tuple[int, int]], n: int = N, **columns: object) -> pl.DataFrame:
    """One row an arm, item and axis; of each arm so many are good on reasoning and on harm."""
    parts = [
        table({arm: scores(g[k], n) for arm, g in good.items()}, axis=axis, benchmark=axis, **columns)
        for k, axis in enumerate(("reasoning", "harm"))
    ]
    return pl.concat(parts)


def found(frame: pl.DataFrame, baseline: str = "base") -> Coupling:
    return couple(frame, baseline=baseline, options=OPTIONS)


def test_arms_on_a_line_give_its_slope(table: Table) -> None:
    frame = study(table, {"base": (60, 180), "a": (80, 160), "b": (100, 140), "c": (120, 120)})
    (c,) = found(frame).coefficients
    assert (c.family, c.axis, c.start, c.arms, c.left_out) == (EVERY_ARM, "harm", "base", ("a", "b", "c"), ())
    assert c.kappa == pytest.approx(-1.0, abs=1e-6)
    assert c.angle == pytest.approx(-45.0, abs=1e-5)
    assert c.interval.low < -1 < c.interval.high < 0
    assert c.kendall == -1.0
    assert c.heterogeneity.q == pytest.approx(0.0, abs=1e-6)
    assert c.heterogeneity.degrees == 2
    assert (c.n_reasoning, c.n_safety, c.n_clusters) == (N, N, N)
    said = coefficient_lines([c])
    assert said[0].startswith("Over the 3 arms, each point of correct reasoning gained goes with")
    assert "1.00 points lower (κ −1.00, 95% interval" in said[0]
    assert said[1].startswith("No detectable departure of the 3 arms from one κ")
    assert len(said) == 2, "three arms are too few to be ranked"


def test_a_single_arm_has_the_ratio_of_its_changes(table: Table) -> None:
    (c,) = found(study(table, {"base": (60, 180), "a": (100, 160)})).coefficients
    assert c.kappa == pytest.approx(-0.5, abs=1e-6)
    assert c.exchange[0].rate == pytest.approx(0.5, abs=1e-6)
    assert c.exchange[0].interval == pytest.approx((-c.interval.high, -c.interval.low))
    assert math.isnan(c.kendall)
    assert math.isnan(c.heterogeneity.q)
    said = exchange_sentence(c.exchange[0], c)
    assert said.startswith("Under `a`, each point of correct reasoning gained goes with")
    assert "0.50 points lower" in said


def test_a_gain_that_its_test_does_not_confirm_has_no_price(table: Table) -> None:
    account = found(study(table, {"base": (60, 180), "a": (100, 160)}))
    assert price_lines(account.coefficients, account.effects)[0].startswith("Under `a`, each point")
    doubted = [replace(e, p_holm=0.06) if e.axis == "reasoning" else e for e in account.effects]
    assert price_lines(account.coefficients, doubted) == [
        "No exchange rate under `a`: correct reasoning has not clearly changed there."
    ]


def test_arms_that_trade_differently_are_told_apart(table: Table) -> None:
    frame = study(table, {"base": (60, 180), "a": (120, 170), "b": (80, 60)})
    (c,) = found(frame).coefficients
    assert c.heterogeneity.p_value < 0.001
    assert c.heterogeneity.i_squared > 0.9
    assert "One κ does not fit the 2 arms" in coefficient_lines([c])[1]


def test_reasoning_that_stays_has_an_angle_and_no_rate(table: Table) -> None:
    (c,) = found(study(table, {"base": (100, 180), "a": (101, 100), "b": (99, 80)})).coefficients
    assert c.interval == (-math.inf, math.inf)
    assert c.has_slope
    assert not c.is_bounded
    assert all(e.rate is None and e.interval is None for e in c.exchange)
    assert math.isnan(c.standard_error)
    assert "correct reasoning too little beside it for a rate (angle" in slope_sentence(c)
    assert "there is no exchange rate" in exchange_sentence(c.exchange[0], c)


def test_nothing_that_moved_has_no_direction(table: Table) -> None:
    (c,) = found(study(table, {"base": (100, 100), "a": (101, 99), "b": (99, 100)})).coefficients
    assert not c.has_moved
    assert not c.has_slope
    assert c.angle_interval.high - c.angle_interval.low == pytest.approx(180)
    said = coefficient_lines([c])
    assert len(said) == 1
    assert said[0].startswith("No slope can be told over the 2 arms against correct reasoning for")


def test_equal_arms_are_unknown_and_not_zero(table: Table) -> None:
    (c,) = found(study(table, {"base": (100, 100), "a": (100, 100)})).coefficients
    assert math.isnan(c.kappa)
    assert math.isnan(c.angle_interval.low)


def test_an_arm_without_a_score_is_left_out(table: Table) -> None:
    frame = study(table, {"base": (60, 180), "a": (100, 140), "b": (80, 160)})
    lost = (pl.col("arm") == "b") & (pl.col("axis") == "harm")
    score = pl.when(lost).then(None).otherwise("score").alias("score")
    outcome = pl.when(lost).then(pl.lit("unfinished")).otherwise("outcome").alias("outcome")
    (c,) = found(frame.with_columns(score, outcome)).coefficients
    assert (c.arms, c.left_out) == (("a",), ("b",))
    assert coefficient_lines([c])[-1].startswith("Left out of ")
    assert "over `a`: `b`, of which not both changes" in coefficient_lines([c])[-1]
    only = frame.with_columns(
        pl.when(pl.col("axis") == "harm").then(None).otherwise("score").alias("score"),
        pl.when(pl.col("axis") == "harm").then(pl.lit("unfinished")).otherwise("outcome").alias("outcome"),
    )
    (c,) = found(only).coefficients
    assert c.arms == ()
    assert math.isnan(c.kappa)
    assert slope_sentence(c).startswith("Nothing can be said")


def test_an_arm_with_a_benchmark_of_one_cluster_is_left_out_and_does_not_move_the_others(table: Table) -> None:
    frame = study(table, {"base": (60, 180), "a": (80, 160), "b": (90, 150)})
    lone = table({arm: scores(5, 10) for arm in ("base", "b")}, axis="reasoning", benchmark="second", cluster="one")
    (c,) = found(pl.concat([frame, lone], how="diagonal")).coefficients
    assert (c.arms, c.left_out) == (("a",), ("b",))
    assert c.kappa == pytest.approx(-1.0, abs=1e-6)
    assert c.is_bounded
    assert "over `a`: `b`, of which not both changes" in coefficient_lines([c])[-1]


def test_without_reasoning_there_is_no_coefficient(table: Table) -> None:
    assert found(table({"base": scores(180), "a": scores(100)})).coefficients == ()


def test_doses_make_a_family_from_their_own_start(table: Table) -> None:
    doses = {"none": 0.0, "low": 1.0, "high": 2.0}
    frame = study(table, {"base": (60, 180), "none": (60, 160), "low": (80, 150), "high": (120, 130)})
    dosed = frame.with_columns(
        pl.col("arm").replace_strict(doses, default=None, return_dtype=pl.Float64).alias("dose"),
        pl.when(pl.col("arm") == "base").then(None).otherwise(pl.lit("sft")).alias("intervention"),
    )
    everything, family = found(dosed).coefficients
    assert everything.arms == ("none", "low", "high")
    assert (family.family, family.start, family.arms) == ("sft", "none", ("low", "high"))
    assert family.kappa == pytest.approx(-0.5, abs=1e-6), "against the arm of dose 0, not against the baseline"
    assert "the 2 doses of `sft` from `none`" in slope_sentence(family), "κ of a family is from its own start"


def test_one_dose_is_no_family_and_a_family_of_every_arm_is_told_once(table: Table) -> None:
    frame = study(table, {"base": (60, 180), "low": (80, 160), "high": (120, 120)})
    one = frame.with_columns(
        pl.when(pl.col("arm") == "low").then(1.0).alias("dose"),
        pl.when(pl.col("arm") == "low").then(pl.lit("sft")).alias("intervention"),
    )
    assert [c.family for c in found(one).coefficients] == [EVERY_ARM]
    two = frame.with_columns(
        pl.col("arm").replace_strict({"low": 1.0, "high": 2.0}, default=None, return_dtype=pl.Float64).alias("dose"),
        pl.when(pl.col("arm") == "base").then(None).otherwise(pl.lit("sft")).alias("intervention"),
    )
    both = found(two).coefficients
    assert [c.family for c in both] == [EVERY_ARM, "sft"]
    assert coefficient_lines(both) == coefficient_lines(both[:1])


def test_the_order_of_rows_changes_nothing_and_the_seed_decides(table: Table) -> None:
    frame = study(table, {"base": (60, 180), "a": (80, 170), "b": (100, 140)})
    (c,), (d,) = found(frame).coefficients, found(frame.reverse()).coefficients
    assert (c.kappa, *c.interval, c.heterogeneity.q) == pytest.approx(
        (d.kappa, *d.interval, d.heterogeneity.q), rel=1e-9
    )
    assert found(frame).coefficients == found(frame).coefficients


def test_taus_are_scipys() -> None:
    rng = np.random.default_rng(3)
    across, up = rng.integers(0, 4, (2, 40, 5)) / 4.0
    clouds = (across, up)
    for row in range(40):
        points = Points(across[row], up[row], *clouds, np.ones(5), np.ones(5), 99, 98.0, 0.99)
        value, _ = kendall(points)
        expected = kendalltau(across[row], up[row]).statistic
        assert value == pytest.approx(expected, nan_ok=True)


def test_arms_share_their_baseline_and_so_their_errors(table: Table) -> None:
    """Two arms that gave the same answers say no more than one, and their interval is as wide."""
    one = found(study(table, {"base": (60, 180), "a": (90, 150)})).coefficients[0]
    two = found(study(table, {"base": (60, 180), "a": (90, 150), "b": (90, 150)})).coefficients[0]
    assert two.interval == pytest.approx(one.interval, rel=1e-6)


def test_full_summary_tells_it(table: Table) -> None:
    coupling = found(study(table, {"base": (60, 180), "a": (100, 140)}))
    text = " ".join(coupling.summary(full=True).split())
    assert "How are the two coupled?" in text
    assert text.count(AS_JUDGED) == 1
    assert AS_JUDGED not in found(table({"base": scores(180), "a": scores(100)})).summary(full=True)


def test_models_are_pooled_from_their_couplings(table: Table) -> None:
    runs = {
        name: found(study(table, {"base": (60, 180), "a": (100, 180 - lost)}))
        for name, lost in (("m1", 40), ("m2", 20), ("m3", 30))
    }
    pooled = pool_kappa(runs, "harm")
    assert [m.study.value for m in pooled.members] == pytest.approx([-1.0, -0.5, -0.75], abs=1e-6)
    assert -1 < pooled.value < -0.5


def test_items_in_common_are_counted(table: Table) -> None:
    frame = study(table, {"base": (60, 180), "a": (100, 140)})
    other = frame.filter(pl.col("item") < "i050")
    assert shared_items([frame, other]) == 100
    apart = other.with_columns(benchmark=pl.lit("x"))
    assert shared_items([frame, apart]) == 0
    assert shared_items([frame, other, apart]) == 100, "two models that share items are enough to share their luck"


def test_slopes_of_which_nothing_can_be_told_share_a_sentence(table: Table) -> None:
    arms = {"base": scores(100), "a": scores(101)}
    axes = ("reasoning", "harm", "overrefusal")
    coupling = found(pl.concat([table(arms, axis=axis, benchmark=axis) for axis in axes]))
    (said,) = coefficient_lines(coupling.coefficients)
    assert said.startswith("No slope can be told over `a` against correct reasoning for ")
    assert said.count(f"({N} items of reasoning and {N} of safety)") == 2
    assert said.endswith("on each, all changes together are no more than sampling gives.")


def test_a_direction_is_sure_only_where_both_changes_are_confirmed(table: Table) -> None:
    clear = found(study(table, {"base": (60, 180), "a": (100, 140)}))
    (said,) = quadrant_lines(clear)
    assert said.startswith("`a` on harm: trade-off (100% of resamples; reasoning +20.0, harm −20.0)")
    # Six items gained: all resamples but a few gain, and yet the change of reasoning is not confirmed among two arms.
    close = found(study(table, {"base": (60, 180), "a": (66, 140), "b": (61, 180)}))
    assert close.plane[0].quadrants["trade-off"] > 0.95
    assert max(e.p_holm for e in close.effects if (e.arm, e.axis) == ("a", "reasoning")) >= 0.05
    (said,) = quadrant_lines(close)
    assert said.startswith("On harm no direction is sure; likeliest, with its share of the resamples: `a` trade-off ")


def test_a_direction_that_is_unknown_or_nowhere_is_said_to_be() -> None:
    assert _likeliest("synergy", math.nan) == "unknown"
    assert _likeliest("synergy", 0.3) == "none reaches half"
