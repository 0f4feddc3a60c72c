"""Simulated studies of doses with known truth, from scores to what is claimed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy.special import ndtri

from oldham.core.observations import OBSERVATION_COLUMNS
from oldham.coupling import CouplingOptions
from oldham.coupling.dynamics_ladders import DoseLadder, Source
from oldham.coupling.judge_error import Corrections
from oldham.coupling.pairing import Block

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START = {"reasoning": 0.5, "harm": 0.8}
_SHARED = 0.6
"""How much of what decides an answer belongs to the item, and is the same in every arm."""


def ladder(name: str, doses: Sequence[float]) -> DoseLadder:
    """Return an intervention whose arms are called `NAME/DOSE`, from `base`."""
    return DoseLadder(name, "base", 0.0, tuple(map(float, doses)), tuple(f"{name}/{d:g}" for d in doses))


def draw_study(
    changes: Mapping[str, Mapping[str, float]],
    *,
    study: int,
    n: int = 120,
    cluster_size: int = 1,
    missing: float = 0.0,
    benchmarks: int = 1,
    resamples: int = 400,
    margin: float = 0.05,
) -> Source:
    """Draw one study.

    Args:
        changes: By arm, then axis: the change of the rate from the start's, to which `base` is added. All arms have the
            axes of the first.
        study: Its number.
        n: Items of a benchmark.
        cluster_size: Items that share half of what they have in common with themselves under other arms.
        missing: Share of answers without a score, whatever they say.
        benchmarks: How many an axis has.
        resamples: Of the analysis.
        margin: Of the analysis.
    """
    rng = np.random.default_rng([study, n, cluster_size])
    axes = list(next(iter(changes.values())))
    arms = {"base": dict.fromkeys(axes, 0.0), **changes}
    clusters = np.arange(n) // cluster_size
    blocks = []
    for axis, number in [(a, k) for a in sorted(axes, reverse=True) for k in range(benchmarks)]:
        limits = ndtri(np.clip([START[axis] + of[axis] for of in arms.values()], 1e-3, 1 - 1e-3))
        item = np.sqrt(0.5) * (rng.standard_normal(clusters[-1] + 1)[clusters] + rng.standard_normal(n))
        own = rng.standard_normal((len(arms), n))
        scores = (np.sqrt(_SHARED) * item + np.sqrt(1 - _SHARED) * own < limits[:, None]).astype(float)
        scores[rng.random(scores.shape) < missing] = np.nan
        rows = np.ones(scores.shape, dtype=np.int64)
        blocks.append(Block(axis, f"{axis} {number}", "answer", tuple(arms), scores[:, :, None], rows, clusters))
    options = CouplingOptions(resamples=resamples, permutations=1000, margin=margin, cards={})
    return Source(tuple(blocks), options, Corrections(pl.DataFrame(schema=dict(OBSERVATION_COLUMNS)), options))
