"""What the tests of hooks share: points, tokens, and a pass that reads everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from architectures import SIZE, random_model

if TYPE_CHECKING:
    import torch

    from oldham.engine.hooks import Point

LAYERS: Final = range(4)
"""Layers of every tiny model."""


def adapted_model() -> Any:
    """Build a model with an adapter that changes every linear layer.

    In float64, for a merged adapter is summed in another order.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return get_peft_model(random_model("llama"), settings).eval().double()


def at(site: Any, layer: int) -> Point:
    from oldham.engine.hooks import Point

    return Point(site, layer)


def everywhere() -> list[Point]:
    from oldham.engine.hooks import SITES

    return [at(site, layer) for site in SITES for layer in LAYERS]


def tokens(count: int = 30, rows: int = 2) -> torch.Tensor:
    """Random tokens, none of which ends or pads a text; more than the window of Gemma 3."""
    import torch

    return torch.randint(2, SIZE, (rows, count), generator=torch.Generator().manual_seed(3))


def logits(model: Any, **inputs: Any) -> torch.Tensor:
    import torch

    with torch.no_grad():
        out: torch.Tensor = model(**inputs or {"input_ids": tokens()}).logits
    return out


def read(model: Any, **inputs: Any) -> dict[Point, torch.Tensor]:
    """Read every point in one pass."""
    from oldham.engine.hooks import hooked

    with hooked(model, reads=everywhere()) as readings:
        logits(model, **inputs)
    return readings


def close(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Say whether two tensors are equal but for the order in which their sums were taken."""
    return got.shape == wanted.shape and float((got - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
