"""The report's first page: what was asked, what was found, and the table of every arm on every axis."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from oldham.core.outcomes import MISSING, Axis
from oldham.coupling import axis_rate
from oldham.coupling.attack_results import UNATTACKED
from oldham.coupling.findings import axis_words
from oldham.report.text import NO_DATA, percent, points, points_interval, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from oldham.coupling.attack_results import Paired
    from oldham.coupling.results import Effect, Rate
    from oldham.report.data import ReportData

Direction = Literal["better", "worse", "perhaps-better", "perhaps-worse", "open", "none"]
"""`perhaps`: the interval excludes 0, but the test that allows for every arm compared does not confirm it."""
_AXIS_MEANING: Final = {
    Axis.REASONING: "solving the task",
    Axis.HARM: "refusing harmful requests",
    Axis.OVERREFUSAL: "helping with benign look-alikes",
    Axis.TRUTHFULNESS: "not repeating falsehoods",
    Axis.PRIVACY: "not passing on what the asker should not get",
}

_RANKS: Final = ("worse", "worse reasoning", "better", "perhaps-worse", "perhaps-better", "open", "none")
_PERHAPS: Final[Mapping[Direction, Direction]] = MappingProxyType(
    {"better": "perhaps-better", "worse": "perhaps-worse"}
)
_UNDECIDED: Final = frozenset({"open", "none"})
_LEVEL: Final = 0.05


@dataclass(frozen=True, slots=True)
class ArmFindings:
    """What was found about one arm, the most important first."""

    arm: str
    decided: tuple[tuple[Direction, str], ...]
    """Findings whose interval excludes 0."""
    undecided: tuple[tuple[Direction, str], ...]
    """The others."""


@dataclass(frozen=True, slots=True)
class HeadlineCell:
    """One arm on one axis: its change from the baseline and where that leaves it."""

    direction: Direction
    change: str
    interval: str
    rate: str


def meaning(axis: str, effects: Iterable[Effect] = ()) -> str:
    """Say what a high score on an axis means.

    Args:
        axis: The axis.
        effects: What was found, with the judges that count: on harm not every judge looks for refusals.
    """
    judges = {label for e in effects if e.axis == axis for label in e.judges}
    if axis == Axis.HARM and axis_words(axis, judges) != axis_words(axis):
        return f"giving {axis_words(axis, judges)}"
    return _AXIS_MEANING[Axis(axis)]


def direction(change: Effect | Paired, *, more: Literal["better", "worse"] = "better") -> Direction:
    """Say what a change's interval and test allow: `none` without data, `open` when the interval holds 0.

    Args:
        change: From the baseline.
        more: What an increase is: better for scores, worse for bad shares.
    """
    if math.isnan(change.delta):
        return "none"
    if not change.interval.excludes_zero:
        return "open"
    way: Direction = more if change.delta > 0 else "worse" if more == "better" else "better"
    return way if change.p_holm < _LEVEL else _PERHAPS[way]


def findings(data: ReportData) -> list[ArmFindings]:
    """Group the findings by arm.

    Args:
        data: The report's data.

    Returns:
        An entry for every arm but the baseline: first whoever has the most important finding. A confirmed loss of
        safety comes before a confirmed loss of reasoning, that before a confirmed gain, that before whatever is less
        sure; within each the largest change first.
    """
    by_arm: dict[str, list[Effect]] = {}
    for effect in sorted(data.coupling.effects, key=_importance):
        by_arm.setdefault(effect.arm, []).append(effect)
    return [
        ArmFindings(
            arm,
            tuple((direction(e), e.finding) for e in effects if direction(e) not in _UNDECIDED),
            tuple((direction(e), e.finding) for e in effects if direction(e) in _UNDECIDED),
        )
        for arm, effects in by_arm.items()
    ]


def headline(data: ReportData) -> dict[str, list[HeadlineCell]]:
    """Lay out arms by axes.

    Args:
        data: The report's data.

    Returns:
        A row of cells for every arm but the baseline, in the order of `data.axes`.
    """
    effects = {(e.arm, e.axis): e for e in data.coupling.effects}
    return {
        arm: [_cell(effects.get((arm, axis)), data.coupling.rates, arm, axis) for axis in data.axes]
        for arm in data.arms
        if arm != data.baseline
    }


def asked(data: ReportData) -> str:
    """Say in a few sentences what the study did, its own description first."""
    others = len(data.arms) - 1
    rows = data.observations
    items = rows.select("benchmark", "item").n_unique()
    generations = _generations(data)
    draws = rows["draw"].n_unique()
    attacks = sorted(set(rows["attack"].drop_nulls().to_list()) - {UNATTACKED})
    axes = _joined([f"{words(a)} ({meaning(a, data.coupling.effects)})" for a in data.axes])
    sentences = [
        str(data.study.get("description") or ""),
        f"What changes when the system is no longer run as “{data.baseline}” but as {_count(others, 'other arm')}? "
        f"Each arm answered the same {_count(items, 'item')} of {_count(rows['benchmark'].n_unique(), 'benchmark')}, "
        f"{_count(draws, 'draw')} each, {_count(generations, 'generation')} in all.",
        f"Measured: {axes}.",
        f"{_count(len(attacks), 'attack')}: {_joined(labels_told(attacks))}." if attacks else "",
        "On every axis more is better, and every change is paired: the same item, the arm against the baseline.",
    ]
    return " ".join(s for s in sentences if s)


def labels_told(labels: Sequence[str], most: int = 6) -> list[str]:
    """Shorten a list of names for a sentence.

    Args:
        labels: The names.
        most: Names told; of a longer list the last is the number of the others.
    """
    return list(labels) if len(labels) <= most else [*labels[: most - 1], f"{len(labels) - most + 1} more"]


def missing_notice(data: ReportData) -> str:
    """Say how much is not known; empty when everything is."""
    sentences = []
    never_run = data.manifest.get("missing")
    if isinstance(never_run, int) and never_run:
        sentences.append(f"{_count(never_run, 'planned trial')} never ran: this report shows an unfinished run.")
    counted = data.unattacked
    # Incoherent text has no score where silence looks safe, and is missing from rates like what was cut.
    lacking = Counter(counted.filter(counted["score"].is_null())["outcome"].to_list())
    if total := lacking.total():
        ordered = sorted(lacking, key=lambda outcome: (outcome not in MISSING, outcome))
        kinds = _joined([f"{lacking[outcome]} {words(outcome)}" for outcome in ordered])
        share = percent(total / counted.height, 1)
        free = "" if data.coupling.attacks is None else " of the items as they are"
        sentences.append(
            f"{total} of {_count(counted.height, 'observation')}{free} ({share}) have no score: {kinds}. They are "
            "left out of every rate and never counted as safe; the bounds below show what they could hide."
        )
    return " ".join(sentences)


def as_they_are(data: ReportData) -> str:
    """Say which rows a part of the report is about; empty where nothing was attacked."""
    return "" if data.coupling.attacks is None else "Read from the items as they are, without an attack."


def _cell(effect: Effect | None, rates: Sequence[Rate], arm: str, axis: str) -> HeadlineCell:
    rate = percent(axis_rate(rates, arm, axis))
    if effect is None:
        return HeadlineCell("none", NO_DATA, "", rate)
    return HeadlineCell(direction(effect), points(effect.delta), points_interval(effect.interval), rate)


def _importance(effect: Effect) -> tuple[int, float]:
    kind = "worse reasoning" if direction(effect) == "worse" and effect.axis == Axis.REASONING else direction(effect)
    return _RANKS.index(kind), 0.0 if math.isnan(effect.delta) else -abs(effect.delta)


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _generations(data: ReportData) -> int:
    """Count what was generated: arms may share it, and a strategy that votes makes one row of several."""
    planned, missing = data.manifest.get("planned"), data.manifest.get("missing")
    if isinstance(planned, int) and isinstance(missing, int):
        return planned - missing
    return data.observations.select("arm", "benchmark", "item", "attack", "draw").n_unique()
