from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import oldham as package
from oldham.benchmarks.base import BENCHMARKS
from oldham.prompts.base import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from command_line import Oldham

    StudyFile = Callable[..., Path]


def test_the_version_is_the_packages(oldham: Oldham) -> None:
    assert oldham("--version").out == f"oldham {package.__version__}\n"


def test_help_names_every_command(oldham: Oldham) -> None:
    said = oldham("--help")
    assert said.code == 0
    assert all(f"  {name} " in said.out for name in ("plan", "run", "report", "compare", "list", "doctor", "train"))


def test_a_plan_says_what_will_be_done(oldham: Oldham, study_file: StudyFile) -> None:
    study_file()
    said = oldham("plan", "study.yaml")
    assert said.code == 0
    assert "direct (baseline)" in said.out
    assert "Items: arithmetic 8, harmful 8. Draws: 1. Cells: 32." in said.out
    assert "To generate: 32 of 32" in said.out
    assert "time unknown until the first batch" in said.out
    # (1.96 + 0.84) sqrt(0.1 / 8)
    assert "arithmetic 0.31, harmful 0.31" in said.out
    assert "Warning: `arithmetic` has 8 items" in said.out


def test_a_run_ends_with_a_summary_and_a_second_one_makes_nothing(
    oldham: Oldham, study_file: StudyFile, tmp_path: Path
) -> None:
    study_file()
    first = oldham("run", "study.yaml")
    assert first.code == 0, first.err
    assert "32 generations made, 0 reused" in first.err
    assert "against `direct`" in first.out
    assert first.out.splitlines()[-1] == "Report: runs/small/report.html"
    report = tmp_path / "runs" / "small" / "report.html"
    report.write_text("kept, for nothing changed")
    second = oldham("run", "study.yaml")
    assert "All 32 generations were in the ledger already" in second.err
    assert second.out == first.out
    assert report.read_text() == "kept, for nothing changed"
    study_file(("harmful:8", "harmful:7"))
    assert "Report" not in oldham("run", "study.yaml", "--no-report").out
    assert oldham("run", "study.yaml").code == 0
    assert "<html" in report.read_text(), "other items make another report"


def test_compare_reads_what_a_run_left(oldham: Oldham, study_file: StudyFile) -> None:
    study_file()
    oldham("run", "study.yaml", "--no-report", "--out", "here")
    assert "1 arm against `cot`" in oldham("compare", "here:cot", "here:direct").out
    lost = oldham("compare", "here:cott", "here")
    assert (lost.code, lost.out) == (2, "")
    assert "Did you mean `cot`?" in lost.err


@pytest.mark.parametrize(("kind", "names"), [("benchmarks", BENCHMARKS.names()), ("strategies", STRATEGIES.names())])
def test_list_names_everything_registered(oldham: Oldham, kind: str, names: list[str]) -> None:
    listed = [line.split()[0] for line in oldham("list", kind).out.splitlines()]
    assert set(names) <= set(listed)


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "benchmark"),
        ("plan", "nowhere.yaml"),
        ("run", "nowhere.yaml"),
        ("report", "nowhere"),
        ("compare", "nowhere", "nowhere"),
        ("train", "sft", "nowhere.yaml"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    oldham: Oldham, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = oldham(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("oldham: ")
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("thinking_tokens: 20", "thinking_token: 20", 6, "Did you mean `thinking_tokens`?"),
        ("zero_shot_cot", "zero_shot", 6, "Did you mean `zero_shot_cot`?"),
        ("scripted:mixed", "path:/nowhere/at/all", 3, "/nowhere/at/all"),
        ("scripted:mixed", "smolm2", 3, "smollm2"),
        ("arithmetic:8", "gsm8k:8", 7, "OLDHAM_DATA"),
        ("arithmetic:8", "arithmetic:8000", 7, "120"),
    ],
)
def test_a_mistake_in_a_study_names_its_line(
    oldham: Oldham,
    study_file: StudyFile,
    monkeypatch: pytest.MonkeyPatch,
    *,
    old: str,
    new: str,
    line: int,
    says: str,
) -> None:
    monkeypatch.delenv("OLDHAM_DATA", raising=False)
    study_file((old, new))
    said = oldham("run", "study.yaml")
    assert said.code == 2
    assert said.err.startswith(f"oldham: study.yaml:{line}: ")
    assert says in said.err


def test_markup_in_a_name_is_printed_as_it_is(oldham: Oldham, study_file: StudyFile) -> None:
    study_file(("zero_shot_cot", "'[red]cot[/red]'"))
    assert "`[red]cot[/red]`" in oldham("plan", "study.yaml").err


def test_a_damaged_ledger_is_reported_and_left_alone(oldham: Oldham, study_file: StudyFile, tmp_path: Path) -> None:
    study_file()
    oldham("run", "study.yaml", "--no-report")
    ledger = tmp_path / "runs" / "small" / "ledger.sqlite"
    damaged = b"\0garbage" * 512 + ledger.read_bytes()[4096:]
    ledger.write_bytes(damaged)
    said = oldham("run", "study.yaml")
    assert said.code == 2
    assert "The ledger is damaged" in said.err
    assert ledger.read_bytes() == damaged


def test_a_training_file_is_explained_like_a_study(
    oldham: Oldham, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sft.yaml").write_text("name: x\nmodel: smollm2\nstep: 3\ndata: [{source: arithmetic, n: 3}]\n")
    said = oldham("train", "sft", "sft.yaml")
    assert (said.code, said.err.startswith("oldham: sft.yaml:3: ")) == (2, True)
    assert "Did you mean `steps`?" in said.err


def test_the_manifest_tells_the_arms_in_full(oldham: Oldham, study_file: StudyFile, tmp_path: Path) -> None:
    study_file()
    oldham("run", "study.yaml", "--no-report")
    manifest = json.loads((tmp_path / "runs" / "small" / "manifest.json").read_text())
    assert manifest["arms"]["direct"]["thinking_tokens"] == 0
    assert manifest["arms"]["cot"]["thinking_tokens"] == 20
    assert manifest["arms"]["cot"]["model"] == "scripted:mixed"


def test_the_package_offers_its_api_and_nothing_else() -> None:
    assert dir(package) == ["Study", "__version__", "couple", "judge", "plan", "run"]
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert package.Study.__module__ == "oldham.studies.spec"
    with pytest.raises(AttributeError, match="no attribute `stduy`"):
        _ = package.stduy
