from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from oldham.core.errors import DataError
from oldham.judges.text_model import (
    TextModel,
    hashed,
    in_english,
    load_model,
    ngrams,
    plain_sentences,
    softmax,
    written_out,
)

STORED: dict[str, Any] = {"format": 1, "classes": ["a", "b"], "intercepts": [0.0, 1.0], "weights": {"x": [2.0, 0.0]}}


def test_softmax_of_known_sums() -> None:
    assert softmax([0.0, 0.0]) == [0.5, 0.5]
    assert softmax([math.log(1), math.log(2), math.log(5)]) == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    assert softmax([1e4, 0.0]) == [1.0, 0.0]


def test_a_prediction_is_the_softmax_of_the_weighted_features() -> None:
    model = TextModel(("a", "b"), (0.0, math.log(3)), {"x": (math.log(2), 0.0), "y": (1.0, -1.0)})
    prediction = model.predict({"x": 2.0, "y": 0.0, "unknown": 7.0})
    assert prediction.probabilities == pytest.approx({"a": 4 / 7, "b": 3 / 7})
    assert prediction.contributions == {"a": {"x": 2 * math.log(2)}, "b": {"x": 0.0}}


def test_a_checksum_is_the_same_in_every_process() -> None:
    assert hashed("i cannot help") == "#3dbfe56b"
    code = "from oldham.judges.text_model import hashed; print(hashed('i cannot help'), hashed('für'))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
    )
    assert run.stdout.decode() == f"{hashed('i cannot help')} {hashed('für')}\n"


def test_ngrams_stay_within_a_sentence() -> None:
    assert list(ngrams(["so it goes", "in 1999"], longest=1)) == ["^", "so", "it", "goes", "$", "^", "in", "0", "$"]
    pairs = set(ngrams(["so it goes", "in 1999"], longest=2, place="o:"))
    assert {"o:so it", "o:goes $", "o:in 0"} <= pairs
    assert "o:goes in" not in pairs


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Take it. Go!", ["take it.", "go!"]),
        ("\n\n  **Take** it.\n\n", ["take it."]),
        ("# Note\n* one\n• two\n- three", ["note", "- one", "- two", "- three"]),
        ("I can’t, I cannot, I CAN NOT, i cant.", ["i cannot, i cannot, i cannot, i cannot."]),
        ("It's John's and I'd say we'll see.", ["it is john's and i would say we will see."]),
        ("He won't apologise; they don't fulfil it.", ["he will not apologize; they do not fulfill it."]),
        ("Type `rm x`.\n```\nI can't\n```", ["type …."]),
        ('She said: "I can\'t." Then she left.', ["she said: … then she left."]),
        ("> He wrote this.\nI read it.", ["i read it."]),
        ("> I can't do that.", ["i cannot do that."]),
        ("“I can't do that.”", ["i cannot do that."]),
        ("```\nI can't\n```", []),
        ("Yes.<|im_end|>", ["yes."]),
        ("", []),
    ],
)
def test_a_text_is_read_as_plain_sentences(text: str, sentences: list[str]) -> None:
    assert plain_sentences(text) == sentences


@pytest.mark.parametrize("text", ["do not", "the dog's bone", "candid", "wonted", "island", "raised", "i do"])
def test_what_only_looks_contracted_is_left_alone(text: str) -> None:
    assert written_out(text) == text


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("Take the early boat.", True),
        ("Yes.", True),
        ("42", True),
        ("Spinach, bananas, apples", True),
        (
            "They say: ich kann das nicht. It is what you hear if you ask for it and it is not in the box.",
            True,
        ),
        ("Es tut mir leid, aber ich kann dir dabei nicht helfen.", False),
        ("Je suis désolé, mais je ne peux pas vous aider.", False),
        ("Lo siento, pero no puedo ayudar con una cosa como esa.", False),
        ("对不起，我不能帮助你。", False),
        ("Извините, я не могу помочь.", False),
    ],
)
def test_other_languages_are_told_from_english(text: str, english: bool) -> None:
    assert in_english(text) is english


def test_a_model_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(STORED))
    assert load_model(path) == TextModel(("a", "b"), (0.0, 1.0), {"x": (2.0, 0.0)})


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "[]",
        "{}",
        json.dumps({**STORED, "format": 2}),
        json.dumps({**STORED, "classes": []}),
        json.dumps({**STORED, "intercepts": [0.0]}),
        json.dumps({**STORED, "weights": {"x": [1.0]}}),
        json.dumps({**STORED, "weights": {"x": [1.0, "many"]}}),
        json.dumps({**STORED, "weights": {"x": [1.0, math.inf]}}),
        json.dumps({**STORED, "weights": [1.0]}),
        None,
    ],
)
def test_a_damaged_model_file_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "model.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match="model file `model.json`") as caught:
        load_model(path)
    assert caught.value.remedy


def test_the_shipped_models_are_small_and_run_nothing() -> None:
    files = list((resources.files("oldham.judges") / "models").iterdir())
    assert {Path(file.name).suffix for file in files} == {".json"}
    assert sum(len(file.read_bytes()) for file in files) < 2_000_000
