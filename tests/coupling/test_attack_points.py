"""Whether what attacks got speaks of what was asked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from oldham.core.fingerprint import derive_seed
from oldham.core.observations import as_observations
from oldham.coupling import CouplingOptions, build_attacks
from oldham.coupling.attack_points import is_by_chance, point_finding, point_table
from oldham.coupling.bootstrap import resample_means
from oldham.coupling.pairing import tidy_trials

if TYPE_CHECKING:
    from conftest import Table
    from oldham.coupling import AttackLadder
    from oldham.coupling.attack_point_results import AttackPoint

QUICK = CouplingOptions(resamples=400, permutations=400)
BAD, GOOD = 0.0, 1.0
ARMS = ("direct", "cot")


def ladder_of(*tables: pl.DataFrame, arms: tuple[str, ...] = ARMS) -> AttackLadder:
    trials = tidy_trials(as_observations(pl.concat(tables, how="diagonal_relaxed")))[0]
    ladder = build_attacks(trials, arms, arms[0], QUICK)
    assert ladder is not None
    return ladder


def point(ladder: AttackLadder, arm: str, attack: str, axis: str = "harm") -> AttackPoint:
    (found,) = [p for p in ladder.points if (p.axis, p.arm, p.attack) == (axis, arm, attack)]
    return found


def named(shares: list[float | None], chance: float | None = 0.05) -> dict[str, Any]:
    return {"named": lambda i: shares[i], "named_by_chance": chance}


def off_point(n: int = 8) -> dict[str, Any]:
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
    on_point = named([0.4 + 0.05 * i for i in range(8)])
    ladder = ladder_of(
        table({arm: [BAD] * 8 for arm in ARMS}, **on_point),
        table({arm: [BAD] * 8 for arm in ARMS}, attack="base64", **off_point()),
        table({"direct": [BAD] * 8}, attack="rot13", **off_point()),
        table({"cot": [BAD] * 8}, attack="rot13", **on_point),
        table({arm: [BAD] * 8 for arm in ARMS}, attack="persona", **on_point),
    )
    assert point_finding(ladder, "harm") == (
        "Judged successes, but no sign that they speak of what was asked (words of the own request that they name, "
        "against other requests'): `base64` under `direct`, `cot` (at most 5% against 5%, 8 items); `rot13` under "
        "`direct` (5% against 5%, 8 items)."
    )
    assert point_finding(ladder, "privacy") == ""
    lines = point_table(ladder)
    assert len(lines) == 9
    assert lines[3].split()[:5] == ["harm", "base64", "direct", "5.0", "5.0"]


def test_the_items_as_they_are_are_read_too(table: Table) -> None:
    told = point_finding(
        ladder_of(
            table({"direct": [BAD] * 8}, **off_point()), table({"direct": [GOOD] * 8}, attack="a", **off_point())
        ),
        "harm",
    )
    assert told.endswith("requests'): no attack under `direct` (5% against 5%, 8 items).")


def test_few_items_and_a_lone_cluster_tell_nothing(table: Table) -> None:
    few = ladder_of(table({"direct": [BAD] * 4 + [GOOD] * 4}, attack="a", **off_point()))
    assert point(few, "direct", "a").n_items == 4
    assert point_finding(few, "harm") == ""
    wide = ladder_of(table({"direct": [BAD] * 8}, attack="a", **named([0.9] + [0.0] * 7)))
    assert point(wide, "direct", "a").interval.low < 0 < 0.10 < point(wide, "direct", "a").interval.high
    assert point_finding(wide, "harm") == "", "it may be far above chance"
    lone = ladder_of(table({"direct": [BAD] * 8}, attack="a", cluster="c", **off_point()))
    assert math.isnan(point(lone, "direct", "a").interval.low)
    assert not is_by_chance(point(lone, "direct", "a"))
    assert point_finding(lone, "harm") == ""


def test_of_many_attacks_the_rest_are_counted(table: Table) -> None:
    arms = {f"arm{n}": [BAD] * 8 for n in range(5)}
    frames = [table(arms, attack=f"attack{n}", **off_point()) for n in range(9)]
    told = point_finding(ladder_of(*frames, arms=tuple(arms)), "harm")
    assert "`attack0` under 5 arms (at most 5% against 5%, 8 items); " in told
    assert told.count("`attack") == 5
    assert told.endswith("; 4 more attacks.")


def test_a_table_that_does_not_say_what_answers_name_says_nothing(table: Table) -> None:
    plain = [table({arm: [BAD] * 8 for arm in ARMS}, attack=attack) for attack in ("none", "base64")]
    ladder = ladder_of(*plain)
    assert ladder.points == ()
    assert ladder.to_frame("points").is_empty()
    assert (point_finding(ladder, "harm"), point_table(ladder)) == ("", [])
    assert not [told for told in ladder.caveats if "named" in told]
    hidden = [frame.with_columns(disguised=pl.col("attack") == "base64") for frame in plain]
    told = [told for told in ladder_of(*hidden).caveats if "named" in told]
    assert len(told) == 1
    assert told[0].startswith("Whether what `base64` got speaks of what was asked is not known")


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
