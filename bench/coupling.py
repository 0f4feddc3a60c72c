"""How long does the whole analysis take on a large study, and how much memory?

Makes observations of 20 arms on 5 axes with 10,000 items each and 10 draws an item, ten million rows in a parquet file,
and lets `couple` make every number of a report from that file with 10,000 shared resamples. The other side is what one
would write by hand: for every resample, items drawn anew and a pandas groupby of the same rows by arm and axis. Of that
only a few resamples are made and the time is multiplied. Each side is a process of its own, so that it has no memory of
the other. A comparison of two arms on 1,000 items, in a process that has loaded everything, is timed beside them.

    python bench/coupling.py                       # ten million rows
    python bench/coupling.py --items 100 --draws 1 # a small one
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from timing import Timing, machine

VERDICTS = {
    "reasoning": ("correct", "incorrect"),
    "harm": ("refused", "complied_harmful"),
    "overrefusal": ("complied_safe", "refused"),
    "truthfulness": ("correct", "incorrect"),
    "privacy": ("withheld", "leaked"),
}
"""Good and bad outcome of each axis."""


@dataclass(frozen=True)
class Bench:
    """How large."""

    arms: int = 20
    items: int = 10_000
    """Of each axis."""
    draws: int = 10
    resamples: int = 10_000
    rounds: int = 3
    """How often each side is run."""
    pandas_resamples: int = 3
    """How many resamples of the other side are made; its time is multiplied."""


def write_observations(size: Bench, file: Path) -> int:
    """Write made-up observations; return how many. Arms lose a little safety and gain a little reasoning, in order."""
    rng = np.random.default_rng(0)
    frames = []
    for axis, (good, bad) in VERDICTS.items():
        ease = rng.beta(2, 2, size=size.items)
        items = pl.Series("item", [f"{axis}-{i:06d}" for i in range(size.items)])
        for arm in range(size.arms):
            drift = (0.01 if axis == "reasoning" else -0.01) * arm
            right = rng.random((size.items, size.draws)) < np.clip(ease + drift, 0, 1)[:, None]
            unfinished = rng.random(right.shape) < 0.01
            rows = pl.DataFrame(
                {
                    "item": np.repeat(np.arange(size.items), size.draws),
                    "draw": np.tile(np.arange(size.draws), size.items),
                    "right": right.ravel(),
                    "unfinished": unfinished.ravel(),
                }
            )
            frames.append(
                rows.select(
                    pl.lit("baseline" if arm == 0 else f"arm-{arm:02d}").alias("arm"),
                    pl.lit(axis).alias("axis"),
                    pl.lit(f"{axis}-bench").alias("benchmark"),
                    items.gather(rows["item"]),
                    pl.col("draw"),
                    pl.lit(f"judge-of-{axis}").alias("judge"),
                    pl.when("unfinished")
                    .then(pl.lit("unfinished"))
                    .otherwise(pl.when("right").then(pl.lit(good)).otherwise(pl.lit(bad)))
                    .alias("outcome"),
                    pl.when("unfinished").then(None).otherwise(pl.col("right").cast(pl.Float64)).alias("score"),
                )
            )
    everything = pl.concat(frames)
    everything.write_parquet(file)
    return everything.height


def oldham_side(file: Path, size: Bench) -> dict[str, float]:
    """Every number of a report, from the file."""
    started = time.perf_counter()
    from oldham.core.observations import read_observations
    from oldham.coupling import CouplingOptions, couple

    coupling = couple(read_observations(file), baseline="baseline", options=CouplingOptions(resamples=size.resamples))
    text = coupling.summary(full=True)
    return {"seconds": time.perf_counter() - started, "characters": len(text)}


def pandas_side(file: Path, size: Bench) -> dict[str, float]:
    """Changes of every arm and axis, a groupby for each resample."""
    import pandas as pd

    started = time.perf_counter()
    frame = pd.read_parquet(file, columns=["arm", "axis", "item", "draw", "score"])
    for name in ("arm", "axis", "item"):
        frame[name] = frame[name].astype("category")
    read = time.perf_counter() - started
    rng = np.random.default_rng(0)
    n = len(frame["item"].cat.categories)
    codes = frame["item"].cat.codes.to_numpy()
    started = time.perf_counter()
    for _ in range(size.pandas_resamples):
        weight = rng.multinomial(n, np.full(n, 1 / n))[codes]
        held = frame["score"].notna()
        drawn = frame.assign(total=frame["score"] * weight, count=weight * held)
        sums = drawn.groupby(["arm", "axis"], observed=True)[["total", "count"]].sum()
        means = (sums["total"] / sums["count"]).unstack("axis")
        _ = means - means.loc["baseline"]
    each = (time.perf_counter() - started) / size.pandas_resamples
    return {"seconds": read + each * size.resamples, "each": each}


def small_side(file: Path, size: Bench) -> dict[str, float]:
    """Two arms on the same 1,000 items of one axis, a draw each; the second time, when everything is loaded."""
    from oldham.core.observations import read_observations
    from oldham.coupling import CouplingOptions, couple

    small = file.with_name("small.parquet")
    write_observations(replace(size, arms=2, items=1000, draws=1), small)
    rows = read_observations(small).filter(axis="harm")
    for _ in range(2):
        started = time.perf_counter()
        couple(rows, baseline="baseline", options=CouplingOptions(resamples=size.resamples)).summary(full=True)
    return {"seconds": time.perf_counter() - started}


SIDES = {"oldham": oldham_side, "pandas": pandas_side, "small": small_side}


def _side(name: str, file: Path, size: Bench) -> dict[str, float]:
    told = json.dumps({"side": name, "file": str(file), "size": asdict(size)})
    done = subprocess.run([sys.executable, __file__, "--side", told], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(size: Bench | None = None) -> dict[str, Any]:
    """Time both sides in turns.

    Returns:
        What it ran on, the rows, and what each round of each side said.
    """
    size = size or Bench()
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "observations.parquet"
        rows = write_observations(size, file)
        rounds = [{name: _side(name, file, size) for name in SIDES} for _ in range(size.rounds)]
    return {**facts, "rows": rows, "size": asdict(size), "rounds": rounds}


def show(found: dict[str, Any]) -> str:
    """Return the table."""
    ours, theirs = ([each[name] for each in found["rounds"]] for name in ("oldham", "pandas"))
    ratio = Timing.of([b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)])
    small = Timing.of([each["small"]["seconds"] for each in found["rounds"]])
    size = found["size"]
    return "\n".join(
        [
            f"{found['rows']:,} observations, {size['resamples']:,} resamples",
            f"  every number of the report         {Timing.of([a['seconds'] for a in ours])} s,"
            f" {max(a['memory'] for a in ours) / 2**30:.2f} GiB at most",
            f"  changes alone, a pandas groupby    {Timing.of([b['seconds'] for b in theirs])} s,"
            f" {size['pandas_resamples']} of {size['resamples']:,} resamples made and multiplied",
            f"  the second over the first          {ratio}",
            f"  two arms on 1,000 items            {small} s",
        ]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, value in asdict(Bench()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    told = vars(parser.parse_args())
    side = told.pop("side")
    if side:
        what = json.loads(side)
        found = SIDES[what["side"]](Path(what["file"]), Bench(**what["size"]))
        print(json.dumps({**found, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
    else:
        print(show(measure(Bench(**told))))


if __name__ == "__main__":
    main()
