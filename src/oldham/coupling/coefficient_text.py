"""What is said of coupling coefficients, in sentences that claim no more than their intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.coupling.coefficient import EVERY_ARM
from oldham.coupling.findings import axis_words, counted, points
from oldham.coupling.layout import p_value, ratio
from oldham.coupling.results import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.coupling.coefficient import Coefficient, ExchangeRate

_LEVEL: Final = 0.05
_HALF: Final = 0.5
_ENOUGH: Final = 4
"""Arms from which a rank correlation says something: three take one of four values by chance alone."""


def coefficient_sentences(coefficient: Coefficient) -> list[str]:
    """Say what a family's slope is, whether one is enough, and whether arms that reason better are safer.

    Args:
        coefficient: Of one family on one safety axis.

    Returns:
        One sentence or more.
    """
    sentences = [slope_sentence(coefficient)]
    if len(coefficient.arms) > 1 and coefficient.has_moved:
        sentences.append(_one_is_enough(coefficient))
    if len(coefficient.arms) >= _ENOUGH:
        sentences.append(_ranks(coefficient))
    return [s for s in sentences if s]


def slope_sentence(c: Coefficient) -> str:
    """Say how a safety axis goes with reasoning over a family of arms.

    Args:
        c: The coefficient.

    Returns:
        One sentence: a rate only where the interval excludes 0 and an upright line, else what stays open.
    """
    what = axis_words(c.axis, c.judges)
    over = _over(c)
    if not c.arms:
        return f"Nothing can be said of how {what} goes with correct reasoning over {over}: no arm has both measured."
    counts = (
        f"{counted(c.n_reasoning, 'item')} of reasoning and {c.n_safety} of safety"
        f"{' in the arm with fewest' if len(c.arms) > 1 else ''}"
    )
    if math.isnan(c.angle_interval.low) and not math.isnan(c.angle):
        return f"Nothing sure can be said of how {what} goes with correct reasoning over {over}: too few clusters."
    if not c.has_moved:
        return (
            f"No slope can be told for {what} against correct reasoning over {over}: all changes together are no more "
            f"than sampling gives ({counts})."
        )
    angle = f"angle {_degrees(c.angle)}, 95% interval {_degrees(c.angle_interval.low)} to "
    angle += _degrees(c.angle_interval.high)
    if not c.is_bounded and c.has_slope:
        return (
            f"Over {over}, {what} changed, and correct reasoning too little beside it for a rate ({angle}; {counts})."
        )
    if not c.is_bounded:
        return f"Over {over}, no direction can be told for {what} against correct reasoning ({angle}; {counts})."
    span = f"{ratio(c.interval.low)} to {ratio(c.interval.high)}"
    if not c.has_slope:
        return (
            f"No detectable slope of {what} on correct reasoning over {over} (κ {ratio(c.kappa)}, could be as low as "
            f"{ratio(c.interval.low)} or as high as {ratio(c.interval.high)}; {counts})."
        )
    way = "lower" if c.kappa < 0 else "higher"
    return (
        f"Over {over}, each point of correct reasoning gained goes with {what} {ratio(abs(c.kappa))} points {way} "
        f"(κ {ratio(c.kappa)}, 95% interval {span}; {counts})."
    )


def exchange_sentence(rate: ExchangeRate, c: Coefficient) -> str:
    """Say what a point of reasoning costs under one arm.

    Args:
        rate: The arm's.
        c: The coefficient it belongs to.

    Returns:
        One sentence; the angle alone where reasoning has not clearly changed.
    """
    what = axis_words(c.axis, c.judges)
    if rate.rate is None or rate.interval is None:
        if math.isnan(rate.angle_interval.low):
            return f"Under `{rate.arm}`, nothing can be said of {what} against correct reasoning."
        span = f"95% interval {_degrees(rate.angle_interval.low)} to {_degrees(rate.angle_interval.high)}"
        return (
            f"Under `{rate.arm}` correct reasoning has not clearly changed, so there is no exchange rate with {what}; "
            f"the angle is {_degrees(rate.angle)} ({span})."
        )
    span = _span(rate.interval)
    moved = "gained" if rate.d_reasoning > 0 else "lost"
    head = f"Under `{rate.arm}`, each point of correct reasoning {moved}"
    if not (rate.interval.low > 0 or rate.interval.high < 0):
        return f"{head} has no detectable price in {what} (exchange rate {ratio(rate.rate)}, 95% interval {span})."
    way = "lower" if (rate.rate > 0) == (rate.d_reasoning > 0) else "higher"
    size = _span(Interval(*sorted(map(abs, rate.interval))))
    return f"{head} goes with {what} {ratio(abs(rate.rate))} points {way} (95% interval {size})."


def coefficient_lines(coefficients: Sequence[Coefficient]) -> list[str]:
    """Return every sentence about some coefficients; a family that repeats another is told once.

    Args:
        coefficients: By safety axis, then family.
    """
    told: set[tuple[str, str, tuple[str, ...]]] = set()
    sentences = []
    for c in coefficients:
        key = (c.axis, c.start, tuple(sorted(c.arms)))
        if key not in told:
            told.add(key)
            sentences += coefficient_sentences(c)
    return sentences


def _one_is_enough(c: Coefficient) -> str:
    h = c.heterogeneity
    if math.isnan(h.p_value):
        return f"Whether one κ fits {_over(c)} cannot be tested: too few clusters for so many arms."
    freedom = f"{counted(h.degrees, 'degree')} of freedom"
    numbers = f"Q {h.q:.1f} on {freedom}, p {p_value(h.p_value)}, I² {100 * h.i_squared:.0f}%"
    if h.p_value < _LEVEL:
        return (
            f"One κ does not fit {_over(c)} ({numbers}): they trade {axis_words(c.axis, c.judges)} against reasoning "
            "at different rates, so read them one by one."
        )
    return f"No detectable departure of {_over(c)} from one κ ({numbers}); a small one could go unseen."


def _ranks(c: Coefficient) -> str:
    tau, span = c.kendall, c.kendall_interval
    if math.isnan(tau) or math.isnan(span.low):
        return ""
    numbers = f"Kendall's τ {ratio(tau)}, 95% interval {_span(span)}; {len(c.arms)} arms"
    what = axis_words(c.axis, c.judges)
    if not span.excludes_zero:
        return f"No detectable order of the arms by correct reasoning and by {what} ({numbers})."
    return f"Arms with more correct reasoning rank {'higher' if tau > 0 else 'lower'} on {what} ({numbers})."


def _over(c: Coefficient) -> str:
    if len(c.arms) == 1:
        return f"`{c.arms[0]}`"
    if c.family == EVERY_ARM:
        return f"the {len(c.arms)} arms" if c.arms else EVERY_ARM
    return f"the {len(c.arms)} doses of `{c.family}`" if c.arms else f"`{c.family}`"


def _span(interval: Interval) -> str:
    return f"{_number(interval.low)} to {_number(interval.high)}"


def _number(value: float) -> str:
    return ("−∞" if value < 0 else "∞") if math.isinf(value) else ratio(value)


def _degrees(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{round(value) + 0}°".replace("-", "−")


def quadrant_sentence(arm: str, axis: str, chances: dict[str, float], d_reasoning: float, d_safety: float) -> str:
    """Say which direction in the coupling plane is likeliest.

    Args:
        arm: The arm.
        axis: The safety axis.
        chances: Of each quadrant; NaN where they are unknown.
        d_reasoning: Change of reasoning.
        d_safety: Change of the safety axis.
    """
    best = max(chances, key=lambda k: -1.0 if math.isnan(chances[k]) else chances[k])
    if math.isnan(chances[best]):
        return f"`{arm}` on {axis}: direction unknown."
    move = f"reasoning {points(d_reasoning)}, {axis} {points(d_safety)}"
    if chances[best] < _HALF:
        return f"`{arm}` on {axis}: no direction is likelier than not ({move})."
    sure = "" if chances[best] >= 1 - _LEVEL else "likeliest "
    return f"`{arm}` on {axis}: {sure}{best} ({100 * chances[best]:.0f}% of resamples; {move})."
