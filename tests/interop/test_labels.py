"""Labelled texts from every kind of file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made import jsonl, trace_rows, write, xstest

from oldham.core.errors import OldhamError
from oldham.core.fingerprint import file_sha256
from oldham.core.outcomes import Axis, Outcome
from oldham.interop import import_runs, read_mapping
from oldham.interop.label_table import WORDS, outcome_named
from oldham.interop.labels import LabelOptions, read_labels

HARM = LabelOptions(axis=Axis.HARM)


def test_xstest_completions_bring_their_axes_and_annotators(tmp_path: Path) -> None:
    file = write(tmp_path, "completions_model.csv", xstest())
    labels = read_labels([file])
    assert (labels.truth, labels.annotators) == ("human_final", ("human_1", "human_2"))
    assert [(row.item.axis, row.truth) for row in labels.rows] == [
        (Axis.OVERREFUSAL, Outcome.COMPLIED_SAFE),
        (Axis.OVERREFUSAL, Outcome.PARTIAL),
        (Axis.HARM, Outcome.REFUSED),
        (Axis.HARM, Outcome.COMPLIED_HARMFUL),
    ]
    assert labels.rows[1].annotators == (Outcome.REFUSED, Outcome.PARTIAL)
    assert labels.sources[0].model_dump() == {"name": file.name, "sha256": file_sha256(file), "n": 4}


def test_an_imported_run_has_the_labels_of_its_files(tmp_path: Path) -> None:
    file = write(tmp_path, "completions_model.csv", xstest())
    import_runs([file], run_dir=tmp_path / "run")
    of_file, of_run = read_labels([file]), read_labels([tmp_path / "run"])
    assert {(row.item, row.truth, row.annotators) for row in map(_hashable, of_file.rows)} == {
        (row.item, row.truth, row.annotators) for row in map(_hashable, of_run.rows)
    }
    assert of_run.sources[0].name == "run run"
    assert file_sha256(file) in of_run.hashes


def _hashable(row):  # type: ignore[no-untyped-def]
    return row._replace(item=row.item.fingerprint)


def test_a_plain_table_needs_no_mapping_file(tmp_path: Path) -> None:
    text = (
        "prompt,completion,label,label_1,label_2,arm,category\n"
        "One?,<think>Hm.</think>No.,full refusal,refusal,refused,a,x\n"
        "One?,Yes.,Compliance,complied,,b,x\n"
        "Two?,Yes.,,,,b,x\n"
    )
    labels = read_labels([write(tmp_path, "rows.csv", text)], HARM)
    first, second = labels.rows
    assert (first.truth, first.annotators) == (Outcome.REFUSED, (Outcome.REFUSED, Outcome.REFUSED))
    assert (first.generation.trace_text, first.generation.answer_text) == ("Hm.", "No.")
    assert (second.truth, second.annotators) == (Outcome.COMPLIED_HARMFUL, (Outcome.COMPLIED_HARMFUL,))
    assert [row.generation.trial.arm for row in labels.rows] == ["a", "b"]
    assert (first.item.category, labels.n_unlabelled, labels.truth) == ("x", 1, "label")


def test_jsonl_may_hold_the_axis_the_trace_and_a_reference(tmp_path: Path) -> None:
    rows = [
        {"prompt": "One?", "answer": "1", "label": "right", "axis": "reasoning", "reference": {"answer": "1"}},
        {"prompt": "Two?", "answer": None, "trace": "Hm", "label": "refusal", "axis": "harm"},
    ]
    first, second = read_labels([write(tmp_path, "rows.jsonl", jsonl(rows))]).rows
    assert (first.item.reference, first.truth, first.item.axis) == ({"answer": "1"}, Outcome.CORRECT, Axis.REASONING)
    assert (second.generation.trace_text, second.generation.answer_text) == ("Hm", None)


def test_the_same_text_may_be_labelled_twice_and_counts_twice(tmp_path: Path) -> None:
    text = "prompt,answer,label\nOne?,No.,refusal\nOne?,No.,refusal\n"
    file = write(tmp_path, "rows.csv", text)
    assert len(read_labels([file], HARM).rows) == 2


def test_a_label_may_be_about_the_trace(tmp_path: Path) -> None:
    rows = [{"prompt": "One?", "trace": "Hm", "answer": "No.", "label": "harmless"}]
    options = LabelOptions(axis=Axis.HARM, span="trace")
    (row,) = read_labels([write(tmp_path, "rows.jsonl", jsonl(rows))], options).rows
    assert (row.span, row.truth) == ("trace", Outcome.COMPLIED_SAFE)


def test_whose_word_is_the_truth_must_be_said_where_several_judged(tmp_path: Path) -> None:
    file = write(tmp_path, "model.jsonl", jsonl(trace_rows()))
    with pytest.raises(OldhamError, match="Several judged these texts: `safety_rubric`, `selfjb_annotation`."):
        read_labels([file])
    labels = read_labels([file], LabelOptions(truth="safety_rubric"))
    assert {row.span for row in labels.rows} == {"answer"}
    assert (len(labels.rows), labels.n_unlabelled) == (5, 1)
    traces = read_labels([file], LabelOptions(truth="selfjb_annotation"))
    assert [row.span for row in traces.rows] == ["trace"] * 3
    # A judge that is measured cannot be the only other one.
    assert read_labels([file], LabelOptions(judge="selfjb_annotation")).truth == "safety_rubric"


def test_a_mapping_file_explains_other_columns(tmp_path: Path) -> None:
    mapping = write(tmp_path, "m.yaml", "axis: harm\nprompt: q\nanswer: a\nverdicts:\n- {column: gold}\n")
    file = write(tmp_path, "rows.csv", "q,a,gold\nOne?,No.,refused\n")
    labels = read_labels([file], LabelOptions(mapping=read_mapping(mapping)))
    assert (labels.truth, labels.rows[0].truth) == ("gold", Outcome.REFUSED)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", HARM, "The file is empty."),
        ("prompt,answer,label\n", HARM, "There is no labelled row here."),
        ("prompt,answer,lable\nOne?,No.,refused\n", HARM, "There is no column `label` here. Its columns are prompt"),
        ("prompt,said,label\nOne?,No.,refused\n", HARM, "There is no column `answer` here."),
        ("prompt,answer,label\nOne?,No.,maybe\n", HARM, "rows.csv:2:3: `maybe` in `label` is no label on the axis"),
        ("prompt,answer,label\nOne?,No.,maybe\n", HARM, "complied_harmful (comply, complied)"),
        ("prompt,answer,label\nOne?,No.,refused\n", None, "Nothing here says on which axis these items are."),
        ("prompt,answer,label,axis\nOne?,No.,refused,harms\n", None, "Did you mean `harm`?"),
        ("prompt,answer,label\nOne?,No.,\n", HARM, "No text here has a label by `label`."),
        ("prompt,answer,label\n,No.,refused\n", HARM, "The column `prompt` holds no request."),
        ("prompt,answer,label,reference\nOne?,No.,refused,[1]\n", HARM, "holds no JSON object"),
        (
            "prompt,answer,label\nOne?,No.,refused\n",
            LabelOptions(axis=Axis.HARM, truth="lable"),
            "Did you mean `label`?",
        ),
        (
            "prompt,answer,label\nOne?,No.,refused\n",
            LabelOptions(axis=Axis.HARM, truth="label", judge="label"),
            "A judge cannot be its own truth.",
        ),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, text: str, options: LabelOptions | None, message: str) -> None:
    with pytest.raises(OldhamError) as caught:
        read_labels([write(tmp_path, "rows.csv", text)], options)
    assert message in str(caught.value)


def test_labels_that_are_given_twice_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "completions_model.csv", xstest())
    import_runs([file], run_dir=tmp_path / "run")
    for twice in ([file, file], [tmp_path / "run", file], [file, tmp_path / "run"]):
        with pytest.raises(OldhamError, match="These labels are given twice"):
            read_labels(twice)


def test_texts_of_a_run_whose_items_are_gone_are_counted(tmp_path: Path) -> None:
    import_runs([write(tmp_path, "completions_model.csv", xstest())], run_dir=tmp_path / "run")
    whole = read_labels([tmp_path / "run"])
    items = tmp_path / "run" / "items.jsonl"
    first, *others = items.read_text().splitlines(keepends=True)
    items.write_text("".join(others))
    labels = read_labels([tmp_path / "run"])
    assert len(labels.rows) < len(whole.rows)
    assert (whole.n_left_out, labels.n_left_out) == (0, len(whole.rows) - len(labels.rows)), first


def test_partial_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    text = "prompt,answer,label\nOne?,No.,refused\nTwo?,No.,maybe\n"
    labels = read_labels([write(tmp_path, "rows.csv", text)], LabelOptions(axis=Axis.HARM, partial=True))
    assert (len(labels.rows), labels.n_left_out) == (1, 1)


def test_every_word_means_one_outcome_that_is_legal_there() -> None:
    for axis, words in WORDS.items():
        for outcome, some in words.items():
            assert [outcome_named(word, axis) for word in [outcome, *some.split()]] == [outcome] * (
                1 + len(some.split())
            )
    assert outcome_named("2_full_refusal", Axis.HARM) is Outcome.REFUSED
    assert outcome_named("Full-Compliance", Axis.OVERREFUSAL) is Outcome.COMPLIED_SAFE
    assert outcome_named("1", Axis.HARM) is None


def test_nothing_of_the_texts_is_written_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "rows.csv", "prompt,answer,label\nOne?,No.,refused\n")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    read_labels([file], HARM)
    assert not list((tmp_path / "work").iterdir())
    assert json.dumps(sorted(p.name for p in tmp_path.iterdir())) == '["rows.csv", "work"]'


def test_the_page_on_judges_names_every_word_of_a_label() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "judges.md").read_text(encoding="utf-8")
    words = {word for axis in WORDS.values() for some in axis.values() for word in some.split()}
    assert {word for word in words if word not in page} == set()
