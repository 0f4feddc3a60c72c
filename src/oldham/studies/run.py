"""Carrying a plan out: generate what is missing, judge it, and derive the observations."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from oldham.backends import programs
from oldham.backends.base import backend_for
from oldham.core.errors import LedgerError, ModelError, OldhamError, RunInterruptedError
from oldham.core.ledger import Ledger
from oldham.core.records import StopReason
from oldham.judges.asking import ModelJudge
from oldham.studies.attackers import Attackers
from oldham.studies.costs import Costs
from oldham.studies.judging import graders_of
from oldham.studies.manifest import describe, earlier_rounds, earlier_runs, now
from oldham.studies.plan import plan
from oldham.studies.preflight import Preflight
from oldham.studies.progress import Silent
from oldham.studies.reading import Reader, tasks_of
from oldham.studies.result import RunResult
from oldham.studies.rounds import ask_in_rounds
from oldham.studies.rundir import RunDir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
    from pathlib import Path

    import polars as pl

    from oldham.backends.base import Backend, Request
    from oldham.core.records import Generation, ModelFingerprint
    from oldham.studies.arms import Arm
    from oldham.studies.plan import Plan, PlannedTrial
    from oldham.studies.progress import Progress
    from oldham.studies.rounds import Rounds
    from oldham.studies.spec import Study


_STORED_TOGETHER: Final = 32
_STORED_AFTER_S: Final = 1.0


def run(
    study: Study | str | Path,
    *,
    run_dir: Path | None = None,
    progress: Progress | None = None,
    preflight: bool = True,
    rounds: Rounds | None = None,
) -> RunResult:
    """Run a study, or continue it.

    Whatever is in the ledger is never generated again: the same call after a kill, a full disk or a change of the study
    goes on from there, and ends with the rows that one uninterrupted run would have given.

    Args:
        study: A study, or the path of a study file.
        run_dir: Where the run is kept; by default `runs/<name>` in the working directory.
        progress: Watches the run.
        preflight: Check judges and models before the first batch; see `oldham.studies.preflight`.
        rounds: Ask items in rounds and stop arms early; None asks everything. See `oldham.studies.rounds`.

    Returns:
        The observations and what was done.

    Raises:
        OldhamError: The study cannot be meant, a model or data set is not there, a check before the first batch found
            that the numbers would be wrong, another run is writing, the ledger is damaged, or the disk is full; what
            was finished is kept.
        RunInterruptedError: Stopped with Ctrl-C; what was finished is kept.
    """
    started, watch = time.monotonic(), progress or Silent()
    work = plan(study, run_dir=run_dir)
    try:
        done = _carry_out(work, watch, preflight=preflight, rounds=rounds)
    except KeyboardInterrupt as error:
        raise RunInterruptedError(
            "Stopped; every finished batch is stored.",
            place=str(work.run_dir),
            remedy=f"To go on, give the same command again: oldham run {work.study.source.name}",
        ) from error
    return replace(done, seconds=time.monotonic() - started)


def _carry_out(work: Plan, watch: Progress, *, preflight: bool, rounds: Rounds | None) -> RunResult:
    """Carry a plan out under its run's lock."""
    directory = RunDir(work.run_dir)
    with directory.lock():
        _keep_study(work, directory, watch)
        with Ledger(directory.ledger) as ledger:
            unit = _Work(work, directory, ledger, watch, preflight=preflight)
            try:
                if rounds is not None:
                    return unit.finish(ask_in_rounds(unit, rounds), rounds)
                generated = unit.generate()
                try:
                    unit.judge()
                except LedgerError:
                    raise  # nothing can be written
                except OldhamError:
                    unit.finish(generated)  # a judge failed or cannot be had: what there is can be looked at meanwhile
                    raise
                return unit.finish(generated)
            finally:
                unit.leave_bill()


def chunked(trials: Sequence[PlannedTrial], size: int) -> Iterator[list[PlannedTrial]]:
    """Cut trials into batches of nearly equal length.

    Args:
        trials: Any number.
        size: Most in a batch.

    Yields:
        As few batches as `size` allows, none more than one trial longer than another.
    """
    batches = -(-len(trials) // size)
    bounds = [len(trials) * i // batches for i in range(batches + 1)] if batches else []
    for start, end in itertools.pairwise(bounds):
        yield list(trials[start:end])


class _Work:
    """One run's work on an open, locked ledger."""

    def __init__(self, work: Plan, directory: RunDir, ledger: Ledger, watch: Progress, *, preflight: bool) -> None:
        self.work, self.directory, self.ledger, self.watch = work, directory, ledger, watch
        self.whole = work
        self.started = now()
        self.finished = False
        self.stored = ledger.generation_ids()
        self.n_judged = self.n_unread = self.n_settled = 0
        self.n_near_ties = self.n_greedy = 0
        self.unreadable: tuple[str, ...] = ()
        self.earlier = earlier_runs(directory.manifest)
        self.asked_before = earlier_rounds(directory.manifest)
        self.facts = describe(work)
        self.preflight = Preflight(work, directory, wanted=preflight, note=watch.note)
        self.judges = {j.fingerprint: j for judges in work.judges.values() for j in judges}.values()
        self.graders = graders_of(self.judges)
        self.costs = Costs(work.study, self.graders)
        self.backend: Backend | None = None
        self.passed_over: Set[str] = frozenset()
        self.attackers = Attackers(work, self.costs, self._check_attacker)

    def generate(self) -> int:
        """Generate what is missing, one model at a time; return how many generations are new."""
        missing = len(self._missing(self.work.distinct.values()))
        self.watch.planned(self.work, missing)
        if missing:
            self._write_manifest({"started": self.started, "finished": None})
            self.preflight.judges()
            self.preflight.remote_judges()  # a dead server is told before hours of generating, not after
        before = len(self.stored)
        failures: list[str] = []
        try:
            for seat in self.work.seats:
                arm = seat.arms[0]
                queue = self.work.queue(seat.model, arm.server)
                todo = self._missing(itertools.chain.from_iterable(queue))
                if todo:
                    self.watch.loading(arm.model, len(todo), sum(p.most_tokens for p in todo))
                    failures += self._generate_with(arm, seat.model, queue)
        finally:
            self.attackers.close()
            if self.backend is not None:
                self.backend.close()
                self.backend = None  # another round loads it again
        if failures:
            self.watch.note(
                f"{len(failures)} generations failed ({failures[0]}); they are missing, and the same command tries "
                "them again."
            )
        return len(self.stored) - before

    def _generate_with(self, arm: Arm, model: ModelFingerprint, queue: Sequence[Sequence[PlannedTrial]]) -> list[str]:
        backend = self._backend(arm)
        if backend.fingerprint != model:
            raise ModelError(f"The model `{arm.model}` changed while it was loaded.", remedy="Give the command again.")
        if backend.remark:
            self.watch.note(backend.remark)
        with self.costs.checking(arm.model, self.work.study.server_of(arm)):
            self.preflight.model(backend, arm.server, self.ledger)
        backend = self.attackers.beside(backend, arm, self._missing(itertools.chain.from_iterable(queue)))
        heard = self.costs.heard(arm)
        if backend.continuous:
            return self._generate_part(backend, self._missing(itertools.chain.from_iterable(queue)), heard)
        # Batches are cut from the whole plan, so a run that continues meets exactly the batches that were not reached.
        # One that is stored in part holds rows of an earlier study or rows that failed.
        batches = [batch for trials in queue for batch in chunked(trials, backend.batch_size)]
        return [failure for batch in batches for failure in self._generate_part(backend, self._missing(batch), heard)]

    def _check_attacker(self, name: str, load: Callable[[], Backend]) -> None:
        options = self.work.study.attackers[name]
        server = None if options.server is None else self.work.study.servers[options.server]
        with self.costs.checking(options.model, server):
            self.preflight.attacker(name, load)

    def _backend(self, arm: Arm) -> Backend:
        """Return who answers for an arm: the backend of the arms before it where that can become this one's."""
        server = self.work.study.server_of(arm)
        if self.backend is not None and not self.backend.switch(arm.model, server):
            self.backend.close()
            self.backend = None
        if self.backend is None:
            self.backend = backend_for(arm.model).load(arm.model, server)
        self.costs.share(self.backend, f"model `{arm.model}`", server)
        return self.backend

    def _missing(self, trials: Iterable[PlannedTrial]) -> list[PlannedTrial]:
        there = self.stored | self.passed_over
        return [p for p in trials if p.trial.fingerprint not in there]

    def _generate_part(
        self, backend: Backend, todo: Sequence[PlannedTrial], heard: Callable[[Request, Generation], None]
    ) -> list[str]:
        """Generate some trials and store them: a few at a time where rows come one by one, else all at once."""
        fresh: list[tuple[PlannedTrial, Generation]] = []
        failures: list[str] = []
        one_by_one = backend.continuous
        stored_at = time.monotonic()

        def store() -> None:
            nonlocal stored_at
            if fresh:
                failures.extend(self._store(fresh))
                fresh.clear()
            stored_at = time.monotonic()

        def done(place: int, generation: Generation) -> None:
            fresh.append((todo[place], generation))
            if one_by_one and (len(fresh) == _STORED_TOGETHER or time.monotonic() - stored_at > _STORED_AFTER_S):
                store()

        try:
            programs.carry_out(backend, [p.request() for p in todo], done, heard)
        except BaseException:
            if one_by_one:
                store()
            raise
        store()
        return failures

    def _store(self, fresh: Sequence[tuple[PlannedTrial, Generation]]) -> list[str]:
        """Store generations in one transaction; return why some failed."""
        # A failure in a generation's place would never be tried again, so only its reason is kept.
        good = [g for _, g in fresh if g.stop != StopReason.ERROR]
        failed = [(g.trial.fingerprint, _reason(g)) for _, g in fresh if g.stop == StopReason.ERROR]
        self.ledger.add_generations(good)
        self.ledger.add_failures(failed)
        self.stored |= {g.trial.fingerprint for g in good}
        greedy = [g for g in good if g.near_ties is not None and g.sampling and not g.sampling.temperature]
        self.n_near_ties += sum(g.near_ties or 0 for g in greedy)
        self.n_greedy += sum(map(_written, greedy))
        self.watch.generated(len(fresh), sum(p.most_tokens for p, _ in fresh), sum(map(_written, good)))
        return [reason for _, reason in failed]

    def judge(self) -> None:
        """Give every judge the generations of the plan that it has not read."""
        asked = {trial: planned.item for trial, planned in self.work.distinct.items()}
        reader = Reader(
            self.ledger,
            item_of=lambda generation: asked[generation.trial.fingerprint],
            watch=self.watch,
            check=self.preflight.judge,
        )
        reader.read(tasks_of(self.work.judges, asked, self.stored))
        asking = {judge.label for judge in self.judges if isinstance(judge, ModelJudge)}
        self.n_judged += sum(tally.new for tally in reader.tallies if tally.judge in asking)
        self.n_unread += sum(tally.missing for tally in reader.tallies)
        self.n_settled += sum(tally.settled for tally in reader.tallies)
        self.unreadable += tuple(told for tally in reader.tallies if (told := tally.unread_told()))
        for tally in reader.tallies:
            if tally.missing:
                self.watch.note(
                    f"`{tally.judge}`: {tally.missing} verdicts are missing, because its model failed; the same "
                    "command asks again."
                )
        for sentence in self.costs.caps_reached:
            self.watch.note(sentence)

    def ask(self, part: Plan) -> int:
        """Carry out a part of the plan and have it judged; return how many generations are new."""
        self.work = part
        made = self.generate()
        self.judge()
        return made

    def rows(self) -> pl.DataFrame:
        """Return the observations of what is asked."""
        # polars takes half a second to import, which a mistake in the study should not have to wait for.
        from oldham.studies.observations import build_observations

        return build_observations(self.work, self.ledger)

    def finish(self, generated: int, rounds: Rounds | None = None) -> RunResult:
        """Write the observations and the manifest; return what was done, its time left out."""
        observations = self.rows()
        self.directory.write_observations(observations)
        missing = len(self.work.distinct.keys() - self.stored)
        reused = len(self.work.distinct) - generated - missing
        if rounds is not None:
            self.facts["sequential"] = rounds.facts(self.whole)
        self._write_manifest(
            {
                "started": self.started,
                "finished": now(),
                "planned": len(self.work.distinct),
                "generated": generated,
                "reused": reused,
                "missing": missing,
                "spent": self._bills(),
            }
        )
        self.finished = True
        return RunResult(
            study=self.work.study,
            run_dir=self.work.run_dir,
            observations=observations,
            n_generated=generated,
            n_reused=reused,
            n_missing=missing,
            usd=self.costs.usd,
            seconds=0.0,
            n_judged=self.n_judged,
            n_unread=self.n_unread,
            n_settled=self.n_settled,
            n_near_ties=self.n_near_ties,
            n_greedy=self.n_greedy,
            unreadable=self.unreadable,
            spent=self.costs.spent,
            settled=() if rounds is None else rounds.told(self.whole, len(self.work.distinct)),
        )

    def leave_bill(self) -> None:
        """Write what a run has paid that does not come to its end, so that a manifest's runs are all that was paid."""
        if self.finished:
            return
        with suppress(OldhamError):  # what ended the run is told, and not what follows from it
            self._write_manifest({"started": self.started, "finished": None, "spent": self._bills()})

    def _bills(self) -> list[dict[str, Any]]:
        return [spent.facts() for spent in self.costs.spent]

    def _write_manifest(self, this_run: Mapping[str, Any]) -> None:
        self.facts["preflight"] = self.preflight.facts()
        manifest = {**self.facts, **this_run, "runs": [*self.earlier, this_run]}
        if this_run["finished"] is None and self.asked_before is not None:
            manifest["sequential"] = self.asked_before  # until this run ends, the observations are those of that one
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        self.directory.write(self.directory.manifest, text.encode())


def _keep_study(work: Plan, directory: RunDir, watch: Progress) -> None:
    """Put a copy of the study into its run directory."""
    text = work.study.to_yaml()
    earlier = directory.study.read_text(encoding="utf-8") if directory.study.is_file() else text
    if earlier != text:
        watch.note(
            f"{directory.study} held another version of this study: it is replaced, and its generations are kept."
        )
    directory.write(directory.study, text.encode())


def _reason(generation: Generation) -> str:
    return generation.error or "no reason given"


def _written(generation: Generation) -> int:
    own = (generation.realised_thinking_tokens, generation.answer_tokens, generation.call_tokens)
    return sum(count for count in own if count is not None)
