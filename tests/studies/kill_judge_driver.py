"""Kill real judging: `python kill_judge_driver.py DIRECTORY TIMES` leaves `whole` and `killed-0` ... beside each other.

A run is made and copied, another process judges the copy with a slow model and is killed, and the same call goes on.
It prints, as JSON, how many of the judge's verdicts were stored when each process died.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path

import judge_double

import oldham.studies.observations  # noqa: F401 (loads polars once, before the forks)
from oldham.backends.scripted import ScriptedBackend
from oldham.studies.judging import JudgeSpec, make_judge
from oldham.studies.rejudge import rejudge_study
from oldham.studies.rejudge_session import JudgeOptions
from oldham.studies.run import run
from oldham.studies.spec import Study

SPEC = JudgeSpec.parse("echo_rubric@scripted:slow")
STUDY = {
    "name": "killed",
    "baseline": "direct",
    "arms": {"direct": {"model": "scripted:mixed"}, "cot": {"model": "scripted:mixed", "strategy": "zero_shot_cot"}},
    "benchmarks": ["harmful:20"],
}


def start(run_dir: Path) -> int:
    """Judge in a process of its own; polars has threads once it was used, so that this process never uses it."""
    process = os.fork()
    if process == 0:
        if run_dir.is_dir():
            rejudge_study(run_dir, [SPEC], options=JudgeOptions(preflight=False))
        else:
            run(Study.model_validate(STUDY), run_dir=run_dir)
        os._exit(0)
    return process


def finish(process: int) -> None:
    if os.waitpid(process, 0)[1] != 0:
        raise SystemExit("judging did not finish")


def stored(run_dir: Path) -> int:
    with sqlite3.connect(run_dir / "ledger.sqlite") as ledger:
        query = "SELECT count(*) FROM verdicts WHERE judge = ?"
        return int(ledger.execute(query, (make_judge(SPEC).fingerprint,)).fetchone()[0])


def main(directory: Path, times: int) -> None:
    judge_double.register()
    ScriptedBackend.batch_size = property(lambda self: 2)  # type: ignore[assignment]  # ten batches to be killed in
    made = directory / "made"
    finish(start(made))
    shutil.copytree(made, directory / "whole")
    finish(start(directory / "whole"))
    whole = stored(directory / "whole")
    counts = []
    for index in range(times):
        run_dir = directory / f"killed-{index}"
        shutil.copytree(made, run_dir)
        process = start(run_dir)
        # At its own pace: once so many verdicts are there, while the next batch is asked.
        while stored(run_dir) < whole * index // times:
            time.sleep(0.002)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        counts.append(stored(run_dir))
        finish(start(run_dir))
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
