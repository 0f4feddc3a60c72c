"""Interventions beside each other: seeds of one training, a way out and a way back, a claim and its controls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import t

from oldham.core.errors import ConfigError, did_you_mean
from oldham.core.outcomes import SAFETY_AXES, Axis
from oldham.coupling.dynamics_bands import signed_area, simultaneous_bands, weakest
from oldham.coupling.dynamics_ladders import without_seed
from oldham.coupling.dynamics_results import (
    ENOUGH_SEEDS,
    TRAINING_CONTROLS,
    ControlCheck,
    Controls,
    Hysteresis,
    Replicates,
    SeedMean,
)
from oldham.coupling.gates import items_to_settle
from oldham.coupling.results import Interval
from oldham.coupling.shares import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from oldham.coupling.bootstrap import Estimate
    from oldham.coupling.dynamics_ladders import DoseLadder, LadderChanges, Source
    from oldham.coupling.dynamics_results import CriticalDose, DosePath

_SAFETY = tuple(str(a) for a in SAFETY_AXES)


def group_by_seed(changes: Sequence[LadderChanges]) -> dict[str, list[LadderChanges]]:
    """Group interventions that differ in their seed alone.

    Args:
        changes: Every intervention.

    Returns:
        By name without the seed, in their order.
    """
    groups: dict[str, list[LadderChanges]] = {}
    for each in changes:
        groups.setdefault(each.ladder.name, []).append(each)
    return groups


def mean_over_seeds(name: str, seeds: Sequence[LadderChanges]) -> Replicates:
    """Average training runs that differ in their seed alone, dose by dose.

    Args:
        name: What they share.
        seeds: At least two.

    Returns:
        Means at the doses that all of them have. Over items the seeds' resamples are averaged one by one, so that the
        items they share are not counted twice; over seeds each run is one number.
    """
    means = []
    for axis in _shared_axes(seeds):
        for dose in _shared_doses(seeds):
            parts = [_at(each, axis, dose) for each in seeds]
            values = np.array([p.value for p in parts])
            if np.isnan(values).any():
                continue
            n, spread = len(values), float(values.std(ddof=1))
            mean = float(values.mean())
            half = float(t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
            over_seeds = Interval(mean - half, mean + half) if n >= ENOUGH_SEEDS else UNKNOWN
            means.append(SeedMean(axis, dose, mean, _mean(parts).interval(), spread, over_seeds, n))
    return Replicates(name, tuple(s.ladder.intervention for s in seeds), tuple(means))


def _mean(parts: Sequence[Estimate]) -> Estimate:
    """Average estimates from the same items, resample by resample."""
    if len(parts) == 1:
        return parts[0]
    value = float(np.mean([p.value for p in parts]))
    return weakest(*parts, value=value, cloud=np.mean([p.cloud for p in parts], axis=0))


def _shared_axes(changes: Sequence[LadderChanges]) -> list[str]:
    return [a for a in changes[0].axes if all(a in c.axes for c in changes)]


def _shared_doses(changes: Sequence[LadderChanges]) -> list[float]:
    return [d for d in changes[0].ladder.doses if all(d in c.ladder.doses for c in changes)]


def _at(changes: LadderChanges, axis: str, dose: float) -> Estimate:
    return changes.estimates(axis)[changes.ladder.doses.index(dose)]


def way_back(out: DoseLadder, back: DoseLadder, source: Source) -> list[Hysteresis]:
    """Enclose a way out and a way back in the phase plane.

    Args:
        out: Its last dose is where the way back begins.
        back: Its doses count what is done to turn back, such as steps of safety data after reasoning data.
        source: What is read.

    Returns:
        One entry a safety axis that was measured, like reasoning, at every dose of both and on the same benchmarks.
        All corners are changes from the start of the way out, from the same resamples.
    """
    arms = (*out.arms, *(a for a in back.arms if a not in out.arms))
    found = source.contrasts(arms, out.start)
    entries = []
    for axis in _SAFETY:
        corners = [(found.get((Axis.REASONING, a)), found.get((axis, a))) for a in arms]
        known = [(x, y) for x, y in corners if x and y and x.n_items and y.n_items]
        if len(known) < len(corners) or any(len({c.benchmarks for c in side}) > 1 for side in zip(*known, strict=True)):
            continue
        across, up = [x.change for x, _ in known], [y.change for _, y in known]
        values = np.array([[0.0, 0.0], *([x.value, y.value] for x, y in zip(across, up, strict=True))])
        clouds = np.stack([[x.cloud, y.cloud] for x, y in zip(across, up, strict=True)])
        area = weakest(
            *across,
            *up,
            value=float(signed_area(values)),
            cloud=signed_area(np.concatenate([np.zeros((1, *clouds.shape[1:])), clouds])),
        )
        interval = area.interval()
        n_items = min(c.n_items for pair in known for c in pair)
        turn = across[len(out.arms) - 1]
        settled = interval.excludes_zero
        entries.append(
            Hysteresis(
                out=out.intervention,
                back=back.intervention,
                axis=axis,
                turn=out.arms[-1],
                area=area.value,
                interval=interval,
                turn_reasoning=turn.value,
                turn_reasoning_interval=turn.interval(),
                left_reasoning=across[-1].value,
                left_reasoning_interval=across[-1].interval(),
                left_safety=up[-1].value,
                left_safety_interval=up[-1].interval(),
                n_items=n_items,
                items_needed=None if settled else items_to_settle(area.value, interval, 0.0, n_items),
            )
        )
    return entries


def ways_back(
    ladders: Sequence[DoseLadder], out: Sequence[DoseLadder], back: str
) -> list[tuple[DoseLadder, DoseLadder]]:
    """Pair ways out with ways back; with seeds, each with its own.

    Args:
        ladders: Every intervention.
        out: The ways out.
        back: The intervention that turns back, with or without its seed.

    Raises:
        ConfigError: There is no such intervention, or no way out that it could turn back.
    """
    ways = [each for each in ladders if back in (each.intervention, each.name)]
    if not ways:
        names = [each.intervention for each in ladders]
        raise ConfigError(f"No arm has a dose of `{back}`.", remedy=did_you_mean(back, names or ["(none)"]))
    pairs = []
    for there in out:
        seed = without_seed(there.intervention)[1]
        for way in ways:
            own = without_seed(way.intervention)[1]
            if way is not there and (seed is None or own is None or seed == own):
                pairs.append((there, way))
    if not pairs:
        raise ConfigError(
            f"Nothing is there for `{back}` to turn back.", remedy="Name the way out with --intervention, without it."
        )
    return pairs


def is_control(intervention: str, training: Mapping[str, Any]) -> str | None:
    """Return what an intervention is a control for; None where it is none.

    Args:
        intervention: With or without its seed.
        training: What is known of interventions that are trained, by name; `control` is the kind.
    """
    control = _facts(intervention, training).get("control")
    return str(control) if control else None


def _facts(intervention: str, training: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in (intervention, without_seed(intervention)[0]):
        facts = training.get(name)
        if isinstance(facts, Mapping):
            return facts
    return {}


def controlled(
    claim: Sequence[LadderChanges],
    others: Mapping[str, Sequence[LadderChanges]],
    *,
    paths: Sequence[DosePath],
    training: Mapping[str, Any],
    margin: float,
) -> Controls:
    """Hold an intervention's losses of safety against those of its controls.

    Args:
        claim: The intervention, a run a seed.
        others: The other interventions by name without the seed, a run a seed; those that are no control are passed
            over.
        paths: Of the intervention, in the order of `claim`: they say at which dose a claim is made.
        training: What is known of interventions that are trained, by name; `control` is the kind, `pace` the learning
            rate and what goes with it.
        margin: Less than this left of a loss counts as none.

    Returns:
        For each safety axis and control the comparison at the claim's dose: the smallest critical dose if the control
        has it, else the largest dose that both have. Seeds are averaged on either side. Doses at which a run lacks
        scored answers are no doses here: what is unknown is no absence of a loss.
    """
    controls = {name: runs for name, runs in others.items() if is_control(runs[0].ladder.intervention, training)}
    kinds = {name: is_control(runs[0].ladder.intervention, training) or "" for name, runs in controls.items()}
    checks, unchecked = [], []
    for axis in _SAFETY:
        if not all(axis in c.axes for c in claim):
            continue
        critical = [c for path in paths for c in path.critical if c.axis == axis]
        for name, runs in controls.items():
            check = _check(claim, (name, kinds[name], runs), axis, critical, margin)
            if check is None:
                unchecked.append((name, axis))
            else:
                checks.append(check)
    present = tuple(dict.fromkeys(kinds.values()))
    return Controls(
        intervention=claim[0].ladder.name,
        present=present,
        missing=tuple(k for k in TRAINING_CONTROLS if k not in present),
        n_seeds=len(claim),
        checks=tuple(checks),
        unchecked=tuple(unchecked),
        control_seeds=min((len(runs) for runs in controls.values()), default=0),
        pace=_pace(claim[0].ladder.intervention, [runs[0].ladder.intervention for runs in controls.values()], training),
    )


def _pace(
    intervention: str, controls: Sequence[str], training: Mapping[str, Any]
) -> Literal["matched", "differs", "unknown"]:
    own = _facts(intervention, training).get("pace")
    others = [_facts(control, training).get("pace") for control in controls]
    if not own or not others or not all(others):
        return "unknown"
    return "matched" if all(other == own for other in others) else "differs"


def _check(
    claim: Sequence[LadderChanges],
    control: tuple[str, str, Sequence[LadderChanges]],
    axis: str,
    critical: Sequence[CriticalDose],
    margin: float,
) -> ControlCheck | None:
    name, kind, runs = control
    both = [*claim, *runs]
    shared = _shared_doses(both) if axis in _shared_axes(both) else []
    doses = [d for d in shared if all(_at(c, axis, d).has_spread for c in both)]
    if not doses or not _same_benchmarks(both, axis, doses):
        return None
    named = sorted(c.dose for c in critical if c.dose in doses)
    at = doses.index(named[0]) if named else len(doses) - 1
    own = [_mean([_at(c, axis, d) for c in claim]) for d in doses]
    of_control = [_mean([_at(c, axis, d) for c in runs]) for d in doses]
    left = [o.minus(c) for o, c in zip(own, of_control, strict=True)]
    band, own_band = simultaneous_bands(left, most=2.0)[at], simultaneous_bands(own)[at]
    n_items = min(c.n_items(axis, c.ladder.arms[c.ladder.doses.index(doses[at])]) for c in both)
    seeds = _welch([_at(c, axis, doses[at]).value for c in claim], [_at(c, axis, doses[at]).value for c in runs])
    state: Literal["survives", "explained", "open", "no loss"] = "open"
    over_seeds = True
    if not own_band.high < 0:
        state = "no loss"
    elif own_band.high < -margin < band.low or band.low >= 0:
        state, over_seeds = "explained", not seeds.low <= -margin
    elif band.high < 0:
        state, over_seeds = "survives", not seeds.high >= 0
    if not over_seeds:
        state = "open"
    return ControlCheck(
        intervention=claim[0].ladder.name,
        axis=axis,
        dose=doses[at],
        control=name,
        kind=kind,
        change=own[at].value,
        interval=own[at].interval(),
        of_control=of_control[at].value,
        of_control_interval=of_control[at].interval(),
        left=left[at].value,
        left_interval=band,
        seed_interval=seeds,
        state=state,
        hangs_on_seeds=not over_seeds,
        n_items=n_items,
        items_needed=items_to_settle(left[at].value, band, 0.0, n_items) if state == "open" and over_seeds else None,
    )


def _welch(claim: Sequence[float], control: Sequence[float]) -> Interval:
    """Return Welch's interval of a difference of means over runs; NaN with fewer than three on a side."""
    if min(len(claim), len(control)) < ENOUGH_SEEDS:
        return UNKNOWN
    sides = [(float(np.mean(side)), float(np.var(side, ddof=1)) / len(side), len(side)) for side in (claim, control)]
    (mean, own, n), (of_control, other, m) = sides
    total = own + other
    left = mean - of_control
    if total == 0:
        return Interval(left, left)
    half = float(t.ppf(0.975, total**2 / (own**2 / (n - 1) + other**2 / (m - 1)))) * math.sqrt(total)
    return Interval(left - half, left + half)


def _same_benchmarks(changes: Sequence[LadderChanges], axis: str, doses: Sequence[float]) -> bool:
    """Whether these doses of every run were measured on the same benchmarks: only then can changes be subtracted."""
    arms = [(each, each.ladder.arms[each.ladder.doses.index(d)]) for each in changes for d in doses]
    return len({each.found[axis, arm].benchmarks for each, arm in arms}) == 1
