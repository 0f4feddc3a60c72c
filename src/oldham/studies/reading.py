"""Judges at work on stored generations: batch by batch, each batch's verdicts stored before the next one is read."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from oldham.judges.asking import ModelJudge
from oldham.studies.judging import Grader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence, Set

    from oldham.core.ledger import Ledger
    from oldham.core.records import Generation, Item
    from oldham.judges.base import Judge
    from oldham.studies.progress import Progress

_OFFLINE_AT_ONCE: Final = 500
_ROWS_AT_ONCE: Final = 32
MANY_UNREAD: Final = 0.1
"""A judge that leaves more of its replies unread is warned of."""


@dataclass(frozen=True)
class Task:
    """One judge and the generations it is to read."""

    judge: Judge
    """The judge."""
    trials: Set[str]
    """Fingerprints of stored trials on an axis it speaks on."""


def tasks_of(judges: Mapping[str, Sequence[Judge]], asked: Mapping[str, Item], stored: Set[str]) -> list[Task]:
    """Return what each judge is to read.

    Args:
        judges: By benchmark.
        asked: What each trial asks, by its fingerprint.
        stored: Trials whose generation is in the ledger.
    """
    by_benchmark: dict[str, set[str]] = {}
    for trial in asked.keys() & stored:
        by_benchmark.setdefault(asked[trial].benchmark, set()).add(trial)
    everyone: dict[str, Judge] = {}
    trials: dict[str, set[str]] = {}
    for benchmark, some in judges.items():
        for judge in some:
            everyone.setdefault(judge.fingerprint, judge)
            trials.setdefault(judge.fingerprint, set()).update(by_benchmark.get(benchmark, ()))
    return [Task(judge, trials[identity]) for identity, judge in everyone.items()]


@dataclass
class Tally:
    """What became of a task."""

    judge: str
    """The judge's label."""
    trials: int
    """Generations it was to read."""
    there: int = 0
    """Generations among them that it had read before."""
    new: int = 0
    """Verdicts that are new."""
    missing: int = 0
    """Verdicts that its model gave none of, because a call failed; the next time they are asked for again."""
    settled: int = 0
    """New verdicts that needed no model: on answers that are not there, broken off or incoherent."""
    unread: int = 0
    """New verdicts that are `unjudged` because the model's reply could not be read."""

    @property
    def replies(self) -> int:
        """New verdicts that a reply of the model stands behind, readable or not."""
        return self.new - self.settled

    def unread_told(self) -> str:
        """Say how many replies could not be read, and warn where they are many; empty where all could be read."""
        if not self.unread:
            return ""
        share = f"{self.unread} of {self.replies} replies could not be read ({self.unread / self.replies:.0%})"
        if self.unread <= MANY_UNREAD * self.replies:
            return f"`{self.judge}`: {share}."
        left = "It judged nothing" if self.unread == self.replies else "What it judged is a selection"
        fix = f"{left}; take a model that keeps to the judge's form."
        return f"Warning: `{self.judge}`: {share}. {fix}"


@dataclass
class Reader:
    """Puts judges to work on a ledger.

    Args:
        ledger: Open for writing, its run's lock held.
        item_of: Returns what a generation was asked.
        watch: Is told of judging with a model.
        check: Is called with a judge that asks a model, before it is first asked; what it raises ends the work.
    """

    ledger: Ledger
    item_of: Callable[[Generation], Item]
    watch: Progress
    check: Callable[[ModelJudge], None]
    tallies: list[Tally] = field(default_factory=list)
    """What became of each task so far, those of offline judges first."""

    def read(self, tasks: Sequence[Task]) -> None:
        """Give every judge what it has not read; the offline ones come first, then one model after the other.

        A judge's model is loaded by its first question and freed before the next one is loaded.

        Args:
            tasks: Any number; no judge twice.

        Raises:
            ModelError: A judge's model cannot be loaded, or nothing can be asked; finished batches are stored.
            LedgerError: The disk is full, or the ledger is damaged.
        """
        offline = [task for task in tasks if not isinstance(task.judge, ModelJudge)]
        self.tallies = [Tally(task.judge.label, len(task.trials)) for task in offline]
        self._read_offline(offline, self.tallies)
        askers: dict[int, list[tuple[ModelJudge, Task]]] = {}
        for task in tasks:
            if isinstance(task.judge, ModelJudge):
                askers.setdefault(id(task.judge.asker), []).append((task.judge, task))
        for group in askers.values():
            asker = group[0][0].asker
            try:
                for judge, task in group:
                    self._ask(judge, task)
            finally:
                if isinstance(asker, Grader):
                    asker.close()

    def _read_offline(self, tasks: Sequence[Task], tallies: Sequence[Tally]) -> None:
        unread: dict[str, list[int]] = {}
        for place, task in enumerate(tasks):
            there = task.trials & self.ledger.judged_ids(task.judge.fingerprint)
            tallies[place].there = len(there)
            for trial in task.trials - there:
                unread.setdefault(trial, []).append(place)
        if not unread:
            return
        rows = self.ledger.generations(unread)
        while some := [(self.item_of(g), g) for g in itertools.islice(rows, _OFFLINE_AT_ONCE)]:
            found: dict[int, list[tuple[Item, Generation]]] = {}
            for row in some:
                for place in unread[row[1].trial.fingerprint]:
                    found.setdefault(place, []).append(row)
            for place, mine in sorted(found.items()):
                said = tasks[place].judge.judge_all(mine)
                tallies[place].new += self.ledger.add_verdicts(itertools.chain.from_iterable(said))

    def _ask(self, judge: ModelJudge, task: Task) -> None:
        read = task.trials & self.ledger.judged_ids(judge.fingerprint)
        tally = Tally(judge.label, len(task.trials), len(read))
        self.tallies.append(tally)
        there = self._spans_there(judge)
        due = self._due(judge, task.trials, there)
        if any(due.values()):
            self.check(judge)
        asked = sum(due.values())
        if asked:
            self.watch.judging(judge.label, asked)
        # What is settled without the model does not load it.
        size = judge.asker.rows_at_once if asked and isinstance(judge.asker, Grader) else _ROWS_AT_ONCE
        for rows in self._batches(task.trials, due.keys(), size):
            wanted = sum(len(_spans(judge, row)) for row in rows)
            verdicts = [verdict for some in judge.judge_all(rows) for verdict in some]
            tally.new += self.ledger.add_verdicts(verdicts)
            tally.missing += wanted - len(verdicts)
            fresh = [v for v in verdicts if v.span not in there.get(v.generation, ())]
            settled = {verdict.fingerprint for row in rows for verdict in judge.settled(*row)}
            tally.settled += sum(verdict.fingerprint in settled for verdict in fresh)
            tally.unread += sum(v.parsed == "failed" and v.fingerprint not in settled for v in fresh)
            if asked:
                self.watch.judged(sum(due[generation.trial.fingerprint] for _, generation in rows))

    def _due(self, judge: ModelJudge, trials: Set[str], there: Mapping[str, set[str]]) -> dict[str, bool]:
        """Find the trials that lack a verdict, and say of each whether the model has to be asked for it.

        That a verdict of one span is there does not say that one of the other is missing: a generation may have no
        trace, which only the judge can tell.
        """
        lacking = {trial for trial in trials if len(there.get(trial, ())) < len(judge.spans)}
        due: dict[str, bool] = {}
        for generation in self.ledger.generations(lacking) if lacking else ():
            item, trial = self.item_of(generation), generation.trial.fingerprint
            settled = {verdict.span for verdict in judge.settled(item, generation)}
            open_ = {call.span for call in judge.calls(item, generation)}
            if (settled | open_) - there.get(trial, set()):
                due[trial] = bool(open_)
        return due

    def _spans_there(self, judge: ModelJudge) -> dict[str, set[str]]:
        if len(judge.spans) == 1:
            return {trial: set(judge.spans) for trial in self.ledger.judged_ids(judge.fingerprint)}
        there: dict[str, set[str]] = {}
        for verdict in self.ledger.verdicts():
            if verdict.judge_fingerprint == judge.fingerprint:
                there.setdefault(verdict.generation, set()).add(verdict.span)
        return there

    def _batches(self, trials: Set[str], due: Set[str], size: int) -> Iterator[list[tuple[Item, Generation]]]:
        """Cut the trials that are due into batches.

        As in generating, batches are cut from the whole task, so that a run that continues asks what is left in the
        batches in which it would have been asked.
        """
        if not due:
            return
        batch = {trial: place // size for place, trial in enumerate(sorted(trials))}
        rows = self.ledger.generations(due)
        for _, some in itertools.groupby(rows, key=lambda generation: batch[generation.trial.fingerprint]):
            yield [(self.item_of(generation), generation) for generation in some]


def _spans(judge: ModelJudge, row: tuple[Item, Generation]) -> set[str]:
    settled = {verdict.span for verdict in judge.settled(*row)}
    return settled | {call.span for call in judge.calls(*row)}
