"""Rates and effects before and after the correction for judge error, as plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.coupling.findings import axis_words, change_cell, points, points_interval
from oldham.coupling.layout import bullets, percent, percent_interval, section, table
from oldham.coupling.tipping import hundredths, tipping_cell, tipping_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.analysis import Coupling
    from oldham.coupling.results import Effect, Rate

_EFFECTS_TITLE: Final = (
    "Corrected for judge error, in points with 95% intervals; tipping: so many more errors in 100 in one arm"
)
_GRID_TITLE: Final = "Corrected for judge error, in points with 95% intervals"
_RATES_TITLE: Final = "Rates before and after the correction for judge error, in %"
_DOUBT_TITLE: Final = "What judge error would explain away"


def correction_sections(coupling: Coupling, *, full: bool) -> list[str]:
    """Write the sections on judge error.

    Args:
        coupling: What the analysis found.
        full: Every effect and rate raw and corrected, what each correction rests on, and how much judge error would
            explain away each change that is clear of 0; else a grid of the changes, and the change nearest to doubt on
            each axis.

    Returns:
        Sections as `layout.section` makes them; empty ones where there is nothing to say.
    """
    effects = [e for e in coupling.effects if e.corrected is not None and e.corrected.has_card]
    clear = [e for e in coupling.effects if e.tipping is not None and e.interval.excludes_zero]
    if not full:
        rows = _grid(coupling, effects)
        told = [*rows, *bullets([*_reasons(coupling, effects), *_lacking(coupling), *_nearest(clear)])]
        return [section(_GRID_TITLE if rows else "Judge error", told)]
    rates = [r for r in coupling.rates if r.corrected is not None and r.corrected.has_card]
    told = [*_effects(effects), *bullets(_bases(coupling))]
    return [
        section(_EFFECTS_TITLE if effects else "Judge error", told),
        section(_RATES_TITLE, _rates(rates)),
        section(_DOUBT_TITLE, bullets(map(_doubt, clear))),
    ]


def _grid(coupling: Coupling, effects: Sequence[Effect]) -> list[str]:
    """Lay the corrected changes out as arms by axes, on the axes where there are any."""
    known = {(e.arm, e.axis): e.corrected for e in effects if e.corrected and not math.isnan(e.corrected.value)}
    axes = [axis for axis in coupling.axes if any(axis == of for _, of in known)]
    rows: list[tuple[str, ...]] = [("arm", *axes)]
    for arm in coupling.arms:
        found = [known.get((arm, axis)) for axis in axes]
        if any(found):
            rows.append((arm, *("unknown" if c is None else change_cell(c.value, c.interval) for c in found)))
    return table(rows, names=1)


def _nearest(clear: Sequence[Effect]) -> list[str]:
    """Name the change on each axis that the least judge error would bring into doubt."""
    told = []
    for axis in dict.fromkeys(e.axis for e in clear):
        of_axis = [(e.tipping, e) for e in clear if e.axis == axis and e.tipping is not None]
        tipping, effect = min(of_axis, key=lambda pair: pair[0].error_for_doubt)
        told.append(f"{axis} {hundredths(tipping.error_for_doubt)} (`{effect.arm}`)")
    if not told:
        return []
    return [
        "How much judge error it takes to doubt a clear change (more errors in 100 answers of one class, in one arm "
        f"only): {', '.join(told)}."
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


def _reasons(coupling: Coupling, effects: Sequence[Effect]) -> list[str]:
    """Say why a change is not corrected although there is a card, or why it has no interval."""
    reasons: dict[str, list[Effect]] = {}
    for e in effects:
        if e.corrected is not None and math.isnan(e.corrected.interval.low):
            reasons.setdefault(e.corrected.basis, []).append(e)
    return [f"{_where(coupling, found)}: {reason}" for reason, found in reasons.items()]


def _lacking(coupling: Coupling) -> list[str]:
    """Name the axes that have no card."""
    lacking = {e.axis for e in coupling.effects if e.n_items and e.corrected is not None and not e.corrected.has_card}
    axes = [axis for axis in coupling.axes if axis in lacking]
    return [f"Not corrected, for want of a judge card: {', '.join(axes)}."] if axes else []


def _bases(coupling: Coupling) -> list[str]:
    """Say what every correction rests on, and why others are not made."""
    bases: dict[str, list[Effect]] = {}
    for e in coupling.effects:
        if e.corrected is not None:
            bases.setdefault(e.corrected.basis, []).append(e)
    told = [f"{_where(coupling, found)}: {basis}" for basis, found in bases.items()]
    of_rates: dict[str, list[str]] = {}
    for r in coupling.rates:
        if r.corrected is not None and math.isnan(r.corrected.value) and r.corrected.basis not in bases:
            of_rates.setdefault(r.corrected.basis, []).append(f"{r.benchmark} ({r.span}) under `{r.arm}`")
    return [*told, *(f"{_sentence(', '.join(dict.fromkeys(where)))}: {basis}" for basis, where in of_rates.items())]


def _where(coupling: Coupling, effects: Iterable[Effect]) -> str:
    """Name axes, with their arms where it is not all of an axis."""
    arms: dict[str, list[str]] = {}
    for e in effects:
        arms.setdefault(e.axis, []).append(e.arm)
    whole = {axis: [e.arm for e in coupling.effects if e.axis == axis] for axis in arms}
    return _sentence(
        ", ".join(
            axis if names == whole[axis] and len(names) > 1 else f"{axis} under {', '.join(f'`{n}`' for n in names)}"
            for axis, names in arms.items()
        )
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _doubt(effect: Effect) -> str:
    assert effect.tipping is not None
    what = axis_words(effect.axis, effect.judges)
    return (
        f"The change of {what} under `{effect.arm}` ({points(effect.delta)}) "
        f"{tipping_words(effect.tipping, effect.axis)}."
    )
