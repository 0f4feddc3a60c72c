from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import oldham.backends
from oldham.backends.weights import shipped_adapters
from oldham.core.fingerprint import file_sha256
from oldham.training.methods import SFTSettings
from oldham.training.recipes import load_runs

ADAPTERS = Path(oldham.backends.__file__).parent / "adapters"
RECIPES = Path(__file__).parents[2] / "studies" / "train"
# The doses of a run ship under the run's base name and the step; the last step of the aligned run is `aligned`.
RUNS = {"aligned": {"step-000120": "aligned"}, "reasoning": {f"step-{n:06d}": f"aligned-r{n}" for n in (30, 60, 120)}}


def manifest(run: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((ADAPTERS / f"{run}.json").read_text(encoding="utf-8"))
    return told


def test_every_shipped_adapter_comes_from_a_run() -> None:
    assert shipped_adapters() == sorted(name for doses in RUNS.values() for name in doses.values())


@pytest.mark.parametrize("run", RUNS)
def test_shipped_adapters_are_those_the_run_wrote(run: str) -> None:
    for folder, name in RUNS[run].items():
        shipped = file_sha256(ADAPTERS / name / "adapter_model.safetensors")
        assert shipped == manifest(run)["adapters"][folder]["sha256"]


@pytest.mark.parametrize("run", RUNS)
def test_the_recipe_is_the_one_the_run_was_given(run: str) -> None:
    (given,) = load_runs("sft", str(RECIPES / f"{run}.yaml"))
    assert given.settings == SFTSettings.model_validate(manifest(run)["settings"])


def test_together_they_stay_small() -> None:
    assert sum(path.stat().st_size for path in ADAPTERS.rglob("*.safetensors")) <= 10_000_000


@pytest.mark.parametrize("name", shipped_adapters())
def test_a_shipped_adapter_names_no_folder_of_the_machine_that_made_it(name: str) -> None:
    config = json.loads((ADAPTERS / name / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] in ("smollm2", "smollm2-aligned")
