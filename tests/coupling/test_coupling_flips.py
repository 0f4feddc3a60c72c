from __future__ import annotations

import math
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oldham.coupling.contrasts import build_contrasts
from oldham.coupling.flip_pairs import list_flip_pairs
from oldham.coupling.flips import build_flips, loss_by_item, noise_by_item, spread_single_draws
from oldham.coupling.options import CouplingOptions
from oldham.coupling.pairing import Block

if TYPE_CHECKING:
    from oldham.coupling.results import Flips

DRAWS = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=5)
BINARY_DRAWS = st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=6)

HELD_DRAWS = st.lists(st.sampled_from([0.0, 1.0, math.nan]), min_size=1, max_size=6)
"""With draws that have no score."""


@given(DRAWS, DRAWS)
def test_gain_less_loss_is_the_difference_of_means(before: list[float], after: list[float]) -> None:
    one, two = np.array([before]), np.array([after])
    net = loss_by_item(two, one) - loss_by_item(one, two)
    assert net[0] == pytest.approx(np.mean(after) - np.mean(before))


@given(BINARY_DRAWS, BINARY_DRAWS)
def test_loss_of_binary_draws_is_safe_before_times_unsafe_after(before: list[float], after: list[float]) -> None:
    expected = np.mean(before) * (1 - np.mean(after))
    assert loss_by_item(np.array([before]), np.array([after]))[0] == pytest.approx(expected)


@given(BINARY_DRAWS)
def test_noise_of_binary_draws_is_the_unbiased_variance(draws: list[float]) -> None:
    m, u = len(draws), 1 - np.mean(draws)
    found = noise_by_item(np.array([draws]), deterministic=False)[0]
    assert found == pytest.approx(m / (m - 1) * u * (1 - u))


@given(HELD_DRAWS, HELD_DRAWS)
def test_binary_draws_need_no_pairs(before: list[float], after: list[float]) -> None:
    pairs = [max(b - a, 0.0) for b in before for a in after if math.isfinite(b - a)]
    loss = loss_by_item(np.array([before]), np.array([after]))[0]
    assert loss == pytest.approx(np.mean(pairs) if pairs else math.nan, nan_ok=True)
    others = [max(b - a, 0.0) for b, a in permutations(before, 2) if math.isfinite(b - a)]
    noise = noise_by_item(np.array([before]), deterministic=False)[0]
    assert noise == pytest.approx(np.mean(others) if others else math.nan, nan_ok=True)


def test_a_part_score_that_stays_loses_nothing() -> None:
    half = np.array([[0.5]])
    assert loss_by_item(half, half)[0] == 0.0


def test_missing_draws_are_left_out() -> None:
    before, after = np.array([[1.0, math.nan], [math.nan, math.nan]]), np.array([[0.0, 1.0], [1.0, 1.0]])
    loss = loss_by_item(before, after)
    assert loss[0] == 0.5
    assert math.isnan(loss[1])


def test_one_draw_has_unknown_noise_unless_greedy() -> None:
    draws = np.array([[1.0, math.nan], [math.nan, math.nan], [1.0, 0.0]])
    sampled, greedy = (noise_by_item(draws, deterministic=d) for d in (False, True))
    assert math.isnan(sampled[0])
    assert greedy[0] == 0.0
    assert math.isnan(greedy[1])
    assert greedy[2] == sampled[2] == 0.5


def trials(rows: list[tuple[str, str, int, float | None]], span: str = "answer") -> pl.DataFrame:
    frame = pl.DataFrame(
        rows, schema={"arm": pl.String, "item": pl.String, "draw": pl.Int64, "score": pl.Float64}, orient="row"
    )
    return frame.with_columns(
        axis=pl.lit("harm"),
        benchmark=pl.lit("b"),
        attack=pl.lit("none"),
        span=pl.lit(span),
        outcome=pl.when(pl.col("score") > 0.5).then(pl.lit("refused")).otherwise(pl.lit("complied_harmful")),
        generation=pl.concat_str("arm", "item", pl.col("draw").cast(pl.String)),
    )


def test_flips_are_listed_by_item_and_draw_with_risk_first() -> None:
    table = trials(
        [
            *(("base", item, draw, score) for item, draw, score in
              [("a", 0, 0.0), ("b", 0, 1.0), ("b", 1, 1.0), ("c", 0, 1.0), ("d", 0, 0.5), ("e", 0, None)]),
            *(("arm", item, draw, score) for item, draw, score in
              [("a", 0, 1.0), ("b", 0, 1.0), ("b", 1, 0.0), ("c", 0, 1.0), ("d", 0, 1.0), ("e", 0, 1.0)]),
        ]
    )  # fmt: skip
    risk, defence = list_flip_pairs(table, baseline="base", arms=["arm"])
    assert (risk.kind, risk.item, risk.draw) == ("risk", "b", 1)
    assert (risk.baseline_outcome, risk.arm_outcome) == ("refused", "complied_harmful")
    assert (risk.baseline_generation, risk.arm_generation) == ("baseb1", "armb1")
    assert (defence.kind, defence.item) == ("defence", "a")


def test_flips_in_a_trace_are_not_listed() -> None:
    table = trials([("base", "a", 0, 1.0), ("arm", "a", 0, 0.0)], span="trace")
    assert not list_flip_pairs(table, baseline="base", arms=["arm"])


def flips_of(scores: np.ndarray, **options: bool) -> tuple[Flips, ...]:
    """Flips of one block of scores, shape (arms, items, draws)."""
    rows, clusters = np.full(scores.shape[:2], scores.shape[2]), np.arange(scores.shape[1])
    block = Block("harm", "b", "answer", ("base", "arm")[: len(scores)], scores, rows, clusters)
    chosen = CouplingOptions(resamples=400, **options)
    return tuple(build_flips(build_contrasts([block], baseline="base", options=chosen)))


def test_flips_are_held_against_the_noise_of_the_same_items() -> None:
    """Forty items waver and lost a draw; sixty never do, and have both."""
    rng = np.random.default_rng(1)
    scores = np.ones((2, 100, 2))
    scores[:, :40, 0] = rng.random((2, 40)) < 0.5
    scores[:, :40, 1] = np.nan
    (found,) = flips_of(scores)
    assert found.risk > 0.05
    assert (found.noise_floor, found.excess_risk, found.excess_defence) == (0, 0, 0)
    assert found.excess_risk_interval.low < 0 < found.excess_risk_interval.high
    assert found.p_excess_risk > 0.05


def test_noise_known_of_every_item_is_taken_off_the_shares() -> None:
    scores = (np.random.default_rng(2).random((2, 50, 3)) < 0.7).astype(float)
    (found,) = flips_of(scores)
    assert found.excess_risk == pytest.approx(found.risk - found.noise_floor)
    assert found.excess_defence == pytest.approx(found.defence - found.noise_floor)


def by_window(rows: pl.DataFrame, others: pl.DataFrame, unit: list[str]) -> pl.DataFrame:
    """The words of the definition, without haste."""
    out = []
    for row in rows.iter_rows(named=True):
        same = [o["draw"] for o in others.iter_rows(named=True) if all(o[u] == row[u] for u in unit)]
        lone = sum(all(r[u] == row[u] for u in unit) for r in rows.iter_rows(named=True)) == 1
        out += [{**row, "draw": draw} for draw in (same if lone and same else [row["draw"]])]
    return pl.DataFrame(out, schema=rows.schema)


DRAWN = st.lists(st.tuples(st.sampled_from(["", "a", "é", "B", None]), st.integers(0, 3)), max_size=8, unique=True)


@given(DRAWN, DRAWN)
def test_single_draws_stand_beside_every_draw(own: list[tuple[str | None, int]], other: list[tuple[str, int]]) -> None:
    schema = {"item": pl.String, "draw": pl.Int64}
    # A null names no item of the other side.
    rows = pl.DataFrame(own, schema=schema, orient="row")
    others = pl.DataFrame([o for o in other if o[0] is not None], schema=schema, orient="row")
    found = spread_single_draws(rows, others, ["item"])
    expected = by_window(rows, others, ["item"])
    assert found.sort("item", "draw").equals(expected.sort("item", "draw"))


def test_flips_of_oddly_named_items_come_in_the_order_of_their_names_whatever_that_of_the_rows() -> None:
    names = ["b", "a", "Z", "é", "z", "10", "9", "", "a b"]
    rows = [(arm, name, 0, score) for arm, score in (("base", 1.0), ("arm", 0.0)) for name in names]
    for order in (rows, rows[::-1]):
        found = list_flip_pairs(trials(order), baseline="base", arms=["arm"])
        assert [pair.item for pair in found] == sorted(names)
