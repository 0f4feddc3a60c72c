"""Activations of stored generations, kept on disk: computed once, read back row by row.

The stored tokens are read again (teacher forcing), so it does not matter which program wrote them. Each generation goes
through the model by itself: in a batch, rounding would depend on what else is in it, and a store that was interrupted
would hold other numbers than one that was not.

    FOLDER/index.json            what is stored, and where; replaced whole when a shard is complete
    FOLDER/shard-00000.safetensors   `resid_post.7` (rows, width), ..., and of each row its place in the generation
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from oldham.core.errors import ConfigError, DataError, ModelError
from oldham.engine.anatomy import anatomy_of
from oldham.engine.hooks import Point, hooked
from oldham.engine.store_index import Index, Kept, Shard, writing
from oldham.engine.token_layout import Positions, places_of, row_table, token_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from oldham.core.records import Generation, ModelFingerprint
    from oldham.engine.anatomy import Anatomy
    from oldham.engine.token_layout import Decode

NumberFormat: TypeAlias = Literal["float16", "bfloat16", "float32"]


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What is kept of each generation, and how."""

    model: ModelFingerprint
    """The model that computes them."""
    decode: Decode
    """Of its tokenizer."""
    points: tuple[Point, ...]
    """What is read, at least one; more may be added to a store later."""
    positions: Positions = Positions()
    """Which tokens; the same for a whole store."""
    number_format: NumberFormat = "bfloat16"
    """The same for a whole store."""
    lens_tokens: tuple[int, ...] = ()
    """Tokens whose logits are kept too, as if the residual stream went from `resid_pre` or `resid_post` straight to the
    final norm and the unembedding (the logit lens); the same for a whole store. Empty for none."""
    steps: Callable[[Generation], Sequence[int]] | None = None
    """Returns where the steps of a generation end, as characters of `output_text`; needed for `steps`."""
    shard_mib: float = 64.0
    """A shard is written when it is about so large; whoever is killed loses at most one."""
    watch: Callable[[int], None] | None = None
    """Is told how many generations are done."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What `ActivationStore.write` did."""

    new: int
    """Generations for which something was computed."""
    there: int
    """Generations that were there with all points."""
    without_tokens: int
    """Generations left out because they have no token ids, such as failed ones."""

    @property
    def summary(self) -> str:
        """One sentence."""
        left = f", {self.without_tokens} left out (no token ids)" if self.without_tokens else ""
        return f"{self.new} generations computed, {self.there} there already{left}."


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the stored rows of one generation are; every array has shape (rows,), in the order of the tokens."""

    place: NDArray[np.int64]
    """In `prompt_ids + output_ids`, from 0."""
    part: NDArray[np.int64]
    """Number in `PARTS`; forced text and what closes a trace are `other`."""
    offset: NDArray[np.int64]
    """Which token of its part's, from 0; in the prompt from its end, the last one being -1."""
    before_answer: NDArray[np.bool_]
    """Whether it is the token from which the answer's first chosen token is predicted."""
    ends_trace: NDArray[np.bool_]
    """Whether it is the last token of the trace."""


class ActivationStore:
    """A folder of activations.

    One process writes at a time; any number may read what is in the index.

    Args:
        folder: Made by the first `write`.

    Raises:
        DataError: There is something there that is no store, or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = Index.read(folder)
        self._open: dict[str, Any] = {}

    def write(self, model: Any, generations: Iterable[Generation], options: StoreOptions) -> Stored:
        """Compute and store what is not there yet.

        Args:
            model: A causal language model of transformers in evaluation mode.
            generations: Any; only their token ids are used.
            options: What to keep.

        Returns:
            What was done. Killed on its way, it goes on with the same call and ends with the same rows.

        Raises:
            ModelError: The store was made with another model, or a number does not fit the number format.
            ConfigError: The store was made with other positions, another number format or other lens tokens, or the
                model has no such point.
            DataError: A generation's tokens do not fit the tokenizer, or the folder cannot be written.
        """
        if not options.points:
            raise ConfigError("No layer is named.", remedy="Name at least one.")
        if "steps" in options.positions.where and options.steps is None:
            raise ConfigError("Nobody says where the steps end.", remedy="Give `steps`, or take other positions.")
        with writing(self.folder):
            self._index = Index.read(self.folder)  # under the lock: another process may have just ended
            self._index.agree(
                options.model, options.positions.model_dump(mode="json"), options.number_format, options.lens_tokens
            )
            return _Writer(self.folder, self._index, model, options).all_of(generations)

    @property
    def generations(self) -> list[str]:
        """Fingerprints of the trials of which anything is stored, sorted."""
        return sorted(self._index.places)

    @property
    def model(self) -> ModelFingerprint | None:
        """What computed the activations; None while nothing is stored."""
        return self._index.model

    @property
    def positions(self) -> Positions | None:
        """Which tokens are stored; None while nothing is."""
        return None if self._index.positions is None else Positions.model_validate(self._index.positions)

    @property
    def lens_tokens(self) -> tuple[int, ...]:
        """The tokens whose logits are stored, in the order of their columns."""
        return self._index.lens_tokens

    @property
    def points(self) -> list[Point]:
        """The points of which every stored generation has its rows, in the model's order."""
        return self.points_of(self._index.places)

    def points_of(self, generations: Iterable[str]) -> list[Point]:
        """Return the points of which all of some generations have their rows, in the model's order.

        Args:
            generations: Fingerprints of trials; one of which nothing is stored leaves no point.
        """
        every = [set(self._index.places.get(generation, ())) for generation in generations]
        return sorted(set.intersection(*every) if every else set(), key=lambda point: (point.layer, point.site))

    def tensor(self, generation: str, point: Point) -> torch.Tensor:
        """Return the activations of one generation at one point, as they are stored.

        Args:
            generation: Fingerprint of its trial.
            point: Where in the model.

        Returns:
            Shape (rows, width), at `head_out` (rows, heads, size), on the CPU. Only these rows are read from the disk.

        Raises:
            DataError: They are not stored, or their shard is damaged.
        """
        return self._slice(self._kept(generation, point), _name(point))

    def read(self, generation: str, point: Point) -> NDArray[np.float32]:
        """Return the activations of one generation at one point in float32. See `tensor`."""
        values: NDArray[np.float32] = self.tensor(generation, point).float().numpy()
        return values

    def lens(self, generation: str, point: Point) -> NDArray[np.float32] | None:
        """Return the logits of the lens tokens at one point.

        Args:
            generation: Fingerprint of its trial.
            point: Where in the model.

        Returns:
            Shape (rows, lens tokens), float32; None at a point outside the residual stream, or without lens tokens.

        Raises:
            DataError: The point is not stored, or its shard is damaged.
        """
        kept = self._kept(generation, point)
        if not self.lens_tokens or not point.site.startswith("resid"):
            return None
        values: NDArray[np.float32] = self._slice(kept, f"lens.{_name(point)}").numpy()
        return values

    def rows(self, generation: str) -> Rows:
        """Return where the stored rows of a generation are.

        Args:
            generation: Fingerprint of its trial.

        Raises:
            DataError: Nothing of it is stored, or its shard is damaged.
        """
        table = self._slice(self._kept(generation, None), "rows").numpy()
        return Rows(table[:, 0], table[:, 1], table[:, 2], table[:, 3] > 0, table[:, 4] > 0)

    def to_frame(self) -> pl.DataFrame:
        """Return the index as a table: one row a generation and point, with its shard and rows there."""
        model = None if self.model is None else self.model.fingerprint
        return pl.DataFrame(
            [
                (generation, point.site, point.layer, kept.shard, kept.start, kept.stop, model)
                for generation, points in sorted(self._index.places.items())
                for point, kept in points.items()
            ],
            schema={
                "generation": pl.String,
                "site": pl.String,
                "layer": pl.Int64,
                "shard": pl.String,
                "start": pl.Int64,
                "stop": pl.Int64,
                "model": pl.String,
            },
            orient="row",
        )

    def _kept(self, generation: str, point: Point | None) -> Kept:
        """Return where rows are; any point's, where none is named: all have the same rows."""
        points = self._index.places.get(generation, {})
        found = next(iter(points.values()), None) if point is None else points.get(point)
        if found is None:
            raise DataError(
                f"Of generation {generation}, {f'not the {point}' if points else 'nothing'} is stored here.",
                place=str(self.folder),
                remedy="Store it first: oldham attribute activations.",
            )
        return found

    def _slice(self, kept: Kept, name: str) -> torch.Tensor:
        path = self.folder / kept.shard
        try:
            if kept.shard not in self._open:
                self._open[kept.shard] = safe_open(path, framework="pt", device="cpu")
            return self._open[kept.shard].get_slice(name)[kept.start : kept.stop]
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"A shard of the store cannot be read ({error}).",
                place=str(path),
                remedy="Delete the folder and store the activations again.",
            ) from error


@dataclass
class _Writer:
    """Gathers rows until they make a shard."""

    folder: Path
    index: Index
    model: Any
    options: StoreOptions
    _tensors: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    _points: tuple[Point, ...] = ()
    _spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    _rows: int = 0
    _bytes: int = 0

    def all_of(self, generations: Iterable[Generation]) -> Stored:
        new = there = without = 0
        anatomy = anatomy_of(self.model)
        for done, generation in enumerate(generations, 1):
            key = generation.trial.fingerprint
            lacking = tuple(p for p in self.options.points if p not in self.index.places.get(key, {}))
            if not generation.prompt_ids or not generation.output_ids:
                without += 1
            elif not lacking or key in self._spans:
                there += 1
            else:
                if lacking != self._points:
                    self._flush()
                    self._points = lacking
                self._add(key, generation, anatomy)
                new += 1
            if self.options.watch is not None:
                self.options.watch(done)
        self._flush()
        return Stored(new, there, without)

    def _add(self, key: str, generation: Generation, anatomy: Anatomy) -> None:
        layout = token_layout(generation, self.options.decode)
        steps = self.options.steps(generation) if self.options.steps is not None else ()
        places = places_of(layout, self.options.positions, steps)
        ids = (*generation.prompt_ids, *generation.output_ids)[: (places[-1] if places else 0) + 1]
        found = _activations(anatomy, self.model, ids, self._points)
        took = {"rows": torch.tensor(row_table(layout, places)).reshape(-1, 5)}
        for point, tensor in found.items():
            kept = tensor[places].to(getattr(torch, self.options.number_format))
            if not torch.isfinite(kept).all():
                raise ModelError(
                    f"An activation at the {point} is too large for {self.options.number_format}.",
                    remedy="Store bfloat16 or float32.",
                )
            took[_name(point)] = kept
            if self.options.lens_tokens and point.site.startswith("resid"):
                took[f"lens.{_name(point)}"] = _lens(anatomy, tensor[places], self.options.lens_tokens)
        for name, tensor in took.items():
            self._tensors.setdefault(name, []).append(tensor.cpu())
            self._bytes += tensor.numel() * tensor.element_size()
        self._spans[key] = (self._rows, self._rows + len(places))
        self._rows += len(places)
        if self._bytes >= self.options.shard_mib * 2**20:
            self._flush()

    def _flush(self) -> None:
        """Write the shard, then the index: what a kill leaves between the two is no part of the store."""
        if self._spans:
            tensors = {name: torch.cat(parts).contiguous() for name, parts in self._tensors.items()}
            shard = Shard(self.index.next_name(), self._points, dict(self._spans))
            self.index.add(self.folder, shard, lambda path: save_file(tensors, path))
        self._tensors, self._spans, self._rows, self._bytes = {}, {}, 0, 0


def _activations(
    anatomy: Anatomy, model: Any, ids: Sequence[int], points: Sequence[Point]
) -> Mapping[Point, torch.Tensor]:
    with torch.inference_mode(), hooked(model, reads=points) as read:
        # The decoder alone: logits of every token would take more memory than all layers together.
        anatomy.decoder(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False)
        return {point: read[point][0] for point in points}


def _lens(anatomy: Anatomy, residual: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        normed = residual if anatomy.norm is None else anatomy.norm(residual)
        return normed.float() @ anatomy.unembedding.weight[list(tokens)].float().T


def _name(point: Point) -> str:
    return f"{point.site}.{point.layer}"
