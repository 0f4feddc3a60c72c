"""What does a sweep over many doses of one base cost, when the base is loaded once and its adapters are switched?

Goes through the embedded model and every adapter that comes with it, round by round. At each model two ways take turns,
so that what else the machine does meets both: a fresh load, as a run without switching would do, and a switch of the
model that is in memory. After every switch all weights and buffers are compared bit by bit with the fresh load's.
Prints, for each model, medians and extremes of wall and processor time, and how much memory beyond the loaded models
each way held at most.

    python bench/adapters.py --rounds 5
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Bench:
    """What to measure."""

    dtype: str = "bfloat16"
    rounds: int = 5
    """How often each model is switched to and loaded."""
    threads: int | None = None
    """Threads of torch; None for its own choice."""


@dataclass
class Cost:
    """What one load or switch cost."""

    wall_s: float
    cpu_s: float
    """Processor time of all threads."""
    memory_mib: float
    """Most memory held beyond what was held before, files not counted; NaN where the system does not say."""


def measure(options: Bench | None = None) -> dict[str, Any]:
    """Time both ways.

    Returns:
        The options, what they ran on, and for each model the costs of every load and switch, the first switch of all
        (which also compares what is in memory with the files) apart, the ratio of median wall and processor times, and
        whether the weights were equal bit by bit each time.
    """
    import torch

    from oldham.backends.loading import adapter_switch, load_model, switch_adapters
    from oldham.backends.weights import aliases, locate

    options = options or Bench()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    machine = {
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }
    names = aliases()
    files = {name: locate(name) for name in names}
    model = load_model(files[names[0]], options.dtype)
    switch = adapter_switch(model, files[names[0]])
    load_model(files[names[-1]], options.dtype)  # what is done once a process
    loads: dict[str, list[Cost]] = {name: [] for name in names}
    switches: dict[str, list[Cost]] = {name: [] for name in names}
    equal = dict.fromkeys(names, True)
    first: Cost | None = None
    for name in [*names[1:], *(names * options.rounds)]:
        fresh, load_cost = _cost(lambda name=name: load_model(files[name], options.dtype))
        done, switch_cost = _cost(lambda name=name: switch_adapters(switch, files[name]))
        assert done, name
        equal[name] &= _same_bits(model, fresh)
        if first is None:
            first = switch_cost
            continue
        loads[name].append(load_cost)
        switches[name].append(switch_cost)
    models = {
        name: {
            "equal_bits": equal[name],
            "load": [asdict(cost) for cost in loads[name]],
            "switch": [asdict(cost) for cost in switches[name]],
            "wall_ratio": _median(loads[name], "wall_s") / _median(switches[name], "wall_s"),
            "cpu_ratio": _median(loads[name], "cpu_s") / _median(switches[name], "cpu_s"),
        }
        for name in names
    }
    machine["load_after"] = os.getloadavg()[0]
    return {"options": asdict(options), "machine": machine, "first_switch": asdict(first), "models": models}


def _cost(work: Callable[[], Any]) -> tuple[Any, Cost]:
    gc.collect()
    before, most, ended = _held(), [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            most[0] = max(most[0], _held() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    cost = Cost(time.perf_counter() - wall, time.process_time() - cpu, 0.0)
    ended.set()
    watcher.join()
    cost.memory_mib = max(most[0], _held() - before)
    return result, cost


def _held() -> float:
    """Return the MiB of memory of this process that are no file's."""
    if not STATUS.exists():
        return float("nan")
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def _same_bits(one: Any, other: Any) -> bool:
    import torch

    def tensors(model: Any) -> dict[str, Any]:
        return dict(itertools.chain(model.named_parameters(remove_duplicate=False), model.named_buffers()))

    mine, theirs = tensors(one), tensors(other)
    return mine.keys() == theirs.keys() and all(
        mine[name].dtype == value.dtype
        and torch.equal(mine[name].reshape(-1).view(torch.uint8), value.reshape(-1).view(torch.uint8))
        for name, value in theirs.items()
    )


def _median(costs: list[Cost], field: str) -> float:
    return median(getattr(cost, field) for cost in costs)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _told(costs: list[dict[str, float]], field: str) -> str:
    values = [cost[field] for cost in costs]
    return f"{median(values):6.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Print a block for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=Bench.rounds)
    parser.add_argument("--dtype", default=Bench.dtype, choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path, help="where to write all numbers")
    given = parser.parse_args()
    found = measure(Bench(given.dtype, given.rounds, given.threads))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    machine, first = found["machine"], found["first_switch"]
    print(f"{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}, {given.dtype}")
    print(f"load average {machine['load_before']:.1f} before, {machine['load_after']:.1f} after")
    print(f"first switch: {first['wall_s']:.2f} s, {first['cpu_s']:.2f} s of the processor")
    for name, model in found["models"].items():
        print(f"\n{name}: {'equal' if model['equal_bits'] else 'NOT EQUAL'} bit by bit, n={len(model['load'])}")
        for way in ("load", "switch"):
            costs = model[way]
            memory = max(cost["memory_mib"] for cost in costs)
            print(
                f"  {way:6s} wall s {_told(costs, 'wall_s')}  cpu s {_told(costs, 'cpu_s')}  at most {memory:.0f} MiB"
            )
        print(f"  ratio  wall {model['wall_ratio']:.1f}, processor {model['cpu_ratio']:.1f}")


if __name__ == "__main__":
    main()
