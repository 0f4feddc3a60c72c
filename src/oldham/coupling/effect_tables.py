"""Tables of effects, flips and directions in plain text, shared by every account of a coupling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.coupling.findings import change_cell, points, points_interval
from oldham.coupling.layout import p_value, percent, percent_interval, table
from oldham.coupling.rates import axis_rate
from oldham.coupling.results import CHANCE_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.analysis import Coupling
    from oldham.coupling.factors import FactorEffect
    from oldham.coupling.results import Effect, Flips, PlanePoint, Rate

GRID_TITLE: Final = "Score of the baseline of its scored items; change in points with its 95% interval (+ is better)"
FACTORS_TITLE: Final = "Effects of the factors, in points, on the mean of the other factors, with 95% intervals"
FLIPS_TITLE: Final = "In % of items: good becomes bad (risk), bad becomes good (defence); p: beyond noise"
_CONFIRMED: Final = 0.05


def effect_grid(coupling: Coupling) -> list[str]:
    """Lay the effects out as arms by axes.

    Args:
        coupling: What the analysis found.
    """
    effects = {(e.arm, e.axis): e for e in coupling.effects}
    of_baseline = [_share(coupling.rates, coupling.baseline, axis) for axis in coupling.axes]
    rows: list[tuple[str, ...]] = [("arm", *coupling.axes), (coupling.baseline, *of_baseline)]
    rows += [(arm, *(_cell(effects.get((arm, axis))) for axis in coupling.axes)) for arm in coupling.arms]
    return table(rows, names=1)


def factor_grid(coupling: Coupling, *, full: bool) -> list[str]:
    """Lay the factors' effects out by axes.

    Args:
        coupling: What the analysis found.
        full: Every interaction, and not only those that are confirmed on some axis.
    """
    shown = [e for e in coupling.factor_effects if full or e.with_factor is None or e.p_holm < _CONFIRMED]
    effects = {(e.name, e.axis): e for e in coupling.factor_effects}
    rows: list[tuple[str, ...]] = [("factor", *coupling.axes)]
    for name in dict.fromkeys(e.name for e in shown):
        rows.append((name, *(_cell(effects.get((name, axis))) for axis in coupling.axes)))
    return table(rows, names=1)


def effect_rows(effects: Iterable[Effect]) -> list[str]:
    """Lay every effect out with its test and counts.

    Args:
        effects: Of every arm and axis.
    """
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


def factor_rows(effects: Iterable[FactorEffect]) -> list[str]:
    """Lay every effect of a factor out with its test and counts.

    Args:
        effects: Of every factor and axis.
    """
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


def flip_rows(flips: Iterable[Flips]) -> list[str]:
    """Lay flips out, with the noise floor and what is beyond it.

    Args:
        flips: Of every arm and axis.
    """
    rows = [("axis", "arm", "risk", "interval", "p", "defence", "interval", "p", "noise", "items")]
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
            str(f.n_items),
        )
        for f in flips
    ]
    return table(rows)


def quadrant_rows(plane: Iterable[PlanePoint]) -> list[str]:
    """Lay out the chance of each direction in the coupling plane.

    Args:
        plane: Of every arm and safety axis.
    """
    rows: list[tuple[str, ...]] = [("axis", "arm", *CHANCE_KEYS)]
    rows += [(p.axis, p.arm, *(percent(p.quadrants[k], 0) for k in CHANCE_KEYS)) for p in plane]
    return table(rows)


def _share(rates: Sequence[Rate], arm: str, axis: str) -> str:
    """Write an arm's score with the number of items behind it."""
    share = axis_rate(rates, arm, axis)
    n_items = sum(r.n_items for r in rates if (r.arm, r.axis, r.span) == (arm, axis, "answer"))
    return "unknown" if math.isnan(share) else f"{share:.0%} of {n_items}"


def _cell(effect: Effect | FactorEffect | None) -> str:
    return "unknown" if effect is None else change_cell(effect.delta, effect.interval)
