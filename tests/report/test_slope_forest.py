"""The forest of coupling coefficients."""

from __future__ import annotations

import math

from oldham.coupling.results import Interval
from oldham.report.charts.slope_forest import Forest, ForestRow, slope_forest

ROWS = (
    ForestRow("a", -0.5, Interval(-0.8, -0.2), "single", 0.6),
    ForestRow("b", -0.4, Interval(-30.0, 0.9), "single", 0.4),
    ForestRow("c", 40.0, Interval(-math.inf, math.inf), "single"),
    ForestRow("d", math.nan, Interval(math.nan, math.nan), "single"),
    ForestRow("pooled", -0.45, Interval(-0.7, -0.1), "all"),
    ForestRow("another model", math.nan, Interval(-0.9, 0.2), "prediction"),
)


def drawn() -> dict[str, dict[str, object]]:
    spec = slope_forest([Forest("Reasoning and harm", ROWS)]).to_dict()
    chart = spec["vconcat"][0]
    (texts,) = [x for x in chart["layer"] if x["mark"]["type"] == "text"]
    return {row["row"]: row for row in spec["datasets"][texts["data"]["name"]]}


def test_every_row_says_what_it_is() -> None:
    rows = drawn()
    assert [rows[r.name]["said"] for r in ROWS] == [
        "−0.50 [−0.80, −0.20]",
        "−0.40 [−30.00, 0.90]",
        "reasoning moved too little",
        "unknown",
        "−0.45 [−0.70, −0.10]",
        "[−0.90, 0.20]",
    ]


def test_an_end_past_the_drawing_is_cut_and_a_slope_without_ends_has_no_mark() -> None:
    rows = drawn()
    assert (rows["b"]["cut_low"], rows["b"]["cut_high"]) == (True, False)
    assert rows["b"]["low"] == min(float(str(r["low"])) for r in rows.values())
    assert (rows["c"]["drawn"], rows["c"]["value"]) == ("endless", None)
    assert (rows["d"]["drawn"], rows["d"]["value"]) == ("unknown", None)


def test_colour_follows_the_interval_and_size_the_weight() -> None:
    rows = drawn()
    assert rows["a"]["colour"] == rows["pooled"]["colour"] != rows["b"]["colour"]
    assert float(str(rows["a"]["size"])) > float(str(rows["b"]["size"]))
