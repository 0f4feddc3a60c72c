"""Stored generations over an alphabet in which every token of the tiny random models is one character."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from architectures import SIZE
from oldham.core.records import Generation, ModelFingerprint, Sampling, StopReason, Trial
from oldham.core.thinking import Span, ThinkingState

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL = ModelFingerprint(weights="w", adapter=None, template="t", dtype="float32", backend="transformers/1")


def spell(ids: Sequence[int]) -> str:
    return "".join(chr(0x100 + token) for token in ids)


def stored(
    number: int, *, prompt: int = 7, trace: int = 6, forced: int = 2, answer: int = 9, **changes: Any
) -> Generation:
    """Store a text of random tokens: a prompt, a trace, forced text that opens the answer, the answer, an end."""
    stream = random.Random(number)
    ids = [stream.randrange(2, SIZE) for _ in range(prompt + trace + forced + answer)]
    output = [*ids[prompt:], 1]
    cut = trace + forced
    values: dict[str, Any] = {
        "trial": Trial(arm="arm", arm_fingerprint="a", benchmark="b", item=str(number), item_fingerprint=str(number)),
        "prompt_text": spell(ids[:prompt]),
        "prompt_ids": ids[:prompt],
        "output_text": spell(output[:-1]),
        "output_ids": output,
        "trace": Span(0, trace) if trace else None,
        "answer": Span(trace, cut + answer) if answer else None,  # what is forced opens the answer
        "forced": (Span(trace, cut),) if forced else (),
        "thinking_state": ThinkingState.OPEN_IN_PROMPT if trace else ThinkingState.NONE,
        "trace_stop": StopReason.STOP if trace else None,
        "stop": StopReason.STOP,
        "requested_thinking_tokens": trace,
        "realised_thinking_tokens": trace,
        "prompt_tokens": prompt,
        "trace_tokens": trace,
        "answer_tokens": forced + answer,
        "model": MODEL,
        "sampling": Sampling(),
        "seed": number,
        "seconds": 0.1,
    }
    return Generation.model_validate(values | changes)
