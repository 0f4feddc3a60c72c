"""How many items to plan for a run that asks in rounds and may give a claim up.

What the end reads is nearly normal, so that the sum of the differences moves like Brownian motion with a drift, and a
claim passes where it ends above a bar and was never below the line at which it is given up. The chance of that is added
up from reading to reading (Armitage, McPherson and Rowe 1969, JRSS-A 132:235). That a claim may also pass early is left
out: nearly all that do would pass at the end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from oldham.core.rounds import look_sizes
from oldham.coupling.planning import MOST, smallest
from oldham.coupling.stopping import StopRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from oldham.coupling.planning import Spread

_RULE: Final = StopRule()
_CELLS: Final = 160
_ASIDE: Final = 8.0
"""Standard errors beyond which there is nothing to add up."""


def rounds_chance(distance: float, spread: Spread, items: int, draws: int, *, rule: StopRule = _RULE) -> float:
    """Return the chance that a claim passes in a run that asks in rounds.

    Args:
        distance: From the true change to the limit, on the side where the claim holds.
        spread: Of an item's change.
        items: That the study would ask at most.
        draws: Of each item in each arm.
        rule: Levels, and when a claim is given up.

    Returns:
        In [0, 1]; NaN without a degree of freedom.
    """
    variance, degrees = spread.variance(items, draws), spread.degrees(items)
    if math.isnan(variance) or degrees < 1:
        return math.nan
    if variance <= 0:
        return float(distance > 0)
    error = math.sqrt(variance)
    drift, bar = distance / error, float(stdtrit(degrees, 1 - rule.end))
    sizes = np.array(look_sizes(items)[:-1], dtype=np.float64)
    sizes = sizes[sizes >= rule.hopeless_from * items] if rule.hopeless else sizes[:0]
    before, sums, chance = 0.0, np.zeros(1), np.ones(1)
    for size in sizes:
        share = float(size / items)
        grid = drift * share + math.sqrt(share) * np.linspace(-_ASIDE, _ASIDE, _CELLS + 1)
        moved = _moved(sums, chance, grid, drift * (share - before), math.sqrt(share - before))
        middle = (grid[1:] + grid[:-1]) / 2
        chance = np.where(middle >= _hopeless_below(share, size / spread.cluster_size, error, rule), moved, 0.0)
        before, sums = share, middle
    last = (sums + drift * (1 - before) - bar) / math.sqrt(1 - before)
    return float((chance * ndtr(last)).sum())


def items_in_rounds(distance: float, spread: Spread, draws: int, *, power: float, rule: StopRule = _RULE) -> int | None:
    """Return about how many items a run that asks in rounds must plan so that a claim passes with a given chance.

    Args:
        distance: From the true change to the limit, on the side where the claim holds.
        spread: Of an item's change.
        draws: Of each item in each arm.
        power: The chance.
        rule: Levels, and when a claim is given up.

    Returns:
        None where the distance is 0, the spread is unknown, or it takes over a million.
    """
    if not distance > 0 or math.isnan(spread.variance(1, draws)):
        return None
    first = math.ceil((spread.strata + 1) * spread.cluster_size)
    return smallest(lambda n: rounds_chance(distance, spread, n, draws, rule=rule) >= power, first=first, most=MOST)


def _moved(
    sums: NDArray[np.float64], chance: NDArray[np.float64], grid: NDArray[np.float64], drift: float, spread: float
) -> NDArray[np.float64]:
    """Return the chance of every cell of a grid after a step from points that have chances; shape (cells,)."""
    reached = ndtr((grid[None, :] - sums[:, None] - drift) / spread)
    found: NDArray[np.float64] = chance @ np.diff(reached, axis=1)
    return found


def _hopeless_below(share: float, clusters: float, error: float, rule: StopRule) -> float:
    """Return the sum, in standard errors of the end, below which `stopping.chance_to_pass` is too small."""
    now = 1 / share + (1 / clusters / error) ** 2
    bar = float(ndtri(1 - rule.end)) * math.sqrt(now * share)
    return share * (bar + float(ndtri(rule.hopeless)) * math.sqrt(now * (1 - share)))
