from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page import read_page

from oldham.coupling import Interval
from oldham.coupling.pathway_results import Flow
from oldham.report import charts, render_report
from oldham.report.arms import mark_arms
from oldham.report.charts.spacing import spread
from oldham.report.outcome_colours import outcome_colours
from oldham.report.pathways import DRAWN, pathway_views

if TYPE_CHECKING:
    from oldham.coupling.pathway_results import Pathways
    from oldham.report import ReportData

Rows = list[dict[str, Any]]


def layers(entry: Pathways) -> tuple[Rows, Rows, list[Rows], dict[str, Any]]:
    """Return the ribbons, the bars, the labels of the three columns, and the specification."""
    spec = charts.fluid(charts.alluvial(entry))

    def rows(layer: dict[str, Any]) -> Rows:
        named: Rows = spec["datasets"][layer["data"]["name"]]
        return named

    ribbons, bars, *labels = spec["layer"]
    return rows(ribbons), rows(bars), [rows(of if "data" in of else of["layer"][0]) for of in labels], spec


@pytest.fixture
def entry(data: ReportData) -> Pathways:
    return max(data.coupling.pathways.entries, key=lambda e: len(e.flows))


def test_every_column_adds_up_to_all_items(entry: Pathways) -> None:
    _, bars, _, _ = layers(entry)
    for column in (0, 1, 2):
        here = [b for b in bars if b["x"] < column < b["x2"]]
        assert sum(b["y2"] - b["y"] for b in here) == pytest.approx(1)
    first = {b["bar"].rpartition(" ")[0]: b["y2"] - b["y"] for b in bars if b["x"] < 0}
    wanted: dict[str, float] = {}
    for flow in entry.flows:
        name = flow.baseline_outcome.replace("_", " ")
        wanted[name] = wanted.get(name, 0.0) + flow.share
    assert first == pytest.approx(wanted)


def test_ribbons_are_as_wide_as_their_share_and_as_coloured_as_their_outcome(entry: Pathways) -> None:
    ribbons, _, _, _ = layers(entry)
    colours = outcome_colours(entry.axis, {o for f in entry.flows for o in (f.baseline_outcome, f.new_outcome)})
    flows = [f for f in entry.flows if f.share > 0]
    for i, flow in enumerate([*flows, *flows]):
        edge = [r for r in ribbons if r["ribbon"] == i]
        for r in edge:
            assert r["y2"] - r["y"] == pytest.approx(flow.share, abs=2e-5)
        outcome = flow.baseline_outcome if i < len(flows) else flow.new_outcome
        assert {r["colour"] for r in edge} == {colours[outcome]}
        assert edge[0]["flow"].endswith(f"{flow.n} pair{'' if flow.n == 1 else 's'}")


def test_ribbons_fill_their_bars_without_lying_on_each_other(entry: Pathways) -> None:
    ribbons, bars, _, _ = layers(entry)
    for bar in bars:
        for side in ("x", "x2"):
            ends = sorted((r["y"], r["y2"]) for r in ribbons if r["x"] == pytest.approx(bar[side], abs=1e-3))
            inside = [e for e in ends if bar["y"] - 1e-4 <= e[0] and e[1] <= bar["y2"] + 1e-4]
            assert all(low[1] <= high[0] + 1e-4 for low, high in zip(inside, inside[1:], strict=False))
            if inside:
                assert sum(high - low for low, high in inside) == pytest.approx(bar["y2"] - bar["y"], abs=1e-3)


def crowded(entry: Pathways) -> Pathways:
    """An entry in which every bar but one is a hair."""
    old = ("refused", "partial", "complied_safe", "complied_harmful", "incoherent")
    names = ("competence", "erosion", "rationalisation", "cliff", "leak", "format", "unclear")
    nothing = Interval(0.0, 0.1)
    thin = [Flow(old[i % 5], "risk", n, old[(i + 1) % 5], 0.005, nothing, 1) for i, n in enumerate(names)]
    rest = 1 - sum(f.share for f in thin)
    return replace(entry, axis="harm", flows=(Flow("refused", None, "no_flip", "refused", rest, nothing, 99), *thin))


@pytest.mark.parametrize("is_crowded", [False, True])
def test_labels_do_not_lie_on_each_other(entry: Pathways, is_crowded: bool) -> None:
    _, _, labels, spec = layers(crowded(entry) if is_crowded else entry)
    height = spec["layer"][0]["encoding"]["y"]["scale"]["domain"][0]
    for rows in labels:
        lines = 1 + max(r["label"].count("\n") for r in rows)
        pixels = sorted(r["y"] * spec["height"] / height for r in rows)
        assert all(b - a >= 13 * lines for a, b in zip(pixels, pixels[1:], strict=False))
        assert pixels[0] >= 6 * lines
        assert pixels[-1] <= spec["height"] - 6 * lines


@given(st.lists(st.floats(-1, 11), max_size=9), st.floats(0.1, 3))
def test_places_are_kept_apart_and_within_the_line(places: list[float], apart: float) -> None:
    moved = spread(places, apart, 0.0, 10.0)
    assert all(-1e-9 <= m <= 10 + 1e-9 for m in moved)
    room = min(apart, 10 / max(1, len(places) - 1))
    order = sorted(moved)
    assert all(b - a >= room - 1e-9 for a, b in zip(order, order[1:], strict=False))
    # The order stays, and whoever has room does not move.
    assert [i for i, _ in sorted(enumerate(moved), key=lambda m: m[1])] == sorted(
        range(len(places)), key=lambda i: places[i]
    )
    if all(abs(a - b) >= apart for i, a in enumerate(places) for b in places[:i]) and all(0 <= p <= 10 for p in places):
        assert moved == pytest.approx(places)


def test_places_in_a_heap_stand_around_their_mean() -> None:
    assert spread([5.0, 5.0, 5.0, 9.0], 1.0, 0.0, 10.0) == pytest.approx([4.0, 5.0, 6.0, 9.0])


def test_the_page_draws_every_arm_and_has_a_row_for_every_flow(data: ReportData, html: str) -> None:
    page = read_page(html)
    drawn = {a.get("data-chart") for a in page.all("div")}
    views = pathway_views(data, mark_arms(data.arms, data.baseline))
    assert {v.axis for v in views} == {"harm", "privacy"}
    assert {name for v in views for _, name in v.drawn} <= drawn
    for view in views:
        for entry in view.entries:
            assert sum(f.share for f in entry.flows) == pytest.approx(1)
            for flow in entry.flows:
                low, high = flow.interval
                assert f"[{100 * low:.1f}, {100 * high:.1f}]%" in page.text
    assert all(meaning in page.text for v in views for _, meaning in v.meanings)


def test_more_arms_than_are_drawn_stay_in_the_table(data: ReportData) -> None:
    table = data.coupling.pathways
    [one, *_] = (e for e in table.entries if e.axis == "harm")
    entries = tuple(replace(one, arm=f"arm-{i:02d}") for i in range(DRAWN + 2))
    coupling = replace(data.coupling, pathways=replace(table, entries=entries))
    [view] = pathway_views(replace(data, coupling=coupling), mark_arms([e.arm for e in entries]))
    assert (len(view.drawn), view.n_hidden, len(view.entries)) == (DRAWN, 2, DRAWN + 2)


def test_without_pairs_there_is_no_section(data: ReportData) -> None:
    coupling = replace(data.coupling, pathways=replace(data.coupling.pathways, entries=()))
    page = read_page(render_report(replace(data, coupling=coupling)))
    assert "#pathways" not in {a.get("href") for a in page.all("a")}
