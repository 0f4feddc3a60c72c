"""Rates and effects before and after the correction for judge error, as plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.coupling.findings import AXIS_WORDS, points, points_interval
from oldham.coupling.layout import bullets, percent, percent_interval, section, table
from oldham.coupling.tipping import tipping_cell, tipping_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.coupling.analysis import Coupling
    from oldham.coupling.results import Effect, Rate

_EFFECTS_TITLE: Final = (
    "Corrected for judge error, in points with 95% intervals; tipping: so many more errors in 100 in one arm"
)
_RATES_TITLE: Final = "Rates before and after the correction for judge error, in %"
_DOUBT_TITLE: Final = "What judge error would explain away"


def correction_sections(coupling: Coupling, *, full: bool) -> list[str]:
    """Write the sections on judge error.

    Args:
        coupling: What the analysis found.
        full: Also the rates, what each correction rests on, and the tipping points of effects that are open.

    Returns:
        Sections as `layout.section` makes them; empty ones where there is nothing to say.
    """
    effects = [e for e in coupling.effects if e.corrected is not None and e.corrected.has_card]
    rates = [r for r in coupling.rates if r.corrected is not None and r.corrected.has_card]
    told = [*_effects(effects), *bullets(_notes(coupling, effects, rates, full=full))]
    doubts = [e for e in coupling.effects if e.tipping is not None and (full or e.interval.excludes_zero)]
    return [
        section(_EFFECTS_TITLE, told) if effects else section("Judge error", told),
        section(_RATES_TITLE, _rates(rates)) if full else "",
        section(_DOUBT_TITLE, bullets(map(_doubt, doubts))),
    ]


def _effects(effects: Sequence[Effect]) -> list[str]:
    rows = [("axis", "arm", "raw", "interval", "corrected", "interval", "tipping (from)")]
    rows += [
        (
            e.axis,
            e.arm,
            points(e.delta),
            points_interval(e.interval),
            points(e.corrected.value),
            points_interval(e.corrected.interval),
            tipping_cell(e.tipping, e.axis),
        )
        for e in effects
        if e.corrected is not None
    ]
    return table(rows)


def _rates(rates: Sequence[Rate]) -> list[str]:
    rows = [("axis", "benchmark", "arm", "span", "raw", "interval", "corrected", "interval")]
    rows += [
        (
            r.axis,
            r.benchmark,
            r.arm,
            r.span,
            percent(r.mean),
            percent_interval(r.interval),
            percent(r.corrected.value),
            percent_interval(r.corrected.interval),
        )
        for r in rates
        if r.corrected is not None
    ]
    return table(rows, names=4)


def _notes(coupling: Coupling, effects: Sequence[Effect], rates: Sequence[Rate], *, full: bool) -> list[str]:
    """Say what the corrections rest on, and which axes have none."""
    bases: dict[str, list[str]] = {}
    for e in coupling.effects if full else effects:
        # What could not be corrected is told always; what was used, in full only: it is the same for most arms.
        if e.corrected is not None and (full or math.isnan(e.corrected.value)):
            bases.setdefault(e.corrected.basis, []).append(f"{e.axis} under `{e.arm}`")
    for r in rates if full else ():
        if r.corrected is not None and math.isnan(r.corrected.value):
            bases.setdefault(r.corrected.basis, []).append(f"{r.benchmark} ({r.span}) under `{r.arm}`")
    notes = [f"{_listed(where)}: {basis}" for basis, where in bases.items()]
    lacking = {e.axis for e in coupling.effects if e.n_items and e.corrected is not None and not e.corrected.has_card}
    axes = [axis for axis in coupling.axes if axis in lacking]
    if axes:
        notes.append(f"Not corrected, for want of a judge card: {', '.join(axes)}.")
    return notes


def _listed(where: Sequence[str]) -> str:
    text = ", ".join(dict.fromkeys(where))
    return f"{text[0].upper()}{text[1:]}"


def _doubt(effect: Effect) -> str:
    assert effect.tipping is not None
    what = AXIS_WORDS[effect.axis]
    return (
        f"The change of {what} under `{effect.arm}` ({points(effect.delta)}) "
        f"{tipping_words(effect.tipping, effect.axis)}."
    )
