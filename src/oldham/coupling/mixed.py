"""A linear mixed model of every effect of a factorial design, as a check on the bootstrap.

The model of an effect is score = cell + cluster + item in cluster + what the effect does to the cluster and to the item
beyond the mean + rest, with all but the cell random and normal. It has random slopes beside random intercepts, since
with intercepts alone a model takes it that an effect does the same to every item and cluster, and finds too much (Barr
et al. 2013, J Mem Lang 68:255). In an item's own effect d, the weighted sum of its cells, the intercepts cancel, and
d = effect + cluster + item is left, which is fitted by restricted maximum likelihood. Where every item has every cell
and clusters are of one size, that is the fit of the whole table: each effect in its own stratum, as in an analysis of
variance of repeated measures (Searle, Casella and McCulloch 1992, "Variance components", chapter 4). So:

- without clusters the estimate is the mean of d and its standard error sd(d) / sqrt(n);
- with clusters of one size the standard error is the root of the mean square between clusters over n, or of the pooled
  one where clusters differ by no more than their items do;
- with clusters of several sizes the estimate weights them by what they tell, and the ratio of the two variances is
  searched for.

Intervals are Student's with one degree of freedom less than there are clusters. Items that lack a cell are those that
the bootstrap lacks too, so that the check speaks of the same items. It knows nothing of scores that are 0 or 1: where
few items change, believe the bootstrap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import t

from oldham.coupling.bootstrap import ZERO
from oldham.coupling.findings import points, points_interval
from oldham.coupling.layout import table
from oldham.coupling.results import Interval
from oldham.coupling.shares import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from oldham.coupling.factors import FactorEffect

Agreement = Literal["agrees", "one is clear", "apart", "unknown"]
"""`agrees`: both intervals hold 0, or both lie on the same side of it, and they overlap. `one is clear`: one of them
holds 0. `apart`: they lie on different sides of 0, or do not overlap. `unknown`: the model says nothing."""

MIXED_TITLE: Final = (
    "Effects of the factors by a linear mixed model beside the bootstrap, in points, with 95% intervals"
)
_GRID: Final = np.linspace(0.0, 1.0 - 1e-6, 101)
"""Correlations within a cluster at which the likelihood is looked at first."""
_TOLD: Final = 3
"""Effects named for each axis on which the two do not agree."""


class MixedFit(NamedTuple):
    """An effect on one benchmark, or on the mean of several."""

    value: float
    se: float
    """NaN with fewer than two clusters, and where all items have the same effect: there is no spread to judge by."""
    degrees: float


@dataclass(frozen=True, slots=True)
class MixedEffect:
    """What a linear mixed model says of an effect of a factor."""

    value: float
    """In the units of the effect; NaN without items."""
    se: float
    """Standard error; NaN where there is no spread to judge by."""
    interval: Interval
    degrees: float
    """Of Student's t."""
    agreement: Agreement
    """With the bootstrap."""


_NOTHING: Final = MixedFit(math.nan, math.nan, math.nan)


def fit_mixed(effects: NDArray[np.float64], clusters: NDArray[np.int64]) -> MixedFit:
    """Fit the mean of items' own effects by restricted maximum likelihood, with a random part for each cluster.

    Args:
        effects: Shape (items,); NaN leaves an item out.
        clusters: Shape (items,): cluster numbers from 0.

    Returns:
        The estimate, its standard error, and clusters less one as degrees of freedom.
    """
    known = np.isfinite(effects)
    if not known.any():
        return _NOTHING
    d, of = effects[known], clusters[known]
    sizes = np.bincount(of).astype(np.float64)
    means = np.bincount(of, weights=d)[sizes > 0] / sizes[sizes > 0]
    sizes = sizes[sizes > 0]
    n, count = len(d), len(sizes)
    if count < 2 or np.ptp(d) <= ZERO:
        return MixedFit(float(d.mean()), math.nan, float(count - 1))
    total = float(np.square(d - d.mean()).sum())
    within = max(0.0, float(np.square(d).sum() - (sizes * np.square(means)).sum()))
    if count == n:
        return MixedFit(float(d.mean()), math.sqrt(total / (n - 1) / n), float(count - 1))
    if np.ptp(sizes) == 0:
        between = (total - within) / (count - 1)
        square = between if between >= within / (n - count) else total / (n - 1)
        return MixedFit(float(d.mean()), math.sqrt(square / n), float(count - 1))
    if within <= ZERO:  # each cluster speaks with one voice
        return MixedFit(float(means.mean()), float(means.std(ddof=1)) / math.sqrt(count), float(count - 1))
    return _fit_unequal(means, sizes, within)


def average_fits(fits: Sequence[MixedFit]) -> MixedFit:
    """Average the fits of several benchmarks without weights.

    Args:
        fits: One for each benchmark.

    Returns:
        Degrees of freedom by Welch and Satterthwaite's formula; NaN where a fit has no standard error.
    """
    k = len(fits)
    if not k:
        return _NOTHING
    value = sum(f.value for f in fits) / k
    if any(math.isnan(f.se) for f in fits):
        return MixedFit(value, math.nan, math.nan)
    squares = np.array([f.se**2 for f in fits])
    degrees = np.square(squares.sum()) / (np.square(squares) / np.array([f.degrees for f in fits])).sum()
    return MixedFit(value, math.sqrt(squares.sum()) / k, float(degrees))


def mixed_effect(fit: MixedFit, bootstrap: Interval, *, level: float = 0.95) -> MixedEffect:
    """Hold a fit against the bootstrap.

    Args:
        fit: Of an effect.
        bootstrap: The effect's interval by the bootstrap.
        level: Coverage of the model's interval.
    """
    interval = UNKNOWN
    if not math.isnan(fit.se):
        half = float(t.ppf((1 + level) / 2, fit.degrees)) * fit.se
        interval = Interval(fit.value - half, fit.value + half)
    return MixedEffect(fit.value, fit.se, interval, fit.degrees, agreement_of(interval, bootstrap))


def agreement_of(model: Interval, bootstrap: Interval) -> Agreement:
    """Say whether two intervals of an effect claim the same.

    Args:
        model: The mixed model's.
        bootstrap: The bootstrap's.
    """
    if math.isnan(model.low) or math.isnan(bootstrap.low):
        return "unknown"
    apart = model.high < bootstrap.low or bootstrap.high < model.low
    clear = [interval.excludes_zero for interval in (model, bootstrap)]
    if apart or (all(clear) and (model.low > 0) != (bootstrap.low > 0)):
        return "apart"
    return "one is clear" if any(clear) and not all(clear) else "agrees"


def mixed_caveats(effects: Iterable[FactorEffect]) -> list[str]:
    """Name the effects on which the bootstrap and the mixed model claim different things.

    Args:
        effects: Every effect of a factor.

    Returns:
        One sentence for each axis where there are any, with at most three effects by name.
    """
    axes: dict[str, list[str]] = {}
    for e in effects:
        if e.mixed is not None and e.mixed.agreement in ("one is clear", "apart"):
            axes.setdefault(e.axis, []).append(
                f"{e.name} (bootstrap {points(e.delta)}, {points_interval(e.interval)}; model {points(e.mixed.value)}, "
                f"{points_interval(e.mixed.interval)})"
            )
    told = []
    for axis, names in axes.items():
        more = [f"and {len(names) - _TOLD} more"] if len(names) > _TOLD else []
        shown = "; ".join([*names[:_TOLD], *more])
        told.append(
            f"On {axis} the bootstrap and a linear mixed model do not claim the same of {shown}: take it as open."
        )
    return told


def mixed_rows(effects: Iterable[FactorEffect]) -> list[str]:
    """Lay the two accounts of every effect side by side.

    Args:
        effects: Every effect of a factor.
    """
    rows: list[tuple[str, ...]] = [
        ("axis", "effect", "bootstrap", "interval", "model", "SE", "interval", "clusters", "")
    ]
    for e in effects:
        if e.mixed is not None:
            rows.append(
                (
                    e.axis,
                    e.name,
                    points(e.delta),
                    points_interval(e.interval),
                    points(e.mixed.value),
                    "unknown" if math.isnan(e.mixed.se) else f"{100 * e.mixed.se:.1f}",
                    points_interval(e.mixed.interval),
                    str(e.n_clusters),
                    e.mixed.agreement,
                )
            )
    return table(rows)


def _fit_unequal(means: NDArray[np.float64], sizes: NDArray[np.float64], within: float) -> MixedFit:
    """Search for the correlation within clusters of several sizes.

    Args:
        means: Shape (clusters,): mean effect of each cluster's items.
        sizes: Shape (clusters,): its items.
        within: Sum of squares within clusters.
    """
    best = int(np.argmin(_deviances(_GRID, means, sizes, within)))
    near = (float(_GRID[max(best - 1, 0)]), float(_GRID[min(best + 1, len(_GRID) - 1)]))
    found = minimize_scalar(
        lambda rho: float(_deviances(np.array([rho]), means, sizes, within)[0]),
        bounds=near,
        method="bounded",
        options={"xatol": 1e-9},
    )
    candidates = np.array([float(found.x), *near])  # a bounded search never tries its ends
    rho = candidates[[int(np.argmin(_deviances(candidates, means, sizes, within)))]]
    weights = _weights(rho, sizes)
    value, square = _profile(rho, weights, means, sizes, within)
    return MixedFit(float(value[0]), math.sqrt(float(square[0] / weights[0].sum())), float(len(sizes) - 1))


def _weights(rho: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what clusters count at each correlation; shape (correlations, clusters)."""
    r = rho[:, None]
    weights: NDArray[np.float64] = sizes / (1 - r + sizes * r)
    return weights


def _profile(
    rho: NDArray[np.float64],
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    sizes: NDArray[np.float64],
    within: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the estimate and the total variance at each correlation."""
    value = weights @ means / weights.sum(axis=1)
    off = (weights * np.square(means - value[:, None])).sum(axis=1)
    return value, (within / (1 - rho) + off) / (sizes.sum() - 1)


def _deviances(
    rho: NDArray[np.float64], means: NDArray[np.float64], sizes: NDArray[np.float64], within: float
) -> NDArray[np.float64]:
    """Return minus twice the restricted log-likelihood at each correlation, up to a constant."""
    weights = _weights(rho, sizes)
    _, square = _profile(rho, weights, means, sizes, within)
    r = rho[:, None]
    spread = ((sizes - 1) * np.log(1 - r) + np.log(1 - r + sizes * r)).sum(axis=1)
    deviances: NDArray[np.float64] = (sizes.sum() - 1) * np.log(square) + spread + np.log(weights.sum(axis=1))
    return deviances
