"""What passes between a run that asks items in rounds and whoever says when it is enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    import polars as pl

Cell = tuple[str, str]
"""An arm and an axis."""

FIRST: Final = 20
"""Items an axis in the first round; later rounds have at least as many."""
GROWTH: Final = 1.15
"""Each round brings the items to at least this many times what there was."""


def look_sizes(most: int, *, first: int = FIRST, growth: float = GROWTH) -> list[int]:
    """Return how many items an axis there are at each reading.

    Args:
        most: At the last one.
        first: In the first round.
        growth: From round to round, where that is more than the first round has.
    """
    sizes = [min(first, most)]
    while sizes[-1] < most:
        sizes.append(min(most, max(sizes[-1] + first, math.floor(sizes[-1] * growth))))
    return sizes


class Planned(NamedTuple):
    """What a study would ask of one benchmark, known before anything is asked."""

    axis: str
    items: int
    """Items; under each of its attacks where the benchmark is never asked without one."""
    clusters: int
    largest: int
    """Items of the largest cluster."""


class Look(NamedTuple):
    """One reading of the rows."""

    number: int
    """From 1."""
    items: int
    """Items an axis asked by then; fewer where an axis has no more, a few more where a cluster is whole."""


class Umpire(Protocol):
    """Says after each round who is done."""

    def check(self, axes: Sequence[str]) -> None:
        """Raise an OldhamError where nothing could ever be decided.

        Args:
            axes: The axes that the study measures.
        """

    def settle(
        self, rows: pl.DataFrame, *, look: Look, planned: Mapping[str, Planned], running: Set[Cell]
    ) -> Set[Cell]:
        """Say which arms need no more items on which axes.

        Args:
            rows: The observations of every round so far.
            look: Which reading this is.
            planned: What the study would ask at most, by benchmark.
            running: Arms and axes that are not done.

        Returns:
            Those among them that are done now.
        """

    def facts(self) -> dict[str, Any]:
        """Return what was decided, for the manifest: plain JSON values."""

    def told(self) -> Sequence[str]:
        """Return what was decided in sentences."""
