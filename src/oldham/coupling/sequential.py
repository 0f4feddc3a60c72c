"""Evidence that may be looked at as often as one likes: betting on the mean of bounded paired differences.

A gambler who believes that a mean lies above m bets a share of the capital on each new unit. Were the mean at most m,
the capital could not be expected to grow, and by Ville's inequality it ever reaches 1/a with chance at most a, however
often one looks and whenever one stops (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by
betting", JRSS-B 86:1, arXiv 2010.09686, sections 4.1 to 4.3; Shafer 2021, JRSS-A 184:407).

**The bets.** The capital is the mean over a fixed grid of constant bets, spaced as the quantiles of Beta(1/2, 1/2): the
universal portfolio (Cover and Ordentlich 1996; for confidence sequences Orabona and Jun 2021, arXiv 2110.14099). It
needs no tuning, is never far from the best constant bet in hindsight, and depends on the units but not on their order,
so that rows may be read in any order within a round. It falls with m, so that the means not yet ruled out are an
interval.

**The unit** is a cluster. What a cluster of n items with differences D_i shows against m is sum(D_i - m), over the
largest cluster that was planned: its expectation is at most 0 exactly where the mean **over items** is at most m, so
that clusters of unequal size still speak of the mean that effects estimate. A cluster counts once, however alike its
items are. Items without a score in both arms are not in n; a cluster without any is no unit.

**Several benchmarks** are averaged without weights, as effects are. The evidence that their mean lies above m is the
least product of the benchmarks' capitals over all ways in which their means could average m (the union of
intersections: Spertus and Stark 2022, arXiv 2207.03379). The benchmarks may have any numbers of items.

**Sampling.** Units count as drawn from the population that a benchmark stands for, as in every other interval of this
package. The same section 5 has a sharper version for draws without replacement, which ends in certainty when the last
item is asked. It would be certain of the benchmark's own mean only, and that is not what is asked here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import logsumexp
from scipy.stats import beta

from oldham.coupling.results import Interval
from oldham.coupling.shares import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BETS: Final = 48
_STEP: Final = 0.002
"""Means are told apart to this, always towards the wider interval and the weaker evidence."""
_POINTS: Final = round(2 / _STEP) + 1
_TINY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Units:
    """The paired differences of one arm on one benchmark, cluster by cluster."""

    sums: NDArray[np.float64]
    """Shape (clusters,): sum of the items' differences, each in [-1, 1]."""
    counts: NDArray[np.float64]
    """Shape (clusters,): items with a difference, at least 1."""
    largest: int
    """Items of the largest cluster that could have come; it must not hang on what came."""

    def mirrored(self) -> Units:
        """Return the units with gains and losses exchanged."""
        return Units(-self.sums, self.counts, self.largest)


@cache
def bets() -> NDArray[np.float64]:
    """Return the grid of bets, as shares in (0, 1) of the most that cannot lose everything."""
    grid: NDArray[np.float64] = beta.ppf((np.arange(_BETS) + 0.5) / _BETS, 0.5, 0.5)
    return grid


def log_growth(total: float, count: float, largest: int, means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what one cluster makes of the capital behind each bet.

    Args:
        total: Sum of its items' differences.
        count: Items in it.
        largest: Items of the largest cluster that could have come.
        means: Shape (means,), in [-1, 1]: the values bet against.

    Returns:
        Shape (bets, means): logarithms of the factors.
    """
    size = count / largest
    room = 1 + np.maximum(means, _TINY - 1)[None, :]
    grown: NDArray[np.float64] = np.log1p(bets()[:, None] * ((total / largest + size) / room - size))
    return grown


def log_capital(units: Units, means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what betting on a mean above each of some values has made of a capital of 1.

    Args:
        units: Of one benchmark.
        means: Shape (means,), in [-1, 1].

    Returns:
        Shape (means,): logarithms; an e-process for "the mean is at most this". They fall with the mean. 0 without
        units.
    """
    pairs, times = np.unique(np.column_stack([units.sums, units.counts]), axis=0, return_counts=True)
    capital = np.zeros((_BETS, len(means)))
    for (total, count), n in zip(pairs, times, strict=True):
        capital += n * log_growth(total, count, units.largest, means)
    gained: NDArray[np.float64] = logsumexp(capital, axis=0) - math.log(_BETS)
    return gained


def log_evidence(benchmarks: Sequence[Units], limit: float) -> float:
    """Return the evidence that the unweighted mean of the benchmarks' means lies above a limit.

    Args:
        benchmarks: At least one.
        limit: In [-1, 1].

    Returns:
        The logarithm of an e-process for "it is at most the limit": whenever one looks, it is at least log(1/a) with
        chance at most a if that is so.
    """
    if len(benchmarks) == 1:
        return float(log_capital(benchmarks[0], np.array([limit]))[0])
    least = _least(benchmarks)
    k = len(benchmarks)
    # The benchmarks' true means, each rounded up to the grid, sum to at most this.
    at = math.ceil((k * (limit + 1) + k * _STEP) / _STEP - _TINY)
    return float(least[min(at, len(least) - 1)])


def confidence_interval(benchmarks: Sequence[Units], level: float) -> Interval:
    """Return the means that betting has not ruled out: an interval that holds at every time at once.

    Args:
        benchmarks: Paired differences of each; a benchmark without units leaves everything open.
        level: Chance that the interval holds the truth at all times, in (0, 1); each end takes half of what is left.

    Returns:
        In [-1, 1]; NaN without benchmarks.
    """
    if not benchmarks:
        return UNKNOWN
    low = _lowest(benchmarks, level)
    high = -_lowest([units.mirrored() for units in benchmarks], level)
    # The two ends can only cross where both claims are refuted at once; then nothing is left, and nothing is claimed.
    return Interval(low, high) if low <= high else Interval(-1.0, 1.0)


def _lowest(benchmarks: Sequence[Units], level: float) -> float:
    """Return the largest mean that is ruled out from below, with all below it."""
    needed = math.log(2 / (1 - level))
    k = len(benchmarks)
    if k == 1:
        grid = np.linspace(-1.0, 1.0, _POINTS)
        out = log_capital(benchmarks[0], grid) >= needed
        return float(grid[out][-1]) if out.any() else -1.0
    out = _least(benchmarks) >= needed
    # Entry j speaks of the means that average less than this; see `log_evidence`.
    return max(-1.0, (int(np.flatnonzero(out)[-1]) * _STEP - k * _STEP) / k - 1) if out.any() else -1.0


def _least(benchmarks: Sequence[Units]) -> NDArray[np.float64]:
    """Return the least product of capitals for each sum of means on the grid, as logarithms."""
    grid = np.linspace(-1.0, 1.0, _POINTS)
    least = log_capital(benchmarks[0], grid)
    for units in benchmarks[1:]:
        other = log_capital(units, grid)
        joined = np.full(len(least) + _POINTS - 1, np.inf)
        for j, gained in enumerate(other):
            np.minimum(joined[j : j + len(least)], least + gained, out=joined[j : j + len(least)])
        least = joined
    return least
