"""Do the intervals of what is built from changes hold the truth: several benchmarks, flips beyond the noise, angles?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import beta

from oldham.coupling.bootstrap import average, resample_means
from oldham.coupling.flips import loss_by_item, noise_by_item
from oldham.coupling.plane import angle_of, shortest_arc

if TYPE_CHECKING:
    from conftest import Simulate

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


@pytest.mark.parametrize("n", [60, 300])
def test_the_direction_of_an_arm_that_moved_is_held(n: int) -> None:
    rng = np.random.default_rng(n)
    clouds, changes = [], []
    for gain, loss, seed in ((0.35, 0.10, 1), (0.05, 0.25, 2)):  # reasoning, then safety
        u = rng.random((n, STUDIES))
        found = resample_means((u < gain) * 1.0 - (u > 1 - loss), np.arange(n), resamples=1000, seed=seed)
        clouds.append([e.cloud for e in found])
        changes.append([e.value for e in found])
    truth = angle_of(0.25, -0.20)
    held = 0
    for across, up, x, y in zip(*clouds, *changes, strict=True):
        low, high = shortest_arc(np.degrees(np.arctan2(up, across)), near=angle_of(x, y))
        held += low <= truth <= high
    # Percentiles of the angle are not expanded for few items, as those of a change are.
    assert 0.93 - ERROR <= held / STUDIES <= 0.97 + ERROR
