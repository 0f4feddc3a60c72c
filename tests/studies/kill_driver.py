"""Kill real runs: `python kill_driver.py STUDY DIRECTORY TIMES` leaves `whole` and `killed-0` ... beside each other.

Each run is a process of its own, forked so that a kill falls into the run and not the imports. Kills follow a run's
own pace, so that a slow machine moves none of them out of it. It prints, as JSON, how many generations each killed run
had stored when it died.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fake_backend
from fake_backend import FakeBackend

import oldham.studies.observations  # noqa: F401 (loads polars once, before the forks)
from oldham.studies.run import run

if TYPE_CHECKING:
    from collections.abc import Callable


def start(study: Path, run_dir: Path, bell: int | None) -> int:
    process = os.fork()
    if process == 0:
        FakeBackend.bell = bell
        run(study, run_dir=run_dir)
        os._exit(0)
    return process


def finish(process: int) -> None:
    if os.waitpid(process, 0)[1] != 0:
        raise SystemExit("a run did not finish")


def stored(run_dir: Path) -> int:
    try:
        with sqlite3.connect(run_dir / "ledger.sqlite") as ledger:
            return int(ledger.execute("SELECT count(*) FROM generations").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # killed before there was a ledger


def kill_at_batch(process: int, listen: int, batch: int, delay: float) -> None:
    """Kill a run some time after a batch began: while it generates, stores, judges or writes."""
    while batch > 0 and (heard := os.read(listen, batch)):
        batch -= len(heard)
    time.sleep(delay)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


@dataclass(frozen=True)
class Pace:
    """When runs are killed, spread over their course."""

    batches: int
    """Of a whole run: kills come before the first one, after the last, and evenly between."""
    delay: float
    """Seconds that a kill comes after its batch began, at most."""


def main(begin: Callable[[Path, Path, int | None], int], pace: Pace) -> None:
    """Leave a whole run and killed ones that went on, as the command line says.

    Args:
        begin: Starts a run of a study in a directory, with a bell that rings at every batch, and returns its process.
        pace: When to kill.
    """
    study, directory, times = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    fake_backend.register()
    FakeBackend.seconds = 0.01
    finish(begin(study, directory / "whole", None))
    moments = random.Random(7)
    counts = []
    for index in range(times):
        run_dir = directory / f"killed-{index}"
        listen, bell = os.pipe()
        process = begin(study, run_dir, bell)
        os.close(bell)
        kill_at_batch(process, listen, index * pace.batches // (times - 1), moments.uniform(0.0, pace.delay))
        os.close(listen)
        counts.append(stored(run_dir))
        finish(begin(study, run_dir, None))
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(start, Pace(batches=20, delay=0.02))
