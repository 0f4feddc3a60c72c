from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oldham.core.errors import ConfigError, DataError
from oldham.coupling import Coupling, CouplingOptions, Interval, couple
from oldham.coupling.significance import mcnemar

if TYPE_CHECKING:
    from conftest import Table

QUICK = CouplingOptions(resamples=1000, permutations=1000)


def analyse(frame: pl.DataFrame, **options: object) -> Coupling:
    return couple(frame, baseline="base", options=dataclasses.replace(QUICK, **options))  # type: ignore[arg-type]


def same(one: object, two: object) -> bool:
    return repr(one) == repr(two)


def losses(n: int, lost: int, gained: int = 0) -> dict[str, list[float | None]]:
    base = [1.0] * (n - gained) + [0.0] * gained
    return {"base": list(base), "arm": [0.0] * lost + [1.0] * (n - lost)}


def test_effect_and_flips_by_hand(table: Table) -> None:
    found = analyse(table(losses(60, lost=12, gained=3)), deterministic=True)
    (effect,), (flips,) = found.effects, found.flips
    assert effect.delta == pytest.approx(-9 / 60)
    assert effect.test == "mcnemar"
    assert effect.p_value == effect.p_holm == effect.q_bh == pytest.approx(mcnemar(3, 12))
    assert (effect.n_items, effect.n_clusters, effect.n_missing) == (60, 60, 0)
    assert effect.interval.low < -9 / 60 < effect.interval.high < 0
    assert (flips.risk, flips.defence, flips.noise_floor) == pytest.approx((12 / 60, 3 / 60, 0.0))
    assert flips.excess_risk_interval == flips.risk_interval
    assert [p.kind for p in found.flip_pairs] == ["risk"] * 12 + ["defence"] * 3
    assert found.flip_pairs[0].arm_generation == "arm-b-0-0"


def test_smallest_detectable_follows_the_spread(table: Table) -> None:
    (effect,) = analyse(table(losses(100, lost=5, gained=5))).effects
    # Ten flips of 100 that cancel: variance 0.1 x 100/99 / 100.
    assert effect.smallest_detectable == pytest.approx(2.8016 * math.sqrt(0.1 / 99), rel=1e-3)


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, None])] * 2), min_size=1, max_size=12), st.integers(0, 99))
def test_the_order_of_rows_is_nothing_and_risk_less_defence_is_the_loss(
    pairs: list[tuple[float | None, float | None]], seed: int
) -> None:
    scores = {"base": [p[0] for p in pairs], "arm": [p[1] for p in pairs]}
    rows = [
        {"arm": a, "item": f"i{i}", "score": s, "axis": "harm", "benchmark": "b", "outcome": "partial"}
        for a, column in scores.items()
        for i, s in enumerate(column)
    ]
    frame = pl.DataFrame(rows, schema_overrides={"score": pl.Float64}, infer_schema_length=None)
    options = CouplingOptions(resamples=200, permutations=200)
    found = couple(frame, baseline="base", options=options)
    shuffled = couple(frame.sample(fraction=1.0, shuffle=True, seed=seed), baseline="base", options=options)
    assert same(found.effects, shuffled.effects)
    assert same(found.flips, shuffled.flips)
    flips, effect = found.flips[0], found.effects[0]
    if effect.n_items:
        assert flips.risk - flips.defence == pytest.approx(-effect.delta)
    else:
        assert math.isnan(flips.risk)
        assert math.isnan(effect.delta)
    assert effect.n_items + effect.n_missing == len(pairs)


def test_nothing_changed_is_no_certainty(table: Table) -> None:
    found = analyse(table(losses(60, lost=0)), deterministic=True)
    (effect,), (flips,) = found.effects, found.flips
    assert effect.delta == 0.0
    assert effect.p_value == 1.0
    assert effect.interval == pytest.approx((-0.049, 0.049), abs=0.006)
    assert 0.05 < effect.smallest_detectable < 0.1
    assert flips.risk_interval.low == 0.0
    assert flips.risk_interval.high == pytest.approx(0.06, abs=0.005)
    assert any("no item changed under `arm`" in c for c in found.caveats)


def test_items_missing_in_either_arm_are_left_out_and_counted(table: Table) -> None:
    found = analyse(table({"base": [1.0, None, 1.0, 0.0, 1.0], "arm": [0.0, 1.0, None, 0.0]}))
    (effect,) = found.effects
    assert effect.delta == pytest.approx(-1 / 2)
    assert (effect.n_items, effect.n_missing) == (2, 3)
    assert "3 items left out" in effect.finding
    assert found.n_missing == 2


def test_an_arm_that_finished_nothing_is_unknown(table: Table) -> None:
    found = analyse(table({"base": [1.0] * 5, "arm": [None] * 5}))
    (effect,), (flips,) = found.effects, found.flips
    assert (effect.test, effect.n_items, effect.n_missing, effect.benchmarks) == ("none", 0, 5, ())
    numbers = (effect.delta, *effect.interval, effect.p_value, effect.p_holm, effect.q_bh, effect.smallest_detectable)
    assert all(math.isnan(v) for v in (*numbers, flips.risk, *flips.risk_interval, flips.excess_defence))
    assert effect.finding.startswith("Nothing can be said of refusal of harmful requests")
    assert found.to_frame()["delta"].is_nan().all()


def test_one_item_has_a_change_but_no_interval(table: Table) -> None:
    (effect,) = analyse(table({"base": [1.0], "arm": [0.0]})).effects
    assert effect.delta == -1.0
    assert math.isnan(effect.interval.low)
    assert math.isnan(effect.smallest_detectable)


def test_clustered_items_are_tested_by_cluster(table: Table) -> None:
    # Four clusters of five lose everything: 2 of 2^4 sign patterns are as extreme, however many items there are.
    frame = table(losses(40, lost=20), cluster=lambda i: f"c{i // 5}")
    (effect,) = analyse(frame).effects
    assert (effect.test, effect.n_items, effect.n_clusters) == ("sign-flip", 40, 8)
    assert effect.p_value == pytest.approx(2 / 16)


def test_an_item_under_two_attacks_is_two_units_of_its_cluster(table: Table) -> None:
    frame = pl.concat([table(losses(10, lost=8), attack=a) for a in ("persona", "prefill")])
    (effect,) = analyse(frame).effects
    assert (effect.test, effect.n_items, effect.n_clusters) == ("sign-flip", 20, 10)
    assert effect.p_value == pytest.approx(2 / 2**8)


def test_several_draws_are_averaged_and_give_the_noise_floor(table: Table) -> None:
    frame = pl.concat(
        [
            table({"base": [1.0, 1.0, 0.0, 1.0], "arm": [1.0, 0.0, 0.0, 1.0]}, draw=0),
            table({"base": [0.0, 1.0, 0.0, 1.0], "arm": [0.0, 0.0, 0.0, 1.0]}, draw=1),
        ]
    )
    found = analyse(frame)
    (effect,), (flips,) = found.effects, found.flips
    assert effect.test == "sign-flip"
    assert effect.delta == pytest.approx(-1 / 4)
    # Item 0: u = 1/2 in both arms. K = (1/4 + 1) / 4, D = 1/4 / 4, F = 2 x 1/4 / 4.
    assert (flips.risk, flips.defence, flips.noise_floor) == pytest.approx((5 / 16, 1 / 16, 1 / 8))
    assert flips.excess_risk == pytest.approx(3 / 16)
    assert flips.excess_defence == pytest.approx(-1 / 16)


def test_one_sampled_draw_leaves_the_floor_unknown_and_says_so(table: Table) -> None:
    found = analyse(table(losses(20, lost=5)))
    (flips,) = found.flips
    assert math.isnan(flips.noise_floor)
    assert math.isnan(flips.excess_risk)
    assert math.isnan(flips.excess_risk_interval.low)
    assert flips.risk == 0.25
    assert any("flips by sampling alone" in c for c in found.caveats)


def test_benchmarks_of_an_axis_weigh_the_same(table: Table) -> None:
    frame = pl.concat(
        [table(losses(100, lost=10), benchmark="large"), table(losses(10, lost=5), benchmark="small")]
    )  # fmt: skip
    (effect,) = analyse(frame).effects
    assert effect.delta == pytest.approx(-(0.1 + 0.5) / 2)
    assert effect.benchmarks == ("large", "small")
    assert (effect.n_items, effect.test) == (110, "sign-flip")
    assert effect.interval.excludes_zero


def test_families_are_axes_for_holm_and_everything_for_bh(table: Table) -> None:
    def two_arms(axis: str) -> pl.DataFrame:
        scores = losses(30, lost=8)
        scores["other"] = [0.0] * 2 + [1.0] * 28
        return table(scores, axis=axis, benchmark=axis)

    found = analyse(pl.concat([two_arms("harm"), two_arms("truthfulness")]))
    p = {(e.axis, e.arm): (e.p_value, e.p_holm, e.q_bh) for e in found.effects}
    raw = mcnemar(0, 8)
    assert p["harm", "arm"] == pytest.approx((raw, 2 * raw, 2 * raw))
    assert p["truthfulness", "other"] == pytest.approx((0.5, 0.5, 0.5))


def test_plane_places_an_arm_that_gains_reasoning_and_loses_safety(table: Table) -> None:
    gains = {"base": [0.0] * 40 + [1.0] * 20, "arm": [1.0] * 50 + [0.0] * 10}
    found = analyse(pl.concat([table(gains, axis="reasoning", benchmark="r"), table(losses(60, lost=20))]))
    (point,) = found.plane
    assert (point.d_reasoning, point.d_safety) == pytest.approx((0.5, -1 / 3))
    assert point.angle == pytest.approx(math.degrees(math.atan2(-1 / 3, 0.5)))
    assert point.angle_interval.low < point.angle < point.angle_interval.high
    assert point.quadrants["trade-off"] > 0.99
    assert sum(point.quadrants.values()) == pytest.approx(1)
    assert point.exchange_rate == pytest.approx(2 / 3)
    assert len(point.ellipse) == 49
    spread = np.array(point.covariance)
    assert spread[0, 0] == pytest.approx(np.var([1] * 40 + [0] * 10 + [-1] * 10) / 60, rel=0.15)
    assert abs(spread[0, 1]) < 0.15 * math.sqrt(spread[0, 0] * spread[1, 1])


def test_no_exchange_rate_while_reasoning_may_not_have_changed(table: Table) -> None:
    same_reasoning = table(losses(60, lost=0), axis="reasoning", benchmark="r")
    (point,) = analyse(pl.concat([same_reasoning, table(losses(60, lost=20))])).plane
    assert point.exchange_rate is None
    assert point.quadrants["trade-off"] == pytest.approx(0.5, abs=0.02)
    assert point.quadrants["collapse"] == pytest.approx(0.5, abs=0.02)


def test_arms_share_their_resamples(table: Table) -> None:
    scores = losses(30, lost=8)
    scores["twin"] = scores["arm"]
    one, two = analyse(table(scores)).effects
    assert one.interval == two.interval


def test_effects_read_answers_and_rates_read_traces_too(table: Table) -> None:
    answer = table(losses(20, lost=0), axis="privacy", span="answer")
    trace = table(losses(20, lost=20), axis="privacy", span="trace")
    found = analyse(pl.concat([answer, trace]))
    (effect,) = found.effects
    assert effect.delta == 0.0
    assert not found.flip_pairs
    assert {(r.arm, r.span): r.mean for r in found.rates}["arm", "trace"] == 0.0


def test_unknown_baseline_names_the_nearest(table: Table) -> None:
    with pytest.raises(ConfigError, match="Did you mean `base`"):
        couple(table(losses(5, lost=1)), baseline="basse")


def test_a_trial_scored_twice_is_an_error(table: Table) -> None:
    frame = table(losses(5, lost=1))
    with pytest.raises(DataError, match="two verdicts for draw 0"):
        analyse(pl.concat([frame, frame]))


@pytest.mark.parametrize("name", ["arm", "benchmark", "item"])
def test_a_row_that_belongs_nowhere_is_an_error(table: Table, name: str) -> None:
    frame = table(losses(5, lost=1))
    hole = pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise(pl.col(name)).alias(name)
    with pytest.raises(DataError, match=f"1 of 10 rows have no `{name}`"):
        analyse(frame.with_columns(hole))


def test_a_span_that_nothing_reads_is_an_error(table: Table) -> None:
    with pytest.raises(DataError, match="`Answer` is not a span"):
        analyse(table(losses(5, lost=1), span="Answer"))


def test_a_benchmark_that_the_baseline_was_not_asked_leaves_the_bounds_of_the_others(table: Table) -> None:
    both = table({"base": [1.0, 1.0, None, 0.0], "arm": [1.0, 0.0, 1.0, 0.0]})
    lone = table({"arm": [1.0, 0.0]}, benchmark="other")
    (alone,), (beside,) = analyse(both).effects, analyse(pl.concat([both, lone])).effects
    assert alone.bounds == beside.bounds == pytest.approx((-1 / 4, 0.0))


def test_flips_against_a_greedy_baseline_say_that_no_test_was_made(table: Table) -> None:
    def told(lost: int, *, deterministic: bool = True) -> list[str]:
        found = analyse(table(losses(60, lost=lost)), deterministic=deterministic)
        return [c for c in found.caveats if "No test stands behind that" in c]

    (said,) = told(3)
    assert said.startswith("On harm the baseline was decoded greedily")
    assert not told(0)
    assert not told(3, deterministic=False)


def test_the_first_of_several_judges_counts_and_is_named(table: Table) -> None:
    first, second = table(losses(20, lost=5), judge="rules"), table(losses(20, lost=20), judge="model")
    found = analyse(pl.concat([first, second]))
    assert found.effects[0].delta == pytest.approx(-0.25)
    assert any("several judges (model, rules)" in c for c in found.caveats)


def test_a_table_of_only_the_baseline_has_rates_and_nothing_else(table: Table) -> None:
    found = analyse(table({"base": [1.0, 0.0]}))
    assert len(found.rates) == 1
    assert (found.arms, found.effects, found.flips, found.plane) == ((), (), (), ())
    assert found.to_frame().is_empty()
    assert "0 arms against `base`" in found.summary()


def test_an_arm_without_the_baselines_axis_is_counted_as_missing(table: Table) -> None:
    frame = pl.concat([table({"base": [1.0]}, axis="harm"), table({"arm": [1.0, 0.0]}, axis="privacy", benchmark="p")])
    (effect,) = analyse(frame).effects
    assert (effect.axis, effect.n_items, effect.n_missing) == ("privacy", 0, 2)


def test_unequal_gaps_and_a_stuck_baseline_are_caveats(table: Table) -> None:
    found = analyse(table({"base": [1.0] * 10, "arm": [None] * 4 + [1.0] * 6}))
    assert any("without a score is 40% under `arm`, and 0% under `base`" in c for c in found.caveats)
    assert any("a rise of refusal of harmful requests could not be seen" in c for c in found.caveats)


def test_the_short_summary_claims_nothing_of_an_axis_without_data(table: Table) -> None:
    known = table({"base": [1.0, 0.0] * 5, "arm": [1.0, 0.0] * 5})
    empty = table({"base": [1.0] * 10, "arm": [None] * 10}, axis="privacy", benchmark="p")
    text = couple(pl.concat([known, empty]), baseline="base").summary()
    assert "No detectable change in refusal of harmful requests" in text
    assert "No detectable change in keeping private data back" not in text
    assert "Nothing can be said of keeping private data back" in text


def test_scored_answers_that_were_cut_are_a_caveat(table: Table) -> None:
    whole = table({"base": [1.0] * 10, "arm": [1.0] * 10})
    cut = whole.with_columns(stop=pl.when(pl.col("arm") == "arm").then(pl.lit("length")).otherwise(pl.lit("stop")))
    (caveat,) = [c for c in analyse(cut).caveats if "token limit" in c]
    assert "(100% under `arm`)" in caveat
    assert not any("token limit" in c for c in analyse(whole).caveats), "an imported table may not know"


def test_changes_that_cancel_in_every_cluster_are_not_said_to_be_none(table: Table) -> None:
    """Of the two items of each cluster one gains and one loses."""
    half = [float(i % 2) for i in range(40)]
    frame = table({"base": half, "arm": half[::-1]}, cluster=lambda i: f"c{i // 2}")
    (told,) = [c for c in analyse(frame).caveats if "so few items leave open" in c]
    assert told.startswith("On harm the changes cancel in every cluster under `arm`")
    (same,) = [c for c in analyse(table({"base": half, "arm": half})).caveats if "so few items leave open" in c]
    assert same.startswith("On harm no item changed under `arm`")
    lone = table({"base": half, "arm": half}, cluster="one")
    assert not any("so few items leave open" in c for c in analyse(lone).caveats), "there is no interval to speak of"


def test_summary_and_notebook_show_effects_findings_and_caveats(table: Table) -> None:
    scores = losses(60, lost=30)
    scores["<b>"] = scores["base"]
    found = analyse(table(scores))
    text = found.summary()
    assert "−50 [" in text
    assert "−50.0" in found.summary(full=True)
    assert found.effects[0].finding.split(" (")[0] in text.replace("\n  ", " ")
    assert "Caveats" in text
    html = found._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_frame_has_a_row_an_effect(table: Table) -> None:
    found = analyse(table(losses(60, lost=30)))
    (row,) = found.to_frame().iter_rows(named=True)
    assert Interval(row["low"], row["high"]) == found.effects[0].interval
    assert row["benchmarks"] == ["b"]
    assert row["finding"] == found.effects[0].finding


@pytest.mark.parametrize("bad", [{"resamples": 10}, {"permutations": 0}, {"margin": 0.0}])
def test_options_out_of_range_are_errors(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="is"):
        CouplingOptions(**bad)  # type: ignore[arg-type]
