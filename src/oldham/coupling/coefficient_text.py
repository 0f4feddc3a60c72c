"""What is said of coupling coefficients, in sentences that claim no more than their intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.core.outcomes import Axis
from oldham.coupling.coefficient import EVERY_ARM
from oldham.coupling.findings import axis_words, counted, points
from oldham.coupling.layout import p_value, ratio
from oldham.coupling.results import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.analysis import Coupling
    from oldham.coupling.coefficient import Coefficient, ExchangeRate
    from oldham.coupling.results import Effect

AS_JUDGED: Final = (
    "Directions, κ, exchange rates and the Pareto front are as judged: no judge's known errors are taken out of them."
)
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
    if coefficient.arms and coefficient.left_out:
        sentences.append(_left_out(coefficient))
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
        return (
            f"Nothing can be said of how {what} goes with correct reasoning over {over}: of no arm are both changes "
            "and their spread known."
        )
    counts = _counts(c)
    if math.isnan(c.angle_interval.low) and not math.isnan(c.angle):
        return f"Nothing sure can be said of how {what} goes with correct reasoning over {over}: too few clusters."
    if not c.has_moved:
        return _stayed([c])[0]
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
    """Return every sentence about some coefficients.

    Args:
        coefficients: By safety axis, then family.

    Returns:
        A family that repeats another is told once, and slopes of which nothing can be told, since the arms have not
        clearly moved, share a sentence at the end.
    """
    told: set[tuple[str, str, tuple[str, ...]]] = set()
    sentences, still = [], []
    for c in coefficients:
        key = (c.axis, c.start, tuple(sorted(c.arms)))
        if key in told:
            continue
        told.add(key)
        said = coefficient_sentences(c)
        if _has_stayed(c):
            still.append(c)
            said = said[1:]
        sentences += said
    return [*sentences, *_stayed(still)]


def _has_stayed(c: Coefficient) -> bool:
    unknown_arc = math.isnan(c.angle_interval.low) and not math.isnan(c.angle)
    return bool(c.arms) and not c.has_moved and not unknown_arc


def _stayed(coefficients: Sequence[Coefficient]) -> list[str]:
    over: dict[str, list[Coefficient]] = {}
    for c in coefficients:
        over.setdefault(_over(c), []).append(c)
    sentences = []
    for arms, some in over.items():
        what = ", ".join(f"{axis_words(c.axis, c.judges)} ({_counts(c)})" for c in some)
        each = "on each, all" if len(some) > 1 else "all"
        sentences.append(
            f"No slope can be told over {arms} against correct reasoning for {what}: {each} changes together are no "
            "more than sampling gives."
        )
    return sentences


def _counts(c: Coefficient) -> str:
    fewest = " in the arm with fewest" if len(c.arms) > 1 else ""
    return f"{counted(c.n_reasoning, 'item')} of reasoning and {c.n_safety} of safety{fewest}"


def price_lines(coefficients: Sequence[Coefficient], effects: Iterable[Effect]) -> list[str]:
    """Say what a point of reasoning costs, arm by arm; arms whose reasoning has not clearly changed share a line.

    Args:
        coefficients: Of any families; an arm is told once an axis.
        effects: Of the same analysis: a change of reasoning that its test does not confirm has no price.
    """
    moved = {e.arm for e in effects if e.axis == Axis.REASONING and _is_confirmed(e)}
    sentences: list[str] = []
    open_: dict[str, None] = {}
    told: set[tuple[str, str]] = set()
    for c in coefficients:
        for rate in c.exchange:
            if (c.axis, rate.arm) in told:
                continue
            told.add((c.axis, rate.arm))
            if rate.rate is None or rate.arm not in moved:
                open_[rate.arm] = None
            else:
                sentences.append(exchange_sentence(rate, c))
    if open_:
        arms = ", ".join(f"`{a}`" for a in open_)
        sentences.append(f"No exchange rate under {arms}: correct reasoning has not clearly changed there.")
    return sentences


def _left_out(c: Coefficient) -> str:
    arms = ", ".join(f"`{a}`" for a in c.left_out)
    what = axis_words(c.axis, c.judges)
    return f"Left out of {what} over {_over(c)}: {arms}, of which not both changes and their spread are known."


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
        return f"`{c.arms[0]}`" if c.family == EVERY_ARM else f"`{c.arms[0]}` from `{c.start}`"
    if c.family == EVERY_ARM:
        return f"the {len(c.arms)} arms" if c.arms else EVERY_ARM
    return f"the {len(c.arms)} doses of `{c.family}` from `{c.start}`" if c.arms else f"`{c.family}` from `{c.start}`"


def _span(interval: Interval) -> str:
    return f"{_number(interval.low)} to {_number(interval.high)}"


def _number(value: float) -> str:
    return ("−∞" if value < 0 else "∞") if math.isinf(value) else ratio(value)


def _degrees(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{round(value) + 0}°".replace("-", "−")


def quadrant_lines(coupling: Coupling) -> list[str]:
    """Say of every arm and safety axis in which direction of the coupling plane it went.

    Args:
        coupling: What the analysis found.

    Returns:
        A sentence for each direction that is sure, then one an axis for those that are not. Sure is one only where both
        changes are clear of 0 and confirmed, so that it claims no more than they do.
    """
    effects = {(e.arm, e.axis): e for e in coupling.effects}
    sure: list[str] = []
    unsure: dict[str, list[str]] = {}
    for p in coupling.plane:
        best = max(p.quadrants, key=lambda k: -1.0 if math.isnan(p.quadrants[k]) else p.quadrants[k])
        chance = p.quadrants[best]
        confirmed = all(_is_confirmed(effects.get((p.arm, axis))) for axis in (str(Axis.REASONING), p.axis))
        if confirmed and chance >= 1 - _LEVEL:
            move = f"reasoning {points(p.d_reasoning)}, {p.axis} {points(p.d_safety)}"
            sure.append(f"`{p.arm}` on {p.axis}: {best} ({100 * chance:.0f}% of resamples; {move}).")
        else:
            unsure.setdefault(p.axis, []).append(f"`{p.arm}` {_likeliest(best, chance)}")
    head = "no direction is sure; likeliest, with its share of the resamples"
    return [*sure, *(f"On {axis} {head}: {', '.join(arms)}." for axis, arms in unsure.items())]


def _likeliest(quadrant: str, chance: float) -> str:
    if math.isnan(chance):
        return "unknown"
    if chance < _HALF:
        return "none reaches half"
    return f"{quadrant} {100 * chance:.0f}%"


def _is_confirmed(effect: Effect | None) -> bool:
    return effect is not None and effect.interval.excludes_zero and effect.p_holm < _LEVEL
