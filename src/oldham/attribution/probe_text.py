"""What probes found, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oldham.attribution.probe_result import ProbeResult, ProbeScore
    from oldham.coupling.results import Interval

_SHOWN: Final = 6
"""Layers shown of each position where there are more."""
_FEW: Final = 20
_HEAD: Final = (
    f"{'layer':>16}  {'AUROC':<18} {'null 95%':>8} {'p':>6} {'control':<18} {'gain':<20} accuracy (commoner label)"
)


def describe(result: ProbeResult) -> str:
    """Return what probes found as plain text, for a terminal.

    Args:
        result: Of one arm.
    """
    lines = [
        f"Refusal probes of the arm `{result.arm}`: {result.counted}",
        "Intervals are over prompts, with the probes as fitted; whether a probe tells anything, shuffled labels say.",
        "",
    ]
    for position in dict.fromkeys(score.position for score in result.scores):
        mine = [score for score in result.scores if score.position == position]
        lines += [f"{position}: {mine[0].n_refused} of {mine[0].n} refused", _HEAD]
        ranked = sorted(mine, key=lambda score: -_number(score.auroc))
        shown = mine if len(mine) <= _SHOWN * 2 else sorted(ranked[:_SHOWN], key=lambda score: score.layer)
        lines += [_line(score) for score in shown]
        if len(shown) < len(mine):
            lines.append(f"{'':>16}  ... and {len(mine) - len(shown)} with a lower AUROC")
        lines.append("")
    return "\n".join([*lines, *_findings(result)])


def _line(score: ProbeScore) -> str:
    name = f"{score.site} {score.layer}"
    return (
        f"{name:>16}  {_with(score.auroc, score.auroc_interval):<18} {_told(score.null_95):>8} "
        f"{_p(score.p_value):>6} {_with(score.control, score.control_interval):<18} "
        f"{_with(score.gain, score.gain_interval, signed=True):<20} "
        f"{_told(score.accuracy)} ({_told(score.majority)})"
    )


def _findings(result: ProbeResult) -> Iterator[str]:
    best = result.best
    if math.isnan(best.auroc):
        yield "No probe could be tested: in no fold are both labels held out."
        return
    where = f"{best.site} {best.layer} at {best.position}"
    yield (
        f"Highest of {len(result.scores)} probes: {where}, AUROC {_with(best.auroc, best.auroc_interval)}. Picking the "
        f"highest flatters it; shuffled labels give a highest one as good with p = {_p(best.p_max)}."
    )
    if not math.isnan(best.p_max) and best.p_max > 0.05:
        yield "No probe is shown to tell refusals better than chance."
    elif not math.isnan(best.gain):
        yield _against_words(best)
    calibration = best.calibration
    yield (
        f"Its probabilities, out of fold, before and after a temperature of {calibration.temperature:.2g}: "
        + ", ".join(
            f"{name} {_told(getattr(calibration.before, field))} and {_told(getattr(calibration.after, field))}"
            for name, field in (("calibration error", "ece"), ("Brier score", "brier"), ("NLL", "nll"))
        )
        + "."
    )
    fewest = min(min(score.n_refused, score.n - score.n_refused) for score in result.scores)
    if fewest < _FEW:
        yield f"Careful: a position has only {fewest} generations of one label."
    below = sum(score.auroc_interval.high < 0.5 for score in result.scores)
    if below:
        yield (
            f"Careful: {below} of the probes do worse than chance. That is no sign of the opposite: labels spread "
            "evenly over kinds of prompts do it, for a prompt held out has the label that the rest of its kind lacks. "
            "`--by category` holds out whole categories."
        )
    if any(score.position.startswith("answer:") for score in result.scores):
        yield "Careful: at a position within the answer a probe reads the refusal itself."


def _against_words(best: ProbeScore) -> str:
    gain = _with(best.gain, best.gain_interval, signed=True)
    if best.gain_interval.low > 0:
        return f"It tells more than the logits of refusing and complying words do at the same place (gain {gain})."
    if best.gain_interval.high < 0:
        return f"It tells less than the logits of refusing and complying words do at the same place (gain {gain})."
    return (
        "It is not shown to tell more than the logits of refusing and complying words do at the same place "
        f"(gain {gain}): it may have found the next word."
    )


def _number(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _told(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _with(value: float, interval: Interval, *, signed: bool = False) -> str:
    if math.isnan(value):
        return "–"
    form = "+.2f" if signed else ".2f"
    if math.isnan(interval.low):
        return f"{value:{form}}"
    return f"{value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
