"""What flips may be without any change: sampling that comes out otherwise, and a judge that errs otherwise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.coupling.layout import percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.results import Flips

_LEVEL: Final = 0.05
_TOLD: Final = 6
"""Sides of arms named for each axis."""


def chance_flips(flips: Sequence[Flips]) -> list[str]:
    """Name the flips that are not shown to be more than sampling makes, with allowance for all that were looked at.

    Args:
        flips: Of every arm on every axis.

    Returns:
        One sentence for each axis; none on an axis whose noise floor is unknown, of which `unknown_floors` tells. One
        more where flips are taken to be beyond sampling because the baseline was decoded greedily.
    """
    told = []
    for axis in dict.fromkeys(f.axis for f in flips):
        of_axis = [f for f in flips if f.axis == axis and not math.isnan(f.noise_floor)]
        names = [
            f"{side} of `{f.arm}` ({percent(share)}%)"
            for f in of_axis
            for side, share, p in (("risk", f.risk, f.p_excess_risk), ("defence", f.defence, f.p_excess_defence))
            if share > 0 and not p < _LEVEL
        ]
        if names:
            more = [f"and {len(names) - _TOLD} more"] if len(names) > _TOLD else []
            floors = sorted({percent(f.noise_floor) for f in of_axis}, key=float)
            floor = f"{floors[0]}%" if len(floors) == 1 else f"{floors[0]}% to {floors[-1]}%"
            told.append(
                f"On {axis} these flips are not shown to be more than sampling makes (noise floor {floor}): "
                f"{', '.join([*names[:_TOLD], *more])}. Their pathways are those of chance."
            )
    return [*told, *_greedy_flips(flips)]


def _greedy_flips(flips: Sequence[Flips]) -> Iterator[str]:
    """Say what stands behind flips whose p-value is 0: no test, but the word that the baseline has no noise."""
    # A tested p-value is never 0: resamples cannot show so much.
    axes = dict.fromkeys(f.axis for f in flips if 0.0 in (f.p_excess_risk, f.p_excess_defence))
    if axes:
        yield (
            f"On {', '.join(axes)} the baseline was decoded greedily, so that every flip counts as more than sampling "
            "makes, whatever p is printed. No test stands behind that: near ties between tokens can turn with the "
            "batch or the machine, and an arm that samples flips by its own draws. Answer with the baseline twice to "
            "see how many flip so."
        )


def judged_flips(contrasts: Sequence[Contrast]) -> Iterator[str]:
    """Say how many flips the judges' known errors alone would make, since flips and pathways are as judged.

    Args:
        contrasts: Every arm on every axis.

    Yields:
        One sentence for each axis on which an item flipped and the errors are known.
    """
    for axis in dict.fromkeys(c.axis for c in contrasts):
        known = [c for c in contrasts if c.axis == axis and c.n_items and c.error_flips is not None]
        if any(c.risk.value > 0 or c.defence.value > 0 for c in known):
            risk, defence = (_span([c.error_flips[i] for c in known if c.error_flips]) for i in (0, 1))
            yield (
                f"Flips and pathways on {axis} are as judged. In arms that do not differ, the known errors of a judge "
                f"that errs anew on every answer would make risk of {risk} and defence of {defence}."
            )


def _span(shares: Sequence[float]) -> str:
    low, high = percent(min(shares)), percent(max(shares))
    return f"{low}%" if low == high else f"{low}% to {high}%"
