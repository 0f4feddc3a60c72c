"""Doses as plain text, as a table and as JSON. Sentences claim no more than the intervals allow."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import polars as pl

from oldham.coupling.dynamics_claims import (
    controls_sentences,
    critical_sentence,
    crossing_sentence,
    free_sentence,
    hysteresis_sentence,
    seeds_sentences,
    trend_sentence,
)
from oldham.coupling.dynamics_lead import lead_groups, lead_head, lead_table, lead_title
from oldham.coupling.dynamics_lead_controls import lead_controls, lead_gaps, lead_ways_back
from oldham.coupling.findings import change_cell, counted, points, points_interval
from oldham.coupling.layout import bullets, ratio, section, table
from oldham.coupling.plain_json import write_json

if TYPE_CHECKING:
    from oldham.coupling.dynamics_results import DosePath, Dynamics, Replicates, Segment

_AS_JUDGED: Final = "All changes are as judged."
_COLUMNS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "intervention": pl.String,
    "axis": pl.String,
    "dose": pl.Float64,
    "arm": pl.String,
    "change": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "band_low": pl.Float64,
    "band_high": pl.Float64,
    "fitted": pl.Float64,
    "n_items": pl.Int64,
    "n_clusters": pl.Int64,
    "n_missing": pl.Int64,
}


def write_dynamics(dynamics: Dynamics, *, full: bool) -> str:
    """Write what doses do as plain text.

    Args:
        dynamics: What was found.
        full: Also every ladder with its local couplings and trends, the means at every dose, and all that is known of
            ways back, controls and answers without a score, in sentences.

    Returns:
        The table of changes and each intervention in a few sentences, then controls and what to know; lines of at most
        110 characters unless a name is long.
    """
    told_below = full and len(dynamics.paths) == 1
    parts = [lead_head(dynamics), section(lead_title(dynamics), lead_table(dynamics))]
    parts += [] if told_below else [section("Found", lead_groups(dynamics))]
    parts += _everything(dynamics) if full else _in_brief(dynamics)
    return "\n\n".join(p for p in parts if p)


def _in_brief(dynamics: Dynamics) -> list[str]:
    """Return controls, ways back and what to know, each caveat once."""
    of_gaps = {g.sentence for g in dynamics.gaps}
    notes = [n for n in dynamics.notes if n not in of_gaps]
    back = "Way back: squared points, and what is left of the change at its end"
    return [
        section(back, lead_ways_back(dynamics.hysteresis)),
        section("Controls", lead_controls(dynamics)),
        section("What to know", [*bullets([*notes, _AS_JUDGED]), *lead_gaps(dynamics.gaps)]),
    ]


def _everything(dynamics: Dynamics) -> list[str]:
    parts = [part for path in dynamics.paths for part in _path(path, dynamics)]
    parts += [section(f"Mean of {_runs(r)}", [*_means(r), *bullets(seeds_sentences(r))]) for r in dynamics.replicates]
    parts.append(section("Way back", bullets(hysteresis_sentence(h, dynamics) for h in dynamics.hysteresis)))
    parts.append(section("Controls", bullets(s for c in dynamics.controls for s in controls_sentences(c, dynamics))))
    parts.append(section("What to know", bullets([*dynamics.notes, _AS_JUDGED])))
    return parts


def _path(path: DosePath, dynamics: Dynamics) -> list[str]:
    doses = ", ".join(f"{d:g}" for d in path.doses)
    head = (
        f"`{path.intervention}` at {counted(len(path.doses), 'dose')} ({doses}) against its start `{path.start}`, "
        f"margin {100 * dynamics.margin:g} points."
    )
    found = [critical_sentence(c, path) for c in path.critical]
    found += [s for c in path.critical if c.state != "none" and (s := crossing_sentence(c, path))]
    trends = [trend_sentence(t, path) for t in path.trends]
    return [
        head,
        section("Change from the start in points, with 95% intervals of each dose alone (+ is better)", _grid(path)),
        section("Found", bullets([*found, free_sentence(path.free, path)])),
        section("Trend with the dose", bullets(trends)) if len(path.doses) > 1 else "",
        section(
            "Local coupling, from each dose to the next (kappa: points of safety a point of reasoning)", _local(path)
        ),
    ]


def _runs(replicates: Replicates) -> str:
    return f"`{replicates.name}` over {len(replicates.interventions)} seeds, in points"


def _grid(path: DosePath) -> list[str]:
    cells = {(c.axis, c.dose): change_cell(c.change, c.interval) for c in path.changes}
    rows: list[tuple[str, ...]] = [("dose", *path.axes)]
    rows += [(f"{d:g}", *(cells.get((axis, d), "unknown") for axis in path.axes)) for d in path.doses]
    rows.append(("items", *(_items([c.n_items for c in path.of(axis)]) for axis in path.axes)))
    return table(rows, names=1)


def _items(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _means(replicates: Replicates) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "dose", "mean", "interval over items", "spread", "interval over seeds")]
    rows += [
        (
            m.axis,
            f"{m.dose:g}",
            points(m.change),
            points_interval(m.interval),
            f"{100 * m.spread:.1f}",
            points_interval(m.seed_interval),
        )
        for m in replicates.means
    ]
    return table(rows)


def _local(path: DosePath) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "step", "reasoning", "safety", "angle", "interval", "kappa")]
    for s in path.segments:
        angle, arc = _angle(s.angle), " to ".join(map(_angle, s.angle_interval))
        rows.append(
            (
                s.axis,
                f"{s.from_dose:g} to {s.to_dose:g}",
                change_cell(s.d_reasoning, s.reasoning_interval),
                change_cell(s.d_safety, s.safety_interval),
                *((angle, arc) if s.has_moved else ("unknown", "unknown")),
                _kappa(s),
            )
        )
    lines = table(rows)
    if any(s.kappa is None for s in path.segments):
        lines.append("  – : reasoning may not have moved; about so many items would settle it with 80% chance.")
    return lines


def _angle(degrees: float) -> str:
    return "unknown" if math.isnan(degrees) else f"{round(degrees) + 0}°".replace("-", "−")


def _kappa(segment: Segment) -> str:
    if segment.kappa is None:
        return f"– ({segment.items_needed} items)" if segment.items_needed else "–"
    low, high = segment.kappa_interval
    return f"{ratio(segment.kappa)} [{ratio(low)}, {ratio(high)}]"


def dynamics_frame(dynamics: Dynamics) -> pl.DataFrame:
    """Return every change as a table.

    Args:
        dynamics: What was found.

    Returns:
        One row an intervention, axis and dose; NaN where nothing is known.
    """
    rows = [
        {
            "intervention": path.intervention,
            **{name: getattr(c, name) for name in _COLUMNS if hasattr(c, name)},
            "low": c.interval.low,
            "high": c.interval.high,
            "band_low": c.band.low,
            "band_high": c.band.high,
        }
        for path in dynamics.paths
        for c in path.changes
    ]
    return pl.DataFrame(rows, schema=_COLUMNS)


def dynamics_json(dynamics: Dynamics) -> str:
    """Return everything as JSON.

    Args:
        dynamics: What was found.

    Returns:
        Its fields by name, intervals as pairs; what is unknown or infinite is null.
    """
    return write_json(asdict(dynamics))
