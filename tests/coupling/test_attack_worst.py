"""The worst of attacks where some answers have no score, some were never asked for, and some are searches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from oldham.core.observations import as_observations
from oldham.coupling import CouplingOptions, build_attacks
from oldham.coupling.attack_text import could_be_undone, tries_words, worst_finding
from oldham.coupling.attack_worst import worst_of
from oldham.coupling.pairing import tidy_trials
from oldham.coupling.shares import wilson
from oldham.coupling.significance import mcnemar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Table
    from oldham.coupling import AttackLadder

QUICK = CouplingOptions(resamples=400, permutations=400)
BAD, GOOD = 0.0, 1.0
NOT_ASKED = 9.0
"""Stands for a row that is not there."""


def ladder_of(*tables: pl.DataFrame) -> AttackLadder:
    rows = pl.concat(tables, how="diagonal_relaxed").filter(pl.col("score").ne_missing(NOT_ASKED))
    ladder = build_attacks(tidy_trials(as_observations(rows))[0], ("direct", "cot"), "direct", QUICK)
    assert ladder is not None
    return ladder


def five(table: Table) -> AttackLadder:
    """Broken by `a` and unscored by `b`; unbroken and unscored; never asked of `b`; unbroken twice; `a` unscored."""
    a = table({"direct": [BAD, GOOD, GOOD, GOOD, None]}, attack="a")
    b = table({"direct": [None, None, NOT_ASKED, GOOD, NOT_ASKED]}, attack="b")
    return ladder_of(a, b)


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
    (worst,) = ladder_of(clear, unread).worst
    assert (worst.share, worst.bound_high, worst.n_items, worst.n_missing) == (0.4, 1.0, 40, 60)
    assert (worst.interval.low, worst.interval.high) == pytest.approx((wilson(0.4, 100).low, 1.0))


def test_an_attack_that_meets_another_benchmark_alone_is_not_missing_here(table: Table) -> None:
    both = [table({"direct": [BAD, GOOD]}, attack="a", benchmark=name) for name in ("one", "two")]
    (worst,) = ladder_of(*both, table({"direct": [GOOD, BAD]}, attack="b", benchmark="two")).worst
    assert (worst.share, worst.bound_high) == (3 / 4, 3 / 4)
    assert (worst.n_items, worst.n_missing, worst.fewest) == (4, 0, 1)


def test_a_benchmark_of_which_nothing_is_known_lowers_what_is_sure(table: Table) -> None:
    known = table({"direct": [BAD, BAD]}, attack="a", benchmark="one")
    lost = table({"direct": [None] * 4}, attack="a", benchmark="two")
    (worst,) = ladder_of(known, lost).worst
    assert (worst.share, worst.bound_high, worst.n_items, worst.n_missing) == (0.5, 1.0, 2, 4)


def test_where_no_item_is_known_there_is_no_share(table: Table) -> None:
    ladder = ladder_of(table({"direct": [GOOD] * 3}, attack="a"), table({"direct": [None] * 3}, attack="b"))
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
    worst = ladder_of(a, b).worst[1]
    assert worst.change is not None
    # The first item breaks under `b`, which nobody asked the baseline; the last is unknown in the baseline.
    assert worst.share == 3 / 4
    assert (worst.change.delta, worst.change.n_items, worst.change.n_missing) == ((0 + 1 - 1) / 3, 3, 1)
    assert (worst.change_bound_low, worst.change_bound_high) == ((0 + 1 - 1 + 0) / 4, (0 + 1 - 1 + 1) / 4)


def compared(table: Table, lost: int) -> AttackLadder:
    """Of 40 items 2 break under direct and 20 under cot, by `a`; under cot `b` is unscored for the last ones."""
    a = table({"direct": [BAD] * 2 + [GOOD] * 38, "cot": [BAD] * 20 + [GOOD] * 20}, attack="a")
    b = table({"direct": [BAD] * 10 + [GOOD] * 30, "cot": [GOOD] * (40 - lost) + [None] * lost}, attack="b")
    return ladder_of(a, b)


def test_a_change_says_how_many_items_it_leaves_out_and_what_they_could_do(table: Table) -> None:
    direct, cot = compared(table, lost=4).worst
    assert direct.change is None
    assert could_be_undone(direct)
    assert cot.change is not None
    assert (cot.change.delta, cot.change.n_items, cot.change.n_missing) == (10 / 36, 36, 4)
    assert cot.change.p_value == mcnemar(10, 0)
    assert (cot.change_bound_low, cot.change_bound_high) == pytest.approx((10 / 40, 14 / 40))
    assert not could_be_undone(cot)
    told = worst_finding([direct, cot])
    assert "; 36 items known on both sides, 4 left out, with them +25.0 to +35.0 is possible)." in told
    assert "+27.8 points against the baseline (" in told


def test_a_change_that_the_missing_could_undo_is_told_as_one(table: Table) -> None:
    a = table({"direct": [GOOD] * 40, "cot": [BAD] * 8 + [GOOD] * 32}, attack="a")
    b = table({"direct": [GOOD] * 8 + [None] * 12 + [GOOD] * 20, "cot": [GOOD] * 40}, attack="b")
    cot = ladder_of(a, b).worst[1]
    assert cot.change is not None
    assert cot.change.interval.excludes_zero
    assert (cot.change_bound_low, cot.change_bound_high) == pytest.approx(((8 - 12) / 40, 8 / 40))
    assert could_be_undone(cot)
    assert worst_finding([cot]).endswith("is possible), which what is left out could undo.")


def searched(table: Table, attacks: Sequence[str] = ("pair", "tap")) -> AttackLadder:
    """Searches of 2 to 20 queries beside one try of `persona`; the second draw asks more, and is not read."""
    tables = [table({"direct": [BAD, GOOD, None]}, attack="persona")]
    for attack in attacks:
        tables.append(table({"direct": [GOOD, BAD, BAD]}, attack=attack, queries=lambda i: (2, 9, 20)[i]))
        tables.append(table({"direct": [GOOD, BAD, BAD]}, attack=attack, queries=50, draw=1))
    return ladder_of(*tables)


def test_a_search_is_no_single_try(table: Table) -> None:
    (worst,) = searched(table).worst
    assert (worst.searches, worst.fewest_queries, worst.most_queries) == (("pair", "tap"), 2, 20)
    assert tries_words(worst) == "3 attacks: 1 of one try, 2 searches of 2 to 20 queries"
    assert "3 items, 3 attacks: 1 of one try, 2 searches of 2 to 20 queries)" in worst_finding([worst])


def test_words_for_tries(table: Table) -> None:
    one = searched(table, attacks=("pair",)).worst[0]
    assert tries_words(one) == "2 attacks: 1 of one try, 1 search of 2 to 20 queries"
    alone = table({"direct": [BAD, GOOD]}, attack="pair", queries=7)
    assert tries_words(ladder_of(alone).worst[0]) == "1 attack: 1 search of 7 queries"
    single = ladder_of(table({"direct": [BAD, GOOD]}, attack="a")).worst[0]
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
            (worst,) = ladder_of(*tables).worst
            held.append(worst.interval.low <= truth <= worst.interval.high)
            known_alone.append(worst.share * 120 / worst.n_items)
        assert np.mean(held) >= 0.95
        if missed[0] < missed[1]:
            assert np.mean(known_alone) > truth + 0.1  # what the share of known items alone would say
