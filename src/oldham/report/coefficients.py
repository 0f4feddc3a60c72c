"""Coupling coefficients, laid out for the page: a forest and a table for each safety axis, and a sentence a family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oldham.coupling.coefficient import EVERY_ARM
from oldham.coupling.coefficient_text import slope_sentence
from oldham.report.charts import axis_forest
from oldham.report.charts.parts import row_name
from oldham.report.forests import arms_forest
from oldham.report.text import words

if TYPE_CHECKING:
    from oldham.coupling.coefficient import Coefficient
    from oldham.report.arms import Marks
    from oldham.report.charts.slope_forest import Forest
    from oldham.report.data import ReportData


@dataclass(frozen=True, slots=True)
class CoefficientView:
    """The coefficients of one safety axis."""

    axis: str
    chart: str | None
    """Name of its chart; None where no arm has a known change on both axes."""
    sentences: tuple[str, ...]
    """One a family."""
    coefficients: tuple[Coefficient, ...]


def coefficient_views(data: ReportData) -> list[CoefficientView]:
    """Lay the coefficients out.

    Args:
        data: The report's data.

    Returns:
        By safety axis; none where reasoning was not measured.
    """
    found = data.coupling.coefficients
    views = []
    for axis in dict.fromkeys(c.axis for c in found):
        own = tuple(c for c in found if c.axis == axis)
        chart = f"kappa-{axis}" if any(c.arms for c in own) else None
        views.append(CoefficientView(axis, chart, tuple(map(slope_sentence, own)), own))
    return views


def coefficient_charts(data: ReportData, marks: Marks) -> dict[str, Any]:
    """Draw the forests.

    Args:
        data: The report's data.
        marks: The arms' marks.

    Returns:
        Charts by name.
    """
    return {
        view.chart: axis_forest(_numbered(arms_forest(view.coefficients), marks))
        for view in coefficient_views(data)
        if view.chart is not None
    }


def family_words(coefficient: Coefficient) -> str:
    """Name a family of arms and where it starts.

    Args:
        coefficient: Of the family.
    """
    if coefficient.family == EVERY_ARM:
        return EVERY_ARM
    return f"doses of {words(coefficient.family)} from {coefficient.start}"


def _numbered(forest: Forest, marks: Marks) -> Forest:
    """Give arms the number that they have everywhere on the page."""
    rows = (r._replace(name=row_name(r.name, marks)) if r.kind == "single" else r for r in forest.rows)
    return forest._replace(rows=tuple(rows))
