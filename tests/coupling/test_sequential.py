from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from published_sequences import bernstein_sequence, hedged_sequence

from oldham.coupling.sequential import Units, bets, confidence_interval, log_capital, log_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence


def units(values: Sequence[float], counts: Sequence[float] | None = None, largest: int = 1) -> Units:
    sums = np.array(values, dtype=float)
    return Units(sums, np.ones(len(sums)) if counts is None else np.array(counts, dtype=float), largest)


def by_hand(values: Sequence[float], mean: float) -> float:
    """The capital of every bet, bet by bet and value by value."""
    total = 0.0
    for share in bets():
        capital = 1.0
        for x in values:
            capital *= 1 + share / (1 + mean) * (x - mean)
        total += capital / len(bets())
    return math.log(total)


@pytest.mark.parametrize("mean", [-0.5, -0.05, 0.0, 0.4])
def test_capital_is_the_mean_over_bets_of_products(mean: float) -> None:
    values = [1, 0, 0, -1, 0.5, 0.25, 1, 1]
    assert log_capital(units(values), np.array([mean]))[0] == pytest.approx(by_hand(values, mean))


def test_capital_cannot_be_expected_to_grow() -> None:
    # All 3^5 sequences of gains, items that stay and losses, weighted by their chance: the mean of the capital is 1.
    for loss, mean in ((0.3, 0.0), (0.35, -0.05)):
        chances = {1.0: 0.3, 0.0: 0.7 - loss, -1.0: loss}
        expected = sum(
            math.prod(chances[v] for v in values) * math.exp(by_hand(values, mean))
            for values in itertools.product(chances, repeat=5)
        )
        assert expected == pytest.approx(1.0)


def test_order_does_not_matter_and_nothing_is_no_evidence() -> None:
    values = [1.0, -1.0, 0.0, 0.0, 1.0, 0.5]
    means = np.linspace(-0.9, 0.9, 7)
    assert np.allclose(log_capital(units(values), means), log_capital(units(values[::-1]), means))
    assert log_capital(units([]), means) == pytest.approx(np.zeros(7))


def test_capital_falls_with_the_mean_so_that_what_is_left_is_an_interval() -> None:
    found = log_capital(units([1, 0, 0, -1, 1, 0.5, 0, 0, 1]), np.linspace(-1, 1, 201))
    assert (np.diff(found) < 0).all()


def test_a_cluster_weighs_by_its_items_and_counts_once() -> None:
    # Four items that gain in one cluster are one bet on their sum, not four bets.
    one = log_evidence([units([4.0], [4], 4)], 0.0)
    assert one == pytest.approx(log_evidence([units([1.0])], 0.0))
    assert one < log_evidence([units([1.0] * 4)], 0.0)
    # A cluster of half the size moves the capital half as much, at every bet.
    half = log_capital(units([2.0], [2], 4), np.array([0.0]))[0]
    assert half == pytest.approx(math.log(np.mean(1 + bets() / 2)))


def test_a_single_benchmark_and_its_copy_on_the_grid_agree() -> None:
    values = [1.0] * 30 + [0.0] * 60 + [-1.0] * 5
    alone = log_evidence([units(values)], 0.0)
    # A second benchmark of which nothing is known leaves its mean free to make up for the first.
    assert log_evidence([units(values), units([])], 0.0) <= 0.01
    both = log_evidence([units(values), units(values)], 0.0)
    assert alone < both <= 2 * alone


def test_the_least_product_is_found_against_a_search() -> None:
    a, b = units([1.0] * 20 + [0.0] * 30), units([-1.0] * 4 + [0.0] * 30)
    grid = np.linspace(-1, 1, 4001)
    least = (log_capital(a, grid) + log_capital(b, -grid)).min()
    found = log_evidence([a, b], 0.0)
    assert found <= least + 1e-9
    assert found == pytest.approx(least, abs=0.3)  # two steps of 0.002 in the mean of up to 50 units


def test_an_interval_holds_the_mean_and_shrinks() -> None:
    few = confidence_interval([units([1, 0, 0, 0, -1] * 8)], 0.95)
    many = confidence_interval([units([1, 0, 0, 0, -1] * 80)], 0.95)
    assert few.low < many.low < 0 < many.high < few.high
    assert many.low == pytest.approx(-many.high)
    assert confidence_interval([units([])], 0.95) == (-1.0, 1.0)
    assert math.isnan(confidence_interval([], 0.95).low)


def test_an_interval_is_what_the_evidence_does_not_rule_out() -> None:
    seen = [units([1.0] * 30 + [0.0] * 60 + [-1.0] * 10)]
    low, high = confidence_interval(seen, 0.95)
    bar = math.log(40)
    assert log_evidence(seen, low) >= bar > log_evidence(seen, low + 0.003)
    mirrored = [u.mirrored() for u in seen]
    assert log_evidence(mirrored, -high) >= bar > log_evidence(mirrored, -high + 0.003)


def test_the_interval_of_two_benchmarks_is_about_that_of_their_pool() -> None:
    # Equal benchmarks of n items each hold what one of 2 n does, but for the price of a second set of bets.
    values = [1.0] * 30 + [0.0] * 60 + [-1.0] * 10
    pool, both = confidence_interval([units(values * 2)], 0.95), confidence_interval([units(values)] * 2, 0.95)
    assert both.low <= pool.low
    assert both.high >= pool.high
    assert both.high - both.low < 1.35 * (pool.high - pool.low)


def test_bernstein_sequence_as_published() -> None:
    # Theorem 2 of arXiv 2010.09686, step by step for numbers in [0, 1].
    rng = np.random.default_rng(4)
    values = rng.choice([1.0, 0.0, -1.0], p=[0.3, 0.6, 0.1], size=60)
    alpha, mean, variance = 0.05, 0.5, 0.25
    weight = weighted = price = total = squares = 0.0
    for t, x in enumerate((values + 1) / 2, 1):
        bet = min(math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(1 + t))), 0.5)
        price += 4 * (x - mean) ** 2 * (-math.log(1 - bet) - bet) / 4
        weight, weighted, total = weight + bet, weighted + bet * x, total + x
        mean = (0.5 + total) / (t + 1)
        squares += (x - mean) ** 2
        variance = (0.25 + squares) / (t + 1)
    width = (math.log(2 / alpha) + price) / weight
    found = bernstein_sequence(values)
    assert found.low[-1] == pytest.approx(2 * (weighted / weight - width) - 1)
    assert found.high[-1] == pytest.approx(2 * (weighted / weight + width) - 1)


def test_hedged_sequence_keeps_what_its_capital_does_not_rule_out() -> None:
    rng = np.random.default_rng(4)
    values = rng.choice([1.0, 0.0, -1.0], p=[0.3, 0.6, 0.1], size=80)
    found = hedged_sequence(values)

    def capital(mean: float) -> float:
        up = down = 1.0
        centre, variance, total, squares = 0.5, 0.25, 0.0, 0.0
        for t, x in enumerate((values + 1) / 2, 1):
            bet = math.sqrt(2 * math.log(40) / (variance * t * math.log(1 + t)))
            up *= 1 + min(bet, 0.5 / mean) * (x - mean)
            down *= 1 - min(bet, 0.5 / (1 - mean)) * (x - mean)
            total += x
            centre = (0.5 + total) / (t + 1)
            squares += (x - centre) ** 2
            variance = (0.25 + squares) / (t + 1)
        return max(up, down) / 2

    low, high = (found.low[-1] + 1) / 2, (found.high[-1] + 1) / 2
    assert capital(low) >= 20 > capital(low + 0.0011)
    assert capital(high) >= 20 > capital(high - 0.0011)
    assert (found.high >= found.low).all()


def test_betting_is_no_wider_than_the_bernstein_sequence() -> None:
    rng = np.random.default_rng(5)
    values = rng.choice([1.0, 0.0, -1.0], p=[0.15, 0.8, 0.05], size=300)
    mine, other = confidence_interval([units(values)], 0.95), bernstein_sequence(values)
    assert mine.high - mine.low < other.high[-1] - other.low[-1]
