"""A forest of coupling coefficients: a row an arm or a model, with its interval, and the pooled one below."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import altair as alt

from oldham.report.charts.parts import BETTER, FAINT, INK, OPEN, ROW, WORSE, inline, styled
from oldham.report.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.coupling.results import Interval

Kind = Literal["single", "all", "prediction"]
_SIZES: Final = {"single": 90.0, "all": 160.0, "prediction": 0.0}
_SHAPES: Final = {"single": "square", "all": "diamond", "prediction": "square"}
_WIDTH: Final = 420
_COLUMN: Final = 150
"""Room for the numbers, right of the rows."""
_REACH: Final = 3.0
"""Intervals are drawn to at most so many times the largest slope; an end past it is an arrow."""
_LEAST: Final = 0.5


class ForestRow(NamedTuple):
    """One row."""

    name: str
    value: float
    interval: Interval
    kind: Kind
    weight: float = math.nan
    """Share of the pooled estimate; sets the mark's size."""


class Forest(NamedTuple):
    """The rows of one safety axis."""

    title: str
    rows: tuple[ForestRow, ...]


def slope_forest(forests: Sequence[Forest]) -> alt.VConcatChart:
    """Draw forests one above the other.

    Args:
        forests: One a safety axis, each with at least one row.

    Returns:
        The charts. A square is one arm or model, a diamond all together, a thin line where another model would lie; an
        arrow is an end past the drawing, and a dashed line a slope without ends. Each has its own scale.
    """
    whole: alt.VConcatChart = alt.vconcat(*(_forest(f) for f in forests)).resolve_scale(x="independent")
    return styled(whole)


def axis_forest(forest: Forest) -> alt.LayerChart:
    """Draw the forest of one safety axis without its title and numbers, for a page that has them beside it.

    Args:
        forest: With at least one row.
    """
    return styled(_forest(forest, on_page=True))


def _forest(forest: Forest, *, on_page: bool = False) -> alt.LayerChart:
    low, high = _domain(forest.rows)
    rows = [_row(r, low, high) for r in forest.rows]
    order = [r["row"] for r in rows]
    y = alt.Y("row:N", sort=order, axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=6, labelLimit=220))
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    title = "κ" if on_page else "κ: points of safety for each point of reasoning gained"
    axis = alt.Axis(title=title, tickCount=6)
    x = alt.X("low:Q", scale=scale, axis=axis)
    colour = alt.Color("colour:N", scale=None)
    tips = [alt.Tooltip("row:N", title="of"), alt.Tooltip("said:N", title="κ"), alt.Tooltip("weight:N")]
    ended = [r for r in rows if r["drawn"] == "ended"]
    base = alt.Chart(inline(ended)).encode(y=y, color=colour, tooltip=tips)
    thick = alt.Size("thick:Q", scale=None)
    layers = [
        alt.Chart(inline([{"zero": 0}])).mark_rule(color=FAINT).encode(x=alt.X("zero:Q", scale=scale, axis=axis)),
        base.mark_rule().encode(x=x, x2="high:Q", size=thick),
        alt.Chart(inline([r for r in rows if r["drawn"] == "endless"]))
        .mark_rule(strokeDash=[3, 4], color=OPEN)
        .encode(y=y, x=x, x2="high:Q", tooltip=tips),
        *(
            alt.Chart(inline([r for r in ended if r[side] == end and r["cut_" + side]]))
            .mark_point(shape=shape, filled=True, size=60, opacity=1)
            .encode(y=y, x=alt.X(f"{side}:Q", scale=scale, axis=axis), color=colour)
            for side, end, shape in (("low", low, "triangle-left"), ("high", high, "triangle-right"))
        ),
        alt.Chart(inline([r for r in ended if r["value"] is not None]))
        .mark_point(filled=True, opacity=1, stroke="white", strokeWidth=1)
        .encode(
            y=y,
            x=alt.X("value:Q", scale=scale, axis=axis),
            color=colour,
            shape=alt.Shape("shape:N", scale=None),
            size=alt.Size("size:Q", scale=None),
            tooltip=tips,
        ),
    ]
    said = alt.Chart(inline(rows)).mark_text(align="left", fontSize=12, color=INK)
    # Without its text a row of which nothing is known would have no place at all.
    text, at = (alt.value(""), 0) if on_page else (alt.Text("said:N"), _WIDTH + 12)
    layers.append(said.encode(y=y, x=alt.value(at), text=text))
    told = "; ".join(f"{r['row']}: {r['said']}" for r in rows)
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(
        width=_WIDTH,
        height=ROW * len(rows),
        description=f"{forest.title}. {told}.",
    )
    return chart if on_page else chart.properties(title=forest.title)


def _domain(rows: Sequence[ForestRow]) -> tuple[float, float]:
    values = [abs(r.value) for r in rows if math.isfinite(r.interval.low) and math.isfinite(r.value)]
    reach = _REACH * max([_LEAST, *values])
    ends = [e for r in rows for e in r.interval if math.isfinite(e)]
    low, high = min([-_LEAST, *ends]), max([_LEAST, *ends])
    room = 0.04 * (high - low)
    return max(low - room, -reach), min(high + room, reach)


def _row(row: ForestRow, low: float, high: float) -> dict[str, Any]:
    start, end = row.interval
    has_ends = math.isfinite(start) and math.isfinite(end)
    colour = OPEN if not has_ends or start <= 0 <= end else BETTER if start > 0 else WORSE
    weighed = 60 + 240 * row.weight if math.isfinite(row.weight) else _SIZES[row.kind]
    inside = has_ends and low <= row.value <= high
    return {
        "row": visible(row.name),
        "value": row.value if inside else None,
        "low": max(start, low) if has_ends else low,
        "high": min(end, high) if has_ends else high,
        "cut_low": has_ends and start < low,
        "cut_high": has_ends and end > high,
        "drawn": "ended" if has_ends else "endless" if not math.isnan(start) else "unknown",
        "colour": INK if row.kind == "prediction" else colour,
        "thick": 1.0 if row.kind == "prediction" else 2.5 if row.kind == "all" else 2.0,
        "shape": _SHAPES[row.kind],
        "size": _SIZES["all"] if row.kind == "all" else weighed,
        "said": _said(row),
        "weight": f"{row.weight:.0%}" if math.isfinite(row.weight) else "",
    }


def _said(row: ForestRow) -> str:
    start, end = row.interval
    if math.isnan(start):
        return "unknown"
    if math.isinf(start) or math.isinf(end):
        return "reasoning moved too little"
    span = f"[{start:.2f}, {end:.2f}]"
    text = span if math.isnan(row.value) else f"{row.value:.2f} {span}"
    return text.replace("-", "−")
