from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oldham.core.records import Sampling

if TYPE_CHECKING:
    import torch

pytestmark = pytest.mark.model

PROBABILITIES = [0.1, 0.4, 0.2, 0.3]


def shares(sampling: Sampling, probabilities: list[float] = PROBABILITIES) -> list[float]:
    """Return how often each token is drawn over an even grid of chances."""
    import torch

    from oldham.engine.sampling import sample

    grid = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    logits = torch.tensor(probabilities).log().expand(1000, -1)
    drawn: torch.Tensor = sample(logits, sampling, grid)
    return [float((drawn == token).double().mean()) for token in range(len(probabilities))]


@pytest.mark.parametrize(
    ("sampling", "wanted"),
    [
        (Sampling(temperature=1.0), [0.1, 0.4, 0.2, 0.3]),
        (Sampling(temperature=0.5), [1 / 30, 16 / 30, 4 / 30, 9 / 30]),
        (Sampling(temperature=1.0, top_k=2), [0, 4 / 7, 0, 3 / 7]),
        (Sampling(temperature=1.0, top_k=9), [0.1, 0.4, 0.2, 0.3]),
        (Sampling(temperature=1.0, top_p=0.3), [0, 1, 0, 0]),
        (Sampling(temperature=1.0, top_p=0.6), [0, 4 / 7, 0, 3 / 7]),
        (Sampling(temperature=1.0, top_p=0.85), [0, 4 / 9, 2 / 9, 3 / 9]),
        (Sampling(temperature=1.0, top_k=2, top_p=0.5), [0, 1, 0, 0]),
        (Sampling(temperature=1.0, top_k=3, top_p=0.9), [0, 4 / 9, 2 / 9, 3 / 9]),
    ],
)
def test_tokens_are_drawn_with_their_probabilities(sampling: Sampling, wanted: list[float]) -> None:
    assert shares(sampling) == pytest.approx(wanted, abs=0.002)


def test_a_nucleus_wider_than_the_first_guess_is_whole() -> None:
    flat = [1 / 2000] * 2000
    drawn = shares(Sampling(temperature=1.0, top_p=0.75), flat)
    assert sum(share > 0 for share in drawn) > 500  # a thousand draws from 1,500 tokens, not from the first 1,024
    assert max(token for token, share in enumerate(drawn) if share > 0) > 1024


def test_the_ends_of_the_unit_interval_draw_tokens_that_can_be() -> None:
    import torch

    from oldham.engine.sampling import sample

    logits = torch.tensor([[-float("inf"), 0.0, 0.0, -float("inf")]]).expand(2, -1)
    ends = torch.tensor([0.0, 1.0 - 2**-53], dtype=torch.float64)
    assert sample(logits, Sampling(temperature=1.0), ends).tolist() == [1, 2]
