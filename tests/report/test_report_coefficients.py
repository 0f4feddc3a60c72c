"""Coupling coefficients on the page: a forest, a sentence and a row a family."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from page import read_page

from oldham.coupling.coefficient_text import AS_JUDGED, slope_sentence
from oldham.coupling.results import Interval
from oldham.report import render_report
from oldham.report.arms import mark_arms
from oldham.report.charts import fluid
from oldham.report.coefficients import coefficient_charts

if TYPE_CHECKING:
    from oldham.report import ReportData


def flat(text: str) -> str:
    return " ".join(text.split())


def test_every_family_has_a_sentence_and_a_row(data: ReportData, html: str) -> None:
    page = read_page(html)
    text = flat(page.text)
    section = text[text.index("κ is how many points") : text.index("The Pareto front")]
    assert data.coupling.coefficients
    for c in data.coupling.coefficients:
        assert flat(slope_sentence(c).replace("`", "")) in section
    assert section.count(AS_JUDGED) == 1
    axes = {c.axis for c in data.coupling.coefficients}
    assert {f"kappa-{axis}" for axis in axes} <= {a.get("data-chart") for a in page.all("div")}
    assert "#kappa" in {a.get("href") for a in page.all("a")}


def test_a_rate_is_shown_only_where_it_has_two_ends(data: ReportData) -> None:
    first = data.coupling.coefficients[0]
    told = replace(first, kappa=-1.23, interval=Interval(-2.34, -0.12), has_moved=True, left_out=("sft <b>",))
    endless = replace(first, axis="privacy", kappa=-77.77, interval=Interval(-math.inf, math.inf))
    coupling = replace(data.coupling, coefficients=(told, endless))
    page = read_page(render_report(replace(data, coupling=coupling)))
    text = flat(page.text)
    assert "−1.23[−2.34, −0.12]" in text
    assert "−77.77" not in text
    assert "no rate" in text
    assert "sft <b>" in text


def test_arms_have_their_numbers_and_the_chart_is_told_in_words(data: ReportData) -> None:
    marks = mark_arms(data.arms, data.baseline)
    charts = coefficient_charts(data, marks)
    assert charts
    for name, chart in charts.items():
        spec = fluid(chart)
        axis = name.removeprefix("kappa-")
        arms = {e.arm for c in data.coupling.coefficients if c.axis == axis for e in c.exchange}
        written = json.dumps(spec, ensure_ascii=False)
        assert spec["width"] == "container"
        assert all(f"{marks[arm].label}  {arm}" in written for arm in arms)
        assert spec["description"].startswith(f"Reasoning and {axis}")


def test_without_reasoning_there_is_no_part_for_it(data: ReportData) -> None:
    page = read_page(render_report(replace(data, coupling=replace(data.coupling, coefficients=()))))
    assert "kappa" not in {a["id"] for a in page.all("section")}
    assert "#kappa" not in {a.get("href") for a in page.all("a")}
