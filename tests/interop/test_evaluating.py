"""A judge, measured on labelled texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from made import jsonl, write, xstest

from oldham.core.errors import DataError, RunInterruptedError
from oldham.core.outcomes import Axis, Outcome
from oldham.core.records import Message, ModelFingerprint, PromptPlan, StopReason
from oldham.interop.evaluating import EvaluateOptions, card_name, evaluate, seen_by, write_card
from oldham.interop.evaluation_text import SHOWN, chosen, describe
from oldham.interop.labels import LabelOptions, read_labels
from oldham.judges.asking import JudgeCall, ModelJudge
from oldham.judges.base import Judge
from oldham.judges.cards import read_card

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from oldham.core.records import Generation, Item, Verdict
    from oldham.interop.labels import Labels

R, H = Outcome.REFUSED, Outcome.COMPLIED_HARMFUL


class WordJudge(Judge):
    """Says "refused" where a part begins with "No"."""

    name = "word"
    version = 1
    axes = frozenset({Axis.HARM})
    spans = ("answer", "trace")

    def judge(self, item: Item, generation: Generation) -> list[Verdict]:
        parts = {"answer": generation.answer_text, "trace": generation.trace_text}
        return [
            self.verdict(item, generation, R if text.startswith("No") else H, span=span, raw=text[:5])  # type: ignore[arg-type]
            for span, text in parts.items()
            if text
        ]


class Asker:
    """Replies with what a list holds; an exception in it is raised."""

    model = "made:model"
    fingerprint = ModelFingerprint(weights="w", adapter=None, template="t", dtype="f", backend="b")

    def __init__(self, generation: Generation, replies: Sequence[str | BaseException]) -> None:
        self.generation, self.replies, self.asked = generation, list(replies), 0

    def ask(self, calls: Sequence[JudgeCall]) -> list[Generation]:
        said = []
        for _ in calls:
            reply = self.replies[self.asked]
            if isinstance(reply, BaseException):
                raise reply
            self.asked += 1
            stop = StopReason.ERROR if reply == "error" else StopReason.STOP
            said.append(self.generation.model_copy(update={"output_text": reply, "stop": stop}))
        return said


class AskingJudge(ModelJudge):
    """Asks whether it was a refusal."""

    name = "asking"
    version = 1
    axes = frozenset({Axis.HARM})

    def sample_calls(self) -> list[object]:
        return ["Refused?"]

    def settled(self, item: Item, generation: Generation) -> list[Verdict]:
        return []

    def calls(self, item: Item, generation: Generation) -> list[JudgeCall]:
        plan = PromptPlan(messages=(Message(role="user", content="Refused?"),), thinks=False)
        return [JudgeCall("answer", plan, generation.trial.fingerprint)]

    def read(self, item: Item, generation: Generation, call: JudgeCall, reply: Generation) -> Verdict | None:
        outcome = {"yes": R, "no": H}.get(reply.output_text)
        return None if outcome is None else self.verdict(item, generation, outcome, raw=reply.output_text)


def labels_of(tmp_path: Path, *rows: str, header: str = "prompt,answer,label", **options: object) -> Labels:
    file = write(tmp_path, "rows.csv", "\n".join([header, *rows]) + "\n")
    return read_labels([file], LabelOptions(axis=Axis.HARM, **options))  # type: ignore[arg-type]


def counts(labels: Labels, judge: Judge | None = None) -> dict[str, dict[Outcome, dict[Outcome, int]]]:
    return {cell.kind: cell.counts for cell in evaluate(judge or WordJudge(), labels).card.cells}


def test_the_cells_count_the_judge_against_the_labels(tmp_path: Path) -> None:
    header = "prompt,answer,label,label_1,label_2,arm,category"
    labels = labels_of(
        tmp_path,
        *("One?,No.,refused,refused,refused,a,x", "Two?,No.,refused,refused,partial,a,y"),
        *("Three?,Yes.,refused,refused,,b,x", "Four?,Yes.,harmful,harmful,harmful,b,x"),
        header=header,
    )
    assert counts(labels) == {
        "all": {R: {R: 2, H: 1}, H: {H: 1}},
        "direct": {R: {R: 2, H: 1}, H: {H: 1}},
        "humans agree": {R: {R: 1}, H: {H: 1}},
        "humans differ": {R: {R: 1}},
        "arm: a": {R: {R: 2}},
        "arm: b": {R: {H: 1}, H: {H: 1}},
        "category: x": {R: {R: 1, H: 1}, H: {H: 1}},
        "category: y": {R: {R: 1}},
    }
    (between,) = evaluate(WordJudge(), labels).annotators
    assert between.counts == {R: {R: 1, Outcome.PARTIAL: 1}, H: {H: 1}}


def test_texts_with_a_trace_are_counted_apart_and_parts_are_judged_apart(tmp_path: Path) -> None:
    rows = [
        {"prompt": "One?", "trace": "No way", "answer": "Yes.", "label": "harmful"},
        {"prompt": "Two?", "answer": "No.", "label": "refused"},
    ]
    file = write(tmp_path, "rows.jsonl", jsonl(rows))
    answers = read_labels([file], LabelOptions(axis=Axis.HARM))
    assert counts(answers)["thinking"] == {H: {H: 1}}
    assert counts(answers)["direct"] == {R: {R: 1}}
    traces = read_labels([file], LabelOptions(axis=Axis.HARM, span="trace"))
    found = evaluate(WordJudge(), traces)
    # The row without a trace has none that could be judged.
    assert [(cell.span, cell.kind, cell.counts) for cell in found.card.cells] == [
        ("trace", "all", {H: {R: 1}}),
        ("trace", "thinking", {H: {R: 1}}),
    ]
    assert "1 labels are on an axis or a part that `word` does not judge" in found.notes[0]


def test_a_card_says_whose_labels_it_rests_on(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, "One?,No.,refused", "Two?,Yes.,harmful")
    card = evaluate(WordJudge(), labels).card
    assert (card.labelled_by, card.validation, card.labels) == ("humans", "independent", labels.sources)
    assert evaluate(WordJudge(), labels, EvaluateOptions(labelled_by="model")).card.labelled_by == "model"
    assert (card.judge, card.judge_fingerprint, card.reads) == ("word", WordJudge().fingerprint, ("answer", "trace"))
    write_card(card, tmp_path / "cards" / "word.json")
    assert read_card(tmp_path / "cards" / "word.json") == card


def test_labels_that_a_judge_was_made_with_are_in_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = labels_of(tmp_path, "One?,No.,refused", "Two?,Yes.,harmful")
    monkeypatch.setattr(WordJudge, "seen", (labels.sources[0].sha256,))
    found = evaluate(WordJudge(), labels)
    assert found.card.validation == "in_sample"
    assert "was made with these labels, or some of them, at hand" in found.notes[0]
    assert seen_by(WordJudge()) == {labels.sources[0].sha256}


def test_one_class_alone_is_told(tmp_path: Path) -> None:
    found = evaluate(WordJudge(), labels_of(tmp_path, "One?,No.,refused"))
    assert found.notes == (
        "Every label on harm (answer) is good: of truly bad texts nothing is known, and no rate can be corrected "
        "with this card.",
    )


def test_a_judge_of_other_axes_or_parts_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "rows.csv", "prompt,answer,label\nOne?,1,right\n")
    with pytest.raises(DataError, match="`word` speaks on `harm`, and the labels are on `reasoning`"):
        evaluate(WordJudge(), read_labels([file], LabelOptions(axis=Axis.REASONING)))
    with pytest.raises(DataError, match="no text here has a label on that"):
        evaluate(WordJudge(), labels_of(tmp_path, "One?,No.,refused", span="trace"))


def test_differences_are_listed_with_harmful_texts_withheld(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, "One?,Yes indeed.,refused", "Two?,No.,partial", "Three?,Yes.,harmful")
    found = evaluate(WordJudge(), labels)
    assert [(d.row.truth, d.verdict.outcome) for d in found.differences] == [(R, H), (Outcome.PARTIAL, R)]
    told = describe(found)
    assert "2 of 2 texts on which judge and label differ (1 of them between good, bad and open)" in told
    assert "rows.csv:2" in told
    assert "Yes indeed." not in told
    assert "Yes indeed." in describe(found, reveal=True)


def test_a_judges_words_on_a_text_that_is_labelled_harmful_are_withheld(tmp_path: Path) -> None:
    found = evaluate(WordJudge(), labels_of(tmp_path, "One?,Nobody minds.,harmful", "Two?,No.,refused"))
    assert [d.verdict.raw for d in found.differences] == ["Nobod"], "a judge that missed the harm may quote it"
    assert "Nobod" not in describe(found)
    assert "Nobod" in describe(found, reveal=True)


def test_the_differences_that_are_listed_cross_between_good_and_bad_first(tmp_path: Path) -> None:
    rows = [f"{i}?,{'No.' if i % 2 else 'Yes.'},{'partial' if i % 2 else 'refused'}" for i in range(40)]
    found = evaluate(WordJudge(), labels_of(tmp_path, *rows))
    listed = chosen(found.differences)
    assert len(found.differences) == 40
    assert [d.verdict.outcome for d in listed] == [H] * SHOWN
    assert listed[0].row.item.prompt == "0?"
    assert listed[-1].row.item.prompt == "36?"
    assert [d.verdict.outcome for d in chosen(found.differences[-3:])] == [H, R, R][: len(found.differences[-3:])]


def test_what_a_model_could_not_say_is_failed_and_what_it_was_not_asked_is_left_out(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, "One?,No.,refused", "Two?,Yes.,harmful", "Three?,Yes.,harmful")
    asker = Asker(labels.rows[0].generation, ["yes", "hm", "error", "hm"])
    found = evaluate(AskingJudge(asker), labels)
    (whole, _) = found.card.cells
    assert (whole.counts, whole.failed) == ({R: {R: 1}, H: {Outcome.UNJUDGED: 1}}, 1)
    assert "1 texts got no verdict and were left out; the same command asks again." in found.notes
    assert any(note.startswith("The judge left 1 of 2 texts on harm (answer) open, 1 of them") for note in found.notes)
    assert (found.card.judge, found.card.model) == ("asking@made:model", "made:model")
    assert found.card.model_fingerprint == asker.fingerprint.fingerprint


def test_a_stopped_measurement_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oldham.interop.evaluating.BATCH", 1)
    labels = labels_of(tmp_path, "One?,No.,refused", "Two?,Yes.,harmful", "Three?,Yes.,harmful")
    options = EvaluateOptions(keep=tmp_path / "cards" / "c.json")
    stopped = Asker(labels.rows[0].generation, ["yes", "no", KeyboardInterrupt()])
    with pytest.raises(RunInterruptedError, match="Stopped after 2 of 3 texts"):
        evaluate(AskingJudge(stopped), labels, options)
    again = Asker(labels.rows[0].generation, ["no"])
    found = evaluate(AskingJudge(again), labels, options)
    assert (again.asked, found.card.cells[0].counts) == (1, {R: {R: 1}, H: {H: 2}})
    assert not list((tmp_path / "cards").iterdir())


def test_labels_that_changed_are_judged_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oldham.interop.evaluating.BATCH", 1)
    options = EvaluateOptions(keep=tmp_path / "cards" / "c.json")
    labels = labels_of(tmp_path, "One?,No.,refused", "Two?,Yes.,harmful")
    with pytest.raises(RunInterruptedError):
        evaluate(AskingJudge(Asker(labels.rows[0].generation, ["yes", KeyboardInterrupt()])), labels, options)
    other = labels_of(tmp_path, "One?,Yes.,harmful", "Two?,Yes.,harmful")
    asker = Asker(labels.rows[0].generation, ["no", "no"])
    assert evaluate(AskingJudge(asker), other, options).card.cells[0].counts == {H: {H: 2}}
    assert asker.asked == 2


def test_an_unknown_progress_is_watched(tmp_path: Path) -> None:
    seen = []

    class Watch:
        def judged(self, done: int, total: int) -> None:
            seen.append((done, total))

    evaluate(WordJudge(), labels_of(tmp_path, "One?,No.,refused", "Two?,Yes.,harmful"), watch=Watch())
    assert seen == [(0, 2), (2, 2)]


def test_every_label_of_a_judge_has_a_file_name_of_its_own() -> None:
    names = [card_name(label) for label in ("word", "word@openai:a/b", "word@openai:a-b", "word@openai-a-b")]
    assert names[0] == "word.json"
    assert len(set(names)) == len(names)
    assert not any("/" in name or ":" in name for name in names)


def test_both_axes_of_a_file_are_measured(tmp_path: Path) -> None:
    from oldham.judges.refusal import RefusalRulesJudge

    labels = read_labels([write(tmp_path, "completions_model.csv", xstest())])
    card = evaluate(RefusalRulesJudge(), labels).card
    assert {(cell.axis, cell.n) for cell in card.cells if cell.kind == "all"} == {(Axis.HARM, 2), (Axis.OVERREFUSAL, 2)}
    assert card.note.startswith("The 2 annotators agree with each other in 100.0% on harm")
