from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from page import read_page

from oldham.coupling import Coupling, CouplingOptions, Interval, couple
from oldham.report import charts, render_report

if TYPE_CHECKING:
    from oldham.report import ReportData

HOSTILE = "</script><b>cot</b>\u202e"


@pytest.fixture(scope="module")
def coupling() -> Coupling:
    """Of a design of two factors on two axes: thinking helps reasoning and harms safety, tokens do nothing."""
    rows = [
        {
            "arm": f"{strategy}-{tokens}",
            "factors": json.dumps({"strategy": strategy, "tokens": tokens}),
            "axis": axis,
            "benchmark": axis,
            "item": f"i{i:02d}",
            "outcome": outcome,
            "score": min(1.0, max(0.0, 0.5 + 0.02 * (i % 9 - 4) + gain * (strategy != "direct") * (i % 2))),
        }
        for axis, outcome, gain in (("reasoning", "correct", 0.4), ("harm", "partial", -0.4))
        for strategy, tokens in itertools.product(("direct", HOSTILE), (0, 64))
        for i in range(24)
    ]
    options = CouplingOptions(resamples=400, permutations=400)
    return couple(pl.DataFrame(rows), baseline="direct-0", options=options)


def points_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return next(rows for rows in spec["datasets"].values() if "delta" in rows[0])


def test_main_effects_are_drawn_as_analysed(coupling: Coupling) -> None:
    rows = points_of(charts.fluid(charts.main_effects_of(coupling, "harm")))
    main = [e for e in coupling.factor_effects if e.axis == "harm" and e.with_factor is None]
    assert [(r["delta"], r["low"], r["high"]) for r in rows] == [
        (100 * e.delta, 100 * e.interval.low, 100 * e.interval.high) for e in main
    ]
    assert [r["kind"] for r in rows] == ["clear of zero", "not decided"]
    assert rows[0]["row"] == "strategy: direct → </script><b>cot</b>⟨U+202E⟩"


def test_axes_share_one_scale(coupling: Coupling) -> None:
    specs = [charts.fluid(charts.main_effects_of(coupling, axis)) for axis in ("reasoning", "harm")]
    one, other = (spec["layer"][0]["encoding"]["x"]["scale"]["domain"] for spec in specs)
    assert one == other
    assert one[0] < -20 < 20 < one[1]
    assert len(charts.main_effects(coupling).to_dict()["vconcat"]) == 2


def test_what_is_unknown_is_not_drawn(coupling: Coupling) -> None:
    first, *rest = coupling.factor_effects
    nothing = replace(first, delta=math.nan, interval=Interval(math.nan, math.nan))
    spec = charts.fluid(charts.main_effects_of(replace(coupling, factor_effects=(nothing, *rest)), first.axis))
    assert len(points_of(spec)) == 1


@pytest.mark.thorough
def test_the_report_has_a_part_on_factors_where_there_are_any(data: ReportData, coupling: Coupling, html: str) -> None:
    assert "factors" not in [a["id"] for a in read_page(html).all("section")]
    with_factors = replace(data, coupling=replace(data.coupling, factor_effects=coupling.factor_effects))
    page = read_page(render_report(with_factors))
    order = [a["id"] for a in page.all("section")]
    assert order[order.index("effects") + 1] == "factors"
    assert {"factors-reasoning", "factors-harm"} <= set(json.loads(page.scripts[0][1]))
    assert not page.all("b")
    for effect in coupling.factor_effects:
        assert effect.name.replace("\u202e", "⟨U+202E⟩") in page.text
