"""Reading the traces of a finished run: each model is loaded once, and what was read before is not read again."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import polars as pl

from oldham.backends.base import ModelSpec, backend_for, chat_format_of
from oldham.core.errors import MissingDependencyError, ModelError, OldhamError
from oldham.core.fingerprint import fingerprint
from oldham.core.records import Message, PromptPlan
from oldham.core.steering import read_header, steering_identity
from oldham.studies.rejudge_session import interruptible
from oldham.studies.rundir import RunDir
from oldham.trajectories.readouts import (
    READOUT_VERSION,
    ReadoutOptions,
    UnreadableTraceError,
    given_answers,
    prepare,
    read,
)
from oldham.trajectories.steps import STEPS_VERSION
from oldham.trajectories.stored import Selection, stored_traces
from oldham.trajectories.table import FILE, TrajectoryTable, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from oldham.backends.chat import ChatFormat
    from oldham.core.records import ModelFingerprint
    from oldham.core.steering import SteeringSpec
    from oldham.trajectories.readouts import PreparedTrace, Reader
    from oldham.trajectories.stored import StoredModel, StoredTrace, StoredTraces

    _Readings = dict[tuple[str, SteeringSpec | None], str]

_SAVE_EVERY_S: Final = 20.0
"""A table is written whole, so not after each trace; what a kill in between loses is read again."""


class TraceProgress(Protocol):
    """Watches the reading of a run's traces."""

    def loading(self, model: str, traces: int) -> None:
        """Tell that a model's traces are about to be read.

        Args:
            model: Its name.
            traces: How many they are.
        """

    def trace_read(self, readouts: int) -> None:
        """Tell that one more trace is done.

        Args:
            readouts: Places at which it was read; 0 where it could not be.
        """

    def note(self, text: str) -> None:
        """Tell something the user should know.

        Args:
            text: One sentence.
        """


class Unwatched:
    """Watches without a word."""

    def loading(self, model: str, traces: int) -> None:
        """Say nothing."""

    def trace_read(self, readouts: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class TraceResult:
    """What reading a run's traces did."""

    path: Path
    """The table of the run."""
    readouts: pl.DataFrame
    """The rows of the wanted traces in this reading, once for each wanted arm."""
    n_read: int
    """Traces that were read."""
    n_reused: int
    """Traces that had been read before."""
    skipped: dict[str, int]
    """Traces that cannot be read, by the reason."""
    without: tuple[str, ...]
    """Wanted arms that have no trace."""
    seconds: float
    """Wall time."""

    def summary(self) -> str:
        """Say in a few sentences what was done."""
        lines = [f"{self.n_read} traces read, {self.n_reused} read before, in {self.seconds:.1f} s: {self.path}."]
        lines += [f"{count} traces were left out: {reason}" for reason, count in self.skipped.items()]
        if self.without:
            lines.append(f"No trace in: {', '.join(f'`{arm}`' for arm in self.without)}.")
        return "\n".join(lines)


def trace_run(
    run_dir: Path,
    selection: Selection | None = None,
    options: ReadoutOptions | None = None,
    *,
    progress: TraceProgress | None = None,
    reader: Reader | None = None,
) -> TraceResult:
    """Read the traces of a finished run and keep the readouts in its `trajectories.parquet`.

    Args:
        run_dir: The run directory.
        selection: Which traces; None for all on the axes harm and overrefusal.
        options: What is read of them.
        progress: Watches the work.
        reader: Reads the probes; None for `oldham.engine.packed.read_packed`.

    Returns:
        What was done, with the readouts.

    Raises:
        OldhamError: There is no run, a name in the selection is unknown, another process is writing, or a model is not
            the one that wrote the traces; what was read is kept.
        RunInterruptedError: Stopped with Ctrl-C; what was read is kept.
    """
    work = _Work(RunDir(run_dir), options or ReadoutOptions(), progress or Unwatched(), reader)
    started = time.monotonic()
    stored = stored_traces(work.directory, selection or Selection())
    with interruptible(run_dir), work.directory.lock():
        work.table = TrajectoryTable(work.directory)
        try:
            for model in stored.models:
                if model.traces:
                    work.read_model(model)
        finally:
            work.close()
            work.table.save()
    return TraceResult(
        path=run_dir / FILE,
        readouts=_of_arms(work.table.frame, stored, work.readings),
        n_read=work.n_read,
        n_reused=work.n_reused,
        skipped=dict(work.skipped),
        without=tuple(stored.without),
        seconds=time.monotonic() - started,
    )


@dataclass
class _Work:
    directory: RunDir
    options: ReadoutOptions
    watch: TraceProgress
    reader: Reader | None
    table: TrajectoryTable = field(init=False)
    readings: _Readings = field(default_factory=dict)
    """Identity of the reading by the model's name and server, and by steering."""
    skipped: Counter[str] = field(default_factory=Counter)
    n_read: int = 0
    n_reused: int = 0
    _saved: float = field(default_factory=time.monotonic)
    _backend: Any = None

    def read_model(self, model: StoredModel) -> None:
        """Read what was not read of one model's traces."""
        try:
            own = _identified(model)
        except _OutOfReachError as error:
            self.skipped[str(error)] += len(model.traces)
            return
        there: dict[SteeringSpec | None, set[str]] = {}
        todo = []
        for trace in model.traces:
            if trace.steering not in there:
                self._check_steering(trace)
                self.readings[_seat(model), trace.steering] = reading = _reading(own, self.options, trace.steering)
                there[trace.steering] = self.table.read_already(reading)
            if trace.generation.trial.fingerprint not in there[trace.steering]:
                todo.append(trace)
        self.n_reused += len(model.traces) - len(todo)
        if not todo:
            return
        chat = chat_format_of(model.name)
        assert chat is not None  # only models that run in process come here
        ready = list(self._prepared(todo, chat))
        if ready:
            self._read_with(model, own, ready)

    def close(self) -> None:
        """Free the model that was read with last."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def _check_steering(self, trace: StoredTrace) -> None:
        """Check that the direction at an arm's path is the one that steered it."""
        if trace.steering is None:
            return
        if trace.steering_identity is None:
            self.watch.note(
                f"The run does not say which direction steered `{trace.arm}`; its traces are read with the one that is "
                f"at `{trace.steering.direction}` now."
            )
        elif steering_identity(trace.steering, read_header(trace.steering.direction)) != trace.steering_identity:
            raise ModelError(
                f"The direction `{trace.steering.direction}` is another than the one that steered the arm "
                f"`{trace.arm}`.",
                place=str(self.directory.path),
                remedy="Put the earlier direction back, or run the study again.",
            )

    def _prepared(self, todo: list[StoredTrace], chat: ChatFormat) -> Iterator[tuple[StoredTrace, PreparedTrace]]:
        """Prepare traces; a model is loaded only where one of them can be read."""
        for trace in todo:
            plan = trace.plan or PromptPlan(messages=(Message(role="user", content="?"),), thinks=True)
            try:
                opening = chat.open(plan)
                if not trace.generation.prompt_ids and not _is_rendered(trace, opening.text):
                    raise UnreadableTraceError("The prompt is not stored as the model read it.")
                answers = given_answers(trace.item, plan)
                yield trace, prepare(trace.generation, opening.script, chat.codec, self.options, answers)
            except UnreadableTraceError as error:
                self.skipped[error.message] += 1

    def _read_with(
        self,
        model: StoredModel,
        own: ModelFingerprint,
        ready: list[tuple[StoredTrace, PreparedTrace]],
    ) -> None:
        self.watch.loading(model.name, len(ready))
        for note in ready[0][1].openings.notes:
            self.watch.note(f"{model.name}: {note}")
        backend = self._loaded(model.name)
        if backend.fingerprint != own:
            raise ModelError(f"The model `{model.name}` changed while it was loaded.", remedy="Give the command again.")
        told_why = False
        for trace, prepared in ready:
            try:
                with backend.steered(trace.steering):
                    told = read(backend.model, prepared, self.options, self.reader)
            except UnreadableTraceError as error:
                self.skipped[error.message] += 1
                self.watch.trace_read(0)
                continue
            if told.reason and not told_why:
                self.watch.note(f"{model.name}: probes are read one by one, because {told.reason}")
                told_why = True
            reading = self.readings[_seat(model), trace.steering]
            self.table.add(rows_of(trace, reading, prepared.answers, told))
            self.n_read += 1
            self.watch.trace_read(len(told.readouts))
            self._save_now_and_then()

    def _loaded(self, model: str) -> Any:
        """Return a model's backend: that of the model before it where it can become this one, else a new one."""
        if self._backend is None or not self._backend.switch(model):
            self.close()
            self._backend = backend_for(model).load(model)
        return self._backend

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved > _SAVE_EVERY_S:
            self.table.save()
            self._saved = time.monotonic()


class _OutOfReachError(Exception):
    """A model's traces cannot be read here; the text says why, in one sentence."""


def _identified(model: StoredModel) -> ModelFingerprint:
    """Return who would read, and check that it is who wrote."""
    try:
        in_process = ModelSpec.parse(model.name).scheme in ("alias", "hf", "path") and model.server is None
    except OldhamError:
        in_process = False
    if not in_process:
        raise _OutOfReachError(
            f"`{model.name or 'a model without a name'}` does not run in process, so nobody can look inside."
        )
    try:
        own = backend_for(model.name).identify(model.name)
    except MissingDependencyError:
        raise
    except ModelError as error:
        if model.fingerprint is not None:
            raise
        raise _OutOfReachError(f"`{model.name}`: {error.message}") from error
    if model.fingerprint is None:
        return own
    # What computes may be another machine's number format or newer code; what is computed may not be another model.
    told = {"dtype": own.dtype, "backend": own.backend}
    if model.fingerprint.model_copy(update=told) != own:
        raise ModelError(
            f"`{model.name}` is another model than the one that wrote the traces.",
            place="its weights, adapter or chat template",
            remedy="Put the earlier files back, or run the study again.",
        )
    return own


def _reading(model: ModelFingerprint, options: ReadoutOptions, steering: SteeringSpec | None) -> str:
    """Identify what decides the numbers; memory and method change none, and hidden states are not kept."""
    steps = {"min": options.steps.min_characters, "max": options.steps.max_characters}
    identity: dict[str, Any] = {
        "versions": [READOUT_VERSION, STEPS_VERSION],
        "model": model.fingerprint,
        "openings": options.openings,
        "steps": steps,
    }
    if steering is not None:
        identity["steering"] = steering_identity(steering, read_header(steering.direction))
    return fingerprint("reading", identity)


def _is_rendered(trace: StoredTrace, opening: str) -> bool:
    """Say whether a prompt without tokens is stored as the chat template writes it."""
    prompt = trace.generation.prompt_text
    if trace.plan is not None:
        return prompt == opening
    return bool(opening.rpartition("?")[2].strip()) and opening.rpartition("?")[2] in prompt


def _seat(model: StoredModel) -> str:
    return f"{model.name} on {model.server}" if model.server else model.name


def _of_arms(table: pl.DataFrame, stored: StoredTraces, readings: _Readings) -> pl.DataFrame:
    """Return the rows of the wanted traces, once for each arm that shares them, in the run's order."""
    wanted = [
        {"arm": arm, "generation": trace.generation.trial.fingerprint, "reading": reading}
        for arm in stored.arms
        for model in stored.models
        for trace in model.traces
        if arm in trace.arms and (reading := readings.get((_seat(model), trace.steering))) is not None
    ]
    order = pl.DataFrame(wanted, schema=dict.fromkeys(("arm", "generation", "reading"), pl.String))
    rows = order.with_row_index("place").join(table.drop("arm"), on=["generation", "reading"], how="inner")
    return rows.sort("place", "step").select(table.columns)
