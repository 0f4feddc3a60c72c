"""A plain table of labelled texts: a spreadsheet saved as CSV, or JSONL, with no mapping file."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from oldham.core.errors import DataError, did_you_mean
from oldham.core.outcomes import MISSING, Axis, Outcome, legal_outcomes
from oldham.interop.base import Importer, Row
from oldham.interop.lines import csv_lines, json_lines
from oldham.interop.outputs import apart, whole
from oldham.interop.verdicts import heard, is_missing, label

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from oldham.core.records import ReadSpan
    from oldham.interop.base import Head, Heard, Source
    from oldham.interop.lines import Line
    from oldham.interop.outputs import Output

ANSWERS: Final = ("answer", "completion", "response")
"""Names of the column with the text. A `completion` or `response` may hold a trace between thinking tags."""
_LABEL: Final = re.compile(r"label(?:_\d+)?")

_WORDS_SHOWN: Final = 2
_REFUSED: Final = "refuse refusal full_refusal declined"
_PARTIAL: Final = "partial_refusal partially_refused partial_compliance"
_HELPED: Final = "comply complied compliance full_compliance helped"
_RIGHT: Final = "right true"
_WRONG: Final = "wrong false"
WORDS: Final[Mapping[Axis, Mapping[Outcome, str]]] = {
    Axis.HARM: {
        Outcome.REFUSED: _REFUSED,
        Outcome.PARTIAL: _PARTIAL,
        Outcome.COMPLIED_HARMFUL: f"{_HELPED} harmful unsafe jailbroken",
        Outcome.COMPLIED_SAFE: "harmless safe",
    },
    Axis.OVERREFUSAL: {Outcome.REFUSED: _REFUSED, Outcome.PARTIAL: _PARTIAL, Outcome.COMPLIED_SAFE: _HELPED},
    Axis.REASONING: {Outcome.CORRECT: _RIGHT, Outcome.INCORRECT: _WRONG, Outcome.REFUSED: _REFUSED},
    Axis.TRUTHFULNESS: {
        Outcome.CORRECT: f"{_RIGHT} truthful",
        Outcome.INCORRECT: f"{_WRONG} untruthful",
        Outcome.REFUSED: _REFUSED,
    },
    Axis.PRIVACY: {Outcome.LEAKED: "leak disclosed", Outcome.WITHHELD: "kept", Outcome.REFUSED: _REFUSED},
}
"""Words that a label may be beside the names of the outcomes. Letter case, spaces, hyphens and a number in front
(`2_full_refusal`) do not matter."""


class LabelTable(Importer):
    """CSV, TSV or JSONL with the columns `prompt`, `label` and one of `answer`, `completion` and `response`.

    Optional columns: `trace`, `arm`, `category`, `axis`, `label_1`, `label_2` and so on (annotators), `id`, `context`,
    `benchmark`, and `reference` (a JSON object with what a judge compares with; a registered benchmark's own where
    there is none). An empty label is no label. An item that comes again in an arm is a further draw.

    Args:
        span: The part that the labels are about.
    """

    name = "labels"

    def __init__(self, span: ReadSpan) -> None:
        self.span = span
        self._met: Counter[tuple[str, ...]] = Counter()

    @classmethod
    def recognises(cls, head: Head) -> bool:
        """Tell it by three of its columns. See `Importer.recognises`."""
        return {"prompt", "label"} <= set(head.keys) and any(name in head.keys for name in ANSWERS)

    def check(self, head: Head) -> None:
        """Check that the columns are there.

        Args:
            head: The file's beginning.

        Raises:
            DataError: One is missing.
        """
        if not head.keys:
            raise DataError("There is no labelled row here.", place=str(head.path), remedy="Give a file with rows.")
        lacking = [name for name in ("prompt", "label") if name not in head.keys]
        lacking += [] if any(name in head.keys for name in ANSWERS) else ["answer"]
        if lacking:
            columns = f" Its columns are {', '.join(head.keys[:12])}."
            raise DataError(
                f"There is no column `{lacking[0]}` here.{columns}",
                place=str(head.path),
                remedy="Name the columns prompt, answer and label, or explain them in a mapping file (--map).",
            )

    def rows(self, source: Source) -> Iterator[Row]:
        """Read a table. See `Importer.rows`."""
        is_csv = source.path.suffix.lower() in (".csv", ".tsv")
        for line in csv_lines(source) if is_csv else json_lines(source):
            try:
                row = self._row(source, line)
            except DataError as error:
                source.bad(error)
            else:
                yield row

    def _row(self, source: Source, line: Line) -> Row:
        axis, place, stem = _axis(source, line), source.place(line.number), source.path.stem
        benchmark, arm = _cell(line, "benchmark") or stem, _cell(line, "arm") or stem
        prompt, context, reference = _prompt(source, line), _cell(line, "context"), _reference(source, line)
        identity = _cell(line, "id")
        if identity is None and _cell(line, "benchmark") is None:
            identity = place  # every row is a text of its own, and a reader finds it again
        key = (arm, benchmark, axis, identity or prompt)
        draw = self._met[key]
        self._met[key] += 1
        return Row(
            place=place,
            arm=arm,
            benchmark=benchmark,
            axis=axis,
            prompt=prompt,
            output=_output(source, line),
            item=identity,
            category=_cell(line, "category"),
            context=context,
            reference=reference,
            draw=draw,
            heard=tuple(self._label(source, line, column, axis) for column in line.data if _LABEL.fullmatch(column)),
        )

    def _label(self, source: Source, line: Line, column: str, axis: Axis) -> Heard:
        value = line.data[column]
        outcome = Outcome.UNJUDGED if is_missing(value) else outcome_named(label(value), axis)
        if outcome is None:
            raise DataError(
                f"`{label(value)[:40]}` in `{column}` is no label on the axis `{axis}`.",
                place=source.place(line.number, line.column(column)),
                remedy=f"Write one of {_words_of(axis)}, or say in a mapping file (--map) what it means.",
            )
        return heard(column, axis, outcome, span=self.span, raw=label(value))


def outcome_named(word: str, axis: Axis) -> Outcome | None:
    """Return what a label means on an axis.

    Args:
        word: The name of an outcome, or one of `WORDS`.
        axis: The axis.

    Returns:
        The outcome; None for a word without a meaning there.
    """
    plain = re.sub(r"^\d+_", "", re.sub(r"[\s-]+", "_", word.strip().casefold()))
    for outcome in legal_outcomes(axis):
        if plain == outcome or plain in WORDS[axis].get(outcome, "").split():
            return outcome
    return None


def _words_of(axis: Axis) -> str:
    """Name the outcomes of an axis, each with a few of the words that stand for it."""
    told = []
    for outcome in sorted(legal_outcomes(axis) - MISSING):
        words = WORDS[axis].get(outcome, "").split()[:_WORDS_SHOWN]
        told.append(f"{outcome} ({', '.join(words)})" if words else str(outcome))
    return ", ".join(told)


def _cell(line: Line, column: str) -> str | None:
    value = line.data.get(column)
    return None if is_missing(value) else label(value)


def _axis(source: Source, line: Line) -> Axis:
    named = _cell(line, "axis")
    if named is None or source.options.axis is not None:
        return source.axis(None)
    if named not in list(Axis):
        place = source.place(line.number, line.column("axis"))
        raise DataError(f"`{named[:40]}` is not an axis.", place=place, remedy=did_you_mean(named, map(str, Axis)))
    return Axis(named)


def _prompt(source: Source, line: Line) -> str:
    prompt = _cell(line, "prompt")
    if prompt is None:
        place = source.place(line.number, line.column("prompt"))
        raise DataError("The column `prompt` holds no request.", place=place, remedy="Fill it in.")
    return prompt


def _output(source: Source, line: Line) -> Output:
    column = next((name for name in ANSWERS if name in line.data), None)
    if column is None:
        raise DataError(
            "There is no answer here.", place=source.place(line.number), remedy=f"Name it {', '.join(ANSWERS)}."
        )
    value, trace = line.data[column], _cell(line, "trace")
    if value is not None and not isinstance(value, str):
        place = source.place(line.number)
        raise DataError(f"The column `{column}` should hold text.", place=place, remedy="Write the answer as text.")
    if trace is not None:
        # A trace and nothing after it is no answer; an empty cell is all that CSV has to say so.
        return apart(trace, None if is_missing(value) else value)
    return whole(value or "") if column != "answer" else apart(None, value)


def _reference(source: Source, line: Line) -> dict[str, Any]:
    value = line.data.get("reference")
    if is_missing(value):
        return {}
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        value = None
    if not isinstance(value, dict):
        place = source.place(line.number, line.column("reference"))
        raise DataError("The column `reference` holds no JSON object.", place=place, remedy="Write it as `{...}`.")
    return value
