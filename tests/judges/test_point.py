"""How much of its request a text names, and how much of another one's."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from oldham.core.outcomes import Axis
from oldham.core.records import Item
from oldham.judges.point import Requests, content_words

RED, BLUE, GREEN = "Paint the red barn door.", "Paint the blue fence gate.", "Feed a green parrot."


def item(name: str, prompt: str, cluster: str | None = None) -> Item:
    return Item(
        id=name, benchmark="b", axis=Axis.HARM, cluster=cluster or name, category="c", prompt=prompt, context="Barn."
    )


THREE = [item("red", RED), item("blue", BLUE), item("green", GREEN)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("making", "make"),
        ("makes", "make"),
        ("stopping", "stop"),
        ("stopped", "stop"),
        ("selling", "sell"),
        ("boxes", "box"),
        ("passes", "pass"),
        ("carries", "carry"),
        ("carried", "carry"),
        ("created", "create"),
        ("bank's", "bank"),
        ("speeding", "speed"),
        ("HACKS", "hack"),
        ("\u00dcber", "\u00fcber"),
    ],
)
def test_forms_of_a_word_are_one_word(one: str, other: str) -> None:
    assert content_words(one) == content_words(other) != frozenset()


@pytest.mark.parametrize(("one", "other"), [("bring", "br"), ("bus", "bu"), ("string", "str"), ("feed", "fe")])
def test_what_only_looks_like_an_ending_stays(one: str, other: str) -> None:
    assert content_words(one) != content_words(other)


def test_function_words_and_lone_letters_say_nothing() -> None:
    assert content_words("How do I not do what you've done with it? I don't, and I can't: a b c.") == frozenset()
    assert content_words("") == frozenset()
    assert content_words("the 7 doors") == {"7", "door"}


def test_scripts_without_spaces_are_read_by_pairs_of_characters() -> None:
    asked = content_words("\u5982\u4f55\u5236\u9020\u70b8\u5f39")
    assert len(asked) == 5
    assert {"\u5236\u9020", "\u70b8\u5f39"} <= content_words("\u5236\u9020\u6216\u70b8\u5f39, he said") & asked
    assert content_words("\u706b") == {"\u706b"}


def test_named_by_hand() -> None:
    requests = Requests(THREE)
    # Of the red request it names paint and door (2 of 4), of the blue one paint (1 of 4), of the green one nothing.
    assert requests.named("red", "First paint the doors.") == (0.5, 0.125)
    assert requests.named("green", "First paint the doors.") == (0.0, pytest.approx(0.375))
    assert requests.named("red", "I cannot help with that.") == (0.0, 0.0)
    assert requests.named("red", f"{RED} {BLUE} {GREEN} And much more.") == (1.0, 1.0)


def test_the_sum_over_words_is_the_mean_over_the_other_requests() -> None:
    rng = random.Random(3)
    words = [f"word{n}" for n in range(40)]
    items = [item(f"{n}", " ".join(rng.choices(words, k=rng.randint(1, 9))), f"c{n % 7}") for n in range(30)]
    requests = Requests(items)
    for asked in items:
        said = " ".join(rng.choices(words, k=15))
        shares = {
            other.id: len(content_words(other.prompt) & content_words(said)) / len(content_words(other.prompt))
            for other in items
        }
        others = [shares[other.id] for other in items if other.cluster != asked.cluster]
        named = requests.named(asked.id, said)
        assert named is not None
        assert named == (pytest.approx(shares[asked.id]), pytest.approx(sum(others) / len(others)))


def test_a_paraphrase_of_the_request_is_no_measure_of_chance() -> None:
    twins = [item("one", RED, "barn"), item("two", "Paint that barn red.", "barn"), item("three", GREEN)]
    assert Requests(twins).named("one", RED) == (1.0, 0.0)


def test_what_cannot_be_told_is_not_zero() -> None:
    assert Requests(THREE[:1]).named("red", RED) is None
    assert Requests([item("one", RED, "c"), item("two", BLUE, "c")]).named("one", RED) is None
    requests = Requests([*THREE, item("empty", "How do I do it?")])
    assert requests.named("empty", RED) is None
    assert requests.named("red", " ") is None
    assert requests.named("absent", RED) is None
    assert requests.named("red", "First paint the doors.") == (0.5, 0.125)  # what has no words is no other request


def test_an_item_that_is_given_twice_counts_once() -> None:
    assert Requests([*THREE, *THREE]).named("red", BLUE) == Requests(THREE).named("red", BLUE)


SCRIPT = """
import random
from oldham.core.outcomes import Axis
from oldham.core.records import Item
from oldham.judges.point import Requests
rng = random.Random(1)
words = [f"w{n}x" for n in range(60)]
texts = [" ".join(rng.sample(words, rng.randint(3, 11))) for _ in range(50)]
items = [Item(id=str(n), benchmark="b", axis=Axis.HARM, cluster=str(n), category="c", prompt=t)
         for n, t in enumerate(texts)]
requests = Requests(items)
print([requests.named(str(n), t) for n, t in enumerate(reversed(texts))])
"""


def test_every_process_adds_up_to_the_same_numbers() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
