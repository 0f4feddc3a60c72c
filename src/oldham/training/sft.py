"""Supervised fine-tuning with LoRA: TRL's trainer, checkpoints kept as doses, resumable, loss on the answer only."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from oldham.backends.base import backend_for
from oldham.core.errors import ConfigError, MissingDependencyError, OldhamError, RunInterruptedError
from oldham.core.fingerprint import file_sha256, fingerprint
from oldham.training.examples import build_examples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oldham.benchmarks.resources import TrainingExample
    from oldham.training.config import SFTSettings

_PACKAGES: Final = ("oldham", "torch", "transformers", "trl", "peft", "datasets", "accelerate")


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
    """`data`, `loading` or `training`."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run left behind."""

    run_dir: Path
    """Where."""
    doses: dict[int, Path]
    """Step to adapter folder, each usable as `MODEL+FOLDER` in a study."""
    loss: float | None
    """Last logged loss, nats a token."""
    reused: bool
    """True when everything was already there and nothing was trained."""


def run_sft(
    settings: SFTSettings, run_dir: Path, *, progress: Callable[[TrainingProgress], None] | None = None
) -> TrainingResult:
    """Train an adapter, or go on where an interrupted run stopped.

    Args:
        settings: What to train on what.
        run_dir: Where checkpoints, doses and the manifest go. The same settings and directory continue a run.
        progress: Called after every step.

    Returns:
        The kept adapters.

    Raises:
        ConfigError: The directory belongs to other settings, or a data source cannot be meant.
        MissingDependencyError: The extra `train` is not installed.
        RunInterruptedError: The user stopped the run; the last checkpoint is kept.
    """
    report = progress or (lambda _: None)
    _claim(run_dir, settings)
    done = _finished(run_dir, settings)
    if done is not None:
        return done
    report(TrainingProgress(0, settings.steps, None, "data"))
    examples = _examples(settings, run_dir)
    report(TrainingProgress(0, settings.steps, None, "loading"))
    try:
        from oldham.training.trainer import train
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"Training needs the package `{error.name}`, which is not installed.",
            remedy="Install it with: pip install 'oldham[train]'.",
        ) from error
    started = time.time()
    try:
        log = train(settings, run_dir, examples, report)
    except KeyboardInterrupt as error:
        raise RunInterruptedError(
            "Stopped; the last checkpoint is kept.", place=str(run_dir), remedy="Give the same command to go on."
        ) from error
    _write_manifest(settings, run_dir, log, n_examples=len(examples), seconds=time.time() - started)
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    return TrainingResult(run_dir, _dose_dirs(run_dir, settings), _last_loss(log), reused=False)


def dose_dir(run_dir: Path, step: int) -> Path:
    """Return the folder of a kept adapter.

    Args:
        run_dir: The run's directory.
        step: The optimiser step.
    """
    return run_dir / "doses" / f"step-{step:06d}"


def _dose_dirs(run_dir: Path, settings: SFTSettings) -> dict[int, Path]:
    return {step: dose_dir(run_dir, step) for step in settings.dose_steps}


def _claim(run_dir: Path, settings: SFTSettings) -> None:
    """Tie the directory to these settings and this base model, so that two runs never mix their checkpoints."""
    base = backend_for(settings.model).identify(settings.model)
    identity = fingerprint("sft-run", {"settings": settings, "base": base})
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        path = run_dir / "settings.json"
        if path.exists():
            if json.loads(path.read_text(encoding="utf-8"))["identity"] != identity:
                raise ConfigError(
                    "This directory holds a run with other settings or another base model.",
                    place=str(run_dir),
                    remedy="Give the run another `name`, or another --out.",
                )
            return
        _write_json(path, {"identity": identity, "settings": settings.model_dump(mode="json")})
    except (OSError, ValueError, KeyError) as error:
        raise OldhamError(f"The run directory cannot be used ({error}).", place=str(run_dir)) from error


def _finished(run_dir: Path, settings: SFTSettings) -> TrainingResult | None:
    manifest = run_dir / "manifest.json"
    doses = _dose_dirs(run_dir, settings)
    if not manifest.exists() or not all((path / "adapter_model.safetensors").exists() for path in doses.values()):
        return None
    log = json.loads(manifest.read_text(encoding="utf-8"))["log"]
    return TrainingResult(run_dir, doses, _last_loss(log), reused=True)


def _examples(settings: SFTSettings, run_dir: Path) -> list[TrainingExample]:
    """Build the data once; a resumed run reads what the first start wrote, own answers included."""
    path = run_dir / "data.jsonl"
    if not path.exists():
        rows = build_examples(settings)
        part = path.with_suffix(".part")
        part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        os.replace(part, path)
    with path.open(encoding="utf-8") as lines:  # `splitlines` would also part a line at characters inside a text
        return [json.loads(line) for line in lines]


def _write_manifest(
    settings: SFTSettings, run_dir: Path, log: list[dict[str, Any]], *, n_examples: int, seconds: float
) -> None:
    doses = _dose_dirs(run_dir, settings)
    _write_json(
        run_dir / "manifest.json",
        {
            "settings": settings.model_dump(mode="json"),
            "fingerprint": settings.fingerprint(),
            "n_examples": n_examples,
            "data_sha256": file_sha256(run_dir / "data.jsonl"),
            "adapters": {
                path.name: {"step": step, "sha256": file_sha256(path / "adapter_model.safetensors")}
                for step, path in doses.items()
            },
            "versions": {name: version(name) for name in _PACKAGES},
            "seconds": round(seconds, 1),
            "log": log,
        },
    )


def _last_loss(log: list[dict[str, Any]]) -> float | None:
    losses = [float(row["loss"]) for row in log if "loss" in row]
    return losses[-1] if losses else None


def _write_json(path: Path, value: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)
