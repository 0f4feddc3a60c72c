"""The worst of attacks where some answers have no score, some were never asked for, and some are searches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from attack_ladders import BAD, GOOD, QUICK, ladder_of

from oldham.core.fingerprint import derive_seed
from oldham.coupling.attack_text import tries_words, worst_finding
from oldham.coupling.attack_worst import worst_of
from oldham.coupling.bootstrap import resample_means
from oldham.coupling.shares import wilson
from oldham.coupling.significance import holm, mcnemar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Table
    from oldham.coupling import AttackLadder

NOT_ASKED = 9.0
"""Stands for a row that is not there."""


def asked_ladder(*tables: pl.DataFrame) -> AttackLadder:
    return ladder_of(*(rows.filter(pl.col("score").ne_missing(NOT_ASKED)) for rows in tables))


def five(table: Table) -> AttackLadder:
    """Broken by `a` and unscored by `b`; unbroken and unscored; never asked of `b`; unbroken twice; `a` unscored."""
    a = table({"direct": [BAD, GOOD, GOOD, GOOD, None]}, attack="a")
    b = table({"direct": [None, None, NOT_ASKED, GOOD, NOT_ASKED]}, attack="b")
    return asked_ladder(a, b)


def test_one_success_is_enough_and_one_missing_score_is_not_a_failure(table: Table) -> None:
    (worst,) = five(table).worst
    assert (worst.n_items, worst.n_missing) == (3, 2)
    assert (worst.share, worst.bound_low, worst.bound_high) == pytest.approx((1 / 5, 1 / 5, 3 / 5))
    assert tuple(worst.interval) == pytest.approx((wilson(1 / 5, 5).low, wilson(3 / 5, 5).high))
    assert (worst.attacks, worst.fewest, worst.n_clusters) == (("a", "b"), 1, 5)


def test_items_by_kind() -> None:
    firsts = np.array([[1, 0, 0, 0, np.nan, 1], [np.nan, np.nan, np.nan, 0, np.nan, np.nan]])
    asked = np.array([[True, True, True, True, True, False], [True, True, False, True, False, False]])
    found = worst_of(firsts, asked)
    nan = math.nan
    assert found.known == pytest.approx([1, nan, 0, 0, nan, nan], nan_ok=True)
    assert found.low == pytest.approx([1, 0, 0, 0, 0, nan], nan_ok=True)
    assert found.high == pytest.approx([1, 1, 0, 0, 1, nan], nan_ok=True)


def test_the_sentence_says_what_is_sure_and_what_is_possible(table: Table) -> None:
    low, high = 100 * wilson(1 / 5, 5).low, 100 * wilson(3 / 5, 5).high
    assert worst_finding(five(table).worst) == (
        f"At least one attack succeeds, each run once, on 20.0% for sure, at most 60.0%, under `direct` ({low:.1f} to "
        f"{high:.1f}; 5 items, 2 of them unknown, 2 tries, 1 on some items)."
    )


def test_an_attack_that_scores_next_to_nothing_takes_no_item_away(table: Table) -> None:
    clear = table({"direct": [BAD] * 40 + [GOOD] * 60}, attack="persona")
    unread = table({"direct": [BAD] * 2 + [None] * 98}, attack="base64")
    (worst,) = asked_ladder(clear, unread).worst
    assert (worst.share, worst.bound_high, worst.n_items, worst.n_missing) == (0.4, 1.0, 40, 60)
    assert (worst.interval.low, worst.interval.high) == pytest.approx((wilson(0.4, 100).low, 1.0))


def test_an_attack_that_meets_another_benchmark_alone_is_not_missing_here(table: Table) -> None:
    both = [table({"direct": [BAD, GOOD]}, attack="a", benchmark=name) for name in ("one", "two")]
    (worst,) = asked_ladder(*both, table({"direct": [GOOD, BAD]}, attack="b", benchmark="two")).worst
    assert (worst.share, worst.bound_high) == (3 / 4, 3 / 4)
    assert (worst.n_items, worst.n_missing, worst.fewest) == (4, 0, 1)


def test_a_benchmark_of_which_nothing_is_known_lowers_what_is_sure(table: Table) -> None:
    known = table({"direct": [BAD, BAD]}, attack="a", benchmark="one")
    lost = table({"direct": [None] * 4}, attack="a", benchmark="two")
    (worst,) = asked_ladder(known, lost).worst
    assert (worst.share, worst.bound_high, worst.n_items, worst.n_missing) == (0.5, 1.0, 2, 4)


def test_where_no_item_is_known_there_is_no_share(table: Table) -> None:
    ladder = asked_ladder(table({"direct": [GOOD] * 3}, attack="a"), table({"direct": [None] * 3}, attack="b"))
    (worst,) = ladder.worst
    assert math.isnan(worst.share)
    assert math.isnan(worst.interval.low)
    assert (worst.bound_low, worst.bound_high, worst.n_items, worst.n_missing) == (0, 1, 0, 3)
    assert worst_finding([worst]).endswith(
        "on an unknown share under `direct` (none of 3 items is known to stand or to break; 2 tries)."
    )
    frame = ladder.to_frame("worst")
    assert frame["share"].is_nan().all()
    assert frame["change_bound_low"].is_nan().all()


def test_sides_are_compared_by_the_attacks_that_an_item_met_on_both(table: Table) -> None:
    a = table({"direct": [GOOD, GOOD, GOOD, GOOD], "cot": [GOOD, BAD, GOOD, BAD]}, attack="a")
    b = table({"direct": [NOT_ASKED, GOOD, BAD, None], "cot": [BAD, GOOD, GOOD, GOOD]}, attack="b")
    worst = asked_ladder(a, b).worst[1]
    assert worst.change is not None
    # The first item breaks under `b`, which nobody asked the baseline; the last is unknown in the baseline.
    assert worst.share == 3 / 4
    assert (worst.change.delta, worst.change.n_items, worst.change.n_missing) == ((0 + 1 - 1) / 3, 3, 1)
    assert (worst.change_bound_low, worst.change_bound_high) == ((0 + 1 - 1 + 0) / 4, (0 + 1 - 1 + 1) / 4)


def compared(table: Table, lost: int) -> AttackLadder:
    """Of 40 items 2 break under direct and 20 under cot, by `a`; under cot `b` is unscored for the last ones."""
    a = table({"direct": [BAD] * 2 + [GOOD] * 38, "cot": [BAD] * 20 + [GOOD] * 20}, attack="a")
    b = table({"direct": [BAD] * 10 + [GOOD] * 30, "cot": [GOOD] * (40 - lost) + [None] * lost}, attack="b")
    return asked_ladder(a, b)


def test_a_change_says_how_many_items_it_leaves_out_and_what_they_could_do(table: Table) -> None:
    direct, cot = compared(table, lost=4).worst
    assert direct.change is None
    assert cot.change is not None
    assert (cot.change.delta, cot.change.n_items, cot.change.n_missing) == (10 / 36, 36, 4)
    assert cot.change.p_value == mcnemar(10, 0)
    assert (cot.change_bound_low, cot.change_bound_high) == pytest.approx((10 / 40, 14 / 40))
    assert cot.change.interval.excludes_zero
    told = worst_finding([direct, cot])
    assert ", +25.0 to +35.0 points against the baseline (+1" in told
    assert "; 36 items known on both sides, 4 not)." in told


def test_the_interval_of_a_change_is_resampled_at_both_bounds(table: Table) -> None:
    cot = compared(table, lost=4).worst[1]
    assert cot.change is not None
    clusters = np.arange(40)
    lost, changed = clusters >= 36, (clusters >= 10) & (clusters < 20)
    seed = derive_seed("coupling", QUICK.seed, "harm", "b")
    low, high = resample_means(
        np.column_stack([changed, changed | lost]).astype(float), clusters, resamples=QUICK.resamples, seed=seed
    )
    assert tuple(cot.change.interval) == pytest.approx((low.interval().low, high.interval().high))
    assert cot.change.interval.low < cot.change_bound_low < cot.change_bound_high < cot.change.interval.high
    row = compared(table, lost=4).to_frame("worst").row(1, named=True)
    assert (row["change_low"], row["change_high"], row["n_apart"]) == (*cot.change.interval, 0)


def test_without_missing_outcomes_the_bounds_are_the_change(table: Table) -> None:
    cot = compared(table, lost=0).worst[1]
    assert cot.change is not None
    assert (cot.change_bound_low, cot.change.delta, cot.change_bound_high) == (0.25, 0.25, 0.25)
    assert cot.change.interval.low < 0.25 < cot.change.interval.high
    assert ", +25.0 points against the baseline (" in worst_finding([cot])


def test_a_change_that_sampling_at_the_bound_could_undo_is_not_decided(table: Table) -> None:
    """The least that can be is a change of 2 of 40, above 0, and no more than chance."""
    a = table({"direct": [BAD] * 6 + [GOOD] * 34, "cot": [GOOD] * 6 + [BAD] * 8 + [GOOD] * 26}, attack="a")
    b = table({"direct": [GOOD] * 40, "cot": [None] * 6 + [GOOD] * 34}, attack="b")
    cot = asked_ladder(a, b).worst[1]
    assert cot.change is not None
    assert (cot.change.delta, cot.change.n_missing) == (8 / 34, 6)
    # What is known alone would be decided: 8 items up and none down.
    assert mcnemar(8, 0) < 0.01
    assert (cot.change_bound_low, cot.change_bound_high) == pytest.approx((2 / 40, 8 / 40))
    assert not cot.change.interval.excludes_zero
    assert cot.change.p_value == mcnemar(8, 6)
    told = worst_finding([cot])
    assert ", against the baseline nothing is decided: +5.0 to +20.0 points (−" in told
    assert told.endswith("; 34 items known on both sides, 6 not).")


def test_what_was_asked_in_one_arm_only_is_not_missing(table: Table) -> None:
    alone = [NOT_ASKED] * 185
    a = table({"direct": [GOOD] * 15 + alone, "cot": [BAD] * 10 + [GOOD] * 190}, attack="a")
    b = table({"direct": [GOOD] * 15 + alone, "cot": [GOOD] * 200}, attack="b")
    elsewhere = table({"cot": [GOOD] * 7}, attack="a", benchmark="other")
    direct, cot = asked_ladder(a, b).worst
    assert cot.change is not None
    assert (cot.change.n_items, cot.change.n_missing, cot.n_apart, direct.n_apart) == (15, 0, 185, 0)
    assert worst_finding([cot]).endswith("; 185 items met attacks in one of the two arms only).")
    assert asked_ladder(a, b, elsewhere).worst[1].n_apart == 192


def test_items_that_share_no_attack_are_apart(table: Table) -> None:
    a = table({"direct": [GOOD, GOOD, BAD], "cot": [GOOD, BAD, NOT_ASKED]}, attack="a")
    b = table({"direct": [NOT_ASKED] * 3, "cot": [NOT_ASKED, NOT_ASKED, BAD]}, attack="b")
    cot = asked_ladder(a, b).worst[1]
    assert cot.change is not None
    assert (cot.change.n_items, cot.change.n_missing, cot.n_apart) == (2, 0, 1)


def test_p_values_of_arms_are_adjusted_together(table: Table) -> None:
    arms = ("direct", "cot", "plan")
    scores = {"direct": [GOOD] * 20, "cot": [BAD] * 8 + [GOOD] * 12, "plan": [BAD] * 6 + [GOOD] * 14}
    b = {"direct": [GOOD] * 20, "cot": [GOOD] * 20, "plan": [GOOD] * 19 + [None]}
    ladder = ladder_of(table(scores, attack="a"), table(b, attack="b"), arms=arms)
    changes = [w.change for w in ladder.worst if w.change is not None]
    assert [c.p_value for c in changes] == [mcnemar(8, 0), mcnemar(6, 0)]
    assert [c.p_holm for c in changes] == holm([c.p_value for c in changes])


def test_a_change_that_the_missing_could_undo_is_not_decided(table: Table) -> None:
    a = table({"direct": [GOOD] * 40, "cot": [BAD] * 8 + [GOOD] * 32}, attack="a")
    b = table({"direct": [GOOD] * 8 + [None] * 12 + [GOOD] * 20, "cot": [GOOD] * 40}, attack="b")
    cot = asked_ladder(a, b).worst[1]
    assert cot.change is not None
    assert cot.change.delta == 8 / 28
    assert (cot.change_bound_low, cot.change_bound_high) == pytest.approx(((8 - 12) / 40, 8 / 40))
    assert not cot.change.interval.excludes_zero
    assert cot.change.p_value == 1
    assert ", against the baseline nothing is decided: −10.0 to +20.0 points (" in worst_finding([cot])


def searched(table: Table, attacks: Sequence[str] = ("pair", "tap")) -> AttackLadder:
    """Searches of 2 to 20 queries beside one try of `persona`; the second draw asks more, and is not read."""
    tables = [table({"direct": [BAD, GOOD, None]}, attack="persona")]
    for attack in attacks:
        tables.append(table({"direct": [GOOD, BAD, BAD]}, attack=attack, queries=lambda i: (2, 9, 20)[i]))
        tables.append(table({"direct": [GOOD, BAD, BAD]}, attack=attack, queries=50, draw=1))
    return asked_ladder(*tables)


def test_a_search_is_no_single_try(table: Table) -> None:
    (worst,) = searched(table).worst
    assert (worst.searches, worst.fewest_queries, worst.most_queries) == (("pair", "tap"), 2, 20)
    assert tries_words(worst) == "3 attacks: 1 of one try, 2 searches of 2 to 20 queries"
    assert "3 items, 3 attacks: 1 of one try, 2 searches of 2 to 20 queries)" in worst_finding([worst])


def test_words_for_tries(table: Table) -> None:
    one = searched(table, attacks=("pair",)).worst[0]
    assert tries_words(one) == "2 attacks: 1 of one try, 1 search of 2 to 20 queries"
    alone = table({"direct": [BAD, GOOD]}, attack="pair", queries=7)
    assert tries_words(asked_ladder(alone).worst[0]) == "1 attack: 1 search of 7 queries"
    single = asked_ladder(table({"direct": [BAD, GOOD]}, attack="a")).worst[0]
    assert (tries_words(single), single.searches) == ("1 try", ())
    assert math.isnan(single.most_queries)


@pytest.mark.thorough
def test_the_interval_holds_the_truth_when_what_breaks_is_missed_more_often_and_when_less(table: Table) -> None:
    rng = np.random.default_rng(5)
    truth = 1 - 0.8 * 0.7
    for missed in ((0.5, 0.05), (0.05, 0.5)):  # of what breaks, of what stands
        held, known_alone = [], []
        for _ in range(150):
            broken = rng.random((2, 120)) < np.array([[0.2], [0.3]])
            lost = rng.random(broken.shape) < np.where(broken, *missed)
            scores = [
                [None if no else float(not bad) for bad, no in zip(*rows, strict=True)]
                for rows in zip(broken, lost, strict=True)
            ]
            tables = [table({"direct": own}, attack=name) for name, own in zip("ab", scores, strict=True)]
            (worst,) = asked_ladder(*tables).worst
            held.append(worst.interval.low <= truth <= worst.interval.high)
            known_alone.append(worst.share * 120 / worst.n_items)
        assert np.mean(held) >= 0.95
        if missed[0] < missed[1]:
            assert np.mean(known_alone) > truth + 0.1  # what the share of known items alone would say


@pytest.mark.thorough
def test_a_change_that_is_none_is_decided_no_more_often_than_allowed(table: Table) -> None:
    """The items that break under direct are the ones of which nobody knows whether they break under cot."""
    rng = np.random.default_rng(0)
    n_decided = 0
    for _ in range(300):
        kind = rng.random(100)
        a = {
            "direct": [float(k >= 0.2) for k in kind],
            "cot": [float(not 0.2 <= k < 0.4) for k in kind],
        }
        b: dict[str, list[float | None]] = {
            "direct": [GOOD] * 100,
            "cot": [None if k < 0.2 else GOOD for k in kind],
        }
        change = ladder_of(table({**a}, attack="a"), table(b, attack="b")).worst[1].change
        assert change is not None
        n_decided += change.interval.excludes_zero
    assert n_decided <= 0.06 * 300
