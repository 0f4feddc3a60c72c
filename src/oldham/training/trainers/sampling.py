"""Samples of a model that is being trained, drawn by the project's engine.

Transformers' `generate` draws in batches that go on until their last row has ended, from torch's global stream of
random numbers. Here a row leaves the batch when it ends, the samples of a prompt share its reading, and every row has a
seed of its own: what is sampled depends on the weights and the seeds alone, so that a run that was killed goes on with
the samples it would have had.

What is sampled is the model as a study would ask it at this step: adapters merged, in the number format of
`computing_dtype`. The trainer then computes the log-probabilities that it learns from in a pass of its own, in mixed
precision and over padded rows. The two differ by rounding, as they do whoever draws the samples.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch

from oldham.backends.tokenizers import quiet
from oldham.backends.weights import computing_dtype
from oldham.core.errors import ModelError
from oldham.core.records import Sampling
from oldham.engine.batching import Batcher, BatchOptions
from oldham.engine.errors import UnsupportedModelError
from oldham.engine.memory import kv_budget_gib
from oldham.engine.passes import PackedModel
from oldham.engine.rows import Row
from oldham.engine.static import StaticBatcher
from oldham.training.live import at_rest, inner_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oldham.training.methods import OnlineSettings

_ROWS_CPU: Final = 64
_ROWS_GPU: Final = 256


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How samples are drawn."""

    tokens: int
    """Most tokens of a sample."""
    temperature: float
    """Above 0; no other cut is made."""
    endings: frozenset[int]
    """Tokens that end a turn."""
    pad: int
    """Any token; it fills sequences up."""

    @classmethod
    def of(cls, settings: OnlineSettings, model: Any, tokenizer: Any) -> SamplingOptions:
        """Return a run's.

        Args:
            settings: The run's settings.
            model: The model, a PEFT model or one of transformers.
            tokenizer: Its tokenizer.
        """
        told = inner_model(model).generation_config.eos_token_id
        endings = {*(told if isinstance(told, list) else [told]), tokenizer.eos_token_id} - {None}
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        return cls(settings.sample_tokens, settings.temperature, frozenset(map(int, endings)), int(pad))


class Sampler:
    """Draws samples of a live model, as often as its weights change.

    Args:
        model: The model, unwrapped: a PEFT model or one of transformers, whole and on one device.
        options: How to draw.
    """

    def __init__(self, model: Any, options: SamplingOptions) -> None:
        self.model, self.options = model, options
        self._copy = _copy_of(inner_model(model))
        self._packed: PackedModel | None = None
        self._unpackable = False

    def draw(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[list[int]]:
        """Draw a sample for each prompt from the model as it is now.

        The model is left as it was found, and no stream of random numbers is touched.

        Args:
            prompts: Token ids, at least one each.
            seeds: Where each row's own randomness starts.

        Returns:
            The tokens that were drawn for each, at least one, the one that ended the turn included.

        Raises:
            ModelError: The model cannot generate.
        """
        options = self.options
        sampling, begin = Sampling(temperature=options.temperature), partial(_Written, options.endings, options.tokens)
        rows = [Row(ids, begin, sampling, seed, options.tokens) for ids, seed in zip(prompts, seeds, strict=True)]
        with self._asked() as model:
            self._batcher(model).run(rows, lambda _: ())
        for row in rows:
            if row.error is not None:
                raise ModelError(f"The model cannot generate ({row.error}).")
        return [row.turn.ids for row in rows if isinstance(row.turn, _Written)]

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        """Have what is sampled: the copy, with the weights of now, or the live model itself."""
        if self._copy is None:
            with at_rest(self.model) as inner:
                yield inner
            return
        with torch.no_grad():
            for name, weight in current_weights(inner_model(self.model)):
                self._copy[name].copy_(weight)
        with torch.no_grad(), torch.autocast(self._copy.model.device.type, enabled=False):
            yield self._copy.model

    def _batcher(self, model: Any) -> Batcher | StaticBatcher:
        on_cpu = model.device.type == "cpu"
        rows = _ROWS_CPU if on_cpu else _ROWS_GPU
        # On a CPU the engine keeps weights in bfloat16 in another order, those of the moment it is given a model.
        if self._packed is None or (on_cpu and model.dtype == torch.bfloat16):
            self._packed = None if self._unpackable else self._pack(model)
        if self._packed is None:
            return StaticBatcher(model, self.options.pad, rows)
        return Batcher(self._packed, BatchOptions(rows, kv_budget_gib(model.device)))

    def _pack(self, model: Any) -> PackedModel | None:
        try:
            return PackedModel(model, self.options.pad)
        except UnsupportedModelError:
            self._unpackable = True
            return None


@dataclass(slots=True)
class _Written:
    """A sample while it is drawn; see `oldham.engine.rows.Writer`."""

    endings: frozenset[int]
    most: int
    ids: list[int] = field(default_factory=list)
    pending: deque[int] = field(default_factory=deque)
    barred: frozenset[int] = frozenset()

    def accept(self, token: int) -> int | None:
        self.ids.append(token)
        return None if token in self.endings or len(self.ids) == self.most else token


class _Copy:
    """A model of the same kind in another number format."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._weights = dict(model.named_parameters(remove_duplicate=False))

    def __getitem__(self, name: str) -> torch.Tensor:
        weight: torch.Tensor = self._weights[name].data
        return weight

    def holds(self, names: set[str]) -> bool:
        """Say whether these are its weights, all of them but those that stand for another one."""
        return names <= set(self._weights) and {id(self._weights[name]) for name in names} == {
            id(weight) for weight in self._weights.values()
        }


def current_weights(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights of a model as its adapters make them, by the names that they have without adapters.

    Args:
        model: A model of transformers, perhaps with layers of PEFT's LoRA in it.
    """
    deltas = {name: module for name, module in model.named_modules() if hasattr(module, "get_delta_weight")}
    for name, weight in model.named_parameters():
        if ".lora_" in name:
            continue
        plain = name.replace(".base_layer.", ".")
        layer = deltas.get(plain.removesuffix(".weight")) if plain.endswith(".weight") else None
        whole = weight.detach()
        if layer is not None:
            for adapter in layer.active_adapters:
                # As when an adapter is loaded: the sum is made in float32 and only then rounded.
                whole = whole + layer.get_delta_weight(adapter).detach()
        yield plain, whole


def _is_plain(name: str) -> bool:
    """Say whether a weight is the model's own or one of the two factors of a LoRA layer, without bias and magnitude."""
    return ".lora_" not in name or (".lora_magnitude_vector" not in name and not name.endswith(".bias"))


def _copy_of(model: Any) -> _Copy | None:
    """Return a model to put the current weights into; None where the live model can be asked as it is.

    That is where its number format is the wanted one, and where its weights are not those of its class alone with
    plain LoRA over them.
    """
    kind = getattr(torch, computing_dtype())
    if model.dtype == kind or not all(map(_is_plain, (name for name, _ in model.named_parameters()))):
        return None
    with torch.device("meta"), quiet():
        empty = type(model)._from_config(model.config, dtype=kind)
    empty.to_empty(device=model.device)
    empty.tie_weights()
    copy = _Copy(empty.eval().requires_grad_(requires_grad=False))
    if not copy.holds({name for name, _ in current_weights(model)}):
        return None
    live = dict(model.named_buffers())
    for name, buffer in empty.named_buffers():
        buffer.copy_(live[name])
    return copy
