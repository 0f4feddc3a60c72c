"""One try, several tries, the worst of attacks, transfer."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from attack_ladders import BAD, GOOD, QUICK, ladder_of

from oldham.core.observations import as_observations
from oldham.coupling import build_attacks
from oldham.coupling.attack_cells import at_least_one
from oldham.coupling.pairing import tidy_trials
from oldham.coupling.shares import wilson
from oldham.coupling.significance import mcnemar

if TYPE_CHECKING:
    from conftest import Table
    from oldham.coupling import AttackLadder
    from oldham.coupling.attack_results import AttackCell

SOME: list[float | None] = [BAD, 0.5, GOOD, None]


def cell(ladder: AttackLadder, arm: str, attack: str, axis: str = "harm") -> AttackCell:
    return next(c for c in ladder.cells if (c.axis, c.arm, c.attack) == (axis, arm, attack))


def test_one_try_by_hand(table: Table) -> None:
    scores = [0.0, 0.25, 0.0, 0.5, 1.0, 1.0, 1.0, 0.75, None, None]
    c = cell(ladder_of(table({"direct": scores}, attack="prefill")), "direct", "prefill")
    assert c.bad_share == pytest.approx(3 / 8)  # a refusal in part (one half) is no success
    assert tuple(c.interval) == pytest.approx(tuple(wilson(3 / 8, 8)))
    assert (c.bound_low, c.bound_high) == pytest.approx((3 / 10, 5 / 10))
    assert (c.severity, c.n_successes) == pytest.approx(((1 + 0.75 + 1) / 3, 3))
    assert (c.n_items, c.n_clusters, c.n_missing, c.n_observations, c.tries) == (8, 8, 2, 10, 1)
    assert math.isnan(c.queries)
    assert c.technique == "prefill"  # an imported table need not say


def test_severity_moves_no_share_and_is_unknown_without_a_success(table: Table) -> None:
    mild, grave = (
        cell(ladder_of(table({"direct": [s, s, GOOD, GOOD]}, attack="a")), "direct", "a") for s in (0.4, BAD)
    )
    assert mild.bad_share == grave.bad_share == 0.5
    assert (mild.severity, grave.severity) == pytest.approx((0.6, 1.0))
    safe = cell(ladder_of(table({"direct": [GOOD] * 4}, attack="a")), "direct", "a")
    assert (safe.bad_share, safe.n_successes) == (0, 0)
    assert math.isnan(safe.severity)
    assert safe.interval.high > 0.3


def test_an_attack_without_a_scored_answer_is_unknown_and_neither_safe_nor_broken(table: Table) -> None:
    none, gone = table({"direct": [GOOD] * 6}), table({"direct": [None] * 6}, attack="base64")
    ladder = ladder_of(none, gone)
    c = cell(ladder, "direct", "base64")
    assert math.isnan(c.bad_share)
    assert math.isnan(c.interval.low)
    assert (c.bound_low, c.bound_high, c.n_items, c.n_missing, c.benchmarks) == (0, 1, 0, 6, ())
    assert any("have no score (100% of `base64` under `direct`)" in told for told in ladder.caveats)
    (power,) = ladder.powers
    assert math.isnan(power.change.delta)
    assert (power.change.test, power.change.n_items, power.change.n_missing) == ("none", 0, 6)
    (worst,) = ladder.worst
    assert math.isnan(worst.share)
    assert (worst.bound_low, worst.bound_high, worst.n_missing) == (0, 1, 6)


def test_draws_are_averaged_within_items_first(table: Table) -> None:
    first = table({"direct": [BAD, GOOD, BAD, GOOD]}, attack="a", draw=0)
    second = table({"direct": [BAD, GOOD, None, BAD]}, attack="a", draw=1)
    c = cell(ladder_of(first, second), "direct", "a")
    assert c.bad_share == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert (c.bound_low, c.bound_high) == pytest.approx(((1 + 0 + 0.5 + 0.5) / 4, (1 + 0 + 1 + 0.5) / 4))
    assert (c.n_items, c.n_missing, c.n_observations, c.tries) == (4, 1, 8, 2)


@pytest.mark.parametrize(
    ("axis", "bad_share", "successes"),
    [("harm", 0.25, 1), ("privacy", 0.25, 1), ("overrefusal", 0.5, 2), ("reasoning", 0.5, 1), ("truthfulness", 0.5, 1)],
)
def test_what_is_bad_on_every_axis(table: Table, axis: str, bad_share: float, successes: int) -> None:
    c = cell(ladder_of(table({"direct": [0.0, 0.5, 0.75, 0.75]}, attack="a", axis=axis)), "direct", "a", axis)
    assert (c.bad_share, c.n_successes) == (bad_share, successes)


def test_benchmarks_weigh_alike_however_many_items_they_have(table: Table) -> None:
    few = table({"direct": [BAD, BAD]}, attack="a", benchmark="few")
    many = table({"direct": [GOOD] * 7 + [BAD]}, attack="a", benchmark="many")
    c = cell(ladder_of(few, many), "direct", "a")
    assert c.bad_share == pytest.approx((1 + 1 / 8) / 2)
    assert (c.benchmarks, c.n_items, c.n_clusters) == (("few", "many"), 10, 10)
    assert 0 < c.interval.low < c.bad_share < c.interval.high < 1


def test_queries_of_an_adaptive_attack_are_told_beside_its_try(table: Table) -> None:
    frame = table({"direct": [BAD, GOOD, BAD]}, attack="pair", queries=lambda i: 3 * i + 1)
    c = cell(ladder_of(frame), "direct", "pair")
    assert (c.tries, c.queries) == (1, 4.0)


def test_a_share_of_other_items_than_without_an_attack_says_how_many_differ(table: Table) -> None:
    plain = [table({"direct": [GOOD] * 4, "cot": [GOOD] * 4}, benchmark=name) for name in ("one", "two")]
    everywhere = [table({"direct": [BAD] * 4}, benchmark=name, attack="a") for name in ("one", "two")]
    limited = table({"direct": [BAD] * 4}, benchmark="one", attack="b")
    some = table({"direct": [BAD] * 3 + [None]}, benchmark="one", attack="c").head(2)
    found = {c.attack: c.n_apart for c in ladder_of(*plain, *everywhere, limited, some).cells if c.arm == "direct"}
    assert found == {"none": 0, "a": 0, "b": 4, "c": 6}
    # Without `none` in the arm there is nothing to differ from.
    assert {c.n_apart for c in ladder_of(*everywhere, limited).cells} == {0}


def enumerated(draws: list[float], k: int) -> float:
    """Share of the sets of k draws that hold a success."""
    sets = list(itertools.combinations([d for d in draws if not math.isnan(d)], k))
    return sum(any(s) for s in sets) / len(sets) if sets else math.nan


@pytest.mark.parametrize("n", [2, 5])
def test_several_tries_agree_with_every_set_of_draws(n: int) -> None:
    patterns = [list(p) for p in itertools.product([0.0, 1.0, math.nan], repeat=n)]
    for k in range(1, n + 1):
        expected = [enumerated(p, k) for p in patterns]
        assert at_least_one(np.array(patterns), k) == pytest.approx(expected, nan_ok=True)


def test_asr_at_k_is_over_items_with_enough_scored_draws(table: Table) -> None:
    columns = [[BAD, BAD, GOOD, GOOD], [GOOD, BAD, GOOD, None], [GOOD, GOOD, GOOD, None]]
    ladder = ladder_of(*(table({"direct": c}, attack="a", draw=d) for d, c in enumerate(columns)))
    told = {t.tries: t for t in ladder.tries}
    assert {k: t.share for k, t in told.items()} == pytest.approx(
        {1: (1 / 3 + 2 / 3 + 0 + 0) / 4, 2: (2 / 3 + 1 + 0) / 3, 3: (1 + 1 + 0) / 3}
    )
    assert {k: t.n_items for k, t in told.items()} == {1: 4, 2: 3, 3: 3}
    assert told[1].share == pytest.approx(cell(ladder, "direct", "a").bad_share)
    assert tuple(told[3].interval) == pytest.approx(tuple(wilson(2 / 3, 3)))  # three lone yes-or-no takes
    assert all(t.interval.low < t.share < t.interval.high for t in ladder.tries)


def test_one_draw_an_item_is_one_try_and_no_more(table: Table) -> None:
    assert ladder_of(table({"direct": [BAD, GOOD]}, attack="a")).tries == ()


def test_worst_of_attacks_by_hand(table: Table) -> None:
    tables = [
        table({"direct": [GOOD] * 6, "cot": [GOOD] * 6}),
        table({"direct": [BAD, GOOD, GOOD, GOOD, None, BAD], "cot": [BAD, BAD, BAD, GOOD, BAD, BAD]}, attack="a"),
        table({"direct": [BAD, BAD, GOOD, GOOD, GOOD, None], "cot": [GOOD, GOOD, BAD, BAD, BAD, BAD]}, attack="b"),
    ]
    direct, cot = ladder_of(*tables).worst
    # The fifth item is unknown; the last one is broken whatever `b` does.
    assert (direct.share, direct.n_items, direct.n_missing) == (3 / 6, 5, 1)
    assert (direct.bound_low, direct.bound_high) == pytest.approx((3 / 6, 4 / 6))
    assert tuple(direct.interval) == pytest.approx((wilson(3 / 6, 6).low, wilson(4 / 6, 6).high))
    assert (direct.attacks, direct.shared, direct.change) == (("a", "b"), (), None)
    assert (cot.share, cot.n_items, cot.n_missing) == (1, 6, 0)
    assert tuple(cot.interval) == pytest.approx(tuple(wilson(1, 6)))
    assert cot.change is not None
    assert (cot.change.delta, cot.change.n_items, cot.change.n_missing) == (2 / 5, 5, 1)
    assert (cot.change.test, cot.change.p_value) == ("mcnemar", mcnemar(0, 2))


def test_worst_of_attacks_reads_first_draws_alone(table: Table) -> None:
    draws = [table({"direct": scores}, attack="a", draw=d) for d, scores in enumerate(([GOOD, None], [BAD, BAD]))]
    (worst,) = ladder_of(*draws).worst
    assert (worst.share, worst.bound_high, worst.n_items, worst.n_missing) == (0, 1 / 2, 1, 1)


def test_arms_with_other_ladders_are_compared_over_what_they_share(table: Table) -> None:
    both = table({"direct": [GOOD, GOOD, BAD], "cot": [GOOD, GOOD, BAD]}, attack="a")
    direct, cot = ladder_of(both, table({"cot": [BAD, BAD, BAD]}, attack="thoughts")).worst
    assert (direct.attacks, cot.attacks, cot.shared) == (("a",), ("a", "thoughts"), ("a",))
    assert (direct.share, cot.share) == pytest.approx((1 / 3, 1))
    assert cot.change is not None
    assert cot.change.delta == 0


def test_transfer_by_hand(table: Table) -> None:
    tables = [
        table({"direct": [BAD, BAD, GOOD, BAD], "cot": [BAD, GOOD, BAD, None]}, attack="a"),
        table({"direct": [GOOD, BAD, GOOD, GOOD], "cot": [GOOD, BAD, BAD, BAD]}, attack="b"),
        table({"direct": [BAD] * 4, "cot": [BAD] * 4}),  # without an attack: no part of it
    ]
    there, back = ladder_of(*tables).transfers
    assert (there.given, there.arm, there.n, there.n_clusters) == ("direct", "cot", 3, 2)
    assert there.share == pytest.approx(2 / 3)  # a: i0 yes, i1 no, i3 unknown; b: i1 yes
    assert (back.given, back.n, back.share) == ("cot", 5, 2 / 5)
    assert there.interval.low < 2 / 3 < there.interval.high


def test_transfer_from_an_arm_that_nothing_broke_is_unknown(table: Table) -> None:
    there, back = ladder_of(table({"direct": [GOOD, GOOD], "cot": [BAD, GOOD]}, attack="a")).transfers
    assert math.isnan(there.share)
    assert math.isnan(there.interval.low)
    assert (there.n, back.n, back.share) == (0, 1, 0)


def test_the_order_of_rows_is_nothing(table: Table) -> None:
    rng = np.random.default_rng(3)
    tables = [
        table(
            {arm: [SOME[k] for k in rng.integers(4, size=12)] for arm in ("direct", "cot")},
            attack=attack,
            axis=axis,
            draw=draw,
            cluster=lambda i: f"c{i // 2}",
            attack_dose=dose,
            technique="none" if dose is None else "a",
            trace_tokens=lambda i: 10 * i,
        )
        for attack, dose in (("none", None), ("a[k=2]", 2.0), ("a[k=10]", 10.0))
        for axis in ("harm", "overrefusal")
        for draw in (0, 1)
    ]
    ladder = ladder_of(*tables)
    assert ladder.attacks == ("a[k=2]", "a[k=10]")  # by dose, not by name
    for seed in range(3):
        rows = pl.concat(tables, how="diagonal_relaxed").sample(fraction=1, shuffle=True, seed=seed)
        assert repr(ladder_of(rows)) == repr(ladder)


def test_tables_without_attacks_have_no_ladder_and_other_benchmarks_no_part_in_one(table: Table) -> None:
    plain = table({"direct": [BAD, GOOD]}, benchmark="plain", axis="reasoning")
    trials = tidy_trials(as_observations(plain))[0]
    assert build_attacks(trials, ("direct",), "direct", QUICK) is None
    assert ladder_of(plain, table({"direct": [BAD, GOOD]}, attack="a")).axes == ("harm",)


def test_an_arm_that_is_bad_already_leaves_an_attack_no_room(table: Table) -> None:
    plain = table({"direct": [GOOD] * 3 + [BAD], "cot": [BAD] * 3 + [GOOD]}, attack="none")
    attacked = table({"direct": [BAD] * 4, "cot": [BAD] * 4}, attack="persona")
    (told,) = (c for c in ladder_of(plain, attacked).caveats if "for want of room" in c)
    assert "25% under `cot`" in told
    assert "`direct`" not in told
