from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oldham.coupling.bootstrap import Estimate, average, resample_means, widen_if_rare
from oldham.coupling.shares import upper_if_none

ONES = [[1.0], [1.0], [0.0], [1.0], [0.0], [1.0], [1.0], [0.0]]


def estimate_of(values: list[float], clusters: list[int] | None = None, resamples: int = 2000) -> Estimate:
    column = np.array(values, dtype=float)[:, None]
    groups = np.arange(len(values)) if clusters is None else np.array(clusters)
    return resample_means(column, groups, resamples=resamples, seed=3)[0]


def test_mean_and_variance_of_independent_items() -> None:
    values = [0.1, 0.5, 0.9, 0.3]
    found = estimate_of(values)
    assert found.value == pytest.approx(0.45)
    assert found.variance == pytest.approx(np.var(values, ddof=1) / 4)
    assert found.n_clusters == 4


def test_variance_of_clusters_is_of_their_sums() -> None:
    # Mean 0.5; cluster sums less count x mean: 1, -0.5, -0.5 over 4 items: 3/2 x 1.5 / 16.
    found = estimate_of([1, 1, 0, 0], [0, 0, 1, 2])
    assert found.variance == pytest.approx(1.5 * 1.5 / 16)


def test_cloud_spreads_as_the_resampled_mean_must() -> None:
    values = list(np.random.default_rng(0).random(40))
    found = estimate_of(values, resamples=20_000)
    assert found.cloud.mean() == pytest.approx(found.value, abs=2e-3)
    assert found.cloud.var() == pytest.approx(np.var(values) / 40, rel=0.03)


def test_whole_clusters_are_drawn() -> None:
    # Two clusters of one mean each: a resample can only be 0, 1/2 or 1.
    found = estimate_of([1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1])
    assert set(np.unique(found.cloud)) == {0.0, 0.5, 1.0}


def test_columns_share_their_resamples() -> None:
    values = np.column_stack([np.array(ONES)[:, 0], 1 - np.array(ONES)[:, 0]])
    first, second = resample_means(values, np.arange(8), resamples=500, seed=0)
    assert first.cloud == pytest.approx(1 - second.cloud)


def test_interval_is_scipys_percentile_interval_at_the_expanded_level() -> None:
    values = np.random.default_rng(5).normal(0.2, 0.3, 30)
    found = estimate_of(list(values), resamples=40_000)
    tail = stats.norm.cdf(-math.sqrt(30 / 29) * stats.t.ppf(0.975, 29))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="percentile", confidence_level=1 - 2 * tail, rng=1
    )  # fmt: skip
    assert found.interval() == pytest.approx(tuple(theirs.confidence_interval), abs=4e-3)


def test_interval_of_a_normal_sample_is_students() -> None:
    values = np.random.default_rng(6).normal(0.0, 1.0, 12)
    found = estimate_of(list(values), resamples=100_000)
    half = stats.t.ppf(0.975, 11) * values.std(ddof=1) / math.sqrt(12)
    assert found.interval().high - found.interval().low == pytest.approx(2 * half, rel=0.06)


def test_a_unit_without_a_value_is_left_out() -> None:
    found = estimate_of([1.0, math.nan, 0.0])
    assert found.value == 0.5
    assert found.n_clusters == 2


@pytest.mark.parametrize("values", [[], [math.nan, math.nan], [0.4]])
def test_fewer_than_two_clusters_have_no_interval(values: list[float]) -> None:
    found = estimate_of(values)
    assert all(math.isnan(end) for end in (*found.interval(), *found.share_interval()))
    assert math.isnan(found.variance)


def test_two_items_of_one_cluster_have_no_interval() -> None:
    found = estimate_of([1.0, 0.0], [0, 0])
    assert found.value == 0.5
    assert math.isnan(found.interval().low)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12), st.integers(0, 2**32))
def test_equal_seeds_give_equal_clouds_within_the_values(values: list[float], seed: int) -> None:
    column = np.array(values)[:, None]
    (one,), (two,) = (resample_means(column, np.arange(len(values)), resamples=50, seed=seed) for _ in range(2))
    assert np.array_equal(one.cloud, two.cloud)
    assert min(values) - 1e-9 <= one.cloud.min() <= one.cloud.max() <= max(values) + 1e-9


def test_average_of_benchmarks_is_unweighted_and_independent() -> None:
    small, large = estimate_of([1.0, 0.0]), estimate_of([0.0] * 9 + [1.0])
    both = average([small, large])
    assert both.value == pytest.approx((0.5 + 0.1) / 2)
    assert both.variance == pytest.approx((small.variance + large.variance) / 4)
    assert (both.n_clusters, both.n_strata, both.degrees) == (12, 2, 10)


def test_no_change_at_all_is_bounded_by_three_over_n_and_not_certain() -> None:
    n = 60
    found = widen_if_rare(estimate_of([0.0] * n, resamples=10_000), np.zeros(n), seed=1)
    low, high = found.interval()
    assert low == pytest.approx(-high, rel=0.01)
    assert high == pytest.approx(upper_if_none(n), rel=0.1)
    assert found.value == 0.0


def test_a_single_loss_leaves_a_gain_open() -> None:
    changes = np.array([-1.0] + [0.0] * 59)
    plain = estimate_of(list(changes))
    assert plain.interval().high == 0.0
    widened = widen_if_rare(plain, changes, seed=1)
    assert widened.interval().high > 0.02
    assert widened.interval().low < plain.interval().low


def test_many_changes_are_left_alone() -> None:
    changes = np.array([-1.0] * 6 + [0.0] * 54)
    plain = estimate_of(list(changes))
    assert widen_if_rare(plain, changes, seed=1) is plain


def test_everything_changed_alike_is_not_certain_and_stays_in_range() -> None:
    changes = np.full(20, -1.0)
    low, high = widen_if_rare(estimate_of(list(changes)), changes, seed=1).interval()
    assert low == -1.0
    assert high == pytest.approx(-1 + upper_if_none(20), rel=0.05)


def test_share_interval_of_independent_items_is_nearly_wilsons() -> None:
    found = estimate_of([1.0] * 81 + [0.0] * 182)
    assert found.share_interval() == pytest.approx((0.2553, 0.3662), abs=2e-3)


def stratum(n: int, spread: float, seed: int) -> Estimate:
    return estimate_of(list(np.random.default_rng(seed).normal(0, spread, n)), resamples=4000)


def test_a_small_benchmark_that_makes_the_variance_leaves_it_as_unsure_as_it_is_small() -> None:
    few, many = stratum(6, 1.0, 1), stratum(300, 0.01, 2)
    both = average([few, many])
    squares = [few.variance, many.variance]
    welch = sum(squares) ** 2 / (squares[0] ** 2 / 5 + squares[1] ** 2 / 299)
    assert both.freedom == pytest.approx(welch)
    assert both.freedom == pytest.approx(5, rel=0.01)
    assert both.shown == pytest.approx(5 / 6, rel=0.01)
    # All but a hundredth of the spread is the small benchmark's: so is the interval, at half the size.
    alone = few.interval()
    assert np.diff(both.interval()) == pytest.approx(np.diff(alone) / 2, rel=0.05)
    assert both.p_value() == pytest.approx(few.p_value(), rel=0.1)


def test_alike_benchmarks_have_the_degrees_of_both() -> None:
    one = stratum(20, 1.0, 1)
    both = average([one, one])
    assert (both.freedom, both.shown) == (pytest.approx(38), pytest.approx(19 / 20))


def test_one_benchmark_is_its_own_average() -> None:
    one = stratum(20, 1.0, 1)
    assert average([one]) is one


def test_a_small_benchmark_in_which_nothing_was_seen_is_not_certain() -> None:
    none, many = estimate_of([0.0] * 10), estimate_of([1.0] * 30 + [0.0] * 270)
    low, high = average([none, many]).share_interval(most=310.0)
    assert low <= 0.05 <= high
    # Ten items may hide a quarter, which is an eighth of the mean, beside what 300 leave open.
    assert high > 0.05 + none.share_interval(most=10.0).high / 2
    assert high <= 1


def test_a_benchmark_with_one_cluster_leaves_the_share_of_all_unknown() -> None:
    found = average([estimate_of([1.0, 0.0], [0, 0]), estimate_of([1.0] * 9 + [0.0])])
    assert math.isnan(found.share_interval().low)
    assert math.isnan(found.interval().low)


def test_one_cluster_leaves_the_error_of_a_mean_of_benchmarks_unknown() -> None:
    values = np.array([[0.0], [1.0], [1.0], [0.0]])
    many, lone = (resample_means(values, c, resamples=50, seed=1)[0] for c in (np.arange(4), np.zeros(4, dtype=int)))
    assert many.has_spread
    assert average([many, many]).has_spread
    assert not lone.has_spread
    assert average([many, lone]).degrees > 0
    assert not average([many, lone]).has_spread
