"""Tests of "nothing changed", and their adjustment for many."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import binom

from oldham.coupling.bootstrap import ZERO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_ENUMERATE: Final = 13
"""Up to this many clusters that changed, all 2^k sign patterns are tried."""


def mcnemar(gains: int, losses: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (McNemar 1947; binomial form).

    Args:
        gains: Items that were bad and became good.
        losses: Items that were good and became bad.

    Returns:
        min(1, 2 P(X <= min(gains, losses))), X binomial with one half; 1 when nothing flipped.
    """
    return min(1.0, 2 * float(binom.cdf(min(gains, losses), gains + losses, 0.5)))


def sign_flip(changes: NDArray[np.float64], *, permutations: int, seed: int) -> float:
    """Return the two-sided p-value of the sign-flip permutation test over clusters.

    Args:
        changes: Shape (clusters,): what each cluster adds to the mean difference.
        permutations: Random sign patterns where there are too many to enumerate.
        seed: Of the random patterns.

    Returns:
        Exact for up to 13 clusters that changed, else (1 + hits) / (1 + permutations); 1 when nothing changed; NaN
        without clusters.
    """
    if not len(changes):
        return math.nan
    moved = changes[np.abs(changes) > ZERO]
    if not len(moved):
        return 1.0
    # Rounding must not make a pattern less extreme than itself.
    observed = abs(moved.sum()) - ZERO
    if len(moved) <= _ENUMERATE:
        patterns = (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1
        return float((np.abs((2 * patterns - 1) @ moved) >= observed).mean())
    sums = _flipped_sums(moved, permutations, np.random.default_rng(seed))
    return float((1 + (np.abs(sums) >= observed).sum()) / (1 + permutations))


def _flipped_sums(moved: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Sum the numbers `count` times, each under signs of its own.

    Eight signs are one random byte, and the 256 sums that eight numbers can have are made once: a tenth of the work and
    of the memory of drawing every sign, which is felt with thousands of clusters.
    """
    eights = np.pad(moved, (0, -len(moved) % 8)).reshape(-1, 8)
    signs = 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) - 1
    sums = np.zeros(count)
    for table in eights @ signs.T:
        sums += table.take(rng.integers(256, size=count, dtype=np.uint8))
    return sums


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust for the family-wise error (Holm 1979).

    Args:
        p_values: In any order; NaN belongs to no test and is passed through.

    Returns:
        Adjusted p-values in the same order.
    """
    return _adjust(p_values, lambda rank, m: m - rank, from_smallest=True)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjust for the false discovery rate (Benjamini and Hochberg 1995).

    Args:
        p_values: In any order; NaN belongs to no test and is passed through.

    Returns:
        q-values in the same order.
    """
    return _adjust(p_values, lambda rank, m: m / (rank + 1), from_smallest=False)


def _adjust(p_values: Sequence[float], factor: Callable[[int, int], float], *, from_smallest: bool) -> list[float]:
    """Multiply each p-value by a factor of its rank and keep the order: running maximum up, or running minimum down."""
    adjusted = [math.nan] * len(p_values)
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    scaled = [p_values[i] * factor(rank, len(order)) for rank, i in enumerate(order)]
    if scaled:
        values = np.array(scaled)
        steps = np.maximum.accumulate(values) if from_smallest else np.minimum.accumulate(values[::-1])[::-1]
        for i, value in zip(order, steps, strict=True):
            adjusted[i] = min(1.0, float(value))
    return adjusted
