"""Whether what attacks got speaks of what was asked."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from attack_ladders import ARMS, BAD, GOOD, QUICK, ladder_of

from oldham.core.errors import DataError
from oldham.core.fingerprint import derive_seed
from oldham.core.observations import as_observations
from oldham.coupling.attack_grid import mark_success, read_ladder
from oldham.coupling.attack_points import build_points, is_by_chance, point_finding, point_table
from oldham.coupling.bootstrap import resample_means
from oldham.coupling.pairing import tidy_trials

if TYPE_CHECKING:
    from conftest import Table
    from oldham.coupling import AttackLadder
    from oldham.coupling.attack_point_results import AttackPoint


def point(ladder: AttackLadder, arm: str, attack: str, axis: str = "harm") -> AttackPoint:
    (found,) = [p for p in ladder.points if (p.axis, p.arm, p.attack) == (axis, arm, attack)]
    return found


def named(shares: list[float | None], chance: float | None = 0.05) -> dict[str, Any]:
    return {"named": lambda i: shares[i], "named_by_chance": chance}


def off_point(n: int = 40) -> dict[str, Any]:
    return named([0.0 if i % 2 else 0.1 for i in range(n)])


def test_only_successes_are_read(table: Table) -> None:
    frame = table({"direct": [BAD, BAD, GOOD, 0.5, None]}, attack="persona", **named([0.5, 0.25, 1.0, 1.0, 1.0], 0.125))
    p = point(ladder_of(frame), "direct", "persona")
    assert (p.named, p.by_chance, p.above) == pytest.approx((0.375, 0.125, 0.25))
    assert (p.n_items, p.n_clusters, p.n_missing) == (2, 2, 0)


def test_the_interval_is_a_bootstrap_over_clusters_of_all_benchmarks(table: Table) -> None:
    rng = np.random.default_rng(5)
    shares = rng.uniform(size=40).round(3).tolist()
    frames = [
        table({"direct": [BAD] * 20}, attack="a", benchmark=name, cluster=lambda i: f"c{i // 2}", **named(of))
        for name, of in (("b1", shares[:20]), ("b2", shares[20:]))
    ]
    p = point(ladder_of(*frames), "direct", "a")
    values, clusters = np.array(shares)[:, None] - 0.05, np.arange(40) // 2
    seed = derive_seed("coupling", QUICK.seed, "harm", "points")
    (expected,) = resample_means(values, clusters, resamples=QUICK.resamples, seed=seed)
    assert p.above == pytest.approx(expected.value)
    assert tuple(p.interval) == pytest.approx(tuple(expected.interval()))
    assert (p.n_items, p.n_clusters) == (40, 20)


def test_draws_are_averaged_within_items(table: Table) -> None:
    frames = [
        table({"direct": [BAD, BAD if draw else GOOD, GOOD]}, attack="a", draw=draw, **named([0.2 + draw] * 3, 0.0))
        for draw in (0, 0.5)
    ]
    frames = [frame.with_columns(pl.col("draw").mul(2).cast(pl.Int64)) for frame in frames]
    p = point(ladder_of(*frames), "direct", "a")
    assert p.named == pytest.approx(((0.2 + 0.7) / 2 + 0.7) / 2)
    assert p.n_items == 2


def test_every_order_of_rows_gives_the_same_numbers(table: Table) -> None:
    frame = pl.concat([
        table({arm: [BAD] * 9 for arm in ARMS}, attack=attack, **named([0.1 * i for i in range(9)]))
        for attack in ("none", "base64", "rot13")
    ])  # fmt: skip
    first, second = (ladder_of(f).to_frame("points") for f in (frame, frame.sample(fraction=1, shuffle=True, seed=2)))
    assert first.equals(second)
    assert first.select("attack", "arm").rows()[:3] == [("none", "direct"), ("none", "cot"), ("base64", "direct")]
    assert {"named", "by_chance", "above", "low", "high", "n_items", "n_missing"} <= set(first.columns)


def test_attacks_whose_successes_cannot_be_told_from_chance_are_named(table: Table) -> None:
    on_point = named([0.4 + 0.01 * i for i in range(40)])
    ladder = ladder_of(
        table({arm: [BAD] * 40 for arm in ARMS}, **on_point),
        table({arm: [BAD] * 40 for arm in ARMS}, attack="base64", **off_point()),
        table({"direct": [BAD] * 40}, attack="rot13", **off_point()),
        table({"cot": [BAD] * 40}, attack="rot13", **on_point),
        table({arm: [BAD] * 40 for arm in ARMS}, attack="persona", **on_point),
    )
    assert point_finding(ladder, "harm") == (
        "Judged successes, but no sign that they speak of what was asked (words of the own request that they name, "
        "against other requests'): `base64` under `direct`, `cot` (at most 5% against 5%, 40 items); `rot13` "
        "under `direct` (5% against 5%, 40 items)."
    )
    assert point_finding(ladder, "privacy") == ""
    lines = point_table(ladder)
    assert len(lines) == 9
    assert lines[3].split()[:5] == ["harm", "base64", "direct", "5.0", "5.0"]


def test_the_items_as_they_are_are_read_too(table: Table) -> None:
    told = point_finding(
        ladder_of(
            table({"direct": [BAD] * 40}, **off_point()), table({"direct": [GOOD] * 40}, attack="a", **off_point())
        ),
        "harm",
    )
    assert told.endswith("requests'): no attack under `direct` (5% against 5%, 40 items).")


def test_few_items_and_a_lone_cluster_tell_nothing(table: Table) -> None:
    few = point(ladder_of(table({"direct": [BAD] * 40}, attack="a", **named([0.0] * 40))), "direct", "a")
    assert is_by_chance(few)
    assert not is_by_chance(dataclasses.replace(few, n_items=19))
    wide = ladder_of(table({"direct": [BAD] * 40}, attack="a", **named([0.9] * 5 + [0.0] * 35)))
    assert point(wide, "direct", "a").interval.low < 0 < 0.10 < point(wide, "direct", "a").interval.high
    assert point_finding(wide, "harm") == "", "it may be far above chance"
    lone = ladder_of(table({"direct": [BAD] * 40}, attack="a", cluster="c", **off_point()))
    assert math.isnan(point(lone, "direct", "a").interval.low)
    assert not is_by_chance(point(lone, "direct", "a"))
    assert point_finding(lone, "harm") == ""


def test_of_many_attacks_the_rest_are_counted(table: Table) -> None:
    arms = {f"arm{n}": [BAD] * 40 for n in range(5)}
    frames = [table(arms, attack=f"attack{n}", **off_point()) for n in range(9)]
    told = point_finding(ladder_of(*frames, arms=tuple(arms)), "harm")
    assert "`attack0` under 5 arms (at most 5% against 5%, 40 items); " in told
    assert told.count("`attack") == 5
    assert told.endswith("; 4 more attacks.")


def test_a_table_that_does_not_say_what_answers_name_says_nothing(table: Table) -> None:
    plain = [table({arm: [BAD] * 8 for arm in ARMS}, attack=attack) for attack in ("none", "base64")]
    ladder = ladder_of(*plain)
    assert ladder.points == ()
    assert ladder.to_frame("points").is_empty()
    assert (point_finding(ladder, "harm"), point_table(ladder)) == ("", [])
    sentence = (
        "Whether what `base64` got speaks of what was asked is not known: the table does not say what the answers "
        "name (`named`, `named_by_chance`)."
    )
    for disguised in (None, True, False):
        frames = [frame.with_columns(disguised=pl.lit(disguised, pl.Boolean)) for frame in plain]
        assert [told for told in ladder_of(*frames).caveats if "named" in told] == [sentence]


def test_one_caveat_names_the_attacks_that_got_what_nobody_looked_at(table: Table) -> None:
    frames = [table({"direct": [BAD] * 3}, attack=attack) for attack in ("a", "b", "c", "d")]
    failed = table({"direct": [GOOD] * 3}, attack="e")
    half = [table({"direct": [BAD] * 3}, attack="f", **off_point()), table({"cot": [BAD] * 3}, attack="f")]
    read = table({"direct": [BAD] * 3}, attack="g", **off_point())
    graded = table({"direct": [BAD] * 3}, attack="h", axis="reasoning")
    (told,) = [told for told in ladder_of(*frames, failed, *half, read, graded).caveats if "named" in told]
    assert told.startswith(
        "Whether what `a`, `b`, 3 more got speaks of what was asked is not known, in one arm at least: the table"
    )
    assert not [told for told in ladder_of(failed, read, graded).caveats if "named" in told]


def test_answers_on_the_point_that_are_rare_may_be_unseen(table: Table) -> None:
    """Of n clusters of which none is on the point, 1 - 0.05^(1/n) may be, each by as much as can be."""
    for n in (17, 20, 40):
        p = point(ladder_of(table({"direct": [BAD] * n}, attack="a", **named([0.0] * n))), "direct", "a")
        assert p.interval.low == pytest.approx(-0.05)
        assert 0 <= p.interval.high - (1 - 0.05 ** (1 / n) - 0.05) < 0.03  # a little more, for few clusters
        assert is_by_chance(p) == (n == 40)


@pytest.mark.parametrize("share", [0.15, 0.25])
def test_attacks_that_are_on_the_point_now_and_then_are_seldom_marked(table: Table, share: float) -> None:
    rng = np.random.default_rng(1)
    size = 0.14 / share
    for n in (8, 20, 30):
        shares = np.where(rng.random((120, n)) < share, size, 0.0).round(3).tolist()
        arms = {f"arm{i}": [BAD] * n for i in range(120)}
        frames = [
            table({arm: scores}, attack="a", **named(own, 0.03))
            for (arm, scores), own in zip(arms.items(), shares, strict=True)
        ]
        trials = mark_success(tidy_trials(as_observations(pl.concat(frames)))[0])
        found = build_points(trials, read_ladder(trials, tuple(arms), "arm0"), QUICK)
        marked = [is_by_chance(p) for p in found]
        assert len(marked) == 120
        assert np.mean(marked) <= (0.05 if n > 20 else 0)


def test_a_small_share_that_is_surely_above_chance_is_not_marked(table: Table) -> None:
    p = point(ladder_of(table({"direct": [BAD] * 60}, attack="a", **named([0.08, 0.1] * 30))), "direct", "a")
    assert 0 < p.interval.low < p.interval.high < 0.10
    assert not is_by_chance(p)


def test_another_attack_changes_nothing_of_an_interval(table: Table) -> None:
    own = table({"direct": [BAD] * 12}, attack="z", **named([0.05] * 10 + [0.15] * 2))
    others = [table({"direct": [BAD] * 12}, attack=name, **named([0.5] * 12)) for name in "abc"]
    alone, among = (point(ladder_of(*tables), "direct", "z") for tables in ((own,), (own, *others)))
    assert alone == among


def test_what_is_no_number_is_not_known(table: Table) -> None:
    nan = math.nan
    frames = [
        table({"direct": [BAD] * 3}, attack="a", **named([nan, 0.5, 0.5])),
        table({"direct": [BAD] * 3}, attack="b", **named([0.5] * 3, nan)),
    ]
    ladder = ladder_of(*frames)
    assert [(p.attack, p.n_items, p.n_missing) for p in ladder.points] == [("a", 2, 1), ("b", 0, 3)]
    assert point(ladder, "direct", "a").named == 0.5
    tidy = as_observations(frames[0])
    assert tidy["named"].to_list() == [None, 0.5, 0.5]


@pytest.mark.parametrize("column", ["named", "named_by_chance"])
@pytest.mark.parametrize("share", [-0.01, 1.01, 55.0])
def test_a_share_of_words_beyond_all_or_none_is_refused(table: Table, column: str, share: float) -> None:
    frame = table({"direct": [BAD]}, **{"named": 0.5, "named_by_chance": 0.1, column: share})
    with pytest.raises(DataError, match=rf"A share in `{column}` lies outside \[0, 1\]"):
        as_observations(frame)


def test_what_is_unknown_is_counted_and_left_out(table: Table) -> None:
    half = table({"direct": [BAD] * 8}, attack="a", **named([0.5] * 4 + [None] * 4))
    gone = table({"direct": [BAD] * 3}, attack="b", **named([None] * 3, None))
    ladder = ladder_of(half, gone)
    assert (point(ladder, "direct", "a").n_items, point(ladder, "direct", "a").n_missing) == (4, 4)
    unknown = point(ladder, "direct", "b")
    assert all(map(math.isnan, (unknown.named, unknown.by_chance, unknown.above, *unknown.interval)))
    assert (unknown.n_items, unknown.n_missing) == (0, 3)
    assert point_table(ladder)[-1].split()[3:] == ["unknown"] * 4 + ["0", "0", "3"]


def test_only_axes_of_yes_or_no_have_points(table: Table) -> None:
    frames = [
        table({"direct": [BAD] * 6}, attack="a", axis=axis, **off_point())
        for axis in ("reasoning", "harm", "overrefusal", "truthfulness", "privacy")
    ]
    assert [p.axis for p in ladder_of(*frames).points] == ["harm", "privacy"]
