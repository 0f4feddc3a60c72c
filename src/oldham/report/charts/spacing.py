"""Where labels go so that none lies on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def spread(places: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Move places along a line as little as needed to keep them apart.

    Args:
        places: In any order.
        apart: The least distance between two.
        low: Where the line begins.
        high: Where it ends; more places than fit share it evenly.

    Returns:
        New places, in the order given, within the line; equal places keep the order given.
    """
    if not places:
        return []
    apart = min(apart, (high - low) / max(1, len(places) - 1))
    order = sorted(range(len(places)), key=lambda i: places[i])
    # Neighbours that are too close form a group, which stands around the mean of where its members would be alone.
    groups: list[tuple[float, int]] = []
    for rank, i in enumerate(order):
        size, start = 1, min(max(places[i], low), high) - apart * rank
        while groups and groups[-1][0] >= start:
            other, n = groups.pop()
            start, size = (other * n + start * size) / (n + size), size + n
        groups.append((start, size))
    moved = [start for start, size in groups for _ in range(size)]
    # Less the space taken before it, no place may leave the line.
    last = high - apart * (len(places) - 1)
    spaced = [0.0] * len(places)
    for rank, i in enumerate(order):
        spaced[i] = min(max(moved[rank], low), last) + apart * rank
    return spaced
