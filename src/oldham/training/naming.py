"""Under which name a study asks a kept dose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oldham.backends.base import ModelSpec
from oldham.backends.weights import aliases

if TYPE_CHECKING:
    from pathlib import Path


def dose_model(model: str, folder: Path) -> str:
    """Return the model name of a kept dose.

    Where training went on from an adapter, the dose is that adapter as it became, and takes its place: beneath the
    name of the adapter that it began with, the first training would be counted twice.

    Args:
        model: The model that was trained, as in a study file.
        folder: The dose's folder, with an adapter or a whole model.

    Returns:
        `path:FOLDER` for a whole model, else `BASE+FOLDER`.

    Raises:
        ConfigError: `model` is not a model name.
    """
    if (folder / "config.json").is_file():
        return f"path:{folder}"
    spec, embedded = ModelSpec.parse(model), aliases()[0]
    base = model.strip()
    if spec.adapter is not None:
        base = base.partition("+")[0]
    elif spec.scheme == "alias" and spec.name in aliases():
        base = embedded
    return f"{base}+{folder}"
