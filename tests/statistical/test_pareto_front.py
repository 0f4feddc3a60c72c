"""Is an arm called dominated, or in front, only where it is; and do the distances hold the truth, ties and all?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from oldham.coupling.contrasts import build_contrasts
from oldham.coupling.options import CouplingOptions
from oldham.coupling.pairing import Block
from oldham.coupling.pareto import build_pareto
from oldham.coupling.pareto_volume import hypervolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from oldham.coupling.pareto_results import Pareto

pytestmark = pytest.mark.thorough

AXES = ("reasoning", "harm", "overrefusal", "truthfulness", "privacy")
OPTIONS = CouplingOptions(resamples=400)
GOOD, FLIPS = 0.6, 0.05
"""Of the baseline's answers so many are good; under an arm that changes nothing, so many of all items flip each way."""


def study(rng: np.random.Generator, changes: NDArray[np.float64], n: int) -> Pareto:
    """Simulate yes-or-no answers to n items an axis; `changes` has shape (arms, axes)."""
    arms = ("base", *(f"a{i}" for i in range(len(changes))))
    blocks = []
    for k in range(changes.shape[1]):
        base = rng.random(n) < GOOD
        rows = [base]
        for change in changes[:, k]:
            gain, loss = (FLIPS + max(change, 0)) / (1 - GOOD), (FLIPS + max(-change, 0)) / GOOD
            rows.append(np.where(base, rng.random(n) >= loss, rng.random(n) < gain))
        scores = np.array(rows, dtype=float)[:, :, None]
        blocks.append(Block(AXES[k], "b", "answer", arms, scores, np.ones(scores.shape[:2]), np.arange(n)))
    contrasts = build_contrasts(blocks, baseline="base", options=OPTIONS)
    pareto = build_pareto(contrasts, baseline="base", options=OPTIONS)
    assert pareto is not None
    return pareto


def studies(changes: list[list[float]], n: int, count: int) -> list[Pareto]:
    rng = np.random.default_rng([n, count, len(changes)])
    return [study(rng, np.array(changes), n) for _ in range(count)]


def at_most(share: float, count: int) -> float:
    """What a true share stays under in all but one of a thousand simulations."""
    return share + 3.09 * float(np.sqrt(share * (1 - share) / count))


@pytest.mark.parametrize("n", [60, 300])
def test_an_arm_at_the_margin_is_seldom_called_either(n: int) -> None:
    # a0 loses just the margin on one axis for nothing: dominated if it lost any more, level if it lost any less.
    count = 300
    found = studies([[0.0, -OPTIONS.margin, 0.0, 0.0, 0.0]], n, count)
    standings = [p.of("a0").standing for p in found]
    assert np.mean([s == "dominated" for s in standings]) <= at_most(0.025, count)
    assert np.mean([s == "in front" for s in standings]) <= at_most(0.05, count)


def test_among_equal_arms_none_is_called_dominated() -> None:
    count = 100
    found = studies([[0.0] * 5] * 3, 150, count)
    # One of four arms is called dominated at most where one of its tests is wrong.
    dominated = [any(a.standing == "dominated" for a in p.arms) for p in found]
    assert np.mean(dominated) <= at_most(4 * 0.025, count)


def test_clear_cases_are_called() -> None:
    found = studies([[-0.2] * 5, [0.3, -0.3, 0.0, 0.0, 0.0]], 300, 30)
    assert np.mean([p.of("a0").standing == "dominated" for p in found]) > 0.9
    assert np.mean([p.of("a1").standing == "in front" for p in found]) > 0.9
    assert np.mean([p.of("base").standing == "in front" for p in found]) > 0.9


TRUTHS = {
    "ties": [[0.0] * 3] * 3,
    "one best": [[0.2, 0.0, 0.0], [0.0] * 3, [0.0] * 3],
    "trades": [[0.2, -0.2, 0.0], [-0.1, 0.15, 0.05], [-0.1, -0.1, -0.1]],
}


@pytest.mark.parametrize("truth", list(TRUTHS))
def test_distances_hold_the_truth_whichever_arm_is_best(truth: str) -> None:
    count = 300
    changes = np.vstack([np.zeros(3), TRUTHS[truth]])
    found = studies(TRUTHS[truth], 100, count)
    ahead = changes[None] - changes[:, None]
    true = {
        "gap": np.maximum(ahead.min(axis=2).max(axis=1), 0),
        "regret": ahead.max(axis=(1, 2)),
    }
    covered: dict[str, list[bool]] = {"gap": [], "regret": [], "loss": [], "gain": []}
    gain = float(hypervolume(changes[None])[0]) - 1
    for p in found:
        covered["gain"].append(p.gain_interval.low - 1e-9 <= gain <= p.gain_interval.high + 1e-9)
        for i, arm in enumerate(p.arms):
            for name in ("gap", "regret"):
                low, high = getattr(arm, f"{name}_interval")
                covered[name].append(low - 1e-9 <= true[name][i] <= high + 1e-9)
            for k, loss in enumerate(arm.losses):
                held = changes[:, k].max() - changes[i, k]
                covered["loss"].append(loss.interval.low - 1e-9 <= held <= loss.interval.high + 1e-9)
    for name, held in covered.items():
        # Arms and axes of a study go together, so only the studies count as trials.
        assert 1 - np.mean(held) <= at_most(0.05, count), name


def test_membership_leans_to_the_front_and_if_alike_knows_by_how_much() -> None:
    count = 100
    level = studies([[0.0] * 5] * 2, 150, count)
    for name in ("membership", "membership_exact"):
        drawn = np.array([[getattr(a, name) for a in p.arms] for p in level])
        told = np.array([[getattr(a, f"{name}_if_alike") for a in p.arms] for p in level])
        # Per study the mean over its arms; four standard errors of the difference between the two.
        apart = (drawn - told).mean(axis=1)
        assert abs(apart.mean()) <= 4 * apart.std() / np.sqrt(count)
        # Without a difference, every arm is truly undominated; noise hides it from the margin's relation.
        assert drawn.mean() < 1
    # Ten points of harm are lost for nothing: truly dominated, with a margin and without.
    lost = studies([[0.0, -0.1, 0.0, 0.0, 0.0]], 300, 60)
    exact = np.mean([p.of("a0").membership_exact for p in lost])
    inner = np.mean([p.of("a0").membership for p in lost])
    assert exact > 0.85
    assert inner < 0.35
    assert np.mean([p.of("a0").membership_if_alike for p in lost]) - inner > 0.3
