"""Doses: the path of reasoning and safety in the phase plane, and each axis by its dose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import altair as alt

from oldham.core.outcomes import SAFETY_AXES
from oldham.coupling.dynamics_ladders import without_seed
from oldham.report.arms import BASELINE_COLOUR, mark_arms
from oldham.report.charts.parts import FAINT, WORSE, inline, padded, points_axis, styled
from oldham.report.text import degrees, points, points_interval, visible, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.dynamics_results import DoseChange, DosePath, Dynamics
    from oldham.coupling.results import PlanePoint

_SAFETY: Final = tuple(str(a) for a in SAFETY_AXES)
_DASHES: Final = (("solid", [1, 0]), ("dashed", [5, 4]), ("dash-dotted", [12, 3, 2, 3]), ("long-dashed", [16, 5]))
"""Patterns of line by which the seeds of an intervention are told apart; dotted is the closest curve."""
_APART: Final = 6
"""Pixels between the marks of two seeds at one dose."""
_WIDE: Final = 20.0
"""Where the largest dose is so many times the smallest, doses stand on a scale of their logarithms."""


def dose_names(dynamics: Dynamics) -> list[str]:
    """Return the interventions without their seeds, in their order: each has charts of its own.

    Args:
        dynamics: What doses do.
    """
    return list(dict.fromkeys(without_seed(p.intervention)[0] for p in dynamics.paths))


def drawn_axes(dynamics: Dynamics) -> list[str]:
    """Return the axes with a known change, in their order.

    Args:
        dynamics: What doses do.
    """
    known = {c.axis for p in dynamics.paths for c in p.changes if not math.isnan(c.change)}
    return [a for a in dict.fromkeys(a for p in dynamics.paths for a in p.axes) if a in known]


def drawn_planes(dynamics: Dynamics) -> list[str]:
    """Return the safety axes with a known place in the phase plane, in their order.

    Args:
        dynamics: What doses do.
    """
    known = {x.axis for p in dynamics.paths for x in p.plane if _is_known(x)}
    return [a for a in drawn_axes(dynamics) if a in known]


def phase_plane(dynamics: Dynamics, axis: str, name: str | None = None) -> alt.LayerChart:
    """Draw paths in the phase plane: change of reasoning across, change of one safety axis up, a mark a dose.

    Args:
        dynamics: What doses do.
        axis: The safety axis.
        name: One of `dose_names`; None draws every path. The scales hold every path either way.

    Returns:
        A layered chart. Each shape holds both changes of a dose jointly with 95% confidence; the number is the dose,
        `0` (or the dose of its own) is the start.
    """
    looks = _looks(dynamics)
    known = {p.intervention: [x for x in p.plane if x.axis == axis and _is_known(x)] for p in dynamics.paths}
    paths = [p for p in _of(dynamics, name) if known[p.intervention]]
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
        _plane_text(spots, paths).encode(x=x, y=y, text="dose:N", color=colour),
    ]
    told = "; ".join(f"{s['path']} at {s['dose']}: reasoning {s['reasoning']}, {s['safety']}" for s in spots)
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(
        width=520,
        height=400,
        description=f"Path of reasoning and {words(axis)} over doses, in points. {told}.",
        **_key(paths, looks),
    )
    return styled(chart)


def _plane_text(spots: Sequence[dict[str, Any]], paths: Sequence[DosePath]) -> alt.Chart:
    """Name the doses; of several seeds, whose doses lie close, those of the first and the last of each."""
    last = {s["path"]: s["order"] for s in spots}
    first = visible(paths[0].intervention) if paths else ""
    named = [s for s in spots if s["path"] == first or s["order"] == last[s["path"]]]
    text: alt.Chart = alt.Chart(inline(named)).mark_text(fontWeight="bold", fontSize=12, dx=8, dy=-9, align="left")
    return text


def dose_response(dynamics: Dynamics, axis: str, name: str | None = None) -> alt.LayerChart:
    """Draw one axis by the dose.

    Args:
        dynamics: What doses do.
        axis: The axis.
        name: One of `dose_names`; None draws every path. The scale of changes holds every path either way.

    Returns:
        A layered chart: the change at each dose with its own 95% interval, within the band that holds for all doses of
        a path together; dashed, the closest curve that only falls (safety) or only rises (reasoning); on a safety
        axis the margin as a red line, and a diamond at the critical dose.
    """
    looks = _looks(dynamics)
    rows = {p.intervention: [c for c in p.of(axis) if not math.isnan(c.change)] for p in dynamics.paths}
    paths = [p for p in _of(dynamics, name) if rows[p.intervention]]
    drawn = {p.intervention: list(_dose_spots(p, rows[p.intervention], looks)) for p in dynamics.paths}
    spots = [spot for p in paths for spot in drawn[p.intervention]]
    doses = sorted({float(s["at"]) for s in spots})
    limit = [-100 * dynamics.margin] if axis in _SAFETY else []
    everywhere = [s for some in drawn.values() for s in some]
    ends = [float(s[k]) for s in everywhere for k in ("band_low", "band_high", "change") if s[k] is not None]
    labels = alt.Axis(
        title="dose", values=doses, labelExpr="format(datum.value, '.6~g')", grid=False, labelOverlap=True
    )
    x = alt.X("at:Q", scale=_dose_scale(doses), axis=labels)
    scale = alt.Scale(domain=padded((*ends, *limit)), nice=False)
    y_axis = points_axis(f"change of {words(axis)}, points")
    y = alt.Y("change:Q", scale=scale, axis=y_axis)
    colour = alt.Color("colour:N", scale=None)
    band = [s for s in spots if s["band_low"] is not None]
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
        *_lines(spots, paths, looks, x, y),
    ]
    low = alt.Y("low:Q", scale=scale, axis=y_axis)
    for i, path in enumerate(paths):
        layers += _dose_marks(drawn[path.intervention], x, y, low, shift=_APART * (i - (len(paths) - 1) / 2))
    told = "; ".join(f"{s['path']} at {s['dose']}: {s['change of score']}" for s in spots)
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(
        width=420, height=240, description=f"{words(axis)} by dose, change in points. {told}.", **_key(paths, looks)
    )
    return styled(chart)


def _dose_marks(spots: Sequence[dict[str, Any]], x: alt.X, y: alt.Y, low: alt.Y, *, shift: float) -> list[alt.Chart]:
    """Mark the doses of one path; those of several seeds stand side by side, so that no interval hides another."""
    tips = [alt.Tooltip(f"{name}:N") for name in ("path", "dose", "change of score", "band", "items")]
    colour = alt.Color("colour:N", scale=None)
    base = alt.Chart(inline(spots)).encode(x=x, color=colour, tooltip=tips)
    critical = alt.Chart(inline([s for s in spots if s["critical"]])).encode(x=x, y=y, color=colour, tooltip=tips)
    return [
        base.mark_rule(strokeWidth=2, opacity=0.55, xOffset=shift).encode(y=low, y2="high:Q"),
        base.mark_circle(size=60, opacity=1, xOffset=shift).encode(y=y),
        critical.mark_point(shape="diamond", size=220, strokeWidth=2, filled=False, xOffset=shift),
    ]


def dose_figure(dynamics: Dynamics) -> alt.VConcatChart:
    """Draw everything on one sheet: a phase plane for each safety axis, then every axis by the dose.

    Args:
        dynamics: What doses do.

    Returns:
        With several interventions a column for each, seeds together, all on the same scales.
    """
    columns = [_sheet_column(dynamics, name) for name in dose_names(dynamics)]
    if len(columns) == 1:
        charts = columns[0]
        return styled(alt.vconcat(*(alt.hconcat(*charts[i : i + 2]) for i in range(0, len(charts), 2))))
    small = [[chart.properties(width=330, height=260) for chart in column] for column in columns]
    return styled(alt.vconcat(*(alt.hconcat(*row) for row in zip(*small, strict=True))))


def _sheet_column(dynamics: Dynamics, name: str) -> list[alt.LayerChart]:
    paths, looks = _of(dynamics, name), _looks(dynamics)
    begin = " or ".join(dict.fromkeys(p.start for p in paths))
    head = visible(f"{name}, from {begin}")
    key = _key(paths, looks).get("title", alt.TitleParams("")).to_dict()["text"]

    def titled(chart: alt.LayerChart, what: str) -> alt.LayerChart:
        lines = [line for line in (what, key) if line]
        return _plain(chart).properties(
            title=alt.TitleParams(head, subtitle=lines, anchor="start", limit=320, subtitleFontSize=12)
        )

    planes = [titled(phase_plane(dynamics, a, name), f"reasoning and {words(a)}") for a in drawn_planes(dynamics)]
    return [*planes, *(titled(dose_response(dynamics, a, name), f"{words(a)} by dose") for a in drawn_axes(dynamics))]


def _key(paths: Sequence[DosePath], looks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Say which pattern of line is which seed, as a chart's title; nothing for a path alone."""
    if len(paths) < 2:
        return {}
    told = []
    for path in paths:
        name, seed = without_seed(path.intervention)
        pattern = _DASHES[looks[path.intervention]["dash"]][0]
        told.append(f"{pattern}: {visible(name) if seed is None else f'seed {visible(seed)}'}")
    text = "; ".join(told)
    return {"title": alt.TitleParams(text, fontSize=12, fontWeight="normal", anchor="start")}


def _of(dynamics: Dynamics, name: str | None) -> list[DosePath]:
    return [p for p in dynamics.paths if name in (None, without_seed(p.intervention)[0])]


def _plain(chart: alt.LayerChart) -> alt.LayerChart:
    """Take a chart's own look off: only the sheet may have one."""
    bare: alt.LayerChart = chart.copy()
    bare.config = alt.Undefined
    return bare


def _looks(dynamics: Dynamics) -> dict[str, dict[str, Any]]:
    marks = mark_arms(dose_names(dynamics))
    looks: dict[str, dict[str, Any]] = {}
    for name, mark in marks.items():
        for i, path in enumerate(_of(dynamics, name)):
            look = {"path": visible(path.intervention), "colour": mark.colour, "dash": i % len(_DASHES)}
            looks[path.intervention] = look
    return looks


def _lines(
    spots: Sequence[dict[str, Any]], paths: Sequence[DosePath], looks: dict[str, dict[str, Any]], x: alt.X, y: alt.Y
) -> list[alt.Chart]:
    lines = []
    for path in paths:
        look = looks[path.intervention]
        own = [s for s in spots if s["path"] == look["path"]]
        line = alt.Chart(inline(own)).mark_line(
            color=look["colour"], strokeWidth=2, strokeDash=_DASHES[look["dash"]][1]
        )
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
            "angle": degrees(point.angle) if point.has_moved else "unknown",
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
