"""Kill runs that stop by themselves: `python kill_rounds_driver.py STUDY DIRECTORY TIMES`. See `kill_driver`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fake_backend import FakeBackend
from kill_driver import Pace, main

import oldham.studies.observations  # noqa: F401 (loads polars once, before the forks)
from oldham.coupling import CouplingOptions, Gate
from oldham.coupling.stopping import GateUmpire
from oldham.studies.rounds import Rounds
from oldham.studies.run import run
from oldham.studies.spec import Study

if TYPE_CHECKING:
    from pathlib import Path


def gated(gate: Gate, study: Path) -> Rounds:
    return Rounds(GateUmpire(gate, baseline=Study.load(study).baseline, options=CouplingOptions(cards={})))


def start(study: Path, run_dir: Path, bell: int | None) -> int:
    process = os.fork()
    if process == 0:
        FakeBackend.bell = bell
        run(study, run_dir=run_dir, rounds=gated(Gate(margin=0.3), study))
        os._exit(0)
    return process


if __name__ == "__main__":
    main(start, Pace(batches=40, delay=0.05))
