"""The study that a training run's panels make up: an arm for each step, one intervention, the step its dose."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from oldham.benchmarks import load_items
from oldham.core.errors import ConfigError, DataError
from oldham.core.explain import explain, with_place
from oldham.core.fingerprint import file_sha256, fingerprint
from oldham.core.outcomes import SAFETY_AXES
from oldham.core.yaml_io import Source
from oldham.prompts import dry_run
from oldham.studies.arms import PROBES, ArmSpec
from oldham.studies.spec import Study

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from oldham.core.records import ModelFingerprint
    from oldham.studies.arms import Arm
    from oldham.training.config import PanelSettings

MOST_ITEMS: Final = 60
"""Items of a panel: more of them would take longer than the training."""
_DESCRIPTION: Final = (
    "The safety panel of a training run: the model as it was at these steps. Its arms name the model that training "
    "began with, and cannot be generated again from this file."
)


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What the panel must know of the run that it watches."""

    name: str
    """The run's name."""
    intervention: str
    """What the steps are a dose of: the name, and of a varied run its settings in brackets."""
    identity: str
    """Identity of settings, base model and data."""
    looks: int
    """Panels planned after the first step."""

    @classmethod
    def read(cls, run_dir: Path, every: int) -> TrainingRun:
        """Read what a training run wrote down before its first step.

        Args:
            run_dir: Its directory, with `settings.json` and `data.jsonl`.
            every: Steps between two panels.

        Raises:
            DataError: One of the files is missing or cannot be read.
        """
        try:
            told = json.loads((run_dir / "settings.json").read_text(encoding="utf-8"))
            data = run_dir / "data.jsonl"
            name, steps = str(told["settings"]["name"]), _most_steps(told["settings"], data)
            identity = fingerprint("watched run", [told["identity"], file_sha256(data)])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"This is no training run that a panel could watch ({error}).",
                place=str(run_dir),
                remedy="Start the training with: oldham train.",
            ) from error
        varied = f"{name}[{run_dir.name}]" if "=" in run_dir.name else name
        return cls(name, varied, identity, looks=-(-steps // every))


def arm_of(step: int) -> str:
    """Return the name of a step's arm.

    Args:
        step: Optimiser steps done.
    """
    return f"step {step}"


def panel_study(settings: PanelSettings, model: str, run: TrainingRun, steps: Iterable[int]) -> Study:
    """Return the study that some panels of a run make up.

    Args:
        settings: What is asked.
        model: Name of the model that training began with.
        run: The run.
        steps: Steps with a panel, at least one; the earliest is the baseline.

    Raises:
        ConfigError: The settings say something that cannot be meant.
    """
    source, ordered = Source("panel"), sorted(steps)
    said = {
        "name": run.name,
        "description": _DESCRIPTION,
        "baseline": arm_of(ordered[0]),
        "defaults": {"model": model, "strategy": "direct"},
        "arms": {arm_of(step): {"intervention": run.intervention, "dose": step} for step in ordered},
        "benchmarks": settings.benchmarks,
        "answer_tokens": settings.answer_tokens,
    }
    try:
        return Study.model_validate(said, context=source)
    except ValidationError as error:
        raise explain(error, source, top=Study.model_fields, inner=ArmSpec.model_fields) from None


def check_panel(settings: PanelSettings, model: str) -> None:
    """Check what can be checked before anything is trained.

    Args:
        settings: What is asked.
        model: Name of the model that training begins with.

    Raises:
        ConfigError: A benchmark or its number of items cannot be meant, there are too many items, or the panel is to
            stop training and asks nothing on a safety axis.
        DataError: A benchmark's file is missing.
    """
    study = panel_study(settings, model, TrainingRun("panel", "panel", "", 1), [0])
    items = [
        item
        for index, request in enumerate(study.benchmark_requests())
        for item in with_place(study.source.place("benchmarks", index), load_items, request.name, request.n)
    ]
    if len(items) > MOST_ITEMS:
        raise ConfigError(
            f"The panel has {len(items)} items, and at most {MOST_ITEMS} can be asked.",
            place="panel.benchmarks",
            remedy="Ask fewer, such as harmful:20; measure the kept doses in a study of their own.",
        )
    if settings.stop and not any(item.axis in SAFETY_AXES for item in items):
        raise ConfigError(
            "The panel is to stop training where safety is lost, and asks nothing on a safety axis.",
            place="panel.benchmarks",
            remedy="Add harmful:20, or leave `stop` out.",
        )


def live_identity(base: ModelFingerprint, run: TrainingRun, step: int, dtype: str) -> ModelFingerprint:
    """Identify the model at a step of a run: the same run reuses its rows, and no other run ever does.

    Args:
        base: The model that training began with.
        run: The run.
        step: Optimiser steps done.
        dtype: Number format of the live weights.
    """
    trained = fingerprint("model in training", {"base": base.adapter, "run": run.identity, "step": step})
    return base.model_copy(update={"adapter": trained, "dtype": dtype})


def arm_identity(arm: Arm, model: ModelFingerprint) -> str:
    """Identify an arm by what it asks and of whom.

    Args:
        arm: A step's arm.
        model: The live model.
    """
    scaffold = [[call.plan for call in dry_run(probe, arm.prompt).calls] for probe in PROBES]
    return fingerprint("panel arm", {"scaffold": scaffold, "sampling": arm.sampling, "model": model.fingerprint})


def _most_steps(settings: dict[str, Any], data: Path) -> int:
    """Return how many steps the run takes at most."""
    steps = int(settings["steps"])
    if not settings.get("train_tokens"):
        return steps
    with data.open(encoding="utf-8") as lines:  # one pass over what is taken of these
        examples = sum(1 for _ in lines)
    return max(1, -(-examples // (int(settings["batch_size"]) * int(settings["accumulate"]))))
