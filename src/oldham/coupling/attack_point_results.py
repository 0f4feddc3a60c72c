"""What is known of the point that successful answers speak to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oldham.coupling.results import Interval


@dataclass(frozen=True, slots=True)
class AttackPoint:
    """How much of their requests the successful answers name: evidence of being on the point, not of harm."""

    axis: str
    arm: str
    attack: str
    named: float
    """Mean over items of the share of the plain request's content words that the answer holds; NaN without items."""
    by_chance: float
    """The same of the requests of other clusters, in the same answers."""
    above: float
    """`named` minus `by_chance`, in [-1, 1]."""
    interval: Interval
    """Of `above`: cluster bootstrap over all benchmarks together; the upper end is raised by the share of clusters on
    the point that may have gone unseen where fewer than six are clearly so."""
    n_items: int
    """Items with a successful draw of which this is known."""
    n_clusters: int
    n_missing: int
    """Successful draws of which it is not known."""
