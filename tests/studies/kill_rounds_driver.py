"""Kill runs that stop by themselves: `python kill_rounds_driver.py STUDY DIRECTORY TIMES`. See `kill_driver`."""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import fake_backend
from fake_backend import FakeBackend
from kill_driver import finish, kill_at_batch, stored

import oldham.studies.observations  # noqa: F401 (loads polars once, before the forks)
from oldham.coupling import CouplingOptions, Gate
from oldham.coupling.stopping import GateUmpire
from oldham.studies.rounds import Rounds
from oldham.studies.run import run
from oldham.studies.spec import Study


def gated(gate: Gate, study: Path) -> Rounds:
    return Rounds(GateUmpire(gate, baseline=Study.load(study).baseline, options=CouplingOptions(cards={})))


def start(study: Path, run_dir: Path, bell: int | None = None) -> int:
    process = os.fork()
    if process == 0:
        FakeBackend.bell = bell
        run(study, run_dir=run_dir, rounds=gated(Gate(margin=0.3), study))
        os._exit(0)
    return process


def main(study: Path, directory: Path, times: int) -> None:
    fake_backend.register()
    FakeBackend.seconds = 0.01
    finish(start(study, directory / "whole"))
    moments = random.Random(7)
    counts = []
    for index in range(times):
        run_dir = directory / f"killed-{index}"
        listen, bell = os.pipe()
        process = start(study, run_dir, bell)
        os.close(bell)
        kill_at_batch(process, listen, index * 40 // (times - 1), moments.uniform(0.0, 0.05))
        os.close(listen)
        counts.append(stored(run_dir))
        finish(start(study, run_dir))
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
