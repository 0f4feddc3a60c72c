from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oldham.coupling.pareto_volume import gain_alone, hypervolume

if TYPE_CHECKING:
    from numpy.typing import NDArray


def by_inclusion_and_exclusion(points: NDArray[np.float64]) -> float:
    """The volume of a union of boxes from 0: boxes meet in the box of their least corners."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for chosen in combinations(range(len(points)), size):
            total -= (-1) ** size * float(points[list(chosen)].min(axis=0).prod())
    return total


def test_one_point_is_its_box() -> None:
    assert hypervolume(np.array([[[0.5, -0.5, 0.0]]])) == pytest.approx([1.5 * 0.5 * 1.0])


def test_two_points_share_the_box_of_their_least_corner() -> None:
    points = np.array([[[0.2, 0.0], [0.0, 0.3]]])
    assert hypervolume(points) == pytest.approx([1.2 + 1.3 - 1.0])


@pytest.mark.parametrize("axes", [1, 2, 3, 4, 5])
def test_a_staircase_has_its_closed_form(axes: int) -> None:
    # n points on the plane x + y = n + 1 above a cube: 1 + 2 + ... + n unit squares, one deep on the other axes.
    n = 5
    points = np.ones((1, n, axes))
    points[0, :, 0] = np.arange(1, n + 1)
    if axes > 1:
        points[0, :, 1] = np.arange(n, 0, -1)
    assert hypervolume(points, reference=0.0) == pytest.approx([n * (n + 1) / 2 if axes > 1 else n])


@pytest.mark.parametrize(("axes", "n"), [(1, 4), (2, 7), (3, 8), (4, 8), (5, 8)])
def test_it_is_what_inclusion_and_exclusion_give(axes: int, n: int) -> None:
    points = np.random.default_rng(axes).random((6, n, axes))
    points[:, 1] = points[:, 0]
    points[2:4] = points[2:4].round(1)
    expected = [by_inclusion_and_exclusion(of) for of in points]
    assert hypervolume(points, reference=0.0) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("axes", [2, 3, 5])
def test_it_counts_the_cells_of_a_grid(axes: int) -> None:
    steps = 6
    points = np.random.default_rng(axes).integers(0, steps + 1, size=(7, axes))
    cells = np.indices((steps,) * axes).reshape(axes, -1).T
    # A cell is dominated when its upper corner is no better than some point on every axis.
    dominated = (cells[:, None, :] + 1 <= points[None]).all(axis=2).any(axis=1).sum()
    assert hypervolume(points[None].astype(float), reference=0.0) == pytest.approx([dominated])


def test_it_is_the_share_of_random_places_that_are_dominated() -> None:
    rng = np.random.default_rng(5)
    points, places = rng.random((6, 5)), rng.random((200_000, 5))
    hit = np.zeros(len(places), dtype=bool)
    for point in points:
        hit |= (places <= point).all(axis=1)
    [volume] = hypervolume(points[None], reference=0.0)
    # Five standard errors of a share of 200,000 places.
    assert hit.mean() == pytest.approx(volume, abs=5 * np.sqrt(volume * (1 - volume) / len(places)))


def test_a_point_below_the_reference_counts_for_nothing() -> None:
    points = np.array([[[0.5, 0.5], [2.0, -0.1]]])
    assert hypervolume(points, reference=0.0) == pytest.approx([0.25])


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=6),
    st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)),
)
def test_another_point_never_takes_away(points: list[tuple[float, ...]], more: tuple[float, ...]) -> None:
    [before] = hypervolume(np.array([points]))
    [after] = hypervolume(np.array([[*points, more]]))
    assert after >= before - 1e-12
    dominated = any(all(b <= a for a, b in zip(p, more, strict=True)) for p in points)
    if dominated:
        assert after == pytest.approx(before, abs=1e-12)


def test_the_gain_of_one_point_is_what_it_adds_to_no_change() -> None:
    points = np.random.default_rng(3).uniform(-1, 1, size=(50, 4))
    both = np.stack([np.zeros_like(points), points], axis=1)
    assert gain_alone(points) == pytest.approx(hypervolume(both) - 1)


def test_a_gain_at_no_cost_is_worth_itself_and_at_half_the_score_half() -> None:
    assert gain_alone(np.array([0.2, 0.0, 0.0])) == pytest.approx(0.2)
    assert gain_alone(np.array([0.2, -0.5, 0.0])) == pytest.approx(0.1)
    assert gain_alone(np.array([-0.2, -0.5, 0.0])) == pytest.approx(0.0)
