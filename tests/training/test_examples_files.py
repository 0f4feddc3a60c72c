from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from oldham.core.errors import DataError
from oldham.training.loaders import last_box
from oldham.training.sources import SOURCES

PUBLISHED = [name for name in SOURCES.names() if SOURCES.get(name).info.files]
REAL = Path(os.environ.get("OLDHAM_DATA", "/nowhere")) / "gsm8k" / "train.jsonl"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of made-up files with the published columns, and a cache of the test's own."""
    monkeypatch.setenv("OLDHAM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OLDHAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "data"


def put(folder: Path, source: str, *rows: dict[str, Any], number: int = 0) -> None:
    path = folder / SOURCES.get(source).info.files[number].path
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(list(rows)).write_parquet(path)


def read(source: str, n: int = 10, kind: str | None = None) -> list[Any]:
    return SOURCES.get(source)().examples(n, 0, kind)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_missing_file_is_told_with_where_to_get_it(name: str) -> None:
    with pytest.raises(DataError) as caught:
        read(name)
    assert SOURCES.get(name).info.files[0].url in str(caught.value)


@pytest.mark.skipif(not REAL.is_file(), reason="OLDHAM_DATA has no GSM8K")
def test_gsm8k_is_the_published_file_without_the_calculators_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLDHAM_DATA", str(REAL.parents[1]))
    rows = read("gsm8k_train", 9999)
    assert len(rows) == SOURCES.get("gsm8k_train").info.n_examples == 7473
    assert not any("<<" in row["completion"] for row in rows)
    assert rows[0]["completion"].startswith("Natalia sold 48/2 = 24 clips in May.\n")
    assert rows[0]["completion"].endswith("\n#### 72")
    assert all(row["completion"].endswith(row["completion"].split("####")[1]) for row in rows)
    assert rows[0]["reference"] == {"answer": "72"}
    assert all(float(row["reference"]["answer"]) is not None for row in rows)


def test_another_gsm8k_is_refused(folder: Path) -> None:
    path = folder / "gsm8k" / "train.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"question": "q", "answer": "a #### 1"}) + "\n")
    with pytest.raises(DataError, match="not the pinned version"):
        read("gsm8k_train")


def test_math_takes_its_subjects_in_turn(folder: Path) -> None:
    kinds = SOURCES.get("math_train").info.kinds
    for number, kind in enumerate(kinds):
        said = {"counting_and_probability": "Counting & Probability"}.get(kind, kind.replace("_", " ").title())
        rows = [
            {"problem": f"{kind} {i}", "level": "Level 1", "type": said, "solution": rf"So \boxed{{{i}}}."}
            for i in range(3)
        ]
        put(folder, "math_train", *rows, {**rows[0], "problem": "no box", "solution": "Clearly."}, number=number)
    assert Counter(row["kind"] for row in read("math_train", 14)) == dict.fromkeys(kinds, 2)
    assert len(read("math_train", 999)) == 21, "a solution without a box is left out"
    assert [row["prompt"] for row in read("math_train", 2, "geometry")] == ["geometry 0", "geometry 1"]
    assert read("math_train", 1)[0]["reference"] == {"answer": "0"}


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"$\boxed{\frac{1}{2}}$", r"\frac{1}{2}"),
        (r"\boxed{1} and \boxed{x^{2}}", "x^{2}"),
        ("nothing", None),
        (r"\boxed{1", None),
        (r"\boxed{}", None),
    ],
)
def test_the_last_box(solution: str, answer: str | None) -> None:
    assert last_box(solution) == answer


def test_s1k_has_traces_of_two_models(folder: Path) -> None:
    put(
        folder,
        "s1k",
        {"question": "q", "cot_type": "math", "thinking_trajectories": [" t1 ", "t2"], "attempt": "a", "solution": "s"},
    )
    put(
        folder,
        "s1k_1_1",
        {"question": "q", "cot_type": "science", "deepseek_thinking_trajectory": "d", "deepseek_attempt": "e"},
    )
    assert read("s1k") == [{"prompt": "q", "completion": "a", "kind": "math", "trace": "t1"}]
    assert read("s1k_1_1") == [{"prompt": "q", "completion": "e", "kind": "science", "trace": "d"}]
    assert read("s1k", 1, "science") == []


def test_open_thoughts_loses_its_own_markers_and_its_files_take_turns(folder: Path) -> None:
    for number in range(6):
        whole = (
            f"<|begin_of_thought|>\n\nthought {number}\n\n<|end_of_thought|>\n\n"
            f"<|begin_of_solution|>\n\nanswer {number}\n\n<|end_of_solution|>"
        )
        turns = [{"from": "user", "value": f"question {number}"}, {"from": "assistant", "value": whole}]
        cut = [turns[0], {"from": "assistant", "value": "<|begin_of_thought|>\n\nnever done"}]
        rows = [{"system": "s", "conversations": cut}] + [{"system": "s", "conversations": turns}] * 2
        put(folder, "open_thoughts", *rows, number=number)
    rows = read("open_thoughts", 8)
    assert [row["prompt"][-1] for row in rows] == list("01234501")
    assert (rows[1]["trace"], rows[1]["completion"]) == ("thought 1", "answer 1")


def test_star1_and_safechain_are_parted_at_the_tags(folder: Path) -> None:
    put(
        folder,
        "star1",
        {"id": "1", "question": "q", "response": "<think>\nt\n</think>\n\nI can't.", "category": ["c"], "source": "s"},
        {"id": "2", "question": "q", "response": "<think>\nnever done", "category": ["c"], "source": "s"},
    )
    assert read("star1") == [{"prompt": "q", "completion": "I can't.", "kind": "harmful_refusal", "trace": "t"}]
    put(
        folder,
        "safechain",
        {"instruction": "q", "label": "vanilla_harmful", "response": "t\n</think>\n\nNo."},
        {"instruction": "r", "label": "vanilla_benign", "response": "<think>\nu\n</think>\n\nYes."},
        {"instruction": "r", "label": "vanilla_benign", "response": "an answer without a trace"},
    )
    rows = read("safechain")
    assert [(row["trace"], row["completion"], row["kind"]) for row in rows] == [
        ("t", "No.", "vanilla_harmful"),
        ("u", "Yes.", "vanilla_benign"),
    ]
    assert [row["prompt"] for row in read("safechain", 5, "vanilla_benign")] == ["r"]


def test_published_direct_refusal_is_read_from_the_refusal_alone(folder: Path) -> None:
    put(
        folder,
        "direct_refusal_published",
        {"prompt": "x", "alignment": "not read", "refusal": "Question: How?\nAnswer: I can't help with that."},
        {"prompt": "x", "alignment": "not read", "refusal": "something else"},
    )
    (row,) = read("direct_refusal_published")
    assert (row["prompt"], row["completion"]) == ("How?", "I can't help with that.")
    assert row["trace"] == "I should not answer this question!"


def test_other_columns_and_another_file_are_told(folder: Path) -> None:
    put(folder, "star1", {"prompt": "q", "answer": "a"})
    with pytest.raises(DataError, match="does not have the columns"):
        read("star1")
    put(folder, "star1", {"question": "q", "response": "<think>t</think>a"})
    with pytest.raises(DataError, match="not the pinned version"):  # pinned when it was first read
        read("star1")


def test_what_is_no_parquet_file_is_told(folder: Path) -> None:
    path = folder / SOURCES.get("s1k").info.files[0].path
    path.parent.mkdir(parents=True)
    path.write_text("no parquet")
    with pytest.raises(DataError, match="cannot be read"):
        read("s1k")
