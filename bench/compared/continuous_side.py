"""Transformers' continuous batching: `generate_batch`, attention by SDPA, no more rows at a time than a batch has.

On a machine without a GPU transformers cannot see how much memory there is, so the cache is sized for the work here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from side import Seen, Work, ending_tokens, load, run, until_end

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 256


def prepare(work: Work) -> tuple[Callable[[int], None], Seen]:
    """Load the model."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    model = load(work, attn_implementation="sdpa")
    seen, ends = Seen(), ending_tokens(model)
    longest = max(map(len, work.ids)) + work.limit
    settings = GenerationConfig(
        max_new_tokens=work.limit,
        do_sample=False,
        eos_token_id=sorted(ends),
        pad_token_id=model.generation_config.pad_token_id,
    )
    sizes = {} if model.device.type == "cuda" else {"num_blocks": work.batch * (longest // PAGE + 1)}
    batching = ContinuousBatchingConfig(page_size=PAGE, max_requests_per_batch=work.batch, **sizes)

    def generate(count: int) -> None:
        started = time.perf_counter()
        told = model.generate_batch(
            work.ids[:count], generation_config=settings, continuous_batching_config=batching, progress_bar=False
        )
        seen.generating_s += time.perf_counter() - started
        if len(told) != count or any(one.error for one in told.values()):
            raise SystemExit(f"{count - len(told)} prompts have no answer; {[o.error for o in told.values()][:1]}")
        for one in told.values():
            seen.read.append(tuple(one.prompt_ids))
            seen.written.append(until_end(list(one.generated_tokens), ends))

    return generate, seen


if __name__ == "__main__":
    run("continuous", prepare, [])
