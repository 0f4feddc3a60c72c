"""Steering a model along a direction while it runs (Arditi et al. 2024, arXiv 2406.11717, section 2.4).

`ablate` takes the component along the direction out of everything that a layer reads and writes: h − (h·r̂)r̂ on the
input, the attention output and the MLP output of every layer, at every position. `add` adds a multiple of the direction
to the input of one layer, at every position. A steered model's key-value cache is its own: what it keeps of a prompt is
of no use without the steering, nor with another.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from safetensors.torch import load_file

from oldham.core.errors import ConfigError
from oldham.core.steering import TENSOR, layer_of, read_header
from oldham.engine.anatomy import anatomy_of
from oldham.engine.hooks import Point, hooked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from oldham.core.steering import SteeringSpec
    from oldham.engine.hooks import Edit, Site

_ABLATED: Final[tuple[Site, ...]] = ("resid_pre", "attn_out", "mlp_out")


class LoadedDirection(NamedTuple):
    """A direction in memory."""

    vector: torch.Tensor
    """float32 on the CPU, shape (width,), not normalised. Shared: do not change it."""
    layer: int | None
    """Layer at whose input it was read, counted from 0; None where its file does not say."""


def load_direction(direction: str | Path) -> LoadedDirection:
    """Load a direction; one that was loaded before is kept in memory until its file changes.

    Args:
        direction: A direction's folder, or its safetensors file.

    Raises:
        ConfigError: There is no such direction, or it holds none that can be used.
    """
    header = read_header(direction)
    return _load(header.path, header.content, header.layer)


@lru_cache(maxsize=32)
def _load(path: Path, content: str, layer: int | None) -> LoadedDirection:
    """Load a file; its content is given so that a file that changed is another one."""
    vector = load_file(path)[TENSOR]
    if not torch.isfinite(vector).all() or not vector.any():
        raise ConfigError(
            f"The direction in `{path}` is zero or not finite.", remedy="Find it again: oldham attribute direction."
        )
    return LoadedDirection(vector, layer)


def steered(model: Any, spec: SteeringSpec) -> AbstractContextManager[None]:
    """Steer a model as an arm says, its direction loaded from its file.

    Args:
        model: A causal language model of transformers, or one that PEFT wrapped.
        spec: What the arm says.

    Returns:
        A context in which every forward pass of the model is steered; afterwards the model is as it was.

    Raises:
        ConfigError: There is no such direction or layer, or the direction's width is not the model's.
        UnsupportedModelError: The model's parts cannot be found.
    """
    direction = load_direction(spec.direction)
    return steering(model, direction.vector, spec, read_at=direction.layer)


def steering(
    model: Any, vector: torch.Tensor, spec: SteeringSpec, *, read_at: int | None = None
) -> AbstractContextManager[None]:
    """Steer a model as an arm says, along a given direction.

    Args:
        model: A causal language model of transformers, or one that PEFT wrapped.
        vector: The direction, shape (width,), not normalised.
        spec: Mode, coefficient and layer; its path is not read.
        read_at: Layer at whose input the direction was read, where the spec names none.

    Returns:
        A context in which every forward pass of the model is steered.

    Raises:
        ConfigError: Nobody says a layer for `add`, there is no such layer, or the width is not the model's.
        UnsupportedModelError: The model's parts cannot be found.
    """
    if spec.mode == "ablate":
        return ablated(model, vector)
    return added(model, vector, layer=layer_of(spec, read_at), coefficient=spec.coefficient)


@contextmanager
def ablated(model: Any, vector: torch.Tensor) -> Iterator[None]:
    """Take the component along a direction out of the input, attention output and MLP output of every layer.

    The sites are those of the paper's code. In a model that norms what attention and MLP put out before it adds them to
    the residual stream (Gemma 3), that norm can bring some of the component back after the last layer.

    Args:
        model: A causal language model of transformers, or one that PEFT wrapped.
        vector: The direction, shape (width,), of any length but 0.

    Yields:
        Nothing; every forward pass inside is ablated.

    Raises:
        ConfigError: The vector's width is not the model's.
        UnsupportedModelError: The model's parts cannot be found.
    """
    n_layers = _checked(model, vector)
    wide = vector.detach().double()
    edit = _without((wide / wide.norm()).float().to(_device(model)))
    with hooked(model, edits=[(Point(site, layer), edit) for layer in range(n_layers) for site in _ABLATED]):
        yield


@contextmanager
def added(model: Any, vector: torch.Tensor, *, layer: int, coefficient: float = 1.0) -> Iterator[None]:
    """Add a multiple of a direction to the input of one layer, at every position.

    Args:
        model: A causal language model of transformers, or one that PEFT wrapped.
        vector: The direction, shape (width,), added as long as it is.
        layer: Layer, counted from 0.
        coefficient: Multiple of the vector; negative takes it away.

    Yields:
        Nothing; in every forward pass inside it is added.

    Raises:
        ConfigError: There is no such layer, or the vector's width is not the model's.
        UnsupportedModelError: The model's parts cannot be found.
    """
    _checked(model, vector)
    push = (vector.detach().double() * coefficient).float().to(_device(model))
    with hooked(model, edits={Point("resid_pre", layer): _with(push)}):
        yield


def _without(unit: torch.Tensor) -> Edit:
    """Return the edit that removes a component; in float32, for in bfloat16 a hundredth of it would stay."""

    def edit(flowing: torch.Tensor) -> torch.Tensor:
        wide, along = flowing.float(), unit.to(flowing.device)
        return torch.addcmul(wide, (wide @ along).unsqueeze(-1), along, value=-1.0).to(flowing.dtype)

    return edit


def _with(push: torch.Tensor) -> Edit:
    def edit(flowing: torch.Tensor) -> torch.Tensor:
        return (flowing.float() + push.to(flowing.device)).to(flowing.dtype)

    return edit


def _checked(model: Any, vector: torch.Tensor) -> int:
    """Check that a direction fits a model; return how many layers the model has."""
    anatomy = anatomy_of(model)
    if tuple(vector.shape) != (anatomy.width,):
        raise ConfigError(
            f"The direction has shape {tuple(vector.shape)}, and the model's hidden states have {anatomy.width} "
            "numbers.",
            remedy="Find the model's own direction with `oldham attribute direction`.",
        )
    return anatomy.n_layers


def _device(model: Any) -> torch.device:
    return next(model.parameters()).device
