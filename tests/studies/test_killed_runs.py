from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from oldham.core.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.thorough

TIMES = 10


def rows(run_dir: Path) -> set[str]:
    with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
        ledger.check()
        generations = {g.model_dump_json(exclude={"seconds"}) for g in ledger.generations()}
        return generations | {v.model_dump_json() for v in ledger.verdicts()}


def test_ten_killed_runs_go_on_to_the_rows_of_a_whole_one(study_file: Callable[..., Path], tmp_path: Path) -> None:
    study = study_file(("arithmetic:6, harmful:5", "arithmetic:20, harmful:20"))
    driver = Path(__file__).with_name("kill_driver.py")
    done = subprocess.run(
        [sys.executable, driver, study, tmp_path, str(TIMES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    whole = rows(tmp_path / "whole")
    assert len(whole) == 2 * 80 + 20, "a generation and a verdict for each trial, and one for each trace on harm"
    for index in range(TIMES):
        assert rows(tmp_path / f"killed-{index}") == whole
    counts = json.loads(done.stdout)
    assert len({n for n in counts if 0 < n < 80}) >= 3, f"the kills fell in the middle of the runs, not {counts}"
