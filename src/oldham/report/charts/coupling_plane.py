"""The coupling plane."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import altair as alt

from oldham.report.arms import BASELINE_COLOUR, mark_arms
from oldham.report.charts.parts import FAINT, inline, padded, points_axis, styled
from oldham.report.text import degrees, points, visible, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling import Coupling
    from oldham.coupling.results import PlanePoint
    from oldham.report.arms import Marks

_QUADRANT_TEXT: Final[dict[str, Any]] = {"color": "#6f7683", "fontSize": 12, "fontStyle": "italic"}


def plane(coupling: Coupling, axis: str = "harm", *, marks: Marks | None = None) -> alt.LayerChart:
    """Draw the coupling plane: change of reasoning across, change of one safety axis up, a point an arm.

    Args:
        coupling: The analysis. All its planes share one scale, so that axes can be compared.
        axis: The safety axis.
        marks: The arms' order and marks; None numbers them as they come in the plane.

    Returns:
        A layered chart with the zero lines, the quadrants' names, 95% ellipses, the arms' numbers and the baseline.
    """
    marks = marks or mark_arms(p.arm for p in coupling.plane)
    chosen = [p for p in coupling.plane if p.axis == axis and not math.isnan(p.d_reasoning + p.d_safety)]
    across, up = _scales(coupling.plane)
    x = alt.X("x:Q", scale=across, axis=points_axis("change of reasoning, percentage points"))
    y = alt.Y("y:Q", scale=up, axis=points_axis(f"change of {words(axis)}, percentage points"))
    spots = [_spot(p, marks) for p in chosen]
    places = "; ".join(f"{s['arm']} at reasoning {s['reasoning']}, {words(axis)} {s['safety']}" for s in spots)
    zero = alt.Chart(inline([{"zero": 0}])).mark_rule(color=FAINT, strokeWidth=1)
    home = {"label": "B", "colour": BASELINE_COLOUR, "x": 0, "y": 0, "arm": "baseline"}
    chart: alt.LayerChart = alt.LayerChart(
        layer=[
            zero.encode(x=alt.X("zero:Q", scale=across)),
            zero.encode(y=alt.Y("zero:Q", scale=up)),
            *_quadrant_names(),
            _ellipses(chosen, marks, x, y),
            *_badges([home], x, y, ["arm"]),
            *_badges(spots, x, y, ["arm", "reasoning", "safety", "angle"]),
        ]
    ).properties(
        width=520, height=400, description=f"Coupling plane of reasoning and {words(axis)}, in points. {places}."
    )
    return styled(chart)


def _spot(point: PlanePoint, marks: Marks) -> dict[str, Any]:
    return {
        "arm": visible(point.arm),
        "label": marks[point.arm].label,
        "colour": marks[point.arm].colour,
        "x": 100 * point.d_reasoning,
        "y": 100 * point.d_safety,
        "reasoning": points(point.d_reasoning, 1),
        "safety": points(point.d_safety, 1),
        "angle": degrees(point.angle) if point.has_moved else "unknown",
    }


def _ellipses(chosen: Iterable[PlanePoint], marks: Marks, x: alt.X, y: alt.Y) -> alt.Chart:
    corners = [
        {"arm": visible(p.arm), "x": 100 * a, "y": 100 * b, "order": i, "colour": marks[p.arm].colour}
        for p in chosen
        for i, (a, b) in enumerate(p.ellipse)
    ]
    fill, stroke = alt.Fill("colour:N", scale=None), alt.Stroke("colour:N", scale=None)
    chart: alt.Chart = (
        alt.Chart(inline(corners))
        .mark_line(interpolate="linear-closed", strokeWidth=1.25, strokeOpacity=0.7, filled=True, fillOpacity=0.08)
        .encode(x=x, y=y, detail="arm:N", order="order:Q", fill=fill, stroke=stroke)
    )
    return chart


def _badges(spots: Sequence[dict[str, Any]], x: alt.X, y: alt.Y, tips: Sequence[str]) -> tuple[alt.Chart, alt.Chart]:
    base = alt.Chart(inline(spots)).encode(x=x, y=y, tooltip=[alt.Tooltip(f"{name}:N") for name in tips])
    return (
        base.mark_circle(size=330, opacity=1, stroke="white", strokeWidth=1.5).encode(
            color=alt.Color("colour:N", scale=None)
        ),
        base.mark_text(color="white", fontWeight="bold", fontSize=11, dy=0.5).encode(text="label:N"),
    )


def _quadrant_names() -> list[alt.Chart]:
    top: dict[str, Any] = {"baseline": "top", "dy": 8}
    bottom: dict[str, Any] = {"baseline": "bottom", "dy": -8}
    left, right = {"align": "left", "dx": 8}, {"align": "right", "dx": -8}
    corners: list[tuple[str, dict[str, Any], str | int, str | int]] = [
        ("synergy", top | right, "width", 0),
        ("trade-off", bottom | right, "width", "height"),
        ("tax", top | left, 0, 0),
        ("collapse", bottom | left, 0, "height"),
    ]
    return [
        alt.Chart(inline([{"name": name}]))
        .mark_text(**_QUADRANT_TEXT, **place)
        .encode(x=alt.value(x), y=alt.value(y), text="name:N")
        for name, place, x, y in corners
    ]


def _scales(plane_points: Iterable[PlanePoint]) -> tuple[alt.Scale, alt.Scale]:
    corners = [
        c for p in plane_points for c in (*p.ellipse, (p.d_reasoning, p.d_safety)) if not any(map(math.isnan, c))
    ]
    across, up = ([100 * c[side] for c in corners] for side in (0, 1))
    return _with_room(across), _with_room(up)


def _with_room(values: list[float]) -> alt.Scale:
    """Leave each side of zero at least a third of the other, so that all four quadrants are there to be seen."""
    low, high = padded(values)
    return alt.Scale(domain=[min(low, -high / 3), max(high, -low / 3)], nice=False)
