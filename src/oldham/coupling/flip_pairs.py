"""The items behind risk and defence: whose verdict crossed from one side to the other (estimators: flips)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, overload

import polars as pl

from oldham.core.outcomes import Axis
from oldham.coupling.flips import single_draws, spread_single_draws
from oldham.coupling.results import FlipPair

if TYPE_CHECKING:
    from collections.abc import Iterator

_HALF: Final = 0.5
_UNIT: Final = ("axis", "benchmark", "item", "attack")
_READ: Final = (*_UNIT, "draw", "score", "outcome", "generation")
_NAME: Final = pl.Categorical()
_PAIR: Final = pl.Schema(
    [
        ("arm", _NAME),
        ("axis", _NAME),
        ("benchmark", _NAME),
        ("item", _NAME),
        ("draw", pl.Int64()),
        ("kind", _NAME),
        ("baseline_outcome", _NAME),
        ("arm_outcome", _NAME),
        ("baseline_generation", pl.String()),
        ("arm_generation", pl.String()),
    ]
)


class FlipPairs(Sequence[FlipPair]):
    """Flipped items in their order: a table, of which a row is made into a `FlipPair` when somebody looks at it.

    Millions of answers have millions of flips, of which a reader sees a few.

    Args:
        frame: A column for each field of `FlipPair`.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def of(self, arm: str, axis: str) -> FlipPairs:
        """Return those of one arm and axis.

        Args:
            arm: The arm.
            axis: The axis.
        """
        return FlipPairs(self.frame.filter(pl.col("arm") == arm, pl.col("axis") == axis))

    def __len__(self) -> int:
        return self.frame.height

    @overload
    def __getitem__(self, at: int) -> FlipPair: ...
    @overload
    def __getitem__(self, at: slice) -> FlipPairs: ...
    def __getitem__(self, at: int | slice) -> FlipPair | FlipPairs:
        if isinstance(at, slice):
            return FlipPairs(self.frame[at])
        return FlipPair(*self.frame.row(at))

    def __iter__(self) -> Iterator[FlipPair]:
        return (FlipPair(*row) for row in self.frame.iter_rows())

    def __repr__(self) -> str:
        return f"FlipPairs({self.frame!r})"


def list_flip_pairs(trials: pl.DataFrame, *, baseline: str, arms: Sequence[str]) -> FlipPairs:
    """List the items whose score crosses one half between the baseline and an arm, draw by draw.

    Args:
        trials: One row a trial and span; only answers are read.
        baseline: The arm compared with.
        arms: The arms to compare, in the order wanted.

    Returns:
        By arm, axis, risk before defence, benchmark, item and draw. Where one side drew an item once, that draw is
        paired with every draw of the other, and `draw` is the other's. A score of exactly one half is on neither side.
    """
    answers = trials.lazy().filter(pl.col("span") == "answer")
    # Names as categories: draws of millions of items are counted and joined by number and not by text.
    facts = answers.with_columns(pl.col("generation").fill_null(""), pl.col(*_UNIT, "outcome").cast(_NAME))
    by_arm = {
        arm: facts.filter(pl.col("arm") == arm).select(_READ).collect() for arm in dict.fromkeys((baseline, *arms))
    }
    single = single_draws(by_arm[baseline], _UNIT)
    crossing = [_crossing(by_arm[baseline], single, by_arm[arm], arm) for arm in arms]
    return FlipPairs(pl.concat([pl.DataFrame(schema=_PAIR), *crossing]))


def _crossing(before: pl.DataFrame, single: pl.DataFrame, after: pl.DataFrame, arm: str) -> pl.DataFrame:
    """Return the pairs of one arm whose score crosses one half, in order."""
    # Draws are counted with those that have no score: one that was lost does not make the other the only one.
    own = spread_single_draws(before, after, _UNIT, single=single)
    joined = spread_single_draws(after, own, _UNIT).join(own, on=[*_UNIT, "draw"], suffix="_before")
    crossing = joined.filter((pl.col("score") - _HALF) * (pl.col("score_before") - _HALF) < 0)
    is_risk = pl.col("score") < pl.col("score_before")
    place = pl.col("axis").replace_strict({str(axis): at for at, axis in enumerate(Axis)}, return_dtype=pl.Int8)
    ordered = crossing.sort(place, ~is_risk, "benchmark", "item", "draw", "attack")
    return ordered.select(
        pl.lit(arm).alias("arm"),
        "axis",
        "benchmark",
        "item",
        "draw",
        pl.when(is_risk).then(pl.lit("risk")).otherwise(pl.lit("defence")).alias("kind"),
        pl.col("outcome_before").alias("baseline_outcome"),
        pl.col("outcome").alias("arm_outcome"),
        pl.col("generation_before").alias("baseline_generation"),
        pl.col("generation").alias("arm_generation"),
    ).cast(_PAIR)
