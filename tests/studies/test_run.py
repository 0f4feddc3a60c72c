from __future__ import annotations

import fcntl
import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from oldham.core.errors import LedgerError, RunInterruptedError
from oldham.core.ledger import Ledger
from oldham.core.observations import OBSERVATION_COLUMNS
from oldham.studies.run import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_backend import FakeBackend

    StudyFile = Callable[..., Path]


def rows(run_dir: Path) -> set[str]:
    """Every row of a ledger as text, the wall time left out."""
    with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
        generations = {
            json.dumps(g.model_dump(mode="json", exclude={"seconds"}), sort_keys=True) for g in ledger.generations()
        }
        return generations | {v.model_dump_json() for v in ledger.verdicts()}


class Watcher:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.heard: list[tuple[Any, ...]] = []

    def planned(self, plan: Any, missing: int) -> None:
        self.heard.append(("planned", missing))

    def loading(self, model: str, trials: int, tokens: int) -> None:
        self.heard.append(("loading", model, trials, tokens))

    def generated(self, trials: int, allowed: int, written: int) -> None:
        self.heard.append(("generated", trials, allowed, written))

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_run_leaves_rows_observations_and_a_manifest(study_file: StudyFile, tmp_path: Path) -> None:
    result = run(study_file())
    assert result.run_dir.resolve() == tmp_path / "runs" / "small"
    assert (result.n_generated, result.n_reused, result.n_missing) == (22, 0, 0)
    frame = pl.read_parquet(result.run_dir / "observations.parquet")
    assert frame.equals(result.observations)
    assert frame.columns == list(OBSERVATION_COLUMNS)
    assert frame.height == 22 + 5, "the traces of the harmful items are judged too"
    assert frame["arm"].unique(maintain_order=True).to_list() == ["direct", "cot"]
    assert set(frame.filter(pl.col("axis") == "reasoning")["outcome"]) == {"incorrect"}
    assert set(frame.filter(pl.col("arm") == "cot")["realised_thinking_tokens"]) == {2}
    assert (result.run_dir / "study.yaml").read_text() == study_file().read_text()
    manifest = json.loads((result.run_dir / "manifest.json").read_text())
    assert manifest["baseline"] == "direct"
    assert manifest["planned"] == manifest["generated"] == 22
    assert manifest["models"]["fake:one"]["weights"] == "one"
    assert manifest["versions"]["oldham"]
    assert manifest["benchmarks"]["harmful"]["n_items"] == 5
    assert sorted(p.name for p in result.run_dir.iterdir()) == [
        ".lock",
        "ledger.sqlite",
        "manifest.json",
        "observations.parquet",
        "preflight.json",
        "study.yaml",
    ]


def test_a_second_run_loads_no_model_and_gives_the_same(study_file: StudyFile, fake: type[FakeBackend]) -> None:
    first = run(study_file())
    second = run(study_file())
    assert fake.loads == ["fake:one"]
    assert (second.n_generated, second.n_reused) == (0, 22)
    assert second.observations.equals(first.observations)
    assert "All 22 generations were in the ledger already" in second.summary()
    assert len(json.loads((second.run_dir / "manifest.json").read_text())["runs"]) == 2


def test_each_model_is_loaded_once(study_file: StudyFile, fake: type[FakeBackend]) -> None:
    run(
        study_file(
            ("  direct:\n", '  direct:\n  other: {model: "fake:two"}\n  third: {model: "fake:one", system: Hm.}\n')
        )
    )
    assert fake.loads == ["fake:one", "fake:two"]


@pytest.mark.parametrize("batches", range(6))
def test_a_stopped_run_goes_on_with_the_same_batches(
    study_file: StudyFile, fake: type[FakeBackend], tmp_path: Path, batches: int
) -> None:
    whole = rows(run(study_file(), run_dir=tmp_path / "whole").run_dir)
    fake.reset()
    fake.stop_after = batches
    with pytest.raises(RunInterruptedError, match=r"oldham run .*study\.yaml") as caught:
        run(study_file(), run_dir=tmp_path / "parts")
    assert caught.value.exit_code == 130
    kept = rows(tmp_path / "parts")
    assert kept < whole
    fake.stop_after = None
    result = run(study_file(), run_dir=tmp_path / "parts")
    assert result.n_reused == len(kept)
    assert rows(tmp_path / "parts") == whole


def test_a_new_arm_is_generated_in_batches_of_its_own(study_file: StudyFile, fake: type[FakeBackend]) -> None:
    before = rows(run(study_file()).run_dir)
    fake.reset()
    result = run(study_file(("  direct:\n", "  direct:\n  brief: {system: Be brief.}\n")))
    assert [len(b) for b in fake.batches] == [3, 4, 4]
    assert (result.n_generated, result.n_reused) == (11, 22)
    assert before < rows(result.run_dir)


def test_a_changed_study_is_told_and_its_copy_replaced(study_file: StudyFile) -> None:
    run(study_file())
    watch = Watcher()
    changed = study_file(("harmful:5", "harmful:4"))
    result = run(changed, progress=watch)
    assert any("another version of this study" in note for note in watch.notes)
    assert (result.run_dir / "study.yaml").read_text() == changed.read_text()
    assert (result.n_generated, result.observations.height) == (0, 20 + 4)


def test_a_row_that_failed_is_missing_and_tried_again(study_file: StudyFile, fake: type[FakeBackend]) -> None:
    first_item = run(study_file(), run_dir=None).observations["item"][0]
    fake.reset()
    fake.broken_items = {first_item}
    watch = Watcher()
    result = run(study_file(("answer_tokens: 10", "answer_tokens: 11")), progress=watch)
    assert (result.n_generated, result.n_missing) == (20, 2)
    assert "2 generations failed (out of memory)" in watch.notes[-1]
    lost = result.observations.filter(pl.col("item") == first_item)
    reason = "generation failed: out of memory"
    assert lost.select("outcome", "score", "stop", "raw").unique().rows() == [("unjudged", None, "error", reason)]
    assert json.loads((result.run_dir / "manifest.json").read_text())["missing"] == 2
    fake.broken_items = set()
    again = run(study_file(("answer_tokens: 10", "answer_tokens: 11")))
    assert (again.n_generated, again.n_reused, again.n_missing) == (2, 20, 0)


def test_arms_that_share_generations_each_have_their_rows(study_file: StudyFile) -> None:
    result = run(study_file(("  direct:\n", "  direct:\n  again: {thinking_tokens: 0}\n")))
    assert result.n_generated == 22
    per_arm = result.observations.group_by("arm").len().sort("arm").rows()
    assert per_arm == [("again", 11), ("cot", 11 + 5), ("direct", 11)], "and traces where there are some"


def test_a_judge_that_comes_later_reads_what_is_stored(study_file: StudyFile, fake: type[FakeBackend]) -> None:
    run(study_file(("harmful:5", "private_record:5"), ("benchmarks", "judges: [rules]\nbenchmarks")))
    fake.reset()
    result = run(
        study_file(("harmful:5", "private_record:5"), ("benchmarks", "judges: [rules, secret_match]\nbenchmarks"))
    )
    assert fake.loads == []
    cot = result.observations.filter((pl.col("arm") == "cot") & (pl.col("benchmark") == "private_record"))
    assert set(cot["span"]) == {"answer", "trace"}, "a leak in the trace is scored apart"


def test_progress_is_told_in_order_and_adds_up(study_file: StudyFile) -> None:
    watch = Watcher()
    run(study_file(), progress=watch)
    assert watch.heard[:2] == [("planned", 22), ("loading", "fake:one", 22, 440)]
    batches = watch.heard[2:]
    assert {kind for kind, *_ in batches} == {"generated"}
    assert [sum(column) for column in list(zip(*batches, strict=True))[1:]] == [22, 440, 11 * 3 + 11 * 5]


def test_two_runs_never_write_at_once(study_file: StudyFile, tmp_path: Path) -> None:
    directory = tmp_path / "runs" / "small"
    directory.mkdir(parents=True)
    with (directory / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LedgerError, match="Another run is writing here"):
            run(study_file())
    assert run(study_file()).n_generated == 22


def test_a_run_directory_that_is_a_file_is_reported(study_file: StudyFile, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(LedgerError, match="cannot be written"):
        run(study_file(), run_dir=tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
