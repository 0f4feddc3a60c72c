from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from oldham.core.errors import ConfigError, RunInterruptedError
from oldham.training.run import TrainingProgress, run_training
from oldham.training.watch import Reading
from small_training import kept, tiny_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oldham.training.methods import SFTSettings

pytestmark = pytest.mark.model


class Counting:
    """Reads the step, and draws a random number, which the trainer has to be kept from noticing."""

    def __init__(self, every: int = 2, stop_at: int | None = None) -> None:
        self.every = every
        self.stop_at = stop_at
        self.steps: list[int] = []

    def measure(self, model: Any, tokenizer: Any, step: int) -> Reading:
        assert model.get_base_model().config.model_type == "llama"
        assert tokenizer.eos_token == "<|im_end|>"
        self.steps.append(step)
        stop = f"stopped at step {step}" if step == self.stop_at else None
        return Reading({"panel/harm": step / 10}, f"step {step}: harm {step}", stop)


@pytest.fixture
def told(tiny_model: Callable[..., Path]) -> Callable[..., SFTSettings]:
    model = f"path:{tiny_model()}"

    return partial(tiny_settings, model=model)


def test_the_watch_is_asked_before_between_and_after(told: Callable[..., SFTSettings], tmp_path: Path) -> None:
    watch, seen = Counting(every=4), list[TrainingProgress]()
    result = run_training(told(), tmp_path / "watched", progress=seen.append, watch=watch)
    assert watch.steps == [0, 4, 6]
    log = json.loads((tmp_path / "watched" / "manifest.json").read_text())["log"]
    assert {row["step"]: row["panel/harm"] for row in log if "panel/harm" in row} == {0: 0.0, 4: 0.4, 6: 0.6}
    assert [row["step"] for row in log if "loss" in row] == [5]
    assert not any("mean_token_accuracy" in row for row in log if "panel/harm" in row)
    assert seen[-1].note == "step 6: harm 6"
    alone = run_training(told(), tmp_path / "alone")
    assert kept(alone.doses[6]) == kept(result.doses[6])


def test_a_sentence_stops_training_and_the_weights_of_that_step_are_kept(
    told: Callable[..., SFTSettings], tmp_path: Path
) -> None:
    watch = Counting(stop_at=4)
    result = run_training(told(doses=[2]), tmp_path / "run", watch=watch)
    assert (list(result.doses), result.stopped) == ([2, 4], "stopped at step 4")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["steps"], manifest["stopped"]) == (4, "stopped at step 4")
    again = run_training(told(doses=[2]), tmp_path / "run", watch=watch)
    assert again.reused
    assert (list(again.doses), again.stopped, watch.steps) == ([2, 4], "stopped at step 4", [0, 2, 4])


@pytest.mark.parametrize("at", [3, 4])
def test_a_run_killed_about_a_stop_stops_there_again(told: Callable[..., SFTSettings], tmp_path: Path, at: int) -> None:
    def kill(progress: TrainingProgress) -> None:
        if progress.phase == "training" and progress.step == at:
            raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError):
        run_training(told(), tmp_path / "run", progress=kill, watch=Counting(stop_at=4))
    watch = Counting(stop_at=4)
    result = run_training(told(), tmp_path / "run", watch=watch)
    assert watch.steps == [4]  # on from the checkpoint of step 2, and the first step is not measured again
    assert result.stopped == "stopped at step 4"
    log = json.loads((tmp_path / "run" / "manifest.json").read_text())["log"]
    assert [row["step"] for row in log if "panel/harm" in row] == [0, 2, 4]
    whole = run_training(told(), tmp_path / "whole", watch=Counting(stop_at=4))
    assert kept(whole.doses[4]) == kept(result.doses[4])


def test_what_was_said_of_the_start_outlives_a_stop(told: Callable[..., SFTSettings], tmp_path: Path) -> None:
    class Low(Counting):
        def measure(self, model: Any, tokenizer: Any, step: int) -> Reading:
            return Reading({"panel/harm": 0.9, "panel/privacy": 0.0}, "low")

    def kill(progress: TrainingProgress) -> None:
        if progress.phase == "training" and progress.step == 3:
            raise KeyboardInterrupt

    settings = told(panel={"every": 2})
    with pytest.raises(RunInterruptedError):
        run_training(settings, tmp_path / "run", progress=kill, watch=Low())
    run_training(settings, tmp_path / "run", watch=Low())
    warnings = json.loads((tmp_path / "run" / "manifest.json").read_text())["warnings"]
    assert len([warning for warning in warnings if "scores 0 of 100 on privacy" in warning]) == 1


def test_a_panel_that_nobody_measures(told: Callable[..., SFTSettings], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing was given that measures it"):
        run_training(told(panel={"every": 2}), tmp_path / "run")
