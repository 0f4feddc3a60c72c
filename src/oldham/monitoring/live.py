"""A model in the middle of its training as something that can be asked, and left as it was found."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from oldham.backends.tokenizers import load_tokenizer
from oldham.backends.transformers import TransformersBackend
from oldham.backends.weights import chat_template, locate
from oldham.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oldham.core.records import ModelFingerprint


@contextmanager
def live_backend(model: Any, name: str, identity: ModelFingerprint) -> Iterator[TransformersBackend]:
    """Ask a model that is being trained, in the number format of its weights.

    The tokenizer and the chat template are read from the model's files: a study that asks the kept weights reads them
    there too, while trainers change the ones they were given.

    Args:
        model: The live model: a PEFT model or a model of transformers, whole and on one device.
        name: The name of the model that training began with.
        identity: The live model's identity.

    Yields:
        A backend for as long as the block lasts. Afterwards the model and every stream of random numbers are as they
        were, whatever happened.

    Raises:
        ModelError: The model is spread over several processes.
    """
    _require_whole(model)
    folder = locate(name).folder
    with resting(model) as inner:
        backend = TransformersBackend(inner, load_tokenizer(folder), chat_template(folder), identity)
        try:
            yield backend
        finally:
            backend.close()


def number_format(model: Any) -> str:
    """Return the number format that a model's weights are in, such as `float32`.

    Args:
        model: A PEFT model or a model of transformers.
    """
    return str(_inner(model).dtype).removeprefix("torch.")


@contextmanager
def resting(model: Any) -> Iterator[Any]:
    """Put a model into evaluation mode without gradients and mixed precision for a while.

    Args:
        model: A PEFT model or a model of transformers.

    Yields:
        The model of transformers, adapters in place. Afterwards every module is in the mode it was in, every `forward`
        that somebody put over a module's own is back, and the generators of Python, numpy and torch go on where they
        were.
    """
    inner = _inner(model)
    modes = [(module, module.training) for module in model.modules()]
    forwards = [(module, module.__dict__["forward"]) for module in model.modules() if "forward" in module.__dict__]
    streams = _streams()
    model.eval()
    # Mixed precision is a `forward` around the model's own; the panel is computed in what the weights are in.
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
        _go_on(streams)


def _inner(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _streams() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def _go_on(streams: tuple[Any, ...]) -> None:
    own, of_numpy, of_torch, cuda = streams
    random.setstate(own)
    np.random.set_state(of_numpy)
    torch.set_rng_state(of_torch)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)


def _require_whole(model: Any) -> None:
    # What FSDP and DeepSpeed leave in a process: tensors over a mesh of devices, flat pieces, or empty place holders.
    marks = ("device_mesh", "_is_flat_param", "ds_id")
    if any(hasattr(weight, mark) for weight in model.parameters() for mark in marks):
        raise ModelError(
            "The panel needs the whole model in one process, and its weights are spread over several.",
            remedy="Leave `panel` out and ask the kept doses in a study, or train without sharding.",
        )
