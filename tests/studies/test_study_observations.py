from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from oldham.core.errors import DataError, UnknownNameError
from oldham.studies.observations import _rounds_told, comparable, load_observations
from oldham.studies.plan import plan
from oldham.studies.run import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_backend import FakeBackend

    StudyFile = Callable[..., Path]


@pytest.fixture
def two_runs(study_file: StudyFile) -> None:
    run(study_file())
    run(study_file(("name: small", "name: other"), ("fake:one", "fake:two")))


@pytest.mark.usefixtures("two_runs")
def test_two_runs_are_compared_by_the_baseline_of_the_first() -> None:
    both = comparable("runs/small", "runs/other")
    assert (both.baseline, both.deterministic) == ("direct", True)
    assert both.observations["arm"].unique(maintain_order=True).to_list() == ["direct", "direct (runs/other)", "cot"]
    assert set(both.observations.filter(pl.col("arm") == "direct")["study"]) == {"small"}
    assert set(both.observations.filter(pl.col("arm") != "direct")["study"]) == {"other"}


@pytest.mark.usefixtures("two_runs")
def test_two_arms_of_one_run_are_compared() -> None:
    both = comparable("runs/small:cot", "runs/small:direct")
    assert both.baseline == "cot"
    assert both.observations["arm"].unique(maintain_order=True).to_list() == ["cot", "direct"]
    assert set(comparable("runs/small", "runs/small").observations["arm"]) == {"direct", "cot"}


@pytest.mark.usefixtures("two_runs")
def test_a_table_in_a_file_needs_no_run(tmp_path: Path) -> None:
    frame = load_observations(tmp_path / "runs" / "small")
    frame.write_csv("a.csv")
    frame.filter(pl.col("arm") == "cot").write_parquet("b.parquet")
    both = comparable("a.csv:direct", "b.parquet")
    assert (both.baseline, both.deterministic) == ("direct", False)
    assert (
        both.observations.select("arm", "outcome", "score")
        .sort("arm")
        .equals(frame.select("arm", "outcome", "score").sort("arm"))
    )
    with pytest.raises(UnknownNameError, match=r"Write a\.csv:ARM. Arms: cot, direct"):
        comparable("a.csv", "b.parquet")


@pytest.mark.usefixtures("two_runs")
@pytest.mark.parametrize(
    ("reference", "other", "says"),
    [
        ("runs/small:cott", "runs/other", "Did you mean `cot`"),
        ("runs/small:cot", "runs/small:cot", "compared with itself"),
        ("runs/smal", "runs/other", "no observations here"),
        ("study.yaml", "runs/other", "cannot be read"),
    ],
)
def test_a_reference_to_nothing_is_reported(reference: str, other: str, says: str) -> None:
    with pytest.raises((DataError, UnknownNameError), match=says):
        comparable(reference, other)


def test_a_trace_that_a_failed_sample_lacks_is_not_known(
    study_file: Callable[..., Path], fake: type[FakeBackend]
) -> None:
    arms = "  vote: {strategy: self_consistency, thinking_tokens: 20, samples: 2, temperature: 0.7}"
    file = study_file(
        ("  cot: {strategy: zero_shot_cot, thinking_tokens: 20}", arms), ("arithmetic:6, harmful:5", "private_record:4")
    )
    made = plan(file)
    lost = next(p for p in made.trials if p.arm.name == "vote" and p.trial.draw == 1)
    fake.broken_trials = {lost.trial.fingerprint}
    found = run(file).observations.filter((pl.col("item") == lost.item.id) & (pl.col("span") == "trace"))
    by_arm = {row["arm"]: (row["outcome"], row["score"]) for row in found.iter_rows(named=True)}
    assert by_arm["vote"] == ("withheld", 1.0)
    assert by_arm["vote/worst"] == ("unjudged", None)


def test_of_two_runs_asked_in_rounds_the_larger_plan_is_not_at_its_end() -> None:
    def told(items: int, largest: int) -> dict[str, Any]:
        planned = {"harm": {"axis": "harm", "items": items, "clusters": items, "largest": largest}}
        return {"name": str(items), "sequential": {"planned": planned}}

    both = _rounds_told(told(60, 5), told(200, 1))
    assert both["name"] == "60"
    assert both["sequential"]["planned"]["harm"] == {"axis": "harm", "items": 200, "clusters": 200, "largest": 5}
    assert _rounds_told({}, told(60, 1)) == told(60, 1)
    assert _rounds_told(told(60, 1), {}) == told(60, 1)
    assert _rounds_told({"sequential": {}}, told(60, 1)) == {"sequential": {}}
