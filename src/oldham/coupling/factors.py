"""Main effects and two-way interactions of a factorial design's factors, item by item on the paired scale."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from oldham.core.fingerprint import derive_seed
from oldham.coupling.bootstrap import Estimate, average, resample_means, widen_if_rare
from oldham.coupling.cells import Step, plan_contrasts
from oldham.coupling.mixed import average_fits, fit_mixed, mixed_effect
from oldham.coupling.significance import holm, sign_flip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from oldham.coupling.cells import CellContrast, Cells
    from oldham.coupling.mixed import MixedEffect, MixedFit
    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.pairing import Block
    from oldham.coupling.results import Interval

_SCHEMA: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "axis": pl.String,
    "factor": pl.String,
    "level": pl.String,
    "reference": pl.String,
    "with_factor": pl.String,
    "with_level": pl.String,
    "with_reference": pl.String,
    "delta": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p_value": pl.Float64,
    "p_holm": pl.Float64,
    "n_items": pl.Int64,
    "n_clusters": pl.Int64,
    "n_cells": pl.Int64,
    "n_missing": pl.Int64,
    "aliases": pl.List(pl.String),
    "mixed": pl.Float64,
    "mixed_se": pl.Float64,
    "mixed_low": pl.Float64,
    "mixed_high": pl.Float64,
    "mixed_agrees": pl.String,
}
_OWN: Final = tuple(name for name in _SCHEMA if name not in ("low", "high", "aliases") and not name.startswith("mixed"))
"""Columns that are fields of an effect."""


@dataclass(frozen=True, slots=True)
class FactorEffect:
    """What one level of a factor does on an axis, on the mean of the other factors, or how two factors interact."""

    axis: str
    factor: str
    level: str
    reference: str
    """The level that `level` is compared with."""
    with_factor: str | None
    """The factor it interacts with; None for a main effect."""
    with_level: str | None
    with_reference: str | None
    delta: float
    """Main effect: mean score at `level` minus that at `reference`, in [-1, 1]; positive is better. Interaction: that
    difference at `with_level` minus that at `with_reference`, in [-2, 2]; positive is more than the two add up to."""
    interval: Interval
    """Cluster bootstrap, from the same resamples as the arms' effects."""
    p_value: float
    """Sign-flip permutation by cluster."""
    p_holm: float
    """Adjusted within the axis, over its main effects or over its interactions."""
    n_items: int
    """Items with a score in every cell of at least one comparison."""
    n_clusters: int
    n_cells: int
    """Cells that the effect rests on."""
    n_missing: int
    """Items asked in those cells and left out."""
    aliases: tuple[str, ...]
    """Effects that this one cannot be told from in a fractional design, such as `safety×language`."""
    mixed: MixedEffect | None = None
    """The same by a linear mixed model, and whether the two agree; a check, and never the claim."""

    @property
    def name(self) -> str:
        """Such as `strategy: direct → cot`, and with ` × safety: none → reminder` for an interaction."""
        own = Step(self.factor, self.reference, self.level).name
        if self.with_factor is None or self.with_reference is None or self.with_level is None:
            return own
        return f"{own} × {Step(self.with_factor, self.with_reference, self.with_level).name}"


@dataclass(frozen=True)
class _Part:
    """An effect on one benchmark."""

    estimate: Estimate
    shifts: NDArray[np.float64]
    """Shape (clusters,): what each cluster adds to the effect."""
    n_items: int
    n_missing: int
    fit: MixedFit
    """By a linear mixed model."""


def build_factor_effects(blocks: Sequence[Block], cells: Cells, *, options: CouplingOptions) -> list[FactorEffect]:
    """Estimate every main effect and two-way interaction on every axis.

    An item's effect is the mean over comparisons of cells (see `oldham.coupling.cells.plan_contrasts`); items are
    resampled by cluster, and benchmarks averaged without weights, as for arms.

    Args:
        blocks: The answers' blocks, by axis.
        cells: The design; without cells there are no effects.
        options: Resamples, permutations and seed.

    Returns:
        By axis, main effects before interactions.
    """
    contrasts = plan_contrasts(cells)
    effects: list[FactorEffect] = []
    for axis, of_axis in groupby(blocks, key=lambda block: block.axis):
        parts = [_parts(block, cells, contrasts, options) for block in of_axis]
        found = [_effect(axis, c, [own[i] for own in parts], options) for i, c in enumerate(contrasts)]
        effects += _adjusted(found)
    return effects


def factor_frame(effects: Iterable[FactorEffect]) -> pl.DataFrame:
    """Return factor effects as a table.

    Args:
        effects: From `Coupling.factor_effects`.

    Returns:
        One row an effect; NaN where nothing is known.
    """
    rows = [
        {
            **{name: getattr(e, name) for name in _OWN},
            "low": e.interval.low,
            "high": e.interval.high,
            "aliases": list(e.aliases),
            **_mixed_row(e.mixed),
        }
        for e in effects
    ]
    return pl.DataFrame(rows, schema=_SCHEMA)


def _mixed_row(mixed: MixedEffect | None) -> dict[str, object]:
    if mixed is None:
        return {**dict.fromkeys(("mixed", "mixed_se", "mixed_low", "mixed_high"), math.nan), "mixed_agrees": "unknown"}
    return {
        "mixed": mixed.value,
        "mixed_se": mixed.se,
        "mixed_low": mixed.interval.low,
        "mixed_high": mixed.interval.high,
        "mixed_agrees": mixed.agreement,
    }


def _parts(block: Block, cells: Cells, contrasts: Sequence[CellContrast], options: CouplingOptions) -> list[_Part]:
    if not contrasts:
        return []
    at = [block.arm(arm) for arm in cells.arms]
    # In units of the largest effect there can be, for the bound that rare changes leave open is in [-1, 1].
    values = np.column_stack([c.of_items(block.means[at]) / c.largest for c in contrasts])
    # The seed of the arms' effects: the same resamples.
    seed = derive_seed("coupling", options.seed, block.axis, block.benchmark)
    estimates = resample_means(values, block.clusters, resamples=options.resamples, seed=seed)
    parts = []
    for contrast, column, estimate in zip(contrasts, values.T, estimates, strict=True):
        known = np.isfinite(column)
        n_items = int(known.sum())
        sizes = np.bincount(block.clusters[known])
        totals = np.bincount(block.clusters[known], weights=column[known])[sizes > 0]
        rare_seed = derive_seed("rare", seed, contrast.name)
        wide = widen_if_rare(estimate, totals / sizes[sizes > 0], seed=rare_seed)
        asked = (block.rows[at][contrast.used] > 0).any(axis=0)
        parts.append(
            _Part(
                estimate=_scaled(wide, contrast.largest),
                shifts=contrast.largest * totals / max(n_items, 1),
                n_items=n_items,
                n_missing=int(asked.sum()) - n_items,
                fit=fit_mixed(contrast.largest * column, block.clusters),
            )
        )
    return parts


def _scaled(estimate: Estimate, times: float) -> Estimate:
    return replace(
        estimate,
        value=times * estimate.value,
        cloud=times * estimate.cloud,
        variance=times**2 * estimate.variance,
    )


def _effect(axis: str, contrast: CellContrast, parts: Sequence[_Part], options: CouplingOptions) -> FactorEffect:
    known = [p for p in parts if p.n_items]
    nothing = Estimate(math.nan, np.full(options.resamples, np.nan), math.nan, 0)
    estimate = average([p.estimate for p in known]) if known else nothing
    shifts = np.concatenate([p.shifts / len(known) for p in known]) if known else np.empty(0)
    seed = derive_seed("sign-flip", options.seed, axis, contrast.name)
    step = contrast.steps[0]
    other = contrast.steps[1] if len(contrast.steps) > 1 else None
    interval = estimate.interval()
    return FactorEffect(
        axis=axis,
        factor=step.factor,
        level=step.level,
        reference=step.reference,
        with_factor=other and other.factor,
        with_level=other and other.level,
        with_reference=other and other.reference,
        delta=estimate.value,
        interval=interval,
        p_value=sign_flip(shifts, permutations=options.permutations, seed=seed),
        p_holm=math.nan,
        n_items=sum(p.n_items for p in known),
        n_clusters=estimate.n_clusters,
        n_cells=int(contrast.used.sum()),
        n_missing=sum(p.n_missing for p in parts),
        aliases=contrast.aliases,
        mixed=mixed_effect(average_fits([p.fit for p in known]), interval),
    )


def _adjusted(effects: Sequence[FactorEffect]) -> list[FactorEffect]:
    """Adjust the p-values of one axis; main effects need not pay for the many interactions."""
    families: dict[bool, list[float]] = defaultdict(list)
    for effect in effects:
        families[effect.with_factor is None].append(effect.p_value)
    adjusted = {main: iter(holm(p_values)) for main, p_values in families.items()}
    return [replace(e, p_holm=next(adjusted[e.with_factor is None])) for e in effects]
