"""Power of the exact McNemar test, which decides single yes-or-no draws of independent items (see `effects.run_test`).

Given d items that flipped, the items gained are binomial with chance gain/(gain + loss); d itself is binomial. Both are
summed over, so that nothing is approximated (Schork and Williams 1980, "Number of observations required for the
comparison of two correlated proportions").
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import bdtr, gammaln, ndtri, xlog1py, xlogy

from oldham.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST_ITEMS: Final = 100_000
"""More items than this are not looked at; the normal approximation is then as good as exact."""
_ENOUGH: Final = 10**9
_LEVEL: Final = 0.05
_DIPS: Final = 60
_STEPS: Final = 40
"""Halvings until an effect is known to a billionth."""


def mcnemar_power(n_items: int, *, gain: float, loss: float, level: float = _LEVEL) -> float:
    """Return the exact chance that McNemar's test finds a change in the direction it has.

    Args:
        n_items: Independent items, each drawn once in both arms.
        gain: Chance that an item turns from bad to good, in [0, 1].
        loss: Chance that it turns from good to bad; gain + loss at most 1.
        level: Two-sided level: the exact test rejects where its p-value is below it.

    Returns:
        In [0, 1]; a rejection in the wrong direction is not counted. NaN without items.

    Raises:
        ConfigError: The chances cannot be.
    """
    if gain < 0 or loss < 0 or gain + loss > 1 + 1e-12:
        raise ConfigError(f"Chances {gain} to gain and {loss} to lose cannot be.", remedy="Give shares that sum to 1.")
    if n_items < 1:
        return math.nan
    flipped = min(gain + loss, 1.0)
    if flipped == 0:
        return 0.0
    rarer = min(gain, loss) / (gain + loss)
    # Numbers of flips further out have, together, a chance of less than 1e-15.
    aside = 9 * math.sqrt(n_items * flipped * (1 - flipped)) + 40
    first, last = max(0, math.floor(n_items * flipped - aside)), min(n_items, math.ceil(n_items * flipped + aside))
    counts = np.arange(first, last + 1)
    limits = _limits(level, 1 << n_items.bit_length())[counts]
    found = np.where(limits >= 0, bdtr(np.maximum(limits, 0), counts, rarer), 0.0)
    chance = np.exp(
        gammaln(n_items + 1)
        - gammaln(counts + 1)
        - gammaln(n_items - counts + 1)
        + xlogy(counts, flipped)
        + xlog1py(n_items - counts, -flipped)
    )
    return float(min(1.0, (chance * found).sum()))


def mcnemar_items(effect: float, flip_rate: float, *, power: float = 0.8, level: float = _LEVEL) -> int | None:
    """Return the number of items with which the exact test finds a change.

    Args:
        effect: |gain - loss|, above 0.
        flip_rate: gain + loss, at least `effect`.
        power: Chance to find it.
        level: Two-sided level.

    Returns:
        The smallest number from which on the power stays; the power of an exact test does not rise with every item.
        None over 100,000 items.

    Raises:
        ConfigError: There are fewer flips than the change needs.
    """
    gain, loss = split_flips(effect, flip_rate)

    def reaches(n: int) -> bool:
        return mcnemar_power(n, gain=gain, loss=loss, level=level) >= power

    start = connor_items(effect, flip_rate, power=power, level=level)
    if start > MOST_ITEMS:
        return None
    last = max(2 * start, 100)
    return last_failure(reaches, last) + 1 if reaches(last) else None


def mcnemar_effect(n_items: int, flip_rate: float, *, power: float = 0.8, level: float = _LEVEL) -> float:
    """Return the smallest change that the exact test finds.

    Args:
        n_items: Independent items, each drawn once in both arms.
        flip_rate: Share of items that flip, in (0, 1].
        power: Chance to find it.
        level: Two-sided level.

    Returns:
        In (0, flip_rate]; NaN where even flips that all go one way are found less often.
    """
    low, high = 0.0, flip_rate
    if not mcnemar_power(n_items, gain=flip_rate, loss=0.0, level=level) >= power:
        return math.nan
    for _ in range(_STEPS):
        middle = (low + high) / 2
        gain, loss = split_flips(middle, flip_rate)
        if mcnemar_power(n_items, gain=gain, loss=loss, level=level) >= power:
            high = middle
        else:
            low = middle
    return high


def connor_items(effect: float, flip_rate: float, *, power: float = 0.8, level: float = _LEVEL) -> int:
    """Return the number of items by the normal approximation of McNemar's test (Connor 1987, Biometrics 43, p. 209).

    Args:
        effect: |gain - loss|, above 0.
        flip_rate: gain + loss, at least `effect`.
        power: Chance to find it.
        level: Two-sided level.

    Returns:
        (z_level/2 sqrt(flip_rate) + z_power sqrt(flip_rate - effect^2))^2 / effect^2, rounded up; a number beyond every
        study where that is more than a computer writes.

    Raises:
        ConfigError: There are fewer flips than the change needs.
    """
    split_flips(effect, flip_rate)
    reach = ndtri(1 - level / 2) * math.sqrt(flip_rate) + ndtri(power) * math.sqrt(flip_rate - effect**2)
    root = float(reach) / effect
    return math.ceil(root**2) if root < _ENOUGH else _ENOUGH**2


def split_flips(effect: float, flip_rate: float) -> tuple[float, float]:
    """Return the chances to gain and to lose.

    Args:
        effect: gain - loss, not negative.
        flip_rate: gain + loss.

    Raises:
        ConfigError: There are fewer flips than the change needs.
    """
    if effect > flip_rate:
        raise ConfigError(
            f"A change of {effect:g} cannot come from {flip_rate:g} of flipped verdicts.",
            remedy="Give a flip rate of at least the change.",
        )
    return (flip_rate + effect) / 2, (flip_rate - effect) / 2


def last_failure(reaches: Callable[[int], bool], last: int) -> int:
    """Return the largest number at which a nearly rising power falls short.

    Args:
        reaches: Whether a number is enough.
        last: A number that is, and from which on every one is.

    Returns:
        0 where every number is enough. The power of the exact test rises in teeth of a few flips, which the chance of
        the number of flips smooths away where it spreads wider; dips are looked for 60 items up from where it holds.
    """
    low, high = 0, last
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    window = range(min(last, high + _DIPS), high, -1)
    return next((n for n in window if not reaches(n)), low)


@lru_cache(maxsize=8)
def _limits(level: float, most: int) -> NDArray[np.int64]:
    """Return, for each number of flips below `most`, the largest number of the rarer kind with a p-value below a level.

    Returns:
        Shape (most,); -1 where no number is.
    """
    flips = np.arange(most)
    low, high = np.full(most, -1), flips.copy()  # low is enough and high is not: 2 P(X <= d) = 2
    while (high - low > 1).any():
        middle = (low + high) // 2
        is_below = (2 * bdtr(np.maximum(middle, 0), flips, 0.5) < level) & (middle >= 0)
        low = np.where(is_below, middle, low)
        high = np.where(is_below, high, np.maximum(middle, low + 1))
    return low
