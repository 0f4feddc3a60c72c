"""Arms that are the kept doses of training runs: which they are, and what the manifest says of them. No torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from oldham.core.errors import ConfigError, did_you_mean
from oldham.studies.trained_runs import TrainedDose, TrainedRun, as_number, missing_runs, runs_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from oldham.core.yaml_io import Source
    from oldham.studies.arms import Arm, ArmSpec

_ONLY_TRAINED: Final = ("train", "steps")
_SEED: Final = "seed"


@dataclass(frozen=True, slots=True)
class TrainedArm:
    """An arm that `train` stands for."""

    name: str
    """Such as `sft/30`, or `sft[seed=1]/30` of a run that varies its seed."""
    model: str
    """Name of the dose's model."""
    intervention: str
    """What the dose is a dose of, with the varied settings in brackets."""
    dose: float
    """Steps, or the value of the varied setting that is the dose."""
    trained: TrainedDose
    """Where it comes from."""


class TrainedArms:
    """Turns arms with `train` into one arm for each kept dose.

    A copy of a study in its run directory gives the arms that the run wrote down, so that its rows can be read without
    the training run. Every other study looks at the training run's folder.

    Args:
        source: The study.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def of(self, name: str, settings: ArmSpec) -> list[TrainedArm]:
        """Return the arms that one arm stands for.

        Args:
            name: The arm's name.
            settings: Its settings over the defaults, with `train`.

        Returns:
            By run, then by dose, ascending.

        Raises:
            ConfigError: There is no such run, one of its grid never began, it is not finished, it has no such dose, or
                it trained another model.
            DataError: A file of the run cannot be read.
        """
        return self._recorded(name) or list(self._read(name, settings))

    def _read(self, name: str, settings: ArmSpec) -> Iterator[TrainedArm]:
        assert settings.train is not None
        key = settings.dose
        if key is not None and not isinstance(key, str):
            raise ConfigError(
                f"The arm `{name}` stands for several doses, and `dose: {key:g}` is one.",
                place=self._place(name, "dose"),
                remedy="Leave it out, for the steps; or name the varied setting that is the dose, such as mix.ratio.",
            )
        runs = self._runs(_reached(settings.train, self._source), name)
        if key is not None and settings.steps is None:
            self._check_ends(runs, name)
        for run in runs:
            self._check_model(run, name, settings)
            value = None if key is None else self._value(run, key, name)
            others = ",".join(f"{other}={told}" for other, told in run.varied.items() if other != key)
            bracket = f"[{others}]" if others else ""
            for step in self._steps(run, settings, name):
                yield TrainedArm(
                    name=f"{name}{bracket}/{step if value is None else value}",
                    model=run.model_at(step),
                    intervention=f"{settings.intervention or name}{bracket}",
                    dose=float(step if value is None else value),
                    trained=run.told(name, step),
                )

    def _runs(self, folder: Path, name: str) -> list[TrainedRun]:
        self._check_grid(folder, name)
        runs = runs_in(folder)
        if not runs:
            records = (*folder.parent.glob("*/settings.json"), *folder.parent.glob("*/*=*/settings.json"))
            there = {record.relative_to(folder.parent).parts[0] for record in records}
            raise ConfigError(
                f"`{folder}` is no folder of a training run.",
                place=self._place(name, "train"),
                remedy=did_you_mean(folder.name, there) if there else "A run is made with: oldham train.",
            )
        return runs

    def _check_grid(self, folder: Path, name: str) -> None:
        if (folder / "settings.json").is_file() and any(folder.glob("*=*/settings.json")):
            raise ConfigError(
                f"`{folder}` is a training run, and holds the runs of a grid: it is not said which are meant.",
                place=self._place(name, "train"),
                remedy="Move one of the two to another folder; `name` or --out tells `oldham train` where to go.",
            )
        missing = missing_runs(folder)
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise ConfigError(
                f"Of the grid in `{folder}` {len(missing)} {'run' if len(missing) == 1 else 'runs'} never began: "
                f"{', '.join(f'`{run}`' for run in missing[:3])}{more}.",
                place=self._place(name, "train"),
                remedy="Give the `oldham train` command again; or, to do without, take what is missing out of its "
                "grid.json.",
            )

    def _check_ends(self, runs: Sequence[TrainedRun], name: str) -> None:
        """Check that no run stopped short of the others where the last dose of each is compared."""
        early = next((run for run in runs if run.stopped is not None), None)
        ends = {run.kept[-1] for run in runs if run.kept}
        if early is None or len(ends) == 1:
            return
        shared = sorted(set.intersection(*({*run.kept} for run in runs)))
        raise ConfigError(
            f"`{early.folder}` stopped before its last step, so that the last doses of the runs are not alike: they "
            f"are of {' and '.join(map(str, sorted(ends)))} steps.",
            place=self._place(name, "dose"),
            remedy=f"Compare them at a step that all have: `steps: [{shared[-1]}]`."
            if shared
            else "Train the runs again with a dose that all of them reach.",
        )

    def _steps(self, run: TrainedRun, settings: ArmSpec, name: str) -> Sequence[int]:
        """Return the doses that are wanted of a run, after checking that they are there."""
        kept = ", ".join(map(str, run.kept)) or "none"
        one_each = isinstance(settings.dose, str)
        take = f" Or take what is there: `steps: [{kept}]`." if run.kept and not one_each else ""
        if settings.steps is not None:
            missing = [step for step in settings.steps if step not in run.kept]
            if missing:
                raise ConfigError(
                    f"`{run.folder}` has not kept step {missing[0]}; its steps are: {kept}.",
                    place=self._place(name, "steps"),
                    remedy="Name steps that are there.",
                )
            if one_each and len(set(settings.steps)) > 1:
                raise ConfigError(
                    f"With `dose: {settings.dose}` one step of each run is taken, and `steps` names several.",
                    place=self._place(name, "steps"),
                    remedy="Name one, or leave `steps` out for the last of each run.",
                )
            return sorted(set(settings.steps))
        if not run.finished:
            raise ConfigError(
                f"The training run `{run.folder}` is not finished; its steps are: {kept}.",
                place=self._place(name, "train"),
                remedy=f"Give its `oldham train` command again to go on with it.{take}",
            )
        gone = [step for step in run.written if step not in run.kept]
        if gone:
            raise ConfigError(
                f"The weights of step {gone[0]} of `{run.folder}` are gone; its steps are: {kept}.",
                place=self._place(name, "train"),
                remedy=f"Put them back.{take}",
            )
        return run.kept[-1:] if one_each else run.kept

    def _value(self, run: TrainedRun, key: str, name: str) -> str:
        """Return a run's value of the setting that is the dose."""
        if key not in run.varied:
            varies = ", ".join(f"`{known}`" for known in run.varied)
            raise ConfigError(
                f"`{run.folder}` does not vary `{key}`.",
                place=self._place(name, "dose"),
                remedy=f"It varies {varies}." if varies else "Leave `dose` out: the steps are the doses.",
            )
        told = run.varied[key]
        if key == _SEED or as_number(told) is None:
            why = "a seed has no more and less" if key == _SEED else f"`{told}` is no number"
            raise ConfigError(
                f"`{key}` is no dose: {why}.",
                place=self._place(name, "dose"),
                remedy="Leave `dose` out: the steps are the doses, and each run is an intervention of its own.",
            )
        return told

    def _check_model(self, run: TrainedRun, name: str, settings: ArmSpec) -> None:
        if settings.model is None or settings.model.strip() == run.model:
            return
        own, shared = ("arms", name, "model"), ("defaults", "model")
        said = own if own in self._source.lines or shared not in self._source.lines else shared
        raise ConfigError(
            f"`{run.folder}` trained `{run.model}`, and the arm `{name}` has the model `{settings.model}`.",
            place=self._source.place(*said),
            remedy=f"Write `model: {run.model}` in the arm, and compare it with an arm of that model.",
        )

    def _recorded(self, name: str) -> list[TrainedArm]:
        """Return an arm's arms as the run wrote them down; none where this is no copy in a run directory."""
        return [arm for arm in self._record if arm.trained.arm == name]

    @cached_property
    def _record(self) -> list[TrainedArm]:
        if not self._source.text:
            return []
        try:
            manifest = json.loads((Path(self._source.name).parent / "manifest.json").read_text(encoding="utf-8"))
            if manifest["study_text"] != self._source.text:
                return []  # another study, or a copy that was changed
            return [
                TrainedArm(
                    arm, told["model"], told["intervention"], told["dose"], TrainedDose.model_validate(told["training"])
                )
                for arm, told in manifest["arms"].items()
                # What is made for a vote comes out of its arm again.
                if told.get("training") is not None and told.get("vote") in (None, "mean")
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError):
            return []

    def _place(self, name: str, key: str) -> str:
        return self._source.place("arms", name, key)


def check_untrained(name: str, settings: ArmSpec, source: Source) -> None:
    """Check that an arm without `train` says nothing that only one with it has.

    Args:
        name: The arm's name.
        settings: Its settings over the defaults.
        source: The study.

    Raises:
        ConfigError: It names steps, or a setting as its dose.
    """
    if settings.steps is not None:
        raise ConfigError(
            f"The arm `{name}` names `steps`, and no training run whose steps they are.",
            place=source.place("arms", name, "steps"),
            remedy="Add `train: runs/METHOD/NAME`, or leave `steps` out.",
        )
    if isinstance(settings.dose, str):
        raise ConfigError(
            f"The dose of the arm `{name}` is `{settings.dose}`, which is no number.",
            place=source.place("arms", name, "dose"),
            remedy="Give a number; the name of a setting is for an arm with `train`.",
        )


def check_defaults(defaults: ArmSpec, source: Source) -> None:
    """Check that training runs are named by arms.

    Args:
        defaults: The study's.
        source: The study.

    Raises:
        ConfigError: The defaults name one.
    """
    for key in _ONLY_TRAINED:
        if getattr(defaults, key) is not None:
            raise ConfigError(
                f"`{key}` belongs into an arm: under `defaults` every arm, the baseline too, would be trained.",
                place=source.place("defaults", key),
                remedy=f"Write it as `arms: {{NAME: {{{key}: ...}}}}`.",
            )


def refuse_in_grid(key: str, value: object, source: Source) -> None:
    """Check that a grid does not vary training runs.

    Args:
        key: A key of the grid.
        value: One of its values.
        source: The study.

    Raises:
        ConfigError: It is one that only arms can have.
    """
    if key in _ONLY_TRAINED or (key == "dose" and isinstance(value, str)):
        raise ConfigError(
            f"`{key}: {value}` cannot be a level of a grid: a training run stands for several arms.",
            place=source.place("grid", key),
            remedy="Vary `model`, a dose being BASE+RUN/doses/step-000030; or write an arm with `train`.",
        )


def check_interventions(arms: Iterable[Arm], source: Source) -> None:
    """Check that no intervention is a control in part.

    Args:
        arms: All arms of a study.
        source: The study.

    Raises:
        ConfigError: Runs of one intervention are controls for different things, or only some of them are.
    """
    first: dict[str, TrainedDose] = {}
    for arm in arms:
        if arm.trained is None or arm.intervention is None:
            continue
        other = first.setdefault(arm.intervention, arm.trained)
        if other.control != arm.trained.control:
            raise ConfigError(
                f"`{other.run}` and `{arm.trained.run}` are doses of one intervention, `{arm.intervention}`, and one "
                "is a control that the other is not.",
                place=source.place(*arm.path, "train"),
                remedy="Give the control an arm of its own, with another `intervention`.",
            )


def training_told(arms: Iterable[Arm]) -> dict[str, dict[str, Any]]:
    """Return what the manifest says of interventions that were trained.

    Args:
        arms: All arms of a study.

    Returns:
        By intervention: `method`, `model`, `control`, `citation`, `seeds`, `pace` (None where runs differ), and of
        each of its `runs` folder, fingerprint and steps.
    """
    doses: dict[str, list[TrainedDose]] = {}
    for arm in arms:
        if arm.trained is not None and arm.intervention is not None and arm.vote in (None, "mean"):
            doses.setdefault(arm.intervention, []).append(arm.trained)
    return {intervention: _intervention_told(of) for intervention, of in doses.items()}


def _intervention_told(doses: Sequence[TrainedDose]) -> dict[str, Any]:
    runs: dict[str, dict[str, Any]] = {}
    for dose in doses:
        run = runs.setdefault(dose.run, {"run": dose.run, "fingerprint": dose.fingerprint, "steps": []})
        run["steps"] = sorted({*run["steps"], dose.step})
    return {
        "method": _shared([dose.method for dose in doses]),
        "model": _shared([dose.model for dose in doses]),
        "control": doses[0].control,
        "citation": _shared([dose.citation for dose in doses if dose.citation]),
        "seeds": sorted({dose.seed for dose in doses}),
        "pace": doses[0].pace if all(dose.pace == doses[0].pace for dose in doses) else None,
        "runs": list(runs.values()),
    }


def _shared(said: Sequence[str]) -> str | None:
    return ", ".join(dict.fromkeys(said)) or None


def _reached(train: str, source: Source) -> Path:
    """Return the path that leads to a run from the working directory; beside the study file it is looked for first."""
    path = Path(train).expanduser()
    beside = Path(source.name).parent / path
    return path if path.is_absolute() or not source.lines or not beside.is_dir() else beside
