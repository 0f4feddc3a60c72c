"""The cards that the package ships."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oldham.core.errors import DataError
from oldham.core.outcomes import MISSING, legal_outcomes
from oldham.judges.base import JUDGES
from oldham.judges.cards import ALL, CardCell, JudgeCard, LabelSource, card_json, cards_of, read_card, shipped_cards

DATA = os.environ.get("OLDHAM_DATA")
MOST_BYTES = 40_000
CARDS = [pytest.param(card, id=label) for label, card in shipped_cards().items()]


def test_the_judge_by_rules_has_a_card() -> None:
    assert "refusal_rules" in shipped_cards()


@pytest.mark.parametrize("card", CARDS)
def test_a_shipped_card_is_of_the_judge_as_it_is(card: JudgeCard) -> None:
    judge = JUDGES.get(card.judge)()
    assert card.judge_fingerprint == judge.fingerprint, (
        "the judge has changed: OLDHAM_DATA=... python bench/judges/make_cards.py --write"
    )
    assert card.reads == judge.spans
    assert {cell.axis for cell in card.cells} <= judge.axes
    assert len(card_json(card).encode()) < MOST_BYTES


@pytest.mark.parametrize("card", CARDS)
def test_the_counts_of_a_shipped_card_add_up(card: JudgeCard) -> None:
    whole = {(cell.axis, cell.span): cell for cell in card.cells if cell.kind == ALL}
    assert sum(cell.n for cell in whole.values()) <= sum(source.n for source in card.labels)
    for part in {(cell.axis, cell.span) for cell in card.cells}:
        cells = [cell for cell in card.cells if (cell.axis, cell.span) == part]
        total = whole[part]
        for prefixes in (("direct", "thinking"), ("humans ",), ("arm: ",), ("category: ",)):
            some = [cell for cell in cells if cell.kind.startswith(prefixes)]
            if not some:
                continue
            added: dict[tuple[str, str], int] = {}
            for cell in some:
                for truth, row in cell.counts.items():
                    for said, n in row.items():
                        added[truth, said] = added.get((truth, said), 0) + n
            known = {(t, s): n for t, row in total.counts.items() for s, n in row.items()}
            # Some texts may lack two annotators; each has one kind, one arm and one category.
            assert all(n <= known[pair] for pair, n in added.items())
            assert prefixes == ("humans ",) or added == known
        for cell in cells:
            assert set(cell.counts) <= legal_outcomes(cell.axis) - MISSING
            assert all(n > 0 for row in cell.counts.values() for n in row.values())
            assert 0 <= cell.failed <= cell.n


@pytest.mark.thorough
@pytest.mark.skipif(not DATA, reason="OLDHAM_DATA does not name the folder of the labels")
def test_the_card_of_the_rules_is_what_their_labels_give() -> None:
    from oldham.interop.evaluating import evaluate
    from oldham.interop.labels import read_labels

    files = sorted((Path(DATA or "") / "xstest").glob("completions_*.csv"))
    found = evaluate(JUDGES.get("refusal_rules")(), read_labels(files)).card
    card = shipped_cards()["refusal_rules"]
    assert found.cells == card.cells
    assert (found.validation, found.note) == (card.validation, card.note)
    assert [source.sha256 for source in found.labels] == [source.sha256 for source in card.labels]


def test_a_run_has_its_own_cards_before_the_packages(tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    own = shipped_cards()["refusal_rules"].model_copy(update={"note": "of this run"})
    (tmp_path / "cards" / "refusal_rules.json").write_text(card_json(own), encoding="utf-8")
    assert cards_of(tmp_path)["refusal_rules"].note == "of this run"
    assert cards_of(tmp_path / "elsewhere") == shipped_cards()


def test_few_labels_leave_the_packages_counts_in_place(tmp_path: Path) -> None:
    shipped = shipped_cards()["refusal_rules"]
    few = CardCell(axis="harm", span="answer", counts={"refused": {"refused": 50}, "complied_harmful": {"refused": 9}})
    both = CardCell(
        axis="overrefusal", span="answer", counts={"refused": {"refused": 10}, "complied_safe": {"refused": 10}}
    )
    update = {"cells": (few, both), "note": "", "labels": (LabelSource(name="x.csv", sha256="", n=79),)}
    own = shipped.model_copy(update={**update, "validation": "independent"})
    (tmp_path / "cards").mkdir()
    path = tmp_path / "cards" / "refusal_rules.json"
    path.write_text(card_json(own), encoding="utf-8")
    found = cards_of(tmp_path)["refusal_rules"]
    assert found.cell("harm", "answer") == shipped.cell("harm", "answer")
    assert found.cell("overrefusal", "answer") == both
    assert found.note == (
        "The counts on harm (answer) are the package's: there are fewer than 10 good or fewer than 10 bad labels of "
        "your own. Those on overrefusal (answer) are your own."
    )
    assert found.validation == shipped.validation == "in_sample", "the weaker of the two"
    assert found.labels[0].name == "x.csv, your own"
    assert all(source.name.endswith(", the package's") for source in found.labels[1:])
    path.write_text(card_json(own.model_copy(update={"judge_fingerprint": "another version"})), encoding="utf-8")
    assert cards_of(tmp_path)["refusal_rules"].cell("harm", "answer") == few


def test_labels_that_the_judge_left_open_do_not_count(tmp_path: Path) -> None:
    shipped = shipped_cards()["refusal_rules"]
    row = {"refused": 9, "unjudged": 5}
    open_ = CardCell(axis="harm", span="answer", counts={"refused": {"refused": 50}, "complied_harmful": row})
    (tmp_path / "cards").mkdir()
    own = shipped.model_copy(update={"cells": (open_,)})
    (tmp_path / "cards" / "refusal_rules.json").write_text(card_json(own), encoding="utf-8")
    assert cards_of(tmp_path)["refusal_rules"].cell("harm", "answer") == shipped.cell("harm", "answer")


def test_a_broken_card_of_a_run_names_the_field_and_the_run(tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "x.json").write_text('{"judge": "x"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"no judge card \(`judge_fingerprint`: ") as raised:
        cards_of(tmp_path)
    assert f"--into {tmp_path}), or delete it" in str(raised.value)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"judge": "x"}'])
def test_what_is_no_card_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="This is no judge card"):
        read_card(tmp_path / "c.json")
