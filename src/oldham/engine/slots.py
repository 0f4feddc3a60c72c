"""Where the keys and values of rows are kept: allocated once, a slot a row."""

from __future__ import annotations

import contextlib
import mmap
from math import prod
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


class Slots:
    """Keys and values of every layer, for a fixed number of rows of a fixed length.

    Args:
        device: Where they are kept.
        count: How many rows there is room for.
        length: Most tokens a row may have; a multiple of `attention.BLOCK`.
    """

    def __init__(self, device: torch.device, count: int, length: int) -> None:
        self.device, self.count, self.length = device, count, length
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def write(
        self, layer: int, rows: torch.Tensor, places: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store what a layer made of some tokens.

        Args:
            layer: The layer's number.
            rows: Slot of each token, shape (tokens,).
            places: Place of each token in its slot, shape (tokens,).
            keys: Shape (heads, at least tokens, size); what is more than tokens is left out.
            values: The same.

        Returns:
            All keys and all values of the layer, shape (slots, heads, length, size). What was never written is 0, so
            that a masked place holds a finite number.
        """
        if layer not in self._layers:
            self._layers[layer] = (self._room(keys), self._room(values))
        stored = self._layers[layer]
        for room, new in zip(stored, (keys, values), strict=True):
            room[rows, :, places] = new[:, : rows.shape[0]].transpose(0, 1)
        return stored

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the beginning of a slot.

        Args:
            source: The slot it is in.
            target: The slot it is copied to.
            length: How many tokens.
        """
        for stored in self._layers.values():
            for room in stored:
                room[target, :, :length] = room[source, :, :length]

    def clear(self, slot: int) -> None:
        """Set a slot to 0.

        Args:
            slot: Which one.
        """
        for stored in self._layers.values():
            for room in stored:
                room[slot] = 0

    @property
    def bytes_per_token(self) -> int:
        """What a token takes in all layers; known after the first forward pass."""
        return sum(
            room.shape[1] * room.shape[3] * room.element_size() for stored in self._layers.values() for room in stored
        )

    def _room(self, like: torch.Tensor) -> torch.Tensor:
        shape = (self.count, like.shape[0], self.length, like.shape[2])
        if self.device.type != "cpu":
            return like.new_zeros(shape)
        return _zeros(prod(shape) * like.element_size()).view(like.dtype).view(shape)


def _zeros(size: int) -> torch.Tensor:
    """Return zeroed bytes in large pages where the system has them.

    The system hands out a page when it is first written, and a row's tokens lie far apart: with pages of 4 KiB that
    takes longer than attention does.
    """
    room = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # A kernel without large pages refuses, and the small ones do.
        with contextlib.suppress(OSError):
            room.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(room, dtype=torch.uint8)


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many first tokens two sequences share.

    Args:
        one: Tokens.
        other: Tokens.
    """
    low, high = 0, min(len(one), len(other))
    while low < high:  # halving finds the end in a few comparisons that C makes
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
