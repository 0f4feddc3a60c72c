"""A coupling as plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.coupling.attack_text import attack_sections
from oldham.coupling.coefficient_text import coefficient_lines
from oldham.coupling.correction_text import correction_sections
from oldham.coupling.findings import axis_words, change_cell, counted, points, points_interval
from oldham.coupling.judge_summary import judge_sections
from oldham.coupling.layout import bullets, p_value, percent, percent_interval, section, table
from oldham.coupling.mixed import MIXED_TITLE, mixed_rows
from oldham.coupling.rate_text import RATES_TITLE, rate_rows
from oldham.coupling.rates import axis_rate
from oldham.coupling.results import CHANCE_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.analysis import Coupling
    from oldham.coupling.factors import FactorEffect
    from oldham.coupling.results import Effect, Flips, PlanePoint, Rate

_FACTORS_TITLE: Final = "Effects of the factors, in points, on the mean of the other factors, with 95% intervals"
_CONFIRMED: Final = 0.05
_GRID_TITLE: Final = "Score of the baseline of its scored items; change in points with its 95% interval (+ is better)"


def write_summary(coupling: Coupling, *, full: bool) -> str:
    """Write a coupling as plain text.

    Args:
        coupling: What the analysis found.
        full: Also every effect with its test and counts, the flips, and the quadrants.

    Returns:
        The change of every arm on every axis, what was found, what is open, and caveats; lines of at most 110
        characters unless a name is long.
    """
    head = (
        f"{counted(len(coupling.arms), 'arm')} against `{coupling.baseline}` on "
        f"{counted(len(coupling.axes), 'axis', 'axes')}; "
        f"{coupling.n_observations} observations, {coupling.n_missing} of them without a score."
    )
    clear = [e for e in coupling.effects if e.interval.excludes_zero]
    still_open = [e for e in coupling.effects if not e.interval.excludes_zero]
    details = [
        section("Effects, in points of score (+ is better), with 95% intervals", _effects(coupling.effects)),
        section(RATES_TITLE, rate_rows(coupling.rates)),
        section("Effects of the factors, with their tests", _factor_tests(coupling.factor_effects)),
        section(MIXED_TITLE, mixed_rows(coupling.factor_effects)),
        section(
            "Flips, in % of items: good becomes bad (risk), bad becomes good (defence); p: beyond the noise",
            _flips(coupling.flips),
        ),
        section("Chance of each direction in the coupling plane, in %", _plane(coupling.plane)),
        section("Pareto front: arms that no other beats", coupling.pareto.lines() if coupling.pareto else []),
        section("Coupling of safety to reasoning", bullets(coefficient_lines(coupling.coefficients))),
        section("Pathways of the flips", coupling.pathways.lines()),
        section("Open", bullets(e.finding for e in still_open)),
    ]
    sections = [
        section(_GRID_TITLE, _grid(coupling)),
        section(_FACTORS_TITLE, _factors(coupling, full=full)),
        section("Found", bullets(e.finding for e in sorted(clear, key=lambda e: (e.p_holm, -abs(e.delta))))),
        *(details if full else [section("Open", bullets(_open_briefly(still_open)))]),
        *attack_sections(coupling, full=full),
        *correction_sections(coupling, full=full),
        *judge_sections(coupling, full=full),
        section("Caveats", bullets(coupling.caveats)),
    ]
    return "\n\n".join([head, *(s for s in sections if s)])


def _grid(coupling: Coupling) -> list[str]:
    """Lay the effects out as arms by axes."""
    effects = {(e.arm, e.axis): e for e in coupling.effects}
    of_baseline = [_share(coupling.rates, coupling.baseline, axis) for axis in coupling.axes]
    rows: list[tuple[str, ...]] = [
        ("arm", *coupling.axes),
        (coupling.baseline, *of_baseline),
    ]
    rows += [(arm, *(_cell(effects.get((arm, axis))) for axis in coupling.axes)) for arm in coupling.arms]
    return table(rows, names=1)


def _share(rates: Sequence[Rate], arm: str, axis: str) -> str:
    """Write an arm's score with the number of items behind it."""
    share = axis_rate(rates, arm, axis)
    n_items = sum(r.n_items for r in rates if (r.arm, r.axis, r.span) == (arm, axis, "answer"))
    return "unknown" if math.isnan(share) else f"{share:.0%} of {n_items}"


def _factors(coupling: Coupling, *, full: bool) -> list[str]:
    """Lay the factors' effects out by axes: main effects, and interactions that are confirmed on some axis, or all."""
    shown = [e for e in coupling.factor_effects if full or e.with_factor is None or e.p_holm < _CONFIRMED]
    effects = {(e.name, e.axis): e for e in coupling.factor_effects}
    rows: list[tuple[str, ...]] = [("factor", *coupling.axes)]
    for name in dict.fromkeys(e.name for e in shown):
        rows.append((name, *(_cell(effects.get((name, axis))) for axis in coupling.axes)))
    return table(rows, names=1)


def _cell(effect: Effect | FactorEffect | None) -> str:
    return "unknown" if effect is None else change_cell(effect.delta, effect.interval)


def _open_briefly(effects: Iterable[Effect]) -> list[str]:
    """Say on one line an axis which changes could not be told from none, and how large they may still be.

    An effect of which nothing is known keeps its own sentence: "no detectable change" would be said of no data.
    """
    arms: dict[str, list[str]] = {}
    unknown = []
    for e in effects:
        if math.isnan(e.interval.low):
            unknown.append(e.finding)
            continue
        what = axis_words(e.axis, e.judges)
        arms.setdefault(what, []).append(f"`{e.arm}` ({points(e.interval.low)} to {points(e.interval.high)})")
    open_ = [f"No detectable change in {what} under {', '.join(which)}." for what, which in arms.items()]
    return [*open_, *unknown]


def _effects(effects: Sequence[Effect]) -> list[str]:
    rows = [("axis", "arm", "change", "interval", "p", "p Holm", "q BH", "detectable", "items", "clusters", "left out")]
    rows += [
        (
            e.axis,
            e.arm,
            points(e.delta),
            points_interval(e.interval),
            p_value(e.p_value),
            p_value(e.p_holm),
            p_value(e.q_bh),
            percent(e.smallest_detectable),
            str(e.n_items),
            str(e.n_clusters),
            str(e.n_missing),
        )
        for e in effects
    ]
    return table(rows)


def _factor_tests(effects: Sequence[FactorEffect]) -> list[str]:
    rows = [
        ("axis", "effect", "change", "interval", "p", "p Holm", "cells", "items", "clusters", "left out", "aliases")
    ]
    rows += [
        (
            e.axis,
            e.name,
            points(e.delta),
            points_interval(e.interval),
            p_value(e.p_value),
            p_value(e.p_holm),
            str(e.n_cells),
            str(e.n_items),
            str(e.n_clusters),
            str(e.n_missing),
            ", ".join(e.aliases),
        )
        for e in effects
    ]
    return table(rows)


def _flips(flips: Sequence[Flips]) -> list[str]:
    rows = [("axis", "arm", "risk", "interval", "p", "defence", "interval", "p", "noise floor")]
    rows += [
        (
            f.axis,
            f.arm,
            percent(f.risk),
            percent_interval(f.risk_interval),
            p_value(f.p_excess_risk),
            percent(f.defence),
            percent_interval(f.defence_interval),
            p_value(f.p_excess_defence),
            percent(f.noise_floor),
        )
        for f in flips
    ]
    return table(rows)


def _plane(plane: Sequence[PlanePoint]) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "arm", *CHANCE_KEYS)]
    rows += [(p.axis, p.arm, *(percent(p.quadrants[k], 0) for k in CHANCE_KEYS)) for p in plane]
    return table(rows)
