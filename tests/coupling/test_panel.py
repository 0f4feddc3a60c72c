"""Judges side by side."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from oldham.core.observations import as_observations
from oldham.coupling import CouplingOptions, Gate, couple, judge_gate
from oldham.coupling.judge_summary import judge_sections
from oldham.coupling.panel import JudgePanel, build_panel
from oldham.coupling.shares import wilson

OPTIONS = CouplingOptions(resamples=400, permutations=400)
NAMES = {1.0: "refused", 0.5: "partial", 0.0: "complied_harmful", None: "unjudged"}

# Scores in item order. The baseline is safe throughout, by both.
STRICT = {"base": [1.0] * 8, "cot": [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, None]}
MILD = {"base": [1.0] * 8, "cot": [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.5, 1.0]}


def rows_of(judge: str, scores: dict[str, list[float | None]], **more: Any) -> list[dict[str, Any]]:
    return [
        {
            **{
                "arm": arm,
                "axis": "harm",
                "benchmark": "b",
                "item": f"i{i}",
                "judge": judge,
                "generation": f"{arm}{i}",
            },
            **{"score": score, "outcome": NAMES[score], "parsed": "failed" if score is None else "ok"},
            **more,
        }
        for arm, of_arm in scores.items()
        for i, score in enumerate(of_arm)
    ]


def table_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return as_observations(pl.DataFrame(rows, schema_overrides={"score": pl.Float64}, infer_schema_length=None))


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return table_of(rows_of("strict", STRICT) + rows_of("mild", MILD))


@pytest.fixture(scope="module")
def panel(table: pl.DataFrame) -> JudgePanel:
    return build_panel(table, baseline="base", options=OPTIONS)


def test_each_judge_has_its_own_rates(panel: JudgePanel) -> None:
    found = {(r.judge, r.arm): r for r in panel.rates}
    assert list(found) == [("strict", "base"), ("strict", "cot"), ("mild", "base"), ("mild", "cot")]
    strict = found["strict", "cot"]
    assert strict.mean == pytest.approx(4 / 7)
    assert tuple(strict.interval) == pytest.approx(tuple(wilson(4 / 7, 7)))
    assert (strict.n_items, strict.n_missing, strict.n_failed, strict.n_retried) == (7, 1, 1, 0)
    assert found["mild", "cot"].mean == pytest.approx(5.5 / 8)


def test_agreement_and_kappa_are_of_the_texts_that_both_scored(panel: JudgePanel) -> None:
    (pair,) = panel.pairs
    assert (pair.first, pair.second, pair.n) == ("strict", "mild", 15)
    # The partial refusal is on the good side on harm: 3 of 7 texts of `cot` are in dispute, none of the baseline.
    assert pair.agreement == pytest.approx(12 / 15)
    assert dict(pair.by_arm) == pytest.approx({"base": 1.0, "cot": 4 / 7})
    chance = (12 * 13 + 3 * 2) / 15**2
    assert pair.kappa == pytest.approx((12 / 15 - chance) / (1 - chance))
    assert pair.kappa_interval.low < pair.kappa < pair.kappa_interval.high


def test_opposed_judges_come_first_and_what_only_one_scored_comes_last(panel: JudgePanel) -> None:
    assert [(d.item, d.opposed, d.unscored) for d in panel.disagreements] == [
        ("i1", True, False),
        ("i2", True, False),
        ("i5", True, False),
        ("i6", False, False),
        ("i7", False, True),
    ]
    assert panel.pairs[0].n_alone == 1
    first = panel.disagreements[0]
    assert list(first.outcomes.items()) == [("strict", "complied_harmful"), ("mild", "refused")]
    assert first.generation == "cot1"


def test_effects_are_those_of_an_analysis_by_that_judge(panel: JudgePanel, table: pl.DataFrame) -> None:
    for effect in panel.effects:
        options = CouplingOptions(resamples=400, permutations=400, judge=effect.judge)
        (alone,) = couple(table, baseline="base", options=options).effects
        assert (effect.delta, effect.interval, effect.n_items) == (alone.delta, alone.interval, alone.n_items)


def test_flips_that_another_judge_denies_are_counted(panel: JudgePanel) -> None:
    # `strict` flips items 0, 1, 2, of which `mild` sees 0; `mild` flips 0 and 5, and `strict` denies 5.
    assert {e.judge: (e.n_flips, e.n_alone) for e in panel.effects} == {"strict": (3, 2), "mild": (2, 1)}


def test_a_flip_is_not_denied_by_a_judge_that_scored_one_side_only() -> None:
    mild = {"base": [1.0, 1.0], "cot": [None, 1.0]}
    rows = rows_of("strict", {"base": [1.0, 1.0], "cot": [0.0, 1.0]}) + rows_of("mild", mild)
    strict = build_panel(table_of(rows), baseline="base", options=OPTIONS).effects[0]
    assert (strict.n_flips, strict.n_alone) == (1, 0)


def test_a_partial_refusal_is_bad_on_overrefusal() -> None:
    names = {"axis": "overrefusal"}
    rows = [
        *rows_of("a", {"base": [0.5]}, **names, outcome="partial"),
        *rows_of("b", {"base": [1.0]}, **names, outcome="complied_safe"),
    ]
    (pair,) = build_panel(table_of(rows), baseline="base", options=OPTIONS).pairs
    assert (pair.agreement, pair.n) == (0.0, 1)


def test_kappa_of_one_side_only_is_unknown() -> None:
    scores = {"base": [1.0] * 5}
    (pair,) = build_panel(table_of(rows_of("a", scores) + rows_of("b", scores)), baseline="base", options=OPTIONS).pairs
    assert pair.agreement == 1.0
    assert math.isnan(pair.kappa)


def test_judges_that_never_meet_have_no_panel() -> None:
    rows = rows_of("a", STRICT) + rows_of("b", MILD, benchmark="other") + rows_of("c", MILD, span="trace")
    assert build_panel(table_of(rows), baseline="base", options=OPTIONS) == JudgePanel((), (), (), ())


def test_the_order_of_rows_within_a_judge_does_not_matter(panel: JudgePanel) -> None:
    rows = rows_of("strict", STRICT)[::-1] + rows_of("mild", MILD)[::-1]
    assert build_panel(table_of(rows), baseline="base", options=OPTIONS) == panel


def test_the_summary_tells_what_hangs_on_the_judge(table: pl.DataFrame) -> None:
    coupling = couple(table, baseline="base", options=OPTIONS)
    short = "\n".join(judge_sections(coupling, full=False))
    assert (
        "`strict` and `mild` on harm (answer): 3 texts on opposite sides, kappa 0.29; 1 text to which one gave" in short
    )
    full = "\n".join(judge_sections(coupling, full=True))
    assert "3 of 15 texts on opposite sides, kappa" in full
    assert "besides, 1 text to which only one gave a score." in full.replace("\n  ", " ")
    assert "with 95% intervals (400 resamples)" in full
    assert "Agreement by arm: `cot` 57.1%, `base` 100.0%." in full.replace("\n  ", " ")
    assert "2 of 3 flips that `strict` sees on harm are denied by another judge." in full
    assert "Rate by judge" in full
    assert "Rate by judge" not in short
    assert max(map(len, f"{short}\n{full}".splitlines())) <= 110


def test_the_summary_names_the_changes_that_hang_on_the_judge() -> None:
    n = 30
    low = {"base": [1.0] * n, "cot": [0.0] * n}
    rows = rows_of("strict", low) + rows_of("mild", {"base": [0.0] * n, "cot": [1.0] * n})
    told = "harm changed, or which way, hangs on the judge under `cot` (strict −100.0, mild +100.0)."
    for full in (False, True):
        text = "\n".join(judge_sections(couple(table_of(rows), baseline="base", options=OPTIONS), full=full))
        assert told in text
    found = couple(table_of(rows), baseline="base", options=OPTIONS)
    assert f"Whether {told}" in found.caveats
    claims = judge_gate(found, Gate(reasoning="any")).claims
    assert [c.note.endswith(f"Whether {told}") for c in claims] == [True]
    same = rows_of("strict", low) + rows_of("mild", low)
    text = "\n".join(judge_sections(couple(table_of(same), baseline="base", options=OPTIONS), full=True))
    assert "hangs on the judge under" not in text


def test_incoherent_against_a_score_is_not_another_name_for_one_side() -> None:
    rows = rows_of("a", {"base": [1.0, 1.0]}) + rows_of("b", {"base": [None, 1.0]}, outcome="incoherent")
    rows[3]["outcome"] = "refused"
    found = build_panel(table_of(rows), baseline="base", options=OPTIONS)
    assert [(d.item, d.opposed, d.unscored) for d in found.disagreements] == [("i0", False, True)]
    assert (found.pairs[0].n, found.pairs[0].n_alone) == (1, 1)


def test_judges_that_both_score_no_text_are_said_not_to_have_met() -> None:
    scores: dict[str, list[float | None]] = {"base": [1.0, 0.0], "cot": [1.0, 0.0]}
    nothing: dict[str, list[float | None]] = {"base": [None, None], "cot": [None, None]}
    found = couple(table_of(rows_of("a", scores) + rows_of("b", nothing)), baseline="base", options=OPTIONS)
    text = "\n".join(judge_sections(found, full=False)).replace("\n  ", " ")
    assert "`a` and `b` on harm (answer): no text was scored by both; 4 texts to which one gave a score" in text
    assert "0 texts" not in text


def test_judges_that_agree_have_no_kappa_to_look_at() -> None:
    rows = rows_of("a", STRICT) + rows_of("b", STRICT)
    text = "\n".join(judge_sections(couple(table_of(rows), baseline="base", options=OPTIONS), full=False))
    assert "0 texts on opposite sides." in text


def test_the_judge_that_counts_has_the_effect_of_the_analysis() -> None:
    scores: dict[str, list[float | None]] = {"base": [1.0] * 40, "cot": [0.0] * 9 + [1.0] * 31}
    other: dict[str, list[float | None]] = {"base": [1.0] * 40, "cot": [0.0] * 12 + [1.0] * 28}
    options = CouplingOptions(resamples=3_000, permutations=400)
    for judge, counting in ((None, "a"), ("b", "b")):
        found = couple(
            table_of(rows_of("a", scores) + rows_of("b", other)),
            baseline="base",
            options=replace(options, judge=judge),
        )
        by_judge = {e.judge: e for e in found.panel.effects}
        assert (by_judge[counting].delta, by_judge[counting].interval) == (
            found.effects[0].delta,
            found.effects[0].interval,
        )
        assert {name: e.resamples for name, e in by_judge.items()} == {
            name: 3_000 if name == counting else 2_000 for name in ("a", "b")
        }
        text = found.summary(full=True)
        assert "(2,000 resamples, 3,000 for a judge whose verdicts count above)" in text


def test_one_judge_leaves_the_summary_as_it_is() -> None:
    coupling = couple(table_of(rows_of("strict", STRICT)), baseline="base", options=OPTIONS)
    assert not any(judge_sections(coupling, full=True))


@pytest.mark.thorough
def test_twenty_thousand_rows_of_three_judges_take_under_two_seconds() -> None:
    scores: dict[str, list[float | None]] = {
        a: [float((i * k) % 7 > 1) for i in range(1667)] for k, a in enumerate("abcd", 1)
    }
    rows = [row for judge in ("x", "y", "z") for row in rows_of(judge, scores)]
    frame = table_of(rows)
    started = time.perf_counter()
    build_panel(frame, baseline="a", options=CouplingOptions())
    assert time.perf_counter() - started < 2
