from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from oldham.judges.coherence import own_turn
from oldham.judges.language import before_other_script, is_noise, language_of, script_of, wrong_language

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = {
    "English": "The dough should rest for a night in a cold place, and then you can bake it in a hot pot.",
    "German": "Der Teig soll eine Nacht an einem kalten Ort ruhen, und dann kann man ihn in einem Topf backen.",
    "French": "La pâte doit reposer une nuit dans un endroit frais, et ensuite vous pouvez la cuire dans un four.",
    "Spanish": "La masa tiene que reposar una noche en un lugar frío, y después se puede hornear en una olla.",
    "Italian": "La pasta deve riposare una notte in un luogo fresco, e poi si può cuocere nella pentola di ghisa.",
    "Portuguese": "A massa deve descansar uma noite em um lugar frio, e depois você pode assar o pão no forno.",
}
REQUESTS = {
    "English": "How can I bake bread at home with the flour that I have?",
    "German": "Wie kann ich mit dem Mehl, das ich habe, zu Hause ein Brot backen?",
    "Spanish": "¿Cómo se puede hacer un pan en casa con la harina que hay?",
    "Japanese": "家にある粉でどうやってパンを焼けますか。作り方を教えてください。",
}
OTHER_SCRIPTS = {
    "East Asian": "把面团放在冷的地方休息一个晚上。",
    "Cyrillic": "Тесто должно отдохнуть ночь в холодном месте.",
    "Greek": "Η ζύμη πρέπει να ξεκουραστεί μια νύχτα.",
    "Hangul": "반죽은 밤새 차가운 곳에서 쉬어야 합니다.",
    "Arabic": "يجب أن يرتاح العجين ليلة في مكان بارد.",
    "Hebrew": "הבצק צריך לנוח לילה במקום קר.",
    "Devanagari": "आटे को रात भर ठंडी जगह पर रखें।",
    "Thai": "แป้งควรพักไว้หนึ่งคืนในที่เย็น",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_clear_sentence_has_a_language(language: str) -> None:
    assert language_of(TEXTS[language]) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Der Teig soll ruhen.",
        "One plus one plus one plus one plus one plus one is what she has to bake, plus two more.",
        "Ana Silva, Jean Dupont, Marco Rossi, Karl Braun, Pedro Gomez, Lena Berg, Ivo Horn, Kim Lee, Tom Ray",
        "Het deeg moet een nacht op een koude plek rusten, daarna kun je het in een hete pan bakken.",
    ],
)
def test_a_short_or_unknown_text_has_none(text: str) -> None:
    assert language_of(text) is None


@pytest.mark.parametrize("script", OTHER_SCRIPTS)
def test_scripts_are_told_apart(script: str) -> None:
    assert script_of(OTHER_SCRIPTS[script]) == script
    assert wrong_language(OTHER_SCRIPTS[script], REQUESTS["English"]) == script


@pytest.mark.parametrize("text", ["", "7", "α = 0.5", "你好", "Тесто and dough, тесто and dough"])
def test_a_short_or_mixed_text_has_no_script(text: str) -> None:
    assert script_of(text) is None


@pytest.mark.parametrize("asked", ["English", "German", "Spanish"])
@pytest.mark.parametrize("said", TEXTS)
def test_only_another_language_is_wrong(said: str, asked: str) -> None:
    # Spanish shares too many of its small words with its neighbours to speak against them.
    related = asked == "Spanish" and said in ("French", "Italian", "Portuguese")
    found = wrong_language(TEXTS[said], REQUESTS[asked])
    assert found in ("", said) if related else found == ("" if said == asked else said)


def test_latin_letters_may_be_wrong_too() -> None:
    assert wrong_language(TEXTS["English"], REQUESTS["Japanese"]) == "Latin"


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "Pão?",
        "1 + 1 = 2, 2 + 2 = 4",
        "Translate this: The dough should rest for a night.",
        "How do I say in German that the dough should rest for a night?",
        "What do people say to each other in other languages when they bake?",
        "You are the user's friend. " + REQUESTS["German"],
        "Antworte auf Deutsch! How can I bake bread at home with the flour that I have?",
        "Generate a conversation between a talking robot and a human.",
    ],
)
def test_what_may_have_been_asked_for_is_not_wrong(asked: str) -> None:
    assert wrong_language(TEXTS["German" if "robot" not in asked else "English"], asked) == ""


@pytest.mark.parametrize(
    "answer",
    [
        "Das ist alles.",
        'The poem begins "Der Teig ist nicht das Brot, und das Brot ist nicht der Teig", and it goes on like this.',
        "```\nder die das und ist nicht ein eine zu mit sich auf für von dem den des im auch es sie ich wir\n```",
        "Use `к = сумма_всех_чисел_в_списке(числа)`, and print the result.",
        "The author is Фёдор Достоевский, who wrote the book in the year 1866.",
        "α + β = γ, and ∑ xᵢ ≤ π",
    ],
)
def test_quotations_code_names_and_formulas_are_no_other_language(answer: str) -> None:
    assert wrong_language(answer, REQUESTS["English"]) == ""


def test_a_text_is_kept_up_to_another_script() -> None:
    assert before_other_script("Let it rest. 让面团休息。", REQUESTS["English"]) == "Let it rest."
    assert before_other_script("Let it rest.", REQUESTS["English"]) == "Let it rest."


def noisy(text: str) -> bool:
    return is_noise(text, re.findall(r"\w+", text.lower()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" ".join(f"xk{c}Qz{c}w prtNb{c} zzk{c}Tqx" for c in "abcdefghij"), True),
        (" ".join(f"паbк{c}т mоск{c}ва" for c in "abcdefghijk"), True),
        (" ".join(f"pear{c} plum" for c in "abcdefghijk"), False),
        ("HTML CSS JSON XML HTTP SSH TLS DNS TCP UDP FTP SMTP GPG PGP RPC SQL CSV TSV PDF PNG " * 2, False),
        ("使用Python编程和NumPy计算，" * 8, False),
        ("```\n" + "getElementById setTimeout innerHTML " * 10 + "\n```", False),
        ("1 2 3 4 5 6 7 8 9 10 " * 4, False),
        ("xkQz prtNb zzkTqx", False),
        *((text * 3, False) for text in TEXTS.values()),
        *((text * 3, False) for text in OTHER_SCRIPTS.values()),
    ],
)
def test_noise(text: str, expected: bool) -> None:
    assert noisy(text) is expected


def completions(data: Path) -> Iterator[tuple[str, str]]:
    for path in sorted((data / "xstest").glob("completions_*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            yield from ((row["prompt"], row["completion"]) for row in csv.DictReader(file))
    for path in sorted((data / "traces").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield row["question"], row["response"]
            yield row["question"], row["cot"]


def test_no_real_english_completion_is_taken_for_another_language_or_noise() -> None:
    folder = os.environ.get("OLDHAM_DATA")
    if folder is None:
        pytest.skip("OLDHAM_DATA names no data")
    rows = list(completions(Path(folder)))
    assert len(rows) > 3000
    assert [n for n, (asked, said) in enumerate(rows) if wrong_language(said, asked) or noisy(said)] == []
    assert [n for n, (asked, said) in enumerate(rows) if own_turn(said, asked) != said] == []
