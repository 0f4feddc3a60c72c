"""What attacks do in every arm: each attack beside the others, and each technique by its dose."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import altair as alt

from oldham.coupling.attack_grid import YES_OR_NO
from oldham.coupling.attack_results import UNATTACKED
from oldham.report.arms import mark_arms
from oldham.report.attacks import dose_curves, ranked_attacks
from oldham.report.charts.parts import FAINT, inline, styled
from oldham.report.text import name_parts, percent, percent_interval, visible, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.coupling.attack_results import AttackCell, AttackLadder
    from oldham.report.arms import Marks

_LABEL: Final = 180
"""Widest line of a label, in pixels: a part of an attack, or its settings."""
_LETTERS: Final = 24
"""Letters in a line of a label; a longer name folds between its parts."""
_TEXT_LINE: Final = 15
"""Height of a line of a label, in pixels."""
_LINE: Final = 14
"""Height of an arm's line within a row, in pixels."""
_GAP: Final = 8
"""Room between two attacks, in pixels."""
_BADGE: Final = 130
"""Area of a mark that holds an arm's number."""
_WIDE: Final = 20.0
"""Where the largest dose is so many times the smallest, doses stand on a scale of their logarithms."""
NO_ATTACK: Final = "no attack"
"""How the items as they are are named in a chart."""


def attack_shares(
    ladder: AttackLadder, axis: str, *, marks: Marks | None = None, attacks: Sequence[str] | None = None
) -> alt.LayerChart:
    """Draw the bad share of a single try under every attack, a line an arm.

    Args:
        ladder: What attacks did.
        axis: The axis.
        marks: The arms' order and marks; None numbers them as they come in the ladder.
        attacks: The attacks to draw, in this order; None takes all, by the baseline's share.

    Returns:
        A layered chart: first the items as they are, then attacks. The dashed line is the
        baseline's share without an attack.
    """
    marks = marks or mark_arms(ladder.arms, ladder.baseline)
    attacks = [UNATTACKED, *(ranked_attacks(ladder, axis) if attacks is None else attacks)]
    cells = {(c.attack, c.arm): c for c in ladder.cells if c.axis == axis and not math.isnan(c.bad_share)}
    spots = [_spot(cells[attack, arm], marks) for attack in attacks for arm in marks if (attack, arm) in cells]
    order = list(dict.fromkeys(str(s["row"]) for s in spots))
    arms = [mark.label for arm, mark in marks.items() if any(own == arm for _, own in cells)]
    scale = alt.Scale(domain=[0, 1])
    title = "ASR@1" if axis in YES_OR_NO else "bad share (1 − score)"
    x = alt.X("share:Q", scale=scale, axis=alt.Axis(title=title, format=".0%", tickCount=5, orient="top"))
    lines = max((row.count("\n") + 1 for row in order), default=1)
    pitch = max(_LINE * len(arms), _TEXT_LINE * lines) + _GAP
    step = alt.Scale(domain=arms, paddingOuter=_GAP / 2 / _LINE, paddingInner=0)
    tips = [alt.Tooltip(f"{name}:N") for name in ("attack", "arm", "share of items", "items", "unscored")]
    base = alt.Chart(inline(spots)).encode(
        y=_folded_axis(order), yOffset=alt.YOffset("label:N", sort=arms, scale=step), tooltip=tips
    )
    free = cells.get((UNATTACKED, ladder.baseline))
    home = [] if free is None else [{"home": free.bad_share}]
    layers = [
        alt.Chart(inline(home)).mark_rule(color=FAINT, strokeDash=[4, 3]).encode(x=alt.X("home:Q", scale=scale)),
        base.mark_rule(strokeWidth=2, opacity=0.55).encode(
            x=alt.X("low:Q", scale=scale), x2="high:Q", color=alt.Color("colour:N", scale=None)
        ),
        base.mark_circle(size=_BADGE, opacity=1).encode(x=x, color=alt.Color("colour:N", scale=None)),
        base.mark_text(color="white", fontWeight="bold", fontSize=9, dy=0.5).encode(x=x, text="label:N"),
    ]
    text = "; ".join(f"{s['attack']}, {s['arm']}: {s['share of items']}" for s in spots)
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(
        width=560,
        height=pitch * max(1, len(order)),
        description=f"Attacks on {words(axis)}, {title} with 95% intervals. {text}.",
    )
    looked: alt.LayerChart = styled(chart).configure_axisY(labelLimit=_LABEL)
    return looked


def dose_curve(ladder: AttackLadder, axis: str, technique: str, *, marks: Marks | None = None) -> alt.LayerChart:
    """Draw the bad share of a single try by a technique's dose, a line an arm.

    Args:
        ladder: What attacks did.
        axis: The axis.
        technique: A technique that was run with several doses.
        marks: The arms' order and marks; None numbers them as they come in the ladder.

    Returns:
        A layered chart; the dashed lines are the technique's control in the arm of that colour.
    """
    marks = marks or mark_arms(ladder.arms, ladder.baseline)
    control = next((c.control for c in dose_curves(ladder, axis) if c.technique == technique), None)
    known = {t: [p for p in _points(ladder, axis, t) if not math.isnan(p.bad_share)] for t in (technique, control) if t}
    spots = [_dose_spot(p, marks) for p in known[technique]]
    control_spots = [_dose_spot(p, marks) for p in known.get(control or "", [])]
    doses = sorted({float(s["dose"]) for s in (*spots, *control_spots)})
    x = alt.X(
        "dose:Q",
        scale=_dose_scale(doses),
        axis=alt.Axis(
            title=_unit(known[technique]),
            values=doses,
            labelExpr="format(datum.value, '.6~g')",
            grid=False,
            labelOverlap="greedy",
        ),
    )
    scale = alt.Scale(domain=[0, 1])
    title = "ASR@1" if axis in YES_OR_NO else "bad share (1 − score)"
    y = alt.Y("share:Q", scale=scale, axis=alt.Axis(title=title, format=".0%", tickCount=5))
    colour = alt.Color("colour:N", scale=None)
    tips = [alt.Tooltip(f"{name}:N") for name in ("attack", "arm", "dose", "share of items", "items", "unscored")]
    base = alt.Chart(inline(spots)).encode(x=x, color=colour, tooltip=tips)
    aside = alt.Chart(inline(control_spots)).encode(x=x, y=y, color=colour, tooltip=tips)
    layers = [
        base.mark_rule(strokeWidth=1.5, opacity=0.4).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        aside.mark_line(strokeWidth=2, strokeDash=[5, 4]).encode(detail="arm:N"),
        aside.mark_point(size=40, filled=False),
        base.mark_line(strokeWidth=2).encode(y=y, detail="arm:N"),
        base.mark_circle(size=_BADGE, opacity=1).encode(y=y),
        alt.Chart(inline(spots))
        .mark_text(color="white", fontWeight="bold", fontSize=9, dy=0.5)
        .encode(x=x, y=y, text="label:N", tooltip=tips),
    ]
    text = "; ".join(f"{s['arm']} at {s['dose']:g}: {s['share of items']}" for s in spots)
    against = f" Dashed: {visible(control)}." if control_spots and control else ""
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(
        width=420,
        height=240,
        description=f"{visible(technique)} by its dose on {words(axis)}, {title} with 95% intervals. {text}.{against}",
    )
    return styled(chart)


def _points(ladder: AttackLadder, axis: str, technique: str) -> list[AttackCell]:
    """Return a technique's cells, those of a control that was run with one dose alone among them."""
    return sorted(
        (c for c in ladder.cells if (c.axis, c.technique) == (axis, technique) and not math.isnan(c.dose)),
        key=lambda c: c.dose,
    )


def _spot(cell: AttackCell, marks: Marks) -> dict[str, Any]:
    low, high = cell.interval
    return {
        "row": NO_ATTACK if cell.attack == UNATTACKED else _folded(visible(cell.attack)),
        "attack": visible(cell.attack),
        "arm": visible(cell.arm),
        "label": marks[cell.arm].label,
        "colour": marks[cell.arm].colour,
        "share": cell.bad_share,
        "low": None if math.isnan(low) else low,
        "high": None if math.isnan(high) else high,
        "share of items": f"{percent(cell.bad_share)} {percent_interval(cell.interval)}".strip(),
        "items": cell.n_items,
        "unscored": f"{cell.n_missing} of {cell.n_observations}",
    }


def _folded(name: str) -> str:
    """Fold a name into short lines, between its parts alone."""
    lines = [""]
    for part in name_parts(name):
        if lines[-1] and len(lines[-1]) + len(part) > _LETTERS:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _folded_axis(order: Sequence[str]) -> alt.Y:
    axis = alt.Axis(
        title=None, ticks=False, domain=False, labelPadding=6, labelExpr="split(datum.label, '\\n')", grid=True
    )
    return alt.Y("row:N", sort=list(order), axis=axis)


def _unit(cells: Sequence[AttackCell]) -> str:
    """Name the knob that is the dose, as the labels say it; not every label does."""
    said = (re.search(rf"(\w+)={re.escape(f'{c.dose:g}')}(?![\d.])", c.attack) for c in cells)
    return next((words(found[1]) for found in said if found), "dose")


def _dose_spot(cell: AttackCell, marks: Marks) -> dict[str, Any]:
    return {**_spot(cell, marks), "dose": cell.dose}


def _dose_scale(doses: list[float]) -> alt.Scale:
    """Leave room for the marks at both ends; far-apart doses stand by their logarithms, 0 among them."""
    low, high = min(doses, default=0.0), max(doses, default=1.0)
    least = min((d for d in doses if d > 0), default=1.0)
    if low >= 0 and high / least > _WIDE:
        return alt.Scale(type="symlog", constant=least, domain=[low - 0.25 * least, 1.25 * high], nice=False)
    room = 0.05 * (high - low or 1.0)
    return alt.Scale(domain=[low - room, high + room], nice=False)
