"""Runs that ask in rounds and stop by themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from oldham.core.errors import RunInterruptedError
from oldham.core.ledger import Ledger
from oldham.core.rounds import Look
from oldham.coupling import CouplingOptions, Gate
from oldham.coupling.stopping import GateUmpire
from oldham.studies.plan import plan
from oldham.studies.rounds import Rounds, Schedule
from oldham.studies.run import run
from oldham.studies.spec import Study

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set

    from fake_backend import FakeBackend

    from oldham.core.rounds import Cell, Planned
    from oldham.studies.result import RunResult

    StudyFile = Callable[..., Path]

THREE = ("  cot:", "  brief: {system: Be brief.}\n  cot:")
SIZES = ("arithmetic:6, harmful:5", "arithmetic:60, harmful:30, benign:10")


class Script:
    """Is done with arms where it is told to."""

    def __init__(self, at: Mapping[tuple[str, str], int]) -> None:
        self.at = at
        self.read: list[tuple[int, dict[str, int]]] = []

    def check(self, axes: Sequence[str]) -> None:
        self.axes = list(axes)

    def settle(
        self, rows: pl.DataFrame, *, look: Look, planned: Mapping[str, Planned], running: Set[Cell]
    ) -> Set[Cell]:
        counts = rows.group_by("arm", "axis").agg(pl.col("item").n_unique()).rows()
        self.read.append((look.number, {f"{arm}/{axis}": n for arm, axis, n in sorted(counts)}))
        return {cell for cell in running if self.at.get(cell, 99) <= look.number}

    def facts(self) -> dict[str, Any]:
        return {"claims": len(self.read)}

    def told(self) -> list[str]:
        return ["Done."]


def ledger_rows(run_dir: Path) -> set[str]:
    with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
        generations = {g.model_dump_json(exclude={"seconds"}) for g in ledger.generations()}
        return generations | {v.model_dump_json() for v in ledger.verdicts()}


def decided(run_dir: Path) -> Any:
    return json.loads((run_dir / "manifest.json").read_text())["sequential"]


def gated(gate: Gate, study: Path) -> Rounds:
    return Rounds(GateUmpire(gate, baseline=Study.load(study).baseline, options=CouplingOptions(cards={})))


def until_gate(study: Path, run_dir: Path | None = None, **gate: Any) -> RunResult:
    return run(study, run_dir=run_dir, rounds=gated(Gate(**gate), study))


def test_every_arm_is_asked_the_same_items_in_an_order_that_stays(study_file: StudyFile) -> None:
    work = plan(study_file(SIZES))
    schedule = Schedule(work)
    asked = {
        size: [(p.arm.name, p.item.id) for p in schedule.trials(Look(1, size), schedule.cells)] for size in (20, 40, 60)
    }
    for size, trials in asked.items():
        by_arm = {arm: [item for name, item in trials if name == arm] for arm in ("direct", "cot")}
        assert by_arm["direct"] == by_arm["cot"]
        assert size <= len(by_arm["cot"]) - min(size, 30) - 10 < size + 5, "whole clusters may bring a few more"
    assert set(asked[20]) < set(asked[40]) < set(asked[60])
    in_file = [p.item.id for p in work.trials if p.arm.name == "cot"]
    assert [item for name, item in asked[20] if name == "cot"] != in_file[: len(asked[20]) // 2]
    with_new_arm = Schedule(plan(study_file(SIZES, THREE)))
    assert set(asked[20]) < {(p.arm.name, p.item.id) for p in with_new_arm.trials(Look(1, 20), with_new_arm.cells)}
    other_seed = Schedule(plan(study_file(SIZES, ("baseline: direct\n", "baseline: direct\nseed: 5\n"))))
    assert set(asked[20]) != {(p.arm.name, p.item.id) for p in other_seed.trials(Look(1, 20), other_seed.cells)}


def test_clusters_are_asked_whole(study_file: StudyFile) -> None:
    work = plan(study_file(("harmful:5", "private_record")))
    schedule, sizes = Schedule(work), {}
    for item in work.items["private_record"]:
        sizes[item.cluster] = sizes.get(item.cluster, 0) + 1
    assert schedule.planned["private_record"].largest == max(sizes.values())
    for size in (7, 13, 21):
        seen: dict[str, int] = {}
        for p in schedule.trials(Look(1, size), schedule.cells):
            if p.arm.name == "cot" and p.item.benchmark == "private_record":
                seen[p.item.cluster] = seen.get(p.item.cluster, 0) + 1
        assert seen == {cluster: sizes[cluster] for cluster in seen}


def test_looks_grow_and_end_with_everything() -> None:
    sizes = [look.items for look in Rounds(Script({})).looks(100)]
    assert sizes == [20, 40, 60, 80, 100]
    sizes = [look.items for look in Rounds(Script({}), first=10, growth=2.0).looks(75)]
    assert sizes == [10, 20, 40, 75]


def test_an_arm_that_is_done_is_asked_no_more_and_the_baseline_goes_on_with_the_others(study_file: StudyFile) -> None:
    script = Script({("cot", "harm"): 1, ("cot", "reasoning"): 2, ("cot", "overrefusal"): 2, ("brief", "harm"): 1})
    result = run(study_file(SIZES, THREE), rounds=Rounds(script))
    assert script.axes == ["harm", "overrefusal", "reasoning"]
    numbers, counts = zip(*script.read, strict=True)
    assert numbers == (1, 2, 3)
    last = counts[-1]
    assert last["cot/harm"] == last["direct/harm"] == counts[0]["direct/harm"] < 30
    assert last["cot/reasoning"] == 40
    assert last["brief/reasoning"] == last["direct/reasoning"] == 60
    assert last["brief/overrefusal"] == 10
    assert result.observations.group_by("arm", "axis").agg(pl.col("item").n_unique()).height == 9
    assert result.n_missing == 0
    assert result.n_generated == result.observations.filter(pl.col("span") == "answer").height
    facts = decided(result.run_dir)
    assert facts["planned_generations"] == 300
    assert {(s["arm"], s["axis"], s["look"]) for s in facts["stopped"]} >= {("cot", "harm", 1), ("cot", "reasoning", 2)}
    assert f"{result.n_generated} of the 300 planned generations" in result.summary()
    assert result.summary().endswith("Done.")


def test_a_finished_run_is_not_asked_again_and_decides_the_same(study_file: StudyFile, fake: type[FakeBackend]) -> None:
    first = until_gate(study_file(SIZES, THREE))
    before, loads = decided(first.run_dir), len(fake.loads)
    second = until_gate(study_file(SIZES, THREE))
    assert (second.n_generated, len(fake.loads)) == (0, loads)
    assert decided(second.run_dir) == before
    assert second.observations.equals(first.observations)


@pytest.mark.parametrize("batches", [0, 3, 14, 21, 27])
def test_a_stopped_run_goes_on_to_the_same_rows_and_decisions(
    study_file: StudyFile, fake: type[FakeBackend], tmp_path: Path, batches: int
) -> None:
    study = study_file(SIZES, THREE)
    whole = until_gate(study, tmp_path / "whole", margin=0.3)
    assert len(fake.batches) > 27
    fake.reset()
    fake.stop_after = batches
    with pytest.raises(RunInterruptedError):
        until_gate(study, tmp_path / "parts", margin=0.3)
    fake.stop_after = None
    until_gate(study, tmp_path / "parts", margin=0.3)
    assert ledger_rows(tmp_path / "parts") == ledger_rows(whole.run_dir)
    assert decided(tmp_path / "parts") == decided(whole.run_dir)


def test_an_arm_that_is_done_stays_done_when_its_failures_could_be_tried_again(
    study_file: StudyFile, fake: type[FakeBackend]
) -> None:
    study = study_file(SIZES)
    schedule = Schedule(plan(study))
    first = [p for p in schedule.trials(Look(1, 20), schedule.cells) if p.arm.name == "cot"]
    fake.broken_trials = {p.trial.fingerprint for p in first[:3]}
    script = Script(dict.fromkeys(schedule.cells, 1))
    result = run(study, rounds=Rounds(script))
    assert result.n_missing == 3
    fake.broken_trials = set()
    again = run(study, rounds=Rounds(Script(dict.fromkeys(schedule.cells, 1))))
    assert (again.n_generated, again.n_missing) == (0, 3)
    goes_on = run(study, rounds=Rounds(Script(dict.fromkeys(schedule.cells, 2))))
    assert goes_on.n_missing == 0, "an arm that goes on has its failures tried again"


def test_the_whole_study_can_be_asked_later(study_file: StudyFile) -> None:
    study = study_file(SIZES)
    part = run(study, rounds=Rounds(Script(dict.fromkeys(Schedule(plan(study)).cells, 1))))
    whole = run(study)
    assert whole.n_reused == part.n_generated
    assert whole.n_generated + whole.n_reused == 200
    assert "sequential" not in json.loads((whole.run_dir / "manifest.json").read_text())


@pytest.mark.parametrize("in_rounds", [True, False])
def test_until_a_run_goes_on_to_its_end_its_rows_are_told_as_those_of_a_stopped_one(
    study_file: StudyFile, fake: type[FakeBackend], in_rounds: bool
) -> None:
    study = study_file(SIZES, THREE)
    first = until_gate(study, margin=0.3)
    before, rows = decided(first.run_dir), first.observations.height
    fake.reset()
    fake.stop_after = 1
    with pytest.raises(RunInterruptedError):
        # More is asked, and the run is stopped before it has written any observations.
        run(study, rounds=Rounds(Script({})) if in_rounds else None)
    assert pl.read_parquet(first.run_dir / "observations.parquet").height == rows
    assert decided(first.run_dir) == before
    fake.stop_after = None
    run(study)
    assert "sequential" not in json.loads((first.run_dir / "manifest.json").read_text())


@pytest.mark.thorough
def test_killed_runs_go_on_to_the_rows_and_decisions_of_a_whole_one(study_file: StudyFile, tmp_path: Path) -> None:
    times = 7
    study = study_file(SIZES, THREE)
    driver = Path(__file__).with_name("kill_rounds_driver.py")
    done = subprocess.run(
        [sys.executable, driver, study, tmp_path, str(times)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    whole, facts = ledger_rows(tmp_path / "whole"), decided(tmp_path / "whole")
    for index in range(times):
        assert ledger_rows(tmp_path / f"killed-{index}") == whole
        assert decided(tmp_path / f"killed-{index}") == facts
    counts = json.loads(done.stdout)
    assert len(set(counts)) >= 4, f"the kills fell all over the runs, not {counts}"
