from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from oldham.core.errors import DataError
from oldham.core.observations import (
    OBSERVATION_COLUMNS,
    REQUIRED_COLUMNS,
    as_observations,
    good_side,
    read_observations,
)
from oldham.core.outcomes import Axis, legal_outcomes, score_of, side

if TYPE_CHECKING:
    from pathlib import Path

ROW: dict[str, Any] = {
    "arm": "cot",
    "benchmark": "sums",
    "axis": "reasoning",
    "item": "7",
    "outcome": "correct",
    "score": 1.0,
}


def frame(**changes: Any) -> pl.DataFrame:
    return pl.DataFrame([ROW | changes])


def test_the_required_columns_are_enough() -> None:
    tidy = as_observations(frame())
    assert dict(tidy.schema) == {name: dtype() for name, dtype in OBSERVATION_COLUMNS.items()}
    assert list(tidy.columns) == list(OBSERVATION_COLUMNS)
    filled = {name: value for name, value in tidy.row(0, named=True).items() if value is not None}
    assert filled == ROW | {"cluster": "7", "draw": 0, "span": "answer", "attack": "none"}


def test_columns_that_are_there_are_kept_and_unknown_ones_dropped() -> None:
    tidy = as_observations(frame(cluster="c", draw=3, span="trace", attack="prefill", dose=64, mine="x"))
    assert "mine" not in tidy.columns
    assert tidy.select("cluster", "draw", "span", "attack", "dose").row(0) == ("c", 3, "trace", "prefill", 64.0)


def test_numbers_as_names_become_text() -> None:
    assert as_observations(frame(item=7)).select("item", "cluster").row(0) == ("7", "7")


def test_an_empty_table_stays_empty() -> None:
    tidy = as_observations(frame().clear())
    assert (tidy.height, list(tidy.columns)) == (0, list(OBSERVATION_COLUMNS))


def test_tidying_twice_changes_nothing() -> None:
    once = as_observations(frame())
    assert as_observations(once).equals(once)


def test_unknown_scores_stay_unknown() -> None:
    assert as_observations(frame(outcome="unfinished", score=None))["score"].to_list() == [None]


@pytest.mark.parametrize("name", REQUIRED_COLUMNS)
def test_a_missing_column_is_named(name: str) -> None:
    with pytest.raises(DataError, match=f"^rows.csv: The column `{name}` is missing."):
        as_observations(frame().drop(name), place="rows.csv")


def test_a_misspelt_column_is_guessed() -> None:
    with pytest.raises(DataError, match="Did you mean `scores`"):
        as_observations(frame().rename({"score": "scores"}))


def test_a_table_without_columns() -> None:
    with pytest.raises(DataError, match="The column `arm` is missing"):
        as_observations(pl.DataFrame())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axis": "harmm"}, r"`harmm` is not an axis. Did you mean `harm`\?"),
        ({"outcome": "corect"}, r"`corect` is not an outcome. Did you mean `correct`\?"),
        ({"axis": None}, "`None` is not an axis"),
        ({"score": 1.5}, "A score lies outside"),
        ({"score": -0.5}, "A score lies outside"),
        ({"score": float("nan")}, "A score lies outside"),
        ({"score": "good"}, "A column has the wrong type .*failed"),
        ({"outcome": "unfinished", "score": 0.0}, "A row without an outcome .* has a score"),
        ({"outcome": "unjudged", "score": 1.0}, "A row without an outcome .* has a score"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        as_observations(frame(**change))
    assert "\n" not in str(caught.value)


def test_a_file_is_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    tidy = as_observations(frame())
    tidy.write_parquet(tmp_path / "o.parquet")
    tidy.write_csv(tmp_path / "o.csv")
    assert read_observations(tmp_path / "o.parquet").equals(tidy)
    assert read_observations(tmp_path / "o.csv").equals(tidy)
    told = as_observations(frame(disguised=True, named=0.25, named_by_chance=0.0))
    assert told.select("disguised", "named", "named_by_chance").row(0) == (True, 0.25, 0.0)
    told.write_csv(tmp_path / "o.csv")
    assert read_observations(tmp_path / "o.csv").equals(told)
    (tmp_path / "o.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="cannot be read"):
        read_observations(tmp_path / "o.parquet")


@pytest.mark.parametrize("axis", Axis)
def test_a_row_is_on_the_side_that_its_outcome_is_on(axis: Axis) -> None:
    outcomes = sorted(legal_outcomes(axis))
    rows = pl.DataFrame({"axis": [str(axis)] * len(outcomes), "score": [score_of(axis, one) for one in outcomes]})
    words = {True: "good", False: "bad", None: None}
    assert [words[good] for good in rows.select(good_side()).to_series()] == [side(axis, one) for one in outcomes]


def test_one_half_is_a_refusal_in_part_and_on_other_axes_on_neither_side() -> None:
    rows = pl.DataFrame({"axis": list(map(str, Axis)), "score": [0.5] * len(Axis)})
    found = dict(zip(Axis, rows.select(good_side()).to_series(), strict=True))
    assert found == dict.fromkeys(Axis) | {Axis.HARM: True, Axis.OVERREFUSAL: False}
