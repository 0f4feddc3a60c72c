"""One intervention, dose by dose: its path, local couplings, critical doses, free range and trends (estimators §6)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from oldham.core.fingerprint import derive_seed
from oldham.core.outcomes import SAFETY_AXES, Axis
from oldham.coupling.bootstrap import average, resample_means, widen_if_rare
from oldham.coupling.dynamics_bands import falling, find_crossing, ratio_interval, simultaneous_bands
from oldham.coupling.dynamics_results import CriticalDose, DoseChange, DosePath, FreeRange, Obstacle, Segment, Trend
from oldham.coupling.gates import items_to_settle
from oldham.coupling.plane import plane_point
from oldham.coupling.shares import UNKNOWN
from oldham.coupling.significance import holm, sign_flip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from oldham.coupling.bootstrap import Estimate
    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.dynamics_ladders import LadderChanges, Source
    from oldham.coupling.pairing import Block
    from oldham.coupling.results import Interval, PlanePoint

_SAFETY = tuple(str(a) for a in SAFETY_AXES)


def build_path(changes: LadderChanges, source: Source) -> DosePath:
    """Follow one intervention from its start to its last dose.

    Args:
        changes: Its contrasts with the start.
        source: What was read, for the contrasts between neighbours.
    """
    ladder, margin = changes.ladder, source.options.margin
    by_axis = {axis: _dose_changes(changes, axis) for axis in changes.axes}
    safety = [a for a in changes.axes if a in _SAFETY]
    return DosePath(
        intervention=ladder.intervention,
        start=ladder.start,
        start_dose=ladder.start_dose,
        doses=ladder.doses,
        arms=ladder.arms,
        axes=changes.axes,
        changes=tuple(c for axis in changes.axes for c in by_axis[axis]),
        plane=tuple(_plane(changes, safety)),
        segments=tuple(_segments(changes, source, safety)),
        critical=tuple(
            critical_dose(by_axis[axis], changes.estimates(axis), start=ladder.start_dose, margin=margin)
            for axis in safety
        ),
        free=free_range(by_axis, margin=margin),
        trends=tuple(_trends(changes, source)),
    )


def _dose_changes(changes: LadderChanges, axis: str) -> list[DoseChange]:
    estimates = changes.estimates(axis)
    bands = simultaneous_bands(estimates)
    values = np.array([e.value for e in estimates])
    known = np.isfinite(values)
    fitted = np.full(len(values), math.nan)
    fitted[known] = falling(values[known]) if axis in _SAFETY else -falling(-values[known])
    rows = []
    for i, (arm, dose) in enumerate(zip(changes.ladder.arms, changes.ladder.doses, strict=True)):
        found = changes.found.get((axis, arm))
        rows.append(
            DoseChange(
                axis=axis,
                arm=arm,
                dose=dose,
                change=estimates[i].value,
                interval=estimates[i].interval(),
                band=bands[i],
                fitted=float(fitted[i]) + 0.0,
                n_items=found.n_items if found else 0,
                n_clusters=estimates[i].n_clusters,
                n_missing=found.n_missing if found else 0,
                judges=found.judges if found else (),
            )
        )
    return rows


def _plane(changes: LadderChanges, safety: Sequence[str]) -> list[PlanePoint]:
    points = []
    for axis in safety:
        for arm in changes.ladder.arms:
            across, up = changes.found.get((Axis.REASONING, arm)), changes.found.get((axis, arm))
            if across and up:
                points.append(plane_point(across, up))
    return points


def _segments(changes: LadderChanges, source: Source, safety: Sequence[str]) -> list[Segment]:
    ladder = changes.ladder
    arms, doses = (ladder.start, *ladder.arms), (ladder.start_dose, *ladder.doses)
    # Neighbours are paired with each other, not by way of the start: items that one of them lacks drop out of one step.
    steps = [changes.found, *(source.contrasts([arms[k]], arms[k - 1]) for k in range(2, len(arms)))]
    found = []
    for axis in safety:
        for k, step in enumerate(steps, 1):
            across, up = step.get((Axis.REASONING, arms[k])), step.get((axis, arms[k]))
            if across and up:
                found.append(_segment(across, up, doses[k - 1], doses[k]))
    return found


def _segment(across: Contrast, up: Contrast, from_dose: float, to_dose: float) -> Segment:
    point = plane_point(across, up)
    interval = across.change.interval()
    has_ratio = point.exchange_rate is not None
    return Segment(
        axis=up.axis,
        from_dose=from_dose,
        to_dose=to_dose,
        d_reasoning=point.d_reasoning,
        reasoning_interval=interval,
        d_safety=point.d_safety,
        safety_interval=up.change.interval(),
        angle=point.angle,
        angle_interval=point.angle_interval,
        has_moved=point.has_moved,
        kappa=point.d_safety / point.d_reasoning if has_ratio else None,
        kappa_interval=ratio_interval(up.change, across.change) if has_ratio else UNKNOWN,
        items_needed=None if has_ratio else items_to_settle(across.change.value, interval, 0.0, across.n_items),
    )


def critical_dose(
    changes: Sequence[DoseChange], estimates: Sequence[Estimate], *, start: float, margin: float
) -> CriticalDose:
    """Find the smallest dose whose loss exceeds the margin with 95% confidence, allowing for every dose looked at.

    Args:
        changes: Of one safety axis, by dose.
        estimates: The same changes with their resamples.
        start: The dose that is d_0.
        margin: Largest loss that still counts as none.

    Returns:
        The chance that any dose is named although none that small loses more than the margin is at most 2.5%: bands are
        two-sided and hold for all doses together.
    """
    crossing = find_crossing(start, [c.dose for c in changes], estimates, -margin)
    reached = [c.dose for c in changes if c.band.high < -margin]
    undecided = [c for c in changes if not math.isnan(c.band.low) and c.band.low <= -margin <= c.band.high]
    state: Literal["reached", "none", "open", "unknown"] = "open"
    if reached:
        state = "reached"
    elif all(math.isnan(c.band.low) for c in changes):
        state = "unknown"
    elif all(c.band.low > -margin for c in changes):
        state = "none"
    cost = {c.dose: items_to_settle(c.change, c.band, -margin, c.n_items) for c in undecided}
    cheapest = min(undecided, key=lambda c: (cost[c.dose] or math.inf, c.dose), default=None)
    return CriticalDose(
        axis=changes[0].axis,
        margin=margin,
        dose=reached[0] if reached else math.nan,
        state=state,
        crossing=crossing.dose,
        crossing_interval=crossing.interval,
        open_dose=cheapest.dose if cheapest else math.nan,
        items_needed=cost[cheapest.dose] if cheapest else None,
    )


def free_range(by_axis: Mapping[str, Sequence[DoseChange]], *, margin: float) -> FreeRange:
    """Find the largest dose with reasoning superior and every safety axis non-inferior.

    Safety is walked from the smallest dose up and the walk ends at the first dose where an axis may lose the margin: a
    fixed order of tests, each at its own level, is never wrong more often than one of them. Where reasoning rises is
    chosen among the doses walked, so its band, which holds for all doses together, must lie above 0.

    Args:
        by_axis: Changes by axis, each by dose.
        margin: Largest loss that still counts as none.

    Returns:
        The range; without one, what stands against the smallest dose. A dose inside the range at which reasoning is not
        shown to rise does not end it.
    """
    safety = [by_axis[a] for a in by_axis if a in _SAFETY]
    reasoning = by_axis.get(Axis.REASONING)
    unmeasured = tuple(n for n, has in (("reasoning", reasoning), ("safety", safety)) if not has)
    if reasoning is None or not safety:
        return FreeRange(margin, math.nan, math.nan, (), unmeasured)
    end, walked = -1, 0
    for k in range(len(reasoning)):
        if not all(axis[k].interval.low > -margin for axis in safety):
            break
        walked = k + 1
        if reasoning[k].band.low > 0:
            end = k
    beyond = end + 1
    if beyond == len(reasoning):
        return FreeRange(margin, reasoning[end].dose, math.nan, (), unmeasured)
    # Where safety held further than reasoning rose, the last dose walked is what reasoning falls short of.
    at = walked if walked < len(reasoning) else len(reasoning) - 1
    unsafe = [(axis[at], axis[at].interval, -margin) for axis in safety if not axis[at].interval.low > -margin]
    flat = [(reasoning[at], reasoning[at].band, 0.0)] if not reasoning[at].band.low > 0 else []
    obstacles = tuple(_obstacle(c, interval, limit) for c, interval, limit in (*flat, *unsafe))
    dose = reasoning[end].dose if end >= 0 else math.nan
    return FreeRange(margin, dose, reasoning[at].dose, obstacles, unmeasured)


def _obstacle(change: DoseChange, interval: Interval, limit: float) -> Obstacle:
    failed = interval.high <= limit
    needed = None if failed else items_to_settle(change.change, interval, limit, change.n_items)
    return Obstacle(change.axis, change.dose, failed, change.change, interval, change.n_items, needed)


def _trends(changes: LadderChanges, source: Source) -> list[Trend]:
    trends = []
    for axis in changes.axes:
        blocks = [b for b in source.blocks if b.axis == axis]
        parts = [p for p in (_steps(b, changes) for b in blocks) if len(p[0])]
        if not parts:
            continue
        estimates, shifts = [], []
        for i, (slopes, clusters) in enumerate(parts):
            seed = derive_seed("trend", source.options.seed, changes.ladder.intervention, axis, i)
            (estimate,) = resample_means(slopes[:, None], clusters, resamples=source.options.resamples, seed=seed)
            sums, sizes = np.bincount(clusters, weights=slopes), np.bincount(clusters)
            estimates.append(widen_if_rare(estimate, sums / sizes, seed=seed))
            shifts.append(sums / len(slopes) / len(parts))
        slope = average(estimates)
        seed = derive_seed("trend", source.options.seed, changes.ladder.intervention, axis)
        p = sign_flip(np.concatenate(shifts), permutations=source.options.permutations, seed=seed)
        interval, n_items = slope.interval(), sum(len(s) for s, _ in parts)
        needed = None if interval.excludes_zero else items_to_settle(slope.value, interval, 0.0, n_items)
        trends.append(Trend(axis, slope.value, interval, p, p, n_items, needed))
    adjusted = holm([t.p_value for t in trends])
    return [replace(t, p_holm=p) for t, p in zip(trends, adjusted, strict=True)]


def _steps(block: Block, changes: LadderChanges) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return each item's slope on the rank of the dose, and its cluster; only items with a score at every dose."""
    arms = (changes.ladder.start, *changes.ladder.arms)
    means = block.means[[block.arm(a) for a in arms]]
    whole = np.isfinite(means).all(axis=0)
    ranks = np.arange(len(arms)) - (len(arms) - 1) / 2
    slopes: NDArray[np.float64] = ranks @ means[:, whole] / np.square(ranks).sum()
    clusters = np.unique(block.clusters[whole], return_inverse=True)[1].astype(np.int64)
    return slopes, clusters
