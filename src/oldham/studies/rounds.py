"""Asking items in rounds, and no longer than somebody who reads the answers wants to.

Items come in an order that the study's seed and the items' names fix before anything is asked: the same for all arms,
whole clusters at a time, and unchanged by a new arm or a restart. After each round an umpire reads the observations so
far and says which arms are done on which axes. All of that follows from the ledger's rows: a run that was killed asks
the umpire again about the rounds that are there, gets the same answers, and goes on where it was.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from oldham.attacks.base import NONE
from oldham.core.errors import ConfigError
from oldham.core.fingerprint import fingerprint
from oldham.core.rounds import FIRST, GROWTH, Look, Planned, look_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    import polars as pl

    from oldham.core.ledger import Ledger
    from oldham.core.records import Item
    from oldham.core.rounds import Cell, Umpire
    from oldham.studies.plan import Plan, PlannedTrial

_Key = tuple[str, str]
"""An arm and a trial: arms with the same settings share trials."""


@dataclass
class Rounds:
    """How items are asked in rounds.

    Args:
        umpire: Who says when it is enough.
        first: Items an axis in the first round; later rounds have at least as many.
        growth: Each round brings the items to at least this many times what there was.
    """

    umpire: Umpire
    first: int = FIRST
    growth: float = GROWTH
    stopped: dict[Cell, Look] = field(default_factory=dict)
    """When each arm was done on each axis."""

    def looks(self, most: int) -> list[Look]:
        """Return the readings of a study.

        Args:
            most: Items an axis at the last one.
        """
        return [Look(*look) for look in enumerate(look_sizes(most, first=self.first, growth=self.growth), 1)]

    def facts(self, plan: Plan) -> dict[str, Any]:
        """Return what a reader of the rows must know, for the manifest: plain JSON values.

        Args:
            plan: Of the whole study.
        """
        schedule = Schedule(plan)
        return {
            "planned_generations": len(plan.distinct),
            "looks": [look._asdict() for look in self.looks(schedule.most)],
            "planned": {name: planned._asdict() for name, planned in schedule.planned.items()},
            "stopped": [
                {"arm": arm, "axis": axis, "look": look.number} for (arm, axis), look in sorted(self.stopped.items())
            ],
            **self.umpire.facts(),
        }

    def told(self, plan: Plan, asked: int) -> tuple[str, ...]:
        """Return what was decided, in lines.

        Args:
            plan: Of the whole study.
            asked: Generations that were asked for.
        """
        whole = len(plan.distinct)
        share = f"{asked} of the {whole} planned generations ({asked / whole:.0%})" if whole else "nothing"
        return (f"Asked in rounds, which came to {share}.", *self.umpire.told())


class Schedule:
    """Which trials of a plan belong to which round.

    Args:
        plan: Of the whole study.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._starts = {name: _starts(items, plan.study.seed) for name, items in plan.items.items()}
        self._axis = {name: str(items[0].axis) for name, items in plan.items.items()}
        self._shares: dict[str, int] = defaultdict(int)
        for axis in self._axis.values():
            self._shares[axis] += 1
        self.planned = {name: _planned(plan, name) for name in plan.items}
        """What would be asked at most, by benchmark."""

    @property
    def cells(self) -> set[Cell]:
        """Every arm but the baseline, on every axis on which it has trials."""
        baseline = self._plan.study.baseline
        return {(p.arm.name, str(p.item.axis)) for p in self._plan.trials if p.arm.name != baseline}

    @property
    def most(self) -> int:
        """Items an axis after which nothing is left."""
        return max(len(items) * self._shares[self._axis[name]] for name, items in self._plan.items.items())

    def trials(self, look: Look, running: Set[Cell]) -> list[PlannedTrial]:
        """Return what is asked by a look: of the arms that go on, and of the baseline where one of them needs it.

        Args:
            look: A reading.
            running: Arms and axes that are not done.
        """
        baseline, axes = self._plan.study.baseline, {axis for _, axis in running}
        return [
            p
            for p in self._plan.trials
            if (str(p.item.axis) in axes if p.arm.name == baseline else (p.arm.name, str(p.item.axis)) in running)
            and self._is_asked(p.item, look)
        ]

    def _is_asked(self, item: Item, look: Look) -> bool:
        # An axis with several benchmarks shares its items out among them.
        quota = math.ceil(look.items / self._shares[str(item.axis)])
        return self._starts[item.benchmark][item.id] < quota


class Unit(Protocol):
    """A run at work, as far as rounds need it."""

    work: Plan
    """What is asked."""
    passed_over: Set[str]
    """Trials that are not tried, by fingerprint."""
    ledger: Ledger
    """The rows."""

    def ask(self, part: Plan) -> int:
        """Carry out a part of the plan and have it judged; return how many generations are new."""

    def rows(self) -> pl.DataFrame:
        """Return the observations of `work`."""


def ask_in_rounds(unit: Unit, rounds: Rounds) -> int:
    """Generate and judge round by round until the umpire has seen enough.

    A round's batches are cut from that round alone, so that a run that continues meets the same ones. What failed in an
    earlier run is tried again for the arms that go on, and only after the rows that were there have been read, so that
    an arm that was done stays done.

    Args:
        unit: The run; its `work` is then what was asked.
        rounds: How.

    Returns:
        How many generations are new.

    Raises:
        ConfigError: There is no arm to stop, or nothing could ever be decided.
    """
    whole, schedule = unit.work, Schedule(unit.work)
    rounds.stopped = {}
    rounds.umpire.check(sorted({p.axis for p in schedule.planned.values()}))
    running, asked, made = schedule.cells, set[_Key](), 0
    if not running:
        raise ConfigError(
            "There is no arm beside the baseline whose claims could be settled.", remedy="Add an arm to the study."
        )
    failed = unit.ledger.failures().keys() - unit.ledger.generation_ids()
    for look in rounds.looks(schedule.most):
        fresh = {_key(p) for p in schedule.trials(look, running)} - asked
        asked |= fresh
        tries: tuple[Set[str], ...] = (failed, set()) if failed & {trial for _, trial in fresh} else (failed,)
        for passed_over in tries:
            due = {_key(p) for p in schedule.trials(look, running)} & fresh
            if due:
                unit.passed_over = passed_over
                made += unit.ask(replace(_part(whole, due), warnings=whole.warnings if look.number == 1 else ()))
                unit.work = _part(whole, asked)
                done = rounds.umpire.settle(unit.rows(), look=look, planned=schedule.planned, running=running) & running
                rounds.stopped |= dict.fromkeys(done, look)
                running = running - done
    unit.work = _part(whole, asked)
    return made


def asked_part(plan: Plan, observations: pl.DataFrame) -> Plan:
    """Return the part of a plan that a run asked which stopped by itself.

    Args:
        plan: Of the whole study.
        observations: Of the run, one row or more for everything that was asked.
    """
    there = set(observations.select("arm", "benchmark", "item", "attack").unique().iter_rows())
    trials = (p for p in plan.trials if (p.arm.name, p.item.benchmark, p.item.id, p.trial.attack) in there)
    return replace(plan, trials=tuple(trials))


def _key(planned: PlannedTrial) -> _Key:
    return planned.arm.name, planned.trial.fingerprint


def _part(plan: Plan, keys: Set[_Key]) -> Plan:
    return replace(plan, trials=tuple(p for p in plan.trials if _key(p) in keys))


def _starts(items: Sequence[Item], seed: int) -> dict[str, int]:
    """Return how many items of a benchmark come before the cluster of each, in a random order that stays."""
    clusters: dict[str, list[str]] = defaultdict(list)
    for item in items:
        clusters[item.cluster].append(item.id)
    benchmark = items[0].benchmark
    order = sorted(clusters, key=lambda cluster: fingerprint("round", [seed, benchmark, cluster]))
    starts: dict[str, int] = {}
    before = 0
    for cluster in order:
        starts |= dict.fromkeys(clusters[cluster], before)
        before += len(clusters[cluster])
    return starts


def _planned(plan: Plan, benchmark: str) -> Planned:
    """Count what effects are read from: items without an attack, or under each attack where all are attacked."""
    trials = [p for p in plan.trials if p.item.benchmark == benchmark and p.arm.name == plan.study.baseline]
    free = [p for p in trials if p.trial.attack == NONE] or trials
    clusters: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for p in free:
        clusters[p.item.cluster].add((p.item.id, p.trial.attack))
    sizes = [len(units) for units in clusters.values()]
    return Planned(str(plan.items[benchmark][0].axis), sum(sizes), len(sizes), max(sizes, default=1))
