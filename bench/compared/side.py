"""What the sides of a comparison share: the work they are given, counting what they wrote, and what they print.

A side is a script that is run in a process of its own, `python bench/compared/NAME_side.py WORK.json`, and prints one
line of JSON. The work is a JSON object:

    folder      the model's folder
    dtype       `bfloat16`, `float16` or `float32`
    asked       user messages, for a side that renders the chat template itself
    texts       the same as rendered prompts
    ids         the same as tokens
    limits      most tokens to write, for each prompt; all the same for sides that take one limit
    batch       rows at a time, 32 by default
    threads     threads of torch; its own choice by default

What is timed is generation alone: the model is loaded, and two rows were generated before. A side counts what it wrote
from the tokens that the model's `generate` returned, up to and with the first that ends a turn, for text that was
decoded and encoded again can have other tokens. It compares the tokens that it read with the work's as well.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WARM_UP = 2


@dataclass(frozen=True)
class Work:
    """What a side has to do; see above."""

    folder: str
    dtype: str
    asked: list[str]
    texts: list[str]
    ids: list[list[int]]
    limits: list[int]
    batch: int = 32
    threads: int | None = None

    @property
    def limit(self) -> int:
        """The limit that all prompts share."""
        if len(set(self.limits)) != 1:
            raise SystemExit("this side takes one limit for all prompts")
        return self.limits[0]


@dataclass
class Seen:
    """What a model's `generate` read and wrote."""

    read: list[tuple[int, ...]] = field(default_factory=list)
    written: list[list[int]] = field(default_factory=list)
    generating_s: float = 0.0
    """Seconds inside `generate`; the rest is a side's own batching, waiting and decoding."""


def watch(model: Any, ends: Iterable[int]) -> Seen:
    """Note whatever a model generates from now on.

    Args:
        model: A model of transformers; its `generate` is wrapped.
        ends: Tokens that end a turn.
    """
    seen, generate, stop = Seen(), model.generate, frozenset(ends)

    def watched(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        told = generate(*args, **kwargs)
        seen.generating_s += time.perf_counter() - started
        prompt, mask = kwargs["input_ids"], kwargs["attention_mask"]
        sequences = getattr(told, "sequences", told)
        for row, kept, whole in zip(prompt.tolist(), mask.tolist(), sequences.tolist(), strict=True):
            seen.read.append(tuple(token for token, keep in zip(row, kept, strict=True) if keep))
            seen.written.append(until_end(whole[len(row) :], stop))
        return told

    model.generate = watched
    return seen


def until_end(ids: list[int], ends: Iterable[int]) -> list[int]:
    """Cut what was written after the first token that ends a turn."""
    stop = frozenset(ends)
    return ids[: next((place + 1 for place, token in enumerate(ids) if token in stop), len(ids))]


def ending_tokens(model: Any) -> frozenset[int]:
    """Return the tokens at which a model's `generate` ends a turn."""
    end = model.generation_config.eos_token_id
    return frozenset(end if isinstance(end, list) else [] if end is None else [end])


def run(name: str, prepare: Callable[[Work], tuple[Callable[[int], None], Seen]], packages: Iterable[str]) -> None:
    """Be a side: load, warm up, generate, print what it took.

    Args:
        name: Of the side.
        prepare: Loads the model and returns what generates the first so many prompts, and what it is watched by.
        packages: Distributions whose versions are told.
    """
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    work = Work(**given)
    with redirect_stdout(sys.stderr):  # nothing but the result on the standard output
        import torch

        if work.threads:
            torch.set_num_threads(work.threads)
        generate, seen = prepare(work)
        generate(WARM_UP)
        seen.read.clear()
        seen.written.clear()
        seen.generating_s = 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        generate(len(work.ids))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, ids in enumerate(work.ids):
        places[tuple(ids)].append(place)
    same = sorted(seen.read) == sorted(map(tuple, work.ids))
    outputs: list[list[int] | None] = [None] * len(work.ids)
    for read, wrote in zip(seen.read, seen.written, strict=True):
        if places[read]:
            outputs[places[read].pop(0)] = wrote
    told = {
        "side": name,
        "seconds": wall,
        "generating_s": seen.generating_s,
        "cpu_s": cpu,
        "tokens": sum(map(len, seen.written)),
        "counts": [None if wrote is None else len(wrote) for wrote in outputs],
        "outputs": outputs,
        "same_prompt_tokens": same,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "versions": {package: metadata.version(package) for package in ("torch", "transformers", *packages)},
    }
    print(json.dumps(told))


def load(work: Work, **settings: Any) -> Any:
    """Load the model as transformers does, on the GPU where there is one."""
    import torch
    from transformers import AutoModelForCausalLM

    kind = getattr(torch, work.dtype)
    model = AutoModelForCausalLM.from_pretrained(work.folder, dtype=kind, local_files_only=True, **settings)
    return model.to(device()).eval().requires_grad_(requires_grad=False)


def device() -> str:
    """Return where the model runs."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
