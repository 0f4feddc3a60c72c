"""Power, interactions, changes and controls, item by item."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from attack_ladders import BAD, GOOD, QUICK, ladder_of

from oldham.core.observations import as_observations
from oldham.coupling import CouplingOptions, build_attacks, couple
from oldham.coupling.attack_pairs import control_of
from oldham.coupling.pairing import tidy_trials
from oldham.coupling.significance import holm, mcnemar, sign_flip

if TYPE_CHECKING:
    from conftest import Table
    from oldham.coupling.attack_results import AttackContrast


def named(contrasts: tuple[AttackContrast, ...]) -> dict[tuple[str, str], AttackContrast]:
    return {(c.arm, c.attack): c for c in contrasts}


def scores(n: int, bad: int, missing: int = 0) -> list[float | None]:
    """The first are bad, the last are missing."""
    return [*([BAD] * bad), *([GOOD] * (n - bad - missing)), *([None] * missing)]


def test_power_is_the_paired_change_from_no_attack(table: Table) -> None:
    none = table({"direct": [*[GOOD] * 18, BAD, BAD], "cot": [GOOD] * 20})
    attacked = table({"direct": scores(20, 8), "cot": scores(20, 3, missing=4)}, attack="a")
    powers = named(ladder_of(none, attacked).powers)
    direct, cot = powers["direct", "a"].change, powers["cot", "a"].change
    assert (direct.delta, direct.test, direct.p_value) == ((8 - 2) / 20, "mcnemar", mcnemar(2, 8))
    assert (cot.delta, cot.n_items, cot.n_missing, cot.p_value) == (3 / 16, 16, 4, mcnemar(0, 3))
    assert [direct.p_holm, cot.p_holm] == holm([direct.p_value, cot.p_value])
    assert direct.interval.low < 0.3 < direct.interval.high
    assert powers["cot", "a"].reference == "none"


def test_an_interaction_by_hand(table: Table) -> None:
    base_free, base_hit = [GOOD] * 8, [BAD, BAD, GOOD, GOOD, GOOD, GOOD, GOOD, None]
    arm_free, arm_hit = [GOOD, GOOD, GOOD, BAD, GOOD, GOOD, None, GOOD], [GOOD, BAD, BAD, BAD, BAD, GOOD, BAD, BAD]
    ladder = ladder_of(
        table({"direct": base_free, "cot": arm_free}),
        table({"direct": base_hit, "cot": arm_hit}, attack="a"),
    )
    (found,) = ladder.interactions
    own = np.array([0 - 1, 1 - 1, 1 - 0, 0 - 0, 1 - 0, 0 - 0])  # items with a score in all four cells
    assert found.change.delta == pytest.approx(own.mean())
    assert (found.change.n_items, found.change.n_missing, found.change.n_clusters) == (6, 2, 6)
    assert found.change.test == "sign-flip"
    assert found.change.p_value == pytest.approx(sign_flip(own / 6, permutations=400, seed=0))
    assert (found.arm, found.attack, found.reference) == ("cot", "a", "direct")


def test_an_interaction_can_be_as_large_as_two_and_flips_whole_clusters(table: Table) -> None:
    cluster = lambda i: f"c{i // 4}"  # noqa: E731
    none = table({"direct": [BAD] * 24, "cot": [GOOD] * 24}, cluster=cluster)
    hit = table({"direct": [GOOD] * 24, "cot": [BAD] * 24}, cluster=cluster, attack="a")
    (found,) = ladder_of(none, hit).interactions
    assert found.change.delta == 2
    assert (found.change.n_items, found.change.n_clusters) == (24, 6)
    assert found.change.p_value == pytest.approx(2 / 2**6)
    assert 0 < found.change.interval.low < found.change.interval.high == pytest.approx(2)


def test_interactions_come_by_size_and_what_is_not_known_last(table: Table) -> None:
    arms = ("direct", "cot", "native")
    tables = [table({arm: [GOOD] * 10 for arm in arms})]
    for attack, bad in (("a", (2, 3, 8)), ("b", (9, 1, 9)), ("c", (1, 1, 6))):
        tables.append(table({arm: scores(10, n) for arm, n in zip(arms, bad, strict=True)}, attack=attack))
    tables.append(table({"direct": [None] * 10, "cot": [BAD] * 10}, attack="d"))
    found = ladder_of(*tables, arms=arms).interactions
    sizes = [c.change.delta for c in found[:-1]]
    assert sizes == pytest.approx([-0.8, 0.6, 0.5, 0.1, 0, 0])
    assert (found[0].arm, found[0].attack, found[-1].attack) == ("cot", "b", "d")
    assert math.isnan(found[-1].change.delta)
    known = [c.change for c in found[:-1]]
    assert [c.p_holm for c in known] == holm([c.p_value for c in known])


def test_the_change_by_arm_without_an_attack_is_the_effect(table: Table) -> None:
    rng = np.random.default_rng(1)
    none = table({arm: rng.choice([BAD, GOOD], 60).tolist() for arm in ("direct", "cot")}, attack="none")
    hit = table({arm: rng.choice([BAD, GOOD], 60).tolist() for arm in ("direct", "cot")}, attack="a")
    coupling = couple(pl.concat([none, hit]), baseline="direct", options=QUICK)
    assert coupling.attacks is not None
    (effect,), changes = coupling.effects, named(coupling.attacks.changes)
    change = changes["cot", "none"].change
    assert change.delta == pytest.approx(-effect.delta)
    assert tuple(change.interval) == pytest.approx((-effect.interval.high, -effect.interval.low))
    assert (change.p_value, change.test) == (effect.p_value, effect.test)
    powers = named(coupling.attacks.powers)
    (interaction,) = coupling.attacks.interactions
    # The same items throughout: differences of differences agree.
    assert interaction.change.delta == pytest.approx(
        powers["cot", "a"].change.delta - powers["direct", "a"].change.delta
    )
    assert interaction.change.delta == pytest.approx(changes["cot", "a"].change.delta - change.delta)


def test_several_draws_and_benchmarks(table: Table) -> None:
    tables = []
    for benchmark, n, hit in (("few", 4, 4), ("many", 12, 3)):
        for draw in (0, 1):
            tables.append(table({"direct": [GOOD] * n}, benchmark=benchmark, draw=draw))
            bad = hit if draw else 0
            tables.append(table({"direct": scores(n, bad)}, benchmark=benchmark, draw=draw, attack="a"))
    (power,) = ladder_of(*tables).powers
    assert power.change.delta == pytest.approx((0.5 * 4 / 4 + 0.5 * 3 / 12) / 2)
    assert (power.change.test, power.change.n_items, power.change.n_clusters) == ("sign-flip", 16, 16)


def test_draws_that_belong_together_are_no_case_for_mcnemar(table: Table) -> None:
    tables = [
        table({"direct": [GOOD] * 7 if attack == "none" else [BAD] * 7}, attack=attack, draw=draw)
        for attack in ("none", "a")
        for draw in (0, 1)
    ]
    (power,) = ladder_of(*tables).powers
    assert (power.change.test, power.change.p_value) == ("sign-flip", pytest.approx(2 / 2**7))
    pairs = [
        table({"direct": [s] * 8}, attack=a, cluster=lambda i: f"c{i // 2}") for s, a in ((GOOD, "none"), (BAD, "a"))
    ]
    (power,) = ladder_of(*pairs).powers
    assert (power.change.test, power.change.p_value) == ("sign-flip", pytest.approx(2 / 2**4))


def test_an_attack_that_has_no_place_in_an_arm_is_compared_where_it_has_one(table: Table) -> None:
    none = table({"direct": [GOOD] * 5, "cot": [GOOD] * 5})
    ladder = ladder_of(none, table({"cot": scores(5, 2)}, attack="thoughts"))
    assert [(c.arm, c.attack) for c in ladder.powers] == [("cot", "thoughts")]
    assert ladder.interactions == ()
    assert [(c.arm, c.attack) for c in ladder.changes] == [("cot", "none")]
    assert any("`thoughts` under `direct`" in told for told in ladder.caveats)


def test_without_no_attack_there_is_no_power(table: Table) -> None:
    ladder = ladder_of(table({"direct": [GOOD] * 5, "cot": [BAD] * 5}, attack="a"))
    assert (ladder.powers, ladder.interactions, ladder.costs) == ((), (), ())
    assert [(c.attack, c.change.delta) for c in ladder.changes] == [("a", 1)]


def test_names_of_controls() -> None:
    assert control_of("distractor_padding") == "filler_padding"
    assert control_of("persona+distractor_padding[place=after]") == "persona+filler_padding[place=after]"
    assert control_of("filler_padding") is control_of("persona") is control_of("none") is None


def test_a_technique_against_its_control_at_the_same_dose(table: Table) -> None:
    def padded(kind: str, dose: int, bad: dict[str, int]) -> pl.DataFrame:
        columns = {"attack": f"{kind}_padding[words={dose}]", "technique": f"{kind}_padding", "attack_dose": dose}
        return table({arm: scores(10, n) for arm, n in bad.items()}, **columns)

    ladder = ladder_of(
        table({"direct": [GOOD] * 10}),
        padded("distractor", 100, {"direct": 2, "cot": 5}),
        padded("filler", 100, {"direct": 1, "cot": 4}),
        padded("distractor", 900, {"direct": 7, "cot": 10}),
        padded("filler", 900, {"direct": 2, "cot": 4}),
        padded("distractor", 5, {"direct": 9}),  # its control was not run
    )
    told = {(c.arm, c.dose): c for c in ladder.controls}
    assert {k: c.change.delta for k, c in told.items()} == pytest.approx(
        {("direct", 100): 0.1, ("cot", 100): 0.1, ("direct", 900): 0.5, ("cot", 900): 0.6}
    )
    assert told["cot", 900].change.p_value == mcnemar(0, 6)
    assert {(c.technique, c.control) for c in ladder.controls} == {("distractor_padding", "filler_padding")}


def attacked(rng: np.random.Generator, n: int, attacks: int, arms: tuple[str, ...], draws: int) -> pl.DataFrame:
    """Every arm answers alike: items differ in how easily they fall, and attacks in their power."""
    shape = (len(arms), attacks + 1, n, draws)
    chance = np.clip(0.05 + 0.5 * np.linspace(0, 1, attacks + 1)[:, None] + rng.uniform(-0.2, 0.3, n), 0, 1)
    bad = rng.random(shape) < chance[None, :, :, None]
    at = np.indices(shape).reshape(4, -1)
    names = np.array(["none", *(f"a{i:02d}" for i in range(attacks))])
    return pl.DataFrame(
        {
            "arm": np.array(arms)[at[0]],
            "axis": "harm",
            "benchmark": "b",
            "item": [f"i{i}" for i in at[2]],
            "attack": names[at[1]],
            "draw": at[3],
            "outcome": np.where(bad.ravel(), "complied_harmful", "refused"),
            "score": 1.0 - bad.ravel(),
        }
    )


@pytest.mark.thorough
# With single draws a permutation is often exactly as large as what was seen, which makes the test stricter.
@pytest.mark.parametrize(("n", "draws", "fewest"), [(60, 1, 0.01), (100, 5, 0.03)])
def test_interactions_are_false_about_as_often_as_allowed(n: int, draws: int, fewest: float) -> None:
    rng = np.random.default_rng(11)
    p_values, excluded, adjusted = [], [], []
    for _ in range(200):
        found = ladder_of(attacked(rng, n=n, attacks=4, arms=("direct", "cot"), draws=draws)).interactions
        p_values += [c.change.p_value for c in found]
        excluded += [c.change.interval.excludes_zero for c in found]
        adjusted.append(min(c.change.p_holm for c in found))
    assert len(p_values) == 800
    assert fewest <= np.mean(np.array(p_values) <= 0.05) <= 0.07
    assert 0.03 <= np.mean(excluded) <= 0.07
    assert np.mean(np.array(adjusted) <= 0.05) <= 0.06  # at least one of four in a study


@pytest.mark.thorough
def test_a_full_ladder_is_told_in_seconds() -> None:
    arms = ("direct", "cot", "native")
    for draws in (1, 5):
        frame = attacked(np.random.default_rng(0), n=100, attacks=20, arms=arms, draws=draws)
        trials = tidy_trials(as_observations(frame))[0]
        start = time.process_time()
        ladder = build_attacks(trials, arms, "direct", CouplingOptions(resamples=10_000))
        assert ladder is not None
        assert len(ladder.interactions) == 40
        assert time.process_time() - start < 3 * (1 + (draws > 1))
