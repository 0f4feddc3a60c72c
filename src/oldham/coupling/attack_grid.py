"""Arms under attacks on the same items: what every table about attacks is made from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from oldham.core.observations import good_side
from oldham.core.outcomes import Axis
from oldham.coupling.attack_results import UNATTACKED
from oldham.coupling.bootstrap import average
from oldham.coupling.pairing import build_blocks
from oldham.coupling.shares import UNKNOWN, wilson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from oldham.coupling.bootstrap import Estimate
    from oldham.coupling.pairing import Block
    from oldham.coupling.results import Interval

YES_OR_NO: Final = frozenset({str(Axis.HARM), str(Axis.PRIVACY)})
"""Axes on which a try succeeds or fails; on the others its bad share is 1 - score."""
_TOKENS: Final = ("trace_tokens", "realised_thinking_tokens")


class Place(NamedTuple):
    """An arm under an attack."""

    arm: str
    attack: str

    @property
    def name(self) -> str:
        """What stands for both in a block, which knows of arms alone."""
        return f"{self.arm}\x1f{self.attack}"


@dataclass(frozen=True)
class Ladder:
    """The arms and attacks of a table, in the order of all that is told of them."""

    arms: tuple[str, ...]
    """The baseline first."""
    attacks: tuple[str, ...]
    """By technique and dose, without `none`."""
    techniques: Mapping[str, str]
    """By label, `none` among them."""
    doses: Mapping[str, float]
    """By label; NaN without one."""

    @property
    def places(self) -> list[Place]:
        """Every arm under every attack, `none` first."""
        return [Place(arm, attack) for attack in (UNATTACKED, *self.attacks) for arm in self.arms]


@dataclass(frozen=True)
class Grid:
    """Every arm under every attack on the same items of one benchmark; arms of the blocks are places."""

    bad: Block
    """Its scores are bad shares: 1 is bad."""
    success: Block
    """Its scores are 1 for a draw on the bad side, else 0."""
    tokens: Block
    """Its scores are tokens of the trace."""
    queries: Block
    """Its scores are queries of adaptive attacks."""

    @property
    def axis(self) -> str:
        """The axis."""
        return self.bad.axis

    @property
    def benchmark(self) -> str:
        """The benchmark."""
        return self.bad.benchmark

    @cached_property
    def _at(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.bad.arms) if self.bad.rows[i].any()}

    def has(self, *places: Place) -> bool:
        """Whether all these places have rows here."""
        return all(place.name in self._at for place in places)

    def asked(self, *places: Place) -> NDArray[np.bool_]:
        """Return which items were asked in any of these places; shape (units,)."""
        rows = self.bad.rows[[self._at[place.name] for place in places]]
        asked: NDArray[np.bool_] = rows.max(axis=0) > 0
        return asked

    def bad_share(self, place: Place) -> NDArray[np.float64]:
        """Return an arm's mean bad share under an attack, by item; shape (units,), NaN without a scored draw."""
        share: NDArray[np.float64] = self.bad.means[self._at[place.name]]
        return share

    def mean_tokens(self, place: Place) -> NDArray[np.float64]:
        """Return the mean tokens of the traces, by item; shape (units,), NaN where none was counted."""
        tokens: NDArray[np.float64] = self.tokens.means[self._at[place.name]]
        return tokens

    def draws(self, place: Place) -> NDArray[np.float64]:
        """Return which draws succeeded; shape (units, draws): 1, 0, or NaN without a score."""
        draws: NDArray[np.float64] = self.success.scores[self._at[place.name]]
        return draws

    def first(self, place: Place) -> NDArray[np.float64]:
        """Return whether the first draw succeeded; shape (units,): 1, 0, or NaN without a score."""
        return self.draws(place)[:, 0]

    def first_queries(self, place: Place) -> NDArray[np.float64]:
        """Return how often the first try asked the target; shape (units,): NaN where a try is a single query."""
        queries: NDArray[np.float64] = self.queries.scores[self._at[place.name]][:, 0]
        return queries

    def rungs(self, ladder: Ladder, arm: str) -> list[Place]:
        """Return the attacks that were run in an arm, without `none`."""
        return [place for attack in ladder.attacks if self.has(place := Place(arm, attack))]


def read_ladder(trials: pl.DataFrame, arms: Sequence[str], baseline: str) -> Ladder:
    """Find the attacks of a table.

    Args:
        trials: One row a trial and span.
        arms: Every arm, in the order wanted.
        baseline: The arm to put first.

    Returns:
        Attacks by technique, dose and label, so that the order of rows is nothing.
    """
    known = trials.group_by("attack").agg(
        pl.col("technique").drop_nulls().min(), pl.col("attack_dose").drop_nulls().min()
    )
    rows = {label: (technique or label, dose) for label, technique, dose in known.iter_rows()}
    doses = {label: math.nan if dose is None else float(dose) for label, (_, dose) in rows.items()}
    techniques = {label: technique for label, (technique, _) in rows.items()}
    attacks = sorted(
        (label for label in rows if label != UNATTACKED),
        key=lambda label: (techniques[label], -math.inf if math.isnan(doses[label]) else doses[label], label),
    )
    return Ladder((baseline, *(a for a in arms if a != baseline)), tuple(attacks), techniques, doses)


def mark_success(trials: pl.DataFrame) -> pl.DataFrame:
    """Say of every trial whether it is on the bad side, and how bad it is.

    Args:
        trials: One row a trial and span.

    Returns:
        The table with `success` (true, false or null without a score) and `bad` (in [0, 1] or null).
    """
    # One half is on neither side of some axes: no success there.
    success = pl.when(pl.col("score").is_not_null()).then(good_side().not_().fill_null(False))
    marked = trials.with_columns(success.alias("success"))
    graded = pl.when(pl.col("axis").is_in(list(YES_OR_NO))).then(pl.col("success").cast(pl.Float64))
    return marked.with_columns(graded.otherwise(1 - pl.col("score")).alias("bad"))


def token_column() -> pl.Expr:
    """Return the name of the column that counts an arm's thinking: tokens of the trace where any are told."""
    told, realised = (pl.col(name).is_not_null().any().over("axis", "arm") for name in _TOKENS)
    return pl.when(told).then(pl.lit(_TOKENS[0])).when(realised).then(pl.lit(_TOKENS[1]))


def read_grids(marked: pl.DataFrame, ladder: Ladder) -> list[Grid]:
    """Align every arm under every attack on the items of each benchmark that was attacked.

    Args:
        marked: As `mark_success` returns it, answers alone.
        ladder: The arms and attacks.

    Returns:
        By axis in its usual order, then benchmark.
    """
    tokens = pl.when(token_column() == _TOKENS[0]).then(_TOKENS[0]).otherwise(_TOKENS[1])
    placed = marked.with_columns(
        pl.concat_str("arm", "attack", separator="\x1f").alias("arm"),
        pl.lit(UNATTACKED).alias("attack"),
        tokens.cast(pl.Float64).alias("tokens"),
    )
    names = tuple(place.name for place in ladder.places)
    blocks = [
        build_blocks(placed.with_columns(pl.col(column).cast(pl.Float64).alias("score")), names)
        for column in ("bad", "success", "tokens", "queries")
    ]
    return [Grid(*of_benchmark) for of_benchmark in zip(*blocks, strict=True)]


def by_axis(grids: Sequence[Grid]) -> Iterator[tuple[str, list[Grid]]]:
    """Yield every axis with its benchmarks.

    Args:
        grids: By axis.
    """
    for axis, of_axis in groupby(grids, key=lambda grid: grid.axis):
        yield axis, list(of_axis)


def mean_share(parts: Sequence[Estimate], most: float = math.inf) -> tuple[float, Interval]:
    """Average the shares of several benchmarks; unknown without one.

    Args:
        parts: The benchmarks that have a share.
        most: At most this many independent yes-or-no trials are in the data.
    """
    if not parts:
        return math.nan, UNKNOWN
    estimate = average(parts)
    # As many trials as clusters, in one benchmark: every trial stands alone.
    alone = len(parts) == 1 and most == estimate.n_clusters
    return estimate.value, wilson(estimate.value, most) if alone else estimate.share_interval(most=most)
