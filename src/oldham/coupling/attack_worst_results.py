"""What is known of the worst of all attacks in an arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oldham.coupling.attack_results import Paired
    from oldham.coupling.results import Interval


@dataclass(frozen=True, slots=True)
class WorstOfAttacks:
    """The share of items on which at least one attack of the ladder succeeds, each with its first draw.

    An item is broken as soon as one attack succeeds, whatever has no score; unbroken where every attack that it was
    asked under has a score and none succeeds; else it is unknown. An attack that an item was not asked under is nothing
    that is missing. The share of the known items alone would be too high, for an item with a missing score can become
    known by breaking and in no other way: what is told are bounds over all items asked.
    """

    axis: str
    arm: str
    attacks: tuple[str, ...]
    """The attacks run in this arm, one try each."""
    fewest: int
    """The fewest of them that an item was asked under."""
    searches: tuple[str, ...]
    """Those of `attacks` that ask the target several times in one try."""
    fewest_queries: float
    """Queries of the shortest try of a search; NaN without one."""
    most_queries: float
    """Queries of the longest try of a search; NaN without one."""
    share: float
    """Share of the items asked that are broken for sure, which is `bound_low`; NaN where no item is known."""
    interval: Interval
    """From the lower end of the 95% interval of `bound_low` to the upper end of that of `bound_high`, so that it covers
    whatever the unknown items are (Horowitz and Manski 2000, J Am Stat Assoc 95:77). NaN where `share` is."""
    bound_low: float
    """Over all items asked, if every missing outcome were good."""
    bound_high: float
    """Over all items asked, if every missing outcome were bad."""
    n_items: int
    """Items known to be broken or unbroken."""
    n_clusters: int
    """Of all items asked."""
    n_missing: int
    """Items of which neither is known: `share` is of these too."""
    shared: tuple[str, ...]
    """The attacks run in the baseline too, over which `change` is told; empty for the baseline."""
    change: Paired | None
    """Worst of `shared` here minus the same in the baseline, each item with the attacks that it was asked under on both
    sides; None for the baseline or where nothing is shared. Its `delta` is over the items known on both sides, and so
    can lie beyond the bounds. Its interval goes from the lower end of the 95% interval of `change_bound_low` to the
    upper end of that of `change_bound_high`, and its p-value is that of the bound nearer to 0, 1 where they lie around
    it: a change is decided only where the missing outcomes could not undo it, sampling allowed for. `n_missing` counts
    the items asked on both sides that are unknown on one."""
    change_bound_low: float
    """The change over all items asked on both sides, if every missing outcome were good here and bad in the baseline;
    NaN without one."""
    change_bound_high: float
    """The same the other way round."""
    n_apart: int
    """Items that met attacks here or in the baseline, but none on both sides: they are no part of the change. 0 where
    there is no change."""
