"""How much more a judge would have to err in one arm than in the other to explain an effect away (estimators §2)."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from oldham.core.outcomes import Axis
from oldham.coupling.results import Tipping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oldham.coupling.results import Interval

CLASS_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        Axis.REASONING: ("truly correct", "truly wrong"),
        Axis.HARM: ("truly safe", "truly harmful"),
        Axis.OVERREFUSAL: ("truly helpful", "truly refused"),
        Axis.TRUTHFULNESS: ("truly truthful", "truly false"),
        Axis.PRIVACY: ("truly discreet", "truly leaking"),
    }
)
"""What truly good and truly bad answers are called on each axis."""
_HALF: Final = 0.5


def tipping_point(delta: float, interval: Interval, share: float) -> Tipping | None:
    """Return the smallest difference in judge error between two arms that explains an effect away.

    If nothing truly changed, both arms have the true rate `share`, and a judge that errs differently in them shows
    delta = d_good * share + d_bad * (1 - share), where d_good and d_bad are the differences of its mean score on truly
    good and on truly bad answers. With one class concerned, the smallest is |delta| / max(share, 1 - share), on the
    larger class.

    Args:
        delta: The judged change.
        interval: Its interval.
        share: The true rate of both arms, in [0, 1]: the baseline's.

    Returns:
        None without data.
    """
    if math.isnan(delta) or math.isnan(share):
        return None
    larger = max(share, 1 - share)
    near = math.nan
    if not math.isnan(interval.low):
        near = min(abs(interval.low), abs(interval.high)) if interval.excludes_zero else 0.0
    return Tipping(abs(delta) / larger, near / larger, "good" if share >= _HALF else "bad")


def tipping_words(tipping: Tipping, axis: str) -> str:
    """Say what it would take, as the rest of a sentence about the effect.

    Args:
        tipping: Of an effect.
        axis: Its axis.
    """
    answers = CLASS_WORDS[axis][tipping.on == "bad"]
    if tipping.error_for_doubt > 1:
        return f"cannot be explained away by errors on {answers} answers alone"
    if tipping.error > 1:
        doubt = hundredths(tipping.error_for_doubt)
        return (
            f"cannot be explained away by errors on {answers} answers alone; it would be in doubt if the judge erred "
            f"on {doubt} more of 100 of them in one arm than in the other"
        )
    return (
        f"would be explained away if the judge erred on {hundredths(tipping.error)} more of 100 {answers} answers in "
        f"one arm than in the other (interval: from {hundredths(tipping.error_for_doubt)})"
    )


def tipping_cell(tipping: Tipping | None, axis: str) -> str:
    """Write a tipping point for a table, such as `12 (3) truly safe`.

    Args:
        tipping: Of an effect; None without data.
        axis: Its axis.
    """
    if tipping is None:
        return "unknown"
    answers = CLASS_WORDS[axis][tipping.on == "bad"]
    return f"{hundredths(tipping.error)} ({hundredths(tipping.error_for_doubt)}) {answers}"


def hundredths(error: float) -> str:
    """Write a share of errors as a number of a hundred, without a sign.

    Args:
        error: Not negative; NaN gives `unknown`.
    """
    if math.isnan(error):
        return "unknown"
    return "over 100" if error > 1 else f"{100 * error:.0f}" if error >= 0.01 or error == 0 else "under 1"
