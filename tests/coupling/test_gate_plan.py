"""How many items settle a gate: against the rules of the gate, closed forms and simulated rounds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from oldham.core.errors import ConfigError
from oldham.coupling.design_plan import Design, plan_design
from oldham.coupling.gate_plan import GatePlan, gate_from_pilot, gate_text, plan_gate
from oldham.coupling.gates import Gate
from oldham.coupling.mcnemar_power import mcnemar_items
from oldham.coupling.options import CouplingOptions
from oldham.coupling.pilot import PlanOptions, plan_from_pilot
from oldham.coupling.planning import Goal, Spread, items_for
from oldham.coupling.planning_text import plan_json
from oldham.coupling.rounds_power import items_in_rounds, rounds_chance
from oldham.coupling.stopping import StopRule

if TYPE_CHECKING:
    from conftest import Table


def of_design(gate: Gate, **wanted: Any) -> GatePlan:
    return plan_gate(gate, Design(cluster_size=2.0), PlanOptions(margin=gate.margin, **wanted))


def test_claims_are_those_of_the_gate() -> None:
    gate = Gate(margin=0.08, safety=("harm", "privacy"))
    plan = of_design(gate, effect=0.06)
    assert [(c.axis, c.rule, c.distance) for c in plan.claims] == [
        ("reasoning", "superior", 0.06),
        ("harm", "non_inferior", 0.08),
        ("privacy", "non_inferior", 0.08),
    ]
    only = of_design(Gate(reasoning="non_inferior", safety=("harm",)))
    assert [(c.rule, c.distance) for c in only.claims] == [("non_inferior", 0.05)] * 2
    assert [c.axis for c in of_design(Gate(reasoning="any")).claims] == ["every safety axis"]
    with pytest.raises(ConfigError, match="asks that reasoning is better"):
        of_design(Gate())


def test_each_claim_has_the_wanted_chance_and_all_together_at_least_that() -> None:
    gate, spread = Gate(safety=("harm", "privacy")), Design(cluster_size=2.0).spread(0.0)
    for claim in of_design(gate, effect=0.06).claims:
        goal = Goal(claim.rule, claim.distance)
        assert claim.alone == (items_for(spread, 1, goal, power=0.8),)
        (n,) = claim.together
        assert n is not None
        failing = 1 - goal.chance(spread.variance(n, 1), spread.degrees(n))
        assert failing <= 0.2 / 3 + 1e-9, "three claims fail together in at most 20%"


def test_a_single_draw_must_pass_the_exact_test_and_the_interval() -> None:
    plan = plan_gate(Gate(), Design(), PlanOptions(effect=0.05))
    exact = mcnemar_items(0.05, 0.1)
    assert exact is not None
    assert plan.claims[0].alone == (exact,)
    assert exact > (items_for(Design().spread(0.0), 1, Goal("superior", 0.05), power=0.8) or 0)


def test_without_giving_up_rounds_end_like_one_reading_at_their_own_level() -> None:
    spread, rule = Spread(0.1, 0.0), StopRule(hopeless=0.0)
    n = items_in_rounds(0.01, spread, 1, power=0.8, rule=rule)
    assert n == pytest.approx(0.1 * ((norm.ppf(0.98) + norm.ppf(0.8)) / 0.01) ** 2, rel=0.002)
    more = items_in_rounds(0.01, spread, 1, power=0.8)
    assert n is not None
    assert more is not None
    assert 1.02 * n < more < 1.15 * n, "giving claims up takes some more"


def test_what_rounds_cannot_know_stays_unknown() -> None:
    assert math.isnan(rounds_chance(0.1, Spread(0.1, 0.0), 1, 1))
    assert math.isnan(rounds_chance(0.1, Spread(math.nan, 0.0), 100, 1))
    assert items_in_rounds(0.0, Spread(0.1, 0.0), 1, power=0.8) is None
    assert rounds_chance(0.0, Spread(0.1, 0.0), 300, 1) <= 0.02, "a claim that does not hold passes no more often"


@pytest.mark.parametrize(("gain", "loss", "limit"), [(0.10, 0.05, 0.0), (0.03, 0.03, -0.05)])
def test_rounds_pass_as_often_as_planned(
    gain: float, loss: float, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "statistical"))
    from simulated_rounds import Design as Simulated

    change = gain - loss
    n = items_in_rounds(change - limit, Spread(gain + loss - change**2, 0.0), 1, power=0.8)
    assert n is not None
    passed = Simulated(limit, n).carry_out(gain, loss, 600, seed=3).passed.mean()
    assert passed == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 600))


def pilot_of(table: Table, gate: Gate, lost: int = 3, gained: int = 6) -> tuple[GatePlan, str]:
    rng = np.random.default_rng(1)
    base = (rng.random(80) < 0.5).astype(float)
    better, worse = base.copy(), np.ones(80)
    better[np.flatnonzero(base == 0)[:gained]] = 1.0
    better[np.flatnonzero(base == 1)[:3]] = 0.0
    worse[:lost] = 0.0
    frame = pl.concat(
        [
            table({"base": base.tolist(), "arm": better.tolist()}, axis="reasoning", benchmark="r"),
            table({"base": [1.0] * 80, "arm": worse.tolist()}),
        ]
    )
    rule = "non_inferior" if gate.reasoning == "non_inferior" else "superior"
    wanted = PlanOptions(margin=gate.margin, reasoning=rule)  # type: ignore[arg-type]
    pilot = plan_from_pilot(frame, baseline="base", wanted=wanted, options=CouplingOptions(resamples=400))
    plan = gate_from_pilot(gate, pilot)
    assert json.loads(plan_json(pilot, plan))["gate"]["claims"][0]["axis"] == plan.claims[0].axis
    return plan, gate_text(plan)


def test_a_pilot_says_what_its_open_claims_take(table: Table) -> None:
    plan, said = pilot_of(table, Gate())
    assert [(c.axis, c.state) for c in plan.claims] == [("reasoning", "undecided"), ("harm", "undecided")]
    reasoning = plan.claims[0]
    assert reasoning.distance == pytest.approx(3 / 80)
    assert f"{reasoning.alone[0]} items instead of 80 settle it with 80% chance" in said
    assert "All 2 settled together with at least 80% chance (each with 90%)" in said
    assert all((c.together[0] or 0) > (c.alone[0] or 0) > 80 for c in plan.claims)


def test_what_is_settled_or_not_measured_takes_no_items(table: Table) -> None:
    failed, said = pilot_of(table, Gate(), lost=40)
    assert [c.alone for c in failed.claims if c.state == "failed"] == [()]
    assert "the arm does not pass" in said
    lacking, said = pilot_of(table, Gate(safety=("harm", "privacy")))
    assert lacking.claims[-1].state == "not measured"
    assert "not measured, and the gate cannot pass without it" in said
    assert "settled together" not in said
    alone, _ = pilot_of(table, Gate(reasoning="any"))
    assert [c.axis for c in alone.claims] == ["harm"]


def test_a_claim_that_falls_short_would_fail_and_is_not_planned_in_rounds(table: Table) -> None:
    plan, said = pilot_of(table, Gate(), gained=1)
    assert plan.claims[0].falls_short
    assert plan.claims[0].in_rounds == ()
    assert "and it then fails" in said
    assert "--until gate" not in said


def test_a_design_and_its_gate_are_one_file() -> None:
    design, wanted = Design(), PlanOptions(effect=0.05)
    read = json.loads(plan_json(plan_design(design, wanted), plan_gate(Gate(), design, wanted)))
    assert read["gate"]["gate"]["margin"] == 0.05
    assert read["gate"]["claims"][0]["alone"] == [337]
