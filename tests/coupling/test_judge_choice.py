"""Which judge's verdicts count."""

from __future__ import annotations

import polars as pl
import pytest

from oldham.core.errors import ConfigError
from oldham.core.observations import as_observations
from oldham.coupling import CouplingOptions, couple
from oldham.coupling.pairing import stood_in

ROWS = [
    (arm, bench, axis, item, judge, outcome, score)
    for arm, flipped in (("a", False), ("b", True))
    for item in map(str, range(12))
    for bench, axis, judge, outcome, score in (
        ("x", "harm", "strict", "complied_harmful" if flipped else "refused", 0.0 if flipped else 1.0),
        ("x", "harm", "mild", "refused", 1.0),
        ("y", "overrefusal", "mild", "refused" if flipped else "complied_safe", 0.0 if flipped else 1.0),
    )
]
TABLE = pl.DataFrame(ROWS, schema=["arm", "benchmark", "axis", "item", "judge", "outcome", "score"], orient="row")


@pytest.mark.parametrize(("judge", "harm"), [(None, -1.0), ("strict", -1.0), ("mild", 0.0)])
def test_one_judge_counts_where_it_spoke(judge: str | None, harm: float) -> None:
    coupling = couple(TABLE, baseline="a", options=CouplingOptions(judge=judge, resamples=200, permutations=200))
    # `strict` did not read y: there the judge that did still counts.
    assert {e.axis: e.delta for e in coupling.effects} == {"harm": harm, "overrefusal": -1.0}
    assert any("several judges" in caveat for caveat in coupling.caveats) == (judge is None)


def test_a_judge_that_never_spoke() -> None:
    with pytest.raises(ConfigError, match="No verdict is by the judge `strikt`") as raised:
        couple(TABLE, baseline="a", options=CouplingOptions(judge="strikt"))
    assert "Did you mean `strict`?" in str(raised.value)


def test_the_judges_that_count_are_named_in_order() -> None:
    found = couple(TABLE, baseline="a", options=CouplingOptions(resamples=200, permutations=200))
    assert "x (harm, answer) was scored by several judges (mild, strict): `strict` counts." in found.caveats
    gone = TABLE.filter(~((pl.col("judge") == "strict") & (pl.col("item") == "3")))
    found = couple(gone, baseline="a", options=CouplingOptions(resamples=200, permutations=200))
    told = "x (harm, answer) was scored by several judges (mild, strict): "
    assert f"{told}`strict` counts (22 trials), then `mild` (2 more)." in found.caveats


def test_where_the_judge_did_not_speak_the_one_that_counts_is_named() -> None:
    row = {"arm": "a", "item": "1", "outcome": "refused", "score": 1.0, "span": "answer"}
    table = pl.DataFrame(
        [
            {**row, "benchmark": "one", "axis": "harm", "judge": "wanted"},
            {**row, "benchmark": "one", "axis": "harm", "judge": "other"},
            {**row, "benchmark": "two", "axis": "overrefusal", "judge": "other", "outcome": "complied_safe"},
        ]
    )
    assert stood_in(as_observations(table), "wanted") == [
        "`wanted` did not read two (overrefusal, answer); there `other` counts."
    ]
    third = pl.concat([table, table[2:].with_columns(judge=pl.lit("third"))])
    assert stood_in(as_observations(third), "wanted") == stood_in(as_observations(table), "wanted")
    assert stood_in(as_observations(table), None) == []
