from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from page import read_page

from oldham.report import charts, render_report
from oldham.report.arms import mark_arms

if TYPE_CHECKING:
    from oldham.coupling import Pareto
    from oldham.report import ReportData


def values(spec: dict[str, Any], column: str) -> list[dict[str, Any]]:
    return next(rows for rows in spec["datasets"].values() if rows and column in rows[0])


@pytest.fixture
def pareto(data: ReportData) -> Pareto:
    assert data.coupling.pareto is not None
    return data.coupling.pareto


def test_bars_end_where_the_analysis_says_and_the_standing_is_in_words(data: ReportData, pareto: Pareto) -> None:
    spec = charts.fluid(charts.pareto_front(data.coupling, marks=mark_arms(data.arms, data.baseline)))
    rows = values(spec, "share")
    assert [(r["share"], r["alike"], r["standing"]) for r in rows] == [
        (100 * a.membership, 100 * a.membership_if_alike, a.standing) for a in pareto.arms
    ]
    assert spec["layer"][2]["encoding"]["text"]["field"] == "standing"


def test_lines_show_the_losses_and_the_best_is_at_the_top(data: ReportData, pareto: Pareto) -> None:
    spec = charts.fluid(charts.behind_best(data.coupling))
    rows = values(spec, "behind")
    losses = {(a.arm, x.axis): 100 * x.loss for a in pareto.arms for x in a.losses}
    assert {(r["arm"], r["axis"]): r["behind"] for r in rows} == losses
    low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low > max(losses.values())
    assert high < 0


def test_badges_do_not_lie_on_each_other(data: ReportData, pareto: Pareto) -> None:
    spec = charts.fluid(charts.behind_best(data.coupling))
    ends = sorted(r["place"] for r in values(spec, "place"))
    low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    pixels = [(b - a) * spec["height"] / (low - high) for a, b in zip(ends, ends[1:], strict=False)]
    assert len(ends) == len(pareto.arms)
    # A badge of 270 square pixels is 18.5 across.
    assert min(pixels) >= 18.5


def test_the_page_has_the_sentences_tables_and_charts(data: ReportData, pareto: Pareto, html: str) -> None:
    page = read_page(html)
    assert {"pareto-front", "pareto-behind"} <= {a.get("data-chart") for a in page.all("div")}
    assert "The Pareto front" in page.text
    for arm in pareto.arms:
        assert arm.finding.split("`")[2][:40] in page.text
        for loss in arm.losses:
            assert f"[{100 * loss.interval.low:.1f}, {100 * loss.interval.high:.1f}]" in page.text
    assert f"as {100 * pareto.gain:.1f} points on one axis at no cost" in page.text


def test_a_front_of_nobody_gives_reasons_and_no_charts(data: ReportData, pareto: Pareto) -> None:
    nobody = replace(pareto, arms=(), left_out=("cot",), notes=("`cot` is left out of the front: it has no harm.",))
    page = read_page(render_report(replace(data, coupling=replace(data.coupling, pareto=nobody))))
    assert "is left out of the front" in page.text
    assert "pareto-front" not in {a.get("data-chart") for a in page.all("div")}


def test_without_a_second_axis_the_page_has_no_front(data: ReportData) -> None:
    page = read_page(render_report(replace(data, coupling=replace(data.coupling, pareto=None))))
    assert "The Pareto front" not in page.text
    assert "#pareto" not in {a.get("href") for a in page.all("a")}
