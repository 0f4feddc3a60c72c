"""Doses where something is missing, runs the other way or hangs on chance: nothing unknown may pass for safe."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from dose_rows import BASE, dose_table, ladder

from oldham.coupling import CouplingOptions
from oldham.coupling.dynamics import DoseOptions, dose_dynamics

if TYPE_CHECKING:
    from oldham.coupling.dynamics_results import Dynamics

QUICK = CouplingOptions(resamples=1000, permutations=1000)
TRAINING = {"sft": {"control": None}, "prose": {"control": "text"}}


def follow(table: pl.DataFrame, **wanted: Any) -> Dynamics:
    return dose_dynamics(table, baseline="base", options=QUICK, wanted=DoseOptions(**wanted))


def said(found: Dynamics) -> str:
    return found.summary().replace("\n  ", " ")


def unscored(table: pl.DataFrame, where: pl.Expr) -> pl.DataFrame:
    """Take scores out, as of answers that were cut off."""
    return table.with_columns(
        pl.when(where).then(pl.lit("unfinished")).otherwise("outcome").alias("outcome"),
        pl.when(where).then(None).otherwise("score").alias("score"),
    )


def of(arm: str, axis: str) -> pl.Expr:
    return (pl.col("arm") == arm) & (pl.col("axis") == axis)


SAFE = {**BASE, **ladder("sft", [(10, 0.2, 0.0), (20, 0.3, 0.0)])}


def test_an_axis_without_any_scored_answer_leaves_no_free_range() -> None:
    table = dose_table(SAFE, n=400)
    harm = table.filter(pl.col("axis") == "harm")
    words = pl.when(pl.col("score") > 0).then(pl.lit("withheld")).otherwise(pl.lit("leaked")).alias("outcome")
    privacy = harm.with_columns(words, axis=pl.lit("privacy"), benchmark=pl.lit("privacy"))
    assert follow(pl.concat([table, privacy])).paths[0].free.dose == 20.0
    dark = unscored(privacy, pl.col("arm") != "base")
    for rows in (dark, dark.filter(pl.col("arm") == "base")):  # asked and cut off, or asked of the start alone
        found = follow(pl.concat([table, rows]))
        path = found.paths[0]
        assert path.axes == ("reasoning", "harm", "privacy")
        assert math.isnan(path.free.dose)
        assert [c.state for c in path.critical] == ["none", "unknown"]
        assert "At dose 10 nothing sure is known of keeping private data back." in said(found)


def test_a_dose_without_scored_answers_leaves_the_critical_dose_open_and_is_named() -> None:
    found = follow(unscored(dose_table(SAFE, n=400), of("sft/20", "harm")))
    (critical,) = found.paths[0].critical
    assert (critical.state, critical.items_needed, math.isnan(critical.open_dose)) == ("open", None, True)
    assert "At dose 20 nothing sure is known: too few items have a scored answer" in said(found)
    arms = {**BASE, **ladder("sft", [(10, 0.1, -0.1), (20, 0.1, -0.4)])}
    found = follow(unscored(dose_table(arms), of("sft/10", "harm")))
    assert found.paths[0].critical[0].dose == 20.0
    assert "At dose 10 nothing sure is known" in said(found)


def test_doses_on_different_benchmarks_are_told() -> None:
    table = dose_table(SAFE)
    more = table.filter(pl.col("axis") == "harm").with_columns(benchmark=pl.lit("other"))
    assert not any("different benchmarks" in note for note in follow(pl.concat([table, more])).notes)
    found = follow(pl.concat([table, unscored(more, of("sft/20", "harm"))]))
    assert any("On harm the doses of `sft` rest on different benchmarks (on harm, or" in n for n in found.notes)


AREA = [(1, -0.2, 0.05), (2, -0.28, 0.1)]


def test_a_way_out_that_loses_reasoning_turns_the_sign_of_the_area_round() -> None:
    """Back at reasoning −20 refusal lies 40 points lower where it was 5 higher on the way out."""
    arms = {**BASE, **ladder("safe", AREA), **ladder("cot", [(1, -0.2, -0.4)])}
    found = follow(dose_table(arms), intervention="safe", back="cot")
    (loop,) = found.hysteresis
    assert loop.interval.low > 0
    assert loop.turn_reasoning == pytest.approx(-0.28)
    assert "has less refusal of harmful requests than the way out" in said(found)


def test_a_way_out_that_leaves_reasoning_has_no_equal_reasoning_to_compare_at() -> None:
    arms = {**BASE, **ladder("sft", [(1, 0.3, -0.3), (2, 0.0, -0.4)]), **ladder("safe", [(1, -0.3, -0.2)])}
    found = follow(dose_table(arms, start={"reasoning": 0.5, "harm": 0.9}), intervention="sft", back="safe")
    assert found.hysteresis[0].interval.excludes_zero
    assert "so which has more refusal of harmful requests at equal reasoning is open" in said(found)


def test_a_way_back_that_cannot_be_followed_is_told() -> None:
    out, back = ladder("sft", [(1, 0.2, -0.2), (2, 0.4, -0.4)]), ladder("safe", [(1, 0.4, 0.0)])
    table = unscored(dose_table({**BASE, **out, **back}), of("safe/1", "reasoning"))
    found = follow(table, intervention="sft", back="safe")
    assert found.hysteresis == ()
    assert any("`safe` is not followed back from `sft` on harm" in note for note in found.notes)


def test_a_control_that_shares_no_dose_is_told_and_checks_nothing() -> None:
    arms = {**BASE, **ladder("sft", [(10, 0.1, -0.4)]), **ladder("prose", [(20, 0.0, -0.1)])}
    found = follow(dose_table(arms), training=TRAINING)
    (controls,) = found.controls
    assert (controls.checks, controls.unchecked) == ((), (("prose", "harm"),))
    assert "No loss on harm is held against the control `prose`" in said(found)


def test_an_unknown_change_is_not_called_no_loss() -> None:
    doses = [(10, 0.1, -0.3), (20, 0.1, -0.4)]
    table = dose_table({**BASE, **ladder("sft", doses), **ladder("prose", [(10, 0.0, 0.0), (20, 0.0, 0.0)])})
    (controls,) = follow(unscored(table, of("sft/20", "harm")), training=TRAINING).controls
    assert [(c.dose, c.state) for c in controls.checks] == [(10.0, "survives")]
    both = pl.col("arm").str.starts_with("sft") & (pl.col("axis") == "harm")
    (controls,) = follow(unscored(table, both), training=TRAINING).controls
    assert (controls.checks, controls.unchecked) == ((), (("prose", "harm"),))


def test_a_control_that_loses_more_explains_a_small_loss() -> None:
    arms = {**BASE, **ladder("sft", [(10, 0.1, -0.06)]), **ladder("prose", [(10, 0.0, -0.2)])}
    found = follow(dose_table(arms), training=TRAINING)
    (check,) = found.controls[0].checks
    assert check.left_interval.low > 0
    assert check.state == "explained"
    assert "no loss, so the control explains the loss" in said(found)


def seeds(name: str, harm: list[float]) -> dict[str, Any]:
    return {k: v for i, last in enumerate(harm) for k, v in ladder(f"{name}[seed={i}]", [(10, 0.1, last)]).items()}


def test_a_loss_survives_over_items_and_over_seeds_or_is_open() -> None:
    arms = {**BASE, **seeds("sft", [-0.1, -0.3, -0.6]), **seeds("prose", [0.0, -0.1, -0.3])}
    found = follow(dose_table(arms), training=TRAINING)
    (check,) = found.controls[0].checks
    assert check.left_interval.high < 0 < check.seed_interval.high
    assert (check.state, check.hangs_on_seeds, check.items_needed) == ("open", True, None)
    assert "other seeds may give another answer" in said(found)


def test_a_control_of_one_seed_lacks_seeds() -> None:
    arms = {**BASE, **seeds("sft", [-0.3, -0.31, -0.32]), **seeds("prose", [-0.1])}
    found = follow(dose_table(arms), training=TRAINING)
    assert (found.controls[0].n_seeds, found.controls[0].control_seeds) == (3, 1)
    assert math.isnan(found.controls[0].checks[0].seed_interval.low)
    assert "3 seeds of every control (the fewest: 1)" in said(found)
