"""Attacks compared item by item: with no attack, across arms, and with their controls."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from oldham.core.fingerprint import derive_seed
from oldham.coupling.attack_grid import Place, by_axis
from oldham.coupling.attack_results import UNATTACKED, AttackContrast, DoseControl, Paired
from oldham.coupling.attack_worst import against_baseline, spanned
from oldham.coupling.bootstrap import average, resample_means, widen_if_rare
from oldham.coupling.shares import UNKNOWN
from oldham.coupling.significance import holm, mcnemar, sign_flip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from oldham.coupling.attack_grid import Grid, Ladder
    from oldham.coupling.attack_worst import WorstChange
    from oldham.coupling.bootstrap import Estimate
    from oldham.coupling.options import CouplingOptions

CONTROLS: Final = {"distractor_padding": "filler_padding"}
"""Techniques whose power may come from their length alone, and the control of the same length."""
_COLUMNS: Final = 64
"""Comparisons resampled at a time: their resampled values are all in memory."""
_WORST: Final = ("worst", "worst low", "worst high")
"""The tables of the worst of attacks: items known on both sides, and both bounds over all items asked on both."""


class Key(NamedTuple):
    """Names a comparison within an axis."""

    table: str
    """Comparisons of one table share a family of tests."""
    arm: str
    attack: str = ""


@dataclass(frozen=True)
class Column:
    """A comparison on the items of one benchmark."""

    grid: Grid
    values: NDArray[np.float64]
    """Shape (units,): what is averaged; NaN for an item that is not paired."""
    asked: NDArray[np.bool_]
    """Shape (units,): items asked on some side; for the worst of attacks on both."""
    largest: float = 1.0
    """The largest value that there can be."""
    single: bool = False
    """Whether McNemar's test holds: single yes-or-no draws of independent items on both sides."""


@dataclass(frozen=True)
class _Part:
    """A comparison's column, resampled."""

    estimate: Estimate
    shifts: NDArray[np.float64]
    """Shape (clusters,): what each cluster adds to the mean."""
    n_items: int
    discordant: tuple[int, int] | None
    """Items that went up and down, where McNemar's test holds."""


def compare(axis: str, columns: Mapping[Key, Sequence[Column]], options: CouplingOptions) -> dict[Key, Paired]:
    """Resample and test comparisons on an axis.

    Args:
        axis: The axis.
        columns: By comparison: one for each benchmark on which it can be made.
        options: Resamples, permutations and seed.

    Returns:
        The mean of the benchmarks' means, without weights; p-values are adjusted over each table.
    """
    keys = list(columns)
    found: dict[Key, Paired] = {}
    for start in range(0, len(keys), _COLUMNS):
        some = keys[start : start + _COLUMNS]
        parts: dict[Key, list[_Part]] = defaultdict(list)
        for grid in {id(c.grid): c.grid for key in some for c in columns[key]}.values():
            here = [(key, column) for key in some for column in columns[key] if column.grid is grid]
            for (key, _), part in zip(here, _resample(grid, here, options), strict=True):
                parts[key].append(part)
        for key in some:
            n_asked = sum(int(column.asked.sum()) for column in columns[key])
            found[key] = _paired(axis, key, parts[key], n_asked, options)
    return _adjusted(found)


def _resample(grid: Grid, columns: Sequence[tuple[Key, Column]], options: CouplingOptions) -> Iterator[_Part]:
    clusters = grid.bad.clusters
    # In units of the largest value, for the bound that rare changes leave open is in [-1, 1].
    values = np.column_stack([column.values / column.largest for _, column in columns])
    # The seed of the arms' effects: the same resamples.
    seed = derive_seed("coupling", options.seed, grid.axis, grid.benchmark)
    estimates = resample_means(values, clusters, resamples=options.resamples, seed=seed)
    for (key, column), scaled, estimate in zip(columns, values.T, estimates, strict=True):
        known = np.isfinite(scaled)
        n_items = int(known.sum())
        sizes = np.bincount(clusters[known])
        totals = np.bincount(clusters[known], weights=scaled[known])[sizes > 0]
        wide = widen_if_rare(estimate, totals / sizes[sizes > 0], seed=derive_seed("rare", seed, *key))
        yield _Part(
            estimate=replace(
                wide,
                value=column.largest * wide.value,
                cloud=column.largest * wide.cloud,
                variance=column.largest**2 * wide.variance,
            ),
            shifts=column.largest * totals / max(n_items, 1),
            n_items=n_items,
            discordant=(int((scaled > 0).sum()), int((scaled < 0).sum())) if column.single else None,
        )


def _paired(axis: str, key: Key, parts: Sequence[_Part], n_asked: int, options: CouplingOptions) -> Paired:
    known = [part for part in parts if part.n_items]
    if not known:
        return Paired(math.nan, UNKNOWN, math.nan, math.nan, "none", 0, 0, n_asked)
    estimate = average([part.estimate for part in known])
    n_items = sum(part.n_items for part in known)
    if len(known) == 1 and known[0].discordant is not None:
        p_value, exact = mcnemar(*known[0].discordant), True
    else:
        shifts = np.concatenate([part.shifts / len(known) for part in known])
        seed = derive_seed("sign-flip", options.seed, axis, *key)
        p_value, exact = sign_flip(shifts, permutations=options.permutations, seed=seed), False
    return Paired(
        delta=estimate.value,
        interval=estimate.interval(),
        p_value=p_value,
        p_holm=math.nan,
        test="mcnemar" if exact else "sign-flip",
        n_items=n_items,
        n_clusters=estimate.n_clusters,
        n_missing=n_asked - n_items,
    )


def _adjusted(found: Mapping[Key, Paired]) -> dict[Key, Paired]:
    tables: dict[str, list[Key]] = defaultdict(list)
    for key in found:
        tables[key.table].append(key)
    adjusted: dict[Key, Paired] = {}
    for keys in tables.values():
        for key, p_holm in zip(keys, holm([found[key].p_value for key in keys]), strict=True):
            adjusted[key] = replace(found[key], p_holm=p_holm)
    return adjusted


@dataclass(frozen=True)
class Contrasts:
    """Everything that is compared item by item, on every axis."""

    powers: tuple[AttackContrast, ...]
    interactions: tuple[AttackContrast, ...]
    changes: tuple[AttackContrast, ...]
    controls: tuple[DoseControl, ...]
    worst: Mapping[tuple[str, str], WorstChange]
    """By axis and arm."""


def build_attack_contrasts(grids: Sequence[Grid], ladder: Ladder, options: CouplingOptions) -> Contrasts:
    """Compare attacks with no attack, arms with the baseline, and techniques with their controls.

    A comparison is made on the benchmarks on which all its sides were run, over the items with a score on every side.

    Args:
        grids: The benchmarks that were attacked.
        ladder: The arms and attacks.
        options: Resamples, permutations and seed.

    Returns:
        By axis; interactions by size within it, all else by attack and arm.
    """
    powers: list[AttackContrast] = []
    interactions: list[AttackContrast] = []
    changes: list[AttackContrast] = []
    controls: list[DoseControl] = []
    worst: dict[tuple[str, str], WorstChange] = {}
    baseline = ladder.arms[0]
    for axis, of_axis in by_axis(grids):
        columns: dict[Key, list[Column]] = defaultdict(list)
        for grid in of_axis:
            for key, column in _columns(grid, ladder):
                columns[key].append(column)
        # Not in the order of benchmarks: the second may have an attack that the first lacks.
        order = {place: i for i, place in enumerate(ladder.places)}
        keys = sorted(columns, key=lambda key: (key.table, order.get(Place(key.arm, key.attack), 0), key.arm))
        found = compare(axis, {key: columns[key] for key in keys}, options)
        own: list[AttackContrast] = []
        for key, change in found.items():
            if key.table == "power":
                powers.append(AttackContrast(axis, key.arm, key.attack, UNATTACKED, change))
            elif key.table == "interaction":
                own.append(AttackContrast(axis, key.arm, key.attack, baseline, change))
            elif key.table == "change":
                changes.append(AttackContrast(axis, key.arm, key.attack, baseline, change))
            elif key.table == "control":
                technique, dose = ladder.techniques[key.attack], ladder.doses[key.attack]
                control = control_of(technique)
                assert control is not None
                controls.append(DoseControl(axis, key.arm, technique, control, dose, change))
        worst |= {(axis, arm): change for arm, change in _worst_changes(found)}
        interactions += sorted(own, key=_by_size)
    return Contrasts(tuple(powers), tuple(interactions), tuple(changes), tuple(controls), worst)


def _worst_changes(found: Mapping[Key, Paired]) -> Iterator[tuple[str, WorstChange]]:
    """Yield the changes of the worst of attacks by arm, adjusted over the arms."""
    arms = [key.arm for key in found if key.table == _WORST[0]]
    changes = [spanned(*(found[Key(table, arm)] for table in _WORST)) for arm in arms]
    adjusted = holm([change.paired.p_value for change in changes])
    for arm, change, p_holm in zip(arms, changes, adjusted, strict=True):
        yield arm, change._replace(paired=replace(change.paired, p_holm=p_holm))


def _columns(grid: Grid, ladder: Ladder) -> Iterator[tuple[Key, Column]]:
    """Yield every comparison that can be made on a benchmark."""
    baseline = ladder.arms[0]
    for place in ladder.places:
        arm, attack = place
        free, base, base_free = Place(arm, UNATTACKED), Place(baseline, attack), Place(baseline, UNATTACKED)
        if attack != UNATTACKED and grid.has(place, free):
            yield Key("power", arm, attack), _difference(grid, place, free)
            if arm != baseline and grid.has(base, base_free):
                own = grid.bad_share(place) - grid.bad_share(free)
                of_base = grid.bad_share(base) - grid.bad_share(base_free)
                asked = grid.asked(place, free, base, base_free)
                yield Key("interaction", arm, attack), Column(grid, own - of_base, asked, largest=2.0)
        if arm != baseline and grid.has(place, base):
            yield Key("change", arm, attack), _difference(grid, place, base)
        control = _same_dose(ladder, attack)
        if control is not None and grid.has(place, Place(arm, control)):
            yield Key("control", arm, attack), _difference(grid, place, Place(arm, control))
    for arm in ladder.arms:
        sides = against_baseline(grid, ladder, arm)
        if sides is not None:
            here, there = sides
            alone = len(np.unique(grid.bad.clusters)) == len(grid.bad.clusters)
            differences = here.known - there.known, here.low - there.high, here.high - there.low
            for table, values in zip(_WORST, differences, strict=True):
                yield Key(table, arm), Column(grid, values, asked=here.asked, single=alone)


def _difference(grid: Grid, place: Place, other: Place) -> Column:
    return Column(
        grid,
        values=grid.bad_share(place) - grid.bad_share(other),
        asked=grid.asked(place, other),
        single=grid.bad.is_single_binary(place.name, other.name),
    )


def control_of(technique: str) -> str | None:
    """Name the technique that does the same without the point of it.

    Args:
        technique: A label without its dose; parts are separated by `+` and may have settings in brackets.

    Returns:
        The technique with the names in `CONTROLS` replaced; None where none is in it.
    """
    parts = [part.partition("[") for part in technique.split("+")]
    if not any(name in CONTROLS for name, _, _ in parts):
        return None
    return "+".join(CONTROLS.get(name, name) + bracket + rest for name, bracket, rest in parts)


def _same_dose(ladder: Ladder, attack: str) -> str | None:
    """Return the label of an attack's control at the attack's own dose; None where there is none."""
    control = control_of(ladder.techniques[attack]) if attack in ladder.techniques else None
    dose = ladder.doses.get(attack, math.nan)
    return next(
        (a for a in ladder.attacks if ladder.techniques[a] == control and ladder.doses[a] == dose),
        None,
    )


def _by_size(contrast: AttackContrast) -> tuple[bool, bool, float]:
    """Put the largest first, after those with an interval those without, and those of which nothing is known last."""
    change = contrast.change
    unknown = math.isnan(change.delta)
    return unknown, math.isnan(change.interval.low), 0.0 if unknown else -abs(change.delta)
