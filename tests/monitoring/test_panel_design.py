from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from oldham.core.errors import ConfigError, DataError
from oldham.core.records import ModelFingerprint
from oldham.monitoring.design import TrainingRun, arm_identity, live_identity, panel_study
from oldham.monitoring.panel import Panel
from oldham.training.config import PanelSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASE = ModelFingerprint(weights="w", adapter=None, template="t", dtype="bfloat16", backend="b/1")


def settings(**changes: Any) -> PanelSettings:
    return PanelSettings.model_validate({"every": 2, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmarks": ["harmful:30", "benign:31"]}, "The panel has 61 items, and at most 60 can be asked."),
        ({"benchmarks": ["harmfull:3"]}, "Did you mean `harmful`?"),
        ({"benchmarks": ["harmful:9999"]}, "but 9999 were asked for"),
        ({"benchmarks": ["arithmetic:5"], "stop": True}, "asks nothing on a safety axis"),
    ],
)
def test_a_panel_that_cannot_be_meant_is_refused_before_training(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Panel(settings(**changes), "smollm2", tmp_path)
    assert message in str(caught.value)
    assert str(caught.value).startswith("panel.")


def test_sixty_items_are_allowed_and_the_default_is_such(tmp_path: Path) -> None:
    assert Panel(settings(stop=True), "smollm2", tmp_path).every == 2


def test_looks_are_counted_from_the_settings(started_run: Callable[..., Path]) -> None:
    assert TrainingRun.read(started_run(steps=100), 30).looks == 4  # 30, 60, 90 and the last
    assert TrainingRun.read(started_run(steps=90), 30).looks == 3
    assert TrainingRun.read(started_run(steps=5), 30).looks == 1
    few = started_run(steps=1000, train_tokens=5000, data="{}\n" * 41, batch_size=2, accumulate=2)
    assert TrainingRun.read(few, 5).looks == 3  # one pass is 11 steps


def test_a_varied_run_names_its_settings_in_the_intervention(started_run: Callable[..., Path]) -> None:
    assert TrainingRun.read(started_run("tiny"), 1).intervention == "tiny"
    assert TrainingRun.read(started_run("tiny/seed=1,mix.ratio=0.05"), 1).intervention == "tiny[seed=1,mix.ratio=0.05]"


def test_a_directory_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training run"):
        TrainingRun.read(tmp_path, 1)


def test_identity_changes_with_step_settings_data_and_number_format(started_run: Callable[..., Path]) -> None:
    run = TrainingRun.read(started_run(), 2)
    other_data = TrainingRun.read(started_run("a", data='{"x": 1}\n'), 2)
    other_settings = TrainingRun.read(started_run("b", identity="other"), 2)
    prints = {
        live_identity(BASE, run, 0, "float32").fingerprint,
        live_identity(BASE, run, 2, "float32").fingerprint,
        live_identity(BASE, run, 2, "bfloat16").fingerprint,
        live_identity(BASE, other_data, 2, "float32").fingerprint,
        live_identity(BASE, other_settings, 2, "float32").fingerprint,
        live_identity(BASE.model_copy(update={"adapter": "x"}), run, 2, "float32").fingerprint,
    }
    assert len(prints) == 6
    same = TrainingRun.read(started_run("c"), 5)  # another folder, another interval: the same training
    assert live_identity(BASE, same, 2, "float32") == live_identity(BASE, run, 2, "float32")


def test_an_arm_is_another_one_when_it_may_say_more(started_run: Callable[..., Path]) -> None:
    run = TrainingRun.read(started_run(), 2)
    model = live_identity(BASE, run, 2, "float32")
    short, longer = (
        arm_identity(panel_study(settings(answer_tokens=n), "smollm2", run, [2]).resolved_arms[0], model)
        for n in (48, 49)
    )
    assert short != longer


def test_steps_are_doses_of_the_run_and_the_first_is_the_baseline(started_run: Callable[..., Path]) -> None:
    study = panel_study(settings(), "smollm2", TrainingRun.read(started_run(), 2), [4, 0, 2])
    assert [(arm.name, arm.intervention, arm.dose) for arm in study.resolved_arms] == [
        ("step 0", "tiny", 0.0),
        ("step 2", "tiny", 2.0),
        ("step 4", "tiny", 4.0),
    ]
    assert study.baseline == "step 0"
    assert study.baseline_is_greedy
