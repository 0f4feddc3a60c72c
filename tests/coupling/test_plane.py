from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t

from oldham.coupling.bootstrap import Estimate, average, resample_means
from oldham.coupling.plane import angle_of, direction_of, ellipse, quadrant_shares


@pytest.mark.parametrize(
    ("across", "up", "angle"),
    [(1, 0, 0), (1, 1, 45), (0, 1, 90), (-1, 0, 180), (-1, -0.0, 180), (0, -1, -90), (-1, -1, -135)],
)
def test_angles(across: float, up: float, angle: float) -> None:
    assert angle_of(across, up) == pytest.approx(angle)


def test_no_vector_has_no_angle() -> None:
    assert math.isnan(angle_of(0.0, 0.0))
    assert math.isnan(angle_of(math.nan, 1.0))


def change(values: np.ndarray, seed: int = 0) -> Estimate:
    return resample_means(values[:, None], np.arange(len(values)), resamples=2000, seed=seed)[0]


def item_changes(value: float, n: int = 60, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.linspace(-0.4, 0.4, n)) + value


@pytest.mark.parametrize(("x", "y"), [(0.3, -0.2), (-0.3, 0.0), (-0.3, 0.001), (-0.3, -0.001), (0.0, -0.3)])
def test_a_direction_lies_in_its_arc_wherever_it_points(x: float, y: float) -> None:
    way = direction_of(change(item_changes(x)), change(item_changes(y, seed=2), seed=1))
    assert way.has_moved
    assert way.angle == pytest.approx(angle_of(x, y))
    assert way.angle - 40 < way.arc.low < way.angle < way.arc.high < way.angle + 40


def test_the_other_way_is_another_direction() -> None:
    there, up = item_changes(0.3), item_changes(0.2, seed=2)
    way, back = (direction_of(change(f * there), change(f * up, seed=1)) for f in (1, -1))
    assert back.angle == pytest.approx(way.angle - 180)
    assert back.arc == pytest.approx((way.arc.low - 180, way.arc.high - 180))


def test_an_arc_is_expanded_for_few_clusters() -> None:
    """Equal errors at either number, so that only what is known of them differs."""
    rng = np.random.default_rng(4)
    clouds = rng.normal(0, 0.01, (2, 4000))
    arcs = []
    for n in (6, 6000):
        across, up = (Estimate(v, c + v, 1e-4, n) for v, c in zip((0.3, 0.3), clouds, strict=True))
        arcs.append(direction_of(across, up).arc)
    few, many = (arc.high - arc.low for arc in arcs)
    assert many == pytest.approx(2 * 1.96 * math.degrees(0.01 / (0.3 * math.sqrt(2))), rel=0.05)
    assert few / many == pytest.approx(t.ppf(0.975, 5) / math.sqrt(5 / 6) / 1.96, rel=0.1)


def test_what_has_not_clearly_moved_has_every_direction() -> None:
    way = direction_of(change(item_changes(0.02)), change(item_changes(-0.01, seed=2), seed=1))
    assert not way.has_moved
    assert way.angle == pytest.approx(angle_of(0.02, -0.01))
    assert way.arc == pytest.approx((way.angle - 180, way.angle + 180))


def test_without_a_spread_or_a_change_the_arc_is_unknown() -> None:
    sure, lone = change(item_changes(0.3)), change(np.array([0.5]))
    # One benchmark of a single cluster is enough, however many the other has.
    for unknown in (lone, average([sure, lone])):
        way = direction_of(unknown, sure)
        assert not math.isnan(way.angle)
        assert math.isnan(way.arc.low)
        assert not way.has_moved
    assert math.isnan(direction_of(change(np.zeros(60)), change(np.zeros(60))).arc.low)


def test_quadrants_count_and_ties_are_split() -> None:
    cloud = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [0.0, 1.0], [0.0, 0.0]])
    shares = quadrant_shares(cloud)
    assert shares == pytest.approx({"synergy": 1.75 / 6, "trade-off": 1.25 / 6, "tax": 1.75 / 6, "collapse": 1.25 / 6})


def test_quadrants_of_nothing_are_unknown() -> None:
    assert all(math.isnan(v) for v in quadrant_shares(np.empty((0, 2))).values())


def test_ellipse_is_closed_and_at_the_chi_square_distance() -> None:
    covariance = np.array([[0.04, 0.01], [0.01, 0.09]])
    corners = np.array(ellipse((0.2, -0.1), covariance))
    assert corners.shape == (49, 2)
    assert tuple(corners[0]) == tuple(corners[-1])
    away = corners - (0.2, -0.1)
    assert np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance), away) == pytest.approx(
        np.full(49, 5.991), abs=1e-3
    )


def test_ellipse_of_a_line_and_of_the_unknown() -> None:
    flat = np.array(ellipse((0.0, 0.0), np.array([[0.01, 0.0], [0.0, 0.0]])))
    assert np.abs(flat[:, 1]).max() == 0
    assert np.abs(flat[:, 0]).max() == pytest.approx(0.1 * math.sqrt(5.991), rel=1e-3)
    assert ellipse((0.0, 0.0), np.full((2, 2), np.nan)) == ()
