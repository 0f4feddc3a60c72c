"""What the paired change varies by: from cluster to cluster, from item to item, and from draw to draw of the same item.

Analysis of variance of the items' mean differences D_i, with the sampling variance of each D_i known without bias from
its own draws, w_i = s²_arm/m_arm + s²_base/m_base (Searle, Casella and McCulloch 1992, "Variance Components", chapter
3, for unequal clusters). Draws of the two arms are independent given the item, so nothing else is between D_i and the
item's true change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from oldham.core.fingerprint import derive_seed
from oldham.coupling.bootstrap import ZERO, resample_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.pairing import Block

_TWO: Final = 2


class Parts(NamedTuple):
    """Variances of the change of one benchmark, as unbiased estimates have them: they may be negative."""

    cluster: NDArray[np.float64]
    """Shape (samples,): between clusters; 0 where no cluster holds two items."""
    item: NDArray[np.float64]
    """Between items of a cluster."""
    draw: NDArray[np.float64]
    """Between draws of an item, both arms together, for one draw of each."""
    noise: NDArray[np.float64]
    """What the draws leave in an item's mean difference: `draw` over the number of draws."""
    size: NDArray[np.float64]
    """Items of the cluster that a random item is in."""


@dataclass(frozen=True)
class Split:
    """The variance of the change of an axis, taken apart, for an item as it counts in the axis's mean."""

    cluster: float
    """Variance between clusters, as it counts for each item; never below 0."""
    item: float
    """Variance between items of a cluster; never below 0."""
    draw: float
    """Variance between draws of the same item, for one draw in each arm."""
    draws: float
    """Draws of each item in each arm, on the (harmonic) mean; NaN where no draw differed from another."""
    intraclass: float
    """Share of the variance between items that clusters hold; NaN where no cluster holds two items or items do not
    differ."""
    share: float
    """Share of the variance of a mean change that draws make in this design; NaN where nothing varies."""
    share_interval: tuple[float, float]
    """Of that share, over the shared resamples."""
    n_items: int
    """Items with two finished draws or more in both arms: only they tell."""
    truncated: tuple[str, ...]
    """Of `cluster` and `item`, those that came out below 0 and were set to 0."""

    @property
    def between(self) -> float:
        """What more draws leave."""
        return self.cluster + self.item


@dataclass(frozen=True)
class Changes:
    """One arm against the baseline on one benchmark, by cluster, ready to be resampled."""

    sums: NDArray[np.float64]
    """Shape (clusters, columns): what the estimates are made of, see `_columns`."""
    seed: int
    n_items: int
    n_clusters: int


def read_changes(block: Block, arm: str, baseline: str, options: CouplingOptions, *, split: bool) -> Changes:
    """Sum an arm's paired changes by cluster.

    Args:
        block: A benchmark, read on one span.
        arm: The arm.
        baseline: The arm compared with.
        options: Seed, and whether the baseline was decoded greedily, so that one draw has no sampling variance.
        split: Only items that tell draws from items: two finished draws in both arms.

    Returns:
        Empty sums where no item is left.
    """
    at, base = block.arm(arm), block.arm(baseline)
    difference = block.means[at] - block.means[base]
    own = _draw_variance(block.scores[at], deterministic=False)
    others = _draw_variance(block.scores[base], deterministic=options.deterministic)
    known = np.isfinite(difference) & (np.isfinite(own + others) if split else True)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = own / block.finished[at] + others / block.finished[base]
    n_clusters = int(block.clusters.max()) + 1 if len(block.clusters) else 0
    clusters = block.clusters[known]

    def by_cluster(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(clusters, weights=values[known], minlength=n_clusters).astype(np.float64)

    ones = np.ones(len(difference))
    columns = [by_cluster(v) for v in (ones, difference, difference**2, noise, own + others)]
    seed = derive_seed("coupling", options.seed, block.axis, block.benchmark)
    return Changes(np.column_stack(columns), seed, int(known.sum()), len(np.unique(clusters)))


def estimate_parts(changes: Changes, *, resamples: int = 0) -> Parts:
    """Estimate the variances of one benchmark without bias.

    Args:
        changes: Of items with several draws.
        resamples: How many resamples of clusters come after the estimate itself; those of the analysis.

    Returns:
        First the estimate, then the resamples. NaN with fewer than two clusters, or two items.
    """
    n, total, squares, noise, draw = changes.sums.T
    size = np.maximum(n, 1.0)
    mean_noise = noise / size
    columns = np.column_stack([n, total, squares, noise, draw, total**2 / size, n**2, mean_noise, n > 0])
    # The weights are those of the analysis: equal seeds and clusters give equal resamples.
    whole = columns.sum(axis=0, keepdims=True)
    if resamples and len(columns) > 1:
        drawn = resample_means(columns, np.arange(len(columns)), resamples=resamples, seed=changes.seed)
        whole = np.vstack([whole, np.column_stack([e.cloud for e in drawn]) * len(columns)])
    items, total, squares, noise, draw, between, sizes, mean_noise, clusters = whole.T
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = items - clusters
        ss_between = between - total**2 / items
        # E[SS inside] = item (N - C) + sum of w_i (1 - 1/n),
        # E[SS between] = cluster (N - sum n²/N) + item (C - 1) + sum of w_i (1/n - 1/N).
        item = (squares - between - (noise - mean_noise)) / inside
        spread = items - sizes / items
        cluster = (ss_between - (clusters - 1) * item - (mean_noise - noise / items)) / spread
        alone = (ss_between - (mean_noise - noise / items)) / (clusters - 1)
        item = np.where(inside > 0, item, alone)
        cluster = np.where(inside > 0, cluster, 0.0)
        lone = clusters < _TWO
        parts = [np.where(lone, np.nan, part) for part in (cluster, item, draw / items, noise / items, sizes / items)]
    return Parts(*parts)


def split_axis(changes: list[Changes], *, resamples: int) -> Split | None:
    """Take the variance of an axis's change apart.

    Args:
        changes: Of each benchmark, items with several draws only.
        resamples: Of clusters, for the interval of the share.

    Returns:
        None where a benchmark has fewer than two clusters with several draws in both arms.
    """
    if any(c.n_clusters < _TWO for c in changes):
        return None
    n_items = sum(c.n_items for c in changes)
    found = [estimate_parts(c, resamples=resamples) for c in changes]
    # An item's part in the mean of K benchmarks: Var = sum of V_b / n_b / K² = (1/N) sum of V_b N / n_b / K².
    weights = [n_items / c.n_items / len(changes) ** 2 for c in changes]
    truncated = tuple(
        name for name in ("cluster", "item") if any(float(getattr(parts, name)[0]) < -ZERO for parts in found)
    )
    kept = [_never_negative(parts, c) for parts, c in zip(found, changes, strict=True)]
    cluster, item, draw, noise = (
        sum((w * values for w, values in zip(weights, column, strict=True)), start=np.zeros(1))
        for column in zip(*kept, strict=True)
    )
    whole = cluster + item + noise
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(whole > ZERO, noise / whole, np.nan)
    resampled = shares[1:][np.isfinite(shares[1:])]
    low, high = np.quantile(resampled, [0.025, 0.975]) if len(resampled) else (np.nan, np.nan)
    return Split(
        cluster=float(cluster[0]),
        item=float(item[0]),
        draw=float(draw[0]),
        draws=float(draw[0] / noise[0]) if noise[0] > ZERO else np.nan,
        intraclass=_intraclass(kept, found, changes),
        share=float(shares[0]),
        share_interval=(float(low), float(high)),
        n_items=n_items,
        truncated=truncated,
    )


def variance_cloud(changes: Changes, *, resamples: int) -> NDArray[np.float64]:
    """Estimate the squared standard error of a benchmark's mean change in every resample of clusters.

    Args:
        changes: Of all paired items.
        resamples: How many.

    Returns:
        Shape (resamples,); NaN with fewer than two clusters.
    """
    n, total = changes.sums[:, 0], changes.sums[:, 1]
    columns = np.column_stack([n, total, n**2, n * total, total**2, n > 0])
    if len(columns) < _TWO:
        return np.full(resamples, np.nan)
    drawn = resample_means(columns, np.arange(len(columns)), resamples=resamples, seed=changes.seed)
    items, total, sizes, crossed, squares, clusters = (e.cloud * len(columns) for e in drawn)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / items
        spread = np.maximum(squares - 2 * mean * crossed + mean**2 * sizes, 0.0)
        found: NDArray[np.float64] = np.where(clusters >= _TWO, clusters / (clusters - 1) * spread / items**2, np.nan)
    return found


def _draw_variance(draws: NDArray[np.float64], *, deterministic: bool) -> NDArray[np.float64]:
    """Return the variance of one draw of each item, unbiased; NaN with a single draw unless it could not differ."""
    finished = np.isfinite(draws).sum(axis=1)
    squares, total = np.nansum(draws**2, axis=1), np.nansum(draws, axis=1)
    found = np.full(len(draws), np.nan)
    np.divide(
        np.maximum(squares - total**2 / np.maximum(finished, 1), 0.0), finished - 1, out=found, where=finished >= _TWO
    )
    found[(finished == 1) & deterministic] = 0.0
    return found


def _never_negative(parts: Parts, changes: Changes) -> tuple[NDArray[np.float64], ...]:
    """Set what came out below 0 to 0 and estimate the other part again without it.

    Returns:
        Between clusters as it counts for an item, between items, a draw, and the noise that is left.
    """
    items = changes.n_items
    # The sum cluster * size + item is what matters; where one is 0 the other takes what the two have together.
    both = np.maximum(parts.cluster * parts.size + parts.item, 0.0)
    no_item = parts.item < 0
    no_cluster = (parts.cluster < 0) & ~no_item
    total = np.maximum(parts.item + parts.cluster * (items - parts.size) / (items - 1), 0.0)
    item = np.where(no_item, 0.0, np.where(no_cluster, total, parts.item))
    cluster = np.where(no_item, both, np.where(no_cluster, 0.0, parts.cluster * parts.size))
    return cluster, item, parts.draw, parts.noise


def _intraclass(kept: list[tuple[NDArray[np.float64], ...]], found: list[Parts], changes: list[Changes]) -> float:
    """Return the clusters' share of the variance between items, over benchmarks by items."""
    n_items = np.array([c.n_items for c in changes], float)
    clusters = np.array([float(k[0][0]) / float(p.size[0]) for k, p in zip(kept, found, strict=True)])
    inside = np.array([float(k[1][0]) for k in kept])
    if all(c.n_clusters == c.n_items for c in changes) or not (n_items @ (clusters + inside)) > ZERO:
        return float("nan")
    return float(n_items @ clusters / (n_items @ (clusters + inside)))
