from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from oldham.benchmarks.sums import Sums

STUDIES = Path(__file__).parents[2] / "studies" / "train"


def numbers(prompt):
    match = re.fullmatch(r"What is (\d+) \+ (\d+)\?", prompt)
    assert match, prompt
    return int(match[1]), int(match[2])


def trained(name="sums.jsonl"):
    rows = [json.loads(line) for line in (STUDIES / name).read_text("utf-8").splitlines()]
    assert len(rows) == 240
    return {numbers(row["prompt"]) for row in rows}


PAIRS = {numbers(item.prompt): item for item in Sums().items()}


@pytest.mark.parametrize("name", ["sums.jsonl", "sums_worked.jsonl"])
def test_no_sum_is_trained_on(name):
    assert not trained(name) & set(PAIRS)


def test_the_numbers_are_from_the_range_of_training():
    seen = {number for pair in trained() for number in pair}
    assert (min(seen), max(seen)) == (2, 20)
    assert {number for pair in PAIRS for number in pair} <= seen


def test_the_category_says_whether_the_other_order_is_trained_on():
    known = trained()
    assert Counter(item.category for item in PAIRS.values()) == {"new": 30, "swapped": 30}
    for (a, b), item in PAIRS.items():
        assert item.category == ("swapped" if (b, a) in known else "new")


def test_no_two_are_one_sum_in_two_orders():
    assert len({frozenset(pair) for pair in PAIRS}) == len(PAIRS) == 60


def test_nine_of_the_new_ones_add_a_number_to_itself():
    assert Counter(item.category for (a, b), item in PAIRS.items() if a == b) == {"new": 9}


def test_answers_are_the_sums():
    for (a, b), item in PAIRS.items():
        assert item.reference == {"answer": str(a + b)}
        assert item.id == item.cluster == f"sums-{a}-{b}"
