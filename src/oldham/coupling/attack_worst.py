"""The worst of all attacks: which items at least one of them breaks, and of which items nobody knows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from oldham.coupling.attack_grid import Place, by_axis, mean_share
from oldham.coupling.attack_worst_results import WorstOfAttacks
from oldham.coupling.bootstrap import resample_means
from oldham.coupling.results import Interval
from oldham.coupling.shares import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from oldham.coupling.attack_grid import Grid, Ladder
    from oldham.coupling.attack_results import Paired


@dataclass(frozen=True)
class WorstByItem:
    """What several attacks, each with its first draw, do to the items of a benchmark; arrays of shape (units,)."""

    asked: NDArray[np.bool_]
    """At least one of the attacks was asked."""
    broken: NDArray[np.bool_]
    """At least one of those asked succeeded, whatever has no score."""
    unknown: NDArray[np.bool_]
    """None succeeded, and at least one of those asked has no score."""

    @property
    def known(self) -> NDArray[np.float64]:
        """1 for a broken item, 0 for an unbroken one; NaN for one of which neither is known or that was not asked."""
        return np.where(self.asked & ~self.unknown, self.broken, np.nan)

    @property
    def low(self) -> NDArray[np.float64]:
        """1 for an item that is broken for sure, else 0; NaN for one that was not asked."""
        return np.where(self.asked, self.broken, np.nan)

    @property
    def high(self) -> NDArray[np.float64]:
        """1 for an item that is or may be broken, else 0; NaN for one that was not asked."""
        return np.where(self.asked, self.broken | self.unknown, np.nan)


class WorstChange(NamedTuple):
    """A change from the baseline, and how far the missing outcomes could move it."""

    paired: Paired
    """As `WorstOfAttacks.change` tells it."""
    bound_low: float
    """Over all items asked on both sides, if every missing outcome were good here and bad in the baseline."""
    bound_high: float
    """The same the other way round."""


def worst_of(firsts: NDArray[np.float64], asked: NDArray[np.bool_]) -> WorstByItem:
    """Say which items at least one attack breaks.

    Args:
        firsts: Shape (attacks, units): whether the first draw succeeded, 1 or 0; NaN without a score.
        asked: Shape (attacks, units): which attacks count for which items.
    """
    some = np.logical_or.reduce
    broken: NDArray[np.bool_] = some(asked & (firsts == 1), axis=0)
    return WorstByItem(some(asked, axis=0), broken, some(asked & np.isnan(firsts), axis=0) & ~broken)


def against_baseline(grid: Grid, ladder: Ladder, arm: str) -> tuple[WorstByItem, WorstByItem] | None:
    """Say which items the attacks break that an arm and the baseline both met.

    Args:
        grid: A benchmark.
        ladder: The arms and attacks.
        arm: The arm.

    Returns:
        The arm's side and the baseline's, each item with the attacks that it was asked under on both; None for the
        baseline itself or where nothing is shared.
    """
    shared = shared_rungs(grid, ladder, arm)
    if not shared:
        return None
    of_baseline = [Place(ladder.arms[0], place.attack) for place in shared]
    both = _asked(grid, shared) & _asked(grid, of_baseline)
    return worst_of(_firsts(grid, shared), both), worst_of(_firsts(grid, of_baseline), both)


def spanned(known: Paired, low: Paired, high: Paired) -> WorstChange:
    """Put a change and its bounds together, so that its interval and test hold whatever the missing outcomes are.

    Args:
        known: Over the items known on both sides.
        low: Over all items asked on both, every missing outcome good here and bad in the baseline.
        high: The same the other way round.

    Returns:
        With the p-values as they are, not adjusted for others.
    """
    bounds = low.delta, high.delta
    if not known.n_items or not known.n_missing:
        return WorstChange(known, *bounds)
    interval = Interval(low.interval.low, high.interval.high)
    nearer = low if low.delta > 0 else high if high.delta < 0 else None
    if nearer is not None:
        return WorstChange(replace(known, interval=interval, p_value=nearer.p_value, test=nearer.test), *bounds)
    # Some completion of the data has no change at all; a test that has no answer still has none.
    undecided = known.p_value if math.isnan(known.p_value) else 1.0
    return WorstChange(replace(known, interval=interval, p_value=undecided), *bounds)


def shared_rungs(grid: Grid, ladder: Ladder, arm: str) -> list[Place]:
    """Return the attacks that an arm and the baseline both met; none for the baseline itself.

    Args:
        grid: A benchmark.
        ladder: The arms and attacks.
        arm: The arm.
    """
    if arm == ladder.arms[0]:
        return []
    return [place for place in grid.rungs(ladder, arm) if grid.has(Place(ladder.arms[0], place.attack))]


def build_worst(
    grids: Sequence[Grid], ladder: Ladder, changes: Mapping[tuple[str, str], WorstChange]
) -> Iterator[WorstOfAttacks]:
    """Yield the share of items that at least one attack breaks, for every arm.

    Args:
        grids: The benchmarks that were attacked.
        ladder: The arms and attacks.
        changes: Differences to the baseline over shared attacks, by axis and arm.
    """
    for axis, of_axis in by_axis(grids):
        for arm in ladder.arms:
            here = [(grid, rungs) for grid in of_axis if (rungs := grid.rungs(ladder, arm))]
            if here:
                change = changes.get((axis, arm))
                n_apart = sum(_n_apart(grid, ladder, arm) for grid in of_axis) if change else 0
                yield _worst(axis, arm, here, ladder, change, n_apart)


def _worst(
    axis: str,
    arm: str,
    here: Sequence[tuple[Grid, list[Place]]],
    ladder: Ladder,
    change: WorstChange | None,
    n_apart: int,
) -> WorstOfAttacks:
    asked = [_asked(grid, rungs) for grid, rungs in here]
    by_item = [worst_of(_firsts(grid, rungs), of_grid) for (grid, rungs), of_grid in zip(here, asked, strict=True)]
    clusters = [grid.bad.clusters for grid, _ in here]
    n_asked = sum(int(w.asked.sum()) for w in by_item)
    n_missing = sum(int(w.unknown.sum()) for w in by_item)
    low, of_low, n_clusters = _mean([w.low for w in by_item], clusters, n_asked)
    high, of_high, _ = _mean([w.high for w in by_item], clusters, n_asked)
    tries = [(place, queries) for grid, rungs in here for place in rungs for queries in grid.first_queries(place)]
    searched = [(place, queries) for place, queries in tries if not math.isnan(queries)]
    counts = [queries for _, queries in searched]
    is_known = n_missing < n_asked
    return WorstOfAttacks(
        axis=axis,
        arm=arm,
        attacks=_labels(ladder, [place for _, rungs in here for place in rungs]),
        fewest=min(int(of_grid.sum(axis=0)[w.asked].min()) for of_grid, w in zip(asked, by_item, strict=True)),
        searches=_labels(ladder, [place for place, _ in searched]),
        fewest_queries=min(counts, default=math.nan),
        most_queries=max(counts, default=math.nan),
        share=low if is_known else math.nan,
        interval=Interval(of_low.low, of_high.high) if is_known else UNKNOWN,
        bound_low=low,
        bound_high=high,
        n_items=n_asked - n_missing,
        n_clusters=n_clusters,
        n_missing=n_missing,
        shared=_labels(ladder, [place for grid, _ in here for place in shared_rungs(grid, ladder, arm)]),
        change=change.paired if change else None,
        change_bound_low=change.bound_low if change else math.nan,
        change_bound_high=change.bound_high if change else math.nan,
        n_apart=n_apart,
    )


def _n_apart(grid: Grid, ladder: Ladder, arm: str) -> int:
    """Count the items that met attacks in the arm or the baseline, but none in both."""
    places = [*grid.rungs(ladder, arm), *grid.rungs(ladder, ladder.arms[0])]
    if not places:
        return 0
    sides = against_baseline(grid, ladder, arm)
    met = int(grid.asked(*places).sum())
    return met - int(sides[0].asked.sum()) if sides else met


def _mean(
    values: Sequence[NDArray[np.float64]], clusters: Sequence[NDArray[np.int64]], n_asked: int
) -> tuple[float, Interval, int]:
    """Return a share over the benchmarks with its interval and clusters."""
    parts = [
        resample_means(of_grid[:, None], own, resamples=0, seed=0)[0]
        for of_grid, own in zip(values, clusters, strict=True)
    ]
    return *mean_share(parts, most=n_asked), sum(part.n_clusters for part in parts)


def _asked(grid: Grid, places: Sequence[Place]) -> NDArray[np.bool_]:
    return np.array([grid.asked(place) for place in places])


def _firsts(grid: Grid, places: Sequence[Place]) -> NDArray[np.float64]:
    return np.array([grid.first(place) for place in places])


def _labels(ladder: Ladder, places: Sequence[Place]) -> tuple[str, ...]:
    used = {place.attack for place in places}
    return tuple(attack for attack in ladder.attacks if attack in used)
