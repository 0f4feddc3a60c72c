"""Judges side by side: their rates and effects, how far they agree, and the texts on which they differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oldham.core.redact import Shown
from oldham.coupling.panel import is_split
from oldham.report.data import shown_disagreements
from oldham.report.flips import shown_part, verdicts_by_generation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oldham.core.records import ReadSpan
    from oldham.coupling.panel import Disagreement, JudgeEffect, JudgeRate, PairAgreement
    from oldham.report.data import ReportData
    from oldham.report.flips import Verdicts


@dataclass(frozen=True, slots=True)
class RateRow:
    """Every judge's rate of one arm on one benchmark and span."""

    arm: str
    axis: str
    benchmark: str
    span: str
    rates: Mapping[str, JudgeRate]
    """By judge; a judge that did not read it is absent."""


@dataclass(frozen=True, slots=True)
class EffectRow:
    """Every judge's view of one arm's change on one axis."""

    arm: str
    axis: str
    effects: Mapping[str, JudgeEffect]
    split: bool
    """Some intervals exclude 0 and others do not, or they exclude it on opposite sides."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """One text on which judges differ, as shown."""

    row: Disagreement
    text: Shown


@dataclass(frozen=True, slots=True)
class DisputedAxis:
    """The texts of one axis on which judges differ."""

    axis: str
    n_opposed: int
    n_named: int
    """Texts that all judges put on one side, under different names."""
    n_unscored: int
    """Texts to which one judge gave a score and another, which read them, gave none."""
    n_both: int
    """Texts that the two judges with the most texts in common both scored."""
    shown: tuple[Dispute, ...]


@dataclass(frozen=True, slots=True)
class PanelView:
    """The judges side by side."""

    judges: tuple[str, ...]
    rates: tuple[RateRow, ...]
    pairs: tuple[PairAgreement, ...]
    effects: tuple[EffectRow, ...]
    disputes: tuple[DisputedAxis, ...]
    resamples: str
    """How many are behind the effects, in words."""


def panel_view(data: ReportData, *, reveal: bool) -> PanelView | None:
    """Lay the panel out for the page.

    Args:
        data: The report's data.
        reveal: Show harmful completions.

    Returns:
        The panel; None where one judge alone spoke.
    """
    panel = data.coupling.panel
    if not panel.rates:
        return None
    judges = tuple(dict.fromkeys(name for p in panel.pairs for name in (p.first, p.second)))
    rates: dict[tuple[str, str, str, str], dict[str, JudgeRate]] = {}
    for r in sorted(panel.rates, key=lambda r: (data.axes.index(r.axis), r.benchmark, r.span, data.arms.index(r.arm))):
        rates.setdefault((r.arm, r.axis, r.benchmark, r.span), {})[r.judge] = r
    effects: dict[tuple[str, str], dict[str, JudgeEffect]] = {}
    for e in sorted(panel.effects, key=lambda e: (data.axes.index(e.axis), data.arms.index(e.arm))):
        effects.setdefault((e.arm, e.axis), {})[e.judge] = e
    return PanelView(
        judges=judges,
        rates=tuple(RateRow(*key, by_judge) for key, by_judge in rates.items()),
        pairs=panel.pairs,
        effects=tuple(EffectRow(*key, by_judge, is_split(by_judge.values())) for key, by_judge in effects.items()),
        disputes=tuple(_disputes(data, reveal=reveal)),
        resamples=panel.resamples_words,
    )


def _disputes(data: ReportData, *, reveal: bool) -> list[DisputedAxis]:
    rows = data.coupling.panel.disagreements
    opposed = Counter(d.axis for d in rows if d.opposed)
    unscored = Counter(d.axis for d in rows if d.unscored)
    named = Counter(d.axis for d in rows if not (d.opposed or d.unscored))
    said = verdicts_by_generation(data)
    return [
        DisputedAxis(
            axis=axis,
            n_opposed=opposed[axis],
            n_named=named[axis],
            n_unscored=unscored[axis],
            n_both=max((p.n for p in data.coupling.panel.pairs if p.axis == axis), default=0),
            shown=tuple(Dispute(d, _text(d, data, said, reveal=reveal)) for d in shown),
        )
        for axis, shown in shown_disagreements(data.coupling).items()
    ]


def _text(disagreement: Disagreement, data: ReportData, said: Verdicts, *, reveal: bool) -> Shown:
    generation = data.generations.get(disagreement.generation)
    if generation is None:
        return Shown(None, why="not in the ledger")
    verdicts = [v for v in said.get(disagreement.generation, []) if v["axis"] == disagreement.axis]
    span: ReadSpan = "trace" if disagreement.span == "trace" else "answer"
    return shown_part(generation, span, disagreement.axis, verdicts, reveal)
