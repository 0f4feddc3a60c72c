"""Direct preference optimisation with TRL's trainer, on the same tokens as supervised fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import datasets
from trl import DPOConfig, DPOTrainer

from oldham.backends.tokenizers import quiet
from oldham.core.errors import ConfigError
from oldham.training.rendering import chat_format, encode, render
from oldham.training.trainers.common import common_arguments, load_trainable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from oldham.benchmarks.resources import TrainingExample
    from oldham.training.methods import DPOSettings


class _OnTokens(DPOTrainer):
    """TRL's trainer on rows that are tokens already: its own rendering would drop traces, see `rendering`."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def make_trainer(
    settings: DPOSettings, run_dir: Path, examples: list[TrainingExample], callbacks: Sequence[Any] = ()
) -> tuple[Any, Any]:
    """Set a trainer up.

    The reference is the model before training: the base with a new adapter switched off, a frozen copy of an adapter
    that training goes on from, or a second copy of the model where all weights are trained.

    Args:
        settings: The run's settings.
        run_dir: The run's directory.
        examples: The training set, in order; each has `completion` and `rejected`.
        callbacks: transformers callbacks.

    Returns:
        TRL's trainer and the tokenizer. `train_dataset` has `prompt_ids`, `chosen_ids` and `rejected_ids`.

    Raises:
        ConfigError: No pair has a token that is compared, or the two sides of one are not read after the same prompt.
        DataError: An example has no `rejected`.
    """
    model, tokenizer, adapter = load_trainable(settings)
    reference = None
    if adapter is None and settings.lora is None:
        reference, _, _ = load_trainable(settings)
        reference.requires_grad_(requires_grad=False).eval()
    datasets.disable_progress_bars()
    with quiet():
        arguments = DPOConfig(
            **common_arguments(settings, run_dir / "checkpoints"),
            max_length=settings.max_length,
            beta=settings.beta,
            loss_type=[settings.loss],
        )
        trainer = _OnTokens(
            model=model,
            ref_model=reference,
            args=arguments,
            train_dataset=datasets.Dataset.from_list(_pairs(settings, examples, tokenizer)),
            processing_class=tokenizer,
            callbacks=list(callbacks),
            peft_config=adapter,
        )
    return trainer, tokenizer


def _pairs(settings: DPOSettings, examples: list[TrainingExample], tokenizer: Any) -> list[dict[str, list[int]]]:
    fmt = chat_format(tokenizer)
    rows = []
    for example in examples:
        if render(example, fmt)[0] != render(example, fmt, rejected=True)[0]:
            raise ConfigError(
                "One side of a pair has a trace and the other has none, and this chat template writes another prompt "
                "for each.",
                place=f"an example of kind `{example['kind']}`",
                remedy="Take pairs with a trace on both sides or on neither.",
            )
        chosen, rejected = encode(example, fmt), encode(example, fmt, rejected=True)
        # Both are read after the same prompt; where the tokens at its end merged with one of them, they belong to both.
        start = min(len(chosen.prompt), len(rejected.prompt))
        row = {"prompt_ids": list(chosen.prompt[:start])}
        for name, said in (("chosen_ids", chosen), ("rejected_ids", rejected)):
            row[name] = [*said.prompt, *said.completion][start : settings.max_length]
        if row["chosen_ids"] and row["rejected_ids"]:
            rows.append(row)
    if not rows:
        raise ConfigError(
            f"No pair has a token to compare within {settings.max_length} tokens.", remedy="Raise `max_length`."
        )
    return rows
