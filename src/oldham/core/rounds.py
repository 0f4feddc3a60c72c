"""What passes between a run that asks items in rounds and whoever says when it is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    import polars as pl

Cell = tuple[str, str]
"""An arm and an axis."""


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
