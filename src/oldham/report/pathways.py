"""Pathways of flips, laid out for the page: which arms are drawn, and every flow as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from oldham.report.charts import alluvial

if TYPE_CHECKING:
    from oldham.coupling.pathway_results import Pathways
    from oldham.report.arms import Marks
    from oldham.report.data import ReportData

DRAWN: Final = 8
"""Arms drawn on an axis; the table has all."""


@dataclass(frozen=True, slots=True)
class PathwayView:
    """The flows of every arm on one axis."""

    axis: str
    drawn: tuple[tuple[Pathways, str], ...]
    """At most `DRAWN` arms, each with the name of its chart."""
    n_hidden: int
    """Arms that are in the table alone."""
    entries: tuple[Pathways, ...]
    """Every arm with a paired item, in the arms' order."""
    meanings: tuple[tuple[str, str], ...]
    """What the labels that occur mean."""


def pathway_views(data: ReportData, marks: Marks) -> list[PathwayView]:
    """Lay the flows out.

    Args:
        data: The report's data.
        marks: The arms' marks, in the arms' order.

    Returns:
        By axis; axes without a paired item have none.
    """
    table = data.coupling.pathways
    order = list(marks)
    views = []
    for axis in dict.fromkeys(e.axis for e in table.entries):
        entries = sorted((e for e in table.entries if e.axis == axis and e.flows), key=lambda e: order.index(e.arm))
        if not entries:
            continue
        seen = {f.pathway for e in entries for f in e.flows}
        views.append(
            PathwayView(
                axis=axis,
                drawn=tuple((e, f"pathways-{axis}-{i}") for i, e in enumerate(entries[:DRAWN])),
                n_hidden=len(entries[DRAWN:]),
                entries=tuple(entries),
                meanings=tuple((r.name, r.meaning) for r in table.rules.rules if r.name in seen),
            )
        )
    return views


def pathway_charts(views: list[PathwayView]) -> dict[str, Any]:
    """Draw the arms that are drawn.

    Args:
        views: From `pathway_views`.

    Returns:
        Charts by name.
    """
    return {name: alluvial(entry) for view in views for entry, name in view.drawn}
