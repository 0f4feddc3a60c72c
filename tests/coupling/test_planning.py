"""Sizes of studies against closed forms, statsmodels and published examples."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import norm

from oldham.core.errors import ConfigError
from oldham.coupling.design_plan import Design, plan_design
from oldham.coupling.mcnemar_power import connor_items, mcnemar_effect, mcnemar_items, mcnemar_power
from oldham.coupling.pilot import PlanOptions
from oldham.coupling.planning import (
    Goal,
    Size,
    Spread,
    best_draws,
    cheapest,
    clear_chance,
    draws_for,
    equivalence_chance,
    grow,
    items_for,
    smallest_effect,
    spread_range,
)
from oldham.coupling.planning_text import design_text, plan_json
from oldham.coupling.power import smallest_detectable_effect
from oldham.coupling.significance import mcnemar


def test_the_exact_power_adds_up_every_table_that_the_test_rejects() -> None:
    n, gain, loss = 14, 0.5, 0.1
    total = 0.0
    for gains, losses in itertools.product(range(n + 1), repeat=2):
        if gains + losses <= n and gains > losses and mcnemar(gains, losses) < 0.05:
            ways = math.comb(n, gains) * math.comb(n - gains, losses)
            total += ways * gain**gains * loss**losses * (1 - gain - loss) ** (n - gains - losses)
    assert mcnemar_power(n, gain=gain, loss=loss) == pytest.approx(total, abs=1e-12)
    assert mcnemar_power(n, gain=loss, loss=gain) == pytest.approx(total, abs=1e-12)


def test_six_flips_one_way_are_the_fewest_that_are_found() -> None:
    assert mcnemar_power(5, gain=1.0, loss=0.0) == 0.0  # 2 / 2^5 = 0.06
    assert mcnemar_power(6, gain=1.0, loss=0.0) == pytest.approx(1.0)  # 2 / 2^6 = 0.03
    assert mcnemar_power(6, gain=0.9, loss=0.1) == pytest.approx(0.9**6)
    assert math.isnan(mcnemar_power(0, gain=0.5, loss=0.1))
    assert mcnemar_power(10, gain=0.0, loss=0.0) == 0.0


def test_without_a_change_the_exact_test_keeps_its_level() -> None:
    both_ways = [2 * mcnemar_power(n, gain=0.1, loss=0.1) for n in (20, 100, 1000, 20_000)]
    assert all(level < 0.05 for level in both_ways)
    assert both_ways[-1] > 0.04, "and comes near it with many items"


def test_connors_example() -> None:
    # Connor 1987, Biometrics 43, p. 209, as on powerandsamplesize.com: 0.45 and 0.05 take 23 pairs.
    assert connor_items(0.4, 0.5) == 23
    assert connor_items(0.4, 0.5, power=0.9, level=0.1) == 23


@pytest.mark.parametrize(("effect", "flips"), [(0.05, 0.1), (0.1, 0.2), (0.2, 0.5), (0.3, 0.3)])
def test_the_exact_number_of_items_is_the_smallest_and_near_the_approximation(effect: float, flips: float) -> None:
    n = mcnemar_items(effect, flips)
    assert n is not None
    gain, loss = (flips + effect) / 2, (flips - effect) / 2
    powers = [mcnemar_power(k, gain=gain, loss=loss) for k in range(n - 1, n + 80)]
    assert powers[0] < 0.8 <= min(powers[1:])
    assert connor_items(effect, flips) <= n <= 1.1 * connor_items(effect, flips) + 12


def test_the_smallest_change_by_the_exact_test_is_found_and_nothing_smaller_is() -> None:
    found = mcnemar_effect(200, 0.1)
    assert found == pytest.approx(smallest_detectable_effect(200, 0.1), abs=0.005)
    assert mcnemar_power(200, gain=0.05 + found / 2, loss=0.05 - found / 2) == pytest.approx(0.8, abs=1e-6)
    assert math.isnan(mcnemar_effect(20, 0.1)), "two flips of twenty items are never found"


@pytest.mark.parametrize("n", [5, 30, 400])
@pytest.mark.parametrize("effect", [0.1, 0.4])
def test_chances_are_those_of_statsmodels(n: int, effect: float) -> None:
    from statsmodels.stats.power import TTestPower

    expected = TTestPower().power(effect, n, 0.025, alternative="larger")
    assert clear_chance(effect, 1 / n, n - 1) == pytest.approx(expected, abs=1e-9)


def test_many_degrees_of_freedom_are_the_normal_distribution() -> None:
    assert clear_chance(2.8, 1.0, 1e6) == pytest.approx(norm.sf(norm.ppf(0.975) - 2.8))
    assert clear_chance(2.8, 1.0, 1999.0) == pytest.approx(clear_chance(2.8, 1.0, 2000.0), abs=1e-3)
    below, above = (equivalence_chance(3.0, 1.0, df) for df in (1999.0, 2000.0))
    assert below == pytest.approx(above, abs=1e-3)


def test_equivalence_has_the_power_of_a_published_example() -> None:
    # PowerTOST, sampleN.TOST(CV = 0.30): 40 subjects of a crossover have power 0.815845, for a ratio of 0.95.
    variance = 2 * math.log(1 + 0.3**2) / 40
    found = equivalence_chance(math.log(1.25), variance, 38, change=math.log(0.95))
    assert found == pytest.approx(0.815845, abs=5e-7)


@pytest.mark.parametrize("degrees", [1, 2, 7, 50])
def test_equivalence_is_two_one_sided_tests(degrees: int) -> None:
    from scipy.stats import t

    rng = np.random.default_rng(degrees)
    error = np.sqrt(rng.chisquare(degrees, 200_000) / degrees)
    reach = t.ppf(0.95, degrees) * error
    change = rng.standard_normal(200_000) + 0.5
    found = np.mean((change - reach > -4) & (change + reach < 4))
    expected = equivalence_chance(4.0, 1.0, degrees, change=0.5)
    assert found == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 200_000))


def test_what_is_unknown_stays_unknown() -> None:
    assert math.isnan(clear_chance(0.1, math.nan, 10))
    assert math.isnan(clear_chance(0.1, 0.01, 0))
    assert math.isnan(equivalence_chance(0.1, 0.01, 0))
    assert math.isnan(smallest_effect(Spread(0.1, 0.0), 1, 1, power=0.8))
    assert items_for(Spread(math.nan, 0.0), 1, Goal("superior", 0.1), power=0.8) is None
    assert items_for(Spread(0.1, 0.0), 1, Goal("superior", 0.0), power=0.8) is None
    assert all(map(math.isnan, spread_range(math.nan, 10)))


@pytest.mark.parametrize("name", ["superior", "non_inferior", "equivalent"])
@pytest.mark.parametrize("size", [1.0, 4.0])
def test_the_items_needed_are_the_smallest(name: str, size: float) -> None:
    spread, goal = Spread(0.03, 0.2, size), Goal(name, 0.05)  # type: ignore[arg-type]
    n = items_for(spread, 3, goal, power=0.8)
    assert n is not None
    before, after = (goal.chance(spread.variance(k, 3), spread.degrees(k)) for k in (n - 1, n))
    assert before < 0.8 <= after


def test_many_items_are_as_the_closed_form_has_them() -> None:
    z = norm.ppf(0.975) + norm.ppf(0.8)
    assert items_for(Spread(0.1, 0.0), 1, Goal("superior", 0.01), power=0.8) == math.ceil(0.1 * (z / 0.01) ** 2)
    z = norm.ppf(0.95) + norm.ppf(0.9)  # nothing changed: half of what may go wrong lies on each side
    assert items_for(Spread(0.1, 0.0), 1, Goal("equivalent", 0.01), power=0.8) == math.ceil(0.1 * (z / 0.01) ** 2)
    assert items_for(Spread(1.0, 0.0), 1, Goal("superior", 0.001), power=0.8) is None


def test_smallest_effect_undoes_the_items_needed() -> None:
    spread = Spread(0.03, 0.2, 2.0)
    n = items_for(spread, 4, Goal("superior", 0.06), power=0.9)
    assert n is not None
    assert smallest_effect(spread, n, 4, power=0.9) <= 0.06 < smallest_effect(spread, n - 1, 4, power=0.9)


def test_the_best_number_of_draws_is_cochrans_and_the_cheapest_design_has_it() -> None:
    spread = Spread(0.02, 0.32)
    best = best_draws(spread, 8.0)
    assert best == pytest.approx(math.sqrt(8 / 2 * 0.32 / 0.02))  # 8 draws
    size = cheapest(spread, Goal("superior", 0.01), power=0.8, item_cost=8.0)
    assert size is not None
    assert size.draws == 8
    assert size.cost == size.items * (8 + 2 * 8)
    every = [(items_for(spread, m, Goal("superior", 0.01), power=0.8) or 0) * (8 + 2 * m) for m in range(1, 65)]
    assert size.cost == min(every)


def test_free_items_ask_for_one_draw_and_equal_items_for_all_draws() -> None:
    assert best_draws(Spread(0.1, 0.3), 0.0) == 0.0
    assert math.isinf(best_draws(Spread(0.0, 0.3), 1.0))
    found = cheapest(Spread(0.1, 0.3), Goal("superior", 0.05), power=0.8, item_cost=0.0)
    assert found is not None
    assert found.draws == 1


def test_a_study_grows_by_what_is_cheaper() -> None:
    goal = Goal("superior", 0.05)
    noisy, various = Spread(0.001, 0.4), Spread(0.2, 0.01)
    more = grow(noisy, goal, power=0.8, item_cost=50.0, items=200, draws=2)
    assert more is not None
    assert more.items == 200
    assert more.draws == draws_for(noisy, 200, goal, power=0.8)
    assert more.cost == 200 * 2 * (more.draws - 2)
    wider = grow(various, goal, power=0.8, item_cost=1.0, items=200, draws=2)
    assert wider is not None
    assert (wider.draws, wider.items) == (2, items_for(various, 2, goal, power=0.8))
    assert draws_for(various, 200, goal, power=0.8) is None
    assert grow(various, goal, power=0.8, item_cost=1.0, items=5000, draws=2) == Size(5000, 2, 0.0)


def test_the_range_of_a_normal_variance_is_the_chi_square_interval() -> None:
    from scipy.stats import chi2

    low, high = spread_range(2 / 5000, 5000)
    assert low == pytest.approx(5000 / chi2.ppf(0.975, 5000), rel=1e-3)
    assert high == pytest.approx(5000 / chi2.ppf(0.025, 5000), rel=1e-3)


def test_a_design_with_one_draw_is_what_planning_has_always_said() -> None:
    spread = Design(flip_rate=0.1, cluster_size=5, intraclass=0.4).spread(0.0)
    assert spread.variance(10_000, 1) == pytest.approx(0.1 * (1 + 4 * 0.4) / 10_000)
    found = smallest_effect(spread, 10_000, 1, power=0.8)
    assert found == pytest.approx(smallest_detectable_effect(10_000, 0.1, cluster_size=5, intraclass=0.4), rel=1e-3)


def test_draws_do_as_much_as_sampling_makes_of_the_flips() -> None:
    plan = plan_design(Design(), PlanOptions(items=200, draws=4))
    low, high = (s.smallest_detectable for s in plan.shown)
    assert high == pytest.approx(2 * low, rel=1e-6), "four draws halve what is all sampling and leave the rest"
    known = plan_design(Design(sampling_share=0.5), PlanOptions(items=200, draws=4)).shown[0].smallest_detectable
    assert known == pytest.approx(high * math.sqrt(0.5 + 0.5 / 4), rel=1e-6)
    assert "3.1 to 6.3 points" in design_text(plan)


def test_a_single_draw_is_planned_by_the_test_that_will_decide() -> None:
    plan = plan_design(Design(), PlanOptions(items=337, effect=0.05))
    assert (plan.exact_items, plan.connor_items) == (337, 312)
    assert plan.exact is not None
    assert plan.exact.chance_effect == pytest.approx(mcnemar_power(337, gain=0.075, loss=0.025))
    assert "337 items (exact McNemar test, which decides here; 312 by its normal approximation)" in design_text(plan)
    assert plan_design(Design(cluster_size=2), PlanOptions(effect=0.05)).exact_items is None
    assert json.loads(plan_json(plan))["needed"][0][0]["goal"] == {"name": "superior", "distance": 0.05}


@pytest.mark.parametrize(
    "bad",
    [
        {"flip_rate": 0.0},
        {"flip_rate": math.nan},
        {"sampling_share": 1.5},
        {"cluster_size": 0.5},
        {"intraclass": -0.1},
        {"sampling_share": 0.8, "intraclass": 0.4},
    ],
)
def test_a_design_that_cannot_be_is_an_error(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Design(**bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"power": 0.3},
        {"power": 1.0},
        {"margin": 0.0},
        {"item_cost": -1.0},
        {"effect": 0.0},
        {"effect": math.nan},
        {"items": 1},
        {"draws": 0},
    ],
)
def test_a_plan_that_cannot_be_is_an_error(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        PlanOptions(**bad)  # type: ignore[arg-type]


def test_numbers_beyond_every_study_end_in_words() -> None:
    plan = plan_design(Design(), PlanOptions(effect=1e-200))
    assert "over 100000 items (exact McNemar test, which decides here; over a million by" in design_text(plan)
    large = plan_design(Design(), PlanOptions(items=1_000_000, effect=0.01))
    assert large.exact is None, "so many items are not looked at one by one"
    assert large.exact_items is None
    for bad in ({"items": 10**9}, {"draws": 10**400}):
        with pytest.raises(ConfigError, match="at most"):
            PlanOptions(**bad)  # type: ignore[arg-type]


def test_a_chance_below_one_is_never_written_as_certain() -> None:
    assert "with 99.9% chance" in design_text(plan_design(Design(), PlanOptions(items=200, power=0.999)))


def test_a_change_needs_as_many_flips() -> None:
    with pytest.raises(ConfigError, match="cannot come from"):
        plan_design(Design(flip_rate=0.1), PlanOptions(effect=0.2))
