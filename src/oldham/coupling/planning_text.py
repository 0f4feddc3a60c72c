"""Plans in plain sentences, and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from oldham.coupling.findings import axis_words, counted, is_or_are, points, points_interval
from oldham.coupling.plain_json import write_json
from oldham.coupling.planning import MOST, MOST_DRAWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oldham.coupling.design_plan import DesignPlan
    from oldham.coupling.gate_plan import GatePlan
    from oldham.coupling.pilot import AxisPlan, Need, Pilot, PlanOptions
    from oldham.coupling.planning import Goal, Size

_FEW: Final = 6
"""Below so many changed clusters a variance is little more than a guess."""
RULES: Final = (
    "Rules: better is a 95% interval above 0; at most so much worse is its lower end above minus the margin (as "
    "`oldham compare --gate` decides); equivalent is a 90% interval within plus or minus the margin (two one-sided "
    "tests at 5%). Chances are for one comparison, not adjusted for several arms."
)


def design_text(plan: DesignPlan) -> str:
    """Write what a design shows and needs.

    Args:
        plan: Of a design without data.
    """
    return "\n".join(_design_lines(plan))


def pilot_text(pilot: Pilot) -> str:
    """Write what a pilot says of the study to follow.

    Args:
        pilot: What was read from it.
    """
    wanted = pilot.wanted
    chance = chance_words(wanted.power)
    lines = [f"Planned from a pilot, against `{pilot.baseline}`: {chance} chance, margin {_size(wanted)}."]
    for plan in pilot.plans:
        lines += ["", *_axis_lines(plan, pilot)]
    lines += [
        "",
        "The ranges of items hold only that the pilot's variance is an estimate; that its change is one too is not in "
        "them. A change that is undecided may as well lie on the limit, where no number of items settles it.",
        RULES,
        *pilot.notes,
    ]
    return "\n".join(lines)


def plan_json(plan: DesignPlan | Pilot, gate: GatePlan | None = None) -> str:
    """Return everything as JSON.

    Args:
        plan: Of a design, or from a pilot.
        gate: What a gate takes; None where none was asked about.

    Returns:
        Its fields by name, and those of the gate under `gate`; what is unknown or infinite is null.
    """
    return write_json({**asdict(plan), **({} if gate is None else {"gate": asdict(gate)})}, by_name=True)


def _design_lines(plan: DesignPlan) -> Iterator[str]:
    design, wanted = plan.design, plan.wanted
    size = f"{counted(plan.items, 'item')}, " if plan.items else ""
    clusters = ""
    if design.cluster_size > 1:
        clusters = f", clusters of {design.cluster_size:g} items whose changes correlate by {design.intraclass:g}"
    flips = f"{100 * design.flip_rate:.3g}% of the verdicts flip from arm to arm"
    if design.sampling_share is not None:
        flips += f" ({design.sampling_share:.0%} of the flips are sampling)"
    yield f"Design: {size}{counted(plan.draws, 'draw')} of each in both arms; supposing that {flips}{clusters}."
    if len(plan.needed) > 1:
        yield (
            "What draws do hangs on what the flips come from, which was not said: each range runs from all sampling "
            "(draws average it away) to none (draws do nothing). Give --sampling-share, or take it from a pilot."
        )
    if plan.shown:
        yield from _shown_lines(plan)
    yield from _needed_lines(plan)
    if not math.isnan(plan.best_draws):
        yield _best_draws(plan.best_draws, wanted.item_cost)
    yield RULES


def _shown_lines(plan: DesignPlan) -> Iterator[str]:
    wanted, shown = plan.wanted, plan.shown
    often = f"{chance_words(wanted.power)} of the time"
    if plan.exact is not None:
        exact = plan.exact.smallest_detectable
        most = f"{100 * plan.design.flip_rate:g} points, which all flips one way make"
        told = f"none is, not even {most}" if math.isnan(exact) else f"{100 * exact:.1f} points"
        normal = shown[0].smallest_detectable
        near = (
            "" if normal > 1 or math.isnan(normal) else f"; {100 * normal:.1f} by Student's t, as the intervals have it"
        )
        yield f"Smallest change found {often}: {told} (exact McNemar test, which decides here{near})."
    else:
        sizes = [s.smallest_detectable for s in shown]
        yield f"Smallest change found {often}: {_span([100 * s for s in sizes], '.1f')} points."
        if max(sizes) > plan.design.flip_rate:
            yield f"That is more than {100 * plan.design.flip_rate:.3g}% of flips can make."
    if wanted.effect is not None:
        cases = [plan.exact] if plan.exact is not None else shown
        chances = [s.chance_effect for s in cases if s.chance_effect is not None]
        yield f"Chance to find a change of {100 * wanted.effect:g} points: {_chances(chances)}."
    yield (
        f"If nothing changed, the chance to show that an arm is at most {_size(wanted)} worse: "
        f"{_chances([s.chance_non_inferior for s in shown])}; to show it equivalent within ±{_size(wanted)}: "
        f"{_chances([s.chance_equivalent for s in shown])}."
    )


def _needed_lines(plan: DesignPlan) -> Iterator[str]:
    power = chance_words(plan.wanted.power)
    for cases in zip(*plan.needed, strict=True):
        goal = cases[0].goal
        numbers = [case.items for case in cases]
        if goal.name == "superior" and plan.connor_items is not None:
            exact = "over 100000 items" if plan.exact_items is None else counted(plan.exact_items, "item")
            near = "over a million" if plan.connor_items > MOST else str(plan.connor_items)
            told = f"{exact} (exact McNemar test, which decides here; {near} by its normal approximation)"
        else:
            told = _items_span(numbers)
        line = f"Items needed to {_what(goal)} with {power} chance: {told}."
        best = cases[0].best
        if best is not None and plan.draws * plan.wanted.item_cost + best.draws > 1:
            line += f" The cheapest design is {_whole(best)}."
        yield line


def _axis_lines(plan: AxisPlan, pilot: Pilot) -> Iterator[str]:
    wanted = pilot.wanted
    what = axis_words(plan.axis, plan.judges)
    title = f"{what[0].upper()}{what[1:]} under `{plan.arm}`"
    if not plan.n_items:
        yield f"{title}: no item has a scored answer in both arms, so nothing can be planned."
        return
    counts = f"{counted(plan.n_items, 'item')} in {counted(plan.n_clusters, 'cluster')}"
    both = "in both arms"
    if pilot.deterministic and plan.draws > 1:
        both = "(those of the baseline are all alike)"
    yield f"{title}: {counts}, {counted(plan.draws, 'draw')} of each {both}."
    if math.isnan(plan.interval.low):
        yield "  A benchmark with a single cluster has no spread to plan by."
        return
    yield f"  {_claim(plan, wanted)}"
    yield f"  {_split_line(plan, pilot)}"
    if plan.at_most:
        how = "All items changed alike" if plan.n_changed else "No item changed"
        yield f"  {how}: the spread is taken at its upper bound, so items needed are at most those below."
    elif plan.n_changed < _FEW:
        changed = counted(plan.n_changed, "cluster")
        yield f"  Only {changed} changed at all: the spread is little more than a guess."
    yield f"  {_shown_line(plan, wanted)}"
    if plan.state != "undecided":
        yield "  That claim is settled: it needs no more items or draws."
    for need in _worth_telling(plan):
        yield from (f"  {line}" for line in _need_lines(plan, need))
    if plan.split is not None and not plan.at_most:
        yield f"  {_best_draws(plan.best_draws, wanted.item_cost)}{_from_here(plan, wanted.item_cost)}"


def _worth_telling(plan: AxisPlan) -> list[Need]:
    """Leave out what is settled, and what would say the same twice."""
    if plan.state != "undecided":
        return [need for need in plan.needs if need.supposing == "it is the effect"]
    open_goals = [need.goal for need in plan.needs if need.supposing == "it stays"]
    return [need for need in plan.needs if need.supposing == "it stays" or need.goal not in open_goals]


def _claim(plan: AxisPlan, wanted: PlanOptions) -> str:
    change = f"Change {points(plan.delta)} points (95% interval {points_interval(plan.interval)})"
    must = "better" if plan.rule == "superior" else f"at most {_size(wanted)} worse"
    said = {
        "passed": f"shown to be {must}",
        "failed": "shown not to be " + must,
        "undecided": f"undecided whether it {is_or_are(axis_words(plan.axis, plan.judges))} {must}",
    }
    doubt = ""
    if plan.state == "undecided" and plan.rule == "superior" and plan.interval.low > 0:
        doubt = f" The test that allows for every arm compared does not confirm it (p = {plan.p_holm:.2f})."
    return f"{change}: {said[plan.state]}.{doubt}"


def _split_line(plan: AxisPlan, pilot: Pilot) -> str:
    split = plan.split
    if split is None:
        if plan.draws == 1:
            greedy = " Under greedy decoding draws are all alike, and" if pilot.deterministic else ""
            then = "only more items help" if greedy else "two draws in both arms would tell what draws are worth"
            return (
                f"One draw of each item in an arm: there is nothing to split.{greedy or ' If it was sampled,'} {then}."
            )
        return "Too few items have two finished draws in both arms to tell draws from items."
    if math.isnan(split.share):
        return "No item and no draw differed: there is nothing to split."
    low, high = split.share_interval
    between = "between items" if math.isnan(split.intraclass) else "between items and clusters"
    line = (
        f"Variance of the change: {1 - split.share:.0%} {between}, {split.share:.0%} between draws of the same item "
        f"(95% range of the draws' share {_percent(low)} to {_percent(high)}; {counted(split.n_items, 'item')})"
    )
    if not math.isnan(split.intraclass):
        line += f"; changes of a cluster's items correlate by {split.intraclass:.2f}"
    if split.truncated:
        which = " and ".join({"item": "items", "cluster": "clusters"}[name] for name in split.truncated)
        line += f"; the estimate between {which} came out below 0 and was set to 0"
    return f"{line}."


def _shown_line(plan: AxisPlan, wanted: PlanOptions) -> str:
    planned = wanted.items is not None or wanted.draws is not None
    design = f"The planned design ({counted(wanted.items or plan.n_items, 'item')})" if planned else "This design"
    if planned and plan.split is not None:
        draws = counted(wanted.draws or plan.draws, "draw")
        design = f"The planned design ({counted(wanted.items or plan.n_items, 'item')}, {draws})"
    return (
        f"{design} finds a change of {100 * plan.smallest_detectable:.1f} points {chance_words(wanted.power)} of the "
        f"time; if nothing changed, it shows at most {_size(wanted)} worse with {_chances([plan.chance_non_inferior])} "
        f"chance and equivalence with {_chances([plan.chance_equivalent])}."
    )


def _need_lines(plan: AxisPlan, need: Need) -> Iterator[str]:
    suppose = {
        "it stays": f"To settle it, if the change stays {points(plan.delta)}{_for_worse(plan)}",
        "nothing changed": f"To {_what(need.goal)}",
        "it is the effect": f"To {_what(need.goal)}",
    }[need.supposing]
    if need.items is None:
        yield f"{suppose}: no number of items under a million."
        return
    if need.items <= plan.n_items:
        yield f"{suppose}: the {counted(plan.n_items, 'item')} that are there do ({need.items} would)."
        return
    spread = _range(need.items_range)
    more = f"about {need.items} items instead of {plan.n_items}{spread}"
    if plan.split is None:
        yield f"{suppose}: {more}."
        return
    draws = f"no number of draws up to {MOST_DRAWS} does it on these items"
    if need.draws is not None:
        draws = f"{need.draws} draws of each instead of {plan.draws}"
    line = f"{suppose}: {more}; or {draws}."
    if need.added is not None:
        line += f" Cheapest from here: {_whole(need.added, added=True)}."
    if need.new is not None:
        line += f" From nothing: {_whole(need.new)}."
    yield line


def _for_worse(plan: AxisPlan) -> str:
    """Say so where settling it would mean that the claim fails."""
    return " (the claim then fails)" if plan.needs[0].supposing == "it stays" and plan.falls_short else ""


def _from_here(plan: AxisPlan, item_cost: float) -> str:
    """Say whether draws or items are the cheaper way on from a pilot."""
    low, high = plan.best_draws_range
    if item_cost == 0 or math.isnan(low):
        return ""
    span = f" (range {low:.1f} to {'any number' if math.isinf(high) else format(high, '.1f')})"
    if math.isinf(plan.best_draws):
        return f" The 95% range starts at {low:.1f} draws of each item."
    draws = counted(plan.draws, "draw")
    if plan.best_draws > plan.draws:
        return f" From {draws}, more draws are the cheaper way until then, and more items after{span}."
    return f" From {draws}, more items are the cheaper way{span}."


def _best_draws(best: float, item_cost: float) -> str:
    if item_cost == 0:
        return (
            "With items that cost no more than their generations, one draw of more items beats more draws of fewer; "
            "say what an item costs with --item-cost."
        )
    if math.isinf(best):
        return "Items do not seem to differ: draws are the cheaper way as long as an item costs anything."
    rounded = max(1, round(best))
    return (
        f"With a new item at {item_cost:g} generations beside its own, about {best:.1f} draws of each item are worth "
        f"most for the money ({counted(rounded, 'draw')})."
    )


def _what(goal: Goal) -> str:
    size = f"{100 * goal.distance:g} points"
    if goal.name == "superior":
        return f"find a change of {size}"
    if goal.name == "non_inferior":
        return f"show at most {size} worse, if nothing changed"
    return f"show equivalence within ±{size}, if nothing changed"


def _whole(size: Size, *, added: bool = False) -> str:
    more = "more " if added else ""
    return (
        f"{counted(size.items, 'item')} with {counted(size.draws, 'draw')} of each in both arms "
        f"(cost {size.cost:.0f} {more}generations)"
    )


def _range(ends: Sequence[int | None]) -> str:
    low, high = ends
    if low is None:
        return ""
    return f" (range {low} to {high})" if high is not None else f" (range {low} to over a million)"


def _items_span(numbers: Sequence[int | None]) -> str:
    told = ["over a million" if n is None else str(n) for n in numbers]
    return told[0] if len(set(told)) == 1 else " to ".join(told)


def _span(numbers: Sequence[float], form: str) -> str:
    told = ["unknown" if math.isnan(n) else format(n, form) for n in numbers]
    return told[0] if len(set(told)) == 1 else " to ".join(told)


def _chances(chances: Sequence[float]) -> str:
    told = sorted(chances) if not any(map(math.isnan, chances)) else list(chances)
    words = [_percent(c) for c in told]
    return words[0] if len(set(words)) == 1 else " to ".join(words)


def _percent(share: float) -> str:
    if math.isnan(share):
        return "unknown"
    return "under 1%" if 0 < share < 0.01 else "over 99%" if 0.99 < share < 1 else f"{share:.0%}"


def chance_words(chance: float) -> str:
    """Write a chance that was asked for, such as `80%` or `99.9%`.

    Args:
        chance: Below 1, and never written as 100%.
    """
    return f"{100 * chance:.10g}%"


def _size(wanted: PlanOptions) -> str:
    return f"{100 * wanted.margin:g} points"
