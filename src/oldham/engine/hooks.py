"""Read and edit what flows through a model, for as long as a `with` block lasts.

All hooks are hooks of torch modules: they do not depend on how attention is computed, and `forward` is never replaced.
They do not run where a compiled graph or a captured CUDA graph is replayed without Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import torch

from oldham.core.errors import ConfigError
from oldham.engine.anatomy import anatomy_of
from oldham.engine.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import nn
    from torch.utils.hooks import RemovableHandle

    from oldham.engine.anatomy import Anatomy

Site: TypeAlias = Literal["resid_pre", "resid_post", "attn_out", "mlp_out", "head_out"]
"""A place in a block:

- `resid_pre`: what comes in, the residual stream before the block.
- `attn_out`: what the attention module puts out, after its out-projection.
- `mlp_out`: what the MLP puts out.
- `resid_post`: what goes out, the residual stream after the block.
- `head_out`: what each head puts out, before the out-projection.

Where a block norms what attention and MLP put out before it adds them to the residual stream (Gemma 3), `attn_out` and
`mlp_out` are from before that norm.
"""

SITES: Final[tuple[str, ...]] = get_args(Site)
"""All sites."""

Edit: TypeAlias = "Callable[[torch.Tensor], torch.Tensor]"
"""A function of what flows through a point: it gets (batch, tokens, width), at `head_out` (batch, tokens, heads, size),
and returns a new tensor of the same shape, number format and device. The batch is 1 where the engine packs rows."""


@dataclass(frozen=True, slots=True)
class Point:
    """A site in one layer."""

    site: Site
    """Where in the block."""
    layer: int
    """Which block, from 0."""

    def __str__(self) -> str:
        return f"{self.site} of layer {self.layer}"


@contextmanager
def hooked(
    model: Any, *, edits: Mapping[Point, Edit] | Sequence[tuple[Point, Edit]] = (), reads: Iterable[Point] = ()
) -> Iterator[dict[Point, torch.Tensor]]:
    """Edit and read a model's activations.

    Contexts may be nested; at a point that both name, the outer one edits and reads first, so that only the inner one
    reads what is left in the end. All hooks are gone afterwards, whatever happened inside. Do not read edited states by
    transformers' `output_hidden_states`: it is a hook too, and whether it sees an edit depends on which came first.

    Args:
        model: A causal language model of transformers, or one that PEFT wrapped.
        edits: What to change and how. Several edits of a point run in order; each gets what the one before returned.
        reads: What to keep. A point is read after its edits.

    Yields:
        What was read: detached copies, of the shapes that `Edit` names. Each forward pass empties it first, so that it
        never holds two passes at once.

    Raises:
        ConfigError: Where the model has no such point.
        UnsupportedModelError: Where the model's parts cannot be found.
        ValueError: Out of the forward pass, where an edit returned something else than a tensor of the same shape,
            number format and device, or changed the tensor that it was given: others may hold it.
    """
    edits_at: dict[Point, list[Edit]] = {}
    for point, edit in edits.items() if isinstance(edits, Mapping) else edits:
        edits_at.setdefault(point, []).append(edit)
    reads_at = frozenset(reads)
    anatomy = anatomy_of(model)
    readings: dict[Point, torch.Tensor] = {}
    with ExitStack() as hooks:
        if reads_at:
            handle = anatomy.decoder.register_forward_pre_hook(lambda *_: readings.clear())
            hooks.callback(handle.remove)
        for point in edits_at.keys() | reads_at:
            visit = _Visit(point, tuple(edits_at.get(point, ())), readings if point in reads_at else None)
            hooks.callback(_attach(anatomy, visit).remove)
        yield readings


@dataclass(frozen=True, slots=True)
class _Visit:
    """What happens each time when the model comes by a point."""

    point: Point
    edits: tuple[Edit, ...]
    readings: dict[Point, torch.Tensor] | None

    def __call__(self, flowing: torch.Tensor) -> torch.Tensor:
        for edit in self.edits:
            flowing = _edited(flowing, edit, self.point)
        if self.readings is not None:
            self.readings[self.point] = flowing.detach().clone()
        return flowing


def _edited(given: torch.Tensor, edit: Edit, point: Point) -> torch.Tensor:
    if given.is_inference():  # such tensors do not count their changes; a copy of them made outside does
        with torch.inference_mode(mode=False), torch.no_grad():
            given = given.clone()
    changes = given._version
    returned = edit(given)
    if given._version != changes:
        raise ValueError(f"The edit at {point} changes its tensor in place; it must return a new one.")
    if not isinstance(returned, torch.Tensor):
        raise ValueError(f"The edit at {point} returns a {type(returned).__name__} and no tensor.")
    for name in ("shape", "dtype", "device"):
        wanted, got = getattr(given, name), getattr(returned, name)
        if wanted != got:
            raise ValueError(f"The edit at {point} returns {name} {got} and was given {wanted}.")
    return returned


def _attach(anatomy: Anatomy, visit: _Visit) -> RemovableHandle:
    layer = visit.point.layer
    if not 0 <= layer < anatomy.n_layers or visit.point.site not in SITES:
        known = f"The sites are {', '.join(SITES)}, the layers 0 to {anatomy.n_layers - 1}."
        raise ConfigError(f"The model has no {visit.point}.", remedy=known)
    match visit.point.site:
        case "resid_pre":
            return _before(anatomy.blocks[layer], visit)
        case "resid_post":
            return _after(anatomy.blocks[layer], visit)
        case "attn_out":
            return _after(anatomy.attention[layer], visit)
        case "mlp_out":
            return _after(anatomy.mlp[layer], visit)
        case "head_out":
            shape = (anatomy.n_heads, anatomy.head_size)
            return _before(anatomy.attention_out[layer], lambda heads: visit(heads.unflatten(-1, shape)).flatten(-2))


def _before(module: nn.Module, visit: Edit) -> RemovableHandle:
    """Visit a module's first input, which some models pass by name."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if args and isinstance(args[0], torch.Tensor):
            return (visit(args[0]), *args[1:]), kwargs
        if isinstance(kwargs.get("hidden_states"), torch.Tensor):
            return args, kwargs | {"hidden_states": visit(kwargs["hidden_states"])}
        raise UnsupportedModelError(f"A {type(module).__name__} is not given hidden states as the engine knows them.")

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _after(module: nn.Module, visit: Edit) -> RemovableHandle:
    """Visit a module's output, which may have attention weights or the router's logits beside it."""

    def hook(module: nn.Module, _: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return visit(output)
        if isinstance(output, tuple) and output and isinstance(output[0], torch.Tensor):
            return (visit(output[0]), *output[1:])
        raise UnsupportedModelError(
            f"A {type(module).__name__} does not put out hidden states as the engine knows them."
        )

    return module.register_forward_hook(hook)
