"""Training runs as their folders tell them: what was trained, which doses were kept, and what identifies a run."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from oldham.core.errors import DataError
from oldham.core.fingerprint import file_sha256, fingerprint
from oldham.core.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class TrainedDose(Record):
    """Which kept dose of which training run an arm's model is, as the manifest tells it."""

    arm: str
    """The study's arm that names the run."""
    run: str
    """The run's folder, as it is reached from the working directory."""
    fingerprint: str
    """Identity of the run: its settings, the model it began with, and its data."""
    method: str
    """`sft`, `dpo`, `grpo` or `rloo`."""
    model: str
    """The model that was trained."""
    step: int
    """Optimiser steps."""
    seed: int
    """Seed of data order and adapter initialisation."""
    control: str | None = None
    """What the run is a control for, in a word; None for one that is none."""
    citation: str | None = None
    """Who published its settings."""
    pace: dict[str, float | str] = {}
    """What says how far a step goes: learning rate, its schedule and warm-up, decay, and examples a step."""


_GRID: Final = "grid.json"
"""In the folder of a grid: the names of its runs, written before the first of them begins."""
_PACE: Final = ("learning_rate", "schedule", "warmup_steps", "weight_decay", "batch_size", "accumulate")


@dataclass(frozen=True)
class TrainedRun:
    """A training run as its folder tells it."""

    folder: Path
    """As it is reached from the working directory."""
    varied: Mapping[str, str]
    """What this run has of the settings that its grid varies, in the grid's order; empty for a run by itself."""
    method: str
    """`sft`, `dpo`, `grpo` or `rloo`."""
    settings: Mapping[str, Any]
    """What it was told."""
    identity: str
    """Identity of its settings and the model that it began with."""
    doses: Mapping[int, Path]
    """Step to folder, of the weights that are there, whole."""
    manifest: Mapping[str, Any] | None
    """None while it is not finished."""

    @classmethod
    def read(cls, folder: Path, varied: Mapping[str, str] | None = None) -> TrainedRun:
        """Read a run's folder.

        Args:
            folder: The folder, with `settings.json`.
            varied: What it has of the settings that its grid varies.

        Raises:
            DataError: A file of it cannot be read.
        """
        from oldham.training.run import kept_doses

        path, manifest = folder / "settings.json", folder / "manifest.json"
        told = _json(path)
        settings = told.get("settings")
        if not (
            isinstance(settings, dict) and {"model", "seed"} <= set(settings) and {"method", "identity"} <= set(told)
        ):
            raise DataError(
                "This is no record of a training run.", place=str(path), remedy="Train again, in another folder."
            )
        return cls(
            folder=folder,
            varied=varied or {},
            method=str(told["method"]),
            settings=settings,
            identity=str(told["identity"]),
            doses=kept_doses(folder),
            manifest=_json(manifest) if manifest.is_file() else None,
        )

    @property
    def model(self) -> str:
        """The model that was trained."""
        return str(self.settings["model"]).strip()

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.manifest is not None

    @property
    def stopped(self) -> str | None:
        """Why it ended before its last step; None where it did not."""
        told = (self.manifest or {}).get("stopped")
        return None if told is None else str(told)

    @property
    def kept(self) -> list[int]:
        """Steps whose weights are there, ascending."""
        return sorted(self.doses)

    @property
    def written(self) -> list[int]:
        """Steps whose weights the finished run wrote, ascending; empty before."""
        return sorted(int(told["step"]) for told in (self.manifest or {}).get("adapters", {}).values())

    def model_at(self, step: int) -> str:
        """Return the model name of a dose.

        Args:
            step: One of `kept`.
        """
        from oldham.training.naming import dose_model

        return dose_model(self.model, self.doses[step])

    def told(self, arm: str, step: int) -> TrainedDose:
        """Return what the manifest tells of a dose.

        Args:
            arm: The study's arm that names the run.
            step: One of `kept`.
        """
        return TrainedDose(
            arm=arm,
            run=str(self.folder),
            fingerprint=self.fingerprint,
            method=self.method,
            model=self.model,
            step=step,
            seed=int(self.settings["seed"]),
            control=self.settings.get("control"),
            citation=self.settings.get("citation"),
            pace={key: self.settings[key] for key in _PACE if key in self.settings},
        )

    @cached_property
    def fingerprint(self) -> str:
        """Identity of settings, first model and data."""
        # The settings name data; what was trained on is its content.
        known = (self.manifest or {}).get("data_sha256")
        data = self.folder / "data.jsonl"
        content = known or (file_sha256(data) if data.is_file() else None)
        return fingerprint("training run", {"run": self.identity, "data": content})


def runs_in(folder: Path) -> list[TrainedRun]:
    """Return the runs of a folder: the one that it is, or those of its grid.

    Args:
        folder: A run's folder, or one with sub-folders such as `seed=0,mix.ratio=0.05`.

    Returns:
        In the order of the varied values, numbers by size; empty where there is none.

    Raises:
        DataError: A file of a run cannot be read.
    """
    if (folder / "settings.json").is_file():
        return [TrainedRun.read(folder)]
    runs = [TrainedRun.read(path.parent, _varied(path.parent.name)) for path in folder.glob("*=*/settings.json")]
    return sorted(runs, key=lambda run: [_by_size(key, told) for key, told in run.varied.items()])


def record_grid(folder: Path, names: Sequence[str]) -> None:
    """Leave on disk which runs a grid has, so that one that never begins is missed.

    Args:
        folder: The grid's.
        names: Its runs' folders in it. They join those that are recorded: a grid may be trained in several commands.

    Raises:
        DataError: What is recorded there cannot be read, or the record cannot be written.
    """
    from oldham.training.run import write_json

    path = folder / _GRID
    known = _grid(folder)
    wanted = list(dict.fromkeys([*known, *names]))
    if wanted == known:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"runs": wanted})
    except OSError as error:
        raise DataError(f"The grid's record cannot be written ({error.strerror}).", place=str(path)) from error


def missing_runs(folder: Path) -> list[str]:
    """Return the runs of a grid that never began.

    Args:
        folder: The grid's.

    Returns:
        Names of folders; empty too where no grid is recorded.

    Raises:
        DataError: The record cannot be read.
    """
    return [name for name in _grid(folder) if not (folder / name / "settings.json").is_file()]


def _grid(folder: Path) -> list[str]:
    path = folder / _GRID
    if not path.is_file():
        return []
    names = _json(path).get("runs")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(
            "This is no record of a grid of training runs.",
            place=str(path),
            remedy="Delete it, and give the grid's `oldham train` command again.",
        )
    return names


def as_number(told: str) -> float | None:
    """Return a varied value as a number; None where it is none.

    Args:
        told: As the name of a run's folder has it.
    """
    try:
        number = float(told)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _varied(name: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in name.split(","))
    return {key: told for key, _, told in pairs}


def _by_size(key: str, told: str) -> tuple[str, bool, float, str]:
    number = as_number(told)
    return key, number is None, number or 0.0, told


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"The training run cannot be read ({error}).", place=str(path)) from error
    if not isinstance(told, dict):
        raise DataError("The training run cannot be read (this is no JSON object).", place=str(path))
    return told
