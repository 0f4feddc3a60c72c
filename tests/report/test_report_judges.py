"""What the report says of its judges, of trace and answer, and of correction."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest
from page import read_page
from synthetic_run import ARMS, GUARD, HARMFUL_MARK, HOSTILE, write_run
from typer.testing import CliRunner

from oldham.cli import app
from oldham.core.errors import ConfigError
from oldham.coupling.results import Tipping
from oldham.report import ReportData, ReportOptions, gather, render_report
from oldham.report.data import DISAGREEMENTS_PER_AXIS, shown_disagreements
from oldham.report.flips import flip_cells
from oldham.report.judges import judge_views, tipping_parts
from oldham.report.panel import panel_view
from oldham.report.stages import shade

if TYPE_CHECKING:
    from pathlib import Path

thorough = pytest.mark.thorough


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("judged") / "run", n_items=24, hostile=HOSTILE, with_judges=True)


@pytest.fixture(scope="module")
def judged(run_dir: Path) -> ReportData:
    return gather(run_dir)


@pytest.fixture(scope="module")
def page_text(judged: ReportData) -> str:
    return flat(read_page(render_report(judged)).text)


@thorough
def test_every_judge_in_use_has_its_entry(judged: ReportData) -> None:
    rules, guard, reader = judge_views(judged)
    assert (rules.label, guard.label, reader.label) == ("rules", GUARD, "trace_reader")
    assert (rules.counts, guard.counts, reader.counts) == (True, False, True)
    assert (guard.model, guard.reads) == ("made:judge", ("answer",))
    rows = judged.observations.filter(pl.col("judge") == GUARD)
    assert guard.n_verdicts == rows.height
    assert guard.n_failed == rows.filter(pl.col("parsed") == "failed").height > 0


@thorough
def test_errors_come_from_the_card_and_only_where_the_judge_is_used(judged: ReportData) -> None:
    rules = judge_views(judged)[0]
    assert [e.kind for e in rules.errors] == ["all", "direct", "thinking"]
    assert [e.kind for e in rules.more_errors] == ["category: made"]
    found = rules.errors[0].found
    assert (found.sensitivity.value, found.specificity.value) == (0.92, pytest.approx(130 / 140))
    assert any("privacy (answer), privacy (trace)" in w for w in rules.warnings)


@thorough
def test_no_card_is_said_loudly(judged: ReportData, page_text: str) -> None:
    reader = judge_views(judged)[2]
    assert not reader.measured
    assert any(w.startswith("No card") for w in reader.warnings)
    assert "trace_reader no card" in page_text


@thorough
def test_what_differs_from_the_card_is_warned_of(judged: ReportData) -> None:
    told = " ".join(judge_views(judged)[1].warnings)
    assert "published with the model `example/Guard-8B`; here it asks `made:judge`" in told
    assert "measured with another prompt." in told
    assert "expect more errors on others" in told
    assert "labels are a model's" in told


@thorough
def test_a_judge_of_another_version_is_warned_of_where_the_manifest_says_nothing(judged: ReportData) -> None:
    told = " ".join(judge_views(replace(judged, manifest={}))[1].warnings)
    assert "measured with another version of the judge" in told
    assert not any("measured with another" in w for w in judge_views(replace(judged, manifest={}))[0].warnings)


@thorough
def test_the_panel_is_laid_out_by_judge(judged: ReportData, page_text: str) -> None:
    view = panel_view(judged, reveal=False)
    assert view is not None
    assert view.judges == ("rules", GUARD)
    assert {row.axis for row in view.effects} == {"harm"}
    assert all(set(row.rates) == {"rules", GUARD} for row in view.rates)
    for pair in judged.coupling.panel.pairs:
        assert f"{100 * pair.agreement:.1f}%" in page_text


@thorough
def test_disputed_texts_are_few_opposed_first_and_from_every_arm(judged: ReportData) -> None:
    (disputed,) = (d for d in (panel_view(judged, reveal=False) or pytest.fail()).disputes if d.axis == "harm")
    assert len(disputed.shown) == min(
        DISAGREEMENTS_PER_AXIS, disputed.n_opposed + disputed.n_named + disputed.n_unscored
    )
    opposed = [one.row.opposed for one in disputed.shown]
    assert opposed == sorted(opposed, reverse=True)
    arms = {d.arm for d in judged.coupling.panel.disagreements if d.opposed}
    assert {one.row.arm for one in disputed.shown} == arms
    assert {one.row.generation for one in disputed.shown} <= set(judged.generations)
    assert [d for d in shown_disagreements(judged.coupling)["harm"]] == [one.row for one in disputed.shown]


@thorough
def test_what_one_judge_calls_harmful_is_withheld_whatever_the_other_says(judged: ReportData) -> None:
    html = render_report(judged)
    assert HARMFUL_MARK not in html
    view = panel_view(judged, reveal=False)
    assert view is not None
    for one in view.disputes[0].shown:
        if "complied_harmful" in one.row.outcomes.values():
            assert one.text.text is None
            assert one.text.withheld
    revealed = panel_view(judged, reveal=True)
    assert revealed is not None
    assert all(one.text.text for one in revealed.disputes[0].shown)


@thorough
def test_a_quotation_by_a_judge_that_saw_no_harm_is_withheld_where_another_saw_it(judged: ReportData) -> None:
    sides = [s for c in flip_cells(judged, reveal=False) for card in c.cards for s in (card.baseline, card.changed)]
    mixed = [
        s for s in sides if {"refused", "complied_harmful"} <= {v.outcome for v in s.verdicts if v.span == "answer"}
    ]
    assert mixed
    words = [v.raw for s in mixed for v in s.verdicts if v.span == "answer" and v.raw.withheld]
    assert words
    assert {w.why for w in words} == {"a judge's words on a harmful completion"}
    assert all(v.raw.text is None for s in mixed for v in s.verdicts if v.span == "answer")


@thorough
def test_trace_and_answer_are_crossed_for_every_arm_that_thinks(judged: ReportData) -> None:
    page = read_page(render_report(judged))
    labels = [str(a.get("aria-label")) for a in page.all("div") if a.get("role") == "region"]
    thinking = [name for name, arm in ARMS.items() if arm.thinks]
    assert [n for n in thinking if f"Trace and answer on harm, {n}" in labels] == thinking
    assert "Trace and answer on harm, direct" not in labels
    assert "Stages in traces, harm" in labels
    assert "Stages in traces, privacy" not in labels
    table = next(t for t in judged.coupling.stages if (t.axis, t.arm) == ("harm", "sft_180"))
    assert f"{100 * table.shares['unsafe']:.0f}%" in flat(page.text)


@thorough
def test_raw_and_corrected_stand_side_by_side_or_say_why_not(judged: ReportData, page_text: str) -> None:
    corrected = [e.corrected for e in judged.coupling.effects if e.corrected is not None]
    assert corrected
    for one in corrected:
        assert one.basis.replace("`", "") in page_text.replace("`", "")
        assert math.isnan(one.value) or f"{abs(100 * one.value):.1f}" in page_text


@thorough
def test_a_run_without_cards_traces_or_judges_has_a_valid_page(judged: ReportData) -> None:
    bare = replace(
        judged,
        observations=judged.observations.with_columns(pl.lit(None, pl.String).alias("judge")).unique(
            ["arm", "axis", "benchmark", "item", "span"], maintain_order=True
        ),
        coupling=replace(judged.coupling, stages=(), panel=type(judged.coupling.panel)((), (), (), ())),
        cards={},
        manifest={},
    )
    parts = [a["id"] for a in read_page(render_report(bare)).all("section")]
    assert not {"stages", "judges"} & set(parts)
    nothing = replace(
        judged.coupling,
        effects=tuple(replace(e, corrected=None, tipping=None) for e in judged.coupling.effects),
        rates=tuple(replace(r, corrected=None) for r in judged.coupling.rates),
    )
    text = read_page(render_report(replace(judged, coupling=nothing, cards={}))).text
    assert "Nothing in this report is corrected for judge error." in text


@thorough
def test_the_page_can_still_be_read_by_ear_and_holds_no_markup_of_others(judged: ReportData) -> None:
    page = read_page(render_report(judged, ReportOptions(reveal=True)))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    assert not page.all("img")
    hrefs = {str(a["href"]) for a in page.all("a")}
    assert {"#judges", "#stages"} <= hrefs <= {f"#{a['id']}" for a in page.all("section")}


@thorough
def test_the_verdicts_of_a_named_judge_count(run_dir: Path, judged: ReportData) -> None:
    by_guard = gather(run_dir, judge=GUARD)
    harm = {e.arm: e.delta for e in by_guard.coupling.effects if e.axis == "harm"}
    assert harm == {e.arm: e.delta for e in judged.coupling.panel.effects if e.judge == GUARD}
    assert set(by_guard.counted.filter(axis="harm", span="answer")["judge"]) == {GUARD}
    assert f"In this copy the verdicts of {GUARD} count" in flat(read_page(render_report(by_guard)).text)
    with pytest.raises(ConfigError, match="No verdict is by the judge `gard`"):
        gather(run_dir, judge="gard")


@thorough
def test_the_command_writes_a_named_judge_s_report_beside_the_plain_one(run_dir: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(run_dir), "--judge", GUARD])
    assert result.exit_code == 0, result.output
    assert (run_dir / "report-by-guard-made-judge.html").is_file()
    assert not (run_dir / "report.html").exists()


@thorough
def test_outcomes_and_counts_take_one_verdict_a_trial(judged: ReportData) -> None:
    specs = json.loads(read_page(render_report(judged)).scripts[0][1])
    rows = next(iter(specs["outcomes-harm"]["datasets"].values()))
    answers = [r for r in rows if r["row"].endswith("answer · direct")]
    assert sum(int(r["tip"].split()[0]) for r in answers) == 24


@pytest.mark.parametrize(
    ("error", "doubt", "said"),
    [
        (0.12, 0.031, ("12 more of 100 truly safe answers", "in doubt from 3 of 100")),
        (0.12, 0.0, ("12 more of 100 truly safe answers", "in doubt as it stands")),
        (1.2, 0.5, ("no number of truly safe answers would do", "in doubt from 50 of 100")),
        (1.2, 1.1, ("no number of truly safe answers would do", "never in doubt")),
        (0.12, math.nan, ("12 more of 100 truly safe answers", "")),
        (0.004, 0.001, ("under 1 more of 100 truly safe answers", "in doubt from under 1 of 100")),
        (math.nan, math.nan, ("", "")),
    ],
)
def test_a_tipping_point_is_told_in_words(error: float, doubt: float, said: tuple[str, str]) -> None:
    assert tipping_parts(Tipping(error, doubt, "good"), "harm") == said


def test_without_a_tipping_point_nothing_is_said() -> None:
    assert tipping_parts(None, "harm") == ("", "")


def test_a_larger_share_has_a_stronger_shade_and_an_unknown_one_none() -> None:
    def strength(share: float) -> float:
        return float(shade(share, "leak").split("/")[1].rstrip(")"))

    assert 0 < strength(0.0) < strength(0.5) < strength(1.0) < 0.6
    assert shade(math.nan, "leak") == ""
