"""The shared cluster bootstrap: one matrix of cluster weights for every arm and every statistic of a benchmark.

Intervals are percentiles of the resampled values at levels expanded for few clusters (Hesterberg 2015, "What teachers
should know about the bootstrap", section 5.3). BCa intervals were measured against them and fell short where verdicts
are yes or no: with 60 items and as many gains as losses (5% each) BCa held the truth in 91.5% of simulated studies (88%
in 12 clusters of 5), expanded percentiles in 95.6% (94.9%).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.stats import norm, t

from oldham.coupling.results import Interval
from oldham.coupling.shares import UNKNOWN, effective_trials, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_CHUNK: Final = 4_000_000
"""Cluster weights held in memory at a time."""
ZERO: Final = 1e-12
"""Sums of scores are exact up to rounding; anything smaller is nothing."""
_ENOUGH_CHANGES: Final = 6
_FEWEST_BEYOND: Final = 2
"""Resamples that must lie beyond an end for them to show it."""


class Stratum(NamedTuple):
    """One of the benchmarks that an estimate averages over."""

    value: float
    variance: float
    n_clusters: int


@dataclass(frozen=True)
class Estimate:
    """A mean over items with its resampled values, over one benchmark or averaged over several."""

    value: float
    """NaN when there is nothing to average."""
    cloud: NDArray[np.float64]
    """Shape (resamples,). Entry b of two estimates of a benchmark comes from the same resample."""
    variance: float
    """Squared standard error, clusters allowed for; NaN with fewer than two clusters."""
    n_clusters: int
    strata: tuple[Stratum, ...] = ()
    """The benchmarks averaged over, within each of which clusters are resampled; empty for one benchmark."""

    @property
    def n_strata(self) -> int:
        """Benchmarks averaged over."""
        return len(self.strata) or 1

    @property
    def degrees(self) -> int:
        """Clusters less benchmarks: below 1 there is no spread to judge by; see `freedom` for how well it is known."""
        return self.n_clusters - self.n_strata

    @property
    def has_spread(self) -> bool:
        """Whether its error is known: one benchmark of a single cluster is enough to leave it unknown."""
        return self.degrees >= 1 and math.isfinite(self.variance)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance.

        Over several benchmarks by Welch and Satterthwaite's formula (Satterthwaite 1946, Biometrics Bulletin 2:110):
        a few clusters that make most of the variance leave it as unsure as they are few, however many the other
        benchmarks have. With 10 clusters beside 300 of equal spread, intervals at `degrees` held the truth in 91.5% of
        1,500 simulated studies, and with 6 beside 100 in 87.6%.
        """
        known = [s for s in self.strata if s.n_clusters > 1 and s.variance > 0]
        if not known:
            return float(self.degrees)
        total = sum(s.variance for s in known)
        return total**2 / sum(s.variance**2 / (s.n_clusters - 1) for s in known)

    @property
    def shown(self) -> float:
        """Share of the variance that resamples show: of n clusters they show (n - 1)/n."""
        known = [s for s in self.strata if s.n_clusters > 1 and s.variance > 0]
        if not known:
            return self.degrees / self.n_clusters
        total = sum(s.variance for s in known)
        return sum(s.variance * (s.n_clusters - 1) / s.n_clusters for s in known) / total

    def interval(self, level: float = 0.95) -> Interval:
        """Return the expanded percentile interval.

        Args:
            level: Coverage.

        Returns:
            NaN where a benchmark has fewer than two clusters.
        """
        if self.degrees < 1 or not np.isfinite(self.cloud).any():
            return UNKNOWN
        tail = self.tail(level)
        low, high = np.nanquantile(self.cloud, [tail, 1 - tail])
        return Interval(float(low), float(high))

    def tail(self, level: float) -> float:
        """Return the share of the cloud that lies beyond either end of the interval; needs a degree of freedom.

        Args:
            level: Coverage.
        """
        # Resampling n clusters shows (n - 1)/n of their variance and knows no Student's t: the tails make up for both.
        return float(norm.cdf(-t.ppf((1 + level) / 2, self.freedom) / math.sqrt(self.shown)))

    def p_value(self, *, above: bool = False) -> float:
        """Return the p-value of "it is 0" that `interval` stands for: it is below 1 - level where that excludes 0.

        Args:
            above: Against "it is above 0" alone, else against both sides.

        Returns:
            Not below what the number of resamples can show; NaN where there is no interval.
        """
        known = self.cloud[np.isfinite(self.cloud)]
        if self.degrees < 1 or not len(known):
            return math.nan
        against = (known <= ZERO).mean() if above else min((known <= ZERO).mean(), (known >= -ZERO).mean())
        share = max(float(against), 1 / (len(known) + 1))
        tail = float(t.sf(-norm.ppf(share) * math.sqrt(self.shown), self.freedom))
        return min(1.0, tail if above else 2 * tail)

    def share_interval(self, most: float = math.inf) -> Interval:
        """Return Wilson's interval with the effective number of trials, for a mean of numbers in [0, 1].

        One variance for several benchmarks would take a small one in which nothing was seen as known for certain: with
        10 items beside 300 and true shares of 10%, such an interval held the mean in 65% of 2,000 simulated studies.
        So each benchmark's own interval is taken too, their distances from the shares put together as standard errors
        are (Newcombe 1998, Statistics in Medicine 17:873, method 10; for more than two, Zou and Donner 2008, Statistics
        in Medicine 27:1693), and of both intervals the outer ends count: 98% of those studies.

        Args:
            most: The effective number is no larger.
        """
        whole = _share_interval(Stratum(self.value, self.variance, self.n_clusters), self.degrees, most)
        if not self.strata:
            return whole
        ends = [_share_interval(s, s.n_clusters - 1, most * s.n_clusters / self.n_clusters) for s in self.strata]
        if any(math.isnan(end.low) for end in ends):
            return UNKNOWN
        k = len(ends)
        below = math.hypot(*(s.value - end.low for s, end in zip(self.strata, ends, strict=True))) / k
        above = math.hypot(*(end.high - s.value for s, end in zip(self.strata, ends, strict=True))) / k
        return Interval(max(0.0, min(whole.low, self.value - below)), min(1.0, max(whole.high, self.value + above)))

    def minus(self, other: Estimate) -> Estimate:
        """Return the difference with an estimate of the same benchmarks, resample by resample.

        Args:
            other: What is subtracted.
        """
        cloud = self.cloud - other.cloud
        variance = float(np.nanvar(cloud)) if np.isfinite(cloud).any() else math.nan
        return Estimate(self.value - other.value, cloud, variance, self.n_clusters, self.strata)


def distant_ends(
    estimate: Estimate, levels: Sequence[float], *, most: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of intervals at levels that allow for many looks, and so lie far out.

    Where fewer than two resamples lie beyond an end, they cannot show it, and Student's end counts if it is further
    out: with 10 arms on five axes, all alike, 1,000 resamples alone put some arm ahead in 8% of simulated studies and
    200 in 29%, and not in the 2.5% that the intervals promise. Clouds of a few clusters stop short, too: bands over
    four doses held all changes of 6 clusters beside 100 in 88% of 1,000 studies without it and in 93% with it.

    Args:
        estimate: With a cloud and a degree of freedom.
        levels: Coverages.
        most: The largest size that there can be.

    Returns:
        Lower and upper ends, one a level.
    """
    tails = np.array([estimate.tail(level) for level in levels])
    low, high = np.nanquantile(estimate.cloud, tails), np.nanquantile(estimate.cloud, 1 - tails)
    error = math.sqrt(max(estimate.variance, float(np.nanvar(estimate.cloud)) / estimate.shown))
    half = t.ppf((1 + np.array(levels)) / 2, estimate.freedom) * error
    is_short = tails * np.isfinite(estimate.cloud).sum() < _FEWEST_BEYOND
    low = np.where(is_short, np.maximum(np.minimum(low, estimate.value - half), -most), low)
    return low, np.where(is_short, np.minimum(np.maximum(high, estimate.value + half), most), high)


def average(parts: Sequence[Estimate]) -> Estimate:
    """Average the estimates of several benchmarks without weights.

    Args:
        parts: One for each benchmark, at least one.

    Returns:
        The mean; its cloud is the mean of independent clouds, which is resampling within benchmarks.
    """
    k = len(parts)
    if k == 1:
        return parts[0]
    return Estimate(
        value=sum(p.value for p in parts) / k,
        cloud=np.mean([p.cloud for p in parts], axis=0),
        variance=sum(p.variance for p in parts) / k**2,
        n_clusters=sum(p.n_clusters for p in parts),
        strata=tuple(Stratum(p.value, p.variance, p.n_clusters) for p in parts),
    )


def resample_means(
    values: NDArray[np.float64], clusters: NDArray[np.int64], *, resamples: int, seed: int
) -> list[Estimate]:
    """Resample the mean of every column by whole clusters.

    Args:
        values: Shape (units, columns); NaN leaves the unit out of that column.
        clusters: Shape (units,), numbers from 0.
        resamples: How many.
        seed: Equal seeds and clusters give equal resamples.

    Returns:
        One estimate a column. The cloud is NaN where a column has fewer than two clusters: one says nothing of spread.
    """
    known = np.isfinite(values)
    n_clusters = int(clusters.max()) + 1 if len(clusters) else 0
    sums = _by_cluster(np.where(known, values, 0.0), clusters, n_clusters)
    counts = _by_cluster(known.astype(np.float64), clusters, n_clusters)
    clouds = np.full((resamples, values.shape[1]), np.nan)
    if n_clusters > 1:
        rng = np.random.default_rng(seed)
        step = max(1, _CHUNK // n_clusters)
        for start in range(0, resamples, step):
            weights = _weights(min(step, resamples - start), n_clusters, rng)
            drawn, held = weights @ sums, weights @ counts
            np.divide(drawn, held, out=clouds[start : start + len(weights)], where=held > 0)
    return [_estimate(sums[:, j], counts[:, j], clouds[:, j]) for j in range(values.shape[1])]


def _share_interval(stratum: Stratum, degrees: int, most: float) -> Interval:
    value, variance, n_clusters = stratum
    share = min(max(value, 0.0), 1.0) if not math.isnan(value) else math.nan
    trials = effective_trials(share, variance, n_clusters=n_clusters, degrees=degrees, most=most)
    return wilson(share, trials)


def widen_if_rare(estimate: Estimate, cluster_changes: NDArray[np.float64], *, seed: int) -> Estimate:
    """Give a difference that rests on next to no changes the spread that its number of clusters leaves open.

    When no cluster changed, resampling returns 0 for ever, and when two lost it never shows a gain. Neither is certain:
    by Clopper and Pearson's exact bound the share of clusters that would change unseen is only known to be under about
    3/n. Where fewer than six clusters changed (with five no exact test reaches the 5% level), or all alike, plus or
    minus a share from that bound's confidence distribution, Beta(1, n), is added to each resample, times the largest
    change seen (1 where none was). Interval, ellipse and quadrants are then as unsure as the data: in simulated studies
    with 60 items of which 2% gain and 10% lose, coverage rises from 94% to 95%; with 0.5% and 2%, from 69% to 100%.

    Args:
        estimate: A mean difference over one benchmark.
        cluster_changes: Shape (clusters,): each cluster's own mean difference.
        seed: Decides which resample gets which value; the set of values does not depend on it.

    Returns:
        The estimate itself where more changed, or where one cluster is all there is.
    """
    sizes = np.abs(cluster_changes)
    changed = int((sizes > ZERO).sum())
    if estimate.degrees < 1 or (changed >= _ENOUGH_CHANGES and estimate.variance > 0):
        return estimate
    count = len(estimate.cloud)
    level = (np.arange(count) + 0.5) / count * 2 - 1
    unseen = np.sign(level) * (1 - (1 - np.abs(level)) ** (1 / estimate.n_clusters))
    unseen *= sizes.max() if changed else 1.0
    cloud = np.clip(estimate.cloud + np.random.default_rng(seed).permutation(unseen), -1.0, 1.0)
    return replace(estimate, cloud=cloud)


def _weights(rows: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw n of n clusters with replacement, `rows` times; shape (rows, n)."""
    picks = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(picks.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _by_cluster(values: NDArray[np.float64], clusters: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    sums = np.zeros((n, values.shape[1]))
    np.add.at(sums, clusters, values)
    return sums


def _estimate(sums: NDArray[np.float64], counts: NDArray[np.float64], cloud: NDArray[np.float64]) -> Estimate:
    used = counts > 0
    n, total = int(used.sum()), float(counts.sum())
    if n == 0:
        return Estimate(math.nan, np.full_like(cloud, np.nan), math.nan, 0)
    value = float(sums.sum() / total)
    if n == 1:
        return Estimate(value, np.full_like(cloud, np.nan), math.nan, 1)
    spread = float(np.square(sums[used] - counts[used] * value).sum())
    variance = n / (n - 1) * spread / total**2
    return Estimate(value, cloud, variance if variance > ZERO**2 else 0.0, n)
