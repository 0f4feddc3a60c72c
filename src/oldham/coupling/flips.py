"""Risk and defence apart (estimators: flips)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from oldham.coupling.results import Flips
from oldham.coupling.significance import holm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from oldham.coupling.bootstrap import Estimate
    from oldham.coupling.contrasts import Contrast


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
    if _is_binary(before) and _is_binary(after):
        return _mean_of_draws(before) * (1.0 - _mean_of_draws(after))
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
    if _is_binary(draws):
        good = np.nansum(draws, axis=1)
        loss = good * (finished - good)
    else:
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
        the excesses get the interval of the resampled differences, or the share's own where the baseline is known to
        have no noise.
    """
    flips = []
    for c in contrasts:
        risk, defence = (e.share_interval(most=c.most_trials) for e in (c.risk, c.defence))
        beyond = [_p_excess(e, noiseless=c.noiseless) for e in (c.excess_risk, c.excess_defence)]
        flips.append(
            Flips(
                arm=c.arm,
                axis=c.axis,
                risk=c.risk.value,
                risk_interval=risk,
                defence=c.defence.value,
                defence_interval=defence,
                noise_floor=c.floor.value,
                excess_risk=c.excess_risk.value,
                excess_risk_interval=risk if c.noiseless else c.excess_risk.interval(),
                excess_defence=c.excess_defence.value,
                excess_defence_interval=defence if c.noiseless else c.excess_defence.interval(),
                n_items=c.n_items,
                p_excess_risk=beyond[0],
                p_excess_defence=beyond[1],
            )
        )
    return _adjusted(flips)


def _p_excess(excess: Estimate, *, noiseless: bool) -> float:
    """Return the p-value of "the baseline's sampling makes as much".

    A greedy baseline is taken to have none, so that one flip refutes it: 0 is then no test's word, as `chance_flips`
    says.
    """
    if math.isnan(excess.value):
        return math.nan
    return (0.0 if excess.value > 0 else 1.0) if noiseless else excess.p_value(above=True)


def _adjusted(flips: Sequence[Flips]) -> list[Flips]:
    """Allow within an axis for every arm and for both sides that were looked at."""
    found = list(flips)
    for axis in dict.fromkeys(f.axis for f in flips):
        at = [i for i, f in enumerate(flips) if f.axis == axis]
        both = holm([p for i in at for p in (flips[i].p_excess_risk, flips[i].p_excess_defence)])
        for i, risk, defence in zip(at, both[::2], both[1::2], strict=True):
            found[i] = replace(flips[i], p_excess_risk=risk, p_excess_defence=defence)
    return found


def single_draws(rows: pl.DataFrame, unit: Sequence[str]) -> pl.DataFrame:
    """Return the items that were drawn once.

    Args:
        rows: One row a draw of an item.
        unit: The columns that name an item.

    Returns:
        One row an item, with those columns.
    """
    return rows.lazy().group_by(unit).len().filter(pl.col("len") == 1).select(unit).collect()


def spread_single_draws(
    rows: pl.DataFrame, others: pl.DataFrame, unit: Sequence[str], *, single: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Let the only draw of an item stand beside every draw that the other side has of it.

    An arm that decodes greedily has nothing to draw again, and an attack that draws anew has: their draw numbers say
    nothing of each other. Where both sides have several draws, the number pairs them.

    Args:
        rows: One row a draw of an item, in the column `draw`.
        others: The other side.
        unit: The columns that name an item.
        single: What `single_draws` says of the rows, where it is known already.

    Returns:
        The rows; that of a single draw as often as the other side has draws, with their numbers.
    """
    lone = single_draws(rows, unit) if single is None else single
    if lone.is_empty():
        return rows
    on = list(unit)
    there = others.select(*unit, pl.col("draw").alias("other draw"))
    # An item whose name is empty in part is one like any other, and keeps its row.
    of_single = rows.join(lone, on=on, how="semi", nulls_equal=True, maintain_order="left")
    several = rows.join(lone, on=on, how="anti", nulls_equal=True, maintain_order="left")
    numbered = of_single.join(there, on=on, how="left", maintain_order="left").with_columns(
        pl.coalesce("other draw", "draw").alias("draw")
    )
    return pl.concat([several, numbered.drop("other draw")])


def _is_binary(draws: NDArray[np.float64]) -> bool:
    """Whether every score is 0 or 1: pairs of draws then need not be made, which is felt with millions of them."""
    return bool(((draws == 0) | (draws == 1) | np.isnan(draws)).all())


def _mean_of_draws(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    return _mean_of(np.nansum(draws, axis=1), np.isfinite(draws).sum(axis=1))


def _mean_of(totals: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    means = np.full(totals.shape, np.nan)
    np.divide(totals, counts, out=means, where=counts > 0)
    return means
