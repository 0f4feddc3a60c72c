"""Is the variance taken apart without bias, and is the power that a plan promises kept by the analysis?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from oldham.coupling.bootstrap import resample_means
from oldham.coupling.mcnemar_power import mcnemar_items, mcnemar_power
from oldham.coupling.options import CouplingOptions
from oldham.coupling.pairing import Block
from oldham.coupling.planning import Goal, Spread, items_for, spread_range
from oldham.coupling.significance import mcnemar, sign_flip
from oldham.coupling.variance_split import Changes, estimate_parts, read_changes, variance_cloud

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conftest import Simulate

pytestmark = pytest.mark.thorough

OPTIONS = CouplingOptions(resamples=400)
POWER = 0.8
CLUSTER, ITEM = 0.15, 0.10
"""By how much a cluster and an item move the chance of a good answer, up or down."""
DRAW = 0.5 - (0.4**2 / 12 + 0.25) + 0.5 - (0.4**2 / 12 + 0.25 + CLUSTER**2 + ITEM**2)
"""Variance of a draw of the baseline, whose chances are uniform on [0.3, 0.7], and of one of the arm."""


def studied(rng: np.random.Generator, clusters: NDArray[np.int64], draws: NDArray[np.int64]) -> Block:
    """Draw one study; `draws` has shape (2, items): how many draws of an item finished in each arm."""
    n = len(clusters)
    p = rng.uniform(0.3, 0.7, n)
    sign = rng.choice([-1.0, 1.0], size=(2, n))
    q = p + CLUSTER * sign[0][clusters] + ITEM * sign[1]
    scores = (rng.random((2, n, int(draws.max()))) < np.stack([p, q])[:, :, None]).astype(float)
    scores[np.arange(draws.max()) >= draws[:, :, None]] = np.nan
    return Block("harm", "b", "answer", ("base", "arm"), scores, draws, clusters)


def four_errors(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 4 * values.std(axis=0) / math.sqrt(len(values))


@pytest.mark.parametrize(("sizes", "several"), [([1] * 40, False), ([5] * 12, True), ([1, 2, 3, 8] * 4, True)])
@pytest.mark.parametrize("most", [2, 5])
def test_variances_between_clusters_items_and_draws_are_unbiased(sizes: list[int], several: bool, most: int) -> None:
    rng = np.random.default_rng([len(sizes), sum(sizes), most])
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    found = []
    for _ in range(1500):
        draws = rng.integers(2, most + 1, size=(2, len(clusters)))
        changes = read_changes(studied(rng, clusters, draws), "arm", "base", OPTIONS, split=True)
        found.append([float(part[0]) for part in estimate_parts(changes)[:3]])
    values = np.array(found)
    # With one item a cluster the two cannot be told apart, and their sum is what varies between items.
    truth = [CLUSTER**2, ITEM**2, DRAW] if several else [0.0, CLUSTER**2 + ITEM**2, DRAW]
    assert np.all(np.abs(values.mean(axis=0) - truth) <= four_errors(values))
    assert np.all(four_errors(values)[1:] < [0.01, 0.01]), "the simulation can tell"


def test_the_variance_of_a_mean_with_other_draws_is_as_predicted() -> None:
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(20), 3)
    few, many = (np.full((2, 60), m) for m in (2, 8))
    parts = [
        estimate_parts(read_changes(studied(rng, clusters, few), "arm", "base", OPTIONS, split=True))
        for _ in range(1000)
    ]
    predicted = np.array([(3 * p.cluster[0] + p.item[0] + p.draw[0] / 8) / 60 for p in parts])
    means = np.array([np.diff(studied(rng, clusters, many).means.mean(axis=1))[0] for _ in range(3000)])
    truth = (3 * CLUSTER**2 + ITEM**2 + DRAW / 8) / 60
    # The variance of 3,000 numbers is known to sqrt(2 / 3000), 2.6%.
    assert np.var(means) == pytest.approx(truth, rel=4 * math.sqrt(2 / 3000))
    assert predicted.mean() == pytest.approx(truth, abs=4 * predicted.std() / math.sqrt(1000))


@pytest.mark.parametrize(("n", "size", "draws"), [(60, 1, 1), (120, 1, 1), (60, 1, 4), (300, 5, 1), (300, 5, 4)])
@pytest.mark.parametrize("moved", [0.06, 0.2])
def test_the_range_of_a_variance_holds_it(simulate: Simulate, n: int, size: int, draws: int, moved: float) -> None:
    studies = simulate(n, size, draws, moved, moved, 600)
    differences = studies.after.mean(axis=2) - studies.before.mean(axis=2)
    estimates = resample_means(differences, studies.clusters, resamples=0, seed=0)
    truth = float(np.mean([e.variance for e in estimates]))
    held = []
    for column, estimate in zip(differences.T, estimates, strict=True):
        sums = [np.bincount(studies.clusters, weights=w) for w in (np.ones(n), column, *[np.zeros(n)] * 3)]
        changes = Changes(np.column_stack(sums), 0, n, n // size)
        cloud = variance_cloud(changes, resamples=400)
        low, high = (math.nan, math.nan)
        if estimate.variance:
            low, high = spread_range(float(cloud.var() / cloud.mean() ** 2), n // size - 1)
        held.append(not low * estimate.variance > truth and not truth > high * estimate.variance)
    assert np.mean(held) >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 600)


@pytest.mark.parametrize(("effect", "flips"), [(0.05, 0.1), (0.1, 0.2), (0.1, 0.1), (0.2, 0.5)])
def test_planned_items_find_the_change_as_often_as_promised_by_mcnemar(effect: float, flips: float) -> None:
    n = mcnemar_items(effect, flips, power=POWER)
    assert n is not None
    gain, loss = (flips + effect) / 2, (flips - effect) / 2
    studies = np.random.default_rng(n).multinomial(n, [gain, loss, 1 - flips], size=20_000)
    pairs, times = np.unique(studies[:, :2], axis=0, return_counts=True)
    found = sum(int(k) for (g, loss_), k in zip(pairs, times, strict=True) if g > loss_ and mcnemar(g, loss_) < 0.05)
    error = math.sqrt(POWER * (1 - POWER) / 20_000)
    exact = mcnemar_power(n, gain=gain, loss=loss)
    assert exact >= POWER
    assert found / 20_000 == pytest.approx(exact, abs=4 * error)


def changed(rng: np.random.Generator, n: int, size: int, truth: tuple[float, float, float]) -> NDArray[np.float64]:
    """Draw the changes of 600 studies with four draws: their mean, and how far clusters and items are from it."""
    mean, of_clusters, of_items = truth
    clusters = np.repeat(np.arange(n // size), size)
    p = rng.uniform(0.3, 0.7, (n, 600))
    q = p + mean + of_clusters * rng.choice([-1.0, 1.0], (n // size, 600))[clusters]
    q += of_items * rng.choice([-1.0, 1.0], (n, 600))
    return (rng.binomial(4, q) - rng.binomial(4, p)) / 4


@pytest.mark.parametrize(("size", "of_clusters"), [(1, 0.0), (5, 0.1)])
@pytest.mark.parametrize("name", ["superior", "non_inferior", "equivalent", "tested"])
def test_planned_items_show_it_as_often_as_promised(size: int, of_clusters: float, name: str) -> None:
    mean = 0.1 if name in ("superior", "tested") else 0.0
    base = 0.5 - (0.4**2 / 12 + 0.25)
    draw = 2 * base - mean**2 - of_clusters**2 - 0.1**2
    spread = Spread(size * of_clusters**2 + 0.1**2, draw, float(size))
    goal = Goal("superior" if name == "tested" else name, 0.1)  # type: ignore[arg-type]
    n = items_for(spread, 4, goal, power=POWER)
    assert n is not None
    n += -n % size
    promised = goal.chance(spread.variance(n, 4), spread.degrees(n))
    changes = changed(np.random.default_rng([n, size]), n, size, (mean, of_clusters, 0.1))
    clusters = np.repeat(np.arange(n // size), size)
    if name == "tested":
        shifts = changes.reshape(n // size, size, -1).sum(axis=1) / n
        found = np.mean([sign_flip(column, permutations=2000, seed=i) < 0.05 for i, column in enumerate(shifts.T)])
    else:
        estimates = resample_means(changes, clusters, resamples=1000, seed=1)
        intervals = np.array([e.interval(0.90 if name == "equivalent" else 0.95) for e in estimates])
        limit = {"superior": 0.0, "non_inferior": -0.1, "equivalent": -0.1}[name]
        found = np.mean((intervals[:, 0] > limit) & ((intervals[:, 1] < 0.1) | (name != "equivalent")))
    assert promised >= POWER
    assert found == pytest.approx(promised, abs=4 * math.sqrt(promised * (1 - promised) / 600))
