"""What `oldham train` says of a run that is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from oldham.cli import app
from oldham.training.run import TrainingResult

if TYPE_CHECKING:
    from click.testing import Result

FILE = "name: sums\nmodel: path:model\ndata: [{source: premises, n: 4}]\nsteps: 10\n"
PANEL = "panel: {benchmarks: [harmful:4], every: 5}\n"


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the folder of a finished run that the command finds."""
    run = tmp_path / "runs" / "sft" / "sums"
    result = TrainingResult(
        run, {10: run / "doses" / "step-000010"}, "path:model", False, 0.1, {5: 0.25, 10: 0.5}, None, True
    )
    monkeypatch.setattr("oldham.cli.train._train_one", lambda *_, **__: result)
    monkeypatch.chdir(tmp_path)
    return run


def train(text: str) -> Result:
    Path("sums.yaml").write_text(text)
    return CliRunner().invoke(app, ["train", "sft", "sums.yaml"])


def test_the_learning_curve_stands_before_the_doses(again: Path) -> None:
    done = train(FILE)
    assert done.exit_code == 0, done.output
    curve, dose = done.stdout.splitlines()
    assert curve == "Mean reward of what was sampled: 0.25 by step 5, 0.50 by step 10"
    assert dose.startswith("10 steps: path:model+")
    assert "The panel" not in done.stderr


def test_a_panel_that_comes_too_late_is_told(again: Path) -> None:
    done = train(FILE + PANEL)
    assert done.exit_code == 0, done.output
    assert "The panel was not asked while" in done.stderr
    (again / "panel").mkdir(parents=True)
    assert "The panel" not in train(FILE + PANEL).stderr
