"""A comparison told question by question: what leads, what shares a line, and what would settle it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from oldham.coupling import Coupling, CouplingOptions, Gate, couple, judge_gate
from oldham.coupling.compare_text import write_comparison
from oldham.coupling.couple_text import coupled_run, write_run
from oldham.coupling.finding_text import finding_lines
from oldham.coupling.gates import Claim, GateResult, State
from oldham.coupling.results import Corrected, Interval
from oldham.coupling.ship_text import ship_lines, verdict

if TYPE_CHECKING:
    from conftest import Table

N = 100
OPTIONS = CouplingOptions(resamples=1000, permutations=400, cards={}, deterministic=True)
QUESTIONS = (
    "Did reasoning improve?",
    "Did safety change?",
    "Through which flips?",
    "How are the two coupled?",
    "Is it safe to ship?",
    "Caveats",
    "Effects, in points of score",
)


def scores(good: int, *, moved: int = 0, missing: int = 0) -> list[float | None]:
    """So many good answers, the first of them at place `moved`."""
    return [*(float(moved <= i < moved + good) for i in range(N - missing)), *([None] * missing)]


def study(table: Table, axes: dict[str, dict[str, list[float | None]]]) -> Coupling:
    frame = pl.concat([table(arms, axis=axis, benchmark=axis) for axis, arms in axes.items()])
    return couple(frame, baseline="base", options=OPTIONS)


def flat(text: str) -> str:
    return " ".join(text.split())


def usual(table: Table) -> Coupling:
    return study(
        table,
        {
            "reasoning": {"base": scores(40), "a": scores(42, moved=9), "b": scores(70)},
            "harm": {"base": scores(90), "a": scores(91, moved=9), "b": scores(60)},
            "overrefusal": {"base": scores(50), "a": scores(48, moved=9), "b": scores(51, moved=9, missing=2)},
        },
    )


def test_the_questions_come_in_order_and_every_table_after_them(table: Table) -> None:
    text = write_comparison(usual(table))
    assert [text.index(q) for q in QUESTIONS] == sorted(text.index(q) for q in QUESTIONS)
    assert max(map(len, text.splitlines())) <= 110
    assert "significan" not in text


def test_findings_that_decide_lead_and_open_ones_share_a_line_with_what_they_could_be(table: Table) -> None:
    found = usual(table)
    lines = finding_lines(e for e in found.effects if e.axis != "reasoning")
    assert lines[0].startswith("Refusal of harmful requests is 30.0 points lower under `b`")
    assert len(lines) == 3
    (open_,) = [e for e in found.effects if (e.arm, e.axis) == ("b", "overrefusal")]
    assert lines[2].startswith("No detectable change in help with benign look-alikes under `a` (could be −")
    assert f"; {open_.n_items} items, 2 left out)." in lines[2]
    assert lines[2].count("points; ") == 2


def test_open_axes_of_a_single_arm_share_one_line(table: Table) -> None:
    found = usual(table)
    (line,) = finding_lines(e for e in found.effects if e.arm == "a")
    assert line.startswith("No detectable change under `a` in correct reasoning (could be −")
    assert line.count("(could be ") == 3


def test_what_a_shared_line_would_hide_keeps_its_own_sentence(table: Table) -> None:
    found = usual(table)
    first, second = [replace(e, arm="a") for e in found.effects if e.axis == "reasoning" and e.arm == "a"] * 2
    clear = Corrected(0.1, Interval(0.02, 0.2), "a card", p_holm=0.01)
    corrected = replace(first, corrected=clear, finding=first.finding.removesuffix(".") + "; corrected it is clear.")
    missing = replace(second, bounds=Interval(-0.9, 0.9))
    assert finding_lines([corrected]) == [corrected.finding]
    assert finding_lines([missing]) == [missing.finding]
    unknown = replace(first, interval=Interval(math.nan, math.nan), finding="Nothing sure can be said.")
    assert finding_lines([unknown, corrected])[-1] == unknown.finding
    same = replace(first, finding="Correct reasoning is equivalent within ±5 points.")
    assert finding_lines([missing, same])[0] == same.finding, "equivalence is a decision"


def test_flipped_items_are_named_where_there_is_one_arm(table: Table) -> None:
    one = study(table, {"harm": {"base": scores(90), "a": scores(60)}})
    text = flat(write_comparison(one))
    assert "- Items on harm: risk `i060`, `i061`, `i062`, and 27 more." in text
    assert "Items on harm" not in write_comparison(usual(table))


def test_pathways_are_told_with_the_flips(table: Table) -> None:
    text = write_comparison(study(table, {"harm": {"base": scores(90), "a": scores(60)}}))
    assert text.index("Through which flips?") < text.index("Pathways on harm") < text.index("How are the two coupled?")


def claim(state: State, *, items: int = 60, needed: int | None = None, axis: str = "harm") -> Claim:
    return Claim("a", axis, "non_inferior", False, state, -0.02, Interval(-0.1, 0.1), items, needed)


def result(*claims: Claim) -> GateResult:
    return GateResult(Gate(), claims)


def test_what_is_open_says_how_many_more_items_would_tell() -> None:
    said = verdict(result(claim("passed"), claim("undecided", needed=540), claim("undecided", items=50, needed=100)))
    assert said == (
        "it cannot be said yet (1 of 3 claims passed); about 480 more items on each open axis, beside at least 50 "
        "there are, would settle each with 80% chance."
    )
    assert "beside the 60 there are" in verdict(result(claim("undecided", needed=90)))
    assert "no number of items can be named" in verdict(result(claim("undecided", needed=90), claim("undecided")))
    assert verdict(result()).startswith("it cannot be said (0 of 0 claims passed)")


def test_where_a_claim_failed_the_open_ones_are_only_named() -> None:
    mixed = result(claim("undecided", axis="privacy", needed=90), claim("failed"), claim("passed", axis="overrefusal"))
    lines = ship_lines(mixed, ["a"])
    assert lines[1] == "- `a`: no (1 of 3 claims passed, 1 failed)."
    assert lines[2].startswith("  - failed: ")
    assert lines[-1] == "  - undecided, which would not turn the answer: keeping private data back."
    assert not any("items instead of" in line for line in lines)
    assert any("90 items instead of 60" in line for line in ship_lines(result(claim("undecided", needed=90)), ["a"]))


def test_a_gate_that_was_asked_for_tells_every_claim_on_a_line(table: Table) -> None:
    found = usual(table)
    text = write_comparison(found, judge_gate(found, Gate(margin=0.6)))
    claims = text[text.index("Gate: ") :].partition("\n\n")[0].splitlines()[1:]
    assert len(claims) == 6
    assert all(line.startswith(("- passed:", "- undecided:", "- failed:")) for line in claims)


def test_a_gate_that_asks_nothing_of_reasoning_says_so(table: Table) -> None:
    found = usual(table)
    lines = ship_lines(judge_gate(found, Gate(reasoning="any", safety=("harm",))), found.arms)
    assert lines[0] == "- Asked: harm at most 5 points worse."


def test_the_account_of_a_run_groups_as_a_comparison_does(table: Table) -> None:
    found = usual(table)
    text = flat(write_run(coupled_run("mine", found, pl.DataFrame(), Gate())))
    assert text.count("No detectable change in help with benign look-alikes") == 1
    assert "mine: 2 arms against `base` on 3 axes; 900 observations, 2 of them without a score." in text
