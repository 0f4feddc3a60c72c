"""The coupling plane: the change of reasoning across, the change of a safety axis up (estimators: coupling)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.stats import chi2

from oldham.core.outcomes import SAFETY_AXES, Axis
from oldham.coupling.bootstrap import ZERO
from oldham.coupling.results import CHANCE_KEYS, Interval, PlanePoint
from oldham.coupling.shares import UNKNOWN
from oldham.coupling.slope import FULL_TURN, guarded_arc, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from oldham.coupling.bootstrap import Estimate
    from oldham.coupling.contrasts import Contrast

_CORNERS: Final = 48


def build_plane(contrasts: Sequence[Contrast]) -> list[PlanePoint]:
    """Place every arm in the plane of reasoning and each safety axis.

    Args:
        contrasts: Every arm on every axis.

    Returns:
        By safety axis, then arm; an arm without a reasoning contrast has no place.
    """
    reasoning = {c.arm: c for c in contrasts if c.axis == Axis.REASONING}
    return [plane_point(reasoning[c.arm], c) for c in contrasts if c.axis in SAFETY_AXES and c.arm in reasoning]


def plane_point(reasoning: Contrast, safety: Contrast) -> PlanePoint:
    """Place one arm in the plane of reasoning and one safety axis.

    Args:
        reasoning: The arm's contrast on `reasoning`.
        safety: Its contrast on a safety axis.

    Returns:
        NaN, an empty ellipse and no exchange rate where a change or its spread is unknown.
    """
    across, up = reasoning.change, safety.change
    cloud = np.column_stack([across.cloud, up.cloud])
    cloud = cloud[np.isfinite(cloud).all(axis=1)]
    spread = np.cov(cloud, rowvar=False) if len(cloud) > 1 else np.full((2, 2), np.nan)
    way = direction_of(across, up)
    rate = -up.value / across.value if across.interval().excludes_zero and not math.isnan(up.value) else None
    return PlanePoint(
        arm=safety.arm,
        axis=safety.axis,
        d_reasoning=across.value,
        d_safety=up.value,
        covariance=((float(spread[0, 0]), float(spread[0, 1])), (float(spread[1, 0]), float(spread[1, 1]))),
        angle=way.angle,
        angle_interval=way.arc,
        has_moved=way.has_moved,
        quadrants=quadrant_shares(cloud),
        exchange_rate=rate,
        ellipse=ellipse((across.value, up.value), spread),
    )


def angle_of(across: float, up: float) -> float:
    """Return the direction of a vector in degrees, (-180, 180]; NaN for no vector or an unknown one."""
    if math.isnan(across) or math.isnan(up) or across == up == 0:
        return math.nan
    # Adding 0 turns -0.0 into 0.0, so that due west is 180 and never -180.
    return math.degrees(math.atan2(up + 0.0, across + 0.0))


class Direction(NamedTuple):
    """Where an arm went in the plane."""

    angle: float
    """In degrees, (-180, 180]; NaN where neither change is known to be other than 0."""
    arc: Interval
    has_moved: bool


def direction_of(across: Estimate, up: Estimate) -> Direction:
    """Return in which direction an arm went, as its line is told in a coefficient: with the same error and guard.

    Args:
        across: The change of reasoning.
        up: The change of a safety axis, resampled together with it.

    Returns:
        The arc runs over the joint resamples and may go past 180; it is the whole circle where the two changes together
        are no more than sampling gives (`has_moved`), and NaN without an angle or a spread.
    """
    angle = angle_of(across.value, up.value)
    if not (across.has_spread and up.has_spread):
        return Direction(angle, UNKNOWN, has_moved=False)
    points = place([across], [up])
    cloud = np.degrees(np.arctan2(up.cloud, across.cloud))
    cloud[np.maximum(np.abs(up.cloud), np.abs(across.cloud)) <= ZERO] = np.nan
    return Direction(angle, *guarded_arc(angle, cloud, points, turn=FULL_TURN))


def quadrant_shares(cloud: NDArray[np.float64]) -> dict[str, float]:
    """Return the share of each quadrant.

    Args:
        cloud: Shape (resamples, 2): changes of reasoning and of safety.

    Returns:
        Shares of synergy, trade-off, tax and collapse that sum to 1; a resample on an axis counts half to either side.
        All NaN without resamples.
    """
    if not len(cloud):
        return dict.fromkeys(CHANCE_KEYS, math.nan)
    plus = np.where(np.abs(cloud) <= ZERO, 0.5, cloud > 0)
    across, up = plus[:, 0], plus[:, 1]
    shares = (across * up, across * (1 - up), (1 - across) * up, (1 - across) * (1 - up))
    return {name: float(share.mean()) for name, share in zip(CHANCE_KEYS, shares, strict=True)}


def ellipse(
    centre: tuple[float, float], covariance: NDArray[np.float64], *, level: float = 0.95
) -> tuple[tuple[float, float], ...]:
    """Return the ellipse that holds a share of a bivariate normal.

    Args:
        centre: Its middle.
        covariance: Shape (2, 2).
        level: The share.

    Returns:
        A closed polygon of 49 points, the last equal to the first; empty where the covariance is unknown.
    """
    if not (np.isfinite(covariance).all() and np.isfinite(centre).all()):
        return ()
    values, vectors = np.linalg.eigh(covariance)
    radii = np.sqrt(np.maximum(values, 0.0) * chi2.ppf(level, 2))
    turn = np.linspace(0.0, 2 * math.pi, _CORNERS, endpoint=False)
    edge = np.column_stack([np.cos(turn), np.sin(turn)]) * radii @ vectors.T + centre
    corners = [(float(x), float(y)) for x, y in edge]
    return (*corners, corners[0])
