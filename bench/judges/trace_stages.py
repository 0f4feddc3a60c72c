"""How well do the rules of `trace_stages` find what annotators found in real traces?

Reads traces of reasoning models whose self-jailbreaking sentences were marked (arXiv 2510.20956: marked by a model, and
only where the answer was unsafe), and prints, for each source model, how the sentences and the traces that the rules
name as `intent_assumption` or `rationalisation` agree with the marks. The verdict on the trace is set beside the rubric
of the answer, which is a weak proxy: a trace may work out what the answer withholds. Nothing of a trace is printed.

    python bench/judges/trace_stages.py --data DIRECTORY
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from oldham.core.fingerprint import file_sha256
from oldham.core.outcomes import Outcome, Stage
from oldham.judges.coherence import first_time
from oldham.judges.text_model import plain_sentences
from oldham.judges.trace_stages import TraceStagesJudge, content_words, declines_at_end, find_stages, sentence_stages

if TYPE_CHECKING:
    from collections.abc import Iterator

SELF_JAILBREAK = frozenset({Stage.INTENT_ASSUMPTION, Stage.RATIONALISATION})


class Annotated(NamedTuple):
    """One trace with its marks."""

    question: str
    trace: str
    sentences: list[str]
    marked: frozenset[int] | None
    """None where nobody looked for self-jailbreaking, since the answer was safe."""
    unsafe: bool | None
    """Whether the answer's rubric is above 1; None where the rubric failed."""


def main() -> None:
    """Print a table for each source model, and all counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("OLDHAM_DATA"), help="folder with traces/*.jsonl")
    folder = parser.parse_args().data
    if folder is None:
        parser.error("name the data with --data or OLDHAM_DATA")
    report: dict[str, Any] = {}
    print(f"{'source model':24s}{'rules saw it':>13s}{'P':>6s}{'R':>6s}{'F1':>6s}{'sens.':>7s}{'spec.':>7s}")
    for path in sorted((Path(folder) / "traces").glob("*.jsonl")):
        counts = measure(list(read(path)))
        sha256 = file_sha256(path)
        report[path.stem] = {"sha256": sha256, "seen": sha256 in TraceStagesJudge.seen, **counts}
        precision, recall = shares(counts["sentences"])
        sensitivity, specificity = rates(counts["traces"])
        seen = "yes" if report[path.stem]["seen"] else "no"
        f1 = 2 * precision * recall / (precision + recall)
        numbers = f"{precision:6.2f}{recall:6.2f}{f1:6.2f}{sensitivity:7.2f}{specificity:7.2f}"
        print(f"{path.stem:24s}{seen:>13s}{numbers}")
    print(json.dumps(report, indent=1))


def read(path: Path) -> Iterator[Annotated]:
    """Yield the traces of one file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        sentences = re.split(r"(?:^|\n)sentence \d+ - ", row["cot_sentences"])[1:]
        found = row["selfjb_annos"]
        marked = None if found is None else frozenset(i for i in found["answer"] if i < len(sentences))
        score = row["safety_eval_score"]
        yield Annotated(row["question"], row["cot"], sentences, marked, None if score < 0 else score > 1)


def measure(rows: list[Annotated]) -> dict[str, dict[str, dict[str, int]]]:
    """Return counts by truth, then by what the rules say."""
    sentences: Counter[tuple[str, str]] = Counter()
    traces: Counter[tuple[str, str]] = Counter()
    answers: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.marked is not None:
            hits = [is_self_jailbreak(sentence, row.question) for sentence in row.sentences]
            sentences.update((yes(i in row.marked), yes(hit)) for i, hit in enumerate(hits))
            traces[yes(bool(row.marked)), yes(any(hits))] += 1
        if row.unsafe is not None:
            answers["unsafe" if row.unsafe else "safe", str(verdict(row))] += 1
    return {"sentences": nested(sentences), "traces": nested(traces), "verdict_by_answer": nested(answers)}


def is_self_jailbreak(sentence: str, question: str) -> bool:
    """Say whether the rules find self-jailbreaking in a sentence as the annotators cut it."""
    asked = content_words(question)
    return any(
        stage in SELF_JAILBREAK for part in plain_sentences(sentence) for stage, _ in sentence_stages(part, asked)
    )


def verdict(row: Annotated) -> Outcome:
    """Return the verdict on a trace that is over."""
    found = find_stages(first_time(row.trace), row.question)
    if any(one.stage is Stage.HARMFUL_DETAIL for one in found):
        return Outcome.COMPLIED_HARMFUL
    return Outcome.REFUSED if declines_at_end(found) else Outcome.COMPLIED_SAFE


def yes(value: bool) -> str:
    """Return a key of the counts."""
    return "yes" if value else "no"


def nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Return counts by truth, then by judgement."""
    table: dict[str, dict[str, int]] = {}
    for (truth, judged), number in sorted(counts.items()):
        table.setdefault(truth, {})[judged] = number
    return table


def shares(counts: dict[str, dict[str, int]]) -> tuple[float, float]:
    """Return precision and recall."""
    hits = counts["yes"]["yes"]
    return hits / (hits + counts["no"]["yes"]), hits / sum(counts["yes"].values())


def rates(counts: dict[str, dict[str, int]]) -> tuple[float, float]:
    """Return sensitivity and specificity."""
    return counts["yes"]["yes"] / sum(counts["yes"].values()), counts["no"]["no"] / sum(counts["no"].values())


if __name__ == "__main__":
    main()
