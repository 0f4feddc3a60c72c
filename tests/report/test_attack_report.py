"""The part on attacks: what is told of a ladder whose numbers are known."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from page import Page, read_page

from oldham.core.observations import as_observations
from oldham.coupling import CouplingOptions, Interval, couple
from oldham.coupling.attack_text import interaction_finding, is_confirmed
from oldham.report import ReportData, attacks, charts, facts, render_report, summary
from oldham.report.text import foldable, name_parts
from oldham.report.thinking import thinking_by_arm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oldham.coupling.attack_results import AttackLadder

HOSTILE = "</script><b>x</b>\u202e+prefill[tokens=9]"
BAD = {
    "none": (4, 5, 4),
    "prefill[tokens=2]": (10, 30, 10),
    "prefill": (20, 36, 20),
    "base64": (6, 8, 6),
    "distractor_padding": (9, 12, 9),
    "distractor_padding[words=50]": (8, 10, 8),
    "filler_padding": (5, 5, 5),
    "filler_padding[words=50]": (5, 5, 5),
    "never_close": (4, 5, 4),
    HOSTILE: (30, 31, 30),
}
"""Harmful answers of 40 under direct, cot and plan; only `prefill` gains under cot."""
DOSES = {
    "prefill[tokens=2]": ("prefill", 2.0),
    "prefill": ("prefill", 5.0),
    **{f"{name}_padding": (f"{name}_padding", 500.0) for name in ("distractor", "filler")},
    **{f"{name}_padding[words=50]": (f"{name}_padding", 50.0) for name in ("distractor", "filler")},
}
ARMS = ("direct", "cot", "plan")


def rows(draws: int = 2) -> Iterator[dict[str, object]]:
    for attack, n_bad in BAD.items():
        for arm, n in zip(ARMS, n_bad, strict=True):
            if (attack, arm) == ("base64", "plan"):
                continue
            for i in range(40):
                for draw in range(draws):
                    lost = attack == "base64" and arm == "cot" and i < 3
                    outcome = "unfinished" if lost else "complied_harmful" if i < n else "refused"
                    yield {
                        **{"arm": arm, "axis": "harm", "benchmark": "harmful", "item": f"i{i:02d}", "draw": draw},
                        **{"attack": attack, "outcome": outcome, "score": None if lost else float(i >= n)},
                        "technique": DOSES.get(attack, (attack, None))[0],
                        "attack_dose": DOSES.get(attack, (attack, None))[1],
                        "generation": f"{arm}-{attack}-{i}-{draw}",
                        "thinking_state": "none" if arm == "direct" else "open_in_prompt",
                        "trace_stop": None if arm == "direct" else "stop",
                        "trace_tokens": 0 if arm == "direct" else 40 + i + 100 * (attack == "never_close"),
                        "realised_thinking_tokens": 0 if arm == "direct" else 40 + 100 * (attack == "never_close"),
                    }


def made(table: pl.DataFrame) -> ReportData:
    observations = as_observations(table)
    coupling = couple(observations, baseline="direct", options=CouplingOptions(resamples=400, permutations=400))
    return ReportData({}, "", {}, "direct", ARMS, observations, coupling, {})


@pytest.fixture(scope="module")
def attacked() -> ReportData:
    return made(pl.DataFrame(list(rows()), infer_schema_length=None))


@pytest.fixture(scope="module")
def ladder(attacked: ReportData) -> AttackLadder:
    assert attacked.coupling.attacks is not None
    return attacked.coupling.attacks


@pytest.fixture(scope="module")
def harm(attacked: ReportData) -> attacks.AttackAxis:
    (axis,) = attacks.attack_axes(attacked)
    return axis


@pytest.fixture(scope="module")
def page(attacked: ReportData) -> Page:
    return read_page(render_report(attacked))


def spots(chart: Any, column: str) -> list[dict[str, Any]]:
    return next(rows for rows in charts.fluid(chart)["datasets"].values() if rows and column in rows[0])


def flat(text: str) -> str:
    return " ".join(text.split())


def test_confirmed_interactions_come_first_and_the_three_largest_are_told(
    harm: attacks.AttackAxis, ladder: AttackLadder
) -> None:
    confirmed = [c for c in ladder.interactions if is_confirmed(c)]
    assert {c.attack for c in confirmed} == {"prefill", "prefill[tokens=2]"}
    assert {c.arm for c in confirmed} == {"cot"}
    n_tests = sum(not math.isnan(c.change.p_value) for c in ladder.interactions)
    assert [say for way, say in harm.told if way == "worse"][:2] == [
        interaction_finding(c, n_tests=n_tests) for c in confirmed
    ]
    assert len([say for _, say in harm.told if "traces" not in say]) == 3


def test_a_change_of_one_item_is_not_among_the_largest(attacked: ReportData, ladder: AttackLadder) -> None:
    first, *others = ladder.interactions
    alone = replace(first.change, delta=2.0, interval=Interval(math.nan, math.nan), p_holm=math.nan, n_items=1)
    told = replace(ladder, interactions=(replace(first, attack="base64", change=alone), *others))
    (axis,) = attacks.attack_axes(replace(attacked, coupling=replace(attacked.coupling, attacks=told)))
    assert not any("single cluster" in say for _, say in axis.told)


def test_many_confirmed_interactions_are_folded_not_lost(attacked: ReportData, ladder: AttackLadder) -> None:
    sure = next(c for c in ladder.interactions if is_confirmed(c))
    told = replace(ladder, interactions=(sure,) * 14)
    (axis,) = attacks.attack_axes(replace(attacked, coupling=replace(attacked.coupling, attacks=told)))
    assert len([1 for _, say in axis.told if "gained" in say]) == attacks.FOLDED
    assert len(axis.more) == 14 - attacks.FOLDED


def test_attacks_stand_in_the_order_of_what_they_do_in_the_baseline(
    harm: attacks.AttackAxis, ladder: AttackLadder
) -> None:
    shares = [row.boxes["direct"].cell.bad_share for row in harm.rows]
    assert shares == sorted(shares, reverse=True)
    assert harm.free is not None
    assert {harm.free.attack, *(row.attack for row in harm.rows)} == set(BAD)
    unknown = [replace(c, bad_share=math.nan) if c.attack == HOSTILE else c for c in ladder.cells]
    assert attacks.ranked_attacks(replace(ladder, cells=tuple(unknown)), "harm")[-1] == HOSTILE


def test_a_box_holds_what_the_analysis_says(harm: attacks.AttackAxis, ladder: AttackLadder) -> None:
    row = next(row for row in harm.rows if row.attack == "prefill")
    assert [row.boxes[arm].direction for arm in ARMS] == ["none", "worse", "open"]
    assert row.boxes["cot"].cell.bad_share == pytest.approx(0.9)
    power = next(c.change for c in ladder.powers if (c.attack, c.arm) == ("prefill", "cot"))
    assert row.boxes["cot"].power == power
    assert power.delta == pytest.approx(31 / 40)
    assert row.boxes["direct"].change is None
    assert "plan" not in next(row for row in harm.rows if row.attack == "base64").boxes


@pytest.mark.parametrize(
    ("delta", "low", "high", "p", "wanted"),
    [
        (0.2, 0.1, 0.3, 0.01, "worse"),
        (-0.2, -0.3, -0.1, 0.01, "better"),
        (0.2, 0.1, 0.3, 0.2, "perhaps-worse"),
        (-0.2, -0.3, -0.1, 0.2, "perhaps-better"),
        (0.2, -0.1, 0.3, 0.01, "open"),
        (math.nan, math.nan, math.nan, math.nan, "none"),
    ],
)
def test_more_is_worse(delta: float, low: float, high: float, p: float, wanted: str, ladder: AttackLadder) -> None:
    change = replace(ladder.powers[0].change, delta=delta, interval=Interval(low, high), p_holm=p)
    assert attacks.direction_of(change) == wanted


def test_several_tries_stand_apart(harm: attacks.AttackAxis) -> None:
    assert harm.ks == (1, 2)
    assert len(harm.tries) == 29
    single = made(pl.DataFrame(list(rows(draws=1)), infer_schema_length=None))
    (axis,) = attacks.attack_axes(single)
    assert (axis.tries, axis.survival) == ((), ())


def test_costs_are_those_of_arms_that_think(harm: attacks.AttackAxis) -> None:
    assert [(c.attack, c.arm) for c in harm.costs] == [("never_close", "cot"), ("never_close", "plan")]
    assert harm.costs[0].change.delta == 100
    assert any("made traces 100 tokens longer" in say for _, say in harm.told)
    assert {c.arm for c in harm.other_costs} == {"cot", "plan"}


def test_a_control_stands_in_the_chart_of_its_technique(ladder: AttackLadder) -> None:
    curves = {c.technique: c.control for c in attacks.dose_curves(ladder, "harm")}
    assert curves == {"distractor_padding": "filler_padding", "prefill": None}
    spec = charts.fluid(charts.dose_curve(ladder, "harm", "distractor_padding"))
    points = [rows for rows in spec["datasets"].values() if rows and "dose" in rows[0]]
    assert {r["attack"].partition("[")[0] for rows in points for r in rows} == {"distractor_padding", "filler_padding"}
    assert spec["layer"][0]["encoding"]["x"]["axis"]["title"] == "words"
    assert "Dashed: filler_padding." in spec["description"]


def test_the_chart_draws_the_cells_as_analysed(ladder: AttackLadder) -> None:
    drawn = spots(charts.attack_shares(ladder, "harm"), "share")
    cells = {(c.attack, c.arm): c for c in ladder.cells}
    assert len(drawn) == len(cells) == 29
    assert [s["row"] for s in drawn[:3]] == ["no attack"] * 3
    (one,) = [s for s in drawn if (s["attack"], s["arm"]) == ("prefill", "cot")]
    cell = cells["prefill", "cot"]
    assert (one["share"], one["low"], one["high"]) == (cell.bad_share, *cell.interval)
    unknown = tuple(replace(c, bad_share=math.nan) if c.arm == "cot" else c for c in ladder.cells)
    assert len(spots(charts.attack_shares(replace(ladder, cells=unknown), "harm"), "share")) == 19


def test_many_attacks_stand_in_two_charts(ladder: AttackLadder) -> None:
    (home, *others) = [c for c in ladder.cells if c.attack in {"none", "base64"} and c.arm == "direct"]
    names = [f"a{i:02d}" for i in range(30)]
    cells = (home, *(replace(others[0], attack=name) for name in names))
    parts = attacks.share_charts(replace(ladder, cells=cells, attacks=tuple(names)), "harm")
    assert list(parts) == ["attacks-harm-0", "attacks-harm-1"]
    assert [name for part in parts.values() for name in part] == names
    assert len(attacks.share_charts(ladder, "harm")) == 1


def test_a_name_folds_between_its_parts_and_is_never_changed() -> None:
    assert name_parts("persona+prefill[tokens=10]") == ["persona+", "prefill", "[tokens=10]"]
    assert foldable("a+<b>[x=1]") == "a+<wbr/>&lt;b&gt;<wbr/>[x=1]"
    assert "".join(name_parts(HOSTILE)) == HOSTILE
    assert summary.labels_told([str(i) for i in range(9)]) == ["0", "1", "2", "3", "4", "4 more"]


def test_all_other_parts_are_about_the_items_as_they_are(attacked: ReportData) -> None:
    plain = made(pl.DataFrame(list(rows()), infer_schema_length=None).filter(pl.col("attack") == "none"))
    assert facts.counts(attacked) == facts.counts(plain)
    assert summary.missing_notice(attacked) == summary.missing_notice(plain) == ""
    assert (summary.as_they_are(plain), attacks.attack_axes(plain)) == ("", [])
    assert set(attacked.unattacked["attack"].to_list()) == {"none"}
    assert thinking_by_arm(attacked.unattacked, ARMS) == thinking_by_arm(plain.observations, ARMS)
    assert attacked.counted.height > attacked.unattacked.height == 240


def gappy() -> ReportData:
    """Of 40 items `prefill` breaks 2 under direct and 20 under cot; half of what `base64` gets has no score.

    `pair` is a search and was asked of the first 30 items alone.
    """
    table = []
    for arm, n_bad in (("direct", 2), ("cot", 20)):
        for attack in ("none", "prefill", "base64", "pair"):
            for i in range(30 if attack == "pair" else 40):
                lost = attack == "base64" and i >= 20
                bad = attack == "prefill" and i < n_bad
                outcome = "unfinished" if lost else "complied_harmful" if bad else "refused"
                table.append(
                    {
                        **{"arm": arm, "axis": "harm", "benchmark": "harmful", "item": f"i{i:02d}", "draw": 0},
                        **{"attack": attack, "outcome": outcome, "score": None if lost else float(not bad)},
                        "queries": 2 + i % 4 if attack == "pair" else None,
                        "generation": f"{arm}-{attack}-{i}",
                    }
                )
    observations = as_observations(pl.DataFrame(table, infer_schema_length=None))
    coupling = couple(observations, baseline="direct", options=CouplingOptions(resamples=400, permutations=400))
    return ReportData({}, "", {}, "direct", ("direct", "cot"), observations, coupling, {})


def test_what_the_missing_could_undo_is_not_decided_and_other_items_are_marked() -> None:
    data = gappy()
    (axis,) = attacks.attack_axes(data)
    boxes = {arm: axis.worst[arm] for arm in ("direct", "cot")}
    assert [box.direction for box in boxes.values()] == ["none", "open"]
    worst = boxes["cot"].worst
    assert worst.change is not None
    assert (worst.change.delta, worst.change.n_items, worst.n_apart) == (18 / 20, 20, 0)  # known on both sides
    assert boxes["direct"].change == ""
    assert boxes["cot"].change.startswith("−5 to +95 [−")
    assert (worst.change_bound_low, worst.change_bound_high) == pytest.approx(((18 - 20) / 40, 38 / 40))
    assert boxes["cot"].tries == "3 attacks, 2 on some items: 2 of one try, 1 search of 2 to 5 queries"
    marks = {row.attack: {box.mark for box in row.boxes.values()} for row in axis.all_rows}
    assert marks == {"none": {""}, "prefill": {""}, "base64": {""}, "pair": {"*"}}
    assert [note[:13] for note in axis.notes] == ["* Other items"]


def bounded() -> ReportData:
    """Of 40 items 6 break under direct; under cot those are unknown and 8 others break: 2 more at least.

    Three items were asked under cot alone.
    """
    table = []
    for arm, broken, lost in (("direct", range(6), range(0)), ("cot", range(6, 14), range(6))):
        for attack in ("prefill", "base64"):
            for i in range(40 if arm == "direct" else 43):
                is_lost = attack == "base64" and i in lost
                is_bad = attack == "prefill" and i in broken
                table.append(
                    {
                        **{"arm": arm, "axis": "harm", "benchmark": "harmful", "item": f"i{i:02d}", "attack": attack},
                        "outcome": "unfinished" if is_lost else "complied_harmful" if is_bad else "refused",
                        "score": None if is_lost else float(not is_bad),
                    }
                )
    return made(pl.DataFrame(table, infer_schema_length=None))


def test_a_change_of_the_worst_is_decided_by_what_is_possible_and_by_sampling() -> None:
    data = replace(bounded(), arms=("direct", "cot"))
    (axis,) = attacks.attack_axes(data)
    box = axis.worst["cot"]
    assert (box.worst.change_bound_low, box.worst.change_bound_high) == pytest.approx((2 / 40, 8 / 40))
    assert box.direction == "open"
    assert box.change.startswith("+5 to +20 [−")
    text = flat(read_page(render_report(data)).text)
    assert "34 items known on both sides, 6 not3 items attacked in one of the two arms only" in text


@pytest.mark.thorough
def test_the_page_says_what_is_sure_of_the_worst_and_what_is_possible() -> None:
    text = flat(read_page(render_report(gappy())).text)
    (row,) = re.findall(r"worst of 3 attacks(.*?)prefill", text)
    tries = "3 attacks, 2 on some items: 2 of one try, 1 search of 2 to 5 queries"
    assert f"5% [1, 69]%for sure, at most 55%40 items, 20 unknown{tries}" in row
    assert f"50% [35, 100]%for sure, at most 100%40 items, 20 unknown{tries}against the baseline: −5 to +95 [−" in row
    assert "20 items known on both sides, 20 not" in row
    assert "1 try" not in row
    assert "0% [0, 11]%*" in text
    assert "* Other items or benchmarks than without an attack in the same arm" in text


@pytest.mark.thorough
def test_the_report_has_a_part_on_attacks_where_there_are_any(page: Page, html: str, harm: attacks.AttackAxis) -> None:
    assert "attacks" not in [a["id"] for a in read_page(html).all("section")]
    assert "#attacks" not in [a.get("href") for a in read_page(html).all("a")]
    sections = [a["id"] for a in page.all("section")]
    assert sections.index("risk") < sections.index("attacks") < sections.index("flips")
    text = flat(page.text)
    for _, say in harm.told:
        assert flat(say.replace("`", "").replace("\u202e", "⟨U+202E⟩")) in text
    assert "Read from the items as they are, without an attack." in text
    assert "37 items · 6/80 unscored" in text


@pytest.mark.thorough
def test_every_chart_of_the_page_has_its_specification(page: Page) -> None:
    wanted = {a["data-chart"] for a in page.all("div") if "data-chart" in a}
    specs = json.loads(page.scripts[0][1])
    assert wanted == set(specs) - {"plane-harm"}
    assert {"attacks-harm-0", "doses-harm-0", "doses-harm-1"} <= wanted
    assert "://" not in page.scripts[0][1]


@pytest.mark.thorough
def test_names_of_attacks_stay_text(page: Page) -> None:
    assert not page.all("b")
    assert len(page.scripts) == 3
    assert "\u202e" not in page.text
    assert "⟨U+202E⟩" in page.text


@pytest.mark.thorough
def test_every_table_says_what_it_is_and_every_row_has_a_header(page: Page) -> None:
    regions = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert len(regions) == len(page.all("table")) == len(page.all("caption"))
    assert all(a.get("aria-label") and a.get("tabindex") == "0" for a in regions)
    assert all(a.get("scope") in {"row", "col"} for a in page.all("th"))


@pytest.mark.thorough
def test_a_share_that_nobody_knows_is_no_number(attacked: ReportData, ladder: AttackLadder) -> None:
    nothing = Interval(math.nan, math.nan)
    lost = tuple(
        replace(c, bad_share=math.nan, interval=nothing, severity=math.nan, n_items=0) if c.attack == "base64" else c
        for c in ladder.cells
    )
    empty = tuple(replace(w, share=math.nan, interval=nothing, n_items=0) for w in ladder.worst)
    told = replace(ladder, cells=lost, worst=empty)
    page = read_page(render_report(replace(attacked, coupling=replace(attacked.coupling, attacks=told))))
    assert not re.search(r"\bnan\b", page.text)
    assert page.text.count("no data") >= len(empty) + sum(c.attack == "base64" for c in lost)
