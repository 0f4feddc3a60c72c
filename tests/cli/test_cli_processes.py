from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from oldham.core.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    StudyFile = Callable[..., Path]

pytestmark = pytest.mark.thorough

OLDHAM = str(Path(sys.executable).with_name("oldham"))


def command_line(*arguments: str) -> str:
    return f"""import sys
from oldham.cli import main
sys.argv = ["oldham", *{arguments}]
try:
    main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    "does",
    [
        "import oldham",
        "import oldham; oldham.Study, oldham.plan",
        command_line("--help"),
        command_line("list", "backends"),
    ],
)
def test_what_needs_no_model_loads_neither_torch_nor_polars(does: str) -> None:
    heavy = ["torch", "transformers", "polars", "scipy", "altair"]
    code = f"{does}\nimport sys, json; print('\\n' + json.dumps([m for m in {heavy} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def stored(run_dir: Path) -> int:
    with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
        ledger.check()
        return len(ledger.generation_ids())


@pytest.mark.sleeps
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(
    study_file: StudyFile, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    study_file(("scripted:mixed", "scripted:slow"), ("arithmetic:8, harmful:8", "arithmetic:100, harmful:100"))
    command = [OLDHAM, "run", "study.yaml", "--no-report"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not _some_rows(tmp_path / "runs" / "small"):
            time.sleep(0.02)
        process.send_signal(sent)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert err.strip().splitlines()[-1] == (
        "oldham: runs/small: Stopped; every finished batch is stored. To go on, give the same command again: "
        "oldham run study.yaml"
    )
    assert out == ""
    assert 0 < stored(tmp_path / "runs" / "small") < 400


def _some_rows(run_dir: Path) -> bool:
    try:
        return stored(run_dir) > 0
    except Exception:
        return False  # not there yet


def test_a_full_disk_is_one_sentence_and_loses_nothing(study_file: StudyFile, tmp_path: Path) -> None:
    study_file()
    assert subprocess.run([OLDHAM, "run", "study.yaml", "--no-report"], check=True, capture_output=True)
    before = stored(tmp_path / "runs" / "small")
    study_file(("arithmetic:8, harmful:8", "arithmetic:100, harmful:100"))
    size = (tmp_path / "runs" / "small" / "ledger.sqlite").stat().st_size

    def no_room() -> None:
        # A write beyond the limit fails as on a full disk; Python ignores the signal that would come with it.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = subprocess.run(
        [OLDHAM, "run", "study.yaml", "--no-report"],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=no_room,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "The disk is full" in done.stderr.splitlines()[-1]
    assert before <= stored(tmp_path / "runs" / "small") < 400
    subprocess.run([OLDHAM, "run", "study.yaml", "--no-report"], check=True, capture_output=True)
    assert stored(tmp_path / "runs" / "small") == 400


def test_the_package_is_a_command_too() -> None:
    command = [sys.executable, "-m", "oldham", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("oldham ")
