"""One module a method: each sets TRL's trainer up from the settings and the examples."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oldham.training.methods import DPOSettings, OnlineSettings, SFTSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from oldham.benchmarks.resources import TrainingExample
    from oldham.training.config import TrainingSettings


def make_trainer(
    settings: TrainingSettings, run_dir: Path, examples: list[TrainingExample], callbacks: Sequence[Any] = ()
) -> tuple[Any, Any]:
    """Set the trainer of a method up.

    Args:
        settings: The run's settings, of the class of its method.
        run_dir: The run's directory.
        examples: The training set, in order.
        callbacks: transformers callbacks.

    Returns:
        TRL's trainer and the tokenizer. The trainer's `train_dataset` shows which tokens carry loss.

    Raises:
        ConfigError: The examples or the model do not fit the method.
        MissingDependencyError: A tracker is not installed.
    """
    with _without_telemetry():
        return _make(settings, run_dir, examples, callbacks)


def _make(
    settings: TrainingSettings, run_dir: Path, examples: list[TrainingExample], callbacks: Sequence[Any]
) -> tuple[Any, Any]:
    if isinstance(settings, SFTSettings):
        from oldham.training.trainers import sft

        return sft.make_trainer(settings, run_dir, examples, callbacks)
    if isinstance(settings, DPOSettings):
        from oldham.training.trainers import dpo

        return dpo.make_trainer(settings, run_dir, examples, callbacks)
    assert isinstance(settings, OnlineSettings)
    from oldham.training.trainers import online

    return online.make_trainer(settings, run_dir, examples, callbacks)


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Keep TRL from telling its makers which model is trained on which hardware, which nobody asked for here."""
    from huggingface_hub import constants

    before = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = before
