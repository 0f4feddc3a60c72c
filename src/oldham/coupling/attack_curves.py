"""Attacks along a scale and between arms: time to success, doses, tokens of the trace, transfer."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
import polars as pl
from scipy.stats import CensoredData, ecdf

from oldham.core.records import StopReason
from oldham.core.thinking import ThinkingState
from oldham.coupling.attack_grid import Place, by_axis, mean_share, token_column
from oldham.coupling.attack_pairs import Column, Key, compare
from oldham.coupling.attack_results import (
    UNATTACKED,
    AttackCost,
    AttackSurvival,
    AttackTransfer,
    DosePoint,
    SurvivalStep,
)
from oldham.coupling.bootstrap import resample_means
from oldham.coupling.results import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from oldham.coupling.attack_grid import Grid, Ladder
    from oldham.coupling.attack_results import AttackCell
    from oldham.coupling.options import CouplingOptions

_PLACE: Final = ("axis", "arm", "attack")
_ITEM: Final = (*_PLACE, "benchmark", "item")
_HALF: Final = 0.5


def build_survival(marked: pl.DataFrame, grids: Sequence[Grid], ladder: Ladder) -> Iterator[AttackSurvival]:
    """Yield how long the items of every arm stand up to every attack, where there is more than one time.

    An item's time is the number of queries up to and with its first successful draw: what an adaptive attack says it
    asked, else one a draw. Draws are tried in order, so an adaptive attack with several is one that starts anew. An
    item that never falls is censored at its last draw, and one whose outcome is missing is censored before the draw
    whose outcome is not known: it neither fell nor stood. The items of an axis count alike.

    Args:
        marked: As `attack_cells.mark_success` returns it, answers alone.
        grids: The same, aligned.
        ladder: The arms and attacks.
    """
    asked, stops = pl.col("queries").fill_null(1), ~pl.col("success").eq(False).fill_null(value=False)
    draws = marked.sort(*_ITEM, "draw").with_columns(
        asked.cum_sum().over(_ITEM).alias("time"),
        asked.alias("asked"),
        stops.cum_sum().over(_ITEM).alias("stopped"),
        stops.alias("stops"),
    )
    # The draws that were needed: up to the first that succeeded or has no score.
    needed = draws.filter((pl.col("stopped") - pl.col("stops").cast(pl.UInt32)) == 0)
    last = needed.group_by(_ITEM, maintain_order=True).agg(
        pl.col("time", "asked", "success", "cluster").last(), pl.col("success").null_count().alias("unknown")
    )
    times = last.with_columns(
        (pl.col("time") - pl.when(pl.col("unknown") > 0).then(pl.col("asked")).otherwise(0)).alias("time"),
        pl.col("success").fill_null(False).alias("fell"),
    )
    scales = draws.group_by(_PLACE).agg(
        pl.col("queries").is_not_null().any().alias("adaptive"), (pl.len() > pl.struct(_ITEM).n_unique()).alias("many")
    )
    units = {tuple(key): (adaptive, many) for *key, adaptive, many in scales.iter_rows()}
    groups = times.partition_by(_PLACE, as_dict=True)
    for axis, _ in by_axis(grids):
        for place in ladder.places:
            adaptive, many = units.get((axis, *place), (False, False))
            if adaptive or many:
                yield _survival(axis, place, "queries" if adaptive else "draws", groups[axis, *place])


def _survival(axis: str, place: Place, unit: Literal["queries", "draws"], items: pl.DataFrame) -> AttackSurvival:
    seen = items.filter(pl.col("fell") | (pl.col("time") > 0))
    time, fell = seen["time"].to_numpy().astype(np.float64), seen["fell"].to_numpy()
    steps = tuple(survival_steps(time, fell))
    return AttackSurvival(
        axis=axis,
        arm=place.arm,
        attack=place.attack,
        unit=unit,
        steps=steps,
        median=_first_time(steps, [s.survival for s in steps]),
        median_interval=Interval(
            _first_time(steps, [s.interval.low for s in steps]),
            _first_time(steps, [s.interval.high for s in steps]),
        ),
        last=float(time.max()) if len(time) else math.nan,
        n_items=seen.height,
        n_clusters=seen.select("benchmark", "cluster").n_unique(),
        n_events=int(fell.sum()),
        n_missing=items.height - seen.height,
    )


def survival_steps(time: NDArray[np.float64], fell: NDArray[np.bool_]) -> Iterator[SurvivalStep]:
    """Yield the steps of a Kaplan-Meier curve.

    Args:
        time: Shape (items,): when each item fell or was last seen.
        fell: Shape (items,): whether it fell then.

    Yields:
        A step for each time at which an item fell, with its 95% band (Sawyer's exponential Greenwood).
    """
    if not fell.any():
        return
    curve = ecdf(CensoredData(uncensored=time[fell], right=time[~fell])).sf
    with warnings.catch_warnings():  # of a band that is undefined once no item stands
        warnings.simplefilter("ignore", RuntimeWarning)
        band: Any = curve.confidence_interval(method="log-log")
    # No lower end lies above the curve.
    lows = np.where(curve.probabilities > 0, band.low.probabilities, 0.0)
    for at, survival, low, high in zip(
        curve.quantiles, curve.probabilities, lows, band.high.probabilities, strict=True
    ):
        if n_fell := int((fell & (time == at)).sum()):
            interval = Interval(float(low), float(high))
            yield SurvivalStep(float(at), float(survival), interval, int((time >= at).sum()), n_fell)


def _first_time(steps: Sequence[SurvivalStep], curve: Sequence[float]) -> float:
    """Return the first time at which a curve is at one half or below; NaN where it never is."""
    # Rounding must not keep a curve that is at one half above it.
    return next((step.time for step, value in zip(steps, curve, strict=True) if value <= _HALF + 1e-12), math.nan)


def build_doses(cells: Sequence[AttackCell], ladder: Ladder) -> Iterator[DosePoint]:
    """Yield the dose curves of the techniques that were run with several doses.

    Args:
        cells: One try of every arm under every attack.
        ladder: The arms and attacks.
    """
    curves: dict[tuple[str, str, str], list[AttackCell]] = {}
    for cell in cells:
        if not math.isnan(cell.dose) and cell.attack != UNATTACKED:
            curves.setdefault((cell.axis, cell.technique, cell.arm), []).append(cell)
    axes = list(dict.fromkeys(cell.axis for cell in cells))
    arms = {arm: i for i, arm in enumerate(ladder.arms)}
    for axis, technique, arm in sorted(curves, key=lambda key: (axes.index(key[0]), key[1], arms[key[2]])):
        points = sorted(curves[axis, technique, arm], key=lambda cell: cell.dose)
        if len({cell.dose for cell in points}) > 1:
            for c in points:
                yield DosePoint(axis, arm, technique, c.dose, c.attack, c.bad_share, c.interval, c.n_items, c.n_missing)


def build_costs(
    marked: pl.DataFrame, grids: Sequence[Grid], ladder: Ladder, options: CouplingOptions
) -> Iterator[AttackCost]:
    """Yield how much longer traces are under every attack than without one, in every arm that counts them.

    Args:
        marked: Answers alone.
        grids: The same, aligned.
        ladder: The arms and attacks.
        options: Resamples, permutations and seed.
    """
    limits = [str(StopReason.BUDGET_FORCED), str(StopReason.LENGTH)]
    is_cut = pl.col("trace_stop").is_in(limits) | (pl.col("thinking_state") == str(ThinkingState.TRUNCATED))
    told = marked.with_columns(token_column().alias("counted"), is_cut.fill_null(value=False).alias("cut"))
    known = {
        (axis, *place): (counted, n_cut)
        for axis, *place, counted, n_cut in told.group_by(_PLACE)
        .agg(pl.col("counted").first(), pl.col("cut").sum())
        .iter_rows()
    }
    for axis, of_axis in by_axis(grids):
        columns: dict[Key, list[Column]] = {}
        before: dict[Key, list[float]] = {}
        for place in ladder.places:
            free = Place(place.arm, UNATTACKED)
            for grid in of_axis:
                if place.attack == UNATTACKED or not grid.has(place, free):
                    continue
                longer = grid.mean_tokens(place) - grid.mean_tokens(free)
                paired = np.isfinite(longer)
                if paired.any():
                    key = Key("cost", *place)
                    largest = float(np.abs(longer[paired]).max()) or 1.0
                    columns.setdefault(key, []).append(Column(grid, longer, grid.asked(place, free), largest))
                    before.setdefault(key, []).append(float(grid.mean_tokens(free)[paired].mean()))
        for key, change in compare(axis, columns, options).items():
            counted, n_cut = known[axis, key.arm, key.attack]
            yield AttackCost(
                axis=axis,
                arm=key.arm,
                attack=key.attack,
                counted=cast("Literal['trace_tokens', 'realised_thinking_tokens']", counted),
                before=sum(before[key]) / len(before[key]),
                change=change,
                n_cut=n_cut,
            )


def build_transfers(grids: Sequence[Grid], ladder: Ladder) -> Iterator[AttackTransfer]:
    """Yield how often what breaks one arm breaks another, for every two arms that were attacked.

    All pairs of item and attack of an axis count alike, whichever benchmark they are from.

    Args:
        grids: The benchmarks that were attacked.
        ladder: The arms and attacks.
    """
    for axis, of_axis in by_axis(grids):
        yield from _transfers(axis, of_axis, ladder.arms, ladder.attacks)


def build_transfers_by_attack(grids: Sequence[Grid], ladder: Ladder) -> Iterator[AttackTransfer]:
    """Yield the same of every attack alone, for every two arms that met it.

    All items of an axis count alike, whichever benchmark they are from.

    Args:
        grids: The benchmarks that were attacked.
        ladder: The arms and attacks.
    """
    for axis, of_axis in by_axis(grids):
        for attack in ladder.attacks:
            for transfer in _transfers(axis, of_axis, ladder.arms, (attack,)):
                yield replace(transfer, attack=attack)


def _transfers(
    axis: str, grids: Sequence[Grid], arms: Sequence[str], attacks: Sequence[str]
) -> Iterator[AttackTransfer]:
    """Yield transfers over some attacks together."""
    met = [arm for arm in arms if any(grid.has(Place(arm, attack)) for grid in grids for attack in attacks)]
    pairs = list(permutations(met, 2))
    if not pairs:
        return
    rows, clusters, offset = [], [], 0
    for grid in grids:
        nothing = np.full(len(grid.bad.clusters), np.nan)
        for attack in attacks:
            firsts = {arm: grid.first(place) for arm in met if grid.has(place := Place(arm, attack))}
            both = [(firsts.get(given, nothing), firsts.get(arm, nothing)) for given, arm in pairs]
            rows.append(np.column_stack([np.where(before == 1, after, np.nan) for before, after in both]))
            clusters.append(grid.bad.clusters + offset)
        offset += int(grid.bad.clusters.max()) + 1
    values = np.concatenate(rows)
    estimates = resample_means(values, np.concatenate(clusters), resamples=0, seed=0)
    for (given, arm), column, estimate in zip(pairs, values.T, estimates, strict=True):
        n = int(np.isfinite(column).sum())
        share, interval = mean_share([estimate], most=n)
        yield AttackTransfer(axis, given, arm, None, share, interval, n, estimate.n_clusters)
