"""The progress of reading traces, on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from oldham.cli.console import err

if TYPE_CHECKING:
    from types import TracebackType


class TraceBar:
    """Shows a bar for each model, with the traces and readouts done.

    Use it as a context manager.
    """

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} traces, {task.fields[readouts]} readouts"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
        )
        self._task: TaskID | None = None
        self._readouts = 0

    def __enter__(self) -> TraceBar:
        return self  # the bars start with the first model: a command that reads nothing shows none

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._bars.stop()

    def loading(self, model: str, traces: int) -> None:
        """Start a bar. See `oldham.trajectories.run_trace.TraceProgress`."""
        self._bars.start()
        self._readouts = 0
        self._task = self._bars.add_task(model, total=traces, readouts=0)

    def trace_read(self, readouts: int) -> None:
        """Move the bar on. See `oldham.trajectories.run_trace.TraceProgress`."""
        if self._task is not None:
            self._readouts += readouts
            self._bars.update(self._task, advance=1, readouts=self._readouts)

    def note(self, text: str) -> None:
        """Print a line above the bars. See `oldham.trajectories.run_trace.TraceProgress`."""
        err.print(text, soft_wrap=True)
