from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest
from page import Page, read_page
from synthetic_run import HARMFUL_MARK, HOSTILE

from oldham.coupling.flip_pairs import FlipPairs
from oldham.report import ReportData, render_report, summary
from oldham.report.flips import chosen, flip_cells
from oldham.report.text import visible

if TYPE_CHECKING:
    from oldham.coupling import FlipPair

pytestmark = pytest.mark.thorough


def flat(text: str) -> str:
    return " ".join(text.split())


def test_parts_come_in_the_order_of_the_argument(html: str) -> None:
    parts = [a["id"] for a in read_page(html).all("section")]
    before = ["found", "plane", "kappa", "pareto", "effects", "outcomes", "risk", "pathways"]
    after = ["flips", "thinking", "facts", "reading"]
    assert parts == [*before, "stages", "judges", *after]


def test_every_finding_and_caveat_is_told(html: str, data: ReportData) -> None:
    text = flat(read_page(html).text)
    for told in [*(e.finding for e in data.coupling.effects), *data.coupling.caveats]:
        assert flat(told.replace("`", "")) in text.replace("`", "")


def test_the_most_important_finding_comes_first(data: ReportData) -> None:
    groups = summary.findings(data)
    assert groups[0].arm == "sft_180"
    assert groups[0].decided[0][0] == "worse"
    assert "harmful" in groups[0].decided[0][1]


def test_an_effect_the_test_does_not_confirm_is_marked_as_such(data: ReportData) -> None:
    effect = next(e for e in data.coupling.effects if summary.direction(e) == "worse")
    assert summary.direction(replace(effect, p_holm=0.2)) == "perhaps-worse"
    assert summary.direction(replace(effect, interval=type(effect.interval)(-0.5, 0.1))) == "open"
    assert summary.direction(replace(effect, delta=math.nan)) == "none"


def test_model_text_stays_text(html: str) -> None:
    page = read_page(html)
    assert not page.all("img")
    assert "{{ 7 * 7 }}" in page.text
    assert visible(HOSTILE) in page.text
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert len(page.scripts) == 3


def test_no_control_or_direction_character_reaches_the_page(html: str) -> None:
    outside_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert visible(outside_scripts) == outside_scripts


def test_hostile_names_cannot_leave_the_chart_data(data: ReportData) -> None:
    name = "</script><script>alert(1)</script>\u202e"
    pareto, pathways = data.coupling.pareto, data.coupling.pathways
    assert pareto is not None
    front = [replace(a, arm=name if a.arm == "cot" else a.arm, rival=name if a.rival else None) for a in pareto.arms]
    entries = [replace(e, arm=name) if e.arm == "cot" else e for e in pathways.entries]
    renamed = replace(
        data,
        arms=tuple(name if a == "cot" else a for a in data.arms),
        observations=data.observations.with_columns(pl.col("arm").replace("cot", name)),
        coupling=replace(
            data.coupling,
            **{
                field: tuple(replace(r, arm=name) if r.arm == "cot" else r for r in getattr(data.coupling, field))
                for field in ("rates", "effects", "flips", "plane", "stages")
            },
            flip_pairs=FlipPairs(data.coupling.flip_pairs.frame.with_columns(pl.col("arm").replace("cot", name))),
            pareto=replace(pareto, arms=tuple(front)),
            pathways=replace(pathways, entries=tuple(entries)),
            coefficients=tuple(
                replace(
                    c,
                    arms=tuple(name if a == "cot" else a for a in c.arms),
                    left_out=(name,),
                    exchange=tuple(replace(e, arm=name if e.arm == "cot" else e.arm) for e in c.exchange),
                )
                for c in data.coupling.coefficients
            ),
        ),
    )
    page = read_page(render_report(renamed))
    assert len(page.scripts) == 3
    specs = json.loads(page.scripts[0][1])
    assert visible(name) in json.dumps(specs, ensure_ascii=False)
    assert "\u202e" not in json.dumps(specs, ensure_ascii=False)


def test_nothing_is_fetched(html: str) -> None:
    page = read_page(html)
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "audio", "video", "source"}
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    style = html.split("<style>")[1].split("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style


def test_the_policy_allows_the_two_scripts_and_nothing_else(html: str) -> None:
    page = read_page(html)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    allowed = policy.split("script-src ")[1].split()
    bodies = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    digests = [base64.b64encode(hashlib.sha256(b.encode()).digest()).decode() for b in bodies]
    assert allowed == [f"'sha256-{d}'" for d in digests]


def test_harmful_completions_are_redacted_and_prompts_are_not(html: str) -> None:
    assert HARMFUL_MARK not in html
    text = flat(read_page(html).text)
    assert re.search(r"redacted: \d+ characters — a harmful completion", text)
    assert re.search(r"Made-up request \d+ on harm\.", text)


def test_reveal_shows_them_and_says_so(revealed: str) -> None:
    text = flat(read_page(revealed).text)
    assert f"({HARMFUL_MARK})" in text
    assert "Harmful completions are shown in this copy" in text
    assert "redacted:" not in text


def test_a_redaction_counts_the_characters_it_stands_for(data: ReportData) -> None:
    cell = next(c for c in flip_cells(data, reveal=False) if (c.arm, c.axis) == ("sft_180", "harm"))
    pair = next(p for p in data.coupling.flip_pairs if (p.arm, p.axis) == ("sft_180", "harm"))
    generation = data.generations[pair.arm_generation]
    assert cell.cards[0].changed.answer.withheld == len(generation.answer_text or "")
    assert cell.cards[0].changed.trace.withheld == len(generation.trace_text or "")
    assert cell.cards[0].baseline.answer.text == data.generations[pair.baseline_generation].answer_text


def test_neither_kind_of_flip_crowds_the_other_out(data: ReportData) -> None:
    first = data.coupling.flip_pairs[0]

    def pairs(risk: int, defence: int) -> list[FlipPair]:
        return [replace(first, kind=k, draw=i) for k, n in (("risk", risk), ("defence", defence)) for i in range(n)]

    def counts(risk: int, defence: int) -> tuple[int, int]:
        kinds = [p.kind for p in chosen(pairs(risk, defence), 12)]
        return kinds.count("risk"), kinds.count("defence")

    assert counts(30, 30) == (6, 6)
    assert counts(30, 2) == (10, 2)
    assert counts(1, 30) == (1, 11)
    assert counts(3, 4) == (3, 4)


def test_hidden_flips_are_counted(data: ReportData) -> None:
    first = data.coupling.flip_pairs.of("sft_180", "harm").frame.head(1)
    many = replace(data, coupling=replace(data.coupling, flip_pairs=FlipPairs(pl.concat([first] * 15))))
    assert "12 of 15 shown; 3 more are in the ledger." in flat(read_page(render_report(many)).text)


def test_missing_data_is_seen(html: str, data: ReportData) -> None:
    missing = data.observations["score"].null_count()
    assert missing
    text = flat(read_page(html).text)
    assert f"{missing} of {data.observations.height} observations" in text
    assert "oldham-unfinished" in read_page(html).scripts[0][1]


def test_incoherent_text_without_a_score_is_missing_too(data: ReportData) -> None:
    rows = data.observations
    lost = (pl.col("axis") == "harm") & (pl.col("arm") == "cot") & (pl.col("span") == "answer")
    muddled = replace(
        data,
        observations=rows.with_columns(
            pl.when(lost).then(None).otherwise("score").alias("score"),
            pl.when(lost).then(pl.lit("incoherent")).otherwise("outcome").alias("outcome"),
        ),
    )
    n = rows.filter(lost).height
    told = summary.missing_notice(muddled)
    assert f"{n} incoherent" in told
    assert f"{muddled.observations['score'].null_count()} of {rows.height} observations" in told


def test_trials_that_never_ran_are_told_first(data: ReportData) -> None:
    cut = replace(data, manifest={**data.manifest, "missing": 41})
    assert summary.missing_notice(cut).startswith("41 planned trials never ran")
    assert "never ran" not in summary.missing_notice(data)


def test_absent_facts_are_said_to_be_absent(data: ReportData) -> None:
    bare = replace(data, manifest={}, generations={}, gaps=("There is no manifest.json.",))
    text = flat(read_page(render_report(bare)).text)
    assert "not recorded" in text
    assert "not in the ledger" in text
    assert "There is no manifest.json." in text


def test_facts_are_all_there(html: str) -> None:
    text = read_page(html).text
    for fact in ("5eed" * 8, "c0ffee" * 5, "bfloat16", "5.23.0", "x86_64", "2026-03-01T10:06:41+00:00"):
        assert fact in text


def test_the_page_can_be_read_by_ear(html: str) -> None:
    page = read_page(html)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    assert all(spec["description"] for spec in _specs(page).values())
    assert {a["data-chart"] for a in page.all("div") if "data-chart" in a} == set(_specs(page))


def test_a_study_without_reasoning_has_no_plane(data: ReportData) -> None:
    harm = replace(
        data,
        observations=data.observations.filter(pl.col("axis") == "harm"),
        coupling=replace(
            data.coupling,
            plane=(),
            **{
                f: tuple(r for r in getattr(data.coupling, f) if r.axis == "harm")
                for f in ("rates", "effects", "flips")
            },
        ),
    )
    page = read_page(render_report(harm))
    assert "The plane needs reasoning and a safety axis" in page.text
    assert not [name for name in _specs(page) if name.startswith("plane")]


def _specs(page: Page) -> dict[str, dict[str, str]]:
    specs: dict[str, dict[str, str]] = json.loads(page.scripts[0][1])
    return specs


def test_generations_are_counted_as_the_run_made_them(data: ReportData) -> None:
    made = replace(data, manifest={**data.manifest, "planned": 540, "missing": 3})  # 120 of them are samples of votes
    assert "537 generations in all" in summary.asked(made)
    told = data.observations.select("arm", "benchmark", "item", "attack", "draw").n_unique()
    assert f"{told:,} generations in all" in summary.asked(replace(data, manifest={}))
