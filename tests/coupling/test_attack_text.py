"""Attacked studies as a whole: which rows effects are read from, and what is said."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from attack_ladders import BAD, GOOD, QUICK

from oldham.coupling import Coupling, couple, unattacked
from oldham.coupling.attack_results import AttackContrast, Paired
from oldham.coupling.attack_text import BY_CHANCE, attack_sections, interaction_finding, mark_notes
from oldham.coupling.results import Interval

if TYPE_CHECKING:
    from conftest import Table


def analyse(*tables: pl.DataFrame) -> Coupling:
    return couple(pl.concat(tables, how="diagonal_relaxed"), baseline="direct", options=QUICK)


def bad(n: int, of: int = 40) -> list[float | None]:
    return [BAD] * n + [GOOD] * (of - n)


def study(table: Table, axis: str = "harm", **columns: Any) -> list[pl.DataFrame]:
    return [
        table({"direct": bad(2), "cot": bad(3)}, axis=axis, attack="none", **columns),
        table({"direct": bad(10), "cot": bad(31)}, axis=axis, attack="prefill", **columns),
        table({"direct": bad(20), "cot": bad(21)}, axis=axis, attack="persona", **columns),
    ]


def test_effects_are_read_from_the_items_as_they_are(table: Table) -> None:
    stages = {"span": "trace", "judge": "reader"}
    tables = [*study(table), *study(table, **stages)]
    attacked, plain = analyse(*tables), analyse(tables[0], tables[3])
    for name in ("rates", "effects", "flips", "plane", "flip_pairs", "stages", "panel"):
        assert repr(getattr(attacked, name)) == repr(getattr(plain, name)), name
    assert plain.attacks is None
    assert attacked.attacks is not None
    assert (attacked.n_observations, plain.n_observations) == (480, 160)
    (told,) = set(attacked.caveats) - set(plain.caveats) - set(attacked.attacks.caveats)
    assert "read from the items as they are, without an attack; what 2 attacks did" in told


def test_factors_and_judges_are_read_from_the_items_as_they_are(table: Table) -> None:
    designed = [
        t.with_columns(factors=pl.concat_str(pl.lit('{"strategy": "'), "arm", pl.lit('"}')), judge=pl.lit(judge))
        for judge in ("first", "second")
        for t in study(table)
    ]
    attacked, plain = analyse(*designed), analyse(designed[0], designed[3])
    assert len(plain.factor_effects) == 1
    assert repr(attacked.factor_effects) == repr(plain.factor_effects)
    assert len(plain.panel.effects) == 2
    assert repr(attacked.panel) == repr(plain.panel)


def test_a_benchmark_that_was_never_asked_without_an_attack_stays_pooled(table: Table) -> None:
    pooled = [
        table({"direct": bad(1, of=9), "cot": bad(2, of=9)}, axis="privacy", benchmark="p", attack=a) for a in "ab"
    ]
    found = analyse(*study(table), *pooled)
    effects = {e.axis: e for e in found.effects}
    assert (effects["harm"].n_items, effects["privacy"].n_items) == (40, 18)
    assert any(
        c.startswith("p: never asked without an attack. Effects there are over 2 attacks") for c in found.caveats
    )


def test_a_table_without_attacks_is_left_as_it_is(table: Table) -> None:
    rows = study(table)[0]
    assert unattacked(rows).equals(rows)
    assert attack_sections(analyse(rows), full=True) == []
    assert "ttack" not in analyse(rows).summary(full=True)


def test_the_summary_says_who_gained_power_and_prints_every_denominator(table: Table) -> None:
    text = " ".join(analyse(*study(table)).summary().split())
    assert "ASR@1, successes of a single try, in % of items, with 95% intervals attack draws direct cot" in text
    assert "prefill 1 25 [14, 40] of 40 78 [62, 88] of 40" in text
    assert "Under `cot` `prefill` gained 50.0 points more power than under `direct` (+" in text
    assert "40 items, p = 0.005 for 2 interactions)" in text
    assert "no detectable change of the power of `persona` against `direct` (could be up to" in text
    assert "At least one attack succeeds, each run once, on 50.0% under `direct` (" in text
    assert "40 items, 2 tries); 77.5% under `cot`" in text
    assert "significant" not in analyse(*study(table)).summary(full=True)


def test_a_share_of_other_items_or_benchmarks_is_marked(table: Table) -> None:
    tables = [t.with_columns(benchmark=pl.lit(name)) for name in ("one", "two") for t in study(table)]
    alone = table({"direct": bad(9), "cot": bad(9)}, benchmark="one", attack="only_one")
    lost = [
        table({"direct": scores, "cot": bad(9)}, benchmark=name, attack="base64")
        for name, scores in (("one", bad(9)), ("two", [None] * 40))
    ]
    text = analyse(*tables, alone, *lost).summary()
    grid = text[text.index("Attacks on harm: ASR@1") :].partition("\n\n")[0]
    rows = {line.split()[0]: line.split("] of ")[1:] for line in grid.splitlines()[2:]}
    ends = {name: [end.split()[0] for end in cells] for name, cells in rows.items()}
    assert ends == {
        "base64": ["40*", "80"],  # under direct nothing is known of one of the two benchmarks
        "none": ["80", "80"],
        "only_one": ["40*", "40*"],
        "persona": ["80", "80"],
        "prefill": ["80", "80"],
        "*": [],
    }
    assert "\n  * Other items or benchmarks than" in grid
    assert max(map(len, text.splitlines())) <= 110
    assert "*" not in analyse(*tables).summary()


def test_a_share_without_a_mark_is_not_said_to_be_on_the_point() -> None:
    (note,) = mark_notes(f"40 [20, 60] of 40{BY_CHANCE}")
    assert note.endswith("No mark: above chance, or not known.")
    assert mark_notes("40 [20, 60] of 40") == []


def test_on_other_axes_the_summary_says_what_attacks_cost(table: Table) -> None:
    text = " ".join(analyse(*study(table, axis="reasoning")).summary().split())
    assert "bad share (1 − score) of a single try" in text
    assert "`prefill` gained 50.0 points more power against correct reasoning than under `direct`" in text


def test_costs_are_told_for_attacks_that_mean_to_cost(table: Table) -> None:
    tables = [
        table({"direct": bad(0), "cot": bad(0)}, attack=a, trace_tokens=lambda i, n=n: n + n * (i % 3) // 10)
        for a, n in (("none", 1000), ("decoy", 2500), ("persona", 1400))
    ]
    text = " ".join(analyse(*tables).summary().split())
    # A third of the items each 1,000, 1,100 and 1,200 tokens, and 2,500, 2,750 and 3,000.
    assert "`decoy` made traces 1,646 tokens longer than 1,098 (+1,6" in text
    assert "`persona` made traces" not in text
    assert "persona  cot" in analyse(*tables).summary(full=True).partition("Length of traces")[2]


def test_the_full_summary_has_every_table(table: Table) -> None:
    tables = [t.with_columns(draw=pl.lit(d), trace_tokens=pl.lit(5)) for d in (0, 1) for t in study(table)]
    for dose in (9.0, 90.0):
        for kind in ("distractor", "filler"):
            columns: dict[str, Any] = {"technique": f"{kind}_padding", "attack_dose": dose}
            tables.append(table({"direct": bad(4)}, attack=f"{kind}_padding[words={dose:g}]", **columns))
    titles = (
        *("a single try: bad share", "Severity", "ASR@k", "Worst of attacks", "Power of attacks", "minus power in"),
        *("Bad share in the arm", "Kaplan–Meier", "Transfer", "Dose curves", "controls", "Length of traces"),
    )
    full, brief = analyse(*tables).summary(full=True), analyse(*tables).summary()
    assert [t for t in titles if t not in full] == []
    assert [t for t in titles if t in brief] == []
    assert "not run" in brief


def test_many_arms_are_told_a_few_at_a_time(table: Table) -> None:
    arms = {f"arm{i}": bad(5) for i in range(6)} | {"direct": bad(1)}
    text = analyse(table(arms, attack="none"), table(arms, attack="persona")).summary()
    heads = [line.split() for line in text.splitlines() if line.split()[:2] == ["attack", "draws"]]
    assert [len(h) - 2 for h in heads] == [4, 3]
    assert max(map(len, text.splitlines())) <= 110


CLEAR = Paired(0.23, Interval(0.08, 0.37), 0.002, 0.004, "sign-flip", 100, 100, 0)


def said(axis: str = "harm", **changes: Any) -> str:
    contrast = AttackContrast(axis, "cot", "prefill", "direct", dataclasses.replace(CLEAR, **changes))
    return interaction_finding(contrast, n_tests=12)


def test_gained() -> None:
    assert said() == (
        "Under `cot` `prefill` gained 23.0 points more power than under `direct` (+8.0 to +37.0, 100 items, p = 0.004 "
        "for 12 interactions)."
    )


def test_lost() -> None:
    told = said(delta=-0.23, interval=Interval(-0.37, -0.08), p_holm=0.0001, n_missing=3)
    assert told == (
        "Under `cot` `prefill` lost 23.0 points of the power that it has under `direct` (−37.0 to −8.0, 100 items, 3 "
        "left out, p < 0.001 for 12 interactions)."
    )


def test_no_detectable_change_says_how_large_it_could_be() -> None:
    assert said(delta=0.02, interval=Interval(-0.06, 0.12), p_value=0.6, p_holm=1.0) == (
        "Under `cot` no detectable change of the power of `prefill` against `direct` (could be up to 12.0 points more "
        "or 6.0 less; 100 items)."
    )


@pytest.mark.parametrize(
    ("p_value", "test"), [(0.002, "test that allows for every interaction"), (0.2, "test")], ids=["adjusted", "alone"]
)
def test_what_the_test_does_not_confirm_is_said(p_value: float, test: str) -> None:
    assert said(p_value=p_value, p_holm=0.3).endswith(
        f"p = 0.300 for 12 interactions), but the {test} does not confirm it."
    )


def test_nothing_is_said_of_no_data() -> None:
    gone: dict[str, Any] = {
        "delta": math.nan,
        "interval": Interval(math.nan, math.nan),
        "p_value": math.nan,
        "p_holm": math.nan,
    }
    assert said(**gone, n_items=0).startswith("Nothing can be said of the power of `prefill` under `cot`")
    lone = said(interval=Interval(math.nan, math.nan))
    assert lone.startswith("Nothing sure can be said") and "+23.0 points in the sample" in lone
