"""Does a 95% interval hold the truth in 95 of 100 studies?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import ndtr

from oldham.coupling.bootstrap import resample_means

if TYPE_CHECKING:
    from simulated_changes import Studies

    from conftest import Simulate

pytestmark = pytest.mark.thorough

STUDIES = 1000
LOW, HIGH = 0.93, 0.97


def coverage(studies: Studies) -> float:
    intervals = np.array([e.interval() for e in studies.changes()])
    return float(((intervals[:, 0] <= studies.truth + 1e-9) & (studies.truth - 1e-9 <= intervals[:, 1])).mean())


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize(("n", "cluster_size"), [(60, 1), (300, 1), (60, 5), (300, 5)])
@pytest.mark.parametrize(("gain", "loss"), [(0.10, 0.10), (0.05, 0.30)])
def test_a_change_is_held(simulate: Simulate, n: int, cluster_size: int, draws: int, gain: float, loss: float) -> None:
    found = coverage(simulate(n, cluster_size, draws, gain, loss, STUDIES))
    assert LOW <= found <= HIGH


@pytest.mark.parametrize(("n", "cluster_size"), [(60, 1), (60, 5), (300, 5)])
@pytest.mark.parametrize(("gain", "loss"), [(0.0, 0.03), (0.005, 0.02), (0.02, 0.10), (0.05, 0.05), (0.005, 0.005)])
def test_a_change_that_rests_on_few_flips_is_held_at_least_as_often(
    simulate: Simulate, n: int, cluster_size: int, gain: float, loss: float
) -> None:
    found = coverage(simulate(n, cluster_size, 1, gain, loss, STUDIES))
    assert found >= LOW


@pytest.mark.parametrize(("n", "cluster_size"), [(60, 1), (60, 5), (300, 1), (300, 5)])
@pytest.mark.parametrize("share", [0.03, 0.1, 0.4])
def test_a_share_is_held(n: int, cluster_size: int, share: float) -> None:
    rng = np.random.default_rng([n, cluster_size, round(100 * share)])
    clusters = np.repeat(np.arange(n // cluster_size), cluster_size)
    shared = rng.standard_normal((n // cluster_size, STUDIES))[clusters]
    u = ndtr(np.sqrt(0.3) * shared + np.sqrt(0.7) * rng.standard_normal((n, STUDIES)))
    estimates = resample_means((u < share).astype(float), clusters, resamples=0, seed=0)
    intervals = np.array([e.share_interval() for e in estimates])
    found = float(((intervals[:, 0] <= share) & (share <= intervals[:, 1])).mean())
    # A share of few clusters takes few values, so that no method hits 95% everywhere; this one errs to the safe side.
    assert LOW <= found <= HIGH + 0.01
