"""Where the parts of a loaded model are: its blocks, their attention and MLP, the out-projections, the unembedding.

Everything is read from the module tree and the configuration, so a new architecture needs no entry in a table. What
cannot be told apart for certain is refused, for a hook on the wrong module gives numbers and no error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import signature
from typing import Any, Final

from torch import nn

from oldham.engine.errors import UnsupportedModelError

_INWARD: Final = re.compile(r"w?[qkv]|query|key|value")
"""How the names of projections start that lead into attention: in a model as wide as its heads together, queries and
the out-projection have one shape."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of one model. Tuples have one entry a layer, in the order in which the model computes them."""

    decoder: nn.Module
    """What runs the blocks; a forward pass enters it once."""
    blocks: tuple[nn.Module, ...]
    """The decoder layers."""
    attention: tuple[nn.Module, ...]
    """Each block's attention module."""
    mlp: tuple[nn.Module, ...]
    """Each block's MLP, or what stands in its place, such as a mixture of experts."""
    attention_out: tuple[nn.Module, ...]
    """The projections from the concatenated heads, `n_heads * head_size` wide, back to the residual stream. Where an
    adapter is in place this is the wrapper: its input is the heads, its output has the adapter in it."""
    norm: nn.Module | None
    """The final norm; None where the decoder has none."""
    unembedding: nn.Module
    """The projection from the residual stream to logits."""
    n_heads: int
    """Attention heads a layer (of queries, where keys and values have fewer)."""
    head_size: int
    """Numbers a head puts out."""
    width: int
    """Numbers of the residual stream at a token."""

    @property
    def n_layers(self) -> int:
        """How many blocks there are."""
        return len(self.blocks)


def anatomy_of(model: Any) -> Anatomy:
    """Find the parts of a model.

    Takes under a millisecond a layer and holds no state: adapters that are added or removed later need a new call.

    Args:
        model: A causal language model of transformers, or one that PEFT wrapped.

    Returns:
        Its parts.

    Raises:
        UnsupportedModelError: Where a part cannot be found, or two could be meant.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not hasattr(inner, "get_decoder") or not hasattr(inner, "config"):
        raise UnsupportedModelError(f"A {type(model).__name__} is no language model of transformers.")
    config = inner.config.get_text_config()
    decoder = inner.get_decoder()
    n_layers, n_heads, width = (_count(config, n) for n in ("num_hidden_layers", "num_attention_heads", "hidden_size"))
    head_size = _of_all_layers(config, "head_dim") or width // n_heads
    blocks = _blocks(decoder, n_layers)
    attention = tuple(_attention(block) for block in blocks)
    unembedding = inner.get_output_embeddings()
    if unembedding is None:
        raise UnsupportedModelError(f"A {type(inner).__name__} has no unembedding: it puts out no logits.")
    return Anatomy(
        decoder=decoder,
        blocks=blocks,
        attention=attention,
        mlp=tuple(_mlp(block, of_block) for block, of_block in zip(blocks, attention, strict=True)),
        attention_out=tuple(_attention_out(module, n_heads * head_size, width) for module in attention),
        norm=_final_norm(decoder),
        unembedding=unembedding,
        n_heads=n_heads,
        head_size=head_size,
        width=width,
    )


def _count(config: Any, name: str) -> int:
    number = _of_all_layers(config, name)
    if number is None:
        raise UnsupportedModelError(f"A {type(config).__name__} does not say its `{name}`.")
    return number


def _of_all_layers(config: Any, name: str) -> int | None:
    try:
        number = getattr(config, name, None)
    except RuntimeError as error:  # how transformers says that layers differ
        raise UnsupportedModelError(f"Layers of a {type(config).__name__} differ in `{name}`.") from error
    if number is None or isinstance(number, int):
        return number
    raise UnsupportedModelError(f"A {type(config).__name__} has no single `{name}` for all layers.")


def _blocks(decoder: nn.Module, count: int) -> tuple[nn.Module, ...]:
    lists = [child for child in decoder.children() if isinstance(child, nn.ModuleList) and len(child) == count]
    blocks = _only(lists, f"list of {count} blocks", decoder)
    if len({id(block) for block in blocks}) < count:  # a hook could not tell which layer it runs for
        raise UnsupportedModelError(f"Some layers of a {type(decoder).__name__} share one module.")
    return tuple(blocks)


def _attention(block: nn.Module) -> nn.Module:
    found = [child for child in block.children() if hasattr(child, "layer_idx") and _computes(child)]
    return _adds_nothing(_only(found, "attention module that knows its layer", block))


def _mlp(block: nn.Module, attention: nn.Module) -> nn.Module:
    found = [child for child in block.children() if child is not attention and _computes(child)]
    return _adds_nothing(_only(found, "MLP beside its attention", block))


def _adds_nothing(module: nn.Module) -> nn.Module:
    """Refuse a module that is handed the residual stream (BLOOM, MPT): its output is the sum and not its own part."""
    if "residual" in signature(module.forward).parameters:
        raise UnsupportedModelError(f"A {type(module).__name__} adds the residual stream itself.")
    return module


def _attention_out(attention: nn.Module, heads: int, width: int) -> nn.Module:
    found = [
        child
        for name, child in attention.named_children()
        if _shape(child) == (heads, width) and not _INWARD.match(name.lower())
    ]
    return _only(found, f"projection from {heads} (its heads) to {width} (the residual stream)", attention)


def _final_norm(decoder: nn.Module) -> nn.Module | None:
    """Return the norm that was put in last: some models have another one after the embedding."""
    norms = [
        child
        for name, child in decoder.named_children()
        if "norm" in name.lower() or "norm" in type(child).__name__.lower()
    ]
    return norms[-1] if norms else None


def _shape(module: nn.Module) -> tuple[int | None, int | None]:
    """Return how many numbers a projection takes and gives; quantised and adapted ones say it too."""
    return getattr(module, "in_features", None), getattr(module, "out_features", None)


def _computes(module: nn.Module) -> bool:
    """Tell attention and MLPs, which hold matrices, from norms and dropouts."""
    return any(parameter.ndim > 1 for parameter in module.parameters())


def _only(found: list[Any], what: str, where: nn.Module) -> Any:
    if len(found) != 1:
        how_many = "no" if not found else f"{len(found)} modules that could be the"
        raise UnsupportedModelError(f"A {type(where).__name__} has {how_many} {what}.")
    return found[0]
