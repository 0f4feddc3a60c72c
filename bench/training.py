"""What does a training step cost here, over the same step of TRL alone?

Trains the embedded model's aligned adapter for a few steps, in turns: as `oldham train` does, with its callback that
keeps doses and reports, and as TRL's trainer does by itself on the same rows with the same arguments. For `grpo`, TRL
alone also draws its samples by itself. Both sides are a process of their own, so that neither finds the other's memory.
Prints seconds a step, without the first, and the ratio of each round's medians.

    python bench/training.py --rounds 3 --steps 6
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from timing import Timing, machine

if TYPE_CHECKING:
    from oldham.training.config import TrainingSettings

METHODS = ("sft", "grpo")
SIDES = ("oldham", "trl")
SUMS = Path(__file__).parent.parent / "studies" / "train" / "sums.jsonl"


@dataclass(frozen=True)
class Bench:
    """What to measure."""

    rounds: int = 3
    """How often each side is run."""
    steps: int = 6
    """Optimiser steps a run; the first is left out."""
    threads: int | None = None
    """Threads of torch; None for its own choice."""


def settings_of(method: str, steps: int) -> TrainingSettings:
    """Return the run both sides train."""
    from oldham.training.methods import METHODS as KINDS

    told: dict[str, Any] = {"name": "bench", "model": "smollm2-aligned", "steps": steps, "learning_rate": 1e-4}
    if method == "sft":
        told |= {"data": [{"source": "arithmetic_traces", "n": 200}], "batch_size": 8, "max_length": 256}
    else:
        data = [{"file": str(SUMS), "n": 100}]
        told |= {"data": data, "batch_size": 16, "samples": 8, "sample_tokens": 32}
    return KINDS[method].model_validate(told)


def run_side(method: str, side: str, steps: int) -> dict[str, Any]:
    """Train on one side; return the seconds of each step, and of what was sampled."""
    from transformers import TrainerCallback

    from oldham.training.examples import build_examples
    from oldham.training.trainers import make_trainer
    from oldham.training.trainers.doses import DoseCallback
    from oldham.training.trainers.memory import keep_freed_memory

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    settings = settings_of(method, steps)
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        examples = build_examples(settings)
        ours = DoseCallback(settings, run_dir, examples, lambda _: None)
        callbacks = [ours] if side == "oldham" else []
        trainer, tokenizer = make_trainer(settings, run_dir, examples, callbacks)
        if side == "oldham":
            keep_freed_memory()
            ours.attach(trainer, tokenizer)
        elif method == "grpo":
            trainer = _alone(trainer, tokenizer)
        # Last, so that what the callbacks before it do in a step is counted in it.
        trainer.add_callback(Clock())
        trainer.train()
        rows = [row for row in trainer.state.log_history if "completions/mean_length" in row]
    seconds = [after - before for before, after in zip(ends, ends[1:], strict=False)]
    length = rows[-1]["completions/mean_length"] if rows else None
    return {"seconds": seconds, "mean_length": length, "threads": _threads()}


def _alone(made: Any, tokenizer: Any) -> Any:
    """Return TRL's own trainer of what another one was to train."""
    from trl import GRPOTrainer

    return GRPOTrainer(
        model=made.model,
        reward_funcs=list(made.reward_funcs),
        args=made.args,
        train_dataset=made.train_dataset,
        processing_class=tokenizer,
    )


def _threads() -> int:
    import torch

    return int(torch.get_num_threads())


def measure(options: Bench | None = None) -> dict[str, Any]:
    """Time both sides in turns.

    Returns:
        What it ran on, and for each method each side's steps, round by round.
    """
    options = options or Bench()
    facts = machine()
    where = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    if options.threads is not None:
        where["OMP_NUM_THREADS"] = str(options.threads)
    found: dict[str, dict[str, list[Any]]] = {method: {side: [] for side in SIDES} for method in METHODS}
    for turn in range(options.rounds):
        for method in METHODS:
            for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
                command = [sys.executable, __file__, "--side", side, "--method", method, "--steps", str(options.steps)]
                told = subprocess.run(command, capture_output=True, text=True, env=where, check=False)
                if told.returncode:
                    raise SystemExit(told.stderr)
                found[method][side].append(json.loads(told.stdout.strip().splitlines()[-1]))
    facts["threads"] = found["sft"]["oldham"][0]["threads"]
    facts["load_after"] = os.getloadavg()[0]
    return {"machine": facts, "methods": found}


def show(result: dict[str, Any]) -> str:
    """Return what was measured as text."""
    facts = result["machine"]
    lines = [
        f"{facts['cpu']}, {facts['threads']} threads, torch {facts['torch']}",
        f"load average {facts['load_before']:.1f} before, {facts['load_after']:.1f} after",
    ]
    for method, sides in result["methods"].items():
        medians = {side: [median(run["seconds"]) for run in runs] for side, runs in sides.items()}
        ratio = Timing.of([ours / theirs for ours, theirs in zip(*(medians[side] for side in SIDES), strict=True)])
        lines.append(f"{method}: a step takes {ratio} times that of TRL alone")
        for side, runs in sides.items():
            length = runs[-1]["mean_length"]
            told = "" if length is None else f", samples of {length:.0f} tokens"
            lines.append(f"  {side:6} s a step {Timing.of([s for run in runs for s in run['seconds']])}{told}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=Bench.rounds)
    parser.add_argument("--steps", type=int, default=Bench.steps)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--method", choices=METHODS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(run_side(given.method, given.side, given.steps)))
        return
    print(show(measure(Bench(given.rounds, given.steps, given.threads))))


if __name__ == "__main__":
    main()
