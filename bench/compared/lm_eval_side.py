"""lm-eval's `hf` model: `generate_until` on rendered prompts, batches sorted by length as it does itself.

`add_bos_token=False`: the chat template has written every special token that there is to be. No stop strings beyond
the model's own, for each costs lm-eval a decoding of every row at every step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from side import Seen, Work, device, ending_tokens, run, watch

if TYPE_CHECKING:
    from collections.abc import Callable


def prepare(work: Work) -> tuple[Callable[[int], None], Seen]:
    """Load the model."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=work.folder, dtype=work.dtype, batch_size=work.batch, device=device(), add_bos_token=False)
    settings = {"until": [], "max_gen_toks": work.limit, "do_sample": False}

    def generate(count: int) -> None:
        asked = [Instance("generate_until", {}, (text, dict(settings)), n) for n, text in enumerate(work.texts[:count])]
        model.generate_until(asked, disable_tqdm=True)

    return generate, watch(model.model, ending_tokens(model.model))


if __name__ == "__main__":
    run("lm-eval", prepare, ["lm-eval"])
