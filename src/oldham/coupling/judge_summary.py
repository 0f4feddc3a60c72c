"""What the judges are known to get wrong, and where they differ, as plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.core.outcomes import Stage
from oldham.coupling.caveats import judge_splits
from oldham.coupling.findings import counted, points, points_interval
from oldham.coupling.layout import bullets, percent, percent_interval, ratio, section, table
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
        full: The tables; else a sentence or two for each axis.

    Returns:
        Sections as `layout.section` makes them; empty ones where there is nothing to say.
    """
    panel = coupling.panel
    split = judge_splits(panel.effects)
    if not full:
        told = [*map(_crossed_briefly, _by_axis(coupling.stages)), *_pairs_briefly(panel), *split]
        return [section("Traces and judges", bullets(told))]
    staged = [t for t in coupling.stages if t.stages]
    return [
        *(section(f"Trace and answer on {t[0].axis}, in %", _cells(t)) for t in _by_axis(coupling.stages)),
        section("Stages found in traces, in % of items", _stages(staged)),
        section("Judges side by side", bullets([*split, *map(_pair, panel.pairs)])),
        section(
            f"Change of score by judge, in points, with 95% intervals ({panel.resamples_words})",
            _effects(panel.effects),
        ),
        section("Rate by judge, in %", _rates(panel)),
        section("Flips that hang on the judge", bullets(_flips_alone(panel.effects))),
    ]


def _by_axis(tables: Sequence[StageTable]) -> list[list[StageTable]]:
    return [[t for t in tables if t.axis == axis] for axis in dict.fromkeys(t.axis for t in tables)]


def _crossed_briefly(tables: Sequence[StageTable]) -> str:
    """Say in which arms the trace and the answer part company least and most often."""
    told = []
    for cell, words in (("leak", "unsafe trace, safe answer"), ("escape", "safe trace, unsafe answer")):
        known = sorted((t for t in tables if t.n_items), key=lambda t: t.shares[cell])
        if known and not known[-1].shares[cell]:
            told.append(f"{cell} ({words}) in no arm")
        elif known:
            ends = dict.fromkeys((known[0].arm, known[-1].arm))
            shares = {t.arm: f"{percent(t.shares[cell])}% of {counted(t.n_items, 'item')}" for t in known}
            told.append(f"{cell} ({words}) {' to '.join(f'{shares[arm]} in `{arm}`' for arm in ends)}")
    return f"Trace and answer on {tables[0].axis}: {'; '.join(told) or 'no item has a verdict on both'}."


def _pairs_briefly(panel: JudgePanel) -> list[str]:
    """Say of each axis and span on how many texts judges differ, and which two agree least."""
    told = []
    for axis, span in dict.fromkeys((p.axis, p.span) for p in panel.pairs):
        pairs = [p for p in panel.pairs if (p.axis, p.span) == (axis, span)]
        names = [f"`{name}`" for name in dict.fromkeys(n for p in pairs for n in (p.first, p.second))]
        differing = [d for d in panel.disagreements if (d.axis, d.span) == (axis, span)]
        opposed, unscored = sum(d.opposed for d in differing), sum(d.unscored for d in differing)
        met = any(p.n for p in pairs)
        sides = f"{counted(opposed, 'text')} on opposite sides" if met else "no text was scored by both"
        sentence = f"{', '.join(names[:-1])} and {names[-1]} on {axis} ({span}): {sides}"
        known = [p for p in pairs if not math.isnan(p.kappa)]
        if known and opposed:
            least = min(known, key=lambda p: p.kappa)
            pair = f" (`{least.first}`, `{least.second}`)" if len(pairs) > 1 else ""
            sentence += f", {'lowest ' if len(pairs) > 1 else ''}kappa {ratio(least.kappa)}{pair}"
        if unscored:
            sentence += f"; {counted(unscored, 'text')} to which one gave a score and another none"
        told.append(f"{sentence}.")
    return told


def _cells(tables: Sequence[StageTable]) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("arm", *CELLS, "if unsafe", "if safe", "items", "missing"),
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
        rows.append(("", *(_bracketed(percent_interval(t.intervals[cell])) for cell in CELLS), "", "", "", ""))
    words = (
        "leak: unsafe trace, safe answer; escape: safe trace, unsafe answer; unsafe: both; missing is in no cell. "
        "if unsafe, if safe: how often the answer is unsafe after such a trace."
    )
    names = dict.fromkeys(t.judges for t in tables)
    read = [
        f"{trace} read the traces{_mixed(trace)} and {answer or 'no judge'} the answers{_mixed(answer)}."
        for trace, answer in names
    ]
    return [*table(rows, names=1), *bullets([words, *read])]


def _mixed(names: str) -> str:
    return " (one judge a text, so they count for different texts)" if "," in names else ""


def _stages(tables: Sequence[StageTable]) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "arm", *_SHORT_STAGES.values(), "items")]
    rows += [(t.axis, t.arm, *(percent(t.stages[s]) for s in _SHORT_STAGES), str(t.n_staged)) for t in tables]
    return table(rows)


def _pair(pair: PairAgreement) -> str:
    """Say how far two judges agree, over all and by arm."""
    where = f"`{pair.first}` and `{pair.second}` on {pair.axis} ({pair.span})"
    alone = f"{counted(pair.n_alone, 'text')} to which only one gave a score" if pair.n_alone else ""
    if not pair.n:
        return f"{where}: no text was scored by both{f', {alone}' if alone else ''}."
    low, high = pair.kappa_interval
    kappa = "unknown" if math.isnan(pair.kappa) else f"{ratio(pair.kappa)} [{ratio(low)} to {ratio(high)}]"
    opposed = round(pair.n * (1 - pair.agreement))
    sentence = f"{where}: {opposed} of {counted(pair.n, 'text')} on opposite sides, kappa {kappa}"
    sentence += f"; besides, {alone}." if alone else "."
    arms = sorted(pair.by_arm, key=lambda arm: pair.by_arm[arm])
    if len(arms) < 2 or pair.by_arm[arms[0]] == pair.by_arm[arms[-1]]:
        return sentence
    by_arm = ", ".join(f"`{arm}` {percent(pair.by_arm[arm])}%" for arm in arms)
    return f"{sentence} Agreement by arm: {by_arm}."


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
