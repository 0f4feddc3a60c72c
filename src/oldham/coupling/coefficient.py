"""The coupling coefficient: how much of a safety axis goes with a point of reasoning, over arms (estimators: coupling).

Everything is as judged and read from the resampled changes of `Contrast`: arms share a baseline, and with it every
resample of its items, so that no error is counted as if it were independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from oldham.core.outcomes import SAFETY_AXES, Axis
from oldham.coupling.bootstrap import ZERO
from oldham.coupling.dynamics_ladders import Source, read_ladders
from oldham.coupling.judge_error import Corrections
from oldham.coupling.results import Interval
from oldham.coupling.shares import UNKNOWN
from oldham.coupling.slope import (
    NO_HETEROGENEITY,
    Heterogeneity,
    Points,
    angle_arc,
    fit_angles,
    guarded_arc,
    heterogeneity,
    holds,
    place,
    slope_interval,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.pairing import Block

EVERY_ARM: Final = "all arms"
"""The family of every arm but the baseline."""
_CHUNK: Final = 4_000_000
_TWO: Final = 2
"""Doses that make a family."""
_UPRIGHT: Final = 90.0


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """What a point of reasoning costs under one arm."""

    arm: str
    d_reasoning: float
    rate: float | None
    """-d_safety / d_reasoning: points of safety paid for each point of reasoning; None where the interval of
    d_reasoning holds 0."""
    interval: Interval | None
    """Infinite where an upright line cannot be ruled out."""
    angle: float
    """atan2 as in the plane, as a line: degrees in (-90, 90]."""
    angle_interval: Interval


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One slope for a family of arms, and whether one is enough."""

    family: str
    """`EVERY_ARM`, or an intervention."""
    axis: str
    """The safety axis."""
    start: str
    """The arm they are compared with."""
    arms: tuple[str, ...]
    """Arms whose change is known on both axes."""
    left_out: tuple[str, ...]
    """The others of the family."""
    kappa: float
    """Errors-in-variables slope through the origin; NaN where nothing is measured or nothing moved at all."""
    interval: Interval
    """From minus to plus infinity where an upright line cannot be ruled out."""
    angle: float
    """Of the line, in degrees, (-90, 90]; kappa is its tangent."""
    angle_interval: Interval
    """Around `angle`, so that its ends may lie past 90 or -90; all directions where the arms have not clearly moved."""
    has_moved: bool
    """Whether the arms' changes together are more than sampling gives; where not, no direction is claimed."""
    kendall: float
    """Kendall's tau-b between the arms' changes of reasoning and of safety; NaN with one arm or ties throughout."""
    kendall_interval: Interval
    """Percentiles of the resamples; noise in the changes pulls them towards 0."""
    heterogeneity: Heterogeneity
    """Whether one line is enough."""
    exchange: tuple[ExchangeRate, ...]
    """One an arm."""
    n_reasoning: int
    """Paired items on reasoning of the arm that has fewest."""
    n_safety: int
    n_clusters: int
    """Fewest clusters behind any of these changes."""
    judges: tuple[str, ...]
    """Whose verdicts on the safety axis these are."""

    @property
    def standard_error(self) -> float:
        """Half the 95% interval over 1.96; NaN where that is unknown or infinite."""
        error = (self.interval.high - self.interval.low) / (2 * NormalDist().inv_cdf(0.975))
        return error if math.isfinite(error) else math.nan

    @property
    def has_slope(self) -> bool:
        """Whether the angle's interval excludes a level line: safety goes up or down with reasoning, or on its own."""
        return not math.isnan(self.angle_interval.low) and not holds(self.angle_interval, 0.0)

    @property
    def is_bounded(self) -> bool:
        """Whether an upright line is ruled out, so that the slope has two ends."""
        return math.isfinite(self.interval.low)


class Family(NamedTuple):
    """Arms that share a start."""

    name: str
    start: str
    arms: tuple[str, ...]


def read_families(trials: pl.DataFrame, arms: Sequence[str], baseline: str) -> list[Family]:
    """Read which arms make a family.

    Args:
        trials: In the observation schema.
        arms: Every arm but the baseline.
        baseline: What they are compared with.

    Returns:
        All arms first, then each intervention with two doses or more above its start, in the table's order.
    """
    ladders, _ = read_ladders(trials, baseline=baseline)
    doses = [Family(each.intervention, each.start, each.arms) for each in ladders if len(each.arms) >= _TWO]
    return [Family(EVERY_ARM, baseline, tuple(arms)), *doses]


def couple_coefficients(
    contrasts: Sequence[Contrast],
    blocks: Sequence[Block],
    trials: pl.DataFrame,
    *,
    baseline: str,
    options: CouplingOptions,
) -> list[Coefficient]:
    """Read the families of a table and fit a slope to each.

    Args:
        contrasts: Every arm against the baseline, on every axis.
        blocks: The answers' blocks behind them.
        trials: One row a trial and span.
        baseline: The arm compared with.
        options: Those the contrasts were made with.

    Returns:
        As `build_coefficients`.
    """
    arms = [a for a in trials["arm"].unique(maintain_order=True).to_list() if a != baseline]
    families = read_families(trials, arms, baseline)
    found = {baseline: {(c.axis, c.arm): c for c in contrasts}}
    plain = replace(options, cards={})
    for family in families:
        if family.start != baseline:
            source = Source(tuple(blocks), plain, Corrections(trials, plain))
            found[family.start] = found.get(family.start, {}) | source.contrasts(family.arms, family.start)
    return build_coefficients(found, families)


def build_coefficients(
    found: Mapping[str, Mapping[tuple[str, str], Contrast]], families: Sequence[Family]
) -> list[Coefficient]:
    """Fit a slope to every family on every safety axis.

    Args:
        found: By start, then axis and arm: what the arms changed from that start.
        families: Which arms belong together.

    Returns:
        By safety axis, then family; none where reasoning was not measured.
    """
    seen = {axis for contrasts in found.values() for axis, _ in contrasts}
    if Axis.REASONING not in seen:
        return []
    axes = [str(a) for a in SAFETY_AXES if a in seen]
    return [_coefficient(family, axis, found.get(family.start, {})) for axis in axes for family in families]


def _coefficient(family: Family, axis: str, found: Mapping[tuple[str, str], Contrast]) -> Coefficient:
    pairs = [(found.get((str(Axis.REASONING), arm)), found.get((axis, arm))) for arm in family.arms]
    known = [(r, s) for r, s in pairs if r and s and r.change.has_spread and s.change.has_spread]
    if not known:
        return _nothing(family, axis)
    reasoning, safety = [r for r, _ in known], [s for _, s in known]
    points = place([r.change for r in reasoning], [s.change for s in safety])
    angle, arc, moved = guarded_line(points)
    tau, tau_interval = kendall(points)
    arms = tuple(r.arm for r in reasoning)
    return Coefficient(
        family=family.name,
        axis=axis,
        start=family.start,
        arms=arms,
        left_out=tuple(a for a in family.arms if a not in arms),
        kappa=slope_of(angle),
        interval=slope_interval(arc),
        angle=angle,
        angle_interval=arc,
        has_moved=moved,
        kendall=tau,
        kendall_interval=tau_interval,
        heterogeneity=heterogeneity(points),
        exchange=tuple(exchange_rate(r, s) for r, s in known),
        n_reasoning=min(r.n_items for r in reasoning),
        n_safety=min(s.n_items for s in safety),
        n_clusters=points.fewest_clusters,
        judges=tuple(sorted({label for s in safety for label in s.judges})),
    )


def _nothing(family: Family, axis: str) -> Coefficient:
    return Coefficient(
        family=family.name,
        axis=axis,
        start=family.start,
        arms=(),
        left_out=family.arms,
        kappa=math.nan,
        interval=UNKNOWN,
        angle=math.nan,
        angle_interval=UNKNOWN,
        has_moved=False,
        kendall=math.nan,
        kendall_interval=UNKNOWN,
        heterogeneity=NO_HETEROGENEITY,
        exchange=(),
        n_reasoning=0,
        n_safety=0,
        n_clusters=0,
        judges=(),
    )


def _line(points: Points) -> tuple[float, NDArray[np.float64]]:
    """Return the angle of the line through some arms, and its resampled angles."""
    errors = (points.across_variance, points.up_variance)
    angle = float(fit_angles(points.across[None], points.up[None], *errors)[0])
    return angle, fit_angles(points.across_cloud, points.up_cloud, *errors)


class Line(NamedTuple):
    """A line through the origin."""

    angle: float
    """In degrees, (-90, 90]; NaN where all changes are 0."""
    arc: Interval
    has_moved: bool


def guarded_line(points: Points) -> Line:
    """Fit the line through some arms, and claim no direction for it unless the arms have moved.

    Args:
        points: The arms.

    Returns:
        Its 95% interval is over the joint resamples, or every angle where `has_moved` finds no movement.
    """
    angle, cloud = _line(points)
    return Line(angle, *guarded_arc(angle, cloud, points))


def slope_of(angle: float) -> float:
    """Return the tangent of an angle in degrees; infinite for an upright line."""
    return math.inf if angle == _UPRIGHT else math.tan(math.radians(angle))


def exchange_rate(reasoning: Contrast, safety: Contrast) -> ExchangeRate:
    """Return what a point of reasoning costs under an arm.

    Args:
        reasoning: The arm's change of reasoning, with a known spread.
        safety: Its change of a safety axis.

    Returns:
        A rate only where the interval of the change of reasoning excludes 0; else the angle alone.
    """
    points = place([reasoning.change], [safety.change])
    angle, cloud = _line(points)
    # Without the guard: a rate needs a change of reasoning that is clear by itself.
    arc = angle_arc(angle, cloud, tail=points.tail)
    is_clear = reasoning.change.interval().excludes_zero
    slopes = slope_interval(arc)
    return ExchangeRate(
        arm=reasoning.arm,
        d_reasoning=reasoning.change.value,
        rate=0.0 - slope_of(angle) if is_clear else None,
        interval=Interval(0.0 - slopes.high, 0.0 - slopes.low) if is_clear else None,
        angle=angle,
        angle_interval=arc,
    )


def kendall(points: Points) -> tuple[float, Interval]:
    """Return Kendall's tau-b between changes of reasoning and of safety, over arms.

    Args:
        points: The arms.

    Returns:
        The value and percentiles of the resamples. NaN with one arm, or where all arms tie on an axis. Two arms have a
        tau of -1 or 1 whatever they do.
    """
    value = float(_tau(points.across[None], points.up[None])[0])
    cloud = _tau(points.across_cloud, points.up_cloud)
    cloud = cloud[np.isfinite(cloud)]
    if math.isnan(value) or not len(cloud) or math.isnan(points.tail):
        return value, UNKNOWN
    low, high = np.quantile(cloud, [points.tail, 1 - points.tail])
    return value, Interval(float(low), float(high))


def _tau(across: NDArray[np.float64], up: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return tau-b of every row; shapes (rows, arms)."""
    first, second = np.triu_indices(across.shape[1], 1)
    tau = np.full(len(across), np.nan)
    if not len(first):
        return tau
    step = max(1, _CHUNK // len(first))
    for start in range(0, len(across), step):
        rows = slice(start, start + step)
        r = _sign(across[rows][:, first] - across[rows][:, second])
        s = _sign(up[rows][:, first] - up[rows][:, second])
        untied = np.sqrt(np.abs(r).sum(axis=1) * np.abs(s).sum(axis=1))
        np.divide((r * s).sum(axis=1), untied, out=tau[rows], where=untied > 0)
    return tau


def _sign(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    sign: NDArray[np.float64] = np.where(np.abs(difference) <= ZERO, 0.0, np.sign(difference))
    return sign
