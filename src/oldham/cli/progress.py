"""A run's progress on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from oldham.cli.console import err

if TYPE_CHECKING:
    from types import TracebackType

    from oldham.studies.plan import Plan


class RichProgress:
    """Shows a bar for each model, and one for each judge that asks a model.

    The time left follows from the tokens of the batches done, and for judges from their rows.

    Use it as a context manager.
    """

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
            # Batches take seconds to minutes: the default of 30 s would forget the last one before the next is done.
            speed_estimate_period=3600.0,
        )
        self._task: TaskID | None = None
        self._done = self._trials = self._written = 0

    def __enter__(self) -> RichProgress:
        return self  # the bars start with the first model: a run that makes nothing shows none

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._bars.stop()

    def planned(self, plan: Plan, missing: int) -> None:
        """Say how much is there already. See `oldham.studies.progress.Progress`."""
        if 0 < missing < len(plan.distinct):
            self.note(f"{len(plan.distinct) - missing} of {len(plan.distinct)} generations are in the ledger already.")
        for warning in plan.warnings:
            self.note(f"Warning: {warning}")

    def loading(self, model: str, trials: int, tokens: int) -> None:
        """Start a bar. See `oldham.studies.progress.Progress`."""
        self._start(model, trials, tokens)
        self._move(0, 0, f"0/{trials} generations")

    def generated(self, trials: int, allowed: int, written: int) -> None:
        """Move the bar on. See `oldham.studies.progress.Progress`."""
        self._written += written
        self._move(trials, allowed, f"{self._done + trials}/{self._trials} generations, {self._written:,} tokens")

    def judging(self, judge: str, rows: int) -> None:
        """Start a bar. See `oldham.studies.progress.Progress`."""
        self._start(judge, rows, rows)
        self._move(0, 0, f"0/{rows} asked about")

    def judged(self, rows: int) -> None:
        """Move the bar on. See `oldham.studies.progress.Progress`."""
        self._move(rows, rows, f"{self._done + rows}/{self._trials} asked about")

    def note(self, text: str) -> None:
        """Print a line above the bars. See `oldham.studies.progress.Progress`."""
        err.print(text, soft_wrap=True)

    def _start(self, name: str, trials: int, total: int) -> None:
        self._bars.start()
        self._done, self._trials, self._written = 0, trials, 0
        self._task = self._bars.add_task(name, total=total, said="")

    def _move(self, trials: int, advance: int, said: str) -> None:
        if self._task is not None:
            self._done += trials
            self._bars.update(self._task, advance=advance, said=said)
