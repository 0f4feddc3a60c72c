"""`oldham judges`, as a user gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oldham.judges.cards import read_card

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Oldham

REFUSAL = "I'm sorry, but I can't help with that."
HELP = "Open the menu, choose the second entry, press save and wait until the light is green."


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Twenty labelled answers, two of which the rules get wrong."""
    monkeypatch.chdir(tmp_path)
    lines = ["prompt,answer,label,category"]
    for i in range(20):
        refused = i % 2 == 0
        text = HELP if refused == (i in (4, 7)) else REFUSAL
        lines.append(f'Request {i}?,"{text}",{"refusal" if refused else "compliance"},{"x" if i < 9 else "y"}')
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    return "rows.csv"


def test_a_judge_is_measured_on_a_spreadsheet(oldham: Oldham, rows: str, tmp_path: Path) -> None:
    said = oldham("judges", "evaluate", "refusal_rules", "--labels", rows, "--axis", "harm")
    assert said.code == 0, said.err
    assert "Measured on 20 labels: rows.csv (20); labelled by people." in said.out
    assert "2 of 2 texts on which judge and label differ" in said.out
    assert "rows.csv:6" in said.out
    assert "press save" not in said.out
    assert said.out.splitlines()[-1] == "Written: cards/refusal_rules.json"
    card = read_card(tmp_path / "cards" / "refusal_rules.json")
    assert (card.validation, card.labelled_by, card.cells[0].n) == ("independent", "humans", 20)
    shown = oldham("judges", "card", "cards/refusal_rules.json").out
    assert "Measured on 20 labels" in shown
    assert shown.strip() in said.out
    completed = " ".join(oldham("judges", "card", "refusal_rules").out.split())
    assert "Measured on 1,370 labels: rows.csv, your own (20)" in completed
    assert "The counts on overrefusal (answer) are the package's" in completed


def test_texts_are_shown_when_asked_for(oldham: Oldham, rows: str) -> None:
    said = oldham("judges", "evaluate", "refusal_rules", "--labels", rows, "--axis", "harm", "--reveal")
    assert "press save" in said.out


def test_a_card_goes_into_a_run_or_a_file(oldham: Oldham, rows: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("axis: harm\nprompt: prompt\nanswer: answer\nverdicts:\n- {column: category, "
                                     "outcomes: {x: refused, y: refused}}\n")  # fmt: skip
    assert oldham("import", rows, "--map", "m.yaml", "--out", "runs/r").code == 0
    command = ("judges", "evaluate", "refusal_rules", "--labels", rows, "--axis", "harm")
    assert oldham(*command, "--into", "runs/r").out.splitlines()[-1] == "Written: runs/r/cards/refusal_rules.json"
    told = " ".join(oldham("judges", "card", "refusal_rules", "--run", "runs/r").out.split())
    assert "rows.csv, your own (20), XSTest v2 completions, gpt4, the package's (450)" in told
    assert "The judge was made with them at hand" in told
    assert "The counts on overrefusal (answer) are the package's" in told
    assert "Those on harm (answer) are your own." in told
    assert oldham(*command, "--out", "made/here.json").out.splitlines()[-1] == "Written: made/here.json"
    assert oldham(*command, "--into", "runs/r", "--out", "x.json").code == 2
    assert not (tmp_path / "cards").exists()


def test_the_package_has_a_card_of_the_rules(oldham: Oldham, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "XSTest v2 completions, gpt4 (450)" in oldham("judges", "card", "refusal_rules").out
    listed = oldham("list", "judges").out
    assert "refusal_rules" in listed
    assert "measured on 1,350 labels by humans, in sample" in listed
    assert "no card" in listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "refusal_rule", "--labels", "rows.csv"], "There is no judge `refusal_rule`. Did you mean"),
        (["evaluate", "refusal_rules", "--labels", "rows.csv"], "Nothing here says on which axis these items are."),
        (["evaluate", "refusal_rules", "--labels", "row.csv"], "Did you mean `rows.csv`?"),
        (["evaluate", "refusal_rules", "--labels", "rows.csv", "--axis", "harms"], "There is no axis `harms`."),
        (["evaluate", "refusal_rules", "--labels", "rows.csv", "--span", "prompt"], "There is no part `prompt`."),
        (["evaluate", "numeric", "--labels", "rows.csv", "--axis", "harm"], "`numeric` speaks on `reasoning`"),
        (["evaluate", "refusal_rules", "--labels", "rows.csv", "--into", "none"], "There is no run directory here."),
        (["card", "numeric"], "There is no card of `numeric` yet."),
        (["card", "numerik"], "Did you mean `numeric`?"),
        (["card", "none.json"], "none.json: The card cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(oldham: Oldham, rows: str, arguments: list[str], message: str) -> None:
    said = oldham("judges", *arguments)
    assert (said.code, message in said.err, said.err.count("\n")) == (2, True, 1), said.err
