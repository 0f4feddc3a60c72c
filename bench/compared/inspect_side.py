"""Inspect's `hf` provider: messages, as many connections as rows in a batch.

The provider waits two seconds for more prompts where a batch is not full, and looks for answers once a second; both
are part of what its users wait for and of `seconds`, and no part of `generating_s`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from side import Seen, Work, device, ending_tokens, run, watch

if TYPE_CHECKING:
    from collections.abc import Callable


def prepare(work: Work) -> tuple[Callable[[int], None], Seen]:
    """Load the model."""
    import torch
    from inspect_ai.model import ChatMessageUser, GenerateConfig, get_model

    model = get_model(
        "hf/local",
        config=GenerateConfig(max_tokens=work.limit, max_connections=work.batch),
        memoize=False,
        model_path=work.folder,
        dtype=getattr(torch, work.dtype),
        device=device(),
        do_sample=False,
        tokenizer_call_args={"add_special_tokens": False},
    )

    async def answers(count: int) -> None:
        await asyncio.gather(*(model.generate([ChatMessageUser(content=asked)]) for asked in work.asked[:count]))

    inside = model.api.model
    return lambda count: asyncio.run(answers(count)), watch(inside, ending_tokens(inside))


if __name__ == "__main__":
    run("inspect", prepare, ["inspect-ai"])
