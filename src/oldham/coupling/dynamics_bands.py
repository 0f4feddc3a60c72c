"""The mathematics of dose curves: bands for all doses together, curves that only fall, where they cross a margin."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from oldham.coupling.bootstrap import distant_ends
from oldham.coupling.results import Interval
from oldham.coupling.shares import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from oldham.coupling.bootstrap import Estimate


def simultaneous_bands(estimates: Sequence[Estimate], *, level: float = 0.95, most: float = 1.0) -> list[Interval]:
    """Return intervals that hold the truth of all estimates together.

    Max-type (Mandel and Betensky 2008, "Simultaneous confidence intervals based on the percentile bootstrap
    approach", Computational Statistics & Data Analysis 52): each resample is placed among the resamples of each
    estimate, its most extreme place is taken, and percentiles are cut where 95% of resamples stay inside at every
    estimate. They are then expanded for few clusters as `Estimate.interval` is, which a lone estimate's band
    equals: over four doses of 10 items beside 300 of equal spread they held all four changes in 94% of 1,000
    simulated studies, and in 86% at the degrees of freedom of all items together. They lie further out than a lone
    interval's (see `distant_ends`), so they ask for more resamples: over four doses of 200 items they held all four
    changes in 93.4% of 3,000 simulated studies with 500 resamples, in 95.7% of 1,500 with 2,000.

    Args:
        estimates: Of the same benchmarks, resampled together.
        level: Joint coverage.
        most: The largest size that an estimate can have: 1 for a change, 2 for a difference of two.

    Returns:
        One interval an estimate, in order; NaN where an estimate has no resamples, and it does not count for the rest.
    """
    known = [i for i, e in enumerate(estimates) if e.degrees >= 1 and np.isfinite(e.cloud).all()]
    bands = [UNKNOWN] * len(estimates)
    if not known:
        return bands
    count = len(estimates[known[0]].cloud)
    places = np.stack([(_ranks(estimates[i].cloud, seed=i) - 0.5) / count for i in known])
    extreme = np.maximum(places, 1 - places).max(axis=0)
    q = float(np.quantile(extreme, level))
    for i in known:
        e = estimates[i]
        (low,), (high,) = distant_ends(e, [2 * q - 1], most=most)
        bands[i] = Interval(float(low), float(high))
    return bands


def _ranks(cloud: NDArray[np.float64], *, seed: int) -> NDArray[np.int64]:
    """Rank from 1; equal values, common where verdicts are yes or no, are ranked by lot, so that none is lost."""
    lot = np.random.default_rng(seed).permutation(len(cloud))
    ranks = np.empty(len(cloud), dtype=np.int64)
    ranks[np.lexsort((lot, cloud))] = np.arange(1, len(cloud) + 1)
    return ranks


def falling(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit the closest curve that never rises and never lies above 0 (isotonic least squares, equal weights).

    Args:
        values: Shape (doses, ...): changes from a start whose own change is 0.

    Returns:
        The same shape: min over i <= k of max over j >= k of the mean of i..j (Barlow et al. 1972), at most 0, which
        is the bounded fit.
    """
    n = len(values)
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    fitted = np.empty_like(values, dtype=np.float64)
    for k in range(n):
        best = np.full(values.shape[1:], np.inf)
        for i in range(k + 1):
            tops = np.max([(sums[j + 1] - sums[i]) / (j + 1 - i) for j in range(k, n)], axis=0)
            best = np.minimum(best, tops)
        fitted[k] = best
    return np.minimum(fitted, 0.0)


class Crossing(NamedTuple):
    """Where a falling curve passes a limit."""

    dose: float
    """By straight lines between doses; infinite where it does not pass within them."""
    interval: Interval
    """Between which doses, without an assumption on the curve between them but that it falls."""


def find_crossing(start: float, doses: Sequence[float], estimates: Sequence[Estimate], limit: float) -> Crossing:
    """Say where the curve that can only fall passes a limit.

    Each resample's curve passes somewhere between the last dose above the limit and the first at or below it. Nothing
    was measured there, so the interval runs from the 2.5th percentile of the former to the 97.5th of the latter.

    Args:
        start: The dose whose change is 0.
        doses: Ascending, above the start.
        estimates: The changes at these doses, resampled together.
        limit: Below 0.

    Returns:
        Percentiles are expanded for few clusters. NaN where a change or its spread is unknown.
    """
    values = np.array([e.value for e in estimates])
    if not len(estimates) or np.isnan(values).any():
        return Crossing(math.nan, UNKNOWN)
    xs = np.array([start, *doses, math.inf])
    here = _interpolated(xs, falling(values), limit)
    clouds = np.stack([e.cloud for e in estimates])
    if not np.isfinite(clouds).all():
        return Crossing(here, UNKNOWN)
    tail = min(e.tail(0.95) for e in estimates)
    held = (falling(clouds) > limit).sum(axis=0)
    # Order statistics, since no mean can be taken with an infinite neighbour.
    low = np.quantile(xs[held], tail, method="inverted_cdf")
    high = np.quantile(xs[held + 1], 1 - tail, method="inverted_cdf")
    return Crossing(here, Interval(float(low), float(high)))


def _interpolated(xs: NDArray[np.float64], fitted: NDArray[np.float64], limit: float) -> float:
    k = int((fitted > limit).sum())
    if k == len(fitted):
        return math.inf
    above, below = (fitted[k - 1] if k else 0.0), fitted[k]
    return float(xs[k] + (xs[k + 1] - xs[k]) * (above - limit) / (above - below))


def ratio_interval(above: Estimate, below: Estimate) -> Interval:
    """Return the percentile interval of a ratio whose denominator is clear of 0.

    Args:
        above: The numerator.
        below: The denominator, resampled together with it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        cloud = above.cloud / below.cloud
    return weakest(above, below, value=above.value / below.value, cloud=cloud).interval()


def weakest(*estimates: Estimate, value: float, cloud: NDArray[np.float64]) -> Estimate:
    """Return a number worked out of several estimates, whose error is known no better than the least known of theirs.

    Args:
        *estimates: What it was worked out of.
        value: The number.
        cloud: Shape (resamples,).
    """
    least = min(estimates, key=lambda e: e.freedom)
    cloud = np.where(np.isfinite(cloud), cloud, np.nan)
    known = bool(np.isfinite(cloud).any())
    return replace(least, value=value, cloud=cloud, variance=float(np.nanvar(cloud)) if known else math.nan)


def signed_area(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signed area of closed polygons by the shoelace formula; counter-clockwise is positive.

    Args:
        points: Shape (corners, 2, ...): across and up.

    Returns:
        Shape (...).
    """
    x, y = points[:, 0], points[:, 1]
    area: NDArray[np.float64] = 0.5 * (x * np.roll(y, -1, axis=0) - np.roll(x, -1, axis=0) * y).sum(axis=0)
    return area
