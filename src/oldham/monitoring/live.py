"""A model in the middle of its training as something that can be asked, and left as it was found."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oldham.backends.tokenizers import load_tokenizer
from oldham.backends.transformers import TransformersBackend
from oldham.backends.weights import chat_template, locate
from oldham.core.errors import ModelError
from oldham.training.live import at_rest, inner_model, undisturbed

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
    return str(inner_model(model).dtype).removeprefix("torch.")


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
    with undisturbed(), at_rest(model) as inner:
        yield inner


def _require_whole(model: Any) -> None:
    # What FSDP and DeepSpeed leave in a process: tensors over a mesh of devices, flat pieces, or empty place holders.
    marks = ("device_mesh", "_is_flat_param", "ds_id")
    if any(hasattr(weight, mark) for weight in model.parameters() for mark in marks):
        raise ModelError(
            "The panel needs the whole model in one process, and its weights are spread over several.",
            remedy="Leave `panel` out and ask the kept doses in a study, or train without sharding.",
        )
