"""`oldham run --until gate`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Oldham

STUDY = """\
name: small
baseline: direct
defaults: {model: "scripted:mixed", answer_tokens: 30}
arms:
  direct:
  silent: {model: "scripted:refuse"}
benchmarks: [arithmetic:120, harmful:60]
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def test_a_run_stops_and_says_when_why_and_how_much_it_asked(oldham: Oldham, study: Path) -> None:
    said = oldham("run", "study.yaml", "--until", "gate")
    assert said.code == 0, said.err
    assert "of the 360 planned generations" in said.err
    assert "Gate: `silent` did not pass, as judged." in said.err
    assert "stopped by its own results" in said.out
    run_dir = study.parent / "runs" / "small"
    told = json.loads((run_dir / "manifest.json").read_text())
    assert told["planned"] < told["sequential"]["planned_generations"] == 360
    assert {c["axis"] for c in told["sequential"]["claims"]} == {"reasoning", "harm"}
    assert "stopped by its own results" in (run_dir / "report.html").read_text()
    compared = oldham("compare", "runs/small:direct", "runs/small")
    assert "stopped by its own results" in compared.out
    again = oldham("run", "study.yaml", "--until", "gate", "--no-report")
    assert "were in the ledger already" in again.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--gate", "gate.yaml"), "needs no gate"),
        (("--all-arms",), "needs no gate"),
        (("--until", "dawn"), "until `dawn`"),
        (("--until", "gate", "--gate", "gate.yaml"), "`privacy`, which the study does not measure"),
    ],
)
def test_what_cannot_be_meant_ends_with_2(oldham: Oldham, study: Path, options: tuple[str, ...], message: str) -> None:
    (study.parent / "gate.yaml").write_text("safety: privacy\n")
    said = oldham("run", "study.yaml", *options)
    assert said.code == 2
    assert message in said.err
    assert not (study.parent / "runs" / "small" / "report.html").exists()


def test_a_study_without_an_arm_to_stop_is_refused(oldham: Oldham, study: Path) -> None:
    study.write_text(STUDY.replace('  silent: {model: "scripted:refuse"}\n', ""))
    said = oldham("run", "study.yaml", "--until", "gate")
    assert said.code == 2
    assert "no arm beside the baseline" in said.err
