"""Do the intervals of the mixed model hold the truth, where clusters answer an effect differently?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from oldham.coupling.mixed import fit_mixed, mixed_effect
from oldham.coupling.results import Interval

pytestmark = pytest.mark.thorough

STUDIES = 1500
ERROR = 3 * math.sqrt(0.05 * 0.95 / STUDIES)
SIZES = {"none": [1] * 60, "of five": [5] * 12, "unequal": [1, 2, 3, 4, 5, 6, 7, 8, 9, 15], "many": [2, 4] * 30}


def share_held(sizes: list[int], spread: float) -> float:
    rng = np.random.default_rng([len(sizes), round(100 * spread)])
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    held = 0
    for _ in range(STUDIES):
        chance = 0.3 + spread * rng.uniform(-1, 1, len(sizes))[clusters]
        # The change of a yes-or-no score from a cell that is always bad: 0.3 on the mean of clusters.
        d = (rng.random(len(clusters)) < chance).astype(float)
        low, high = mixed_effect(fit_mixed(d, clusters), Interval(-1, 1)).interval
        held += low <= 0.3 <= high
    return held / STUDIES


@pytest.mark.parametrize("spread", [0.0, 0.3])
@pytest.mark.parametrize("sizes", SIZES)
def test_a_mixed_models_interval_holds_the_effect(sizes: str, spread: float) -> None:
    assert 0.93 - ERROR <= share_held(SIZES[sizes], spread) <= 0.97 + ERROR
