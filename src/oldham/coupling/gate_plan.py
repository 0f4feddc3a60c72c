"""How many items settle a gate: each of its claims, and all of them together.

A gate passes where every claim does. However claims hang together, all K of them are shown with a chance of at least
80% where each is shown with 1 - 0.2 / K (Bonferroni's inequality). Claims are those of `oldham.coupling.gates`, as
judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from oldham.core.errors import ConfigError
from oldham.core.outcomes import SAFETY_AXES, Axis
from oldham.coupling.findings import axis_words, counted
from oldham.coupling.mcnemar_power import mcnemar_items
from oldham.coupling.planning import Goal, items_for
from oldham.coupling.planning_text import chance_words
from oldham.coupling.rounds_power import items_in_rounds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oldham.coupling.design_plan import Design
    from oldham.coupling.gates import Gate, Rule
    from oldham.coupling.pilot import AxisPlan, Pilot, PlanOptions
    from oldham.coupling.planning import Spread

ANY_SAFETY: Final = "every safety axis"
Standing = Literal["planned", "passed", "failed", "undecided", "not measured", "unknown"]


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """What one claim of a gate takes. Several numbers are the best and the worst case of an unknown sampling share."""

    arm: str
    """Empty without a pilot."""
    axis: str
    rule: Rule
    state: Standing
    """Of a pilot's claim; `planned` without one, `unknown` where the pilot has no spread to plan by."""
    distance: float
    """From the supposed change to the limit; 0 where nothing is to be planned."""
    falls_short: bool
    """Whether the claim would be settled by failing, if the change stays."""
    items_there: int
    alone: tuple[int | None, ...]
    """Items that settle the claim with the wanted chance; None over a million, empty where nothing is to be planned."""
    together: tuple[int | None, ...]
    """Items with which all open claims of the arm are settled together with that chance."""
    in_rounds: tuple[int | None, ...]
    """The same for `together`, in a run that asks in rounds; empty where the claim falls short."""


@dataclass(frozen=True, slots=True)
class GatePlan:
    """What a gate takes."""

    gate: dict[str, Any]
    power: float
    claims: tuple[ClaimPlan, ...]
    """By arm, reasoning first."""
    notes: tuple[str, ...]


def plan_gate(gate: Gate, design: Design, wanted: PlanOptions) -> GatePlan:
    """Plan a gate before there is any data: every axis is supposed to flip alike, and safety not to change.

    Args:
        gate: What an arm must show; `safety: all` is counted as one axis.
        design: What is expected.
        wanted: Effect on reasoning, draws and power; its margin must be the gate's.

    Returns:
        One claim on reasoning where the gate asks for one, and one for each safety axis.

    Raises:
        ConfigError: Reasoning must be superior, and nobody said by how much it is.
    """
    axes = [ANY_SAFETY] if gate.safety == "all" else [str(axis) for axis in gate.safety]
    rules: list[tuple[str, Rule]] = [] if gate.reasoning == "any" else [(str(Axis.REASONING), gate.reasoning)]
    rules += [(axis, "non_inferior") for axis in axes]
    if gate.reasoning == "superior" and wanted.effect is None:
        raise ConfigError(
            "The gate asks that reasoning is better, and how much better it is decides how many items that takes.",
            remedy="Give the gain that is to be found, such as --effect 0.05.",
        )
    draws = wanted.draws or 1
    spreads = design.spreads(draws)
    claims = []
    for axis, rule in rules:
        goal = Goal(rule, wanted.effect if rule == "superior" and wanted.effect else gate.margin)
        flips = design.flip_rate if rule == "superior" and design.is_mcnemar(draws) else None
        claims.append(_claim("", axis, goal, spreads, draws, wanted.power, len(rules), flips=flips))
    notes = [*_as_judged(gate)]
    if gate.safety == "all":
        notes.append(
            "`safety: all` is counted as one axis here. Name the axes in the gate file to plan for more: every further "
            "claim takes more items to pass them all."
        )
    return GatePlan(gate.model_dump(mode="json"), wanted.power, tuple(claims), tuple(notes))


def gate_from_pilot(gate: Gate, pilot: Pilot) -> GatePlan:
    """Plan what a gate still takes after a pilot, if its changes stay.

    Args:
        gate: What arms must show.
        pilot: Planned with the gate's margin and what it asks of reasoning.

    Returns:
        The claims of every arm, settled and open, and those on axes that were not measured.
    """
    found = {(p.arm, p.axis): p for p in pilot.plans}
    measured = {axis for _, axis in found}
    safety = [a for a in SAFETY_AXES if a in measured] if gate.safety == "all" else list(gate.safety)
    axes = [str(a) for a in ([] if gate.reasoning == "any" else [Axis.REASONING])] + [str(a) for a in safety]
    claims: list[ClaimPlan] = []
    for arm in dict.fromkeys(p.arm for p in pilot.plans):
        mine = [(axis, found.get((arm, axis))) for axis in axes]
        n_open = sum(plan is not None and _standing(plan) == "undecided" for _, plan in mine)
        claims += [_claim_of(arm, axis, plan, gate, pilot.wanted.power, n_open) for axis, plan in mine]
        if not safety:
            claims.append(_settled(arm, ANY_SAFETY, "non_inferior", "not measured", 0))
    return GatePlan(gate.model_dump(mode="json"), pilot.wanted.power, tuple(claims), tuple(_as_judged(gate)))


def gate_text(plan: GatePlan) -> str:
    """Write what a gate takes.

    Args:
        plan: From a design, or from a pilot.
    """
    lines = []
    for arm in dict.fromkeys(c.arm for c in plan.claims):
        mine = [c for c in plan.claims if c.arm == arm]
        lines += ["", f"Gate under `{arm}`, if the changes stay:" if arm else "Gate, if that is what truly happens:"]
        lines += [f"- {_line(c, plan)}" for c in mine]
        lines += _together(mine, plan)
    return "\n".join([*lines, *plan.notes]).lstrip("\n")


def _claim(
    arm: str,
    axis: str,
    goal: Goal,
    spreads: Sequence[Spread],
    draws: int,
    power: float,
    n_open: int,
    *,
    flips: float | None = None,
) -> ClaimPlan:
    """Plan one of several open claims; `flips` is the flip rate where McNemar's exact test must find it too."""
    each = 1 - (1 - power) / n_open

    def needed(chance: float) -> tuple[int | None, ...]:
        found = [items_for(spread, draws, goal, power=chance) for spread in spreads]
        if flips is None:
            return tuple(found)
        exact = mcnemar_items(goal.distance, flips, power=chance)
        return tuple(None if n is None or exact is None else max(n, exact) for n in found)

    return ClaimPlan(
        arm=arm,
        axis=axis,
        rule="superior" if goal.name == "superior" else "non_inferior",
        state="planned",
        distance=goal.distance,
        falls_short=False,
        items_there=0,
        alone=needed(power),
        together=needed(each),
        in_rounds=tuple(items_in_rounds(goal.distance, spread, draws, power=each) for spread in spreads),
    )


def _claim_of(arm: str, axis: str, plan: AxisPlan | None, gate: Gate, power: float, n_open: int) -> ClaimPlan:
    rule: Rule = "superior" if axis == Axis.REASONING and gate.reasoning == "superior" else "non_inferior"
    if plan is None:
        return _settled(arm, axis, rule, "not measured", 0)
    state = _standing(plan)
    if state != "undecided":
        return _settled(arm, axis, rule, state, plan.n_items)
    distance = abs(plan.delta - (0.0 if rule == "superior" else -gate.margin))
    made = _claim(arm, axis, Goal(rule, distance), [plan.spread], plan.draws, power, n_open)
    return replace(
        made,
        state=state,
        falls_short=plan.falls_short,
        items_there=plan.n_items,
        in_rounds=() if plan.falls_short else made.in_rounds,
    )


def _standing(plan: AxisPlan) -> Standing:
    is_unknown = not plan.n_items or math.isnan(plan.interval.low) or math.isnan(plan.spread.between)
    return "unknown" if is_unknown else plan.state


def _settled(arm: str, axis: str, rule: Rule, state: Standing, items: int) -> ClaimPlan:
    return ClaimPlan(arm, axis, rule, state, 0.0, False, items, (), (), ())


def _as_judged(gate: Gate) -> Iterator[str]:
    yield (
        "Claims are for one arm. Of several arms the test of `better` allows for all, which takes more items. All are "
        "read at 95%, or in rounds at 96% when the last item was asked."
    )
    if gate.corrected != "false":
        yield (
            "Planned as judged. Where a judge card allows a correction, the gate also reads the change corrected for "
            "judge error: its interval is wider, and takes more items and more labels."
        )


def _line(claim: ClaimPlan, plan: GatePlan) -> str:
    what = claim.axis if claim.axis == ANY_SAFETY else axis_words(claim.axis)
    margin = f"at most {100 * plan.gate['margin']:g} points worse"
    must = "better" if claim.rule == "superior" else margin
    subject = f"{what[0].upper()}{what[1:]} ({must})"
    if claim.state == "not measured":
        return f"{subject}: not measured, and the gate cannot pass without it."
    if claim.state == "unknown":
        return f"{subject}: the pilot says too little to plan by."
    if claim.state in ("passed", "failed"):
        return f"{subject}: {claim.state} with the {counted(claim.items_there, 'item')} that are there."
    if not claim.distance:
        return f"{subject}: the change lies on the limit, where no number of items settles it."
    power = chance_words(plan.power)
    if claim.state == "planned":
        truth = f"a gain of {100 * claim.distance:g} points" if claim.rule == "superior" else "no change"
        return f"{subject}: {_numbers(claim.alone)} show it with {power} chance, given {truth}."
    fails = ", and it then fails" if claim.falls_short else ""
    return f"{subject}: {_numbers(claim.alone)} instead of {claim.items_there} settle it with {power} chance{fails}."


def _together(claims: Sequence[ClaimPlan], plan: GatePlan) -> list[str]:
    """Say what settles all claims that are open."""
    if any(c.state == "failed" for c in claims):
        return ["The gate is settled: the arm does not pass."]
    if any(c.state in ("not measured", "unknown") for c in claims):
        return []
    still = [c for c in claims if c.state in ("planned", "undecided")]
    if not still:
        return ["The gate is settled: the arm passes, as far as this is known."]
    power, each = chance_words(plan.power), f"{100 * (1 - (1 - plan.power) / len(still)):.3g}%"
    lines = []
    if len(still) > 1:
        told = "; ".join(f"{c.axis}: {_numbers(c.together)}" for c in still)
        lines.append(f"All {len(still)} settled together with at least {power} chance (each with {each}): {told}.")
    if all(c.in_rounds for c in still):
        told = "; ".join(f"{c.axis}: {_numbers(c.in_rounds)}" for c in still)
        lines.append(
            f"To plan for `oldham run --until gate` with that chance to pass, about {told}: it asks fewer where the "
            "answer is clear, reads the end at a stricter level, and may give a claim up that would have passed."
        )
    return lines


def _numbers(numbers: Sequence[int | None]) -> str:
    told = ["over a million" if n is None else str(n) for n in numbers]
    return f"{told[0] if len(set(told)) == 1 else ' to '.join(told)} items"
