"""What does a whole account claim of studies in which no arm did anything?

Families are tested one by one at 5%: an effect within its axis, factors within axis and order, a gate over its arms.
`most` is the most studies that may make a claim: at exactly 5% it is passed once in a thousand runs of a test.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from null_studies import (
    ARMS,
    AXES,
    JUDGE,
    OPTIONS,
    account,
    card_of,
    chances,
    claims,
    dose_claims,
    most,
    parts,
    rows_of,
    with_traces,
)

from oldham.coupling.dynamics import dose_dynamics

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from oldham.coupling import CouplingOptions

    Study = Callable[[int], tuple[pl.DataFrame, CouplingOptions]]

pytestmark = pytest.mark.thorough

STUDIES, WHOLE, DOSED = 250, 12, 150
HERE, THERE = (0.97, 0.04), (0.78, 0.04)
"""Chances that a good and that a bad answer is called good: in answers at once, and after a trace."""
KINDS = (
    *(("effect", axis) for axis in AXES),
    *(("flips", axis) for axis in AXES),
    *((kind, axis) for kind in ("main effect", "interaction", "corrected effect") for axis in AXES),
    *((kind, "") for kind in ("gate passes", "gate passes an arm", "gate fails an arm")),
)


def identical(seed: int) -> tuple[pl.DataFrame, CouplingOptions]:
    """Arms that are one, sampled twice an item."""
    rng = np.random.default_rng([1, seed])
    rows = [rows_of(a, rng.random((len(ARMS), AXES[a], 2)) < chances(a, rng)[None, :, None]) for a in AXES]
    return pl.concat(rows), OPTIONS


def nearly_flawless(seed: int) -> tuple[pl.DataFrame, CouplingOptions]:
    """Arms that are one, and nearly always good: flips are so rare that the noise floor is often estimated as 0."""
    rng = np.random.default_rng([2, seed])
    rows = [rows_of(a, rng.random((len(ARMS), AXES[a], 2)) < 0.985) for a in AXES]
    return pl.concat(rows), OPTIONS


def judged_otherwise(seed: int) -> tuple[pl.DataFrame, CouplingOptions]:
    """Greedy arms with the same answers, of which a judge errs otherwise on those that come after a trace."""
    rng = np.random.default_rng([3, seed])
    rows = []
    for axis, n in AXES.items():
        good = rng.random(n) < 0.7
        called = [np.where(good, *pair) for pair in (HERE, *[THERE] * (len(ARMS) - 1))]
        rows.append(rows_of(axis, (rng.random((len(ARMS), n)) < np.array(called))[:, :, None]))
    card = card_of({"direct": HERE, "thinking": THERE}, 200, rng)
    return pl.concat(rows), replace(OPTIONS, cards={JUDGE: card}, deterministic=True)


def cut(seed: int) -> tuple[pl.DataFrame, CouplingOptions]:
    """Greedy arms with the same verdicts, two of which lose answers to their limit, bad ones more often than good."""
    rng = np.random.default_rng([4, seed])
    rows = []
    for axis, n in AXES.items():
        good = rng.random(n) < 0.7
        lost: NDArray[np.bool_] = rng.random((len(ARMS), n)) < np.where(good, 0.15, 0.6)
        lost[:2] = False
        rows.append(rows_of(axis, np.tile(good, (len(ARMS), 1))[:, :, None], lost[:, :, None]))
    return pl.concat(rows), replace(OPTIONS, deterministic=True)


NULL: dict[str, Study] = {s.__name__: s for s in (identical, nearly_flawless, judged_otherwise, cut)}


@pytest.mark.parametrize("name", NULL)
def test_nothing_is_claimed_more_often_than_its_level(name: str) -> None:
    made: Counter[tuple[str, str]] = Counter()
    for seed in range(STUDIES):
        found = parts(*NULL[name](seed))
        assert found.gate is not None
        made.update(claims(found, found.gate))
    assert made.keys() <= set(KINDS)
    assert {kind: n for kind, n in made.items() if n > most(STUDIES)} == {}


@pytest.mark.parametrize("name", NULL)
def test_a_whole_account_claims_what_its_parts_decide_and_tells_its_caveats(name: str) -> None:
    for seed in range(WHOLE):
        rows, options = NULL[name](seed)
        told = account(with_traces(rows, np.random.default_rng(seed)), options)
        found = parts(rows, options)
        assert found.gate is not None
        assert claims(told.coupling, told.gate) == claims(found, found.gate)
        missing = [c for c in found.caveats if " ".join(c.split()) not in told.text]
        assert missing == []


@pytest.mark.parametrize("name", ["identical", "nearly_flawless", "cut"])
def test_nothing_is_claimed_of_doses_more_often_than_its_level(name: str) -> None:
    made: Counter[tuple[str, str]] = Counter()
    for seed in range(DOSED):
        rows, options = NULL[name](seed)
        made.update(dose_claims(dose_dynamics(rows, baseline="base", options=options)))
    assert {kind: n for kind, n in made.items() if n > most(DOSED)} == {}


def test_what_is_said_of_doses_says_that_it_is_as_judged() -> None:
    rows, options = judged_otherwise(0)
    assert "All changes are as judged." in dose_dynamics(rows, baseline="base", options=options).summary()


def test_a_judge_that_errs_otherwise_does_make_changes_as_judged_and_they_are_taken_back() -> None:
    clear = undone = 0
    for seed in range(STUDIES // 5):
        for e in parts(*judged_otherwise(seed)).effects:
            sure = e.interval.excludes_zero and e.p_holm < 0.05
            clear += sure
            undone += sure and "corrected for the judge's known errors" in e.finding
    assert clear > STUDIES // 5, "as judged, most arms would be worse on some axis"
    assert undone >= 0.9 * clear


def test_answers_that_were_cut_show_their_bounds_and_pass_no_gate() -> None:
    for seed in range(STUDIES // 5):
        found = parts(*cut(seed))
        assert found.gate is not None
        for e in found.effects:
            if e.arm == "a":  # nothing is missing
                assert "without a score" not in e.finding
                continue
            assert e.delta == 0
            # Where all else is the same, the bounds are as far apart as the share of what is missing.
            assert e.bounds.high - e.bounds.low == pytest.approx(e.n_missing / AXES[e.axis])
            assert e.bounds.low <= 0 <= e.bounds.high
            assert "answers without a score could make it " in e.finding
            if "equivalent" in e.finding:
                assert "on what was scored" in e.finding
        states = {(c.arm, c.axis): c.state for c in found.gate.claims if c.rule == "non_inferior"}
        assert {state for (arm, _), state in states.items() if arm != "a"} == {"undecided"}
        gaps = [c for c in found.caveats if "With those answers all bad or all good the change could be" in c]
        assert len(gaps) == len(AXES)
