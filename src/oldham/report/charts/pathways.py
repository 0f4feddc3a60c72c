"""Alluvial diagrams: from the baseline's outcomes over pathways to an arm's outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import altair as alt

from oldham.coupling.pathway_rules import NO_FLIP
from oldham.report.charts.parts import INK, inline, styled
from oldham.report.charts.spacing import spread
from oldham.report.outcome_colours import outcome_colours
from oldham.report.text import percent, percent_interval, visible, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from oldham.coupling.pathway_results import Flow, Pathways

_HEIGHT: Final = 280
_LINE: Final = 15
"""Height of a line of a label, in pixels."""
_GAP: Final = 0.035
"""Between two bars of a column, as a share of all items."""
_HALF_BAR: Final = 0.018
"""Of a bar's width, in columns."""
_SIDE: Final = 116
"""Room for the labels on either side, in pixels."""
_PASSED: Final = "#d7dae1"
_ALONG: Final = (0.0, 0.2, 0.5, 0.8, 1.0)
"""Where along a ribbon its edges are given; the curve between is drawn smooth."""


class _Bar(NamedTuple):
    """A part of a column."""

    key: tuple[str, ...]
    label: str
    colour: str
    share: float
    top: float
    """Both ends count down from the top, in shares of all items."""
    bottom: float


class _Ribbon(NamedTuple):
    """A flow between two columns."""

    flow: Flow
    column: int
    """The one it starts from."""
    colour: str
    start: tuple[str, ...]
    end: tuple[str, ...]


@dataclass(frozen=True)
class _Layout:
    """Three columns of bars, and the ribbons between them."""

    columns: tuple[dict[tuple[str, ...], _Bar], ...]
    ribbons: tuple[_Ribbon, ...]
    height: float


def alluvial(entry: Pathways) -> alt.LayerChart:
    """Draw what the items of one arm went through.

    Args:
        entry: The flows of an arm on an axis, of at least one item.

    Returns:
        A layered chart of three columns: the baseline's outcome, the pathway, and the arm's outcome. Widths are shares
        of the paired items, colours those of outcomes; items that stay as they are pass a light bar.
    """
    laid = _lay_out(entry)
    scale = alt.Scale(domain=[0, 2], range=[_SIDE, {"expr": f"width - {_SIDE}"}], nice=False, zero=False)
    x = alt.X("x:Q", scale=scale, axis=None)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[laid.height, 0], nice=False), axis=None)
    fill = alt.Color("colour:N", scale=None)
    ribbons = [row for i, ribbon in enumerate(_stacked(laid)) for row in _edge(i, *ribbon)]
    bars = [
        {"x": k - _HALF_BAR, "x2": k + _HALF_BAR, "y": b.top, "y2": b.bottom, "colour": b.colour, "bar": _named(b)}
        for k, column in enumerate(laid.columns)
        for b in column.values()
    ]
    told = "; ".join(f"{_flow_words(f)} {percent(f.share)}" for f in entry.flows)
    chart: alt.LayerChart = alt.LayerChart(
        layer=[
            alt.Chart(inline(ribbons))
            .mark_area(interpolate="monotone", opacity=0.62)
            .encode(x=x, y=y, y2="y2:Q", color=fill, detail="ribbon:N", tooltip=alt.Tooltip("flow:N")),
            alt.Chart(inline(bars))
            .mark_rect()
            .encode(x=x, x2="x2:Q", y=y, y2="y2:Q", color=fill, tooltip=alt.Tooltip("bar:N")),
            *(_labels(laid, k, x, y) for k in (0, 1, 2)),
        ]
    ).properties(
        width=520,
        height=_HEIGHT,
        description=f"From baseline outcome over pathway to new outcome, {visible(entry.arm)} on {words(entry.axis)}. "
        f"{told}.",
    )
    return styled(chart)


def _lay_out(entry: Pathways) -> _Layout:
    flows = [f for f in entry.flows if f.share > 0]
    colours = outcome_colours(entry.axis, {o for f in flows for o in (f.baseline_outcome, f.new_outcome)})
    rank = {outcome: float(i) for i, outcome in enumerate(colours)}

    def middle_rank(of: Sequence[Flow]) -> float:
        # Bars stand where most of their flow comes from and goes to, so that few ribbons cross.
        total = sum(f.share for f in of)
        return sum(f.share * (rank[f.baseline_outcome] + rank[f.new_outcome]) for f in of) / total

    grouped = [
        _grouped(flows, lambda f: (f.baseline_outcome,), lambda of: rank[of[0].baseline_outcome]),
        _grouped(flows, _pathway_key, middle_rank),
        _grouped(flows, lambda f: (f.new_outcome,), lambda of: rank[of[0].new_outcome]),
    ]
    height = 1 + _GAP * (max(map(len, grouped)) - 1)
    columns = tuple(_stack(of, height, k, colours) for k, of in enumerate(grouped))
    ribbons = [
        *(_Ribbon(f, 0, colours[f.baseline_outcome], (f.baseline_outcome,), _pathway_key(f)) for f in flows),
        *(_Ribbon(f, 1, colours[f.new_outcome], _pathway_key(f), (f.new_outcome,)) for f in flows),
    ]
    return _Layout(columns, tuple(ribbons), height)


def _pathway_key(flow: Flow) -> tuple[str, ...]:
    """Name a flow's bar in the middle; what stays as it is has one for each outcome that it stays at."""
    return (flow.pathway, flow.side or "", flow.baseline_outcome if flow.pathway == NO_FLIP else "")


def _grouped(
    flows: Iterable[Flow], key_of: Callable[[Flow], tuple[str, ...]], rank_of: Callable[[Sequence[Flow]], float]
) -> dict[tuple[str, ...], list[Flow]]:
    groups: dict[tuple[str, ...], list[Flow]] = {}
    for flow in flows:
        groups.setdefault(key_of(flow), []).append(flow)
    return dict(sorted(groups.items(), key=lambda group: (rank_of(group[1]), group[0])))


def _stack(
    groups: dict[tuple[str, ...], list[Flow]], height: float, column: int, colours: dict[str, str]
) -> dict[tuple[str, ...], _Bar]:
    bars = {}
    top = (height - 1 - _GAP * (len(groups) - 1)) / 2
    for key, flows in groups.items():
        share = sum(f.share for f in flows)
        if column == 1:
            pathway, side, _ = key
            label = f"{side}: {words(pathway)}" if side else words(pathway)
            colour = INK if side else _PASSED
        else:
            label, colour = words(key[0]), colours[key[0]]
        bars[key] = _Bar(key, visible(label), colour, share, top, top + share)
        top += share + _GAP
    return bars


def _stacked(laid: _Layout) -> Iterable[tuple[_Ribbon, float, float]]:
    """Yield ribbons with the top of either end; at each bar they lie in the order of where they go to."""
    for column in (0, 1):
        before, after = laid.columns[column], laid.columns[column + 1]
        here = [r for r in laid.ribbons if r.column == column]
        tops: list[dict[int, float]] = []
        for own, other, own_key, other_key in ((before, after, "start", "end"), (after, before, "end", "start")):
            used = {key: bar.top for key, bar in own.items()}
            found: dict[int, float] = {}
            for i in sorted(range(len(here)), key=lambda i: (other[getattr(here[i], other_key)].top, i)):
                key = getattr(here[i], own_key)
                found[i] = used[key]
                used[key] += here[i].flow.share
            tops.append(found)
        for i, ribbon in enumerate(here):
            yield ribbon, tops[0][i], tops[1][i]


def _edge(number: int, ribbon: _Ribbon, start: float, end: float) -> list[dict[str, Any]]:
    """Return a ribbon's upper and lower edge: an S that is level where it leaves and where it comes in."""
    left, right = ribbon.column + _HALF_BAR, ribbon.column + 1 - _HALF_BAR
    flow = ribbon.flow
    pairs = "pair" if flow.n == 1 else "pairs"
    told = f"{_flow_words(flow)}: {percent(flow.share, 1)} {percent_interval(flow.interval, 1)}, {flow.n} {pairs}"
    edge = []
    for along in _ALONG:
        top = start + (end - start) * along * along * (3 - 2 * along)
        place = {"x": round(left + (right - left) * along, 4), "y": round(top, 5), "y2": round(top + flow.share, 5)}
        edge.append({"ribbon": number, **place, "colour": ribbon.colour, "flow": told})
    return edge


def _flow_words(flow: Flow) -> str:
    side = f"{flow.side}: " if flow.side else ""
    return f"{words(flow.baseline_outcome)} → {side}{visible(words(flow.pathway))} → {words(flow.new_outcome)}"


def _named(bar: _Bar) -> str:
    return f"{bar.label} {percent(bar.share)}"


def _labels(laid: _Layout, column: int, x: alt.X, y: alt.Y) -> alt.LayerChart:
    bars = list(laid.columns[column].values())
    # At the sides there is little room across, so that the share stands on a line of its own.
    lines = 1 if column == 1 else 2
    apart = _LINE * lines * laid.height / _HEIGHT
    places = spread([(b.top + b.bottom) / 2 for b in bars], apart, apart / 2, laid.height - apart / 2)
    rows = [
        {"x": column, "y": place, "label": f"{b.label}{' ' if lines == 1 else chr(10)}{percent(b.share)}"}
        for b, place in zip(bars, places, strict=True)
    ]
    base = alt.Chart(inline(rows)).encode(x=x, y=y, text="label:N")
    look: dict[str, Any] = {"fontSize": 10 if column == 1 else 11, "baseline": "middle"}
    if column == 1:
        # On ribbons a label needs a light edge to be read.
        edge = base.mark_text(**look, stroke="white", strokeWidth=3, strokeJoin="round")
        chart: alt.LayerChart = edge + base.mark_text(**look, color=INK)
        return chart
    aside: dict[str, Any] = {"align": "right", "dx": -9} if column == 0 else {"align": "left", "dx": 9}
    more: dict[str, Any] = {"lineBreak": "\n", "lineHeight": 13, "dy": -6}
    lone: alt.LayerChart = alt.LayerChart(layer=[base.mark_text(**look, **aside, **more, color=INK)])
    return lone
