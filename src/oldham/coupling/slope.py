"""The slope of a line through the origin when both coordinates are measured with error (estimators: coupling).

The line is kept as an angle theta in (-90, 90] degrees, kappa = tan theta, so that a line that stands upright is a
direction like any other and not an infinity.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import f, norm, t

from oldham.coupling.bootstrap import ZERO
from oldham.coupling.results import Interval
from oldham.coupling.shares import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from oldham.coupling.bootstrap import Estimate

_GRID: Final = 360
_HALVINGS: Final = 30
"""Of a degree: down to a billionth of one."""
_CHUNK: Final = 2_000_000
"""Numbers held in memory at a time."""
_RANK: Final = 1e-9
"""Share of the largest eigenvalue below which a direction of the errors counts as none."""
_UPRIGHT: Final = 90.0
HALF_TURN: Final = 180.0
"""After which a line lies on itself, in degrees."""
FULL_TURN: Final = 360.0
"""After which a direction does."""


class Points(NamedTuple):
    """Arms in the plane of reasoning (across) and one safety axis (up), with their errors."""

    across: NDArray[np.float64]
    """Shape (arms,): changes of reasoning."""
    up: NDArray[np.float64]
    """Shape (arms,): changes of the safety axis."""
    across_cloud: NDArray[np.float64]
    """Shape (resamples, arms)."""
    up_cloud: NDArray[np.float64]
    across_variance: NDArray[np.float64]
    """Shape (arms,): squared standard errors, above 0."""
    up_variance: NDArray[np.float64]
    fewest_clusters: int
    """Clusters behind the least known of all these changes."""
    freedom: float
    """Degrees of freedom of its variance; below 1 there is none."""
    shown: float
    """Share of its variance that resamples show, in (0, 1]."""

    @property
    def tail(self) -> float:
        """Share of resamples beyond each end of a 95% interval, expanded for few clusters; NaN without a degree."""
        return float(norm.cdf(-_stretch(self, 0.975))) if self.freedom >= 1 else math.nan


class Heterogeneity(NamedTuple):
    """Whether one line through the origin is enough for all arms."""

    q: float
    """Squared distance of the arms from the line that fits them best, in units of their joint error."""
    degrees: int
    p_value: float
    i_squared: float
    """Share of that distance that error does not explain, in [0, 1)."""


NO_HETEROGENEITY: Final = Heterogeneity(math.nan, 0, math.nan, math.nan)


def place(across: Sequence[Estimate], up: Sequence[Estimate]) -> Points:
    """Put changes of reasoning and of a safety axis side by side.

    A change that rests on next to no flips has a cloud wider than its variance (`widen_if_rare`); its error is then the
    cloud's, or an arm in which nothing flipped would count as known for certain.

    Args:
        across: One an arm, each with a known spread (`Estimate.has_spread`).
        up: The same arms; entry b of all clouds of an axis is the same resample.

    Returns:
        The points, at least one arm.
    """
    across_cloud, up_cloud = (np.column_stack([e.cloud for e in side]) for side in (across, up))
    least = min((*across, *up), key=lambda e: e.freedom)
    return Points(
        np.array([e.value for e in across]),
        np.array([e.value for e in up]),
        across_cloud,
        up_cloud,
        _errors(across, across_cloud),
        _errors(up, up_cloud),
        least.n_clusters,
        least.freedom,
        least.shown,
    )


def _stretch(points: Points, quantile: float) -> float:
    """Return how many of the resamples' standard deviations a quantile lies out, as `Estimate.tail` does."""
    return float(t.ppf(quantile, points.freedom)) / math.sqrt(points.shown)


def _errors(estimates: Sequence[Estimate], cloud: NDArray[np.float64]) -> NDArray[np.float64]:
    variances: NDArray[np.float64] = np.maximum([e.variance for e in estimates], np.nanvar(cloud, axis=0))
    return np.maximum(variances, ZERO**2, dtype=np.float64)


def has_moved(points: Points, *, level: float = 0.05) -> bool:
    """Test whether the arms moved from the baseline at all, on the two axes together.

    Where they did not, a line through them follows the noise: resampled angles then cluster around a chance direction,
    and their percentiles hold the true line too seldom (87% of 400 simulated studies with gains of 2 to 3 points and 60
    items; 99% where nothing is claimed unless this test finds movement).

    Args:
        points: The arms.
        level: Of the test.

    Returns:
        Whether the sum of squared standardised changes exceeds its quantile over the resamples, centred at no change
        and expanded for few clusters as intervals are: without that, one arm that did not move was found to have moved
        in 19% of 1,500 simulated studies with 6 clusters and in 13% with 10. The arms' errors keep their correlation.
        False without resamples, and with fewer than two clusters.
    """
    error = np.sqrt(np.concatenate([points.across_variance, points.up_variance]))
    value = np.concatenate([points.across, points.up])
    cloud = np.hstack([points.across_cloud, points.up_cloud])
    cloud = cloud[np.isfinite(cloud).all(axis=1)]
    if not len(cloud) or points.freedom < 1:
        return False
    expanded = (_stretch(points, 1 - level / 2) / float(norm.ppf(1 - level / 2))) ** 2
    noise = np.square((cloud - value) / error).sum(axis=1)
    return bool(np.square(value / error).sum() > expanded * np.quantile(noise, 1 - level))


def fit_angles(
    across: NDArray[np.float64],
    up: NDArray[np.float64],
    across_variance: NDArray[np.float64],
    up_variance: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Fit a line through the origin to every row of points, errors in both coordinates.

    The slope is argmin_k sum_a (up_a - k across_a)^2 / (up_variance_a + k^2 across_variance_a), written with
    k = tan theta so that the objective is smooth and periodic: a grid of half degrees finds the lowest valley, and
    halving finds its bottom. With equal variances it is total least squares,
    tan 2 theta = 2 sum(across up) / (sum(across^2) - sum(up^2)) (Deming regression through the origin; Fuller 1987,
    "Measurement Error Models", section 1.3).

    Args:
        across: Shape (rows, arms).
        up: Shape (rows, arms).
        across_variance: Shape (arms,), above 0.
        up_variance: Shape (arms,), above 0.

    Returns:
        Shape (rows,): theta in degrees, (-90, 90]; NaN where a coordinate is NaN, or every point is the origin.
    """
    rows, arms = across.shape
    theta = np.full(rows, np.nan)
    if arms == 1:
        # The line through one point goes through it, whatever the errors.
        known = np.maximum(np.abs(across[:, 0]), np.abs(up[:, 0])) > ZERO
        theta[known] = wrap(np.degrees(np.arctan2(up[known, 0], across[known, 0])))
        return theta
    step = max(1, _CHUNK // max(_GRID, arms))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        theta[part] = _fit(across[part], up[part], across_variance, up_variance)
    return theta


def _fit(
    across: NDArray[np.float64],
    up: NDArray[np.float64],
    across_variance: NDArray[np.float64],
    up_variance: NDArray[np.float64],
) -> NDArray[np.float64]:
    grid = np.arange(_GRID) * (math.pi / _GRID) - math.pi / 2
    sine, cosine = np.sin(grid)[:, None], np.cos(grid)[:, None]
    weight = 1.0 / (up_variance * cosine**2 + across_variance * sine**2)
    # The objective is linear in these three moments of each point, so a whole grid is one product.
    moments = np.hstack([up**2, across * up, across**2])
    weights = np.hstack([weight * cosine**2, -2 * weight * sine * cosine, weight * sine**2])
    found = grid[np.argmin(np.nan_to_num(moments @ weights.T, nan=np.inf), axis=1)]
    low, high = found - math.pi / _GRID, found + math.pi / _GRID
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        falls = _slope_of_objective(middle[:, None], across, up, across_variance, up_variance) < 0
        low, high = np.where(falls, middle, low), np.where(falls, high, middle)
    theta = wrap(np.degrees((low + high) / 2))
    known = np.isfinite(across).all(axis=1) & np.isfinite(up).all(axis=1)
    known &= np.maximum(np.abs(across), np.abs(up)).max(axis=1, initial=0.0) > ZERO
    theta[~known] = np.nan
    return theta


def _slope_of_objective(
    theta: NDArray[np.float64],
    across: NDArray[np.float64],
    up: NDArray[np.float64],
    across_variance: NDArray[np.float64],
    up_variance: NDArray[np.float64],
) -> NDArray[np.float64]:
    sine, cosine = np.sin(theta), np.cos(theta)
    off = up * cosine - across * sine
    along = -up * sine - across * cosine
    variance = up_variance * cosine**2 + across_variance * sine**2
    turning = 2 * sine * cosine * (across_variance - up_variance)
    slope: NDArray[np.float64] = (off * (2 * along * variance - off * turning) / variance**2).sum(axis=1)
    return slope


def wrap(degrees: NDArray[np.float64], turn: float = HALF_TURN) -> NDArray[np.float64]:
    """Bring angles into (-90, 90] for lines, or (-180, 180] for directions.

    Args:
        degrees: Any shape.
        turn: After how many degrees they repeat.
    """
    wrapped: NDArray[np.float64] = turn / 2 - np.mod(turn / 2 - degrees, turn)
    return wrapped


def angle_arc(angle: float, cloud: NDArray[np.float64], *, tail: float, turn: float = HALF_TURN) -> Interval:
    """Return the interval of an angle from its resampled values.

    Percentiles of how far each resample turned from the estimate, at levels expanded for few clusters as those of
    `Estimate.interval` are.

    Args:
        angle: The estimate, in degrees.
        cloud: Shape (resamples,): in degrees, NaN where a resample has none.
        tail: Share of the resamples beyond each end; NaN where nobody can say.
        turn: After how many degrees the angle repeats.

    Returns:
        Around `angle`, so that its ends may lie past half a `turn`; NaN without an estimate or a tail.
    """
    turned = wrap(cloud[np.isfinite(cloud)] - angle, turn)
    if math.isnan(angle) or math.isnan(tail) or not len(turned):
        return UNKNOWN
    low, high = np.quantile(turned, [tail, 1 - tail])
    return Interval(angle + float(low), angle + float(high))


def guarded_arc(
    angle: float, cloud: NDArray[np.float64], points: Points, *, turn: float = HALF_TURN
) -> tuple[Interval, bool]:
    """Return the interval of an angle that is told only where the arms have moved.

    Args:
        angle: The estimate, in degrees.
        cloud: Shape (resamples,): in degrees, NaN where a resample has none.
        points: The arms whose angle it is.
        turn: After how many degrees the angle repeats.

    Returns:
        As `angle_arc`, or half a `turn` to either side where `has_moved` finds no movement; and what that found.
    """
    moved = has_moved(points)
    if not moved and not math.isnan(angle):
        return Interval(angle - turn / 2, angle + turn / 2), moved
    return angle_arc(angle, cloud, tail=points.tail, turn=turn), moved


def slope_interval(arc: Interval) -> Interval:
    """Turn an interval of the angle into one of the slope.

    Args:
        arc: In degrees; may run past 90 or -90.

    Returns:
        From minus to plus infinity where the arc holds an upright line: no slope, however steep, can be ruled out on
        both sides. NaN for an unknown arc.
    """
    if math.isnan(arc.low):
        return UNKNOWN
    if holds(arc, _UPRIGHT):
        return Interval(-math.inf, math.inf)
    return Interval(math.tan(math.radians(arc.low)), math.tan(math.radians(arc.high)))


def holds(arc: Interval, line: float) -> bool:
    """Say whether an arc holds a line.

    Args:
        arc: In degrees.
        line: The line's angle in degrees.

    Returns:
        False for an unknown arc.
    """
    if math.isnan(arc.low):
        return False
    return math.floor((arc.high - line) / (2 * _UPRIGHT)) >= math.ceil((arc.low - line) / (2 * _UPRIGHT))


def heterogeneity(points: Points) -> Heterogeneity:
    """Test whether one line through the origin is enough for all arms.

    All arms are compared with one baseline, so their errors go up and down together, and the sum of squared
    standardised residuals that Cochran's Q is made of is no chi-square. Here Q = min over theta of e' V^-1 e, with
    e_a = up_a cos theta - across_a sin theta the distance of each arm from the line and V(theta) the full covariance
    of these distances over the resamples, arms and axes together, at unbiased variances. The minimum over theta takes
    up one degree of freedom, or rank - 1 where arms are copies of each other (as in limited-information maximum
    likelihood, Anderson and Rubin 1949; it is not evaluated at kappa, which weighs arms as if they were independent).
    V is estimated from n clusters, so that Q is held against Hotelling's T-squared distribution and not against
    chi-square. I-squared is 1 - E[Q] / Q, with E[Q] what error alone would make of Q (Higgins and Thompson 2002, with
    the expectation under T-squared).

    Args:
        points: The arms.

    Returns:
        NaN for one arm, or with too few clusters for so many arms.
    """
    arms = len(points.across)
    cloud = np.hstack([points.across_cloud, points.up_cloud])
    cloud = cloud[np.isfinite(cloud).all(axis=1)]
    if arms < 2 or len(cloud) < 2 * cloud.shape[1]:
        return NO_HETEROGENEITY
    spread = np.cov(cloud, rowvar=False)
    wanted = np.sqrt(np.concatenate([points.across_variance, points.up_variance]))
    shown = np.sqrt(np.diagonal(spread))
    scale = np.divide(wanted, shown, out=np.ones_like(shown), where=shown > 0)
    spread = spread * np.outer(scale, scale)
    thetas = np.radians(np.arange(_GRID) * (2 * _UPRIGHT / _GRID))
    values, _ = _distances(thetas, points, spread)
    best = float(thetas[int(np.argmin(values))])
    room = math.pi / _GRID
    refined = minimize_scalar(
        lambda x: _distances(np.array([x]), points, spread)[0][0], bounds=(best - room, best + room), method="bounded"
    )
    last, ranks = _distances(np.array([refined.x]), points, spread)
    q, rank = min(float(last[0]), float(values.min())), int(ranks[0])
    degrees, free = rank - 1, points.freedom
    left = free - degrees + 1
    if degrees < 1 or left < 1:
        return NO_HETEROGENEITY
    p_value = float(f.sf(q * left / (free * degrees), degrees, left))
    expected = degrees * free / (left - 2) if left > 2 else math.inf
    return Heterogeneity(q, degrees, p_value, max(0.0, 1 - expected / q) if q > 0 else 0.0)


def _distances(
    thetas: NDArray[np.float64], points: Points, spread: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return e' V^-1 e at some angles in radians, shape (angles,), and the ranks of V."""
    arms = len(points.across)
    sine, cosine = np.sin(thetas)[:, None, None], np.cos(thetas)[:, None, None]
    off = points.up * cosine[:, 0] - points.across * sine[:, 0]
    mixed = spread[:arms, arms:] + spread[arms:, :arms]
    error = spread[arms:, arms:] * cosine**2 + spread[:arms, :arms] * sine**2 - mixed * sine * cosine
    deviation = np.sqrt(np.maximum(np.diagonal(error, axis1=1, axis2=2), ZERO**2))
    values, vectors = np.linalg.eigh(error / (deviation[:, :, None] * deviation[:, None, :]))
    kept = values > _RANK * values[:, -1:]
    along = np.einsum("tij,ti->tj", vectors, off / deviation)
    distances = np.where(kept, along**2 / np.where(kept, values, 1.0), 0.0).sum(axis=1)
    return distances, kept.sum(axis=1)
