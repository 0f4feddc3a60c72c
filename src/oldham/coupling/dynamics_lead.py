"""What is told of doses before anything else: one table of changes, and each intervention in a few sentences.

Ladders that differ in their seed alone are told together. Everything said here is said of each ladder, with its own
bands and items, by `dynamics_claims`; these sentences count over ladders and claim no more than those do.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from oldham.core.outcomes import Axis
from oldham.coupling.dynamics_claims import critical_sentence, free_sentence
from oldham.coupling.dynamics_ladders import without_seed
from oldham.coupling.dynamics_results import ENOUGH_SEEDS
from oldham.coupling.findings import axis_words, change_cell, counted, points, points_interval
from oldham.coupling.layout import bullets, footnotes, listed, ratio, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from oldham.coupling.dynamics_results import (
        DosePath,
        Dynamics,
        Replicates,
        SeedMean,
        Segment,
        Trend,
    )
    from oldham.coupling.results import Interval

_LEVEL: Final = 0.05
_SEEDS_MARK, _GAP_MARK = "~", "?"
_WORDS: Final = (
    "Critical dose: the smallest whose loss is sure to exceed {margin} points (95% band over a ladder's doses). Free "
    "range: up to where reasoning surely rises and no safety axis loses that much. Local coupling: points of safety a "
    "point of reasoning, in the steps in which reasoning surely moved; each 95% interval by itself.{seeds}"
)
_NAMED: Final = ("harm", "overrefusal")
"""Axes whose names do not say which way is better."""
_FEW: Final = 3
"""So many rates are named one by one; more are counted."""


@dataclass(frozen=True, slots=True)
class DoseGroup:
    """Ladders that are told together."""

    name: str
    paths: tuple[DosePath, ...]
    mean: Replicates | None
    """None for a ladder alone."""

    @property
    def axes(self) -> tuple[str, ...]:
        """Every axis of its ladders, in their usual order."""
        return _ordered(a for p in self.paths for a in p.axes)

    @property
    def safety(self) -> tuple[str, ...]:
        """Its axes but reasoning."""
        return tuple(a for a in self.axes if a != Axis.REASONING)

    def told(self, what: str, some: Sequence[DosePath]) -> str:
        """Add to a statement of which seeds it is true; nothing where there is one ladder.

        Args:
            what: The statement.
            some: At least one of the ladders.
        """
        if len(self.paths) == 1:
            return what
        if len(some) == len(self.paths):
            return f"{what} (all)"
        seeds = [without_seed(p.intervention)[1] or "none" for p in some]
        return f"{what} (seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)})"


class _Row(NamedTuple):
    """A line of the table."""

    name: str
    dose: float
    cells: dict[str, str]
    marks: dict[str, str]


def groups_of(dynamics: Dynamics) -> list[DoseGroup]:
    """Put ladders together that differ in their seed alone.

    Args:
        dynamics: What was found.

    Returns:
        In their order. Where a seed is not among the paths, or they share no dose, each ladder stands alone.
    """
    known = {p.intervention for p in dynamics.paths}
    means = {r.name: r for r in dynamics.replicates if r.means and known.issuperset(r.interventions)}
    groups: dict[str, list[DosePath]] = {}
    for path in dynamics.paths:
        name = without_seed(path.intervention)[0]
        groups.setdefault(name if name in means else path.intervention, []).append(path)
    return [DoseGroup(name, tuple(paths), means.get(name)) for name, paths in groups.items()]


def lead_head(dynamics: Dynamics) -> str:
    """Say what was given in which doses.

    Args:
        dynamics: What was found.
    """
    paths, groups = dynamics.paths, groups_of(dynamics)
    doses = list(dict.fromkeys(p.doses for p in paths))
    starts = list(dict.fromkeys(p.start for p in paths))
    margin = f"margin {100 * dynamics.margin:g} points"
    at = f"{counted(len(doses[0]), 'dose')} ({', '.join(f'{d:g}' for d in doses[0])})" if len(doses) == 1 else "doses"
    start = f"the start `{starts[0]}`" if len(starts) == 1 else "their starts"
    if len(groups) == 1:
        of = "" if len(paths) == 1 else f" in {len(paths)} seeds"
        return f"`{groups[0].name}` at {at}{of} against {start}, {margin}."
    ladders = "" if len(paths) == len(groups) else f", {len(paths)} ladders with their seeds,"
    return f"{counted(len(groups), 'intervention')}{ladders} at {at} against {start}, {margin}."


def lead_title(dynamics: Dynamics) -> str:
    """Return the title of `lead_table`.

    Args:
        dynamics: What was found.
    """
    numbers = sorted({len(g.paths) for g in groups_of(dynamics) if g.mean})
    mean = f", means of {' or '.join(map(str, numbers))} seeds" if numbers else ""
    return f"Change from the start in points{mean}, with 95% intervals over items of each dose alone (+ is better)"


def lead_table(dynamics: Dynamics) -> list[str]:
    """Lay out the change at each dose, over seeds where there are several.

    Args:
        dynamics: What was found.

    Returns:
        A row an intervention and dose, then the items it rests on and what the marks mean.
    """
    axes = _ordered(a for p in dynamics.paths for a in p.axes)
    rows = [row for g in groups_of(dynamics) for row in _rows(g, dynamics)]
    wide = {a: max((len(r.marks[a]) for r in rows), default=0) for a in axes}
    lines: list[tuple[str, ...]] = [("intervention", "dose", *(a + " " * wide[a] for a in axes))]
    before = ""
    for r in rows:
        cells = (r.cells[a] + r.marks[a].ljust(wide[a]) for a in axes)
        lines.append((r.name if r.name != before else "", f"{r.dose:g}", *cells))
        before = r.name
    lines.append(("items", "", *(_items(dynamics, a) + " " * wide[a] for a in axes)))
    marks = "".join(m for r in rows for m in r.marks.values())
    known = {a: {j for p in dynamics.paths for c in p.of(a) for j in c.judges} for a in axes}
    notes = ["; ".join(f"{a}: {axis_words(a, known[a])}" for a in axes if a in _NAMED)]
    if _SEEDS_MARK in marks:
        notes.append(
            f"{_SEEDS_MARK} clear of 0 over items and not over seeds: these runs moved, another seed need not."
        )
    if _GAP_MARK in marks:
        notes.append(
            f"{_GAP_MARK} the share of answers without a score is far from the start's: a selection is compared."
        )
    return table(lines) + footnotes(n for n in notes if n)


def _rows(group: DoseGroup, dynamics: Dynamics) -> Iterator[_Row]:
    """Return a group's rows: means over seeds at the doses that all have, else the doses of the ladder."""
    axes = _ordered(a for p in dynamics.paths for a in p.axes)
    values: dict[tuple[str, float], tuple[float, Interval]]
    if group.mean:
        values = {(m.axis, m.dose): (m.change, m.interval) for m in group.mean.means}
        loose = {(m.axis, m.dose) for m in group.mean.means if _hangs_on_seeds(m)}
    else:
        values = {(c.axis, c.dose): (c.change, c.interval) for p in group.paths for c in p.changes}
        loose = set()
    lacking = {(g.axis, arm) for g in dynamics.gaps for arm in g.arms}
    for dose in sorted({dose for _, dose in values}):
        arms = [a for p in group.paths for a, d in zip(p.arms, p.doses, strict=True) if d == dose]
        marks = {
            a: (_SEEDS_MARK if (a, dose) in loose else "")
            + (_GAP_MARK if (a, dose) in values and any((a, arm) in lacking for arm in arms) else "")
            for a in axes
        }
        cells = {a: change_cell(*values[a, dose]) if (a, dose) in values else "unknown" for a in axes}
        yield _Row(group.name, dose, cells, marks)


def _hangs_on_seeds(mean: SeedMean) -> bool:
    return mean.interval.excludes_zero and mean.seed_interval.low <= 0 <= mean.seed_interval.high


def _items(dynamics: Dynamics, axis: str) -> str:
    numbers = [c.n_items for p in dynamics.paths for c in p.of(axis)]
    low, high = min(numbers, default=0), max(numbers, default=0)
    return str(low) if low == high else f"{low} to {high}"


def lead_groups(dynamics: Dynamics) -> list[str]:
    """Tell each intervention in a few sentences, and before them what their words mean.

    Args:
        dynamics: What was found.
    """
    groups = groups_of(dynamics)
    if len(dynamics.paths) == 1:
        return bullets(group_sentences(groups[0], brief=False))
    lines = textwrap.wrap(lead_words(dynamics), 110)
    for g in groups:
        lines += [f"`{g.name}`"] if len(groups) > 1 else []
        lines += bullets(group_sentences(g, brief=True))
    return lines


def lead_words(dynamics: Dynamics) -> str:
    """Say what the words of brief sentences mean.

    Args:
        dynamics: What was found.
    """
    seeds = " (all): with every seed." if any(g.mean for g in groups_of(dynamics)) else ""
    return _WORDS.format(margin=f"{100 * dynamics.margin:g}", seeds=seeds)


def group_sentences(group: DoseGroup, *, brief: bool) -> list[str]:
    """Tell one intervention in a few sentences.

    Args:
        group: Its ladders.
        brief: A ladder alone too is told in a line a finding; otherwise in sentences with all their numbers.

    Returns:
        What the seeds agree on, critical doses, the free range, trends and local coupling. Of several seeds it is told
        which.
    """
    if not brief and len(group.paths) == 1:
        path = group.paths[0]
        said = [*(critical_sentence(c, path) for c in path.critical)]
        said.append(_free(group) if math.isnan(path.free.dose) else free_sentence(path.free, path))
    else:
        said = [_over_seeds(group), _critical(group), _free(group)]
    return [s for s in (*said, _trend(group), _local(group)) if s]


def _over_seeds(group: DoseGroup) -> str:
    """Say at the last dose which axes have moved, over items and over seeds."""
    if not group.mean or not group.mean.means:
        return ""
    last = {m.axis: m for m in group.mean.means}.values()
    moved = [m for m in last if m.interval.excludes_zero]
    kinds = {
        "better on": [m.axis for m in moved if m.change > 0 and not _hangs_on_seeds(m)],
        "worse on": [m.axis for m in moved if m.change < 0 and not _hangs_on_seeds(m)],
        "over items and not over seeds moved:": [m.axis for m in moved if _hangs_on_seeds(m)],
    }
    n_seeds = group.mean.means[0].n_seeds
    over = "over items and over seeds" if n_seeds >= ENOUGH_SEEDS else f"over items, for these {n_seeds} seeds"
    told = "; ".join(f"{words} {listed(axes)}" for words, axes in kinds.items() if axes)
    return f"At dose {max(m.dose for m in last):g}, {over}: {told or 'no change is shown'}."


def _critical(group: DoseGroup) -> str:
    """Say at which dose each safety axis is first sure to lose more than the margin, seed by seed."""
    named: list[str] = []
    rest: dict[str, list[str]] = {"none": [], "open": [], "unknown": []}
    for axis in group.safety:
        by_dose: dict[float, list[DosePath]] = {}
        by_state: dict[str, list[DosePath]] = {}
        for path in group.paths:
            for c in path.critical:
                if c.axis == axis and c.state == "reached":
                    by_dose.setdefault(c.dose, []).append(path)
                elif c.axis == axis:
                    by_state.setdefault(c.state, []).append(path)
        if by_dose:
            doses = [group.told(f"{d:g}", some) for d, some in sorted(by_dose.items())]
            named.append(f"{axis} {' or '.join(doses)}")
        for state, some in by_state.items():
            rest[state].append(axis if len(some) == len(group.paths) else group.told(axis, some))
    words = {"none": "no such loss on", "open": "open on", "unknown": "nothing sure is known of"}
    named += [f"{words[state]} {listed(axes)}" for state, axes in rest.items() if axes]
    return f"Critical dose: {'; '.join(named)}." if named else ""


def _free(group: DoseGroup) -> str:
    """Say how far the dose goes for free, and what is lost beyond; what is only open where nothing is lost."""
    by_dose: dict[float, list[DosePath]] = {}
    for path in group.paths:
        by_dose.setdefault(-math.inf if math.isnan(path.free.dose) else path.free.dose, []).append(path)
    ranges = [group.told(f"to dose {d:g}", some) for d, some in sorted(by_dose.items()) if math.isfinite(d)]
    if -math.inf in by_dose:
        ranges.append(group.told("none for sure", by_dose[-math.inf]))
    obstacles = [o for p in group.paths for o in p.free.obstacles]
    against = [f"{name} was not measured" for name in dict.fromkeys(n for p in group.paths for n in p.free.unmeasured)]
    for words, some in (("surely lost", [o for o in obstacles if o.failed]), ("open", obstacles)):
        if some and not against:
            doses = " or ".join(f"{d:g}" for d in sorted({o.dose for o in some}))
            against.append(f"at dose {doses} {listed(_ordered(o.axis for o in some))} {words}")
    return f"Free range: {'; '.join([', '.join(ranges), *against])}."


def _trend(group: DoseGroup) -> str:
    """Say which axes move with the dose by interval and test; the others are not named."""
    if all(len(p.doses) < 2 for p in group.paths):
        return ""
    told = []
    for way, sign in (("better on", 1), ("worse on", -1)):
        each = []
        for axis in group.axes:
            found = [(p, t) for p in group.paths for t in p.trends if (t.axis, _moves(t)) == (axis, sign)]
            if len(group.paths) == 1:
                each += [f"{axis} ({_slope(t)})" for _, t in found]
            elif found:
                each.append(group.told(axis, [p for p, _ in found]))
        told += [f"{way} {listed(each)}"] if each else []
    return f"Trend with the dose: {'; '.join(told) or 'none is shown'}."


def _moves(trend: Trend) -> int:
    if trend.p_holm < _LEVEL and trend.interval.excludes_zero:
        return 1 if trend.per_step > 0 else -1
    return 0


def _slope(trend: Trend) -> str:
    return f"{points(trend.per_step)} points a step, {points_interval(trend.interval)}"


def _local(group: DoseGroup) -> str:
    """Say what a point of reasoning costs from one dose to the next, where reasoning has moved."""
    steps = {(p.intervention, s.from_dose) for p in group.paths for s in p.segments}
    rates = [(p, s) for p in group.paths for s in p.segments if s.kappa is not None]
    if not steps:
        return ""
    if not rates:
        where = "the one step" if len(steps) == 1 else f"any of {len(steps)} steps"
        return f"Local coupling: reasoning is not sure to have moved in {where}."
    moved = {(p.intervention, s.from_dose) for p, s in rates}
    told = [_rates(axis, [s for _, s in rates if s.axis == axis], group) for axis in group.safety]
    return f"Local coupling in {len(moved)} of {counted(len(steps), 'step')}: {'; '.join(t for t in told if t)}."


def _rates(axis: str, rates: Sequence[Segment], group: DoseGroup) -> str:
    if not rates:
        return ""
    if len(group.paths) == 1 and len(rates) <= _FEW:
        each = [f"{_rate(s)} from {s.from_dose:g} to {s.to_dose:g}" for s in rates]
        return f"{axis} {', '.join(each)}"
    values = [s.kappa for s in rates if s.kappa is not None]
    clear = sum(s.kappa_interval.low > 0 or s.kappa_interval.high < 0 for s in rates)
    low, high = ratio(min(values)), ratio(max(values))
    return f"{axis} {low if low == high else f'{low} to {high}'}{f' ({clear} clear of 0)' if clear else ''}"


def _rate(segment: Segment) -> str:
    low, high = segment.kappa_interval
    return f"{ratio(math.nan if segment.kappa is None else segment.kappa)} [{ratio(low)}, {ratio(high)}]"


def _ordered(axes: Iterable[str]) -> tuple[str, ...]:
    seen = set(axes)
    return tuple(str(a) for a in Axis if str(a) in seen)
