"""Judge cards: what a judge reads, on which labelled data it was measured, and how often it erred.

A card holds counts and no statistics: intervals, agreement and corrections are worked out by whoever reads it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator

from oldham.core.errors import DataError
from oldham.core.outcomes import MISSING, Axis, Outcome, legal_outcomes, score_of
from oldham.core.records import ReadSpan, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ALL: Final = "all"
"""The kind that holds every labelled row of an axis and span."""
DIRECT, THINKING = "direct", "thinking"
"""Kinds of output: the arm answered at once, or after a trace."""
ARM, CATEGORY = "arm: ", "category: "
"""What a kind begins with that holds one arm's rows, or one category's."""
AGREE, DIFFER = "humans agree", "humans differ"
"""Kinds of labels: all annotators said the same, or not."""
FOLDER: Final = "cards"
"""Where a run keeps cards of its own."""
FEWEST_LABELS: Final = 10
"""A cell with fewer good or fewer bad labels corrects nothing, and the package's stands in for a run's own."""
LabelledBy: TypeAlias = Literal["humans", "model", "construction"]
"""Who said what is true. `construction`: the texts were made so that it is known."""
_LEAST_FIRST: Final = ("model", "construction", "humans")
_WEAKEST_FIRST: Final = ("in_sample", "held_out", "independent")
_HALF: Final = 0.5


class LabelSource(Record):
    """One file of labels."""

    name: str
    """What it is, such as `XSTest v2 completions, gpt4`."""
    sha256: str
    """Hash of the file."""
    n: int
    """Labelled rows used."""


class CardCell(Record):
    """The judge against the labels, on one part of the labelled rows."""

    axis: Axis
    """The axis of the rows."""
    span: ReadSpan
    """The part that was labelled and judged."""
    kind: str = ALL
    """`all`, `direct`, `thinking`, `arm: NAME`, `category: NAME`, `humans agree` or `humans differ`."""
    counts: dict[Outcome, dict[Outcome, int]]
    """Rows by labelled outcome, then by the judge's; rows that the judge left open (`unfinished`, `unjudged`) among
    them."""
    failed: int = 0
    """Rows among them where the judge's own output could not be read."""

    @model_validator(mode="after")
    def _is_legal(self) -> Self:
        legal = legal_outcomes(self.axis)
        wrong = [o for o in (*self.counts, *(o for row in self.counts.values() for o in row)) if o not in legal]
        if wrong or MISSING & self.counts.keys():
            bad = next(iter([*wrong, *(MISSING & self.counts.keys())]))
            raise ValueError(f"outcome `{bad}` is no label on the axis `{self.axis}`")
        return self

    @property
    def n(self) -> int:
        """Labelled rows."""
        return sum(sum(row.values()) for row in self.counts.values())


class JudgeCard(Record):
    """What is known of a judge's errors."""

    judge: str
    """Its label: the registered name, and `@MODEL` where it asks a model."""
    judge_fingerprint: str
    """Identity of the judge that was measured: rules, prompt, model."""
    model: str | None = None
    """The model it asked; None for a judge without one."""
    model_fingerprint: str | None = None
    """Identity of that model."""
    prompt_hash: str | None = None
    """Identity of its prompt."""
    reads: tuple[ReadSpan, ...]
    """The parts it reads."""
    labelled_by: LabelledBy
    """Who said what is true."""
    labels: tuple[LabelSource, ...]
    """Where the labels are from."""
    validation: Literal["independent", "held_out", "in_sample"]
    """`independent`: the judge was made without these rows. `held_out`: it was fitted to them, and each part was judged
    by a fit that had not seen it. `in_sample`: the judge was made with these rows at hand, so expect more errors on
    others."""
    note: str = ""
    """What else to know, in a sentence or two."""
    cells: tuple[CardCell, ...] = Field(min_length=1)
    """Counts by axis, span and kind; no kind twice."""

    @model_validator(mode="after")
    def _cells_are_distinct(self) -> Self:
        keys = [(cell.axis, cell.span, cell.kind) for cell in self.cells]
        if len(set(keys)) < len(keys):
            raise ValueError("a card has two cells of one axis, span and kind")
        return self

    def cell(self, axis: Axis | str, span: str, kind: str = ALL) -> CardCell | None:
        """Return one cell; None where the card has none.

        Args:
            axis: The axis.
            span: `answer` or `trace`.
            kind: The kind of output.
        """
        return next((c for c in self.cells if (c.axis, c.span, c.kind) == (axis, span, kind)), None)


def read_card(path: Path) -> JudgeCard:
    """Read a card.

    Args:
        path: A JSON file.

    Raises:
        DataError: It cannot be read, or is no card.
    """
    try:
        return JudgeCard.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"The card cannot be read ({error.strerror or error}).", place=str(path)) from error
    except (ValidationError, UnicodeDecodeError) as error:
        into = f" --into {path.parent.parent}" if path.parent.name == FOLDER else ""
        raise DataError(
            f"This is no judge card ({_wrong(error)}).",
            place=str(path),
            remedy=f"Write it anew (oldham judges evaluate NAME --labels FILE{into}), or delete it.",
        ) from error


def _wrong(error: ValidationError | UnicodeDecodeError) -> str:
    """Say what is wrong with a card, with the field's name."""
    if isinstance(error, UnicodeDecodeError):
        return str(error)
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    return f"`{field}`: {first['msg']}" if field else str(first["msg"])


def card_json(card: JudgeCard) -> str:
    """Write a card as JSON.

    Args:
        card: The card.
    """
    return card.model_dump_json(indent=1, exclude_defaults=True) + "\n"


@cache
def shipped_cards() -> Mapping[str, JudgeCard]:
    """Return the cards of this package, by the judge's label."""
    folder = resources.files("oldham.judges") / "measured"
    texts = [entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".json")]
    return by_judge(JudgeCard.model_validate_json(text) for text in texts)


def cards_of(run_dir: Path | None) -> Mapping[str, JudgeCard]:
    """Return the cards that hold for a run: those of the package, and before them the run's own.

    Where the run's card of a judge has fewer than `FEWEST_LABELS` good or bad labels on an axis and span, and the
    package's was measured with the same version of it, the package's cells stand in, beside the run's own. Such a card
    names the labels of both, and its `validation` is the weaker of the two.

    Args:
        run_dir: A run directory; its folder `cards` need not be there. None for none.

    Raises:
        DataError: One of the run's cards cannot be read.
    """
    folder = None if run_dir is None else run_dir / FOLDER
    own = sorted(folder.glob("*.json")) if folder is not None and folder.is_dir() else []
    shipped = shipped_cards()
    return {**shipped, **{card.judge: _completed(card, shipped.get(card.judge)) for card in map(read_card, own)}}


def _completed(card: JudgeCard, shipped: JudgeCard | None) -> JudgeCard:
    if shipped is None or shipped.judge_fingerprint != card.judge_fingerprint:
        return card
    full = {(c.axis, c.span) for c in card.cells if c.kind == ALL and _has_enough(c)}
    lent = [c for c in shipped.cells if (c.axis, c.span) not in full and not c.kind.startswith((ARM, CATEGORY))]
    if not lent:
        return card
    taken = {(c.axis, c.span, c.kind) for c in lent}
    kept = [c for c in card.cells if (c.axis, c.span, c.kind) not in taken]
    update = {
        "cells": (*kept, *lent),
        "labels": (*_named(card.labels, "your own"), *_named(shipped.labels, "the package's")),
        "validation": min(card.validation, shipped.validation, key=_WEAKEST_FIRST.index),
        "labelled_by": min(card.labelled_by, shipped.labelled_by, key=_LEAST_FIRST.index),
        "note": f"{card.note} {_lent_told(lent, full)}".strip(),
    }
    return card.model_copy(update=update)


def _lent_told(lent: Iterable[CardCell], full: Iterable[tuple[Axis, ReadSpan]]) -> str:
    """Say which counts of a completed card are whose."""
    here = _parts_told(full)
    theirs = _parts_told((c.axis, c.span) for c in lent)
    few = f"there are fewer than {FEWEST_LABELS} good or fewer than {FEWEST_LABELS} bad labels of your own"
    return f"The counts on {theirs} are the package's: {few}." + (f" Those on {here} are your own." if here else "")


def _parts_told(parts: Iterable[tuple[Axis, ReadSpan]]) -> str:
    return ", ".join(dict.fromkeys(f"{axis} ({span})" for axis, span in sorted(parts)))


def _named(labels: Iterable[LabelSource], whose: str) -> list[LabelSource]:
    return [source.model_copy(update={"name": f"{source.name}, {whose}"}) for source in labels]


def _has_enough(cell: CardCell) -> bool:
    """Whether there are enough labels of both kinds to correct with, among the rows that the judge settled."""
    good = bad = 0
    for truth, row in cell.counts.items():
        score = score_of(cell.axis, truth)
        n = sum(count for said, count in row.items() if score_of(cell.axis, said) is not None)
        if score is not None:
            good, bad = good + n * (score > _HALF), bad + n * (score < _HALF)
    return min(good, bad) >= FEWEST_LABELS


def by_judge(cards: Iterable[JudgeCard]) -> dict[str, JudgeCard]:
    """Index cards by the judge's label; of two of one judge the later one counts.

    Args:
        cards: Any cards.
    """
    return {card.judge: card for card in cards}
