"""Loading models into memory: weights and adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from oldham.backends.tokenizers import load_tokenizer, quiet, unloadable
from oldham.backends.weights import locate
from oldham.engine.adapters import AdapterSwitch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from oldham.backends.weights import ModelFiles


def load_model(files: ModelFiles, dtype: str) -> Any:
    """Load a model for generation, its adapters merged into the weights.

    Merging happens in float32 and only the sum is rounded: in bfloat16 a small update would be rounded away.

    Args:
        files: The model's files.
        dtype: Number format of the computation.

    Returns:
        A causal language model in evaluation mode, on the GPU where there is one.

    Raises:
        ModelError: The files do not hold a model that can be loaded.
    """
    kind = getattr(torch, dtype)
    model = _read_model(files.folder, torch.float32 if files.adapters else kind)
    model = _merge(model, files.adapters)
    if files.adapters:
        _cast(model, kind)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device=device).eval().requires_grad_(requires_grad=False)


def adapter_switch(model: Any, files: ModelFiles) -> AdapterSwitch:
    """Return what turns a model into its base with other adapters.

    Args:
        model: What `load_model` returned.
        files: What it was loaded from.
    """
    return AdapterSwitch(model, files.folder, files.adapters)


def switch_adapters(switch: AdapterSwitch, files: ModelFiles) -> bool:
    """Turn a loaded model into another one on the same base; its weights are then what `load_model` would give.

    Args:
        switch: The loaded model's.
        files: The files of the model to become.

    Returns:
        Whether it is done; where not, nothing was changed, and the model has to be loaded.
    """
    if files.folder != switch.folder:
        return False
    with quiet():
        return switch.switch(files.adapters)


def load_for_training(model: str) -> tuple[Any, Any, Path | None]:
    """Load a model to be trained further.

    Args:
        model: A model name as in a study file.

    Returns:
        The model in float32 on the CPU, its tokenizer, and the adapter whose training would be continued (the last one
        in the name; any before it are merged), None without one.

    Raises:
        ModelError: There is no such model, or it cannot be loaded.
    """
    files = locate(model)
    merged, last = files.adapters[:-1], files.adapters[-1] if files.adapters else None
    return _merge(_read_model(files.folder, torch.float32), merged), load_tokenizer(files.folder), last


def _read_model(folder: Path, dtype: torch.dtype) -> Any:
    try:
        with quiet():
            return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except Exception as error:  # damaged files surface as errors of half a dozen libraries
        raise unloadable("model", folder, error) from error


def _cast(model: Any, kind: torch.dtype) -> None:
    """Give every tensor the number format it would have had, had the model been made in this one.

    Not all of them change: rounded to bfloat16, the frequencies of rotary positions would put far positions in the
    wrong place, and models make them in float32.
    """
    with torch.device("meta"), quiet():
        like = type(model)._from_config(model.config, dtype=kind)
    wanted = {name: tensor.dtype for name, tensor in (*like.named_parameters(), *like.named_buffers())}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        tensor.data = tensor.data.to(wanted.get(name, tensor.dtype))


def _merge(model: Any, adapters: Sequence[Path]) -> Any:
    for folder in adapters:
        try:
            with quiet():
                model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
        except Exception as error:  # as above
            raise unloadable("adapter", folder, error) from error
    return model
