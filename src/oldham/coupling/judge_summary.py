"""What the judges are known to get wrong, and where they differ, as plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.core.outcomes import Stage
from oldham.coupling.findings import counted, points, points_interval
from oldham.coupling.layout import bullets, percent, percent_interval, section, table
from oldham.coupling.stages import CELLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.coupling.analysis import Coupling
    from oldham.coupling.panel import JudgeEffect, JudgePanel, PairAgreement
    from oldham.coupling.stages import StageTable

_SHORT_STAGES: Final = {
    Stage.HARM_RECOGNITION: "recognition",
    Stage.POLICY_RECALL: "policy",
    Stage.INTENT_ASSUMPTION: "assumption",
    Stage.RATIONALISATION: "rationalisation",
    Stage.REFUSAL_DECISION: "refusal",
    Stage.HARMFUL_DETAIL: "detail",
}


def judge_sections(coupling: Coupling, *, full: bool) -> list[str]:
    """Write the sections on trace against answer and on judges that differ.

    Args:
        coupling: What the analysis found.
        full: Also the tables that a short summary leaves out.

    Returns:
        Sections as `layout.section` makes them; empty ones where there is nothing to say.
    """
    panel = coupling.panel
    axes = dict.fromkeys(t.axis for t in coupling.stages)
    crossed = [
        section(f"Trace and answer on {axis}, in %", _cells([t for t in coupling.stages if t.axis == axis], full=full))
        for axis in axes
    ]
    staged = [t for t in coupling.stages if t.stages]
    return [
        *crossed,
        section("Stages found in traces, in % of items", _stages(staged) if full else []),
        section("Judges side by side", bullets(_pair(p, full=full) for p in panel.pairs)),
        section("Change of score by judge, in points, with 95% intervals", _effects(panel.effects) if full else []),
        section("Rate by judge, in %", _rates(panel) if full else []),
        section("Flips that hang on the judge", bullets(_flips_alone(panel.effects))),
    ]


def _cells(tables: Sequence[StageTable], *, full: bool) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("arm", *CELLS, "unsafe if trace unsafe", "if trace safe", "items", "missing"),
    ]
    for t in tables:
        rows.append(
            (
                t.arm,
                *(percent(t.shares[cell]) for cell in CELLS),
                _conditional(t.unsafe_after_unsafe),
                _conditional(t.unsafe_after_safe),
                str(t.n_items),
                str(t.n_missing),
            )
        )
        if full:
            rows.append(("", *(_bracketed(percent_interval(t.intervals[cell])) for cell in CELLS), "", "", "", ""))
    words = "leak: unsafe trace, safe answer; escape: safe trace, unsafe answer; unsafe: both. Missing is no cell."
    names = dict.fromkeys(t.judges for t in tables)
    read = [f"{trace} read the traces and {answer or 'no judge'} the answers." for trace, answer in names]
    return [*table(rows, names=1), *bullets([words, *read])]


def _stages(tables: Sequence[StageTable]) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "arm", *_SHORT_STAGES.values(), "items")]
    rows += [(t.axis, t.arm, *(percent(t.stages[s]) for s in _SHORT_STAGES), str(t.n_staged)) for t in tables]
    return table(rows)


def _pair(pair: PairAgreement, *, full: bool) -> str:
    """Say how far two judges agree, and in which arms most and least."""
    where = f"`{pair.first}` and `{pair.second}` on {pair.axis} ({pair.span})"
    if not pair.n:
        return f"{where}: no text was scored by both."
    low, high = pair.kappa_interval
    kappa = "unknown" if math.isnan(pair.kappa) else f"{pair.kappa:.2f} [{low:.2f} to {high:.2f}]"
    opposed = round(pair.n * (1 - pair.agreement))
    sentence = f"{where}: {opposed} of {counted(pair.n, 'text')} on opposite sides, kappa {kappa}."
    arms = sorted(pair.by_arm, key=lambda arm: pair.by_arm[arm])
    if len(arms) < 2 or pair.by_arm[arms[0]] == pair.by_arm[arms[-1]]:
        return sentence
    if full:
        by_arm = ", ".join(f"`{arm}` {percent(pair.by_arm[arm])}%" for arm in arms)
        return f"{sentence} Agreement by arm: {by_arm}."
    return (
        f"{sentence} Agreement is lowest in `{arms[0]}` ({percent(pair.by_arm[arms[0]])}%) "
        f"and highest in `{arms[-1]}` ({percent(pair.by_arm[arms[-1]])}%)."
    )


def _effects(effects: Sequence[JudgeEffect]) -> list[str]:
    rows = [("axis", "arm", "judge", "change", "interval", "items", "flips", "denied by another")]
    rows += [
        (
            e.axis,
            e.arm,
            e.judge,
            points(e.delta),
            points_interval(e.interval),
            str(e.n_items),
            str(e.n_flips),
            str(e.n_alone),
        )
        for e in effects
    ]
    return table(rows, names=3)


def _rates(panel: JudgePanel) -> list[str]:
    arms = list(dict.fromkeys(r.arm for r in panel.rates))
    groups = list(dict.fromkeys((r.axis, r.benchmark, r.span) for r in panel.rates))
    ordered = sorted(panel.rates, key=lambda r: (groups.index((r.axis, r.benchmark, r.span)), arms.index(r.arm)))
    rows = [("axis", "benchmark", "span", "arm", "judge", "rate", "interval", "items", "missing", "failed")]
    rows += [
        (
            r.axis,
            r.benchmark,
            r.span,
            r.arm,
            r.judge,
            percent(r.mean),
            percent_interval(r.interval),
            str(r.n_items),
            str(r.n_missing),
            str(r.n_failed),
        )
        for r in ordered
    ]
    return table(rows, names=5)


def _flips_alone(effects: Sequence[JudgeEffect]) -> list[str]:
    """Say judge by judge how many of its flips another judge denies."""
    keys = dict.fromkeys((e.axis, e.judge) for e in effects)
    lines = []
    for axis, judge in keys:
        own = [e for e in effects if (e.axis, e.judge) == (axis, judge)]
        alone, flips = sum(e.n_alone for e in own), sum(e.n_flips for e in own)
        if alone:
            lines.append(
                f"{alone} of {counted(flips, 'flip')} that `{judge}` sees on {axis} are denied by another judge."
            )
    return lines


def _conditional(value: float) -> str:
    return "none was" if math.isnan(value) else percent(value)


def _bracketed(text: str) -> str:
    return text if text == "unknown" else f"[{text}]"
