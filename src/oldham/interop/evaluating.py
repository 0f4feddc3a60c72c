"""Measuring a judge on labelled texts, and making its card."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from oldham.core.errors import DataError, ModelError, RunInterruptedError
from oldham.core.fingerprint import fingerprint
from oldham.core.ledger import Ledger
from oldham.core.outcomes import Outcome, side
from oldham.interop.importing import written
from oldham.judges.asking import ModelJudge
from oldham.judges.cards import AGREE, ALL, ARM, CATEGORY, DIFFER, DIRECT, THINKING, CardCell, JudgeCard, card_json
from oldham.studies.judging import Grader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from oldham.core.outcomes import Axis
    from oldham.core.records import Generation, Item, ReadSpan, Verdict
    from oldham.interop.labels import Labelled, Labels
    from oldham.judges.base import Judge
    from oldham.judges.cards import LabelledBy

T = TypeVar("T")

BATCH: Final = 100
"""Texts judged between two signs of progress, where no model is asked."""
MANY_OPEN: Final = 0.1
"""A judge that leaves a larger share of the texts open is warned of."""


class Watch(Protocol):
    """Watches a measurement."""

    def judged(self, done: int, total: int) -> None:
        """Tell how far it is.

        Args:
            done: Texts judged so far.
            total: Texts to be judged.
        """


class Difference(NamedTuple):
    """A text on which judge and label differ."""

    row: Labelled
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """How a judge is measured."""

    labelled_by: LabelledBy | None = None
    """Who said what is true; None for humans where the truth is called `human...` or `label...`, else a model."""
    by_arm: bool = True
    """Count each arm apart too, where there are several."""
    note: str = ""
    """What else the card shall say."""
    keep: Path | None = None
    """Where verdicts are kept while a judge asks a model, so that the same command goes on after it was stopped; the
    file goes when all texts are judged. None keeps none."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A judge, measured."""

    card: JudgeCard
    """What to keep."""
    differences: tuple[Difference, ...]
    """Every text on which judge and label say something else, in the order of the files."""
    annotators: tuple[CardCell, ...]
    """The annotators against each other, a cell for each axis and span: every pair of them once, the earlier as the
    label. Empty where nothing is known of them."""
    notes: tuple[str, ...]
    """What was left out and what to beware of, a sentence each."""


def evaluate(
    judge: Judge, labels: Labels, options: EvaluateOptions | None = None, watch: Watch | None = None
) -> Evaluated:
    """Measure a judge on labelled texts.

    Args:
        judge: The judge.
        labels: Texts and what is true of them.
        options: How.
        watch: Watches the measurement.

    Returns:
        Its card, and where it differs from the labels.

    Raises:
        RunInterruptedError: The user stopped it.
        DataError: The judge speaks on none of the axes, or reads none of the parts, that are labelled.
        ModelError: The judge's model cannot be asked.
    """
    options = options or EvaluateOptions()
    rows = _fitting(judge, labels.rows)
    verdicts = _verdicts(judge, rows, options, labels, watch)
    pairs = [(row, said) for row in rows if (said := verdicts.get((_key(row), row.span)))]
    if not pairs:
        raise ModelError(f"`{judge.label}` gave no verdict on any text.", remedy="Ask again; see what its server says.")
    annotators = tuple(_annotators(rows))
    model = judge if isinstance(judge, ModelJudge) else None
    card = JudgeCard(
        judge=judge.label,
        judge_fingerprint=judge.fingerprint,
        model=model.asker.model if model else None,
        model_fingerprint=model.asker.fingerprint.fingerprint if model else None,
        prompt_hash=model.prompt_hash if model else None,
        reads=judge.spans,
        labelled_by=options.labelled_by or ("humans" if labels.truth.startswith(("human", "label")) else "model"),
        labels=labels.sources,
        validation="in_sample" if seen_by(judge) & labels.hashes else "independent",
        note=" ".join(filter(None, (options.note, _between(annotators, len(labels.annotators))))),
        cells=tuple(_cells(pairs, by_arm=options.by_arm)),
    )
    differences = tuple(Difference(row, said) for row, said in pairs if row.truth != said.outcome)
    return Evaluated(card, differences, annotators, tuple(_notes(card, labels, rows, len(pairs))))


def seen_by(judge: Judge) -> frozenset[str]:
    """Return the hashes of the files of labelled texts that a judge was made with.

    Args:
        judge: Any judge; where it has a fitted model, `judges/models/NAME.json` tells what it was fitted to.
    """
    file = resources.files("oldham.judges") / "models" / f"{judge.name}.json"
    trained: object = json.loads(file.read_text(encoding="utf-8")).get("trained_on", []) if file.is_file() else []
    found = json.dumps(trained)  # a list or a mapping, by file name
    return frozenset((*judge.seen, *re.findall(r"\b[0-9a-f]{64}\b", found)))


def card_name(label: str) -> str:
    """Return the name of a card's file.

    Args:
        label: The judge's label; what no file name should hold is written otherwise.
    """
    safe = re.sub(r"[^\w.@+-]", "-", label)
    return f"{safe}.json" if safe == label else f"{safe}-{fingerprint('card', label, length=8)}.json"


def write_card(card: JudgeCard, path: Path) -> None:
    """Write a card.

    Args:
        card: The card.
        path: The file; its folder is made.

    Raises:
        LedgerError: It cannot be written.
    """
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(card_json(card), encoding="utf-8")
        part.replace(path)


def _fitting(judge: Judge, rows: Sequence[Labelled]) -> list[Labelled]:
    """Return the rows that the judge can speak on."""
    on_axis = [row for row in rows if row.item.axis in judge.axes]
    if not on_axis:
        raise DataError(
            f"`{judge.label}` speaks on {_listed(judge.axes)}, and the labels are on "
            f"{_listed({row.item.axis for row in rows})}.",
            remedy="Give labels on one of its axes, or say with --axis which one these are on.",
        )
    fitting = [row for row in on_axis if row.span in judge.spans and _text(row)]
    if not fitting:
        raise DataError(
            f"`{judge.label}` reads the {' and the '.join(judge.spans)}, and no text here has a label on that.",
            remedy="Give labels on what it reads; in a plain table --span says which part the labels are about.",
        )
    return fitting


def _text(row: Labelled) -> bool:
    """Whether the labelled part can be there: a judge says of a missing answer what it is, but reads no trace in it."""
    return row.span == "answer" or bool(row.generation.trace_text)


def _listed(axes: Iterable[Axis]) -> str:
    return " and ".join(f"`{axis}`" for axis in sorted(axes))


def _key(row: Labelled) -> str:
    return row.generation.trial.fingerprint


def _verdicts(
    judge: Judge, rows: Sequence[Labelled], options: EvaluateOptions, labels: Labels, watch: Watch | None
) -> dict[tuple[str, ReadSpan], Verdict]:
    """Judge every text once and return the verdicts by generation and span."""
    texts: dict[str, tuple[Item, Generation]] = {_key(row): (row.item, row.generation) for row in rows}
    keep = options.keep if isinstance(judge, ModelJudge) else None
    if keep is not None:
        # Another judge or another file starts anew, whatever a stopped measurement left.
        identity = fingerprint("measurement", [judge.fingerprint, sorted(labels.hashes)], length=12)
        keep = keep.with_name(f".{keep.name}-{identity}.sqlite")
        with written(keep):
            keep.parent.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, ReadSpan], Verdict] = {}
    with Ledger(keep) if keep else nullcontext() as ledger:
        for verdict in ledger.verdicts() if ledger else ():
            found[verdict.generation, verdict.span] = verdict
        judged = {generation for generation, _ in found}
        waiting = [text for key, text in texts.items() if key not in judged]
        done = len(texts) - len(waiting)
        try:
            for some in _batches(judge, waiting):
                if watch:
                    watch.judged(done, len(texts))
                said = [verdict for several in judge.judge_all(some) for verdict in several]
                found |= {(verdict.generation, verdict.span): verdict for verdict in said}
                if ledger:
                    ledger.add_verdicts(said)
                done += len(some)
        except KeyboardInterrupt:
            remedy = "The same command goes on from there." if keep else "Nothing was written."
            raise RunInterruptedError(f"Stopped after {done} of {len(texts)} texts.", remedy=remedy) from None
        if watch:
            watch.judged(done, len(texts))
    if keep and {key for key, _ in found} >= texts.keys():
        for file in keep.parent.glob(f"{keep.name}*"):  # and what SQLite keeps beside it
            file.unlink()
    return found


def _batches(judge: Judge, rows: Sequence[T]) -> Iterator[Sequence[T]]:
    if not rows:
        return  # a model need not be loaded
    asker = judge.asker if isinstance(judge, ModelJudge) else None
    size = asker.rows_at_once if isinstance(asker, Grader) else BATCH
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _cells(pairs: Sequence[tuple[Labelled, Verdict]], *, by_arm: bool) -> Iterator[CardCell]:
    """Yield the counts by axis, span and kind; a kind that no text is of has no cell."""
    parts = dict.fromkeys((row.item.axis, row.span) for row, _ in pairs)
    for axis, span in sorted(parts):
        here = [(row, said) for row, said in pairs if (row.item.axis, row.span) == (axis, span)]
        arms = dict.fromkeys(row.generation.trial.arm for row, _ in here)
        categories = dict.fromkeys(row.item.category for row, _ in here)
        kinds = {ALL: here}
        for row, said in here:
            names = [THINKING if row.generation.trace_text else DIRECT]
            if len(row.annotators) > 1:
                names.append(AGREE if len(set(row.annotators)) == 1 else DIFFER)
            if by_arm and len(arms) > 1:
                names.append(f"{ARM}{row.generation.trial.arm}")
            if len(categories) > 1:
                names.append(f"{CATEGORY}{row.item.category}")
            for name in names:
                kinds.setdefault(name, []).append((row, said))
        for kind in sorted(kinds, key=_order):
            yield _cell(axis, span, kind, kinds[kind])


def _order(kind: str) -> tuple[int, str]:
    """Sort kinds: all of it, kinds of output, annotators, arms, categories."""
    first = (ALL, DIRECT, THINKING, AGREE, DIFFER)
    if kind in first:
        return first.index(kind), ""
    return len(first) + kind.startswith(CATEGORY), kind


def _cell(axis: Axis, span: ReadSpan, kind: str, pairs: Sequence[tuple[Labelled, Verdict]]) -> CardCell:
    return CardCell(
        axis=axis,
        span=span,
        kind=kind,
        counts=_counts((row.truth, said.outcome) for row, said in pairs),
        failed=sum(said.parsed == "failed" for _, said in pairs),
    )


def _counts(pairs: Iterable[tuple[Outcome, Outcome]]) -> dict[Outcome, dict[Outcome, int]]:
    """Count pairs, in the order of the list of outcomes."""
    counted = Counter(pairs)
    table: dict[Outcome, dict[Outcome, int]] = {}
    order = list(Outcome)
    for truth, said in sorted(counted, key=lambda pair: tuple(map(order.index, pair))):
        table.setdefault(truth, {})[said] = counted[truth, said]
    return table


def _annotators(rows: Iterable[Labelled]) -> Iterator[CardCell]:
    """Yield the annotators against each other, by axis and span."""
    said: dict[tuple[Axis, ReadSpan], list[tuple[Outcome, Outcome]]] = {}
    for row in rows:
        if len(row.annotators) > 1:
            pairs = itertools.combinations(row.annotators, 2)
            said.setdefault((row.item.axis, row.span), []).extend(pairs)
    for (axis, span), pairs_here in sorted(said.items()):
        yield CardCell(axis=axis, span=span, kind="annotators", counts=_counts(pairs_here))


def _between(cells: Sequence[CardCell], annotators: int) -> str:
    """Say in a sentence how far the annotators agree with each other: no judge can be asked for more."""
    from oldham.coupling.agreement import agreement
    from oldham.coupling.layout import percent, ratio

    if not cells:
        return ""
    parts = []
    for cell in cells:
        found = agreement(cell)
        parts.append(
            f"{percent(found.two_way.value)}% on {cell.axis} ({percent(found.same_label.value)}% on the same label, "
            f"kappa {ratio(found.kappa_two_way.value)} and {ratio(found.kappa_same_label.value)})"
        )
    return f"The {annotators} annotators agree with each other in {', '.join(parts)}."


def _notes(card: JudgeCard, labels: Labels, rows: Sequence[Labelled], judged: int) -> Iterator[str]:
    if labels.n_left_out:
        yield f"{labels.n_left_out} rows could not be read, or ask items that are not here, and were left out."
    if labels.n_unlabelled:
        yield f"{labels.n_unlabelled} texts without a label by `{labels.truth}` were left out."
    if (unread := len(labels.rows) - len(rows)) > 0:
        yield f"{unread} labels are on an axis or a part that `{card.judge}` does not judge, and were left out."
    if judged < len(rows):
        yield f"{len(rows) - judged} texts got no verdict and were left out; the same command asks again."
    if card.validation == "in_sample":
        yield (
            f"`{card.judge}` was made with these labels, or some of them, at hand: expect more errors on others than "
            "this card says."
        )
    yield from _gaps(card.cells)


def _gaps(cells: Collection[CardCell]) -> Iterator[str]:
    """Say of what the card knows nothing."""
    from oldham.coupling.agreement import agreement

    for cell in (cell for cell in cells if cell.kind == ALL):
        found = agreement(cell)
        if found.n_open > MANY_OPEN * found.n:
            yield (
                f"The judge left {found.n_open:,} of {found.n:,} texts on {cell.axis} ({cell.span}) open, "
                f"{found.n_failed:,} of them because its own words could not be read: its shares are of the others."
            )
        sides = {side(cell.axis, truth) for truth in cell.counts} - {None}
        if len(sides) == 1:
            (only,) = sides
            other = "bad" if only == "good" else "good"
            yield (
                f"Every label on {cell.axis} ({cell.span}) is {only}: of truly {other} texts nothing is known, and no "
                "rate can be corrected with this card."
            )
