"""Folders as training runs leave them behind, and studies that name them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oldham.core.errors import ConfigError
from oldham.studies.spec import Study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.studies.arms import Arm

STUDY = """\
name: trained
baseline: direct
defaults: {model: "path:model", answer_tokens: 10}
arms:
  direct:
  sft: {train: runs/sft/cot}
benchmarks: [arithmetic:6, harmful:5]
"""
RUN = "{train: runs/sft/cot}"


def enter_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder the working directory, with the files that identify a model in it; no weights are ever read."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    monkeypatch.setenv("OLDHAM_CACHE", str(place / "cache"))
    model = place / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"hidden_size": 3, "num_hidden_layers": 4}))
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "chat_template.jinja").write_text("{{ messages[0].content }}")
    return place


def make_run(
    where: str,
    *,
    steps: Sequence[int] = (30, 60),
    finished: bool = True,
    whole: bool = False,
    stopped: str | None = None,
    **settings: Any,
) -> Path:
    """Make what a training run leaves behind, as far as a study reads it."""
    run = Path(where)
    run.mkdir(parents=True)
    told = {"model": "path:model", "seed": 0, "control": None, "citation": None, **settings}
    identity = {"identity": f"identity of {json.dumps(settings)}", "method": "sft"}
    (run / "settings.json").write_text(json.dumps({**identity, "settings": told}))
    (run / "data.jsonl").write_text("{}\n")
    for step in steps:
        dose = run / "doses" / f"step-{step:06d}"
        dose.mkdir(parents=True)
        if whole:
            shutil.copytree("model", dose, dirs_exist_ok=True)
        else:
            (dose / "adapter_config.json").write_text("{}")
        name = "model" if whole else "adapter_model"
        (dose / f"{name}.safetensors").write_bytes(f"{where} {step}".encode())
    if finished:
        adapters = {f"step-{step:06d}": {"step": step, "sha256": "x"} for step in steps}
        (run / "manifest.json").write_text(
            json.dumps({"adapters": adapters, "data_sha256": "of the data", "stopped": stopped})
        )
    return run


def study(*replacements: tuple[str, str], path: str = "study.yaml") -> Study:
    text = STUDY
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    Path(path).write_text(text)
    return Study.load(path)


def trained(made: Study) -> list[tuple[str, str | None, float | None]]:
    return [(arm.name, arm.intervention, arm.dose) for arm in made.resolved_arms if arm.trained is not None]


def arm_of(made: Study, name: str) -> Arm:
    return next(arm for arm in made.resolved_arms if arm.name == name)


def refused(*replacements: tuple[str, str], line: int = 6) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        study(*replacements)
    assert caught.value.place == f"study.yaml:{line}"
    assert caught.value.remedy
    return caught.value


def make_grid() -> None:
    """Make two seeds at three ratios."""
    for seed in (0, 1):
        for ratio in ("0", "0.05", "0.1"):
            make_run(f"runs/sft/cot/seed={seed},mix.ratio={ratio}", seed=seed, mix={"ratio": float(ratio)})
