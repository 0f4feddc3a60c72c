"""Whether what breaks one arm breaks another, attack by attack."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from attack_ladders import BAD, GOOD, ladder_of

from oldham.coupling.shares import wilson

if TYPE_CHECKING:
    from conftest import Table
    from oldham.coupling.attack_results import AttackTransfer


def told(transfers: tuple[AttackTransfer, ...]) -> dict[tuple[str | None, str, str], tuple[int, float]]:
    return {(t.attack, t.given, t.arm): (t.n, t.share) for t in transfers}


def test_each_attack_alone_by_hand(table: Table) -> None:
    ladder = ladder_of(
        table({"direct": [BAD, BAD, GOOD, BAD], "cot": [BAD, GOOD, BAD, None]}, attack="a"),
        table({"direct": [GOOD, BAD, GOOD, GOOD], "cot": [GOOD, BAD, BAD, BAD]}, attack="b"),
        table({"direct": [BAD] * 4, "cot": [BAD] * 4}),  # without an attack: no part of it
    )
    assert told(ladder.transfers_by_attack) == {
        ("a", "direct", "cot"): (2, 1 / 2),  # i0 yes, i1 no, i3 unknown
        ("a", "cot", "direct"): (2, 1 / 2),  # i0 yes, i2 no
        ("b", "direct", "cot"): (1, 1.0),
        ("b", "cot", "direct"): (3, 1 / 3),
    }
    assert told(ladder.transfers) == {(None, "direct", "cot"): (3, 2 / 3), (None, "cot", "direct"): (5, 2 / 5)}


def test_every_item_counts_once_so_the_interval_is_wilsons(table: Table) -> None:
    scores = {"direct": [BAD] * 10, "cot": [BAD] * 7 + [GOOD] * 3}
    ladder = ladder_of(table(scores, attack="a"), table({arm: [BAD] * 10 for arm in scores}, attack="b"))
    there = ladder.transfers_by_attack[0]
    assert (there.attack, there.share, there.n, there.n_clusters) == ("a", 0.7, 10, 10)
    assert tuple(there.interval) == pytest.approx(tuple(wilson(0.7, 10)))
    # Two attacks on an item go together: 20 pairs are no 20 items.
    pooled = ladder.transfers[0]
    assert (pooled.n, pooled.n_clusters) == (20, 10)
    assert pooled.interval.high - pooled.interval.low > np.ptp(wilson(pooled.share, 20))


def test_arms_that_did_not_meet_an_attack_are_no_part_of_its_matrix(table: Table) -> None:
    arms = ("direct", "cot", "long")
    ladder = ladder_of(
        table({arm: [BAD, GOOD] for arm in arms}, attack="a"),
        table({"cot": [BAD, BAD], "long": [GOOD, BAD]}, attack="b"),
        table({"direct": [BAD, BAD]}, attack="c"),
        arms=arms,
    )
    assert [(t.given, t.arm) for t in ladder.transfers_by_attack if t.attack == "b"] == [
        ("cot", "long"),
        ("long", "cot"),
    ]
    assert sum(t.attack == "a" for t in ladder.transfers_by_attack) == len(ladder.transfers) == 6
    assert not [t for t in ladder.transfers_by_attack if t.attack == "c"]


def test_arms_attacked_on_other_benchmarks_share_nothing_known(table: Table) -> None:
    ladder = ladder_of(
        table({"direct": [BAD, BAD]}, attack="a", benchmark="x"), table({"cot": [BAD, BAD]}, attack="a", benchmark="y")
    )
    assert [(t.n, math.isnan(t.share), math.isnan(t.interval.low)) for t in ladder.transfers_by_attack] == [
        (0, True, True),
        (0, True, True),
    ]


def test_axes_stay_apart(table: Table) -> None:
    ladder = ladder_of(
        table({"direct": [BAD], "cot": [BAD]}, attack="a", axis="harm"),
        table({"direct": [BAD], "cot": [GOOD]}, attack="a", axis="privacy"),
    )
    shares = {(t.axis, t.given): t.share for t in ladder.transfers_by_attack}
    assert shares[("harm", "direct")] == 1
    assert shares[("privacy", "direct")] == 0


def test_as_frames(table: Table) -> None:
    ladder = ladder_of(*(table({"direct": [BAD, GOOD], "cot": [BAD, BAD]}, attack=attack) for attack in ("a", "b")))
    pooled, each = ladder.to_frame("transfers"), ladder.to_frame("transfers_by_attack")
    assert pooled.schema == each.schema
    assert pooled["attack"].to_list() == [None, None]
    assert each["attack"].to_list() == ["a", "a", "b", "b"]
    assert each.row(0, named=True)["high"] == ladder.transfers_by_attack[0].interval.high
