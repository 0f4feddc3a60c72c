from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import isotonic_regression
from scipy.stats import t

from oldham.coupling.bootstrap import Estimate, average, resample_means
from oldham.coupling.dynamics_bands import (
    falling,
    find_crossing,
    ratio_interval,
    signed_area,
    simultaneous_bands,
)


def normals(n: int, correlation: float, count: int = 20_000) -> list[Estimate]:
    rng = np.random.default_rng(5)
    shared = rng.standard_normal(count)
    own = rng.standard_normal((n, count))
    clouds = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
    return [Estimate(0.0, c, 1.0, 100_000) for c in clouds]


def test_the_band_of_one_is_its_interval() -> None:
    values = np.random.default_rng(0).integers(-1, 2, (40, 1)).astype(float)
    (estimate,) = resample_means(values, np.arange(40), resamples=4000, seed=1)
    (band,) = simultaneous_bands([estimate])
    assert band == estimate.interval()


def of_unlike_size(mean: float, sizes: tuple[int, ...] = (10, 300), spread: float = 0.4) -> Estimate:
    """Return a mean over benchmarks of so many items, all of the same spread."""
    parts = []
    for n in sizes:
        values = np.random.default_rng(n).normal(mean, spread, (n, 1))
        parts += resample_means(values, np.arange(n), resamples=4000, seed=n)
    return average(parts)


def test_a_small_benchmark_beside_a_large_one_leaves_a_band_as_unsure_as_its_interval() -> None:
    unlike = of_unlike_size(-0.3)
    assert unlike.freedom < 12
    (band,) = simultaneous_bands([unlike])
    assert tuple(band) == pytest.approx(tuple(unlike.interval()), abs=0.002)
    crossing = find_crossing(0.0, [1.0], [unlike], -0.3)
    assert crossing.interval == (0.0, math.inf)
    below = of_unlike_size(0.9, (310,), 0.01)
    alone = ratio_interval(unlike, below)
    assert (alone.low, alone.high) == pytest.approx([end / below.value for end in unlike.interval()], rel=0.02)


def test_ends_that_the_resamples_do_not_reach_are_students() -> None:
    few = of_unlike_size(-0.3, (6, 300))
    (band, other) = simultaneous_bands([few, few])
    assert band == other
    short = [Estimate(e.value, e.cloud[:100], e.variance, e.n_clusters, e.strata) for e in (few,)]
    (band,) = simultaneous_bands(short)
    half = t.ppf(0.975, few.freedom) * math.sqrt(few.variance)
    assert band.low <= few.value - 0.99 * half
    assert band.high >= few.value + 0.99 * half
    (held,) = simultaneous_bands(short, most=0.31)
    assert held.low == pytest.approx(max(-0.31, band.low))


def test_bands_are_as_wide_as_the_largest_of_so_many_normals() -> None:
    # Independent: each side holds (1 + 0.95^(1/k)) / 2. Equal: no wider than one.
    for band in simultaneous_bands(normals(5, 0.0)):
        assert (-band.low, band.high) == pytest.approx((2.569, 2.569), abs=0.12)
    for band in simultaneous_bands(normals(5, 1.0)):
        assert (-band.low, band.high) == pytest.approx((1.96, 1.96), abs=0.06)


def test_an_unknown_estimate_has_no_band_and_widens_none() -> None:
    nothing = Estimate(math.nan, np.full(20_000, np.nan), math.nan, 0)
    one, none = simultaneous_bands([*normals(1, 0.0), nothing])
    assert one.high == pytest.approx(1.96, abs=0.06)
    assert math.isnan(none.low)


@pytest.mark.parametrize("seed", range(5))
def test_the_falling_fit_is_isotonic_regression_held_below_0(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(7, 3))
    fitted = falling(values)
    for j in range(3):
        expected = np.minimum(isotonic_regression(values[:, j], increasing=False).x, 0.0)
        assert fitted[:, j] == pytest.approx(expected)


def test_a_crossing_is_bracketed_by_doses_and_drawn_by_a_line() -> None:
    sure = [Estimate(v, np.full(500, v), 1e-9, 1000) for v in (-0.01, -0.05, -0.25)]
    found = find_crossing(0.0, [10.0, 20.0, 40.0], sure, -0.15)
    assert found.dose == pytest.approx(30.0)
    assert found.interval == (20.0, 40.0)
    assert find_crossing(0.0, [10.0, 20.0, 40.0], sure, -0.005).interval == (0.0, 10.0)
    beyond = find_crossing(0.0, [10.0, 20.0, 40.0], sure, -0.5)
    assert (beyond.dose, beyond.interval) == (math.inf, (40.0, math.inf))


def test_a_rise_is_no_crossing_and_what_is_unknown_gives_none() -> None:
    rise = [Estimate(v, np.full(500, v), 1e-9, 1000) for v in (0.3, 0.1)]
    assert find_crossing(0.0, [1.0, 2.0], rise, -0.05).dose == math.inf
    nothing = Estimate(math.nan, np.full(500, np.nan), math.nan, 0)
    unknown = find_crossing(0.0, [1.0, 2.0], [rise[0], nothing], -0.05)
    assert math.isnan(unknown.dose)
    assert math.isnan(unknown.interval.low)


def test_counter_clockwise_is_positive() -> None:
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert signed_area(square) == 1.0
    assert signed_area(square[::-1]) == -1.0
