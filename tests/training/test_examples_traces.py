from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from oldham.benchmarks.arithmetic import MAX_TRAINING, training_problems
from oldham.core.errors import ConfigError
from oldham.training.sources import SOURCES
from oldham.training.traces import MAX_PROSE

if TYPE_CHECKING:
    from oldham.benchmarks.resources import TrainingExample

KINDS = ("none", "short", "long", "shuffled", "truncated", "shuffled_answers", "long_shuffled_answers")


def problems(kind: str, n: int = 240, seed: int = 0) -> list[TrainingExample]:
    return SOURCES.get("arithmetic")().examples(n, seed, kind)


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[TrainingExample]]:
    return {kind: problems(kind) for kind in KINDS}


def test_every_kind_has_the_same_problems(drawn: dict[str, list[TrainingExample]]) -> None:
    prompts = [row["prompt"] for row in training_problems(240, 0)]
    assert all([row["prompt"] for row in rows] == prompts for rows in drawn.values())


def test_the_answer_is_right_but_where_it_is_another_ones(drawn: dict[str, list[TrainingExample]]) -> None:
    right = [row["completion"].rpartition("#### ")[2] for row in training_problems(240, 0)]
    for kind, rows in drawn.items():
        for row, answer in zip(rows, right, strict=True):
            assert row["completion"] == f"The answer is {row['reference']['answer']}."
            assert (row["reference"]["answer"] == answer) == ("shuffled_answers" not in kind)
    for kind in ("shuffled_answers", "long_shuffled_answers"):
        moved = {row["reference"]["answer"] for row in drawn[kind]}
        assert len(moved & set(right)) > 0.9 * len(moved), "wrong answers are spread as right ones are"


def test_shuffled_answers_change_the_answer_and_nothing_else(drawn: dict[str, list[TrainingExample]]) -> None:
    for moved, same in (("shuffled_answers", "short"), ("long_shuffled_answers", "long")):
        assert [row["trace"] for row in drawn[moved]] == [row["trace"] for row in drawn[same]]


def test_a_short_trace_is_the_worked_solution_and_none_is_none(drawn: dict[str, list[TrainingExample]]) -> None:
    for row, solved in zip(drawn["short"], training_problems(240, 0), strict=True):
        assert f"{row['trace']}\n#### {row['reference']['answer']}" == solved["completion"]
    assert not any("trace" in row for row in drawn["none"])


def test_a_long_trace_checks_every_step_and_every_sum_in_it_is_right(drawn: dict[str, list[TrainingExample]]) -> None:
    for row, short in zip(drawn["long"], drawn["short"], strict=True):
        steps = short["trace"].split("\n")
        sums = re.findall(r"(\d+ [-+*/] \d+) = (\d+)", row["trace"])
        assert len(sums) == 3 * len(steps)
        assert all(eval(left) == int(right) for left, right in sums)  # noqa: S307 (numbers and signs alone)
        assert row["trace"].count("Let me check that:") == len(steps)
        assert "Did I use every number" in row["trace"] or not re.search(r"\d", row["prompt"])
        assert row["trace"].endswith(f"So the answer must be {row['reference']['answer']}.")
        assert len(row["trace"].split()) > 3 * len(short["trace"].split())


def test_shuffled_has_the_same_sentences_in_another_order(drawn: dict[str, list[TrainingExample]]) -> None:
    for row, long in zip(drawn["shuffled"], drawn["long"], strict=True):
        mixed, straight = row["trace"].split("\n"), long["trace"].split("\n")
        assert mixed != straight
        assert sorted(mixed) == sorted(straight)


def test_truncated_is_the_first_half(drawn: dict[str, list[TrainingExample]]) -> None:
    for row, long in zip(drawn["truncated"], drawn["long"], strict=True):
        assert long["trace"].startswith(row["trace"])
        assert len(row["trace"].split()) == len(long["trace"].split()) // 2


@pytest.mark.parametrize("kind", ["short", "long"])
@pytest.mark.parametrize("seed", [0, 7])
def test_plain_text_has_as_many_words_example_by_example(kind: str, seed: int) -> None:
    texts = SOURCES.get("plain_text")().examples(150, seed, kind)
    for text, row in zip(texts, problems(kind, 150, seed), strict=True):
        assert len(text["trace"].split()) == len(row["trace"].split())
        assert len(text["completion"].split()) == len(row["completion"].split())
    assert len({text["prompt"] for text in texts}) == 150


def test_plain_text_neither_counts_nor_concludes() -> None:
    said = " ".join(text["trace"] + " " + text["completion"] for text in SOURCES.get("plain_text")().examples(300, 1))
    words = set(re.findall(r"[a-z]+", said.lower()))
    assert not re.search(r"[\d?=]", said)
    assert not words & {"because", "so", "therefore", "if", "thus", "hence", "must", "since", "check", "answer", "step"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(kind: str) -> None:
    assert problems(kind, 30) == problems(kind, 90)[:30]


def test_wrong_answers_are_found_for_a_single_problem_too() -> None:
    (row,) = problems("shuffled_answers", 1)
    (right,) = problems("none", 1)
    assert row["completion"] != right["completion"]


@pytest.mark.parametrize(("name", "n"), [("arithmetic", MAX_TRAINING + 1), ("arithmetic", 0), ("plain_text", 0)])
@pytest.mark.parametrize("kind", ["long", "short"])
def test_more_than_can_be_drawn_is_told(name: str, n: int, kind: str) -> None:
    with pytest.raises(ConfigError, match="were asked for"):
        SOURCES.get(name)().examples(n, 0, kind)


def test_all_the_texts_that_may_be_asked_for_can_be_drawn() -> None:
    rows = SOURCES.get("plain_text")().examples(MAX_PROSE, 0, "short")
    assert len({row["prompt"] for row in rows}) == MAX_PROSE
    assert all(one != other for one, other in pairwise(row["trace"] for row in rows))
