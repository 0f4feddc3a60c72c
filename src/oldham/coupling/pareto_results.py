"""What the Pareto analysis returns: which arms nothing beats, how sure that is, and how far the others are behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from oldham.coupling.pareto_text import pareto_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oldham.coupling.results import Interval

Standing = Literal["in front", "dominated", "undecided"]

_SCHEMA: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = {
    "arm": pl.String,
    "standing": pl.String,
    "in_front": pl.Boolean,
    "membership": pl.Float64,
    "membership_if_alike": pl.Float64,
    "in_front_exact": pl.Boolean,
    "membership_exact": pl.Float64,
    "membership_exact_if_alike": pl.Float64,
    "rival": pl.String,
    "rival_share": pl.Float64,
    "gap": pl.Float64,
    "gap_low": pl.Float64,
    "gap_high": pl.Float64,
    "regret": pl.Float64,
    "regret_low": pl.Float64,
    "regret_high": pl.Float64,
    "gain": pl.Float64,
    "gain_low": pl.Float64,
    "gain_high": pl.Float64,
    "finding": pl.String,
}
_LOSS_SCHEMA: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = {
    "arm": pl.String,
    "axis": pl.String,
    "change": pl.Float64,
    "best": pl.String,
    "loss": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n_items": pl.Int64,
    "n_clusters": pl.Int64,
}


@dataclass(frozen=True, slots=True)
class Loss:
    """How far an arm is behind the best arm on one axis."""

    axis: str
    change: float
    """The arm's change from the baseline, in [-1, 1]; 0 for the baseline."""
    best: str
    """The arm with the highest change."""
    loss: float
    """In [0, 2]: 0 for the best arm."""
    interval: Interval
    """Holds the loss to the truly best arm, whichever that is."""
    n_items: int
    """Paired items behind the change; for the baseline, the most that any arm has."""
    n_clusters: int


@dataclass(frozen=True, slots=True)
class ParetoArm:
    """One arm among all that were compared on every axis."""

    arm: str
    standing: Standing
    """What the intervals allow to be said, within the margin."""
    in_front: bool
    """Whether nothing dominates it within the margin, taking every change at its estimate."""
    membership: float
    """Share of the resamples in which nothing dominates it within the margin. Leans upward: hold it against
    `membership_if_alike`."""
    membership_if_alike: float
    """The same share if no arm truly differed from the baseline and the noise were what it is."""
    in_front_exact: bool
    """Whether nothing dominates it without a margin."""
    membership_exact: float
    """The share without a margin."""
    membership_exact_if_alike: float
    rival: str | None
    """The arm that dominates it within the margin in the most resamples; None where none ever does."""
    rival_share: float
    """In how many; 0 without a rival."""
    gap: float
    """By how much it would have to rise on every axis, at least, before nothing dominated it; 0 in the exact front."""
    gap_interval: Interval
    regret: float
    """Its largest loss to the best arm on any axis: the additive epsilon indicator of the arm as the only choice."""
    regret_interval: Interval
    losses: tuple[Loss, ...]
    """By axis."""
    gain: float
    """Volume that it adds to the baseline's by itself, in changes of a score at no cost; see `pareto_volume`."""
    gain_interval: Interval
    finding: str
    """One sentence in plain language."""


@dataclass(frozen=True, slots=True)
class Pareto:
    """Which arms nothing beats on all axes together."""

    baseline: str
    axes: tuple[str, ...]
    """The axes compared on: those on which some arm has paired items."""
    margin: float
    """What a difference must exceed to count."""
    arms: tuple[ParetoArm, ...]
    """The baseline first, at change 0."""
    gain: float
    """Volume that all arms together add to the baseline's; NaN with more arms than can be computed."""
    gain_interval: Interval
    gain_if_alike: float
    """What noise alone would make of `gain`, on average."""
    left_out: tuple[str, ...]
    """Arms that lack an axis, and so are in no front."""
    notes: tuple[str, ...]
    """What else to know, one sentence each; also why an arm is left out."""
    n_resamples: int
    """Resamples in which every change is known."""

    def of(self, arm: str) -> ParetoArm:
        """Return an arm's entry.

        Args:
            arm: Its name.

        Raises:
            KeyError: It is not there, or was left out.
        """
        found = next((a for a in self.arms if a.arm == arm), None)
        if found is None:
            raise KeyError(arm)
        return found

    def to_frame(self) -> pl.DataFrame:
        """Return one row an arm, the baseline first."""
        own = [name for name in _SCHEMA if not name.endswith(("_low", "_high"))]
        rows = [
            {
                **{name: getattr(a, name) for name in own},
                **{
                    f"{name}_{end}": getattr(getattr(a, f"{name}_interval"), end)
                    for name in ("gap", "regret", "gain")
                    for end in ("low", "high")
                },
            }
            for a in self.arms
        ]
        return pl.DataFrame(rows, schema=_SCHEMA)

    def loss_frame(self) -> pl.DataFrame:
        """Return one row an arm and axis: its change, the best arm, and how far it is behind."""
        own = [name for name in _LOSS_SCHEMA if name not in ("arm", "low", "high")]
        rows = [
            {
                "arm": a.arm,
                **{name: getattr(loss, name) for name in own},
                "low": loss.interval.low,
                "high": loss.interval.high,
            }
            for a in self.arms
            for loss in a.losses
        ]
        return pl.DataFrame(rows, schema=_LOSS_SCHEMA)

    def lines(self) -> list[str]:
        """Return the arms as lines of plain text."""
        return pareto_lines(self)
