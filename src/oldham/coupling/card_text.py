"""A judge card as plain text: whom it was measured against, how far it agrees, and where it errs."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Final

from oldham.coupling.agreement import FEW_LABELS, agreement, drift
from oldham.coupling.layout import percent, percent_interval, ratio, table
from oldham.judges.cards import ALL, ARM, CATEGORY, DIRECT, THINKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.core.outcomes import Outcome
    from oldham.coupling.agreement import Agreement, Kappa, Share
    from oldham.judges.cards import CardCell, JudgeCard

_WIDTH: Final = 110
_LABELLED: Final = {
    "humans": "labelled by people",
    "model": "labelled by a model, not by people",
    "construction": "made so that the right label is known",
}
_VALIDATION: Final = {
    "independent": "The judge was made without them.",
    "held_out": "The judge was fitted to them, and each part was judged by a fit that had not seen it.",
    "in_sample": "The judge was made with them at hand: expect more errors on other texts.",
}
_HEADER: Final = (
    *("texts", "n", "agree %", "95% interval", "exact %", "kappa", "bad found %", "95% interval"),
    *("good found %", "95% interval"),
)


def describe_card(card: JudgeCard) -> str:
    """Write a card for a reader at a terminal.

    Args:
        card: The card.

    Returns:
        Head, and for each axis and span a table by kind, the agreement by category, what the judge says by label, and
        whether it errs alike in all arms. Numbers from fewer than `FEW_LABELS` labels are marked and not hidden.
    """
    parts = list(dict.fromkeys((cell.axis, cell.span) for cell in card.cells))
    lines = _head(card)
    for axis, span in parts:
        lines += ["", *_part([cell for cell in card.cells if (cell.axis, cell.span) == (axis, span)])]
    lines += ["", *_folded(_LEGEND, indent="")]
    return "\n".join(lines)


_LEGEND: Final = (
    "agree: the same side of good and bad, of the texts that the judge decided; exact: the very same label. bad found, "
    f"good found: of the truly bad (good) ones, how many it calls so. * fewer than {FEW_LABELS} labels."
)


def _head(card: JudgeCard) -> list[str]:
    asks = f" It asks {card.model}." if card.model else ""
    return [
        f"{card.judge} (version {card.judge_fingerprint[:8]}) reads the {' and the '.join(card.reads)}.{asks}",
        *_folded(measured_on(card), indent=""),
        *_folded(card.note, indent=""),
    ]


def measured_on(card: JudgeCard) -> str:
    """Say on which labels a judge was measured, and whether it had seen them, in two sentences.

    Args:
        card: Its card.
    """
    n = sum(source.n for source in card.labels)
    sources = ", ".join(f"{source.name} ({source.n:,})" for source in card.labels)
    return f"Measured on {n:,} labels: {sources}; {_LABELLED[card.labelled_by]}. {_VALIDATION[card.validation]}"


def _part(cells: Sequence[CardCell]) -> list[str]:
    """Return the lines of one axis and span."""
    found = [(cell.kind, agreement(cell)) for cell in cells]
    whole = next((a for kind, a in found if kind == ALL), None)
    rows: list[tuple[str, ...]] = [_HEADER]
    for kind, of in found:
        # A kind that is all there is says the same again.
        if kind.startswith(CATEGORY) or (kind in (DIRECT, THINKING) and whole is not None and of.n == whole.n):
            continue
        rows.append(_row(kind, of))
    lines = [_title(cells, whole), *table(rows, names=1)]
    if whole is not None:
        lines += _folded(f"{_chance('kappa', whole.kappa_two_way)}; {_exactly(whole)}.")
    categories = sorted(
        ((kind.removeprefix(CATEGORY), of.two_way) for kind, of in found if kind.startswith(CATEGORY)),
        key=lambda pair: (-1.0 if math.isnan(pair[1].value) else pair[1].value, pair[0]),
    )
    if categories:
        told = ", ".join(f"{name} {_marked(of)} of {of.n}" for name, of in categories)
        lines += _folded(f"agree % by category: {told}.")
    lines += _confusion(next((cell for cell in cells if cell.kind == ALL), None))
    lines += [line for finding in drift_findings(cells) for line in _folded(finding)]
    return lines


def _title(cells: Sequence[CardCell], whole: Agreement | None) -> str:
    title = f"{cells[0].axis}, {cells[0].span}"
    if whole is None:
        return title
    kinds = {cell.kind: cell.n for cell in cells}
    only = next((kind for kind in (DIRECT, THINKING) if kinds.get(kind) == whole.n), None)
    told = f"{title}: {whole.n:,} labels{f', all {only}' if only else ''}"
    if whole.n_open:
        told += f"; left open {whole.n_open} ({percent(whole.n_open / whole.n)}%), unreadable {whole.n_failed}"
    return told


def _chance(name: str, kappa: Kappa) -> str:
    if math.isnan(kappa.value):
        return f"{name} unknown (one label is all there is)"
    return f"{name} {ratio(kappa.value)} ({ratio(kappa.interval.low)} to {ratio(kappa.interval.high)})"


def _exactly(of: Agreement) -> str:
    exact = f"exactly the same label {percent(of.same_label.value)}% ({percent_interval(of.same_label.interval)})"
    return f"{exact}, {_chance('its kappa', of.kappa_same_label)}"


def _row(kind: str, of: Agreement) -> tuple[str, ...]:
    kappa = of.kappa_two_way.value
    return (
        kind,
        f"{of.n:,}",
        _marked(of.two_way),
        percent_interval(of.two_way.interval),
        _marked(of.same_label),
        ratio(kappa),
        _found(of.sensitivity),
        percent_interval(of.sensitivity.interval),
        _found(of.specificity),
        percent_interval(of.specificity.interval),
    )


def _marked(of: Share) -> str:
    return f"{percent(of.value)}{'*' if of.is_few else ''}"


def _found(of: Share) -> str:
    return f"{_marked(of)} of {of.n:,}" if of.n else "no label"


def _confusion(cell: CardCell | None) -> list[str]:
    """Return what the judge says, a line for each label."""
    if cell is None:
        return []
    return [f"  labelled {truth}: {_said(row)}" for truth, row in cell.counts.items()]


def _said(row: dict[Outcome, int]) -> str:
    most = sorted(row.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{outcome} {count:,}" for outcome, count in most)


def drift_findings(cells: Sequence[CardCell]) -> list[str]:
    """Say whether a judge errs alike in all arms, and on direct and thought-out answers; a sentence each.

    Args:
        cells: A card's cells of one axis and span.
    """
    arms = {cell.kind.removeprefix(ARM): cell for cell in cells if cell.kind.startswith(ARM)}
    kinds = {cell.kind: cell for cell in cells if cell.kind in (DIRECT, THINKING)}
    return [found.finding for found in map(drift, (arms, kinds)) if found]


def _folded(text: str, *, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def in_brief(cards: Iterable[JudgeCard]) -> str:
    """Say in a few words on what a judge was measured, for a list.

    Args:
        cards: Its cards, one for each model that it asks.

    Returns:
        Such as `measured on 1,350 labels by humans, in sample`; `no card` without one.
    """
    told = []
    for card in cards:
        n = sum(cell.n for cell in card.cells if cell.kind == ALL)
        model = f" with {card.model}" if card.model else ""
        seen = ", in sample" if card.validation == "in_sample" else ""
        told.append(f"measured{model} on {n:,} labels by {card.labelled_by}{seen}")
    return "; ".join(told) or "no card"
