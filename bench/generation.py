"""How long do 64 grade-school questions take, here and with the tools that people use today?

Everybody gets the same weights, the same tokens and the same limits, greedy, each side in a process of its own, in
turns: this package, transformers' `generate` (static batches of 32), transformers' continuous batching, lm-eval's `hf`
(batch 32) and Inspect's `hf` (32 connections). What is timed is generation alone, after loading and a warm-up of two
short rows. With mixed lengths every row has a limit of its own, from 16 to 256 tokens, drawn once; lm-eval and Inspect
take one limit a call, and generate in static batches, so they are left out there. The last line is the least that any
way could take at the speed of one plain forward pass over the tokens that have to be computed.

    python bench/generation.py                 # needs the GSM8K test file: OLDHAM_DATA

lm-eval is looked for in `bench/.compared`, where `make bench` puts it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from timing import Timing, machine

if TYPE_CHECKING:
    from collections.abc import Callable

HERE: Final = Path(__file__).parent
QUESTIONS: Final = 64
TOKENS: Final = 96
SHORTEST, LONGEST = 16, 256
BATCH: Final = 32
TRIGGER: Final = "\n\nLet's think step by step."

Work = dict[str, Any]


def make_work(*, mixed: bool, questions: int = QUESTIONS) -> Work:
    """Return the prompts as messages, text and tokens, and each one's limit."""
    from oldham.backends.tokenizers import load_tokenizer
    from oldham.backends.weights import computing_dtype, locate
    from oldham.benchmarks import load_items

    folder = locate("smollm2").folder
    tokenizer = load_tokenizer(folder)
    asked = [item.prompt + TRIGGER for item in load_items("gsm8k", questions)]
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": a}], add_generation_prompt=True, tokenize=False)
        for a in asked
    ]
    stream = random.Random(1)
    limits = [stream.randint(SHORTEST, LONGEST) if mixed else TOKENS for _ in asked]
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    return {
        "folder": str(folder),
        "dtype": computing_dtype(),
        "asked": asked,
        "texts": texts,
        "ids": ids,
        "limits": limits,
    }


def with_oldham(work: Work) -> Callable[[int], list[int]]:
    """Run this package's engine."""
    from collections import deque

    from oldham.core.records import Sampling
    from oldham.engine.batching import Batcher, BatchOptions
    from oldham.engine.memory import kv_budget_gib
    from oldham.engine.passes import PackedModel
    from oldham.engine.rows import Row

    model, tokenizer = _load(work)
    packed = PackedModel(model, tokenizer.pad_token_id)

    class Counted:
        """A turn that ends at its limit or the model's word."""

        barred: frozenset[int] = frozenset()

        def __init__(self, limit: int) -> None:
            self.pending: deque[int] = deque()
            self.limit, self.out = limit, 0

        def accept(self, token: int) -> int | None:
            self.out += 1
            return None if token == tokenizer.eos_token_id or self.out == self.limit else token

    def run(count: int) -> list[int]:
        def begin(limit: int) -> Callable[[], Counted]:
            return lambda: Counted(limit)

        rows = [
            Row(ids, begin(limit), Sampling(), 0, limit)
            for ids, limit in zip(work["ids"][:count], work["limits"][:count], strict=True)
        ]
        most = 64 if model.device.type == "cpu" else 256
        Batcher(packed, BatchOptions(most, kv_budget_gib(model.device))).run(rows, lambda row: [])
        return [row.turn.out for row in rows]  # type: ignore[attr-defined]

    return run


def with_generate(work: Work) -> Callable[[int], list[int]]:
    """Run transformers' `generate` on static batches; a row at its limit counts as finished."""
    import torch
    from transformers import StoppingCriteria

    model, tokenizer = _load(work)
    tokenizer.padding_side = "left"

    class Limits(StoppingCriteria):  # type: ignore[misc]
        def __init__(self, limits: list[int], prompt: int) -> None:
            self.limits, self.prompt = torch.tensor(limits), prompt

        def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
            return (ids.shape[1] - self.prompt >= self.limits).to(ids.device)

    def run(count: int) -> list[int]:
        written = []
        for start in range(0, count, BATCH):
            part = slice(start, min(start + BATCH, count))
            inputs = tokenizer.pad({"input_ids": work["ids"][part]}, return_tensors="pt").to(model.device)
            limits, length = work["limits"][part], inputs["input_ids"].shape[1]
            told = model.generate(
                **inputs,
                max_new_tokens=max(limits),
                do_sample=False,
                stopping_criteria=[Limits(limits, length)],
            )[:, length:]
            written += [_until_end(r[:n], tokenizer) for r, n in zip(told.tolist(), limits, strict=True)]
        return written

    return run


def with_continuous(work: Work) -> Callable[[int], list[int]]:
    """Run transformers' own continuous batching."""
    from transformers import GenerationConfig

    model, tokenizer = _load(work)

    def run(count: int) -> list[int]:
        config = GenerationConfig(
            max_new_tokens=max(work["limits"]),
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        told = model.generate_batch(work["ids"][:count], generation_config=config, progress_bar=False)
        return [len(told[name].generated_tokens) for name in told]

    return run


def with_lm_eval(work: Work) -> Callable[[int], list[int]]:
    """Run lm-eval's `hf` model."""
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = HFLM(pretrained=work["folder"], dtype=work["dtype"], batch_size=BATCH, device=device)

    def run(count: int) -> list[int]:
        settings = {"until": [], "max_gen_toks": work["limits"][0], "do_sample": False}
        asked = [Instance("generate_until", {}, (text, dict(settings)), 0) for text in work["texts"][:count]]
        told = model.generate_until(asked, disable_tqdm=True)
        return [len(model.tok_encode(text, add_special_tokens=False)) for text in told]

    return run


def with_inspect(work: Work) -> Callable[[int], list[int]]:
    """Run Inspect's `hf` provider."""
    from inspect_ai.model import ChatMessageUser, GenerateConfig, get_model

    config = GenerateConfig(max_tokens=work["limits"][0], max_connections=BATCH)
    model = get_model("hf/local", config=config, model_path=work["folder"], torch_dtype=work["dtype"], do_sample=False)

    async def all_of(count: int) -> list[int]:
        asked = [model.generate([ChatMessageUser(content=a)]) for a in work["asked"][:count]]
        told = await asyncio.gather(*asked)
        return [len(model.api.tokenizer.encode(r.completion, add_special_tokens=False)) for r in told]

    return lambda count: asyncio.run(all_of(count))


SIDES: Final[dict[str, tuple[str, Callable[[Work], Callable[[int], list[int]]]]]] = {
    "oldham": ("this package", with_oldham),
    "generate": (f"transformers generate, static batches of {BATCH}", with_generate),
    "continuous": ("transformers continuous batching", with_continuous),
    "lm_eval": (f"lm-eval hf, batch {BATCH}", with_lm_eval),
    "inspect": (f"Inspect hf, {BATCH} connections", with_inspect),
}
ONE_LIMIT: Final = ("continuous", "lm_eval", "inspect")


def _load(work: Work) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    kind = getattr(torch, work["dtype"])
    model = AutoModelForCausalLM.from_pretrained(work["folder"], dtype=kind, local_files_only=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(work["folder"], local_files_only=True)
    return model.to(device).eval().requires_grad_(requires_grad=False), tokenizer


def _until_end(ids: list[int], tokenizer: Any) -> int:
    return next((n + 1 for n, token in enumerate(ids) if token == tokenizer.eos_token_id), len(ids))


def floor(work: Work, written: int, shared: int) -> dict[str, float]:
    """Return the tokens that have to be computed, and their time at the speed of one plain forward pass."""
    import torch

    model, _ = _load(work)
    ids = torch.tensor([[token for row in work["ids"][:8] for token in row][:512]], device=model.device)
    seconds = []
    with torch.inference_mode():
        for _ in range(6):
            started = time.perf_counter()
            model(input_ids=ids, use_cache=False)
            seconds.append(time.perf_counter() - started)
    speed = ids.shape[1] / median(seconds[1:])
    tokens = sum(map(len, work["ids"])) - shared + written
    return {"tokens": tokens, "tokens_per_s": speed, "seconds": tokens / speed}


def run_side(name: str, path: Path) -> None:
    """Be one side: load, warm up, generate, print what it took."""
    work = json.loads(path.read_text())
    run = SIDES[name][1](work)
    run(2)
    started = time.perf_counter()
    written = run(len(work["ids"]))
    print(json.dumps({"seconds": time.perf_counter() - started, "tokens": sum(written)}))


def measure(*, mixed: bool, repeats: int = 3) -> dict[str, Any]:
    """Time all sides in turns.

    Returns:
        What it ran on, and for each side its seconds and tokens, or why it did not run.
    """
    work = make_work(mixed=mixed)
    sides: dict[str, dict[str, Any]] = {
        name: {"seconds": [], "tokens": 0, "why_not": ""} for name in SIDES if not (mixed and name in ONE_LIMIT)
    }
    where = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(HERE / ".compared"), "PYTHONWARNINGS": "ignore"}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(work, file)
        file.flush()
        for _ in range(repeats):
            for name, side in sides.items():
                if side["why_not"]:
                    continue
                command = [sys.executable, __file__, "--side", name, "--work", file.name]
                told = subprocess.run(command, capture_output=True, text=True, env=where, check=False)
                if told.returncode:
                    side["why_not"] = (told.stderr.strip().splitlines() or ["no reason given"])[-1]
                    continue
                one = json.loads(told.stdout.strip().splitlines()[-1])
                side["seconds"].append(one["seconds"])
                side["tokens"] = one["tokens"]
    common = len(os.path.commonprefix(work["ids"]))
    least = floor(work, sides["oldham"]["tokens"], common * (len(work["ids"]) - 1))
    return {"machine": machine(), "mixed": mixed, "dtype": work["dtype"], "sides": sides, "floor": least}


def show(result: dict[str, Any]) -> str:
    """Return what was measured as text."""
    timings = {name: Timing.of(side["seconds"]) for name, side in result["sides"].items() if side["seconds"]}
    limit = f"{SHORTEST} to {LONGEST}" if result["mixed"] else f"{TOKENS}"
    lines = [f"{QUESTIONS} questions, {limit} new tokens, {result['dtype']}"]
    for name, side in result["sides"].items():
        if name not in timings:
            lines.append(f"  {SIDES[name][0]:46} did not run: {side['why_not']}")
            continue
        speed = side["tokens"] / timings[name].median
        ratio = timings[name].median / timings["oldham"].median
        lines.append(f"  {SIDES[name][0]:46}{timings[name]} s, {speed:6.0f} tokens/s, {ratio:5.2f} times ours")
    least = result["floor"]
    share = timings["oldham"].median / least["seconds"]
    lines.append(
        f"  {'the least, by one plain forward pass':46}{least['seconds']:8.2f} s: {least['tokens']:.0f} tokens at "
        f"{least['tokens_per_s']:.0f} a second; ours takes {share:.2f} times that"
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    if options.side:
        run_side(options.side, options.work)
        return
    for mixed in (False, True):
        print(show(measure(mixed=mixed, repeats=options.repeats)), flush=True)


if __name__ == "__main__":
    main()
