"""The Pareto front in plain language."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from oldham.coupling.findings import points, points_interval
from oldham.coupling.layout import bullets, footnotes, listed, percent, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.pareto_results import Loss, Pareto, ParetoArm
    from oldham.coupling.results import Interval


class Winner(NamedTuple):
    """By whom an arm is dominated for sure, and where that shows most."""

    arm: str
    axis: str
    lead: float
    interval: Interval
    """Holds for every arm and axis together."""


def arm_finding(entry: ParetoArm, winner: Winner | None, *, margin: float) -> str:
    """Say where an arm stands.

    Args:
        entry: All but its `finding` is read.
        winner: The arm that dominates it for sure, where one does.
        margin: What a difference must exceed to count.

    Returns:
        "Dominated" and "in the front" only where intervals allow it, else the shares of resamples; one sentence.
    """
    size = f"{100 * margin:g} points"
    if winner is not None:
        lead = f"{points(winner.lead)}, interval that allows for every arm and axis {points_interval(winner.interval)}"
        return (
            f"`{entry.arm}` is dominated by `{winner.arm}`, which is nowhere worse by more than {size} and better by "
            f"more than that on {winner.axis} ({lead}; {_items(entry)})."
        )
    alike = f"{percent(entry.membership_if_alike, 0)}% if no arm truly differed"
    if entry.standing == "in front":
        return (
            f"`{entry.arm}` is in the front: whatever beats it by more than {size} on one axis is worse by more than "
            f"that on another (undominated in {percent(entry.membership, 0)}% of resamples, {alike}; {_items(entry)})."
        )
    rival = f"; `{entry.rival}` dominates it in {percent(entry.rival_share, 0)}%" if entry.rival else ""
    return (
        f"Whether `{entry.arm}` is dominated by more than {size} is not decided: it is undominated in "
        f"{percent(entry.membership, 0)}% of resamples, and would be in {alike}{rival} ({_items(entry)})."
    )


def note_left_out(arm: str, axes: Sequence[str]) -> str:
    """Say why an arm is in no front.

    Args:
        arm: The arm.
        axes: What it lacks.
    """
    return f"`{arm}` is left out of the front: it has no change with a known spread on {listed(axes)}."


def note_uneven(rows: Mapping[str, Sequence[Contrast]]) -> str | None:
    """Say so where arms rest on different items of an axis.

    Args:
        rows: The contrasts of the arms compared, by axis.
    """
    uneven = [
        f"{axis} ({_from_to([c.n_items for c in of])})" for axis, of in rows.items() if any(c.n_missing for c in of)
    ]
    if not uneven:
        return None
    return (
        "Since answers are missing, the arms rest on paired items that are not all the same on "
        f"{listed(uneven)}: each arm is compared through its own change from the baseline."
    )


def note_benchmarks(axis: str, contrasts: Sequence[Contrast]) -> str | None:
    """Say so where arms were measured on different benchmarks of an axis.

    Args:
        axis: The axis.
        contrasts: Of the arms compared.
    """
    if len({c.benchmarks for c in contrasts}) < 2:
        return None
    return f"On {axis} the arms were measured on different benchmarks, so that their changes are not quite comparable."


def pareto_lines(found: Pareto) -> list[str]:
    """Write the front as lines of plain text.

    Args:
        found: The analysis.

    Returns:
        A sentence for each arm, the table of shares, gaps and losses, and what to know of them.
    """
    if not found.arms:
        return bullets(found.notes)
    return [
        *bullets(a.finding for a in found.arms),
        *table([_HEADER, *map(_row, found.arms)], names=2),
        *footnotes(_notes(found)),
        *table([("behind the best", *found.axes, "gain"), *map(_losses, found.arms)], names=1),
        *bullets([_gain(found), *found.notes]),
    ]


_HEADER = ("arm", "standing", "front", "alike", "no margin", "alike", "gap", "interval", "regret", "interval")


def _row(a: ParetoArm) -> tuple[str, ...]:
    shares = (a.membership, a.membership_if_alike, a.membership_exact, a.membership_exact_if_alike)
    return (
        a.arm,
        a.standing,
        *(percent(share, 0) for share in shares),
        percent(a.gap),
        _span(a.gap_interval),
        percent(a.regret),
        _span(a.regret_interval),
    )


def _losses(a: ParetoArm) -> tuple[str, ...]:
    return (a.arm, *map(_loss, a.losses), f"{percent(a.gain, 0)} [{_span(a.gain_interval, 0)}]")


def _loss(loss: Loss) -> str:
    if loss.loss == 0:
        return f"best [{_span(loss.interval, 0)}]"
    return f"{percent(loss.loss, 0)} [{_span(loss.interval, 0)}]"


def _span(interval: Interval, digits: int = 1) -> str:
    if math.isnan(interval.low):
        return "unknown"
    return f"{percent(interval.low, digits)}–{percent(interval.high, digits)}"


def _notes(found: Pareto) -> Iterator[str]:
    size = f"{100 * found.margin:g} points"
    yield (
        f"front: % of resamples in which no arm dominates it, that is, is nowhere worse by more than {size} and "
        "somewhere better by more; no margin: by any difference. Noise makes arms look undominated: alike is the same "
        "share if no arm truly differed from the baseline, and only what is clear of it says something."
    )
    yield (
        "gap: points by which it would have to rise on every axis before nothing dominated it by any difference. "
        "regret: its largest loss to the best arm of an axis. gain: volume it adds to the baseline's, in points on one "
        "axis at no cost. With 95% intervals, which hold whichever arm is truly best."
    )


def _gain(found: Pareto) -> str:
    if math.isnan(found.gain):
        return "The volume of all arms together is not known."
    low, high = found.gain_interval
    return (
        f"All arms together reach as much beyond `{found.baseline}` as {percent(found.gain)} points on one axis at no "
        f"cost would (95% interval {percent(low)} to {percent(high)}; if no arm truly differed from it, noise alone "
        f"would make that {percent(found.gain_if_alike)})."
    )


def _items(entry: ParetoArm) -> str:
    several = _from_to([loss.n_items for loss in entry.losses])
    return f"{several} {'item' if several == '1' else 'items'} an axis"


def _from_to(counts: Sequence[int]) -> str:
    return str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
