"""Risk and defence apart, and the items behind them (estimators: flips)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from oldham.core.outcomes import Axis
from oldham.coupling.bootstrap import ZERO
from oldham.coupling.results import FlipPair, Flips

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from oldham.coupling.contrasts import Contrast

_HALF: Final = 0.5
_UNIT: Final = ("axis", "benchmark", "item", "attack")


def loss_by_item(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of each item's score is lost from one set of draws to another.

    Args:
        before: Shape (units, draws), in [0, 1]; NaN is no draw.
        after: Shape (units, other draws).

    Returns:
        Shape (units,): the mean over all pairs of draws of max(before - after, 0); NaN where either has no draw. With
        yes-or-no scores it is (1 - u_before) u_after, u being the share of bad draws; part scores lose only what they
        lose. Loss one way minus loss the other way is the difference of the means.
    """
    loss = np.maximum(before[:, :, None] - after[:, None, :], 0.0)
    return _mean_of(np.nansum(loss, axis=(1, 2)), np.isfinite(loss).sum(axis=(1, 2)))


def noise_by_item(draws: NDArray[np.float64], *, deterministic: bool) -> NDArray[np.float64]:
    """Return the loss that sampling alone gives between two draws of the same arm.

    Args:
        draws: Shape (units, draws), in [0, 1]; NaN is no draw.
        deterministic: Greedy decoding: an item with one draw has no noise.

    Returns:
        Shape (units,): the mean of max(y_k - y_l, 0) over ordered pairs of different draws, which for yes-or-no scores
        is m/(m - 1) u (1 - u). An item with one draw is NaN, or 0 under greedy decoding.
    """
    finished = np.isfinite(draws).sum(axis=1)
    loss = np.nansum(np.maximum(draws[:, :, None] - draws[:, None, :], 0.0), axis=(1, 2))
    noise = _mean_of(loss, finished * (finished - 1))
    noise[(finished == 1) & deterministic] = 0.0
    return noise


def build_flips(contrasts: Sequence[Contrast]) -> list[Flips]:
    """Return risk and defence of every contrast.

    Args:
        contrasts: Arms against the baseline, by axis.

    Returns:
        In the same order. Risk and defence are shares and get Wilson intervals with the effective number of trials;
        the excesses get the interval of the resampled differences, or the share's own where the noise floor is 0.
    """
    flips = []
    for c in contrasts:
        noiseless = c.floor.value == 0 and bool((np.nan_to_num(c.floor.cloud) <= ZERO).all())
        risk, defence = (e.share_interval(most=c.most_trials) for e in (c.risk, c.defence))
        excess_risk, excess_defence = c.risk.minus(c.floor), c.defence.minus(c.floor)
        flips.append(
            Flips(
                arm=c.arm,
                axis=c.axis,
                risk=c.risk.value,
                risk_interval=risk,
                defence=c.defence.value,
                defence_interval=defence,
                noise_floor=c.floor.value,
                excess_risk=excess_risk.value,
                excess_risk_interval=risk if noiseless else excess_risk.interval(),
                excess_defence=excess_defence.value,
                excess_defence_interval=defence if noiseless else excess_defence.interval(),
                n_items=c.n_items,
            )
        )
    return flips


def spread_single_draws(rows: pl.DataFrame, others: pl.DataFrame, unit: Sequence[str]) -> pl.DataFrame:
    """Let the only draw of an item stand beside every draw that the other side has of it.

    An arm that decodes greedily has nothing to draw again, and an attack that draws anew has: their draw numbers say
    nothing of each other. Where both sides have several draws, the number pairs them.

    Args:
        rows: One row a draw of an item, in the column `draw`.
        others: The other side.
        unit: The columns that name an item.

    Returns:
        The rows; that of a single draw as often as the other side has draws, with their numbers.
    """
    is_single = pl.len().over(unit) == 1
    there = others.select(*unit, pl.col("draw").alias("other draw"))
    single = rows.filter(is_single).join(there, on=list(unit), how="left")
    numbered = single.with_columns(pl.coalesce("other draw", "draw").alias("draw")).drop("other draw")
    return pl.concat([rows.filter(~is_single), numbered])


def list_flip_pairs(trials: pl.DataFrame, *, baseline: str, arms: Sequence[str]) -> list[FlipPair]:
    """List the items whose score crosses one half between the baseline and an arm, draw by draw.

    Args:
        trials: One row a trial and span; only answers are read.
        baseline: The arm compared with.
        arms: The arms to compare, in the order wanted.

    Returns:
        By arm, axis, risk before defence, benchmark, item and draw. Where one side drew an item once, that draw is
        paired with every draw of the other, and `draw` is the other's. A score of exactly one half is on neither side.
    """
    answers = trials.filter(pl.col("span") == "answer")
    facts = answers.select(*_UNIT, "draw", "arm", "score", "outcome", pl.col("generation").fill_null(""))
    before = facts.filter(pl.col("arm") == baseline)
    pairs = [pair for arm in arms for pair in _crossing(before, facts.filter(pl.col("arm") == arm))]
    axes = [str(a) for a in Axis]
    places = {arm: i for i, arm in enumerate(arms)}
    return sorted(
        pairs,
        key=lambda p: (places[p.arm], axes.index(p.axis), p.kind == "defence", p.benchmark, p.item, p.draw),
    )


def _crossing(before: pl.DataFrame, after: pl.DataFrame) -> Iterator[FlipPair]:
    """Yield the pairs of one arm whose score crosses one half, by attack."""
    # Draws are counted with those that have no score: one that was lost does not make the other the only one.
    own = spread_single_draws(before, after, _UNIT)
    joined = spread_single_draws(after, own, _UNIT).join(own, on=[*_UNIT, "draw"], suffix="_before")
    crossing = joined.filter((pl.col("score") - _HALF) * (pl.col("score_before") - _HALF) < 0)
    for row in crossing.sort("attack").iter_rows(named=True):
        yield FlipPair(
            arm=row["arm"],
            axis=row["axis"],
            benchmark=row["benchmark"],
            item=row["item"],
            draw=row["draw"],
            kind="risk" if row["score"] < row["score_before"] else "defence",
            baseline_outcome=row["outcome_before"],
            arm_outcome=row["outcome"],
            baseline_generation=row["generation_before"],
            arm_generation=row["generation"],
        )


def _mean_of(totals: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    means = np.full(totals.shape, np.nan)
    np.divide(totals, counts, out=means, where=counts > 0)
    return means
