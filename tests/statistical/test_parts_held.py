"""Do the intervals of what is built from changes hold the truth: several benchmarks, flips beyond the noise, angles?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import beta

from oldham.coupling.bootstrap import average, resample_means, widen_if_rare
from oldham.coupling.flips import loss_by_item, noise_by_item
from oldham.coupling.plane import angle_of, direction_of

if TYPE_CHECKING:
    from conftest import Simulate
    from oldham.coupling.plane import Direction

pytestmark = pytest.mark.thorough

STUDIES = 1000
ERROR = 3 * math.sqrt(0.05 * 0.95 / STUDIES)
GAIN, LOSS = 0.1, 0.3


@pytest.mark.parametrize("draws", [1, 4])
def test_a_mean_of_benchmarks_of_unlike_size_is_held(simulate: Simulate, draws: int) -> None:
    parts = [simulate(n, size, draws, 0.05, loss) for n, size, loss in ((60, 1, 0.30), (300, 5, 0.10))]
    truth = sum(p.truth for p in parts) / 2
    means = [average(pair) for pair in zip(*(p.changes() for p in parts), strict=True)]
    held = np.mean([low <= truth <= high for low, high in (m.interval() for m in means)])
    assert 0.95 - ERROR <= held <= 0.95 + ERROR


def wavering(n: int, size: int, draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw studies of which each item has a chance to do well; returns scores before, after, and the clusters."""
    rng = np.random.default_rng([n, size, draws])
    clusters = np.repeat(np.arange(n // size), size)
    shared = rng.standard_normal((n // size, STUDIES))[clusters]
    chance = beta.ppf(ndtr(math.sqrt(0.3) * shared + math.sqrt(0.7) * rng.standard_normal((n, STUDIES))), 0.5, 0.5)
    moved = chance + GAIN * (1 - chance) - LOSS * chance
    return (
        *((rng.random((n, STUDIES, draws)) < p[:, :, None]).astype(float) for p in (chance, moved)),
        clusters,
    )


@pytest.mark.parametrize("draws", [2, 4])
@pytest.mark.parametrize(("n", "size"), [(60, 1), (300, 5)])
def test_risk_and_defence_beyond_the_noise_are_held(n: int, size: int, draws: int) -> None:
    before, after, clusters = wavering(n, size, draws)
    flat = [a.reshape(-1, draws) for a in (before, after)]
    noise = noise_by_item(flat[0], deterministic=False)
    chance = beta.ppf((np.arange(200_000) + 0.5) / 200_000, 0.5, 0.5)
    moved = chance + GAIN * (1 - chance) - LOSS * chance
    floor = float((chance * (1 - chance)).mean())
    truths = float((chance * (1 - moved)).mean()) - floor, float(((1 - chance) * moved).mean()) - floor
    for truth, loss in zip(truths, (loss_by_item(*flat), loss_by_item(*flat[::-1])), strict=True):
        excess = (loss - noise).reshape(n, STUDIES)
        estimates = resample_means(excess, clusters, resamples=1000, seed=5)
        values = np.array([e.value for e in estimates])
        assert values.mean() == pytest.approx(truth, abs=3 * float(values.std()) / math.sqrt(STUDIES))
        held = np.mean([low <= truth <= high for low, high in (e.interval() for e in estimates)])
        assert 0.93 - ERROR <= held <= 0.97 + ERROR


def ways(n: int, shares: tuple[tuple[float, float], ...], studies: int = STUDIES) -> list[Direction]:
    """Draw the direction of one arm in many studies; shares of items gained and lost, on reasoning, then on safety."""
    rng = np.random.default_rng([n, *(round(100 * s) for s in shares[0])])
    sides = []
    for seed, (gain, loss) in enumerate(shares):
        u = rng.random((n, studies))
        changes = (u < gain) * 1.0 - (u > 1 - loss)
        found = resample_means(changes, np.arange(n), resamples=1000, seed=seed)
        sides.append([widen_if_rare(e, changes[:, i], seed=seed + 2 * i) for i, e in enumerate(found)])
    return [direction_of(across, up) for across, up in zip(*sides, strict=True)]


@pytest.mark.parametrize("n", [6, 10, 60, 300])
@pytest.mark.parametrize(
    "shares", [((0.60, 0.05), (0.05, 0.50)), ((0.35, 0.10), (0.05, 0.25)), ((0.1, 0.08), (0.1, 0.13))]
)
def test_the_direction_of_an_arm_is_held(n: int, shares: tuple[tuple[float, float], ...]) -> None:
    """Without the guard the last, which hardly moves, was held in 77% to 81% of studies of 6 to 60 items."""
    truth = angle_of(*(gain - loss for gain, loss in shares))
    found = [way for way in ways(n, shares) if not math.isnan(way.angle)]
    held = [any(way.arc.low <= truth + turn <= way.arc.high for turn in (-360, 0, 360)) for way in found]
    assert np.mean(held) >= 0.95 - ERROR
    if n >= 60 and shares[0][0] > 0.2:
        assert np.mean(held) <= 0.97 + ERROR, "and not by claiming nothing"


@pytest.mark.parametrize("n", [6, 10, 60])
def test_an_arm_that_did_not_move_is_seldom_given_a_direction(n: int) -> None:
    claimed = [way.has_moved for way in ways(n, ((0.1, 0.1), (0.1, 0.1)))]
    assert np.mean(claimed) <= 0.05 + ERROR
