"""Intervals of a share: a mean of numbers in [0, 1], such as a rate or a chance to flip."""

from __future__ import annotations

import math

from scipy.stats import beta, norm, t

from oldham.coupling.results import Interval

UNKNOWN = Interval(math.nan, math.nan)
"""The interval of something that the data say nothing about."""


def wilson(share: float, n: float, *, level: float = 0.95) -> Interval:
    """Return Wilson's score interval (Wilson 1927).

    Args:
        share: Observed share, in [0, 1].
        n: Number of trials; need not be whole.
        level: Coverage.

    Returns:
        An interval inside [0, 1]; NaN when nothing was tried.
    """
    if not n > 0 or math.isnan(share):
        return UNKNOWN
    z2 = float(norm.ppf((1 + level) / 2)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * share * (1 - share) / n + z2 * z2 / (4 * n * n)) / (1 + z2 / n)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def effective_trials(share: float, variance: float, *, n_clusters: int, degrees: int, most: float = math.inf) -> float:
    """Return how many independent yes-or-no trials would be as informative as a clustered sample.

    Args:
        share: Observed share.
        variance: Its squared standard error, clusters allowed for.
        n_clusters: Clusters it rests on.
        degrees: Degrees of freedom of `variance`.
        most: The answer is no larger, such as the number of single draws.

    Returns:
        p(1 - p) / variance, shrunk for the few degrees of freedom (Korn and Graubard 1998). Where no two clusters
        differ, the variance says nothing, and the clusters count as the trials, as if their items always agreed. NaN
        with less than one degree of freedom, and for an unknown variance.
    """
    if degrees < 1 or math.isnan(share) or math.isnan(variance):
        return math.nan
    number = share * (1 - share) / variance if variance > 0 else float(n_clusters)
    shrink = float(norm.ppf(0.975) / t.ppf(0.975, degrees)) ** 2
    return min(number * shrink, most)


def jeffreys(share: float, n: float, *, level: float = 0.95) -> Interval:
    """Return the equal-tailed posterior interval under a Beta(1/2, 1/2) prior.

    Args:
        share: Observed share, in [0, 1].
        n: Number of trials; need not be whole.
        level: Posterior probability.

    Returns:
        An interval inside [0, 1]; NaN when nothing was tried.
    """
    if not n > 0 or math.isnan(share):
        return UNKNOWN
    posterior = beta(share * n + 0.5, (1 - share) * n + 0.5)
    return Interval(float(posterior.ppf((1 - level) / 2)), float(posterior.ppf((1 + level) / 2)))


def upper_if_none(n: float, *, level: float = 0.95) -> float:
    """Return the exact upper bound of a share of which nothing was seen in n trials (Clopper and Pearson 1934).

    Args:
        n: Number of trials.
        level: One-sided confidence.

    Returns:
        1 - (1 - level)^(1/n), about 3/n at 95%; NaN when nothing was tried.
    """
    return 1 - (1 - level) ** (1 / n) if n > 0 else math.nan
