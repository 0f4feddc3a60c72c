"""Ladders of attacks made from tables of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from oldham.core.observations import as_observations
from oldham.coupling import CouplingOptions, build_attacks
from oldham.coupling.pairing import tidy_trials

if TYPE_CHECKING:
    from oldham.coupling import AttackLadder

QUICK = CouplingOptions(resamples=400, permutations=400)
BAD, GOOD = 0.0, 1.0
ARMS = ("direct", "cot")


def ladder_of(*tables: pl.DataFrame, arms: tuple[str, ...] = ARMS) -> AttackLadder:
    """What the attacks of these tables together do; the first arm is the baseline."""
    trials = tidy_trials(as_observations(pl.concat(tables, how="diagonal_relaxed")))[0]
    ladder = build_attacks(trials, arms, arms[0], QUICK)
    assert ladder is not None
    return ladder
