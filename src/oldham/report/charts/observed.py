"""What was observed: outcomes and thinking tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from oldham.core.outcomes import Axis
from oldham.report.arms import mark_arms
from oldham.report.charts.parts import FAINT, INK, ROW, WORSE, inline, row_axis, row_name, styled
from oldham.report.outcome_colours import outcome_colours
from oldham.report.text import percent, words
from oldham.report.thinking import thinking_by_arm

if TYPE_CHECKING:
    import polars as pl

    from oldham.report.arms import Marks


def outcomes(observations: pl.DataFrame, *, marks: Marks | None = None) -> alt.VConcatChart:
    """Draw the outcomes on every axis, one axis above the other.

    Args:
        observations: The observation table.
        marks: The arms' order and marks; None numbers them as they come in the table.

    Returns:
        The charts of `outcomes_of`.
    """
    seen = set(observations["axis"].to_list())
    each = (_outcomes(observations, str(a), marks).properties(title=words(a)) for a in Axis if str(a) in seen)
    chart: alt.VConcatChart = alt.vconcat(*each).resolve_scale(color="independent")
    return styled(chart)


def outcomes_of(observations: pl.DataFrame, axis: str, *, marks: Marks | None = None) -> alt.Chart:
    """Draw the share of every outcome on one axis, an arm a bar, good on the left and unknown on the right.

    Args:
        observations: The observation table. A part (answer, trace) that was judged apart gets its own bar.
        axis: The axis.
        marks: The arms' order and marks; None numbers them as they come in the table.

    Returns:
        A stacked bar chart.
    """
    return styled(_outcomes(observations, axis, marks))


def thinking(observations: pl.DataFrame, *, marks: Marks | None = None) -> alt.LayerChart:
    """Draw requested and realised thinking tokens, an arm a row.

    Args:
        observations: The observation table.
        marks: The arms' order and marks; None numbers them as they come in the table.

    Returns:
        A layered chart: 10th to 90th percentile as a line, quartiles as a bar, the median as a tick, the budget asked
        for as a diamond.
    """
    marks = marks or mark_arms(observations["arm"].to_list())
    known = [t for t in thinking_by_arm(observations, list(marks)) if t.realised is not None]
    rows = [
        {
            "row": row_name(t.arm, marks),
            "requested": t.requested_high,
            **{f"q{q}": v for q, v in zip((10, 25, 50, 75, 90), t.realised or (), strict=True)},
        }
        for t in known
    ]
    base = alt.Chart(inline(rows))
    y = row_axis([str(r["row"]) for r in rows])
    tips = [
        alt.Tooltip("requested:Q", title="requested"),
        alt.Tooltip("q50:Q", title="median realised"),
        alt.Tooltip("q25:Q", title="lower quartile"),
        alt.Tooltip("q75:Q", title="upper quartile"),
    ]
    title = alt.Axis(title="thinking tokens of a generation", tickMinStep=1, tickCount=7)
    text = "; ".join(f"{r['row']}: requested {r['requested']}, median realised {r['q50']:.0f}" for r in rows)
    chart: alt.LayerChart = alt.LayerChart(
        layer=[
            base.mark_rule(color=FAINT, strokeWidth=2).encode(x=alt.X("q10:Q", axis=title), x2="q90:Q", y=y),
            base.mark_bar(color="#7fa8c4", size=12).encode(x="q25:Q", x2="q75:Q", y=y, tooltip=tips),
            base.mark_tick(color=INK, thickness=2.5, size=18).encode(x="q50:Q", y=y, tooltip=tips),
            base.mark_point(shape="diamond", size=90, filled=True, color=WORSE, opacity=1).encode(
                x="requested:Q", y=y, tooltip=tips
            ),
        ]
    ).properties(width=520, height=ROW * max(1, len(rows)), description=f"Thinking tokens. {text}.")
    return styled(chart)


def _outcomes(observations: pl.DataFrame, axis: str, marks: Marks | None) -> alt.Chart:
    marks = marks or mark_arms(observations["arm"].to_list())
    frame = observations.filter(observations["axis"] == axis)
    spans = sorted(set(frame["span"].to_list()))
    counts = frame.group_by("arm", "span", "outcome").len().sort("arm", "span", "outcome")
    totals = {(r["arm"], r["span"]): r["len"] for r in frame.group_by("arm", "span").len().iter_rows(named=True)}
    colours = outcome_colours(axis, set(frame["outcome"].to_list()))
    keys = {
        # The part comes before the name: a long name is cut at its end.
        (arm, span): row_name(arm, marks, part=span if len(spans) > 1 else "")
        for arm in marks
        for span in spans
        if (arm, span) in totals
    }
    rows = [
        {
            "row": keys[r["arm"], r["span"]],
            "outcome": words(r["outcome"]),
            "order": list(colours).index(r["outcome"]),
            "share": r["len"] / totals[r["arm"], r["span"]],
            "tip": f"{r['len']} of {totals[r['arm'], r['span']]} ({percent(r['len'] / totals[r['arm'], r['span']])})",
        }
        for r in counts.iter_rows(named=True)
    ]
    scale = alt.Scale(domain=[words(o) for o in colours], range=list(colours.values()))
    text = "; ".join(f"{r['row']}: {r['outcome']} {r['tip']}" for r in rows)
    chart: alt.Chart = (
        alt.Chart(inline(rows))
        .mark_bar(size=18, stroke="white", strokeWidth=1)
        .encode(
            x=alt.X("share:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title="share", format=".0%", tickCount=5)),
            y=row_axis(list(keys.values())),
            color=alt.Color("outcome:N", scale=scale, legend=None),
            order="order:Q",
            tooltip=[alt.Tooltip("row:N"), alt.Tooltip("outcome:N"), alt.Tooltip("tip:N", title="observations")],
        )
        .properties(width=420, height=ROW * max(1, len(keys)), description=f"Outcomes on {words(axis)}. {text}.")
    )
    return chart
