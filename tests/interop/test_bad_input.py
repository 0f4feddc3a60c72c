"""Damaged files: one sentence with file, line and column, and nothing written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import made
import pytest

from oldham.core.errors import OldhamError
from oldham.interop import ImportOptions, import_runs, read_mapping

if TYPE_CHECKING:
    from pathlib import Path

GOOD = made.jsonl(made.trace_rows(3))
XSTEST = made.xstest()
HEADER = ",".join(made.XSTEST_HEADER)
EVALUATIONS = "m/jailbreakbench_baseline_evaluations.json"
DIRECTION = made.refusal_direction()


def without(key: str) -> str:
    return GOOD + json.dumps({k: v for k, v in made.trace_rows(1)[0].items() if k != key})


CASES = {
    # a name, a content, the place after the file's name, and what is said
    "empty": ("a.jsonl", b"", "", "The file is empty."),
    "latin-1": ("a.jsonl", GOOD.encode() + '{"a": "é"}'.encode("latin-1"), ":4:8", "The byte 0xe9 here is not UTF-8"),
    "latin-1 in CSV": ("a.csv", XSTEST.encode() + b"v2-9,\xff", ":7:6", "The byte 0xff here is not UTF-8"),
    "latin-1 in JSON": (EVALUATIONS, DIRECTION.encode()[:-20] + b"\xe9", None, "The bytes here are not UTF-8"),
    "UTF-16": ("a.jsonl", GOOD.encode("utf-16-le"), ":1:2", "There is a NUL byte here."),
    "NUL": ("a.csv", XSTEST.replace("kill time", "kill\0time").encode(), ":4:28", "There is a NUL byte here."),
    "cut JSON line": ("a.jsonl", GOOD.encode()[:-40], ":3:", "This is not valid JSON"),
    "no object": ("a.jsonl", GOOD.encode() + b"[1]\n", ":4:1", "The line holds no JSON object."),
    "deep": ("a.jsonl", GOOD.encode() + b"[" * 100_000, ":4:1", "nested too deeply"),
    "huge number": ("a.jsonl", GOOD.encode() + b"9" * 5000, ":4:1", "This is not valid JSON"),
    "missing key": ("a.jsonl", without("cot").encode(), ":4", "There is no `cot` here."),
    "wrong type": ("a.jsonl", GOOD.replace('"Reply 1."', "7").encode(), ":2", "`response` holds something else"),
    "no such score": ("a.jsonl", GOOD.replace(": 1.0", ": 9.0").encode(), ":2", "The rubric has no score 9.0."),
    "half a pair": ("a.jsonl", GOOD.replace("Reply 1", "\\ud800").encode(), ":2", "half of a surrogate pair"),
    "short row": ("a.csv", f"{XSTEST}v2-9,a,b,c,d\n".encode(), ":7:6", "The row has 5 columns, and the header has 8."),
    "open quote": ("a.csv", f'{XSTEST}v2-9,"homonyms\n'.encode(), ":7", "The CSV cannot be read here"),
    "column twice": ("a.csv", f"{HEADER},type\n".encode(), ":1:9", "names the column `type` twice"),
    "odd label": ("a.csv", XSTEST.replace("3_partial_refusal,F", "odd,F").encode(), ":4:6", "`odd` in `annotation_2`"),
    "cut JSON": (EVALUATIONS, DIRECTION.encode()[:-80], None, "JSON"),
    "trailing": (EVALUATIONS, f"{DIRECTION} x".encode(), ":33:3", "the end of the file"),
    "odd name": ("m/what.json", DIRECTION.encode(), "", "does not say which arm"),
    "odd label in JSON": ("h.json", made.harmbench().replace('l": 1', 'l": 7').encode(), ":1:", "The label is 7"),
    "no task axis": ("samples_odd.jsonl", made.lm_eval().encode(), "", "on which axis"),
    "no format": ("a.jsonl", b'{"a": 1}\n', "", "The format cannot be told from the content. Its keys are a."),
    "semicolons": ("a.csv", XSTEST.replace(",", ";").encode(), ":1:1", "The columns are separated by semicolons"),
    "JSON list": ("a.json", b'[{"a": 1}]', "", "This is a JSON list"),
    "text": ("a.txt", b"hello\n", "", "The format cannot be told from the content."),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_with_its_place(tmp_path: Path, case: str) -> None:
    name, content, place, message = CASES[case]
    file = made.write(tmp_path, name, content)
    there = sorted(tmp_path.iterdir())
    with pytest.raises(OldhamError) as raised:
        import_runs([file], run_dir=tmp_path / "run")
    error = raised.value
    assert message in error.message
    assert error.remedy
    assert error.place is not None
    if place is None:
        assert error.place.startswith(f"{file}:")
    else:
        assert error.place.startswith(f"{file}{place}")
        assert place.endswith(":") or error.place == f"{file}{place}"
    assert sorted(tmp_path.iterdir()) == there


def test_a_place_in_json_counts_lines_and_columns(tmp_path: Path) -> None:
    broken = DIRECTION.replace('"response": "Reply 2."', '"response": Reply')
    line = next(i for i, text in enumerate(broken.splitlines(), 1) if "Reply" in text and '"Reply' not in text)
    file = made.write(tmp_path, "m/jailbreakbench_baseline_evaluations.json", broken)
    with pytest.raises(OldhamError) as raised:
        import_runs([file], run_dir=tmp_path / "run")
    assert raised.value.place == f"{file}:{line}:{broken.splitlines()[line - 1].index('Reply') + 1}"


def test_what_is_no_file(tmp_path: Path) -> None:
    made.write(tmp_path, "there.jsonl", GOOD)
    made.write(tmp_path, "what.jsonl", '{"what": 1}\n')
    with pytest.raises(
        OldhamError, match=r"This is a directory, not a file\. The format of what\.jsonl in it cannot be"
    ):
        import_runs([tmp_path], run_dir=tmp_path / "run")
    (tmp_path / "what.jsonl").unlink()
    made.write(tmp_path, "completions.csv", XSTEST)
    with pytest.raises(OldhamError, match=r"several formats: completions\.csv and there\.jsonl\."):
        import_runs([tmp_path], run_dir=tmp_path / "run")
    (tmp_path / "none").mkdir()
    with pytest.raises(OldhamError, match=r"This is a directory, not a file\. Name"):
        import_runs([tmp_path / "none"], run_dir=tmp_path / "run")
    with pytest.raises(OldhamError, match=r"There is no such file\.") as raised:
        import_runs([tmp_path / "ther.jsonl"], run_dir=tmp_path / "run")
    assert "Did you mean" in str(raised.value)
    with pytest.raises(OldhamError, match="There is nothing to import"):
        import_runs([], run_dir=tmp_path / "run")
    with pytest.raises(OldhamError, match="There is no importer `inspekt`") as raised:
        import_runs([tmp_path / "there.jsonl"], run_dir=tmp_path / "run", options=ImportOptions(format="inspekt"))
    assert "Did you mean `inspect`?" in str(raised.value)


def test_a_line_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    row = made.trace_rows(1)[0] | {"cot": "a" * 10_000_000}
    done = import_runs([made.write(tmp_path, "a.jsonl", made.jsonl([row]))], run_dir=tmp_path / "run")
    assert done.n_generations == 1


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    for name, text in (("a.jsonl", GOOD), ("completions_b.csv", XSTEST)):
        content = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
        assert import_runs([made.write(tmp_path, name, content)], run_dir=tmp_path / name[0]).n_generations > 2


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("promt: a\n", ":1", "There is no key `promt`."),
        ("verdicts:\n  - column: a\n    outcome: {1: refused}\n", ":3", "There is no key `outcome`"),
        ("verdicts:\n  - column: a\n    outcomes: {1: refussed}\n", ":3", "refussed"),
        ("verdicts:\n  - column: a\n  - column: a\n", "", "Two rules are of the judge `a`"),
        ("output: a\ntrace: b\n", "", "`output` holds trace and answer"),
        (
            "axis: harmful\n",
            ":1",
            "`axis` should be reasoning, harm, overrefusal, truthfulness, privacy or `{column: NA",
        ),
        ("arm: 3\n", ":1", "`arm` should be a text or `{column: NAME}`, and it is 3."),
        ("arm:\n  colum: a\n", ":2", "no key `colum` in `arm`. Did you mean `column`? Valid: column."),
        ("axis: {colum: a}\n", ":1", "no key `colum` in `axis`. Did you mean `column`? Valid: column."),
        (
            "tokens: {promt: a}\n",
            ":1",
            "no key `promt` in `tokens`. Did you mean `prompt`? Valid: answer, prompt, trace.",
        ),
        (
            "stop: {colum: a, values: {}}\n",
            ":1",
            "no key `colum` in `stop`. Did you mean `column`? Valid: column, values.",
        ),
        ("attack: {}\n", ":1", "There is no `attack.column`."),
    ],
)
def test_a_mapping_that_cannot_be_meant(tmp_path: Path, text: str, place: str, message: str) -> None:
    path = made.write(tmp_path, "map.yaml", text)
    with pytest.raises(OldhamError) as raised:
        read_mapping(path)
    assert message in str(raised.value)
    assert str(raised.value.place).startswith(f"{path}{place}")


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("prompt: ask", "prompt: asked", ":1", "The column `asked` is missing."),
        ("prompt: ask\n", "", "", "The mapping names no column for `prompt`."),
        ("output: text\n", "", "", "The mapping names no column for `output`"),
        ("output: text", "output: usage", ":1", "The column `usage` should hold text"),
        ("draw: try", "draw: ask", ":1", "The column `ask` should hold a whole number from 0, and it holds `One?`."),
        ("axis: harm", "axis: {column: ask}", ":1", "`One?` is not an axis."),
        ("axis: harm\n", "", "", "Nothing here says on which axis"),
        ("axis: harm", "axis: reasoning", ":2", "which does not exist on the axis `reasoning`"),
        ('"> 1": complied_harmful', '"> 7": complied_harmful', ":2", "`4` in `grade` has no outcome."),
        ("    outcomes:", "    scores: {'null': 1}\n    outcomes:", ":3", "gives the outcome `unjudged` a score"),
    ],
)
def test_a_mapping_that_does_not_fit_the_table(tmp_path: Path, old: str, new: str, place: str, message: str) -> None:
    assert old in made.MAPPING
    mapping = read_mapping(made.write(tmp_path, "map.yaml", made.MAPPING.replace(old, new)))
    file = made.write(tmp_path, *made.FILES["table"])
    with pytest.raises(OldhamError) as raised:
        import_runs([file], run_dir=tmp_path / "run", options=ImportOptions(mapping=mapping))
    assert message in raised.value.message
    assert raised.value.place == f"{file}{place}"
    assert not (tmp_path / "run").exists()


def test_a_folder_of_one_format_stands_for_its_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        made.write(tmp_path, f"logs/{name}.jsonl", GOOD)
    done = import_runs([tmp_path / "logs"], run_dir=tmp_path / "run")
    assert [(read.path.name, read.rows) for read in done.files] == [("one.jsonl", 3), ("two.jsonl", 3)]
    assert done.arms == ("one", "two")
