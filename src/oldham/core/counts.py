"""Counts of which one may not be known."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

N = TypeVar("N", int, float)


def total(values: Iterable[N | None]) -> N | None:
    """Add up; what is unknown in one of the values is unknown in their sum.

    Args:
        values: Counts, seconds or costs; None where one is not known.

    Returns:
        The sum, 0 of nothing, or None.
    """
    known: N | None = 0
    for value in values:
        known = None if known is None or value is None else known + value
    return known
