"""The confidence sequences of Waudby-Smith and Ramdas as published, to compare others with.

From "Estimating means of bounded random variables by betting" (JRSS-B 86:1, 2024; arXiv 2010.09686): the predictable
plug-in empirical-Bernstein sequence (theorem 2) and the hedged capital (theorem 3), for numbers in [-1, 1] that
come one by one. `oldham.coupling.sequential` uses other bets, which do not depend on the order within a round.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST: Final = 0.5
"""The truncation c of both theorems: bets stay at half of what could lose everything."""


class Sequence(NamedTuple):
    """Lower and upper ends of an interval after each value."""

    low: NDArray[np.float64]
    """Shape (n,)."""
    high: NDArray[np.float64]
    """Shape (n,)."""


def bernstein_sequence(values: NDArray[np.float64], level: float = 0.95) -> Sequence:
    """Return the predictable plug-in empirical-Bernstein confidence sequence (theorem 2, equations 13 to 15).

    Args:
        values: Shape (n,), in [-1, 1], in the order in which they came.
        level: Chance to hold the mean at all times.

    Returns:
        Ends within [-1, 1], not intersected over time.
    """
    x, bet, before = _scaled(values, level)
    bet = np.minimum(bet, _MOST)
    price = -np.log1p(-bet) - bet  # 4 psi_E, with v_i / 4 below
    weight = np.cumsum(bet)
    centre = np.cumsum(bet * x) / weight
    width = (math.log(2 / (1 - level)) + np.cumsum((x - before) ** 2 * price)) / weight
    return Sequence(np.maximum(2 * (centre - width) - 1, -1.0), np.minimum(2 * (centre + width) - 1, 1.0))


def hedged_sequence(values: NDArray[np.float64], level: float = 0.95, *, points: int = 1001) -> Sequence:
    """Return the hedged-capital confidence sequence with predictable plug-in bets (theorem 3, equation 26).

    Args:
        values: Shape (n,), in [-1, 1], in the order in which they came.
        level: Chance to hold the mean at all times.
        points: Means tried between -1 and 1; the ends are the outermost ones left, and one step beyond.

    Returns:
        Ends within [-1, 1], not intersected over time.
    """
    x, bet, _ = _scaled(values, level)
    means = np.linspace(0.0, 1.0, points)[1:-1]
    up = np.minimum(bet[:, None], _MOST / means)
    down = np.minimum(bet[:, None], _MOST / (1 - means))
    gap = x[:, None] - means
    capital = np.maximum(np.cumsum(np.log1p(up * gap), axis=0), np.cumsum(np.log1p(-down * gap), axis=0))
    left = capital + math.log(0.5) < math.log(1 / (1 - level))
    step = 1 / (points - 1)
    low = np.where(left.any(axis=1), means[left.argmax(axis=1)] - step, 0.0)
    high = np.where(left.any(axis=1), means[-1 - left[:, ::-1].argmax(axis=1)] + step, 1.0)
    return Sequence(2 * low - 1, 2 * high - 1)


def _scaled(
    values: NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the values in [0, 1], the plug-in bet on each, and the running mean before each."""
    x = (np.asarray(values, dtype=np.float64) + 1) / 2
    n = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (n + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (n + 1)
    before = np.concatenate([[0.5], mean[:-1]])
    spread = np.concatenate([[0.25], variance[:-1]])
    bet = np.sqrt(2 * math.log(2 / (1 - level)) / (spread * n * np.log1p(n)))
    return x, bet, before
