"""Whether a probe's probabilities mean what they say, and one number that mends them (Guo et al. 2017, 1706.04599).

A temperature divides every logit. It changes no ranking, so AUROC and accuracy stay as they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPERATURES: Final = (0.01, 100.0)
"""The range searched; a probe without an error on what it is fitted on asks for the lower end."""
_ROWS_A_BIN: Final = 10


class Quality(NamedTuple):
    """How good probabilities are; for all three, lower is better."""

    ece: float
    """Expected calibration error: mean distance of stated and observed shares over bins of equal size, in [0, 1]. With
    few rows it is above 0 for a perfect probe too."""
    brier: float
    """Mean squared distance of probability and outcome, in [0, 1]; 0.25 for a coin."""
    nll: float
    """Mean negative log-likelihood in nats; 0.693 for a coin."""


class Calibration(NamedTuple):
    """What a temperature does to a probe."""

    temperature: float
    """Fitted on all out-of-fold logits; above 1 the probe was too sure of itself. NaN without both labels."""
    before: Quality
    """Of the out-of-fold probabilities as they are."""
    after: Quality
    """Of the same, each fold's logits divided by a temperature fitted on the other folds."""


def calibrate(logits: NDArray[np.float64], labels: NDArray[np.int64], folds: NDArray[np.int64]) -> Calibration:
    """Fit a temperature on out-of-fold logits, and measure what it does on rows that it was not fitted on.

    Args:
        logits: Shape (rows,): each from a probe that did not see the row.
        labels: Shape (rows,), 0 or 1.
        folds: Shape (rows,): the fold in which a row was held out.
    """
    cooled = np.full_like(logits, np.nan)
    for fold in np.unique(folds):
        held = folds == fold
        cooled[held] = logits[held] / fit_temperature(logits[~held], labels[~held])
    return Calibration(fit_temperature(logits, labels), quality(logits, labels), quality(cooled, labels))


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the temperature under which the labels are likeliest.

    Args:
        logits: Shape (rows,).
        labels: Shape (rows,), 0 or 1.

    Returns:
        In `TEMPERATURES`; NaN without both labels, for which every temperature does as well or badly.
    """
    if len(np.unique(labels)) < 2 or not np.any(logits):
        return math.nan
    low, high = map(math.log, TEMPERATURES)
    found = minimize_scalar(lambda t: _nll(logits / math.exp(t), labels), bounds=(low, high), method="bounded")
    return math.exp(float(found.x))


def quality(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> Quality:
    """Measure probabilities given as logits.

    Args:
        logits: Shape (rows,); NaN where there is no probability.
        labels: Shape (rows,), 0 or 1.

    Returns:
        Over the rows with a logit; NaN without any.
    """
    known = np.isfinite(logits)
    if not known.any():
        return Quality(math.nan, math.nan, math.nan)
    said, was = expit(logits[known]), labels[known].astype(np.float64)
    return Quality(_ece(said, was), float(np.square(said - was).mean()), _nll(logits[known], labels[known]))


def _ece(said: NDArray[np.float64], was: NDArray[np.float64]) -> float:
    bins = np.array_split(np.argsort(said, kind="stable"), min(10, max(1, len(said) // _ROWS_A_BIN)))
    return float(sum(len(rows) * abs(said[rows].mean() - was[rows].mean()) for rows in bins) / len(said))


def _nll(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    signed = np.where(labels == 1, logits, -logits)
    return float(np.logaddexp(0.0, -signed).mean())
