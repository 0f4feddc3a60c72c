"""How many items and draws a paired comparison needs, by the rules by which the analysis decides.

Superior: the 95% interval of the change lies above 0. Non-inferior: its lower end lies above -margin, which is a
one-sided test at 2.5%, as `oldham compare --gate` decides. Equivalent: two one-sided tests at 5%, which is the 90%
interval within plus or minus the margin. Chances are those of Student's t intervals with one degree of freedom less
than there are clusters, and the variance is estimated: noncentral t, and for equivalence Owen's integral (Phillips
1990, "Power of the two one-sided tests procedure in bioequivalence").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln, nctdtr, ndtr, ndtri, stdtrit
from scipy.stats import chi2

if TYPE_CHECKING:
    from collections.abc import Callable

GoalName = Literal["superior", "non_inferior", "equivalent"]
MOST: Final = 1_000_000
"""More items than this settle nothing in practice."""
MOST_DRAWS: Final = 64
PAIR: Final = 2
"""Generations that one more draw of an item takes: one in each arm."""
_MANY: Final = 2000.0
"""From so many degrees of freedom on, Student's t is the normal distribution to three digits of a chance."""
_LEVEL: Final = 0.05
_CLEARLY: Final = 1.1
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)


@dataclass(frozen=True, slots=True)
class Spread:
    """What an item's change varies by: the variance of the mean change is (between + sampling / draws) / items."""

    between: float
    """Variance between items, whatever the draws; what items of a cluster share is counted once for each item of it."""
    sampling: float
    """Variance between draws of the same item, both arms together, for one draw of each."""
    cluster_size: float = 1.0
    """Mean items a cluster; new items come in new clusters of this size."""
    strata: int = 1
    """Benchmarks that are averaged over, each with a mean of its own."""

    def variance(self, items: float, draws: float) -> float:
        """Return the squared standard error of the mean change.

        Args:
            items: Paired items.
            draws: Draws of each item in each arm.
        """
        return (self.between + self.sampling / draws) / items

    def degrees(self, items: float) -> float:
        """Return the degrees of freedom of an estimate of it.

        Args:
            items: Paired items.
        """
        return items / self.cluster_size - self.strata

    def times(self, factor: float) -> Spread:
        """Return a spread so many times as large.

        Args:
            factor: Not negative.
        """
        return Spread(self.between * factor, self.sampling * factor, self.cluster_size, self.strata)


class Goal(NamedTuple):
    """Something to show."""

    name: GoalName
    distance: float
    """From the true change to the limit that the interval must be clear of; for `equivalent` the margin, nothing
    having changed."""

    def chance(self, variance: float, degrees: float) -> float:
        """Return the chance to show it.

        Args:
            variance: Squared standard error of the change.
            degrees: Degrees of freedom.

        Returns:
            In [0, 1]; NaN where nothing is known of the variance.
        """
        if self.name == "equivalent":
            return equivalence_chance(self.distance, variance, degrees)
        return clear_chance(self.distance, variance, degrees)


class Size(NamedTuple):
    """A design and what it takes."""

    items: int
    draws: int
    cost: float
    """In generations; of a grown design, what is added."""


def clear_chance(distance: float, variance: float, degrees: float, *, level: float = _LEVEL) -> float:
    """Return the chance that an interval lies clear of a limit, on the side where the truth is.

    Args:
        distance: From the true change to the limit, not negative.
        variance: Squared standard error of the change.
        degrees: Degrees of freedom of its estimate.
        level: Two-sided: the interval covers 1 - level.

    Returns:
        P(T > t_level/2), T noncentral t with `distance` / standard error; NaN without degrees of freedom.
    """
    if math.isnan(variance) or math.isnan(distance) or degrees < 1:
        return math.nan
    if variance <= 0:
        return float(distance > 0)
    shift = distance / math.sqrt(variance)
    if degrees >= _MANY:
        return float(ndtr(shift - ndtri(1 - level / 2)))
    return 1 - float(nctdtr(degrees, shift, stdtrit(degrees, 1 - level / 2)))


def equivalence_chance(
    margin: float, variance: float, degrees: float, *, change: float = 0.0, level: float = _LEVEL
) -> float:
    """Return the chance that two one-sided tests put a change within a margin.

    Args:
        margin: Above 0.
        variance: Squared standard error of the change.
        degrees: Degrees of freedom of its estimate.
        change: What truly changed.
        level: Of each test: the interval within the margin covers 1 - 2 level.

    Returns:
        The mean over the chi-square distribution of the estimated variance; NaN without degrees of freedom.
    """
    if math.isnan(variance) or degrees < 1:
        return math.nan
    if variance <= 0:
        return float(abs(change) < margin)
    error = math.sqrt(variance)
    low, high = (-margin - change) / error, (margin - change) / error

    if degrees >= _MANY:
        reach = float(ndtri(1 - level))
        return max(0.0, float(ndtr(high - reach) - ndtr(low + reach)))
    quantile = float(stdtrit(degrees, 1 - level))
    # s is the estimated standard error over the true one. Beyond `top` the interval is wider than the margins, and
    # beyond twelve of its own standard errors, about 1/sqrt(2 degrees), there is nothing to add up.
    aside = 12 / math.sqrt(2 * degrees)
    top = min((high - low) / 2 / quantile, 1 + aside)
    bottom = min(top, max(0.0, 1 - aside))
    s = bottom + (top - bottom) * (_NODES + 1) / 2
    half = degrees / 2
    log_density = math.log(2) + half * math.log(half) - gammaln(half) + (degrees - 1) * np.log(s) - half * s**2
    held = np.maximum(ndtr(high - quantile * s) - ndtr(low + quantile * s), 0.0)
    return min(1.0, float((top - bottom) / 2 * (_WEIGHTS * held * np.exp(log_density)).sum()))


def smallest_effect(spread: Spread, items: int, draws: int, *, power: float) -> float:
    """Return the smallest true change whose interval excludes 0 with a given chance.

    Args:
        spread: Of an item's change.
        items: Paired items.
        draws: Of each item in each arm.
        power: The chance, in (0.05, 1).

    Returns:
        A change of a score; may pass 1, which no design of that size finds. NaN with less than one degree of freedom.
    """
    variance, degrees = spread.variance(items, draws), spread.degrees(items)
    if math.isnan(clear_chance(0.0, variance, degrees)):
        return math.nan
    error = math.sqrt(variance)
    if error == 0:
        return 0.0
    high = 1.0
    while clear_chance(high * error, variance, degrees) < power:
        high *= 2
    return error * float(brentq(lambda shift: clear_chance(shift * error, variance, degrees) - power, 0.0, high))


def items_for(spread: Spread, draws: int, goal: Goal, *, power: float) -> int | None:
    """Return the smallest number of items with which a goal is reached.

    Args:
        spread: Of an item's change.
        draws: Of each item in each arm.
        goal: What is to be shown.
        power: The chance to show it.

    Returns:
        None where the goal lies at no distance, the spread is unknown, or it takes over a million.
    """
    first = math.ceil((spread.strata + 1) * spread.cluster_size)
    if not goal.distance > 0 or math.isnan(spread.variance(1, draws)):
        return None
    return smallest(
        lambda n: goal.chance(spread.variance(n, draws), spread.degrees(n)) >= power, first=first, most=MOST
    )


def draws_for(spread: Spread, items: int, goal: Goal, *, power: float, first: int = 1) -> int | None:
    """Return the smallest number of draws with which a goal is reached on the same items.

    Args:
        spread: Of an item's change.
        items: Paired items.
        goal: What is to be shown.
        power: The chance to show it.
        first: The fewest draws that are thought of.

    Returns:
        None where 64 draws do not do.
    """
    degrees = spread.degrees(items)
    return smallest(lambda m: goal.chance(spread.variance(items, m), degrees) >= power, first=first, most=MOST_DRAWS)


def best_draws(spread: Spread, item_cost: float) -> float:
    """Return the number of draws of each item that gives the narrowest interval for the money.

    Args:
        spread: Of an item's change.
        item_cost: What a new item costs beside its generations, in generations.

    Returns:
        sqrt(item cost / cost of a draw x sampling / between), a draw costing one generation in each arm (Cochran 1977,
        "Sampling Techniques", section 10.6); not rounded, 0 where items cost nothing, infinite where items do not
        differ.
    """
    if item_cost == 0 or spread.sampling == 0:
        return 0.0
    return math.sqrt(item_cost / PAIR * spread.sampling / spread.between) if spread.between > 0 else math.inf


def cheapest(spread: Spread, goal: Goal, *, power: float, item_cost: float) -> Size | None:
    """Return the cheapest new study that reaches a goal.

    Args:
        spread: Of an item's change.
        goal: What is to be shown.
        power: The chance to show it.
        item_cost: What an item costs beside its generations, in generations.

    Returns:
        The cheapest of 1 to 64 draws, the fewest draws among equals; None where none does.
    """
    return grow(spread, goal, power=power, item_cost=item_cost)


def grow(spread: Spread, goal: Goal, *, power: float, item_cost: float, items: int = 0, draws: int = 1) -> Size | None:
    """Return the cheapest way to make a study large enough, by more items, more draws, or both.

    Args:
        spread: Of an item's change.
        goal: What is to be shown.
        power: The chance to show it.
        item_cost: What a new item costs beside its generations, in generations.
        items: Items that are there and paid for; every one gets the same number of draws in the end.
        draws: Draws of each that are there.

    Returns:
        The size of the whole and the cost of what is added, over up to 64 draws; None where none does.
    """
    paid = items * (item_cost + PAIR * draws)
    best: Size | None = None
    for m in range(draws, MOST_DRAWS + 1):
        needed = items_for(spread, m, goal, power=power)
        if needed is not None:
            n = max(needed, items)
            size = Size(n, m, n * (item_cost + PAIR * m) - paid)
            best = size if best is None or size.cost < best.cost else best
            # What a whole study costs is convex in the draws, up to the rounding of items.
            if n == items or spread.sampling == 0 or size.cost + paid > _CLEARLY * (best.cost + paid):
                break
    return best


def spread_range(variation: float, degrees: float, level: float = 0.95) -> tuple[float, float]:
    """Return how much smaller and larger than its estimate a variance may be.

    Args:
        variation: Variance of the estimate over its square, from resampled clusters. Of normal numbers it is about
            2 / degrees, and the range is then the usual chi-square interval; of rare yes-or-no changes it is larger.
        degrees: Degrees of freedom of the estimate: resampling n clusters shows (n - 1)/n of a variance and knows no
            Student's t, and the range is widened for both as `Estimate.interval` is.
        level: Coverage.

    Returns:
        Factors of the estimate, by a chi-square distribution whose degrees of freedom are matched to `variation`
        (Satterthwaite 1946); NaN where it is unknown. In simulated pilots of
        60 clusters and more, 92% to 97% of the ranges held the true variance.
    """
    if not variation > 0 or degrees < 1:
        return math.nan, math.nan
    tail = float(ndtr(-math.sqrt((degrees + 1) / degrees) * stdtrit(degrees, (1 + level) / 2)))
    matched = 2 / variation
    quantile = float(chi2.ppf(tail, matched))
    return matched / float(chi2.isf(tail, matched)), matched / quantile if quantile > 0 else math.inf


def smallest(reaches: Callable[[int], bool], *, first: int, most: int) -> int | None:
    """Return the smallest number that is enough, where more is never less.

    Args:
        reaches: Whether a number is enough.
        first: The smallest number that is thought of.
        most: The largest.

    Returns:
        None where the largest is not enough.
    """
    if reaches(first):
        return first
    low, high = first, 2 * first
    while high <= most and not reaches(high):
        low, high = high, 2 * high
    if high > most:
        high = most
        if low >= most or not reaches(most):
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
