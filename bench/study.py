"""What does a study cost beyond the tokens it generates, and how many tokens does sharing save?

Runs a study of four arms that share their items, eight draws each, and then feeds the same rows to the bare engine, in
turns. Prints the time of both, and the tokens that went through the model against those that each row alone would take.

    python bench/study.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from timing import Timing, machine

if TYPE_CHECKING:
    from collections.abc import Iterator

STUDY = """
name: bench
baseline: direct
defaults: {model: smollm2, temperature: 1.0, answer_tokens: 48}
arms:
  direct: {strategy: direct}
  direct_reminder: {strategy: direct, safety: self_reminder}
  cot: {strategy: zero_shot_cot, thinking_tokens: 48, answer_tokens: 24}
  plan: {strategy: plan_and_solve, thinking_tokens: 48, answer_tokens: 24}
benchmarks: [arithmetic:6, harmful:6]
draws: 8
"""


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """Keep the rows that a run gives to the engine, what it computed, and how long it took all in all."""
    from oldham.backends.transformers import TransformersBackend
    from oldham.engine.batching import Batcher

    seen: dict[str, Any] = {"rows": [], "generating": 0.0}
    run, answer = Batcher.run, TransformersBackend.answer

    def watched_run(self: Any, rows: Any, finished: Any) -> None:
        rows = list(rows)
        seen["rows"] += rows
        seen["batcher"] = self
        run(self, rows, finished)

    def watched_answer(self: Any, requests: Any, done: Any) -> None:
        started = time.perf_counter()
        answer(self, requests, done)
        seen["generating"] += time.perf_counter() - started

    Batcher.run, TransformersBackend.answer = watched_run, watched_answer  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Batcher.run, TransformersBackend.answer = run, answer  # type: ignore[method-assign]


def measure(repeats: int = 3) -> dict[str, Any]:
    """Time studies and the bare engine in turns.

    Returns:
        What it ran on, seconds of generation inside the study and bare, seconds of the whole run, and token counts.
    """
    from oldham.engine.batching import Batcher
    from oldham.studies.run import run
    from oldham.studies.spec import Study

    times: dict[str, list[float]] = {"study": [], "bare": [], "whole": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(STUDY)
        for n in range(repeats):
            with watched() as seen:
                started = time.perf_counter()
                run(Study.load(path), run_dir=Path(folder) / str(n), preflight=False)
                times["whole"].append(time.perf_counter() - started)
            times["study"].append(seen["generating"])
            rows, batcher = seen["rows"], seen["batcher"]
            for row in rows:
                row.restart()
            bare = Batcher(batcher.model, batcher.options)
            started = time.perf_counter()
            bare.run(rows, lambda row: [])
            times["bare"].append(time.perf_counter() - started)
    naive = sum(len(row.prompt) + len(row.turn.ids) for row in rows)
    counts = bare.counts
    return {
        "machine": machine(),
        "rows": len(rows),
        "seconds": times,
        "tokens": {"naive": naive, "computed": counts.read + counts.drawn},
        "read": counts.read,
        "drawn": counts.drawn,
    }


def show(result: dict[str, Any]) -> str:
    """Return what was measured as text."""
    times = {name: Timing.of(taken) for name, taken in result["seconds"].items()}
    tokens = result["tokens"]
    over = [a / b - 1 for a, b in zip(result["seconds"]["study"], result["seconds"]["bare"], strict=True)]
    return "\n".join(
        [
            f"{result['rows']} rows: 4 arms, 12 items, 8 draws",
            f"  {'generation inside the study':46}{times['study']} s",
            f"  {'the same rows, bare engine':46}{times['bare']} s",
            f"  {'the whole run, with planning, loading, judging':46}{times['whole']} s",
            f"  the study's overhead over bare generation: {100 * median(over):.1f}% "
            f"({100 * min(over):.1f}% to {100 * max(over):.1f}%)",
            f"  tokens computed: {tokens['computed']:,} ({result['read']:,} read, {result['drawn']:,} drawn); alone, "
            f"would take {tokens['naive']:,}, {tokens['naive'] / tokens['computed']:.2f} times as many",
            f"  of these, prompts and forced text: {tokens['naive'] - result['drawn']:,} alone, "
            f"{(tokens['naive'] - result['drawn']) / result['read']:.1f} times as many",
        ]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    print(show(measure(parser.parse_args().repeats)))


if __name__ == "__main__":
    main()
