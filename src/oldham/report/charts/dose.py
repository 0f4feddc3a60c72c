"""Doses: the path of reasoning and safety in the phase plane, and each axis by its dose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import altair as alt

from oldham.core.outcomes import SAFETY_AXES
from oldham.report.arms import BASELINE_COLOUR, mark_arms
from oldham.report.charts.parts import FAINT, WORSE, inline, padded, points_axis, styled
from oldham.report.text import degrees, points, points_interval, visible, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.dynamics_results import DoseChange, DosePath, Dynamics
    from oldham.coupling.results import PlanePoint

_SAFETY: Final = tuple(str(a) for a in SAFETY_AXES)
_DASHES: Final = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
"""Patterns of line by which paths are told apart without colour."""
_WIDE: Final = 20.0
"""Where the largest dose is so many times the smallest, doses stand on a scale of their logarithms."""


def phase_plane(dynamics: Dynamics, axis: str) -> alt.LayerChart:
    """Draw paths in the phase plane: change of reasoning across, change of one safety axis up, a mark a dose.

    Args:
        dynamics: What doses do.
        axis: The safety axis.

    Returns:
        A layered chart. Each shape holds both changes of a dose jointly with 95% confidence; the number is the dose,
        `0` (or the dose of its own) is the start.
    """
    paths = [p for p in dynamics.paths if any(x.axis == axis for x in p.plane)]
    looks = _looks(dynamics)
    known = {p.intervention: [x for x in p.plane if x.axis == axis and _is_known(x)] for p in paths}
    corners = [c for rows in known.values() for x in rows for c in (*x.ellipse, (x.d_reasoning, x.d_safety))]
    across, up = (alt.Scale(domain=padded([100 * c[side] for c in corners]), nice=False) for side in (0, 1))
    x = alt.X("x:Q", scale=across, axis=points_axis("change of reasoning, percentage points"))
    y = alt.Y("y:Q", scale=up, axis=points_axis(f"change of {words(axis)}, percentage points"))
    spots = [spot for p in paths for spot in _plane_spots(p, known[p.intervention], looks)]
    ellipses = [
        {"x": 100 * a, "y": 100 * b, "order": i, "which": f"{p.intervention} {x_.arm}", **looks[p.intervention]}
        for p in paths
        for x_ in known[p.intervention]
        for i, (a, b) in enumerate(x_.ellipse)
    ]
    colour = alt.Color("colour:N", scale=None)
    zero = alt.Chart(inline([{"zero": 0}])).mark_rule(color=FAINT, strokeWidth=1)
    tips = [alt.Tooltip(f"{name}:N") for name in ("path", "dose", "reasoning", "safety", "angle")]
    base = alt.Chart(inline(spots)).encode(x=x, y=y, tooltip=tips)
    shapes = alt.Chart(inline(ellipses)).mark_line(
        interpolate="linear-closed", strokeWidth=1, strokeOpacity=0.6, filled=True, fillOpacity=0.08
    )
    layers = [
        zero.encode(x=alt.X("zero:Q", scale=across)),
        zero.encode(y=alt.Y("zero:Q", scale=up)),
        shapes.encode(
            x=x,
            y=y,
            detail="which:N",
            order="order:Q",
            fill=alt.Fill("colour:N", scale=None),
            stroke=alt.Stroke("colour:N", scale=None),
        ),
        *_lines(spots, paths, looks, x, y),
        base.mark_circle(size=70, opacity=1, stroke="white", strokeWidth=1).encode(color=colour),
        base.mark_text(fontWeight="bold", fontSize=12, dx=8, dy=-9, align="left").encode(text="dose:N", color=colour),
    ]
    told = "; ".join(f"{s['path']} at {s['dose']}: reasoning {s['reasoning']}, {s['safety']}" for s in spots)
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(
        width=520,
        height=400,
        description=f"Path of reasoning and {words(axis)} over doses, in points. {told}.",
    )
    return styled(chart)


def dose_response(dynamics: Dynamics, axis: str) -> alt.LayerChart:
    """Draw one axis by the dose.

    Args:
        dynamics: What doses do.
        axis: The axis.

    Returns:
        A layered chart: the change at each dose with its own 95% interval, within the band that holds for all doses of
        a path together; dashed, the closest curve that only falls (safety) or only rises (reasoning); on a safety
        axis the margin as a red line, and a diamond at the critical dose.
    """
    paths = [p for p in dynamics.paths if axis in p.axes]
    looks = _looks(dynamics)
    rows = {p.intervention: [c for c in p.of(axis) if not math.isnan(c.change)] for p in paths}
    spots = [spot for p in paths for spot in _dose_spots(p, rows[p.intervention], looks)]
    doses = sorted({float(s["at"]) for s in spots})
    is_safety = axis in _SAFETY
    limit = [-100 * dynamics.margin] if is_safety else []
    ends = [float(s[k]) for s in spots for k in ("band_low", "band_high", "change") if s[k] is not None]
    labels = alt.Axis(
        title="dose", values=doses, labelExpr="format(datum.value, '.6~g')", grid=False, labelOverlap=True
    )
    x = alt.X("at:Q", scale=_dose_scale(doses), axis=labels)
    scale = alt.Scale(domain=padded((*ends, *limit)), nice=False)
    y_axis = points_axis(f"change of {words(axis)}, points")
    y = alt.Y("change:Q", scale=scale, axis=y_axis)
    colour = alt.Color("colour:N", scale=None)
    tips = [alt.Tooltip(f"{name}:N") for name in ("path", "dose", "change of score", "band", "items")]
    base = alt.Chart(inline(spots)).encode(x=x, color=colour, tooltip=tips)
    band = [s for s in spots if s["band_low"] is not None]
    critical = [s for s in spots if s["critical"]]
    layers = [
        alt.Chart(inline([{"zero": 0}])).mark_rule(color=FAINT).encode(y=alt.Y("zero:Q", scale=scale)),
        alt.Chart(inline([{"limit": v} for v in limit]))
        .mark_rule(color=WORSE, strokeDash=[4, 3])
        .encode(y=alt.Y("limit:Q", scale=scale)),
        alt.Chart(inline(band))
        .mark_area(opacity=0.12)
        .encode(
            x=x,
            y=alt.Y("band_low:Q", scale=scale, axis=y_axis),
            y2="band_high:Q",
            detail="path:N",
            fill=alt.Fill("colour:N", scale=None),
        ),
        alt.Chart(inline(spots))
        .mark_line(strokeWidth=1.5, strokeDash=[2, 3])
        .encode(x=x, y=alt.Y("fitted:Q", scale=scale, axis=y_axis), detail="path:N", color=colour),
        base.mark_rule(strokeWidth=2, opacity=0.55).encode(y=alt.Y("low:Q", scale=scale, axis=y_axis), y2="high:Q"),
        *_lines(spots, paths, looks, x, y),
        base.mark_circle(size=60, opacity=1).encode(y=y),
        alt.Chart(inline(critical))
        .mark_point(shape="diamond", size=220, strokeWidth=2, filled=False)
        .encode(x=x, y=y, color=colour, tooltip=tips),
    ]
    told = "; ".join(f"{s['path']} at {s['dose']}: {s['change of score']}" for s in spots)
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(
        width=420, height=240, description=f"{words(axis)} by dose, change in points. {told}."
    )
    return styled(chart)


def dose_figure(dynamics: Dynamics) -> alt.VConcatChart:
    """Draw everything on one sheet: a phase plane for each safety axis, then every axis by the dose.

    Args:
        dynamics: What doses do.
    """
    axes = list(dict.fromkeys(a for p in dynamics.paths for a in p.axes))
    planes = [a for a in axes if any(x.axis == a for p in dynamics.paths for x in p.plane)]
    charts = [_plain(phase_plane(dynamics, a)).properties(title=f"reasoning and {words(a)}") for a in planes]
    charts += [_plain(dose_response(dynamics, a)).properties(title=f"{words(a)} by dose") for a in axes]
    rows = [alt.hconcat(*charts[i : i + 2]) for i in range(0, len(charts), 2)]
    key = "; ".join(f"{p.intervention}, from {p.start}" for p in dynamics.paths)
    whole = alt.vconcat(*rows).properties(title=alt.TitleParams(visible(key), anchor="start"))
    return styled(whole)


def _plain(chart: alt.LayerChart) -> alt.LayerChart:
    """Take a chart's own look off: only the sheet may have one."""
    bare: alt.LayerChart = chart.copy()
    bare.config = alt.Undefined
    return bare


def _looks(dynamics: Dynamics) -> dict[str, dict[str, Any]]:
    names = [p.intervention for p in dynamics.paths]
    marks = mark_arms(names)
    return {
        name: {"path": visible(name), "colour": marks[name].colour, "dash": i % len(_DASHES)}
        for i, name in enumerate(names)
    }


def _lines(
    spots: Sequence[dict[str, Any]], paths: Sequence[DosePath], looks: dict[str, dict[str, Any]], x: alt.X, y: alt.Y
) -> list[alt.Chart]:
    lines = []
    for path in paths:
        look = looks[path.intervention]
        own = [s for s in spots if s["path"] == look["path"]]
        line = alt.Chart(inline(own)).mark_line(color=look["colour"], strokeWidth=2, strokeDash=_DASHES[look["dash"]])
        lines.append(line.encode(x=x, y=y, order="order:Q"))
    return lines


def _is_known(point: PlanePoint) -> bool:
    return not math.isnan(point.d_reasoning + point.d_safety)


def _plane_spots(
    path: DosePath, rows: Iterable[PlanePoint], looks: dict[str, dict[str, Any]]
) -> Iterable[dict[str, Any]]:
    doses = dict(zip(path.arms, path.doses, strict=True))
    look = looks[path.intervention]
    home = {**look, "colour": BASELINE_COLOUR, "x": 0, "y": 0, "order": 0, "dose": f"{path.start_dose:g}"}
    yield {**home, "reasoning": "0", "safety": "0", "angle": ""}
    for i, point in enumerate(rows, 1):
        yield {
            **look,
            "x": 100 * point.d_reasoning,
            "y": 100 * point.d_safety,
            "order": i,
            "dose": f"{doses[point.arm]:g}",
            "reasoning": points(point.d_reasoning, 1),
            "safety": points(point.d_safety, 1),
            "angle": degrees(point.angle),
        }


def _dose_spots(
    path: DosePath, rows: Iterable[DoseChange], looks: dict[str, dict[str, Any]]
) -> Iterable[dict[str, Any]]:
    critical = {(c.axis, c.dose) for c in path.critical}
    nothing = dict.fromkeys(("change", "fitted", "low", "high", "band_low", "band_high"), 0.0)
    start = {"at": path.start_dose, "dose": f"{path.start_dose:g}", "order": 0, "critical": False, "items": ""}
    yield {**looks[path.intervention], **nothing, **start, "change of score": "0", "band": ""}
    for i, c in enumerate(rows, 1):
        yield {
            **looks[path.intervention],
            "at": c.dose,
            "dose": f"{c.dose:g}",
            "order": i,
            "change": 100 * c.change,
            "fitted": _points(c.fitted),
            "low": _points(c.interval.low),
            "high": _points(c.interval.high),
            "band_low": _points(c.band.low),
            "band_high": _points(c.band.high),
            "critical": (c.axis, c.dose) in critical,
            "items": c.n_items,
            "change of score": f"{points(c.change, 1)} {points_interval(c.interval, 1)}".strip(),
            "band": points_interval(c.band, 1),
        }


def _points(value: float) -> float | None:
    return None if math.isnan(value) else 100 * value


def _dose_scale(doses: Sequence[float]) -> alt.Scale:
    """Leave room at both ends; far-apart doses stand by their logarithms, 0 among them."""
    low, high = min(doses, default=0.0), max(doses, default=1.0)
    least = min((d for d in doses if d > 0), default=1.0)
    if low >= 0 and high / least > _WIDE:
        return alt.Scale(type="symlog", constant=least, domain=[low, 1.25 * high], nice=False)
    room = 0.05 * (high - low or 1.0)
    return alt.Scale(domain=[low - room, high + room], nice=False)
