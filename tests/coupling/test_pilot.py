"""What a pilot says: its variance taken apart, its claims, and what would settle them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from oldham.core.errors import ConfigError
from oldham.core.rounds import Planned
from oldham.coupling.analysis import couple
from oldham.coupling.gates import Gate, judge_gate
from oldham.coupling.options import CouplingOptions
from oldham.coupling.pilot import Pilot, PlanOptions, plan_from_pilot
from oldham.coupling.planning_text import pilot_text, plan_json
from oldham.coupling.shares import upper_if_none
from oldham.coupling.stopped import Stopped, as_stopped
from oldham.coupling.stopping import StopRule

if TYPE_CHECKING:
    from conftest import Table

OPTIONS = CouplingOptions(resamples=400, permutations=400)


def planned(observations: pl.DataFrame, options: CouplingOptions = OPTIONS, **wanted: Any) -> Pilot:
    return plan_from_pilot(observations, baseline="base", wanted=PlanOptions(**wanted), options=options)


def drawn(table: Table, arms: dict[str, list[list[float]]], **columns: Any) -> pl.DataFrame:
    """One list of scores for each draw."""
    n_draws = max(map(len, arms.values()))
    return pl.concat(
        table({arm: list(draws[k]) for arm, draws in arms.items() if k < len(draws)}, draw=k, **columns)
        for k in range(n_draws)
    )


def random_draws(seed: int, n: int, draws: int, shift: float) -> dict[str, list[list[float]]]:
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.2, 0.8, n)
    return {
        arm: [(rng.random(n) < q).astype(float).tolist() for _ in range(draws)]
        for arm, q in (("base", p), ("arm", np.clip(p + shift + rng.uniform(-0.5, 0.5, n), 0, 1)))
    }


def test_by_hand(table: Table) -> None:
    # Items' differences 1/2, -1/2, 0, 0; the arm's draws differ on the first two items and the baseline's nowhere.
    frame = drawn(table, {"base": [[0, 1, 0, 1], [0, 1, 0, 1]], "arm": [[1, 1, 0, 1], [0, 0, 0, 1]]})
    (plan,) = planned(frame).plans
    assert plan.split is not None
    noise = (0.5 / 2) * 2 / 4
    assert plan.split.draw == pytest.approx(0.25)  # 1/2 on two of four items
    assert plan.split.item == pytest.approx(0.5 / 3 - noise)
    assert plan.split.share == pytest.approx(noise / (0.5 / 3))
    assert (plan.split.draws, plan.split.n_items, plan.draws) == (2, 4, 2)
    assert math.isnan(plan.split.intraclass)


@pytest.mark.parametrize("size", [1, 4])
def test_in_a_balanced_pilot_the_parts_add_up_to_the_variance_of_the_change(table: Table, size: int) -> None:
    frame = drawn(table, random_draws(1, 80, 3, 0.1), cluster=lambda i: f"c{i // size}")
    (plan,) = planned(frame).plans
    assert plan.split is not None
    assert plan.split.truncated == ()
    changes = frame.group_by("item", "cluster", maintain_order=True).agg(
        pl.col("score").filter(pl.col("arm") == "arm").mean() - pl.col("score").filter(pl.col("arm") == "base").mean()
    )
    means = changes.group_by("cluster").agg(pl.col("score").mean())["score"].to_numpy()
    assert plan.spread.variance(80, 3) == pytest.approx(means.var(ddof=1) / len(means))
    assert plan.n_clusters == 80 // size
    assert plan.spread.cluster_size == size


def test_an_estimate_below_zero_is_set_to_zero_and_said(table: Table) -> None:
    # Both items differ by nothing on the mean, and their draws by everything: less than sampling gives.
    flat = [[1.0, 0.0] * 6, [0.0, 1.0] * 6]
    pilot = planned(drawn(table, {"base": flat, "arm": flat[::-1]}), item_cost=5.0)
    (plan,) = pilot.plans
    assert plan.split is not None
    assert plan.split.item == 0.0
    assert plan.split.truncated == ("item",)
    assert math.isinf(plan.best_draws)
    assert "came out below 0 and was set to 0" in pilot_text(pilot)


@pytest.mark.parametrize("deterministic", [False, True])
def test_one_draw_cannot_be_split(table: Table, deterministic: bool) -> None:
    frame = table({"base": [1, 0, 1, 0, 1, 1, 1, 0], "arm": [1, 1, 0, 0, 1, 1, 0, 1]})
    pilot = planned(frame, CouplingOptions(resamples=400, deterministic=deterministic), draws=4)
    (plan,) = pilot.plans
    assert plan.split is None
    assert math.isnan(plan.best_draws)
    assert all(need.draws is None and need.added is None for need in plan.needs)
    said = pilot_text(pilot)
    assert "there is nothing to split" in said
    assert ("only more items help" in said) is deterministic
    assert ("two draws in both arms would tell" in said) is not deterministic


def test_draws_on_one_side_tell_where_the_other_is_greedy(table: Table) -> None:
    arms = random_draws(2, 40, 3, 0.0)
    arms["base"] = arms["base"][:1]
    assert planned(drawn(table, arms)).plans[0].split is None
    split = planned(drawn(table, arms), CouplingOptions(resamples=400, deterministic=True)).plans[0].split
    assert split is not None
    own = np.array(arms["arm"]).var(axis=0, ddof=1).mean()
    assert split.draw == pytest.approx(own)


def test_a_greedy_baseline_has_as_many_draws_as_the_arm(table: Table) -> None:
    arms = random_draws(2, 60, 4, 0.0)
    arms["base"] = arms["base"][:1]
    frame = drawn(table, arms)
    pilot = planned(frame, CouplingOptions(resamples=400, deterministic=True))
    (plan,) = pilot.plans
    assert plan.draws == 4
    changes = np.mean(arms["arm"], axis=0) - np.array(arms["base"][0])
    assert plan.spread.variance(60, plan.draws) == pytest.approx(changes.var(ddof=1) / 60)
    assert "4 draws of each (those of the baseline are all alike)" in pilot_text(pilot)


def test_one_item_with_many_draws_does_not_make_a_design_of_many_draws(table: Table) -> None:
    arms = random_draws(3, 60, 2, 0.0)
    frame = drawn(table, arms)
    lone = frame.filter(pl.col("item") == "i000", pl.col("draw") == 0)
    more = [lone.with_columns(draw=pl.lit(k, frame.schema["draw"])) for k in range(2, 12)]
    (plan,) = planned(pl.concat([frame, *more])).plans
    assert plan.draws == 2


def test_items_that_all_changed_alike_did_change(table: Table) -> None:
    said = pilot_text(planned(table({"base": [0.0] * 40, "arm": [1.0] * 40})))
    assert "All items changed alike" in said
    assert "No item changed" not in said


def test_a_gain_that_the_test_for_all_arms_does_not_confirm_is_open_as_in_the_gate(table: Table) -> None:
    # Seven of 60 gain in one of five arms: the interval is clear of 0, and five tests are made.
    flat = [0.0, 1.0] * 30
    arms = {"base": flat, "arm": [1.0] * 13 + flat[13:], **{f"other{i}": flat for i in range(4)}}
    frame = table(arms, axis="reasoning")
    pilot = planned(frame)
    claims = judge_gate(couple(frame, baseline="base", options=OPTIONS), Gate(corrected="false")).claims
    states = {c.arm: c.state for c in claims if c.axis == "reasoning"}
    assert {p.arm: p.state for p in pilot.plans} == states
    plan = next(p for p in pilot.plans if p.arm == "arm")
    assert plan.interval.low > 0
    assert plan.state == "undecided"
    assert f"does not confirm it (p = {plan.p_holm:.2f})" in pilot_text(pilot)


def test_a_pilot_that_stopped_by_itself_has_the_intervals_of_a_stopped_run(table: Table) -> None:
    frame = table({"base": [1.0] * 60, "arm": [0.0] * 6 + [1.0] * 54}, benchmark="b")
    told = Stopped(Gate(), StopRule(), {"b": Planned("harm", 200, 200, 1)}, (), 3)
    whole, part = (
        plan_from_pilot(frame, baseline="base", wanted=PlanOptions(), options=OPTIONS, stopped=s) for s in (None, told)
    )
    expected = as_stopped(couple(frame, baseline="base", options=OPTIONS), frame, told, OPTIONS).effects[0].interval
    assert part.plans[0].interval == expected
    assert expected.low < whole.plans[0].interval.low
    assert "stopped by its own results" in pilot_text(part)


def test_only_items_with_two_draws_tell(table: Table) -> None:
    frame = drawn(table, random_draws(3, 30, 2, 0.1))
    lost = (pl.col("item") < "i010") & (pl.col("draw") == 1) & (pl.col("arm") == "arm")
    frame = frame.with_columns(pl.when(lost).then(None).otherwise("score").alias("score"))
    (plan,) = planned(frame).plans
    assert plan.split is not None
    assert (plan.n_items, plan.split.n_items) == (30, 20)


def test_nothing_changed_is_planned_at_its_upper_bound(table: Table) -> None:
    pilot = planned(table({"base": [1.0] * 40, "arm": [1.0] * 40}))
    (plan,) = pilot.plans
    assert plan.at_most
    assert plan.spread.between == pytest.approx(upper_if_none(40))
    assert "taken at its upper bound" in pilot_text(pilot)
    assert plan.needs[-1].items_range == (None, None)


def test_states_are_those_of_the_gate(table: Table) -> None:
    frame = pl.concat(
        [
            table({"base": [0.0] * 30 + [1.0] * 30, "arm": [1.0] * 45 + [0.0, 1.0] * 7 + [1.0]}, axis="reasoning"),
            table({"base": [1.0] * 55 + [0.0] * 5, "arm": [1.0] * 53 + [0.0] * 2 + [1.0] * 2 + [0.0] * 3}),
            table({"base": [1.0] * 60, "arm": [1.0] * 20 + [0.0] * 40}, axis="privacy"),
        ]
    )
    plans = planned(frame).plans
    claims = judge_gate(couple(frame, baseline="base", options=OPTIONS), Gate(corrected="false")).claims
    assert {(p.axis, p.rule, p.state) for p in plans} == {(c.axis, c.rule, c.state) for c in claims}
    assert {p.state for p in plans} == {"passed", "undecided", "failed"}
    said = pilot_text(planned(frame))
    assert said.count("That claim is settled") == 2
    assert said.count("To settle it, if the change stays") == 1


def test_more_benchmarks_weigh_alike(table: Table) -> None:
    first, second = random_draws(4, 40, 2, 0.1), random_draws(5, 120, 2, -0.1)
    frame = pl.concat([drawn(table, first, benchmark="a"), drawn(table, second, benchmark="b")])
    both = planned(frame).plans[0]
    alone = [planned(frame.filter(benchmark=b)).plans[0] for b in "ab"]
    assert both.spread.strata == 2
    expected = sum(p.spread.variance(n, 2) for p, n in zip(alone, (40, 120), strict=True)) / 4
    assert both.spread.variance(160, 2) == pytest.approx(expected)


def test_the_order_of_rows_changes_nothing(table: Table) -> None:
    frame = drawn(table, random_draws(6, 40, 2, 0.1), cluster=lambda i: f"c{i // 2}")
    assert plan_json(planned(frame)) == plan_json(planned(frame.sample(fraction=1, shuffle=True, seed=1)))


def test_items_needed_grow_with_the_spread_and_the_range_holds_them(table: Table) -> None:
    pilot = planned(drawn(table, random_draws(7, 60, 2, 0.0)), item_cost=10.0, effect=0.1)
    (plan,) = pilot.plans
    for need in plan.needs:
        low, high = need.items_range
        assert low is not None
        assert high is not None
        assert need.items is not None
        assert low < need.items < high
        assert need.added is not None
        assert need.new is not None
        assert need.added.cost < need.new.cost
    assert plan.needs[-1].supposing == "it is the effect"
    low_draws, high_draws = plan.best_draws_range
    assert low_draws < plan.best_draws < high_draws
    assert json.loads(plan_json(pilot))["plans"][0]["needs"][0]["goal"]["name"] == "non_inferior"


def test_a_lone_cluster_and_no_pair_are_no_ground_to_plan_on(table: Table) -> None:
    lone = planned(table({"base": [1.0, 0.0], "arm": [1.0, 1.0]}, cluster="c"))
    assert math.isnan(lone.plans[0].chance_non_inferior)
    assert "no spread to plan by" in pilot_text(lone)
    none = planned(table({"base": [None, None], "arm": [1.0, 1.0]}))
    assert none.plans[0].needs == ()
    assert "nothing can be planned" in pilot_text(none)


def test_an_arm_that_is_not_there_is_an_error(table: Table) -> None:
    frame = table({"base": [1.0, 0.0], "arm": [1.0, 1.0]})
    for arm, words in (("arn", "Did you mean `arm`"), ("base", "is the baseline itself")):
        with pytest.raises(ConfigError, match=words):
            plan_from_pilot(frame, baseline="base", wanted=PlanOptions(), arm=arm)
