"""Transformers' `generate`: static batches in the given order, padded on the left.

A row that ends stays in its batch until all have ended; a row at a limit of its own counts as ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from side import Seen, Work, ending_tokens, load, run, watch

if TYPE_CHECKING:
    from collections.abc import Callable


def prepare(work: Work) -> tuple[Callable[[int], None], Seen]:
    """Load the model."""
    import torch
    from transformers import AutoTokenizer, StoppingCriteria

    model = load(work)
    tokenizer = AutoTokenizer.from_pretrained(work.folder, local_files_only=True, padding_side="left")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token

    class Limits(StoppingCriteria):  # type: ignore[misc]
        def __init__(self, limits: list[int], prompt: int) -> None:
            self.limits, self.prompt = torch.tensor(limits, device=model.device), prompt

        def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
            return ids.shape[1] - self.prompt >= self.limits

    seen = watch(model, ending_tokens(model))

    def generate(count: int) -> None:
        for start in range(0, count, work.batch):
            part = slice(start, min(start + work.batch, count))
            limits, before = work.limits[part], len(seen.written)
            inputs = tokenizer.pad({"input_ids": work.ids[part]}, return_tensors="pt").to(model.device)
            model.generate(
                **inputs,
                max_new_tokens=max(limits),
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                stopping_criteria=[Limits(limits, inputs["input_ids"].shape[1])] if len(set(limits)) > 1 else None,
            )
            seen.written[before:] = [wrote[:limit] for wrote, limit in zip(seen.written[before:], limits, strict=True)]

    return generate, seen


if __name__ == "__main__":
    run("transformers", prepare, [])
