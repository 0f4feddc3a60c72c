"""The line through the origin, against closed forms and scipy's orthogonal distance regression."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, f, norm, t

from oldham.coupling.bootstrap import Estimate
from oldham.coupling.results import Interval
from oldham.coupling.slope import (
    angle_arc,
    fit_angles,
    has_moved,
    heterogeneity,
    holds,
    place,
    slope_interval,
    wrap,
)

RESAMPLES = 400
MANY = 10**7


def exact_cloud(covariance: np.ndarray, mean: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw a cloud whose sample mean and covariance are exactly these."""
    raw = np.random.default_rng(seed).standard_normal((RESAMPLES, len(mean)))
    raw -= raw.mean(axis=0)
    whitened = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def estimates(values: list[float], cloud: np.ndarray, n: int = MANY) -> list[Estimate]:
    return [Estimate(v, cloud[:, i], float(cloud[:, i].var(ddof=1)), n) for i, v in enumerate(values)]


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=6).filter(
        lambda points: (
            math.hypot(2 * sum(x * y for x, y in points), sum(x * x for x, _ in points) - sum(y * y for _, y in points))
            > 1e-3
        )
    ),
    st.floats(0.001, 10),
)
def test_equal_variances_give_total_least_squares(points: list[tuple[float, float]], variance: float) -> None:
    x, y = np.array(points).T
    same = np.full(len(x), variance)
    angle = fit_angles(x[None], y[None], same, same)[0]
    expected = math.degrees(math.atan2(2 * (x * y).sum(), (x**2).sum() - (y**2).sum()) / 2)
    assert abs(wrap(np.array(angle - expected))) < 1e-4


def test_unequal_variances_give_what_orthogonal_distance_regression_gives() -> None:
    odr = pytest.importorskip("scipy.odr")
    rng = np.random.default_rng(1)
    for _ in range(20):
        x, y = rng.normal(0, 0.3, 5) + 0.2, rng.normal(0, 0.3, 5) - 0.1
        sx, sy = rng.uniform(0.02, 0.2, 5), rng.uniform(0.02, 0.2, 5)
        angle = fit_angles(x[None], y[None], sx**2, sy**2)[0]
        kappa = math.tan(math.radians(angle))
        data = odr.RealData(x, y, sx=sx, sy=sy)
        found = odr.ODR(data, odr.Model(lambda b, x: b[0] * x), beta0=[kappa * 1.05 + 0.01], maxit=500).run()
        assert found.beta[0] == pytest.approx(kappa, rel=1e-3, abs=1e-4)


def test_no_angle_does_better_than_the_one_found() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 4))
    vx, vy = rng.uniform(0.01, 2, 4), rng.uniform(0.01, 2, 4)

    def loss(degrees: np.ndarray) -> np.ndarray:
        c, s = np.cos(np.radians(degrees))[:, None], np.sin(np.radians(degrees))[:, None]
        return ((y * c - x * s) ** 2 / (vy * c**2 + vx * s**2)).sum(axis=1)

    found = loss(fit_angles(x, y, vx, vy))
    others = np.array([loss(np.full(50, d)) for d in np.linspace(-90, 90, 3601)])
    assert (found <= others.min(axis=0) + 1e-9).all()


def test_without_error_across_it_is_weighted_least_squares() -> None:
    x, y, vy = np.array([0.1, 0.2, 0.4]), np.array([-0.1, -0.05, -0.3]), np.array([0.01, 0.02, 0.005])
    angle = fit_angles(x[None], y[None], np.full(3, 1e-14), vy)[0]
    assert math.tan(math.radians(angle)) == pytest.approx((x * y / vy).sum() / (x * x / vy).sum(), rel=1e-6)


@pytest.mark.parametrize(("across", "up", "angle"), [(0.2, -0.1, -26.565051), (0.0, 0.3, 90.0), (0.0, -0.3, 90.0)])
def test_one_arm_lies_on_its_line(across: float, up: float, angle: float) -> None:
    one = np.array([0.01])
    assert fit_angles(np.array([[across]]), np.array([[up]]), one, 3 * one)[0] == pytest.approx(angle, abs=1e-6)


def test_nothing_measured_has_no_line() -> None:
    x = np.array([[0.0, 0.0], [math.nan, 0.2], [0.1, 0.2]])
    found = fit_angles(x, x, np.ones(2), np.ones(2))
    assert np.isnan(found).tolist() == [True, True, False]


def test_chunks_do_not_change_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    x, y, v = rng.normal(size=(30, 3)), rng.normal(size=(30, 3)), np.array([0.1, 0.2, 0.3])
    whole = fit_angles(x, y, v, v)
    monkeypatch.setattr("oldham.coupling.slope._CHUNK", 1000)
    assert fit_angles(x, y, v, v) == pytest.approx(whole)


def test_lines_repeat_every_half_turn() -> None:
    assert wrap(np.array([-90.0, 90.0, 91.0, 270.0, -180.0, 45.0])).tolist() == [
        90.0,
        90.0,
        -89.0,
        90.0,
        0.0,
        45.0,
    ]


def test_an_arc_turns_with_its_line() -> None:
    rng = np.random.default_rng(5)
    turned = rng.normal(0, 10, 5000)
    level = angle_arc(0.0, wrap(turned), tail=0.025)
    steep = angle_arc(85.0, wrap(turned + 85), tail=0.025)
    assert steep == pytest.approx((level.low + 85, level.high + 85))
    assert steep.high > 90
    assert (level.low, level.high) == pytest.approx((-19.6, 19.6), abs=0.8)


def test_few_clusters_widen_an_arc() -> None:
    cloud = np.random.default_rng(6).normal(0, 10, 5000)

    def tail(n: int) -> float:
        lone = [Estimate(0.0, cloud, 1.0, n)]
        return place(lone, lone).tail

    assert tail(6) == pytest.approx(norm.cdf(-math.sqrt(6 / 5) * t.ppf(0.975, 5)))
    few, many = (angle_arc(0.0, cloud, tail=tail(n)) for n in (6, 600))
    assert few.high - few.low > 1.2 * (many.high - many.low)
    assert math.isnan(angle_arc(0.0, cloud, tail=tail(1)).low)


@pytest.mark.parametrize(
    ("arc", "line", "held"),
    [((-10, 10), 0, True), ((5, 10), 0, False), ((80, 100), 90, True), ((-100, -80), 90, True), ((80, 190), 0, True)],
)
def test_what_an_arc_holds(arc: tuple[float, float], line: float, held: bool) -> None:
    assert holds(Interval(*arc), line) is held


def test_slopes_end_where_the_arc_ends_unless_it_holds_an_upright_line() -> None:
    assert slope_interval(Interval(-45, 45)) == pytest.approx((-1, 1))
    assert slope_interval(Interval(95, 135)) == pytest.approx((math.tan(math.radians(95)), -1))
    assert slope_interval(Interval(60, 100)) == (-math.inf, math.inf)
    assert math.isnan(slope_interval(Interval(math.nan, math.nan)).low)
    assert not holds(Interval(math.nan, math.nan), 0.0)


def two_arms(up: list[float], covariance: float) -> tuple[list[Estimate], list[Estimate]]:
    """Two arms with the same gain of reasoning, known all but exactly, and correlated errors on the safety axis."""
    tiny = 1e-12
    spread = np.diag([tiny, tiny, 0.02, 0.03])
    spread[2, 3] = spread[3, 2] = covariance
    cloud = exact_cloud(spread, np.array([1.0, 1.0, *up]))
    return estimates([1.0, 1.0], cloud[:, :2]), estimates(up, cloud[:, 2:])


@pytest.mark.parametrize("covariance", [0.0, 0.015, -0.01])
def test_q_of_two_equal_doses_is_their_difference_in_units_of_its_joint_error(covariance: float) -> None:
    found = heterogeneity(place(*two_arms([-0.5, -0.2], covariance)))
    expected = 0.3**2 / (0.02 + 0.03 - 2 * covariance)
    assert found.degrees == 1
    assert found.q == pytest.approx(expected, rel=1e-4)
    assert found.p_value == pytest.approx(chi2.sf(expected, 1), rel=1e-3)
    assert found.i_squared == pytest.approx(max(0.0, 1 - 1 / expected), abs=1e-3)


def test_few_clusters_make_q_a_t_squared() -> None:
    across, up = two_arms([-0.5, -0.2], 0.0)
    few = [Estimate(e.value, e.cloud, e.variance, 10) for e in up]
    found = heterogeneity(place(across, few))
    assert found.p_value == pytest.approx(f.sf(found.q, 1, 9), rel=1e-9)
    assert found.p_value > chi2.sf(found.q, 1)


def test_arms_that_are_copies_count_once() -> None:
    across, up = two_arms([-0.5, -0.2], 0.0)
    twice = heterogeneity(place([*across, across[0]], [*up, up[0]]))
    once = heterogeneity(place(across, up))
    assert (twice.degrees, twice.q) == (1, pytest.approx(once.q, rel=1e-6))


def test_one_arm_and_more_arms_than_clusters_have_no_q() -> None:
    across, up = two_arms([-0.5, -0.2], 0.0)
    assert math.isnan(heterogeneity(place(across[:1], up[:1])).p_value)
    lone = [Estimate(e.value, e.cloud, e.variance, 2) for e in up]
    assert heterogeneity(place(across, lone)).degrees == 1
    three = place([*across, across[0]], [*lone, Estimate(0.1, up[0].cloud[::-1] + 0.6, 0.02, 2)])
    assert math.isnan(heterogeneity(three).p_value)


def test_arms_move_when_their_changes_exceed_their_errors() -> None:
    cloud = exact_cloud(np.diag([0.01, 0.01]), np.zeros(2))

    def moved(across: float, up: float) -> bool:
        return has_moved(place(estimates([across], cloud[:, :1] + across), estimates([up], cloud[:, 1:] + up)))

    assert moved(0.0, 0.4)
    assert moved(-0.4, 0.0)
    assert not moved(0.1, 0.1)


def test_few_clusters_are_not_taken_for_movement() -> None:
    """A change of 2.4 standard errors is one of 1.96 with many clusters, and not with six."""
    cloud = exact_cloud(np.diag([0.01, 0.01]), np.zeros(2))

    def moved(n: int, size: float) -> bool:
        sides = (estimates([size], cloud[:, :1] + size, n), estimates([0.0], cloud[:, 1:], n))
        return has_moved(place(*sides))

    assert moved(MANY, 0.28)
    assert not moved(6, 0.28)
    assert moved(6, 0.6)
    assert not moved(1, 0.6)


def test_an_arm_without_flips_is_not_known_for_certain() -> None:
    cloud = np.random.default_rng(7).normal(0, 0.02, (RESAMPLES, 1))
    still = [Estimate(0.0, cloud[:, 0], 0.0, 60)]
    points = place(still, still)
    assert points.up_variance[0] == pytest.approx(cloud.var())
