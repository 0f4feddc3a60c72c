"""The Pareto front: how often nothing beats an arm, and how far each arm is behind the best on every axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt

from oldham.report.arms import mark_arms
from oldham.report.charts.parts import BETTER, INK, OPEN, ROW, WORSE, inline, row_axis, row_name, styled
from oldham.report.charts.spacing import spread
from oldham.report.text import percent, percent_interval, visible, words

if TYPE_CHECKING:
    from oldham.coupling import Coupling, Pareto, ParetoArm
    from oldham.report.arms import Marks

_STANDINGS: Final = ["in front", "undecided", "dominated"]
_COLOURS: Final = [BETTER, OPEN, WORSE]
_HEIGHT: Final = 300
_BADGE: Final = 19
"""Least distance between two arms' badges, in pixels."""
_AT_LEAST: Final = 10.0
"""The scale of losses reaches at least so many points, so that noise is not magnified."""


def pareto_front(coupling: Coupling, *, marks: Marks | None = None) -> alt.LayerChart:
    """Draw in how many resamples nothing dominates an arm, an arm a row.

    Args:
        coupling: The analysis.
        marks: The arms' order and marks, the baseline among them; None numbers them as they come.

    Returns:
        Bars in percent of resamples, with the standing in words, and a tick where each bar would end if no arm truly
        differed from the baseline.
    """
    pareto, marks = _both(coupling, marks)
    rows = [
        {
            "row": row_name(a.arm, marks),
            "share": 100 * a.membership,
            "alike": 100 * a.membership_if_alike,
            "standing": a.standing,
            "undominated": percent(a.membership),
            "if alike": percent(a.membership_if_alike),
            "no margin": percent(a.membership_exact),
        }
        for a in _ordered(pareto, marks)
    ]
    tips = [alt.Tooltip(f"{name}:N") for name in ("row", "standing", "undominated", "if alike", "no margin")]
    base = alt.Chart(inline(rows)).encode(y=row_axis([str(r["row"]) for r in rows]), tooltip=tips)
    # To the right of 100% the standings are written.
    scale = alt.Scale(domain=[0, 140], nice=False)
    axis = alt.Axis(title="undominated, % of resamples", values=[0, 25, 50, 75, 100])
    colour = alt.Color("standing:N", scale=alt.Scale(domain=_STANDINGS, range=_COLOURS), legend=None)
    text = "; ".join(f"{r['row']}: {r['standing']}, {r['undominated']}" for r in rows)
    chart: alt.LayerChart = alt.LayerChart(
        layer=[
            base.mark_bar(size=14).encode(x=alt.X("share:Q", scale=scale, axis=axis), color=colour),
            base.mark_tick(color=INK, thickness=2, size=22).encode(x=alt.X("alike:Q", scale=scale)),
            base.mark_text(align="right", fontSize=12).encode(x=alt.value("width"), text="standing:N", color=colour),
        ]
    ).properties(
        width=420,
        height=ROW * max(1, len(rows)),
        description=f"In how many resamples no other arm dominates an arm. {text}.",
    )
    return styled(chart)


def behind_best(coupling: Coupling, *, marks: Marks | None = None) -> alt.LayerChart:
    """Draw how far every arm is behind the best on every axis, a line an arm.

    An arm whose line runs above another's everywhere is better on all axes; lines that cross trade one axis for
    another.

    Args:
        coupling: The analysis.
        marks: The arms' order and marks, the baseline among them; None numbers them as they come.

    Returns:
        Lines in points of score, the best of each axis at the top; arms that nothing dominates at the estimates, within
        the margin, are drawn through, the others dashed. Badges stand at the end of the lines.
    """
    pareto, marks = _both(coupling, marks)
    arms = _ordered(pareto, marks)
    lines = [_spot(a, k, marks) for a in arms for k in range(len(pareto.axes))]
    most = max([_AT_LEAST, *(float(s["behind"]) for s in lines)])
    y = alt.Y(
        "behind:Q",
        scale=alt.Scale(domain=[most * 1.05, -most * 0.05], nice=False),
        axis=alt.Axis(title="behind the best arm, percentage points", tickCount=5, values=_ticks(most)),
    )
    x = alt.X(
        "axis:N",
        sort=[words(a) for a in pareto.axes],
        scale=alt.Scale(type="point", padding=0.45),
        axis=alt.Axis(title=None, labelAngle=0, labelFontSize=10, orient="top", grid=True, ticks=False, domain=False),
    )
    colour = alt.Color("colour:N", scale=None)
    tips = [alt.Tooltip(f"{name}:N") for name in ("arm", "axis", "loss", "best")]
    base = alt.Chart(inline(lines)).encode(x=x, y=y, color=colour, detail="arm:N", tooltip=tips)
    solid = [alt.datum.in_front, ~alt.datum.in_front]
    ends = _ends(arms, marks, most)
    text = "; ".join(f"{s['arm']} on {s['axis']}: {s['loss']}" for s in lines)
    chart: alt.LayerChart = alt.LayerChart(
        layer=[
            base.mark_line(strokeWidth=2.25).transform_filter(solid[0]),
            base.mark_line(strokeWidth=1.5, strokeDash=[5, 3], opacity=0.75).transform_filter(solid[1]),
            base.mark_circle(size=45, opacity=1),
            *_badges(ends, x, most),
        ]
    ).properties(width=520, height=_HEIGHT, description=f"Points behind the best arm of each axis. {text}.")
    return styled(chart)


def _both(coupling: Coupling, marks: Marks | None) -> tuple[Pareto, Marks]:
    assert coupling.pareto is not None
    return coupling.pareto, marks or mark_arms((a.arm for a in coupling.pareto.arms), coupling.baseline)


def _ordered(pareto: Pareto, marks: Marks) -> list[ParetoArm]:
    order = list(marks)
    return sorted(pareto.arms, key=lambda a: order.index(a.arm))


def _spot(entry: ParetoArm, k: int, marks: Marks) -> dict[str, Any]:
    loss = entry.losses[k]
    return {
        "arm": visible(entry.arm),
        "axis": words(loss.axis),
        "behind": 100 * loss.loss,
        "loss": f"{percent(loss.loss, 1)} {percent_interval(loss.interval, 1)}",
        "best": visible(loss.best),
        "in_front": entry.in_front,
        "colour": marks[entry.arm].colour,
    }


def _ticks(most: float) -> list[float]:
    step = next(s for s in (2, 5, 10, 20, 25, 50) if most / s <= 6)
    return [step * i for i in range(int(most // step) + 1)]


def _ends(arms: list[ParetoArm], marks: Marks, most: float) -> list[dict[str, Any]]:
    """Place the badges beside the last axis, each as near to its line as the others let it."""
    losses = [100 * a.losses[-1].loss for a in arms]
    apart = _BADGE * 1.1 * most / _HEIGHT
    places = spread(losses, apart, 0.0, most)
    return [
        {
            "arm": visible(a.arm),
            "axis": words(a.losses[-1].axis),
            "behind": loss,
            "place": place,
            "label": marks[a.arm].label,
            "colour": marks[a.arm].colour,
        }
        for a, loss, place in zip(arms, losses, places, strict=True)
    ]


def _badges(ends: list[dict[str, Any]], x: alt.X, most: float) -> list[alt.Chart]:
    scale = alt.Scale(domain=[most * 1.05, -most * 0.05], nice=False)
    base = alt.Chart(inline(ends)).encode(
        x=x, y=alt.Y("place:Q", scale=scale), color=alt.Color("colour:N", scale=None), tooltip="arm:N"
    )
    lead = base.mark_rule(x2Offset=20, strokeWidth=1, opacity=0.6).encode(
        y=alt.Y("behind:Q", scale=scale), x2="axis:N", y2="place:Q"
    )
    return [
        lead,
        base.mark_circle(size=270, opacity=1, xOffset=30),
        base.mark_text(fontWeight="bold", fontSize=11, dx=30, dy=0.5).encode(text="label:N", color=alt.value("white")),
    ]
