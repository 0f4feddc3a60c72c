"""Supervised fine-tuning: completions as tokens with loss, one by one or packed, with TRL's trainer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import datasets
import torch
from trl import SFTConfig, SFTTrainer

from oldham.backends.tokenizers import quiet
from oldham.core.errors import ConfigError
from oldham.training.rendering import chat_format, encode
from oldham.training.trainers.common import common_arguments, load_trainable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from oldham.benchmarks.resources import TrainingExample
    from oldham.training.methods import SFTSettings

_NO_LOSS = -100


def make_trainer(
    settings: SFTSettings, run_dir: Path, examples: list[TrainingExample], callbacks: Sequence[Any] = ()
) -> tuple[Any, Any]:
    """Set a trainer up; its `train_dataset` shows which tokens carry loss.

    Args:
        settings: The run's settings.
        run_dir: The run's directory.
        examples: The training set, in order.
        callbacks: transformers callbacks.

    Returns:
        TRL's trainer and the tokenizer.

    Raises:
        ConfigError: No example has a token with loss, there are fewer such tokens than asked for, a dose lies outside
            the steps they take, or examples cannot be packed for this model.
    """
    model, tokenizer, adapter = load_trainable(settings)
    rows = _rows(settings, examples, tokenizer)
    if settings.packing and not keeps_packed_apart(model):
        raise ConfigError(
            "In this model attention crosses from one packed example to the next.", remedy="Set `packing: false`."
        )
    datasets.disable_progress_bars()
    with quiet():
        arguments = SFTConfig(
            **common_arguments(settings, run_dir / "checkpoints"),
            max_length=settings.max_length,
            packing=settings.packing,
            completion_only_loss=settings.loss_on == "completion",
        )
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=list(callbacks),
            peft_config=adapter,
        )
    if settings.train_tokens is not None:
        trainer.args.max_steps = _steps(settings, len(trainer.train_dataset), trainer.args.world_size)
    return trainer, tokenizer


@torch.no_grad()
def keeps_packed_apart(model: Any) -> bool:
    """Say whether a model reads an example the same way when another one stands before it in a packed row.

    Without flash attention, keeping them apart is up to the model: it has to see from the positions, which start at 0
    again, where an example begins. It is tried here rather than believed.

    Args:
        model: A causal language model.
    """
    vocabulary = model.config.get_text_config().vocab_size
    first, second = (torch.randint(vocabulary, (1, 12), generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    positions = torch.arange(12)[None]
    was_training = model.training
    model.eval()
    try:
        alone = model(input_ids=second, position_ids=positions, use_cache=False).logits
        ids, twice = torch.cat([first, second], dim=1), torch.cat([positions, positions], dim=1)
        packed = model(input_ids=ids, position_ids=twice, use_cache=False).logits[:, 12:]
    except (TypeError, ValueError):  # it takes no positions
        return False
    finally:
        model.train(was_training)
    # What crosses changes logits by about as much as they vary; sums in another order change them by a millionth.
    return bool((packed - alone).abs().max() <= 1e-3 * alone.std())


def _rows(settings: SFTSettings, examples: list[TrainingExample], tokenizer: Any) -> list[dict[str, list[int]]]:
    fmt = chat_format(tokenizer)
    rows, total = [], 0
    for example in examples:
        if settings.train_tokens is not None and total >= settings.train_tokens:
            break
        encoded = encode(example, fmt)
        ids = [*encoded.prompt, *encoded.completion][: settings.max_length]
        learnt = ids[len(encoded.prompt) :] if settings.loss_on == "completion" else ids
        if learnt:
            rows.append({"input_ids": ids, "labels": [_NO_LOSS] * (len(ids) - len(learnt)) + learnt})
            total += len(learnt)
    if not rows:
        raise ConfigError(
            f"No example has a token with loss within {settings.max_length} tokens.", remedy="Raise `max_length`."
        )
    if settings.train_tokens is not None and total < settings.train_tokens:
        raise ConfigError(
            f"The examples hold {total:,} tokens with loss, not {settings.train_tokens:,}.",
            remedy="Take more examples, or lower `train_tokens`.",
        )
    return rows


def _steps(settings: SFTSettings, rows: int, processes: int) -> int:
    """Return the steps that one pass takes."""
    steps = math.ceil(math.ceil(rows / (settings.batch_size * processes)) / settings.accumulate)
    late = [dose for dose in settings.doses if dose > steps]
    if late:
        raise ConfigError(
            f"Dose {late[0]} lies outside the {steps} steps that {settings.train_tokens:,} tokens take.",
            remedy="Take earlier doses, or more tokens.",
        )
    return steps
