from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oldham.coupling import CouplingOptions, couple

if TYPE_CHECKING:
    from conftest import Table

QUICK = CouplingOptions(resamples=400, permutations=400, cards={})


def rates_of(table: Table, scores: list[float | None]) -> dict[str, str]:
    told = couple(table({"base": [1.0] * 30 + [0.0] * 30, "arm": scores}), baseline="base", options=QUICK)
    lines = told.summary(full=True).partition("Rates of good answers")[2].splitlines()[1:4]
    return {line.split()[1]: " ".join(line.split()) for line in lines[1:]}


def test_a_rate_of_fewer_than_200_items_has_both_intervals(table: Table) -> None:
    # Wilson of 30 in 60, and the Beta(30.5, 30.5) quantiles, from R's binom package.
    assert rates_of(table, [1.0] * 60)["base"] == "b base answer 50.0 37.7 to 62.3 37.6 to 62.4 60 60 0"


@pytest.mark.parametrize(("score", "says"), [(1.0, "bad 4.9"), (0.0, "good 4.9")])
def test_none_of_60_is_not_zero_percent(table: Table, score: float, says: str) -> None:
    assert f" {says} 60 60 0" in rates_of(table, [score] * 60)["arm"]


def test_what_is_missing_stands_with_its_bounds(table: Table) -> None:
    assert " 25.0 to 75.0 30 30 30" in rates_of(table, [1.0] * 15 + [0.0] * 15 + [None] * 30)["arm"]


def test_a_baseline_at_one_end_says_how_far_the_other_may_be(table: Table) -> None:
    found = couple(table({"base": [1.0] * 60, "arm": [1.0] * 60}), baseline="base", options=QUICK)
    (told,) = [c for c in found.caveats if "could not be seen" in c]
    assert told.endswith("Of all such items up to 4.9% may score otherwise.")
