"""The index of an activation store: which rows of which shard belong to which generation, and one writer at a time."""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import ValidationError

from oldham.core.errors import ConfigError, DataError, ModelError
from oldham.core.records import ModelFingerprint
from oldham.engine.hooks import Point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

FORMAT: Final = 1
INDEX: Final = "index.json"
_DECIDING: Final = ("weights", "adapter", "dtype")
"""What of a model decides its activations; template and backend decide which tokens it reads, and these are stored."""


class Kept(NamedTuple):
    """Where the rows of one generation are at one point."""

    shard: str
    """File name."""
    start: int
    """First row."""
    stop: int
    """One after the last row."""


class Shard(NamedTuple):
    """One file of rows."""

    file: str
    """Its name."""
    points: tuple[Point, ...]
    """What it holds."""
    spans: Mapping[str, tuple[int, int]]
    """First row, and one after the last, by generation."""


@dataclass
class Index:
    """What a store holds."""

    model: ModelFingerprint | None = None
    """What computed the rows; None while there are none."""
    positions: dict[str, Any] | None = None
    """Which tokens are stored."""
    number_format: str | None = None
    """How numbers are stored."""
    lens_tokens: tuple[int, ...] = ()
    """Tokens whose logits are stored."""
    shards: list[Shard] = field(default_factory=list)
    """In the order in which they were written."""
    places: dict[str, dict[Point, Kept]] = field(default_factory=dict)
    """By generation and point."""

    @classmethod
    def read(cls, folder: Path) -> Index:
        """Read the index of a folder; one without an index is an empty store.

        Args:
            folder: The store's folder; it need not be there.

        Raises:
            DataError: The index is damaged, or from another version.
        """
        path = folder / INDEX
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] != FORMAT:
                raise DataError(
                    f"This store has format {told['format']}, and this Oldham reads format {FORMAT}.",
                    place=str(path),
                    remedy="Use the Oldham version that wrote it, or store the activations again.",
                )
            index = cls(
                ModelFingerprint.model_validate(told["model"]),
                told["positions"],
                told["number_format"],
                tuple(told["lens_tokens"]),
            )
            for shard in told["shards"]:
                points = tuple(Point(site, layer) for site, layer in shard["points"])
                index._take(Shard(shard["file"], points, {k: (a, b) for k, (a, b) in shard["generations"].items()}))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            raise DataError(
                f"The index of the store cannot be read ({error}).",
                place=str(path),
                remedy="Delete the folder and store the activations again.",
            ) from error
        return index

    def agree(
        self,
        model: ModelFingerprint,
        positions: dict[str, Any],
        number_format: str,
        lens_tokens: Sequence[int],
    ) -> None:
        """Check that new rows would mean what the stored ones mean; an empty store takes these settings.

        Args:
            model: What is to compute the rows.
            positions: Which tokens.
            number_format: How numbers are to be stored.
            lens_tokens: Tokens whose logits are to be stored.

        Raises:
            ModelError: The rows here are another model's.
            ConfigError: The rows here are stored otherwise.
        """
        if self.model is None:
            self.model, self.positions = model, positions
            self.number_format, self.lens_tokens = number_format, tuple(lens_tokens)
            return
        if any(getattr(model, name) != getattr(self.model, name) for name in _DECIDING):
            unlike = ", ".join(name for name in _DECIDING if getattr(model, name) != getattr(self.model, name))
            raise ModelError(
                f"The activations here are another model's, with other {unlike}.",
                remedy="Give the model that they were computed with, or another folder.",
            )
        settings = {
            "positions": (positions, self.positions),
            "number format": (number_format, self.number_format),
            "lens tokens": (tuple(lens_tokens), self.lens_tokens),
        }
        for name, (wanted, stored) in settings.items():
            if wanted != stored:
                raise ConfigError(
                    f"The activations here are stored with other {name} ({stored}, and not {wanted}).",
                    remedy="Give the same, or another folder.",
                )

    def next_name(self) -> str:
        """Return the name of the next shard; a file of that name is what a killed writer left, and is written over."""
        return f"shard-{len(self.shards):05}.safetensors"

    def add(self, folder: Path, shard: Shard, save: Callable[[Path], None]) -> None:
        """Write a shard, and then the index with it.

        Args:
            folder: The store's folder.
            shard: What it holds.
            save: Writes its rows to a path.

        Raises:
            DataError: The folder cannot be written.
        """
        with _explained(folder):
            part = folder / f".{shard.file}.part"
            try:
                save(part)
                part.replace(folder / shard.file)
            finally:
                part.unlink(missing_ok=True)
            self._take(shard)
            part = folder / f".{INDEX}.part"
            part.write_text(json.dumps(self._told()), encoding="utf-8")
            part.replace(folder / INDEX)

    def _take(self, shard: Shard) -> None:
        self.shards.append(shard)
        for generation, (start, stop) in shard.spans.items():
            kept = Kept(shard.file, start, stop)
            self.places.setdefault(generation, {}).update(dict.fromkeys(shard.points, kept))

    def _told(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "model": None if self.model is None else self.model.model_dump(mode="json"),
            "positions": self.positions,
            "number_format": self.number_format,
            "lens_tokens": list(self.lens_tokens),
            "shards": [
                {
                    "file": shard.file,
                    "points": [[point.site, point.layer] for point in shard.points],
                    "generations": {key: list(span) for key, span in shard.spans.items()},
                }
                for shard in self.shards
            ],
        }


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make the folder and keep other writers out; the lock ends with the process, however it ends.

    Args:
        folder: The store's folder.

    Raises:
        DataError: Another process is writing here, or the folder cannot be written.
    """
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                "Another process is storing activations here.",
                place=str(folder),
                remedy="Wait for it to end, stop it, or name another folder.",
            ) from error
        yield


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"The activations cannot be written ({(error.strerror or str(error)).lower()}).",
            place=str(folder),
            remedy="Free some space or name another folder; what is in the index is kept.",
        ) from error
