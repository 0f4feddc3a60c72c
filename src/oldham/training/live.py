"""A model while it is trained, for whoever looks at it in between and must leave no trace."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def inner_model(model: Any) -> Any:
    """Return the model of transformers, adapters in place.

    Args:
        model: A PEFT model or a model of transformers.
    """
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def at_rest(model: Any) -> Iterator[Any]:
    """Put a model into evaluation mode without gradients and mixed precision for a while.

    Args:
        model: A PEFT model or a model of transformers.

    Yields:
        The model of transformers, adapters in place. Afterwards every module is in the mode it was in, and every
        `forward` that somebody put over a module's own is back.
    """
    inner = inner_model(model)
    modes = [(module, module.training) for module in model.modules()]
    forwards = [(module, module.__dict__["forward"]) for module in model.modules() if "forward" in module.__dict__]
    model.eval()
    # Mixed precision is a `forward` around the model's own; what looks computes in what the weights are in.
    own = inner.__dict__.get("_original_forward")
    if own is not None:
        inner.forward = own
    try:
        with torch.no_grad(), torch.autocast(inner.device.type, enabled=False):
            yield inner
    finally:
        for module, forward in forwards:
            module.forward = forward
        for module, training in modes:
            module.training = training


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put every stream of random numbers back to where it was."""
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002 (it is the global one that libraries draw from)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002


def is_sharded(trainer: Any) -> bool:
    """Say whether the model's weights are spread over several devices.

    Args:
        trainer: A trainer of transformers.
    """
    plugin = trainer.accelerator.state.deepspeed_plugin
    return bool(trainer.is_fsdp_enabled or (plugin is not None and plugin.zero_stage == 3))
