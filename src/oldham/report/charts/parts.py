"""What the charts share: their look, their rows, their scales."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import altair as alt
from altair.utils.schemapi import debug_mode

from oldham.report.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from oldham.report.arms import Marks

BETTER: Final = "#0b5a8a"
WORSE: Final = "#b3401f"
OPEN: Final = "#6b7280"
INK: Final = "#1f2430"
FAINT: Final = "#8a909c"
ROW: Final = 30
"""Height of a row, in pixels."""
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

C = TypeVar("C", alt.Chart, alt.LayerChart, alt.VConcatChart)


@contextmanager
def checked_whole() -> Iterator[None]:
    """Make charts without altair's check of each part.

    `fluid` checks the whole specification all the same; with every part checked as well, each row of data is checked
    half a dozen times.
    """
    with debug_mode(False):
        yield


def inline(rows: Sequence[dict[str, Any]]) -> alt.InlineData:
    """Return rows as data that stand in the specification itself, in this order."""
    return alt.InlineData(values=tuple(rows))  # a tuple: altair copies the rows of a list with every copy of a chart


def row_name(arm: str, marks: Marks, *, part: str = "") -> str:
    """Return an arm's number and name, and between them the part of its output that is meant."""
    return f"{marks[arm].label}  {part} · {visible(arm)}" if part else f"{marks[arm].label}  {visible(arm)}"


def row_axis(order: Sequence[str]) -> alt.Y:
    """Return the vertical axis of a chart with a row for every name."""
    return alt.Y("row:N", sort=list(order), axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=6))


def points_axis(title: str) -> alt.Axis:
    """Return an axis in signed percentage points."""
    return alt.Axis(title=title, labelExpr="format(datum.value, datum.value > 0 ? '+d' : 'd')", tickCount=5)


def padded(values: Iterable[float]) -> list[float]:
    """Cover every value and a margin; never less than five points each way, so that noise is not magnified."""
    low, high = min((-5.0, *values)), max((5.0, *values))
    return [low - 0.06 * (high - low), high + 0.06 * (high - low)]


def styled(chart: C) -> C:
    """Give a finished chart the report's look."""
    axis = alt.AxisConfig(
        labelColor=INK,
        titleColor=INK,
        gridColor="#e7e9ee",
        domainColor="#c5c9d1",
        tickColor="#c5c9d1",
        labelFontSize=12,
        titleFontSize=12,
        titleFontWeight="normal",
        labelLimit=150,
    )
    # At once: each of altair's `configure_...` would copy the chart with all its rows.
    looked: C = chart.configure(
        font=_FONT,
        background="transparent",
        view=alt.ViewConfig(stroke=None),
        axis=axis,
        title=alt.TitleConfig(anchor="start", fontSize=13),
    )
    return looked


def fluid(chart: alt.Chart | alt.LayerChart) -> dict[str, Any]:
    """Return a chart's Vega-Lite specification, as wide as the box it stands in and with no address in it.

    Args:
        chart: A single or layered chart.

    Returns:
        The specification as plain JSON types.
    """
    wide = chart.properties(width="container", autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    spec: dict[str, Any] = wide.to_dict()
    spec.pop("$schema", None)
    if "datasets" in spec:
        spec["datasets"] = {name: list(rows) for name, rows in spec["datasets"].items()}
    return spec
