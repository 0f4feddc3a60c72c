"""How much of the space of changes a set of arms reaches: the exact hypervolume, for all resamples at once.

The hypervolume of points is the volume of everything that is no better than one of them, down to a reference point
(Zitzler and Thiele 1998). It is the one unary measure of a set that grows whenever the set improves (Zitzler and others
2003, "Performance assessment of multiobjective optimizers", IEEE Transactions on Evolutionary Computation 7(2)).

The reference is a change of -1 on every axis: the worst that can happen to any score. The worst arm of each axis, often
taken, would not do: it moves when an arm is added or a resample is drawn, it lets whatever is worst on a single axis
count for nothing, and where an axis only gains it lies at the baseline, which then has no volume at all. From -1 the
baseline's volume is 1 in every study, whether axes gain or only lose, and nothing but the arms themselves can move an
arm's share. A gain reads in changes of a score: 0.2 is as much as 20 points on one axis at no cost on the others, and
the same 20 points at a cost of half of all score on another axis are worth half of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORST: Final = -1.0
"""The reference on every axis: the worst change of a score that there can be."""


def hypervolume(points: NDArray[np.float64], *, reference: float = WORST) -> NDArray[np.float64]:
    """Return the volume that points dominate above a reference, by slicing (Zitzler 2001; While and others 2006).

    The points are swept along their last axis from the best down; between one point and the next the cut is the
    hypervolume, one axis fewer, of the points passed so far. All sets are swept side by side. The work for n points on
    d axes grows as n to the d - 1: seven points on five axes take half a second for 10,000 sets, 13 points four.

    Args:
        points: Shape (sets, points, axes), more is better; no NaN.
        reference: The same on every axis; a point that is no better than it on some axis counts for nothing.

    Returns:
        Shape (sets,).
    """
    return _sliced(np.maximum(points - reference, 0.0))


def gain_alone(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each point by itself adds to the volume of no change.

    Args:
        points: Shape (..., axes): changes of scores, in [-1, 1].

    Returns:
        Shape (...): its own volume less what no change covers of it, at least 0.
    """
    gain: NDArray[np.float64] = np.prod(points - WORST, axis=-1) - np.prod(np.minimum(points, 0.0) - WORST, axis=-1)
    return gain


def _sliced(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the volumes above 0; `points` has shape (sets, points, axes)."""
    n_axes = points.shape[2]
    if n_axes == 1:
        highest: NDArray[np.float64] = points[:, :, 0].max(axis=1)
        return highest
    order = np.argsort(-points[:, :, -1], axis=1)
    swept = np.take_along_axis(points, order[:, :, None], axis=1)
    depth = swept[:, :, -1].copy()
    depth[:, :-1] -= swept[:, 1:, -1]
    if n_axes == 2:
        area: NDArray[np.float64] = (depth * np.maximum.accumulate(swept[:, :, 0], axis=1)).sum(axis=1)
        return area
    volume = np.zeros(len(points))
    for i in range(points.shape[1]):
        volume += depth[:, i] * _sliced(swept[:, : i + 1, :-1])
    return volume
