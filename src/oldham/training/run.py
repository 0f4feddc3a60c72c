"""A training run from its settings to its manifest; stopped anywhere, it goes on with the same command."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from oldham.backends.base import backend_for
from oldham.core.errors import ConfigError, MissingDependencyError, OldhamError, RunInterruptedError
from oldham.core.fingerprint import file_sha256, fingerprint
from oldham.training.examples import build_examples
from oldham.training.naming import dose_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from oldham.benchmarks.resources import TrainingExample
    from oldham.training.config import TrainingSettings
    from oldham.training.trainers.doses import Trained
    from oldham.training.watch import Watch

_PACKAGES: Final = ("oldham", "torch", "transformers", "trl", "peft", "datasets", "accelerate")
_WEIGHTS: Final = ("adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json")
"""What a dose folder has one of: an adapter's weights, or a model's."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Where a run is; handed to the progress callback after every step."""

    step: int
    """Optimiser steps done."""
    steps: int
    """Optimiser steps in all."""
    loss: float | None
    """Mean loss of the last logged steps, nats a token; None before the first."""
    phase: str
    """`data`, `loading`, `checking`, `panel` or `training`."""
    reward: float | None = None
    """Mean reward of the last logged steps; None before the first, and for methods without rewards."""
    note: str | None = None
    """What a check said, or the last panel in a line."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run left behind."""

    run_dir: Path
    """Where."""
    doses: dict[int, Path]
    """Step to the folder with its weights, in order."""
    model: str
    """The model that was trained."""
    whole: bool
    """The doses are whole models, not adapters."""
    loss: float | None
    """Last logged loss, nats a token."""
    rewards: dict[int, float]
    """The learning curve: mean reward of what was sampled since the step before, by step; empty without rewards."""
    stopped: str | None
    """Why training stopped before its last step; None when it did not."""
    reused: bool
    """True when everything was already there and nothing was trained."""

    def model_at(self, step: int) -> str:
        """Return a dose's model name for a study file.

        Args:
            step: A step that was kept.
        """
        return dose_model(self.model, self.doses[step])


def run_training(
    settings: TrainingSettings,
    run_dir: Path,
    *,
    progress: Callable[[TrainingProgress], None] | None = None,
    watch: Watch | None = None,
) -> TrainingResult:
    """Train, or go on where an interrupted run stopped.

    Under `accelerate launch` every process calls this; the first one writes.

    Args:
        settings: What to train on what, of the class of its method.
        run_dir: Where checkpoints, doses and the manifest go. The same settings and directory continue a run.
        progress: Called after every step.
        watch: What measures the model meanwhile.

    Returns:
        The kept weights.

    Raises:
        ConfigError: The directory belongs to other settings or data, a data source cannot be meant, the settings ask
            for a panel and no watch is given, or a check before training failed.
        MissingDependencyError: The extra `train` is not installed.
        RunInterruptedError: The user stopped the run; the last checkpoint is kept.
    """
    if settings.panel is not None and watch is None:
        raise ConfigError("The settings ask for a panel, and nothing was given that measures it.")
    report = progress or (lambda _: None)
    with first_process_first():
        _claim(run_dir, settings)
        done = _finished(run_dir, settings)
        if done is not None:
            return done
        _check_packages()
        at = TrainingProgress(0, settings.steps, None, "data")
        report(at)
        examples = _examples(settings, run_dir, lambda note: report(replace(at, note=note)))
    report(TrainingProgress(0, settings.steps, None, "loading"))
    from oldham.training.trainers.doses import train  # torch

    started = time.time()
    try:
        trained = train(settings, run_dir, examples, report, watch)
    except KeyboardInterrupt as error:
        raise RunInterruptedError(
            "Stopped; the last checkpoint is kept.", place=str(run_dir), remedy="Give the same command to go on."
        ) from error
    if trained.writes:
        _write_manifest(settings, run_dir, trained, n_examples=len(examples), seconds=time.time() - started)
        shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    return _result(settings, run_dir, trained.log, trained.stopped, reused=False)


def dose_dir(run_dir: Path, step: int) -> Path:
    """Return the folder of kept weights.

    Args:
        run_dir: The run's directory.
        step: The optimiser step.
    """
    return run_dir / "doses" / f"step-{step:06d}"


def kept_doses(run_dir: Path) -> dict[int, Path]:
    """Return the doses that are there, whole: step to folder, in order.

    Args:
        run_dir: The run's directory.
    """
    folders = sorted(run_dir.glob("doses/step-*[0-9]"))
    return {int(folder.name.removeprefix("step-")): folder for folder in folders if _weights(folder)}


@contextmanager
def first_process_first() -> Iterator[None]:
    """Under a launcher of several processes, let the first one through before the others.

    Where it fails, the others end with its exit code: it is the one that says why.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    import torch
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    # On a CPU it would otherwise take each process for the only one.
    if not PartialState(cpu=not torch.cuda.is_available()).is_main_process:
        (ended,) = broadcast_object_list([0])
        if ended:
            sys.exit(ended)
        yield
        return
    try:
        yield
    except Exception as error:
        broadcast_object_list([error.exit_code if isinstance(error, OldhamError) else 1])
        raise
    broadcast_object_list([0])


def _check_packages() -> None:
    missing = next((name for name in _PACKAGES if find_spec(name) is None), None)
    if missing is not None:
        raise MissingDependencyError(
            f"Training needs the package `{missing}`, which is not installed.",
            remedy="Install it with: pip install 'oldham[train]'.",
        )


def _weights(folder: Path) -> Path | None:
    return next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)


def _claim(run_dir: Path, settings: TrainingSettings) -> None:
    """Tie the directory to these settings, this base model and these data, so that runs never mix their checkpoints."""
    base = backend_for(settings.model).identify(settings.model)
    identity = fingerprint("training-run", {"settings": settings.fingerprint(), "base": base})
    files = {str(part.file): _hash(part.file) for part in settings.data if part.file is not None}
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        path = run_dir / "settings.json"
        if path.exists():
            began = json.loads(path.read_text(encoding="utf-8"))
            remedy = "Give the run another `name`, or another --out."
            if began["identity"] != identity:
                what = "This directory holds a run with other settings or another base model."
                raise ConfigError(what, place=str(run_dir), remedy=remedy)
            for file, content in began.get("files", {}).items():
                if None not in (content, files[file]) and files[file] != content:  # a run needs no file any more
                    raise ConfigError(f"`{file}` is not what this run began with.", place=str(run_dir), remedy=remedy)
            return
        said = settings.model_dump(mode="json")
        write_json(path, {"identity": identity, "method": settings.method, "settings": said, "files": files})
    except (OSError, ValueError, KeyError) as error:
        raise OldhamError(f"The run directory cannot be used ({error}).", place=str(run_dir)) from error


def _hash(file: Path) -> str | None:
    try:
        return file_sha256(file)
    except OSError:  # whoever reads the data says so
        return None


def _finished(run_dir: Path, settings: TrainingSettings) -> TrainingResult | None:
    path = run_dir / "manifest.json"
    if not path.exists():
        return None
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if not all(_weights(run_dir / "doses" / name) for name in manifest["adapters"]):
        return None
    return _result(settings, run_dir, manifest["log"], manifest.get("stopped"), reused=True)


def _result(
    settings: TrainingSettings, run_dir: Path, log: list[dict[str, Any]], stopped: str | None, *, reused: bool
) -> TrainingResult:
    doses = kept_doses(run_dir)
    whole = any((folder / "config.json").is_file() for folder in doses.values())
    rewards = {int(row["step"]): float(row["reward"]) for row in log if "reward" in row}
    return TrainingResult(run_dir, doses, settings.model, whole, _last_loss(log), rewards, stopped, reused)


def _examples(settings: TrainingSettings, run_dir: Path, note: Callable[[str], None]) -> list[TrainingExample]:
    """Build the data once; a resumed run reads what the first start wrote, own answers included."""
    path = run_dir / "data.jsonl"
    if not path.exists():
        rows = build_examples(settings, note=note)
        part = path.with_suffix(".part")
        part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        os.replace(part, path)
    with path.open(encoding="utf-8") as lines:  # `splitlines` would also part a line at characters inside a text
        return [json.loads(line) for line in lines]


def _write_manifest(
    settings: TrainingSettings, run_dir: Path, trained: Trained, *, n_examples: int, seconds: float
) -> None:
    adapters = {}
    for step, folder in kept_doses(run_dir).items():
        weights = sorted(folder.glob("*.safetensors"))
        one = file_sha256(weights[0]) if len(weights) == 1 else fingerprint("dose", [file_sha256(w) for w in weights])
        adapters[folder.name] = {"step": step, "sha256": one}
    write_json(
        run_dir / "manifest.json",
        {
            "method": settings.method,
            "settings": settings.model_dump(mode="json"),
            "fingerprint": settings.fingerprint(),
            "steps": trained.steps,
            "stopped": trained.stopped,
            "n_examples": n_examples,
            "n_rows": trained.rows,
            "loss_tokens": trained.loss_tokens,
            "data_sha256": file_sha256(run_dir / "data.jsonl"),
            "adapters": adapters,
            "warnings": list(trained.warnings),
            "versions": {name: version(name) for name in _PACKAGES},
            "seconds": round(seconds, 1),
            "log": trained.log,
        },
    )


def _last_loss(log: list[dict[str, Any]]) -> float | None:
    losses = [float(row["loss"]) for row in log if "loss" in row]
    return losses[-1] if losses else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file under its name only when it is whole.

    Args:
        path: The file.
        value: What it holds.
    """
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)
