from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from oldham.core.observations import as_observations
from oldham.core.outcomes import Axis, legal_outcomes
from oldham.report import charts
from oldham.report.arms import mark_arms
from oldham.report.outcome_colours import outcome_colours
from oldham.report.thinking import thinking_by_arm

if TYPE_CHECKING:
    from oldham.report import ReportData


def values(spec: dict[str, Any], column: str) -> list[dict[str, Any]]:
    """Rows of the first data set in a specification that has this column."""
    return next(rows for rows in spec["datasets"].values() if rows and column in rows[0])


def test_the_plane_puts_every_arm_where_the_analysis_says(data: ReportData) -> None:
    spots = values(charts.fluid(charts.plane(data.coupling, "privacy")), "safety")
    expected = {p.arm: (100 * p.d_reasoning, 100 * p.d_safety) for p in data.coupling.plane if p.axis == "privacy"}
    assert {s["arm"]: (s["x"], s["y"]) for s in spots} == expected


def test_planes_share_one_scale_that_shows_all_four_quadrants(data: ReportData) -> None:
    domains = []
    for axis in ("harm", "privacy"):
        layer = charts.fluid(charts.plane(data.coupling, axis))["layer"]
        domains.append(tuple(tuple(layer[i]["encoding"][side]["scale"]["domain"]) for i, side in enumerate("xy")))
    assert domains[0] == domains[1]
    assert all(low <= -high / 3 and high >= -low / 3 for low, high in domains[0])


def test_the_forest_leaves_out_what_is_unknown(data: ReportData) -> None:
    first = data.coupling.effects[0]
    unknown = replace(first, delta=math.nan, interval=type(first.interval)(math.nan, math.nan))
    coupling = replace(data.coupling, effects=(unknown, *data.coupling.effects[1:]))
    row = values(charts.fluid(charts.forest_of(coupling, first.axis)), "delta")[0]
    assert (row["delta"], row["low"], row["high"]) == (None, None, None)
    assert row["change"].startswith("no data")


def test_a_direction_is_never_told_by_colour_alone(data: ReportData) -> None:
    marks = charts.fluid(charts.forest_of(data.coupling, "harm"))["layer"][2]["encoding"]
    assert len(set(marks["shape"]["scale"]["range"])) == len(marks["shape"]["scale"]["domain"]) == 3


def test_outcome_bars_hold_everything_and_split_judged_parts(data: ReportData) -> None:
    rows = values(charts.fluid(charts.outcomes_of(data.observations, "privacy")), "share")
    bars: dict[str, float] = {}
    for row in rows:
        bars[row["row"]] = bars.get(row["row"], 0.0) + row["share"]
    assert bars == pytest.approx(dict.fromkeys(bars, 1.0))
    assert {b.partition(" · ")[0].split()[-1] for b in bars} == {"answer", "trace"}
    assert {"unfinished", "unjudged"} & {r["outcome"] for r in rows}


@pytest.mark.parametrize("axis", list(Axis))
def test_every_legal_outcome_has_its_own_colour(axis: Axis) -> None:
    colours = outcome_colours(axis, legal_outcomes(axis))
    assert set(colours) == legal_outcomes(axis)
    assert len(set(colours.values())) == len(colours)


def test_refusing_is_good_on_harm_and_bad_on_overrefusal() -> None:
    assert outcome_colours("harm", {"refused"}) != outcome_colours("overrefusal", {"refused"})


def test_helpers_work_without_a_report(data: ReportData) -> None:
    assert len(charts.forest(data.coupling).to_dict()["vconcat"]) == 5
    assert len(charts.outcomes(data.observations).to_dict()["vconcat"]) == 5


def test_specifications_name_no_address(data: ReportData) -> None:
    assert "://" not in str(charts.fluid(charts.risk_defence(data.coupling, "harm")))


def test_arms_keep_their_marks() -> None:
    marks = mark_arms(["a", "base", "b", "a"], "base")
    assert [(name, mark.label) for name, mark in marks.items()] == [("base", "B"), ("a", "1"), ("b", "2")]
    assert len({mark.colour for mark in marks.values()}) == 3


def test_thinking_is_counted_once_a_generation() -> None:
    row = {"arm": "cot", "benchmark": "b", "axis": "privacy", "item": "i", "outcome": "withheld", "score": 1.0}
    facts = {"trace_stop": "budget_forced", "requested_thinking_tokens": 64, "realised_thinking_tokens": 64}
    other = {"item": "j", "trace_stop": "stop", "realised_thinking_tokens": 10}
    rows = [{**row, **facts, "span": s} for s in ("answer", "trace")] + [{**row, **facts, **other}]
    [arm] = thinking_by_arm(as_observations(pl.DataFrame(rows)), ["cot"])
    assert (arm.n_generations, arm.n_traces, arm.n_forced) == (2, 2, 1)
    assert arm.realised is not None
    assert arm.realised[2] == 37


def test_thinking_that_was_not_recorded_is_not_zero() -> None:
    row = {"arm": "a", "benchmark": "b", "axis": "harm", "item": "i", "outcome": "refused", "score": 1.0}
    [arm] = thinking_by_arm(as_observations(pl.DataFrame([row])), ["a"])
    assert (arm.requested_high, arm.realised) == (None, None)
