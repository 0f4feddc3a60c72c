"""Measure the offline judges on labelled texts and write the cards that the package ships.

Every row of `PLANS` is a card: which judge, on which labels, whose word is the truth, and how. A judge that is not
registered, or whose labels are not here, is named and left out. There is no chance in it: run twice, the files are the
same.

    OLDHAM_DATA=... python bench/judges/make_cards.py [--write] [JUDGE ...]
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from oldham.core.fingerprint import file_sha256
from oldham.core.outcomes import Axis, Outcome
from oldham.coupling.card_text import describe_card
from oldham.interop.evaluating import EvaluateOptions, card_name, evaluate, seen_by, write_card
from oldham.interop.labels import LabelOptions, read_labels
from oldham.judges.base import JUDGES
from oldham.judges.cards import AGREE, ALL, ARM, DIFFER, DIRECT, THINKING, CardCell, JudgeCard, LabelSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oldham.judges.base import Judge
    from oldham.judges.cards import LabelledBy

PACKAGE = Path(__file__).parents[2] / "src" / "oldham" / "judges"
MOST_BYTES = 40_000
GROUPS = {"all": ALL, "agreed": AGREE, "disagreed": DIFFER, "direct": DIRECT, "thinking": THINKING}
TITLES = {
    **{f"completions_{m}.csv": f"XSTest v2 completions, {m}" for m in ("gpt4", "llama2orig", "mistralinstruct")},
    "TruthfulQA.csv": "TruthfulQA, its own right and wrong answers",
}
"""What a file of labels is called on the card."""

How = Literal["measure", "held out"]


@dataclass(frozen=True)
class Plan:
    """One card."""

    judge: str
    labels: str
    """Files under OLDHAM_DATA, as a pattern; or the name of one of `MADE`."""
    truth: str | None = None
    """Whose word is the truth; None for the file's own."""
    how: How = "measure"
    """`held out`: take the counts that the fitting script kept in the judge's model file, each part judged by a fit
    that had not seen it."""
    axis: Axis | None = None
    labelled_by: LabelledBy | None = None
    unseen: bool = False
    """Only files that the judge was not made with."""
    by_arm: bool = True
    note: str = ""
    why_not: str = ""
    """Why the card is printed and never written; empty for one that ships."""


XSTEST = "xstest/completions_*.csv"
PATTERNS = "Its patterns were written with all of these answers at hand: expect more errors on others."
PRIVACY = "XSTest's 25 requests for what is private of real people; a full or partial refusal is labelled refused."
TRUTHFULQA = "Each answer was judged by the question's other answers; answers to one question count as texts apart."
HARM = "Labelled by a 1-5 rubric and by Llama Guard 2, which are judges themselves; never compared with people."
TRACES = "the labels mark sentences that argue for helping, and the verdict is on help that is worked out"
PLANS = (
    Plan("refusal_rules", XSTEST),
    Plan("refusal_keywords", XSTEST),
    Plan("refusal", XSTEST, how="held out", note=PATTERNS),
    Plan("harm_heuristic", "traces/*.jsonl", how="held out", labelled_by="model", by_arm=False, note=HARM),
    Plan("privacy_refusal", "xstest privacy", note=PRIVACY),
    Plan("trace_stages", "traces/*.jsonl", truth="selfjb_annotation", labelled_by="model", unseen=True, why_not=TRACES),
    Plan("reference_overlap", "truthfulqa answers", labelled_by="construction", by_arm=False, note=TRUTHFULQA),
)


def xstest_privacy(data: Path, folder: Path) -> dict[Path, Path]:
    """XSTest's unsafe requests about privacy, whose labels are of refusal, as labels on the axis privacy."""
    words = {"1": "leaked", "2": "refused", "3": "refused"}
    made = {}
    for file in sorted(data.glob(XSTEST)):
        arm = file.stem.removeprefix("completions_")
        rows = [row for row in _csv(file) if row["type"] == "contrast_privacy"]
        columns = {"label": "final_label", "label_1": "annotation_1", "label_2": "annotation_2"}
        lines = [
            {"prompt": row["prompt"], "answer": row["completion"], "axis": "privacy", "arm": arm}
            | {name: words[row[column][0]] for name, column in columns.items()}
            for row in rows
        ]
        made[_jsonl(folder / f"{file.stem}.jsonl", lines)] = file
    return made


def truthfulqa_answers(data: Path, folder: Path) -> dict[Path, Path]:
    """Each question's right and wrong answers, judged against the others: an answer never meets itself."""
    lines, file = [], data / "truthfulqa" / "TruthfulQA.csv"
    for row in _csv(file):
        known = {
            name: [part.strip() for part in row[column].split(";") if part.strip()]
            for name, column in (("correct", "Correct Answers"), ("incorrect", "Incorrect Answers"))
        }
        for name, answers in known.items():
            for i, answer in enumerate(answers):
                reference = {**known, name: answers[:i] + answers[i + 1 :]}
                if all(reference.values()):
                    line = {"prompt": row["Question"], "answer": answer, "label": name, "axis": "truthfulness"}
                    lines.append({**line, "category": row["Category"], "reference": reference})
    return {_jsonl(folder / "truthfulqa.jsonl", lines): file}


MADE: dict[str, Callable[[Path, Path], dict[Path, Path]]] = {
    "xstest privacy": xstest_privacy,
    "truthfulqa answers": truthfulqa_answers,
}
"""Labels that are made of a file: the made file, and what it was made of."""


def _csv(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _jsonl(file: Path, lines: Sequence[dict[str, Any]]) -> Path:
    file.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines), encoding="utf-8")
    return file


def measured(plan: Plan, judge: Judge, data: Path, folder: Path) -> JudgeCard | None:
    """Measure a judge; None where there are no labels."""
    made = MADE.get(plan.labels)
    files = made(data, folder) if made else {file: file for file in sorted(data.glob(plan.labels))}
    files = {file: of for file, of in files.items() if not plan.unseen or file_sha256(of) not in seen_by(judge)}
    if not files:
        return None
    labels = read_labels(list(files), LabelOptions(truth=plan.truth, axis=plan.axis))
    options = EvaluateOptions(labelled_by=plan.labelled_by, by_arm=plan.by_arm, note=plan.note)
    card = evaluate(judge, labels, options).card
    sources = tuple(
        LabelSource(name=TITLES.get(file.name, file.name), sha256=file_sha256(file), n=source.n)
        for file, source in zip(files.values(), card.labels, strict=True)
    )
    # Labels that were made of a file are seen where that file was.
    is_seen = bool(seen_by(judge) & {source.sha256 for source in sources})
    return card.model_copy(update={"labels": sources, "validation": "in_sample" if is_seen else "independent"})


def held_out(plan: Plan, judge: Judge) -> JudgeCard | None:
    """Take a fitted judge's counts from its model file; None where it has none."""
    file = PACKAGE / "models" / f"{judge.name}.json"
    stored = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if "held_out" not in stored:
        return None
    counts: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    used: dict[str, int] = {}
    for model, axes in stored["held_out"]["counts"].items():
        for axis, groups in axes.items():
            for group, table in groups.items():
                kind = GROUPS[group]
                own = [DIRECT] if not GROUPS.keys() & {"direct", "thinking"} & groups.keys() else []
                own += [f"{ARM}{model}"] if plan.by_arm else []
                kinds = [ALL, *own] if kind == ALL else [kind]
                for name, (truth, row) in itertools.product(kinds, table.items()):
                    into = counts.setdefault((axis, name), {}).setdefault(truth, {})
                    for said, n in row.items():
                        into[said] = into.get(said, 0) + n
            used[model] = used.get(model, 0) + sum(sum(row.values()) for row in groups["all"].values())
    order = (ALL, DIRECT, THINKING, AGREE, DIFFER)
    keys = sorted(counts, key=lambda key: (key[0], order.index(key[1]) if key[1] in order else 9, key[1]))
    note = f"Each model's answers were judged by weights fitted to the other {len(used) - 1}."
    return JudgeCard(
        judge=judge.label,
        judge_fingerprint=judge.fingerprint,
        reads=judge.spans,
        labelled_by=plan.labelled_by or "humans",
        labels=tuple(
            LabelSource(name=TITLES.get(name, name), sha256=sha, n=stored["rows"][name])
            for name, sha in stored["trained_on"].items()
        ),
        validation="held_out",
        note=" ".join(filter(None, (plan.note, note))),
        cells=tuple(
            CardCell(axis=Axis(axis), span="answer", kind=kind, counts=_ordered(counts[axis, kind]))
            for axis, kind in keys
        ),
    )


def _ordered(table: dict[str, dict[str, int]]) -> dict[Outcome, dict[Outcome, int]]:
    return {
        truth: {said: table[truth][said] for said in Outcome if said in table[truth]}
        for truth in Outcome
        if truth in table
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judges", nargs="*", metavar="JUDGE", help="only these; by default all")
    parser.add_argument("--write", action="store_true", help="write the cards into the package")
    arguments = parser.parse_args()
    data = Path(os.environ["OLDHAM_DATA"])
    for plan in PLANS:
        if arguments.judges and plan.judge not in arguments.judges:
            continue
        if plan.judge not in JUDGES.names():
            print(f"{plan.judge}: not registered, left out\n")
            continue
        judge = JUDGES.get(plan.judge)()
        with tempfile.TemporaryDirectory() as folder:
            card = held_out(plan, judge) if plan.how == "held out" else measured(plan, judge, data, Path(folder))
        if card is None:
            print(f"{plan.judge}: no labels here, left out\n")
            continue
        print(describe_card(card), "\n")
        if plan.why_not:
            print(f"Not for the package: {plan.why_not}.\n")
        elif arguments.write:
            path = PACKAGE / "measured" / card_name(card.judge)
            write_card(card, path)
            size = path.stat().st_size
            assert size < MOST_BYTES, f"{path} has {size} bytes"
            print(f"Written: {path} ({size:,} bytes)\n")


if __name__ == "__main__":
    main()
