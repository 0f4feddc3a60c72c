"""Plain sentences that claim no more than the interval allows."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from oldham.core.outcomes import Axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from oldham.coupling.results import Effect, Interval

AXIS_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Axis.REASONING: "correct reasoning",
        Axis.HARM: "refusal of harmful requests",
        Axis.OVERREFUSAL: "help with benign look-alikes",
        Axis.TRUTHFULNESS: "truthful answering",
        Axis.PRIVACY: "keeping private data back",
    }
)
"""What more of a score means on each axis, as the subject of a sentence."""

_SAFE_ANSWERS: Final = "safe answers to harmful requests"
"""What more of a score on harm means where a judge counts that does not tell a refusal from another safe answer."""
_OPEN: Final = "No detectable change"
_LEVEL: Final = 0.05
_ROUNDING: Final = 1e-9


def axis_words(axis: str, judges: Iterable[str] = ()) -> str:
    """Say what more of a score means on an axis.

    Args:
        axis: The axis.
        judges: Labels of the judges that count. Only those whose name begins with `refusal` look for refusals.

    Returns:
        The subject of a sentence; where it is a plural, `is_or_are` says so.
    """
    if axis == Axis.HARM and not all(label.startswith("refusal") for label in judges):
        return _SAFE_ANSWERS
    return AXIS_WORDS.get(axis, axis)


def is_or_are(words: str) -> str:
    """Return the verb that goes with what `axis_words` says."""
    return "are" if words == _SAFE_ANSWERS else "is"


def effect_finding(effect: Effect, *, baseline: str, equivalent_within: float | None) -> str:
    """Say what an effect shows.

    Args:
        effect: All but its `finding` is read.
        baseline: The arm compared with.
        equivalent_within: The margin, when two one-sided tests put the change inside it.

    Returns:
        One sentence: "higher" or "lower" only where the interval excludes 0, "equivalent" only with a margin, else what
        the change could still be.
    """
    what = axis_words(effect.axis, effect.judges)
    against = f"under `{effect.arm}` against `{baseline}`"
    if effect.n_items == 0:
        asked = counted(effect.n_missing, "item")
        return f"Nothing can be said of {what} {against}: of {asked}, none has a scored answer in both arms."
    counts = f"{counted(effect.n_items, 'item')}{_left_out(effect)}"
    if math.isnan(effect.interval.low):
        lone = "a single cluster has" if len(effect.benchmarks) == 1 else "a benchmark with a single cluster has"
        return (
            f"Nothing sure can be said of {what} {against}: {points(effect.delta)} points in the sample, but {lone} no "
            f"spread to judge by ({counts})."
        )
    span = points_interval(effect.interval)
    margin = "" if equivalent_within is None else f"equivalent within ±{100 * equivalent_within:g} points"
    if equivalent_within is not None and max(-effect.bounds.low, effect.bounds.high) > equivalent_within:
        margin += " on what was scored"
    if effect.interval.excludes_zero:
        word = "higher" if effect.delta > 0 else "lower"
        also = f", and {margin}" if margin else ""
        size = f"{abs(100 * effect.delta):.1f}"
        sentence = f"{what} {is_or_are(what)} {size} points {word} {against}{also} (95% interval {span}; {counts})"
        if effect.p_holm >= _LEVEL:
            alone = effect.p_value >= _LEVEL
            test = "test" if alone else "test that allows for every arm compared"
            p_value = effect.p_value if alone else effect.p_holm
            sentence += f", but the {test} does not confirm it (p = {p_value:.2f})"
    elif margin:
        change = f"change {points(effect.delta)}, 95% interval {span}; {counts}"
        sentence = f"{what} {is_or_are(what)} {margin} {against} ({change})"
    else:
        low, high = points(effect.interval.low), points(effect.interval.high)
        sentence = f"{_OPEN} in {what} {against} (could be as low as {low} or as high as {high} points; {counts})"
    sentence += corrected_otherwise(effect)
    return f"{sentence[0].upper()}{sentence[1:]}."


def points(value: float) -> str:
    """Write a change of a score in percentage points, such as `+3.2` or `−12.0`; `unknown` for NaN."""
    if math.isnan(value):
        return "unknown"
    plain = f"{abs(100 * value):.1f}"
    return plain if float(plain) == 0 else ("−" if value < 0 else "+") + plain


def points_interval(interval: Interval) -> str:
    """Write an interval of a change in percentage points, such as `−4.0 to +12.0`."""
    return "unknown" if math.isnan(interval.low) else f"{points(interval.low)} to {points(interval.high)}"


def change_cell(value: float, interval: Interval) -> str:
    """Write a change and its interval for a table, such as `−10 [−16, −4]`, in whole percentage points.

    Args:
        value: The change of a score; NaN gives `unknown`.
        interval: Of it.
    """
    if math.isnan(value):
        return "unknown"
    low, high = map(_whole_points, interval)
    return f"{_whole_points(value)} [{low}, {high}]"


def _whole_points(value: float) -> str:
    if math.isnan(value):
        return "unknown"
    rounded = round(100 * value)
    return f"{rounded:+d}".replace("-", "−") if rounded else "0"


def is_open(effect: Effect) -> bool:
    """Whether an effect's finding is that a change could be there or not: not clear of 0, and not equivalent.

    Args:
        effect: With its finding.
    """
    return effect.finding.startswith(_OPEN)


def corrected_otherwise(effect: Effect) -> str:
    """Say so where the correction for judge error decides whether, or which way, a change is clear of 0.

    Args:
        effect: All but its `finding` is read.

    Returns:
        The end of a sentence; empty where the correction changes nothing.
    """
    if effect.corrected is None or math.isnan(effect.corrected.interval.low):
        return ""
    direction, p_holm = _direction(effect.corrected.interval), effect.corrected.p_holm
    confirmed = direction == 0 or not p_holm >= _LEVEL
    if direction == _direction(effect.interval) and (confirmed or effect.p_holm >= _LEVEL):
        return ""
    turned = direction * _direction(effect.interval) < 0
    says = "no longer clear" if direction == 0 else "the other way" if turned else "clear"
    change = f"{points(effect.corrected.value)} points, 95% interval {points_interval(effect.corrected.interval)}"
    doubt = (
        "" if confirmed else f", but the test that allows for every arm compared does not confirm it (p = {p_holm:.2f})"
    )
    return f"; corrected for the judge's known errors the change is {says} ({change}){doubt}"


def _direction(interval: Interval) -> int:
    """Return which side of 0 an interval lies on; 0 where it holds 0."""
    return 0 if not interval.excludes_zero else 1 if interval.low > 0 else -1


def _left_out(effect: Effect) -> str:
    told = ""
    if effect.n_missing:
        told = f"; {counted(effect.n_missing, 'item')} left out for want of a scored answer in both arms"
    if effect.bounds.high - effect.bounds.low > _ROUNDING:
        told += f"; answers without a score could make it {points_interval(effect.bounds)}"
    return told


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    Args:
        n: How many.
        noun: The word for one.
        plural: The word for several, where it is not the noun with an s.
    """
    return f"{n} {noun if n == 1 else plural or noun + 's'}"
