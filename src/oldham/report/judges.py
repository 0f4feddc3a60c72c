"""The judges behind the numbers: what each reads, what its card says, and what to be wary of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from oldham.core.outcomes import MISSING
from oldham.coupling.agreement import agreement
from oldham.coupling.card_text import drift_findings, measured_on
from oldham.coupling.tipping import CLASS_WORDS, hundredths
from oldham.judges.cards import AGREE, ALL, DIFFER, DIRECT, THINKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oldham.coupling import Coupling
    from oldham.coupling.agreement import Agreement
    from oldham.coupling.results import Tipping
    from oldham.judges.cards import CardCell, JudgeCard
    from oldham.report.data import ReportData

_MAIN_KINDS: Final = (ALL, DIRECT, THINKING, AGREE, DIFFER)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """How often a judge was right on one part of its labelled texts."""

    axis: str
    span: str
    kind: str
    """The part, as on the card."""
    found: Agreement


@dataclass(frozen=True, slots=True)
class JudgeView:
    """One judge in use."""

    label: str
    model: str
    """The model it asks; empty for a judge without one."""
    reads: tuple[str, ...]
    """Spans."""
    axes: tuple[str, ...]
    n_verdicts: int
    n_missing: int
    """Verdicts among them that found nothing out: unfinished, unjudged."""
    n_failed: int
    """Verdicts among them where the judge's own output could not be read."""
    n_retried: int
    counts: bool
    """Whether some number of the report rests on it; else it only stands beside another judge."""
    measured: str
    """On what its card was measured, in sentences; empty without a card."""
    note: str
    errors: tuple[ErrorRow, ...]
    """Overall, by kind of output and by agreement of the labels; only axes and spans it is used on."""
    more_errors: tuple[ErrorRow, ...]
    """By arm and category."""
    drifts: tuple[str, ...]
    """Whether it errs alike on direct and thought-out answers, and in all arms of its card; a sentence each."""
    warnings: tuple[str, ...]


def judge_views(data: ReportData) -> list[JudgeView]:
    """Describe every judge whose verdicts are in the table, in the table's order.

    Args:
        data: The report's data.

    Returns:
        A view for each judge with a name.
    """
    named = data.observations.filter(pl.col("judge").is_not_null())
    counting = set(data.counted["judge"].drop_nulls().to_list())
    return [
        _view(str(rows["judge"][0]), rows, counting, data) for rows in named.partition_by("judge", maintain_order=True)
    ]


def tipping_parts(tipping: Tipping | None, axis: str) -> tuple[str, str]:
    """Say how much judge error would explain an effect away.

    Args:
        tipping: Of an effect; None where it is not known.
        axis: Its axis.

    Returns:
        What would explain it away, and what would bring it into doubt; empty where nothing is known.
    """
    if tipping is None or math.isnan(tipping.error):
        return "", ""
    answers = CLASS_WORDS[axis][tipping.on == "bad"]
    whole = f"{hundredths(tipping.error)} more of 100 {answers} answers"
    if tipping.error > 1:
        whole = f"no number of {answers} answers would do"
    doubt = tipping.error_for_doubt
    if math.isnan(doubt):
        return whole, ""
    if doubt <= 0:
        return whole, "in doubt as it stands"
    return whole, "never in doubt" if doubt > 1 else f"in doubt from {hundredths(doubt)} of 100"


def is_corrected(coupling: Coupling) -> bool:
    """Whether the analysis was asked to correct for judge error, whether it could or not."""
    return any(e.corrected or e.tipping for e in coupling.effects) or any(r.corrected for r in coupling.rates)


def _view(label: str, rows: pl.DataFrame, counting: set[str], data: ReportData) -> JudgeView:
    facts = data.judge_facts.get(label, {})
    card = data.cards.get(label)
    used = {(str(axis), str(span)) for axis, span in rows.select("axis", "span").unique().iter_rows()}
    cells = [] if card is None else [c for c in card.cells if (str(c.axis), c.span) in used]
    errors = sorted(
        (ErrorRow(str(c.axis), c.span, c.kind, agreement(c)) for c in cells),
        key=lambda e: (data.axes.index(e.axis), e.span, _rank(e.kind)),
    )
    reads = facts.get("reads")
    parsed = rows["parsed"].to_list()
    return JudgeView(
        label=label,
        model=str(facts.get("model") or ""),
        reads=tuple(map(str, reads)) if isinstance(reads, list) else tuple(sorted({span for _, span in used})),
        axes=tuple(a for a in data.axes if a in {axis for axis, _ in used}),
        n_verdicts=rows.height,
        n_missing=rows.filter(pl.col("outcome").is_in([str(o) for o in MISSING])).height,
        n_failed=parsed.count("failed"),
        n_retried=parsed.count("retried"),
        counts=label in counting,
        measured="" if card is None else measured_on(card),
        note="" if card is None else card.note,
        errors=tuple(e for e in errors if e.kind in _MAIN_KINDS),
        more_errors=tuple(e for e in errors if e.kind not in _MAIN_KINDS),
        drifts=tuple(_drifts(cells)),
        warnings=tuple(_warnings(rows, facts, card, used)),
    )


def _drifts(cells: Sequence[CardCell]) -> list[str]:
    """Say on which axes and spans the card can tell whether the judge errs alike, and whether it does."""
    told = []
    for axis, span in dict.fromkeys((str(c.axis), c.span) for c in cells):
        here = [c for c in cells if (str(c.axis), c.span) == (axis, span)]
        told += [f"{axis.capitalize()} ({span}): {finding}" for finding in drift_findings(here)]
    return told


def _warnings(
    rows: pl.DataFrame, facts: Mapping[str, Any], card: JudgeCard | None, used: set[tuple[str, str]]
) -> list[str]:
    """Say what stands between the judge as it was published, as it was measured, and as it was used."""
    told = []
    base, model = facts.get("base_model"), facts.get("model")
    if base and model and str(base).casefold() not in str(model).casefold():
        told.append(f"It was published with the model `{base}`; here it asks `{model}`, and may err otherwise.")
    if card is None:
        return [*told, "No card: nothing is known of its errors. Measure it on labels of your own."]
    measured = {(str(c.axis), c.span) for c in card.cells}
    if used - measured:
        told.append(
            f"Its card says nothing of {', '.join(f'{axis} ({span})' for axis, span in sorted(used - measured))}."
        )
    differs = _differences(rows, facts, card)
    if differs:
        told.append(f"Its card was measured with another {' and another '.join(differs)}.")
    if card.validation == "in_sample":
        told.append("It was made with the labelled texts at hand: expect more errors on others than its card says.")
    if card.labelled_by == "model":
        told.append("Its labels are a model's, so its card says how far two machines agree.")
    return told


def _differences(rows: pl.DataFrame, facts: Mapping[str, Any], card: JudgeCard) -> list[str]:
    """Name what is not as it was when the card was measured; the whole judge only where no part is known to differ."""
    parts = (
        ("model", facts.get("model_fingerprint") or facts.get("model"), card.model_fingerprint or card.model),
        ("prompt", facts.get("prompt_hash"), card.prompt_hash),
    )
    differing = [name for name, here, there in parts if here and there and here != there]
    seen = set(rows["judge_fingerprint"].drop_nulls().to_list())
    if not differing and seen and seen != {card.judge_fingerprint}:
        return ["version of the judge"]
    return differing


def _rank(kind: str) -> int:
    return _MAIN_KINDS.index(kind) if kind in _MAIN_KINDS else len(_MAIN_KINDS)
