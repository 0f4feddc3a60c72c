"""The panel: a few items asked of the model while it trains, judged, stored as a run, and compared with step 0."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from oldham.backends import programs
from oldham.backends.base import backend_for
from oldham.core.errors import ModelError
from oldham.core.ledger import Ledger
from oldham.core.records import StopReason
from oldham.monitoring.design import (
    TrainingRun,
    arm_identity,
    arm_of,
    check_panel,
    live_identity,
    panel_study,
)
from oldham.studies.judge_plan import judges_of
from oldham.studies.manifest import describe, now
from oldham.studies.plan import Identities, plan
from oldham.studies.progress import Silent
from oldham.studies.reading import Reader, tasks_of
from oldham.studies.run import chunked
from oldham.studies.rundir import RunDir
from oldham.training.watch import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import polars as pl

    from oldham.backends.base import Backend
    from oldham.core.records import Generation, ModelFingerprint
    from oldham.studies.plan import Plan, PlannedTrial
    from oldham.training.config import PanelSettings

_STORED_TOGETHER: Final = 8
_STORED_AFTER_S: Final = 1.0


class Panel:
    """Measures a model while it trains: a `Watch`.

    `RUN/panel` becomes a run like any other, with a ledger, a manifest and observations: an arm for each step, the
    run's name the intervention and the step its dose. The arms are asked directly and decode greedily.

    Only one process of a training run may measure, and it needs the whole model.

    Args:
        settings: What is asked, and when.
        model: Name of the model that training begins with.
        run_dir: The training run's directory.

    Raises:
        OldhamError: The settings cannot be meant; see `check_panel`.
    """

    def __init__(self, settings: PanelSettings, model: str, run_dir: Path) -> None:
        check_panel(settings, model)
        self._settings, self._model, self._run_dir = settings, model, run_dir
        self._directory = RunDir(run_dir / "panel")

    @property
    def every(self) -> int:
        """Optimiser steps between two panels."""
        return self._settings.every

    def measure(self, model: Any, tokenizer: Any, step: int) -> Reading:
        """Ask the model as it is now. See `Watch.measure`.

        Rows are stored while they are made, and what is stored is not asked again. Intervals are adjusted for the
        looks that are planned, and training is to stop where `settings.stop` says so; see `changes`.

        Args:
            model: The live model.
            tokenizer: Not used; the panel reads the tokenizer that studies will use.
            step: Optimiser steps done.

        Returns:
            What was measured. Where the model could not be asked at a later step than the first, only a line that says
            why: such a step does not end a training that has gone on for long.

        Raises:
            OldhamError: The model cannot be asked before the first step, or nothing can be stored.
        """
        from oldham.monitoring.live import live_backend, number_format

        with self._directory.lock(), Ledger(self._directory.ledger) as ledger:
            identity = live_identity(self._base, self._run, step, number_format(model))
            session = _Session(self._plan(step, identity.dtype), self._directory, ledger, self._run)
            trouble = None
            try:
                session.generate(step, lambda: live_backend(model, self._model, identity))
            except ModelError as error:
                if step == 0:
                    raise
                trouble = error.message
            observations = session.finish()
        return self._reading(observations, step, trouble)

    @cached_property
    def _base(self) -> ModelFingerprint:
        return backend_for(self._model).identify(self._model)

    @cached_property
    def _run(self) -> TrainingRun:
        return TrainingRun.read(self._run_dir, self.every)

    def _plan(self, step: int, dtype: str) -> Plan:
        """Plan this panel and all before it."""
        steps = {step, *self._steps_before()}
        study = panel_study(self._settings, self._model, self._run, steps)
        arms = {
            arm.name: arm_identity(arm, live_identity(self._base, self._run, int(arm.dose or 0), dtype))
            for arm in study.resolved_arms
        }
        models = {arm.seat: self._base for arm in study.resolved_arms}  # a name has one identity: before training
        names = [request.name for request in study.benchmark_requests()]
        judges = judges_of(study, self._directory.path, names)
        return plan(study, run_dir=self._directory.path, identities=Identities(arms, models, judges))

    def _steps_before(self) -> set[int]:
        """Return the steps that this run has measured or begun to measure."""
        try:
            told = json.loads(self._directory.manifest.read_text(encoding="utf-8"))
            if told["panel"]["run"] != self._run.identity:
                return set()
            return {int(arm["dose"]) for arm in told["arms"].values()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return set()  # it describes, and holds no results; a step is there again when it is measured again

    def _reading(self, observations: pl.DataFrame, step: int, trouble: str | None) -> Reading:
        from oldham.monitoring.changes import axis_changes, metrics, stop_reason, told

        if trouble is not None:
            return Reading(metrics={}, line=f"step {step}: the panel could not be asked ({trouble})")
        arm, first, looks = arm_of(step), arm_of(0), self._run.looks
        before = first if step and first in observations["arm"] else None
        changes = axis_changes(observations, arm, before=before, looks=looks)
        stop = stop_reason(changes, step, margin=self._settings.margin, looks=looks) if self._settings.stop else None
        line = told(changes, step)
        if step and before is None:
            line += "; there is no panel before the first step to compare with"
        return Reading(metrics=metrics(changes), line=line, stop=stop)


@dataclass
class _Session:
    """One panel on an open, locked ledger."""

    work: Plan
    directory: RunDir
    ledger: Ledger
    run: TrainingRun
    started: str = field(default_factory=now)
    stored: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.stored = self.ledger.generation_ids()
        self.directory.write(self.directory.study, self.work.study.to_yaml().encode())
        self._describe(finished=None)  # a panel that is killed is known by it

    def generate(self, step: int, asking: Callable[[], AbstractContextManager[Backend]]) -> None:
        """Ask what is missing of a step, the longest first; `asking` gives who is asked."""
        (seat,) = self.work.seats
        (trials,) = (some for some in self.work.queue(seat.model) if some[0].arm.name == arm_of(step))
        if not self._missing(trials):
            return
        with asking() as backend:
            # Where rows depend on their batch, batches are cut from the whole panel, so that one that goes on after a
            # kill meets those that were not reached.
            batches = [trials] if backend.continuous else chunked(trials, backend.batch_size)
            for batch in batches:
                todo = self._missing(batch)
                if todo:
                    _Storing(backend, todo, self.ledger).carry_out()
        self.stored = self.ledger.generation_ids()

    def finish(self) -> pl.DataFrame:
        """Judge what is stored, and derive the observations of all panels."""
        from oldham.studies.observations import build_observations

        asked = {trial: planned.item for trial, planned in self.work.distinct.items()}
        reader = Reader(
            self.ledger,
            item_of=lambda generation: asked[generation.trial.fingerprint],
            watch=Silent(),
            check=lambda judge: None,
        )
        reader.read(tasks_of(self.work.judges, asked, self.stored))
        observations = build_observations(self.work, self.ledger)
        self.directory.write_observations(observations)
        self._describe(finished=now())
        return observations

    def _missing(self, trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
        return [planned for planned in trials if planned.trial.fingerprint not in self.stored]

    def _describe(self, *, finished: str | None) -> None:
        facts = describe(self.work) | {
            "panel": {"run": self.run.identity, "looks": self.run.looks},
            "started": self.started,
            "finished": finished,
        }
        self.directory.write(self.directory.manifest, json.dumps(facts, indent=2, ensure_ascii=False).encode())


@dataclass
class _Storing:
    """Trials that are carried out and stored: a few at a time where rows come one by one, else all at once."""

    backend: Backend
    todo: Sequence[PlannedTrial]
    ledger: Ledger
    fresh: list[Generation] = field(default_factory=list)
    stored_at: float = field(default_factory=time.monotonic)

    def carry_out(self) -> None:
        """Ask all of them; where rows come one by one, what came before an error is kept."""
        try:
            programs.carry_out(self.backend, [planned.request() for planned in self.todo], self._done)
        except BaseException:
            if self.backend.continuous:
                self._store()
            raise
        self._store()

    def _done(self, place: int, generation: Generation) -> None:
        self.fresh.append(generation)
        waited = time.monotonic() - self.stored_at > _STORED_AFTER_S
        if self.backend.continuous and (len(self.fresh) == _STORED_TOGETHER or waited):
            self._store()

    def _store(self) -> None:
        # A failure in a generation's place would never be tried again, so only its reason is kept.
        self.ledger.add_generations(g for g in self.fresh if g.stop is not StopReason.ERROR)
        failed = [g for g in self.fresh if g.stop is StopReason.ERROR]
        self.ledger.add_failures((g.trial.fingerprint, g.error or "no reason given") for g in failed)
        self.fresh.clear()
        self.stored_at = time.monotonic()
