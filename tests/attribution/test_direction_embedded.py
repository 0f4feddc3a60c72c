from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_the_embedded_model_s_refusal_can_be_taken_out_and_put_in() -> None:
    """With the divergence test relaxed: no candidate of this small model passes it together with the others."""
    from oldham.attribution.direction import DirectionOptions
    from oldham.attribution.search import find_direction

    found = find_direction("smollm2-aligned", DirectionOptions(positions=1, relax=("kl",)))
    assert found.direction is not None, found.summary()
    assert [token.text for token in found.facts.refusal_tokens] == ["I"]

    def change(side: str, way: str) -> tuple[float, float]:
        """Return the mean change of the refusal score on the test split, and its standard error."""
        scores = [score for score in found.facts.test if score.side == side]
        changes = [getattr(score, way) - score.base for score in scores]
        return float(np.mean(changes)), float(np.std(changes, ddof=1) / np.sqrt(len(changes)))

    for side, way, sign in (
        ("harmful", "ablated", -1),
        ("harmful", "subtracted", -1),
        ("harmless", "added", 1),
    ):
        mean, error = change(side, way)
        assert sign * mean > 3 * error, (side, way, mean, error)
