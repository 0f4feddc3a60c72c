from __future__ import annotations

import json
from typing import TYPE_CHECKING

from oldham.cli import doctor
from oldham.core.outcomes import Axis, Outcome
from oldham.judges.base import Planted
from oldham.judges.numeric import NumericJudge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from command_line import Oldham

    StudyFile = Callable[..., Path]


def test_every_extra_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "inspect_ai" else object())
    extras = {finding.subject: finding for finding in doctor._extras()}
    assert {name for name, found in extras.items() if not found.good} == {"extra inspect"}
    assert extras["extra inspect"].detail == "missing inspect_ai: pip install 'oldham[inspect]'"
    assert set(extras) == {f"extra {name}" for name in ("local", "train", "remote", "judges", "inspect")}


def test_a_study_is_checked_and_nothing_is_written(oldham: Oldham, study_file: StudyFile, tmp_path: Path) -> None:
    study_file()
    said = oldham("doctor", "study.yaml")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("ok  judges         `numeric` judges its ")
    assert lines[-2:] == ["model scripted:mixed", "--  model          Not checked: answers follow rules."]
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_what_must_be_mended_is_exit_code_2(
    oldham: Oldham, study_file: StudyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Planted(
        axis=Axis.REASONING, prompt="1 + 1?", answer="3", outcome=Outcome.CORRECT, reference={"answer": "2"}
    )
    monkeypatch.setattr(NumericJudge, "planted", (wrong,))
    study_file()
    said = oldham("doctor", "study.yaml")
    assert said.code == 2
    assert said.out.startswith("!!  judges         1 of 1 planted cases are judged wrongly:")
    assert said.out.endswith("1 to be mended before this study is run.\n")
    stopped = oldham("run", "study.yaml")
    assert (stopped.code, stopped.out) == (2, "")
    assert stopped.err.splitlines()[-1].startswith("oldham: judges: 1 of 1 planted cases")


def test_a_run_without_checks_leaves_a_fact(oldham: Oldham, study_file: StudyFile, tmp_path: Path) -> None:
    study_file()
    said = oldham("run", "study.yaml", "--no-report", "--no-preflight")
    assert said.code == 0
    assert "Warning: scripted:mixed: Not checked: the run was started with --no-preflight." in said.err
    manifest = json.loads((tmp_path / "runs" / "small" / "manifest.json").read_text())
    assert [checked["skipped"] for checked in manifest["preflight"]] == [True, True]


def test_a_missing_study_is_a_mistake(oldham: Oldham, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = oldham("doctor", "nowhere.yaml")
    assert (said.code, said.out) == (2, "")
