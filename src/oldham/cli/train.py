"""`oldham train`: change a model's weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oldham.cli.console import err, out

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import TaskID

    from oldham.training.recipes import Run
    from oldham.training.run import TrainingProgress, TrainingResult

app = typer.Typer(help="Change a model's weights, with checkpoints as doses.", no_args_is_help=True)

_File = Annotated[str, typer.Argument(help="A training file, or the name of a recipe (`oldham list recipes`).")]
_Out = Annotated[
    str | None, typer.Option("--out", help="Where doses go; by default runs/METHOD/NAME. A grid makes folders in it.")
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, such as mix.ratio=0.05. May be given again."),
]
_Model = Annotated[str | None, typer.Option("--model", help="The model to train, instead of the file's.")]


@app.callback()
def _train() -> None:
    """Change a model's weights, with checkpoints as doses."""


@app.command("sft")
def sft(config: _File, out_dir: _Out = None, changes: _Set = None, model: _Model = None) -> None:
    """Fine-tune on worked examples, or go on with a fine-tuning that was stopped."""
    _carry_out("sft", config, out_dir, changes or [], model)


@app.command("dpo")
def dpo(config: _File, out_dir: _Out = None, changes: _Set = None, model: _Model = None) -> None:
    """Fine-tune on pairs of what should and should not be said, or go on with it."""
    _carry_out("dpo", config, out_dir, changes or [], model)


@app.command("grpo")
def grpo(config: _File, out_dir: _Out = None, changes: _Set = None, model: _Model = None) -> None:
    """Learn from rewards of the model's own samples, relative to their group, or go on with it."""
    _carry_out("grpo", config, out_dir, changes or [], model)


@app.command("rloo")
def rloo(config: _File, out_dir: _Out = None, changes: _Set = None, model: _Model = None) -> None:
    """Learn from rewards of the model's own samples, each against the others, or go on with it."""
    _carry_out("rloo", config, out_dir, changes or [], model)


def _carry_out(method: str, config: str, out_dir: str | None, changes: list[str], model: str | None) -> None:
    """Train every run of a file, one after the other; what is finished is not trained again."""
    from oldham.studies.trained_runs import record_grid
    from oldham.training.recipes import load_runs

    runs = load_runs(method, config, changes=changes, model=model)
    first = int(os.environ.get("RANK", "0")) == 0  # of the processes that a launcher started
    if first and runs[0].varied:
        record_grid(_folder(method, runs[0], out_dir).parent, [run.folder.name for run in runs])
    for number, run in enumerate(runs, start=1):
        folder = _folder(method, run, out_dir)
        if first and len(runs) > 1:
            err.print(f"Run {number} of {len(runs)}: {folder.name}", soft_wrap=True)
        result = _train_one(run, folder, shown=first)
        if first:
            _tell(result, has_panel=run.settings.panel is not None)


def _folder(method: str, run: Run, out_dir: str | None) -> Path:
    if out_dir is None:
        return Path("runs") / method / run.folder
    return Path(out_dir) / run.folder.name if run.varied else Path(out_dir)


def _train_one(run: Run, folder: Path, *, shown: bool) -> TrainingResult:
    from oldham.training.run import run_training

    settings = run.settings
    watch = None
    if settings.panel is not None:
        from oldham.monitoring import Panel

        watch = Panel(settings.panel, settings.model, folder)
    if not shown:
        return run_training(settings, folder, watch=watch)
    with _Bar(settings.steps) as bar:
        return run_training(settings, folder, progress=bar.show, watch=watch)


def _tell(result: TrainingResult, *, has_panel: bool) -> None:
    if result.reused:
        err.print("Everything was there already; nothing was trained.")
        if has_panel and not (result.run_dir / "panel").is_dir():
            err.print(
                f"The panel was not asked while {result.run_dir} was trained, and cannot be now: make its doses arms "
                "of a study with `train:`, or train it again under another `name`.",
                soft_wrap=True,
            )
    if result.stopped is not None:
        err.print(result.stopped, soft_wrap=True)
    if result.rewards:
        curve = ", ".join(f"{reward:.2f} by step {step}" for step, reward in result.rewards.items())
        out.print(f"Mean reward of what was sampled: {curve}", soft_wrap=True)
    for step in result.doses:
        out.print(f"{step} steps: {result.model_at(step)}", soft_wrap=True)


class _Bar:
    """A bar for one run; what checks and panels say stands above it, each once."""

    def __init__(self, steps: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=err, speed_estimate_period=600.0)
        self._task: TaskID = self._bars.add_task("data", total=steps)
        self._note: str | None = None

    def __enter__(self) -> _Bar:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, at: TrainingProgress) -> None:
        """Move the bar on.

        Args:
            at: Where the run is.
        """
        from oldham.training.masks import coloured

        if at.note is not None and at.note != self._note:
            self._note = at.note
            self._bars.console.print(coloured(at.note) if err.is_terminal else at.note, soft_wrap=True, markup=False)
        loss = "" if at.loss is None else f", loss {at.loss:.3f}"
        reward = "" if at.reward is None else f", reward {at.reward:.2f}"
        self._bars.update(self._task, completed=at.step, total=at.steps, description=f"{at.phase}{loss}{reward}")
