"""The arms that were measured on every axis, and how far each is ahead of each other, with simultaneous intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from oldham.core.fingerprint import derive_seed
from oldham.coupling.bootstrap import ZERO, Estimate, distant_ends, widen_if_rare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from oldham.coupling.contrasts import Contrast

LEVEL: Final = 0.95


@dataclass(frozen=True)
class Field:
    """The arms that were measured on every axis, the baseline first."""

    arms: tuple[str, ...]
    axes: tuple[str, ...]
    contrasts: Mapping[tuple[str, str], Contrast]
    """By arm and axis; none for the baseline."""
    margin: float
    seed: int
    values: NDArray[np.float64]
    """Shape (axes, arms): changes from the baseline, 0 for itself."""
    clouds: NDArray[np.float64]
    """Shape (axes, arms, resamples): those in which every change is known."""

    @property
    def noise(self) -> NDArray[np.float64]:
        """The clouds moved to no change: what estimates would be if no arm truly differed from the baseline."""
        centred: NDArray[np.float64] = self.clouds - self.clouds.mean(axis=2, keepdims=True)
        return centred

    @property
    def alike(self) -> NDArray[np.float64]:
        """The clouds that such studies would have, all together.

        A study's cloud lies around its estimate, which is itself off by as much: so the noise comes twice, from two
        resamples that have nothing to do with each other.
        """
        noise = self.noise
        twice: NDArray[np.float64] = noise + np.roll(noise, 1, axis=2)
        return twice

    @property
    def tail(self) -> float:
        """Share of the clouds beyond each end of a 95% interval, expanded for the least known of all changes."""
        return min(c.change.tail(LEVEL) for axis in self.axes for c in self.rows(axis))

    def rows(self, axis: str) -> list[Contrast]:
        """Return the contrasts on an axis, in the arms' order."""
        return [self.contrasts[arm, axis] for arm in self.arms[1:]]


def make_field(
    arms: tuple[str, ...],
    axes: tuple[str, ...],
    contrasts: Mapping[tuple[str, str], Contrast],
    *,
    margin: float,
    seed: int,
) -> Field:
    """Line the arms' changes up.

    Args:
        arms: The baseline first.
        axes: What they were all measured on.
        contrasts: By arm and axis, at least one for each arm but the baseline on each axis.
        margin: What a difference must exceed to count.
        seed: Of the analysis.
    """
    count = len(next(iter(contrasts.values())).change.cloud)
    values = np.zeros((len(axes), len(arms)))
    clouds = np.zeros((len(axes), len(arms), count))
    for k, axis in enumerate(axes):
        for i, arm in enumerate(arms[1:], start=1):
            change = contrasts[arm, axis].change
            values[k, i], clouds[k, i] = change.value, change.cloud
    known = np.isfinite(clouds).all(axis=(0, 1))
    return Field(arms, axes, contrasts, margin, seed, values, clouds[:, :, known])


class Behind(NamedTuple):
    """How far every other arm is ahead of one; each has shape (other arms, axes)."""

    values: NDArray[np.float64]
    low_axes: NDArray[np.float64]
    """Lower ends of 95% intervals that hold on all axes together, by Bonferroni."""
    low_arms: NDArray[np.float64]
    """The same for all other arms together."""
    low_all: NDArray[np.float64]
    """The same for all other arms and axes together."""
    high: NDArray[np.float64]
    """Upper ends, one at a time."""
    high_axes: NDArray[np.float64]
    high_all: NDArray[np.float64]


@dataclass(frozen=True)
class Leads:
    """How far the arm of the second place is ahead of that of the first; each has shape (arms, arms, axes)."""

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    """Lower ends of 95% intervals, one at a time."""
    low_axes: NDArray[np.float64]
    """Lower ends that hold on all axes together, by Bonferroni."""
    low_arms: NDArray[np.float64]
    """The same for all other arms together."""
    low_all: NDArray[np.float64]
    """The same for all other arms and axes together."""

    def of(self, i: int) -> Behind:
        """Return how far the others are ahead of the arm at a place."""
        others = [j for j in range(len(self.low)) if j != i]
        # How far j is ahead of i is at most minus what i is at least ahead of j.
        high, high_axes, high_all = (-of[others, i] for of in (self.low, self.low_axes, self.low_all))
        low_axes, low_arms, low_all = (of[i, others] for of in (self.low_axes, self.low_arms, self.low_all))
        return Behind(self.values[i, others], low_axes, low_arms, low_all, high, high_axes, high_all)


def compare(field: Field) -> Leads:
    """Compare every two arms on every axis, resample by resample.

    Args:
        field: The arms.

    Returns:
        NaN where a difference has no known spread.
    """
    n_arms, n_axes = len(field.arms), len(field.axes)
    shared = (1, n_axes, n_arms - 1, (n_arms - 1) * n_axes)
    levels = [1 - (1 - LEVEL) / number for number in shared]
    lows = np.zeros((len(shared), n_arms, n_arms, n_axes))
    for pair in combinations(range(n_arms), 2):
        # By name after the baseline, so that the order of the arms does not matter.
        i, j = pair if pair[0] == 0 else sorted(pair, key=lambda place: field.arms[place])
        for k in range(n_axes):
            low, high = distant_ends(_lead(field, i, j, k), levels, most=2.0 if i else 1.0)
            lows[:, i, j, k], lows[:, j, i, k] = low, -high
    values = field.values.T
    return Leads(values[None] - values[:, None], *lows)


def _lead(field: Field, i: int, j: int, k: int) -> Estimate:
    """Estimate how far arm j is ahead of arm i on an axis; the baseline can only be i."""
    axis = field.axes[k]
    second = field.contrasts[field.arms[j], axis]
    if i == 0:
        return second.change
    first = field.contrasts[field.arms[i], axis]
    fewer = min(first.change, second.change, key=lambda change: change.freedom)
    lead = replace(second.change.minus(first.change), n_clusters=fewer.n_clusters, strata=fewer.strata)
    differences = _differences(first, second)
    if differences is None:
        # Nobody can say how many clusters differ, unless none does.
        if not lead.variance <= ZERO**2:
            return lead
        differences = np.zeros(lead.n_clusters)
    seed = derive_seed("pareto", field.seed, axis, field.arms[i], field.arms[j])
    return widen_if_rare(lead, differences, seed=seed)


def _differences(first: Contrast, second: Contrast) -> NDArray[np.float64] | None:
    """Return the clusters' own differences where the two arms' clusters are surely the same, in the same order."""
    is_whole = first.n_missing == second.n_missing == 0 and first.benchmarks == second.benchmarks
    if not is_whole or len(first.benchmarks) != 1 or len(first.shifts) != len(second.shifts):
        return None
    # What a cluster adds to the mean of n is its own mean over n, where clusters are of one size.
    own: NDArray[np.float64] = (second.shifts - first.shifts) * len(first.shifts)
    return own
