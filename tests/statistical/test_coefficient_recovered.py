"""Is the coupling coefficient what it was made to be, does its interval hold it, and is one κ doubted too often?

Every study has one baseline that all its arms are compared with, on n items of each axis.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import pytest

from oldham.coupling.bootstrap import Estimate, resample_means, widen_if_rare
from oldham.coupling.coefficient import guarded_line, slope_of
from oldham.coupling.slope import heterogeneity, holds, place

pytestmark = pytest.mark.thorough

STUDIES = 500
RESAMPLES = 600
CHURN = 0.05
"""Share of the baseline's good answers that an arm loses whatever else it does."""
SCENES = (
    (-0.6, (0.1, 0.2, 0.3, 0.4)),
    (0.5, (0.15, 0.15, 0.3)),
    (-1.5, (0.1, 0.2, 0.3)),
)


class Found(NamedTuple):
    kappas: np.ndarray
    held: float
    doubted: np.ndarray


def axis_of(rng: np.random.Generator, n: int, base: float, changes: np.ndarray, seed: int) -> list[Estimate]:
    """Answer n items with a baseline and with arms that change its rate by so much in the mean."""
    before = rng.random(n) < base
    lost = np.where(changes < 0, -changes / base, 0.0) + CHURN
    gained = (np.maximum(changes, 0.0) + CHURN * base) / (1 - base)
    chance = np.where(before[:, None], 1 - lost, gained)
    differences = (rng.random((n, len(changes))) < chance).astype(float) - before[:, None]
    found = resample_means(differences, np.arange(n), resamples=RESAMPLES, seed=seed)
    return [widen_if_rare(e, differences[:, i], seed=seed + i) for i, e in enumerate(found)]


@functools.cache
def studies_of(
    kappa: float, gains: tuple[float, ...], n: int = 300, bend: float = 0.0, studies: int = STUDIES
) -> Found:
    """Simulate studies whose arms lie on a line; `bend` moves every second arm's safety off it."""
    rng = np.random.default_rng([n, round(100 * abs(kappa)), len(gains), round(1000 * bend)])
    truth = math.degrees(math.atan(kappa))
    safety = kappa * np.array(gains) + bend * (np.arange(len(gains)) % 2)
    kappas, held, doubted = [], [], []
    for seed in range(studies):
        across = axis_of(rng, n, 0.4, np.array(gains), 2 * seed)
        up = axis_of(rng, n, 0.8 if kappa < 0 else 0.4, safety, 2 * seed + 1_000_003)
        points = place(across, up)
        line = guarded_line(points)
        kappas.append(slope_of(line.angle))
        held.append(holds(line.arc, truth))
        doubted.append(heterogeneity(points).p_value <= 0.05)
    return Found(np.array(kappas), float(np.mean(held)), np.array(doubted))


@pytest.mark.parametrize(("kappa", "gains"), SCENES)
def test_kappa_is_within_5_hundredths_of_the_truth(kappa: float, gains: tuple[float, ...]) -> None:
    assert abs(studies_of(kappa, gains).kappas.mean() - kappa) <= 0.05


@pytest.mark.parametrize(("kappa", "gains"), SCENES)
def test_the_interval_holds_kappa(kappa: float, gains: tuple[float, ...]) -> None:
    # Two standard errors of the simulation to either side of 95%: 1.95 points, within the 93 to 97% asked for.
    assert abs(studies_of(kappa, gains).held - 0.95) <= 2 * math.sqrt(0.95 * 0.05 / STUDIES)


def test_one_kappa_is_doubted_at_most_as_often_as_allowed() -> None:
    doubted = np.concatenate([studies_of(*scene).doubted for scene in SCENES])
    assert doubted.mean() <= 0.06


def test_arms_off_the_line_are_found_out() -> None:
    assert studies_of(-0.6, (0.1, 0.2, 0.3, 0.4), bend=0.12, studies=60).doubted.mean() > 0.9


def test_arms_that_hardly_move_are_held_at_least_as_often() -> None:
    studies = 200
    held = studies_of(-0.6, (0.02, 0.03, 0.03), n=60, studies=studies).held
    assert held >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / studies)
