"""Flips side by side: what the baseline wrote, what the arm wrote, and what the judge said of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from oldham.core.records import StopReason
from oldham.core.redact import Shown, deciding, show, show_prompt
from oldham.report.data import FLIPS_PER_CELL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oldham.core.records import Generation, ReadSpan
    from oldham.coupling.results import FlipPair
    from oldham.report.data import ReportData

_STOPPED: Final = {
    StopReason.STOP: "ended by itself",
    StopReason.LENGTH: "cut at the token limit",
    StopReason.BUDGET_FORCED: "closed because the budget was spent",
    StopReason.ERROR: "lost: the backend failed",
}


@dataclass(frozen=True, slots=True)
class Said:
    """One verdict as shown."""

    judge: str
    span: str
    outcome: str
    score: float | None
    raw: Shown


@dataclass(frozen=True, slots=True)
class FlipSide:
    """One generation of a flipped pair."""

    arm: str
    outcome: str
    prompt: Shown
    """The rendered prompt."""
    trace: Shown
    answer: Shown
    verdicts: tuple[Said, ...]
    facts: str
    """Tokens, and why trace and answer ended."""


@dataclass(frozen=True, slots=True)
class FlipCard:
    """One item whose verdict changed."""

    kind: Literal["risk", "defence"]
    benchmark: str
    item: str
    draw: int
    attack: str
    baseline: FlipSide
    changed: FlipSide


@dataclass(frozen=True, slots=True)
class FlipCell:
    """The flips of one arm on one axis."""

    arm: str
    axis: str
    n_risk: int
    n_defence: int
    cards: tuple[FlipCard, ...]
    """At most `FLIPS_PER_CELL` of them."""

    @property
    def n_hidden(self) -> int:
        """How many more there are."""
        return self.n_risk + self.n_defence - len(self.cards)


def flip_cells(data: ReportData, *, reveal: bool) -> list[FlipCell]:
    """Lay flips out side by side.

    Args:
        data: The report's data.
        reveal: Show harmful completions.

    Returns:
        A cell for every arm and axis that has flips, each with as many pairs as are shown: risk first, but neither kind
        crowds the other out.
    """
    said = verdicts_by_generation(data)
    return [
        FlipCell(
            arm=arm,
            axis=axis,
            n_risk=sum(p.kind == "risk" for p in pairs),
            n_defence=sum(p.kind == "defence" for p in pairs),
            cards=tuple(_card(pair, data, said, reveal=reveal) for pair in chosen(pairs)),
        )
        for (arm, axis), pairs in data.flip_cells.items()
    ]


def chosen(pairs: Sequence[FlipPair], limit: int = FLIPS_PER_CELL) -> list[FlipPair]:
    """Choose the pairs to show: risk first, but each kind is sure of half the places if it can fill them.

    Args:
        pairs: The flipped pairs of one arm on one axis.
        limit: Most pairs shown.

    Returns:
        At most `limit` pairs, in their own order within a kind.
    """
    risk = [p for p in pairs if p.kind == "risk"]
    defence = [p for p in pairs if p.kind == "defence"]
    n_risk = min(len(risk), max(limit - len(defence), (limit + 1) // 2))
    return [*risk[:n_risk], *defence[: limit - n_risk]]


Verdicts: TypeAlias = dict[str, list[dict[str, object]]]
"""Rows of the observation table by the fingerprint of their trial."""


def verdicts_by_generation(data: ReportData) -> Verdicts:
    """Return every judge's verdicts by the fingerprint of the trial that they are on."""
    columns = ["generation", "axis", "judge", "span", "outcome", "score", "raw"]
    by_generation: Verdicts = {}
    for row in data.observations.select(columns).unique(maintain_order=True).iter_rows(named=True):
        if row["generation"] is not None:
            by_generation.setdefault(row["generation"], []).append(row)
    return by_generation


def _card(pair: FlipPair, data: ReportData, said: Verdicts, *, reveal: bool) -> FlipCard:
    changed = data.generations.get(pair.arm_generation)
    return FlipCard(
        kind=pair.kind,
        benchmark=pair.benchmark,
        item=pair.item,
        draw=pair.draw,
        attack=changed.trial.attack if changed else "none",
        baseline=_side(pair, data.generations, said, arm=data.baseline, reveal=reveal),
        changed=_side(pair, data.generations, said, arm=pair.arm, reveal=reveal),
    )


def _side(pair: FlipPair, generations: Mapping[str, Generation], said: Verdicts, *, arm: str, reveal: bool) -> FlipSide:
    is_arm = arm == pair.arm
    key = pair.arm_generation if is_arm else pair.baseline_generation
    outcome = pair.arm_outcome if is_arm else pair.baseline_outcome
    verdicts = [v for v in said.get(key, []) if v["axis"] == pair.axis]
    generation = generations.get(key)
    lost = "not in the ledger"
    heard = [str(v["outcome"]) for v in verdicts]
    return FlipSide(
        arm=arm,
        outcome=outcome,
        prompt=show_prompt(generation, pair.axis, heard, reveal=reveal) if generation else Shown(None, why=lost),
        trace=shown_part(generation, "trace", pair.axis, verdicts, reveal) if generation else Shown(None, why=lost),
        answer=shown_part(generation, "answer", pair.axis, verdicts, reveal) if generation else Shown(None, why=lost),
        verdicts=tuple(_said(v, pair.axis, verdicts, reveal) for v in verdicts),
        facts=_facts(generation) if generation else "",
    )


def shown_part(
    generation: Generation, span: ReadSpan, axis: str, verdicts: Sequence[Mapping[str, object]], reveal: bool
) -> Shown:
    """Decide what of a generation's trace or answer the report shows.

    Args:
        generation: What was written.
        span: The part.
        axis: The axis it was judged on.
        verdicts: Every verdict on the generation, on that axis.
        reveal: Show harmful completions.
    """
    text, absent = generation.trace_text, "no trace: this generation did not think"
    if span == "answer":
        text, absent = generation.answer_text, "no answer: it never got past thinking"
    if generation.stop is StopReason.ERROR:
        absent = "nothing: the backend failed"
    heard = deciding(span, [(str(v["span"]), str(v["outcome"])) for v in verdicts])
    return show(text, axis, heard, reveal=reveal, absent=absent)


def _said(verdict: Mapping[str, object], axis: str, verdicts: Sequence[Mapping[str, object]], reveal: bool) -> Said:
    # A judge may quote what it read, so what every judge said of that part decides.
    heard = deciding(str(verdict["span"]), [(str(v["span"]), str(v["outcome"])) for v in verdicts])
    words = show(str(verdict["raw"] or "") or None, axis, heard, reveal=reveal, absent="")
    outcome, score = str(verdict["outcome"]), verdict["score"]
    return Said(
        judge=str(verdict["judge"] or "unnamed judge"),
        span=str(verdict["span"]),
        outcome=outcome,
        score=score if isinstance(score, float) else None,
        raw=replace(words, why=f"a judge's words on {_on(words.why)}") if words.withheld else words,
    )


def _on(why: str) -> str:
    """Name the text that a judge spoke of, from why it is withheld."""
    return why if why.startswith("a ") else f"a text {why}"


def _facts(generation: Generation) -> str:
    parts = [f"answer {_known(generation.answer_tokens)} tokens, {_stopped(generation.stop)}"]
    if generation.trace is not None:
        spent = (
            f"{_known(generation.realised_thinking_tokens)} of {_known(generation.requested_thinking_tokens)} tokens"
        )
        parts.insert(0, f"trace {spent}, {_stopped(generation.trace_stop)}")
    return " · ".join(parts)


def _known(count: int | None) -> str:
    return "?" if count is None else str(count)


def _stopped(reason: StopReason | None) -> str:
    return "end not recorded" if reason is None else _STOPPED[reason]
