"""Does the interval over models hold what all such models share?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from oldham.coupling.meta import Study, pool

pytestmark = pytest.mark.thorough

SETS = 800


@pytest.mark.parametrize(("models", "tau2"), [(3, 0.04), (5, 0.04), (10, 0.01)])
def test_the_pooled_interval_holds_the_mean_and_reml_the_spread(models: int, tau2: float) -> None:
    rng = np.random.default_rng([models, round(1000 * tau2)])
    held, spreads, predicted = [], [], []
    for _ in range(SETS):
        variances = rng.uniform(0.01, 0.03, models)
        values = rng.normal(-0.5, np.sqrt(variances + tau2))
        studies = [Study(str(i), y, v) for i, (y, v) in enumerate(zip(values, variances, strict=True))]
        found = pool(studies, leave_one_out=False)
        held.append(found.interval.low <= -0.5 <= found.interval.high)
        spreads.append(found.tau2)
        predicted.append(found.prediction.low <= rng.normal(-0.5, math.sqrt(tau2)) <= found.prediction.high)
    # Three standard errors of the simulation.
    assert abs(np.mean(held) - 0.95) <= 3 * math.sqrt(0.95 * 0.05 / SETS)
    # Cut at 0, so that it may be too large, and never too small by more than chance.
    assert np.mean(spreads) >= tau2 - 3 * np.std(spreads) / math.sqrt(SETS)
    # With few models the interval errs to the long side.
    assert np.mean(predicted) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / SETS)
