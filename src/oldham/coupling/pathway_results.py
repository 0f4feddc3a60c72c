"""What the analysis of pathways returns: shares of labels with intervals and counts, and the flows between outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import polars as pl

from oldham.coupling.pathway_text import pathway_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oldham.coupling.pathway_rules import Rules, Side
    from oldham.coupling.results import Interval

ALL: Final = "all"
"""The name of the sum of a side."""
REASONS: Final = (
    "the new answer names its request no more than another one",
    "there was no trace",
    "no trace was read",
    "nobody looked for stages in the trace",
    "the trace was cut while it was set on declining",
    "no rule fits what was found",
)
"""Why a flip is unclear; the first that holds is told."""

_Schema: TypeAlias = "Mapping[str, pl.DataType | type[pl.DataType]]"
_ENTRY: Final[_Schema] = dict.fromkeys(("arm", "attack", "against", "axis"), pl.String)
_LABEL: Final[_Schema] = {"side": pl.String, "pathway": pl.String, "apart": pl.Boolean}
_FLOW: Final[_Schema] = dict.fromkeys(("baseline_outcome", "side", "pathway", "new_outcome"), pl.String)
_SHARE: Final[_Schema] = {"share": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64}
_COUNTS: Final[_Schema] = dict.fromkeys(("n_items", "n_clusters", "n_pairs", "n_no_baseline", "n_unpaired"), pl.Int64)
PAIR: Final[_Schema] = {
    **_ENTRY,
    **dict.fromkeys(("benchmark", "item"), pl.String),
    "draw": pl.Int64,
    **_FLOW,
    **dict.fromkeys(("reason", "baseline_generation", "new_generation"), pl.String),
}
"""Columns of `PathwayTable.pairs`."""


@dataclass(frozen=True, slots=True)
class PathwayShare:
    """How many pairs have a label."""

    side: Side | None
    """None for the pairs without an outcome."""
    pathway: str
    """A rule's name, `unclear`, `all` for the sum of a side, or `no_outcome`."""
    apart: bool
    """Whether it is in no sum."""
    share: float
    """Of the paired items, draws averaged, in [0, 1]; NaN without items, and where it could be told of no pair."""
    interval: Interval
    """Wilson, clusters and draws allowed for."""
    n: int
    """Pairs, each draw by itself."""
    n_untold: int = 0
    """Pairs that no earlier rule took and of which it could not be told, since a fact is unknown."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A row of the alluvial table: the pairs of one baseline outcome, label and new outcome."""

    baseline_outcome: str
    """One of `oldham.core.outcomes.Outcome`."""
    side: Side | None
    """None for what is neither risk nor defence."""
    pathway: str
    """The label; also `no_flip` and `no_outcome`."""
    new_outcome: str
    """One of `oldham.core.outcomes.Outcome`."""
    share: float
    """Of the paired items, draws averaged, in [0, 1]; all flows sum to 1."""
    interval: Interval
    """Wilson, clusters and draws allowed for."""
    n: int
    """Pairs, each draw by itself."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why flips of a side are unclear."""

    side: Side
    """Which flips."""
    text: str
    """One of `REASONS`."""
    n: int
    """Pairs."""


@dataclass(frozen=True, slots=True)
class Pathways:
    """The labels of one arm on one axis.

    The paired items are those with a baseline outcome and a new row on some draw. A new answer without an outcome stays
    among them, so that all flows sum to 1. Items are averaged over their draws, draw k against draw k (a single draw
    against each), and count alike, whichever benchmark they are from. Sampling flips verdicts too: hold the sums of a
    sampled study against the noise floor of `Flips`. (That averages over all pairs of draws, over scored items alone,
    and over benchmarks without weights: the two agree with one draw, one benchmark, only yes-or-no scores and nothing
    missing.)
    """

    arm: str
    """Whose new answers these are."""
    axis: str
    """One of `oldham.core.outcomes.Axis`."""
    attack: str | None
    """The attack whose power is told apart; None where an arm is compared with another."""
    against: str
    """The baseline arm; `none` where the arm itself without an attack is the baseline."""
    shares: tuple[PathwayShare, ...]
    """Every rule in the table's order, then `unclear` of risk and of defence."""
    risk: PathwayShare
    """Answers that went to the bad side, but for those that a rule tells apart."""
    defence: PathwayShare
    """Answers that went from the bad side to the good one; without incapacity."""
    no_outcome: PathwayShare
    """New answers on no side that no rule took."""
    risk_at_most: float
    """The share if every answer that was not bad and came to no outcome had gone to the bad side."""
    defence_at_most: float
    """The share if every bad answer that came to no outcome, or to no answer, had been defended."""
    flows: tuple[Flow, ...]
    """By baseline outcome, label and new outcome."""
    reasons: tuple[Reason, ...]
    """Why flips are unclear, risk first; those of no pair are left out."""
    n_items: int
    """Paired items."""
    n_clusters: int
    """Clusters they are in."""
    n_pairs: int
    """Their pairs, each draw by itself."""
    n_no_baseline: int
    """Pairs without a label, since the baseline's answer is unfinished or unjudged."""
    n_unpaired: int
    """Trials that only one of the two sides has."""

    def of(self, pathway: str, side: Side | None = None) -> PathwayShare:
        """Return a label's share.

        Args:
            pathway: A rule's name, or `unclear`.
            side: Which side's; only `unclear` is on both.

        Raises:
            KeyError: There is no such label.
        """
        found = next((s for s in self.shares if s.pathway == pathway and side in (None, s.side)), None)
        if found is None:
            raise KeyError(pathway)
        return found


@dataclass(frozen=True, slots=True)
class PathwayTable:
    """The labels of every arm on every axis."""

    entries: tuple[Pathways, ...]
    """By axis, then arm; an arm without rows on an axis has none there."""
    rules: Rules
    """The table that the labels are from."""
    pairs: pl.DataFrame = field(compare=False, repr=False)
    """One row a labelled pair, with the columns of `PAIR`: to look at what a share is made of."""

    def to_frame(self) -> pl.DataFrame:
        """Return one row an arm, axis and label; the shares of a side that are not `apart` sum to its flips.

        Shares are NaN where nothing could be told; a sum must then leave them out.
        """
        rows = [
            {
                **{name: getattr(entry, name) for name in (*_ENTRY, *_COUNTS)},
                **{name: getattr(share, name) for name in (*_LABEL, "share", "n", "n_untold")},
                "low": share.interval.low,
                "high": share.interval.high,
            }
            for entry in self.entries
            for share in entry.shares
        ]
        return pl.DataFrame(rows, schema={**_ENTRY, **_LABEL, **_SHARE, "n_untold": pl.Int64, **_COUNTS})

    def flow_frame(self) -> pl.DataFrame:
        """Return the alluvial table: one row an arm, axis, baseline outcome, label and new outcome."""
        rows = [
            {
                **{name: getattr(entry, name) for name in _ENTRY},
                **{name: getattr(flow, name) for name in (*_FLOW, "share", "n")},
                "low": flow.interval.low,
                "high": flow.interval.high,
            }
            for entry in self.entries
            for flow in entry.flows
        ]
        return pl.DataFrame(rows, schema={**_ENTRY, **_FLOW, **_SHARE})

    def lines(self) -> list[str]:
        """Return the labels as lines of plain text, entry by entry."""
        return pathway_lines(self)
