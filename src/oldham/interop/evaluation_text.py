"""A measurement of a judge as plain text: its card, where it differs from the labels, and what more labels would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oldham.core.outcomes import side
from oldham.core.redact import show, show_prompt
from oldham.coupling.agreement import FEW_LABELS, agreement, labels_to_halve
from oldham.coupling.card_text import describe_card
from oldham.judges.cards import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oldham.core.redact import Shown
    from oldham.coupling.agreement import Share
    from oldham.interop.evaluating import Difference, Evaluated
    from oldham.judges.cards import JudgeCard

SHOWN: Final = 10
"""Most texts listed."""
_CHARS: Final = 240
"""Most characters shown of a text."""


def describe(evaluated: Evaluated, *, reveal: bool = False) -> str:
    """Write what a measurement found.

    Args:
        evaluated: The measurement.
        reveal: Show texts to harmful requests.

    Returns:
        The card, up to ten of the texts on which judge and label differ, and how many labels would halve the intervals.
    """
    parts = [describe_card(evaluated.card), *_differences(evaluated.differences, reveal=reveal)]
    return "\n".join([*parts, "", *_more(evaluated.card)])


def chosen(differences: Sequence[Difference], limit: int = SHOWN) -> list[Difference]:
    """Choose the differences to list: those on good and bad first, spread evenly over the files.

    Args:
        differences: All of them.
        limit: Most to choose.
    """
    sides = [d for d in differences if _crosses(d)]
    rest = [d for d in differences if not _crosses(d)]
    kept = _spread(sides, limit)
    return kept + _spread(rest, limit - len(kept))


def _spread(some: Sequence[Difference], limit: int) -> list[Difference]:
    n = min(limit, len(some))
    return [some[i * len(some) // n] for i in range(n)]


def _crosses(difference: Difference) -> bool:
    axis = difference.row.item.axis
    return side(axis, difference.row.truth) != side(axis, difference.verdict.outcome)


def _differences(differences: Sequence[Difference], *, reveal: bool) -> Iterator[str]:
    if not differences:
        yield "\nJudge and labels say the same of every text."
        return
    listed, crossing = chosen(differences), sum(map(_crosses, differences))
    yield (
        f"\n{len(listed)} of {len(differences):,} texts on which judge and label differ "
        f"({crossing:,} of them between good, bad and open):"
    )
    for number, difference in enumerate(listed, 1):
        yield from _difference(number, difference, reveal=reveal)


def _difference(number: int, difference: Difference, *, reveal: bool) -> Iterator[str]:
    row, verdict = difference
    trial, axis = row.generation.trial, row.item.axis
    text = row.generation.trace_text if row.span == "trace" else row.generation.answer_text
    heard = [row.truth, verdict.outcome]
    decided = _line(show(verdict.raw or None, axis, heard, reveal=reveal, absent="no words are noted"))
    place = " ".join(dict.fromkeys((trial.arm, trial.benchmark, row.item.id, f"({row.item.category})")))
    yield (f"{number:3}. {place}, {row.span}: labelled {row.truth}, judged {verdict.outcome}; decided by: {decided}")
    yield f"     asked: {_line(show_prompt(row.generation, axis, heard, reveal=reveal))}"
    yield f"     {row.span}: {_line(show(text, axis, heard, reveal=reveal, absent='there is none'))}"


def _line(shown: Shown) -> str:
    if shown.text is None:
        size = f"{shown.withheld:,} characters, " if shown.withheld else ""
        return f"[withheld: {size}{shown.why}]" if shown.withheld else f"[{shown.why}]"
    text = " ".join(shown.text.split())
    return text if len(text) <= _CHARS else f"{text[:_CHARS]}..."


def _more(card: JudgeCard) -> Iterator[str]:
    for cell in card.cells:
        if cell.kind != ALL:
            continue
        found = agreement(cell)
        needs = [_needed(found.sensitivity, "bad"), _needed(found.specificity, "good")]
        yield f"To halve the intervals on {cell.axis} ({cell.span}): {' and '.join(needs)}."


def _needed(of: Share, kind: str) -> str:
    wanted = labels_to_halve(of)
    if wanted is None:
        return f"first of all some truly {kind} texts"
    least = max(wanted, FEW_LABELS)  # what few labels say of the share is no ground for a smaller number
    return f"about {least:,} truly {kind} texts ({of.n:,} now)"
