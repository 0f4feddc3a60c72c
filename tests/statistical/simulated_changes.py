"""Paired studies with a known change."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta

from oldham.coupling.bootstrap import Estimate, resample_means, widen_if_rare

if TYPE_CHECKING:
    from numpy.typing import NDArray

WITHIN_CLUSTER = 0.3


class Studies(NamedTuple):
    """Simulated paired studies: each column is one, drawn on its own."""

    before: NDArray[np.float64]
    """Shape (items, studies, draws): scores of the baseline."""
    after: NDArray[np.float64]
    """The arm's scores."""
    clusters: NDArray[np.int64]
    truth: float
    """The change that an endless study would find."""

    def changes(self) -> list[Estimate]:
        """Estimate the change of every study as the analysis does."""
        means = self.after.mean(axis=2) - self.before.mean(axis=2)
        per_cluster = means.reshape(self.clusters.max() + 1, -1, means.shape[1]).mean(axis=1)
        estimates = resample_means(means, self.clusters, resamples=1000, seed=11)
        return [widen_if_rare(e, per_cluster[:, i], seed=i) for i, e in enumerate(estimates)]


def simulate_changes(n: int, cluster_size: int, draws: int, gain: float, loss: float, studies: int = 1000) -> Studies:
    """Make paired studies of n items in clusters whose members are alike, with known shares that gain and lose."""
    rng = np.random.default_rng([n, cluster_size, draws, round(1000 * gain), round(1000 * loss)])
    clusters = np.repeat(np.arange(n // cluster_size), cluster_size)
    shared = rng.standard_normal((n // cluster_size, studies))[clusters]
    own = rng.standard_normal((n, studies))
    u = ndtr(np.sqrt(WITHIN_CLUSTER) * shared + np.sqrt(1 - WITHIN_CLUSTER) * own)
    if draws == 1:
        # An item gains, loses or stays; which of them is correlated within a cluster.
        after = np.where(u < loss, 0.0, np.where(u > 1 - gain, 1.0, 0.5))
        before = np.where(u < loss, 1.0, np.where(u > 1 - gain, 0.0, 0.5))
        return Studies(before[:, :, None], after[:, :, None], clusters, gain - loss)
    # An item has a chance to do well, mostly near 0 or 1; the arm moves it towards 1 or towards 0.
    chance = beta.ppf(u, 0.5, 0.5)
    moved = chance + gain * (1 - chance) - loss * chance
    scores = [(rng.random((n, studies, draws)) < p[:, :, None]).astype(float) for p in (chance, moved)]
    return Studies(scores[0], scores[1], clusters, (gain - loss) / 2)
