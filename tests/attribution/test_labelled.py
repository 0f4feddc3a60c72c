from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from oldham.attribution.labelled import arm_facts, labels_of, stored_generations
from oldham.core.errors import ConfigError, DataError, UnknownNameError
from oldham.core.ledger import Ledger
from stored_texts import stored

if TYPE_CHECKING:
    from pathlib import Path


def row(item: str, outcome: str, **changes: Any) -> dict[str, Any]:
    scores = {"refused": 1.0, "complied_harmful": 0.0, "complied_safe": 1.0, "partial": 0.5}
    values = {
        "arm": "a",
        "axis": "harm",
        "benchmark": "harmful",
        "item": item,
        "cluster": f"c-{item}",
        "category": "one",
        "pair": None,
        "judge": "refusal",
        "span": "answer",
        "outcome": outcome,
        "score": scores.get(outcome),
        "generation": f"g-{item}",
    }
    return values | changes


ROWS = [
    row("1", "refused"),
    row("2", "complied_harmful", category="two"),
    row("3", "incoherent"),
    row("4", "unfinished"),
    row("5", "partial"),
    row("1", "complied_harmful", judge="other"),
    row("1", "complied_harmful", span="trace", judge="trace"),
    row("6", "refused", axis="overrefusal", benchmark="benign", pair="1", score=0.0),
    row("7", "complied_safe", axis="overrefusal", benchmark="benign"),
    row("1", "refused", arm="b", generation="h-1"),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    pl.DataFrame(ROWS, infer_schema_length=None).write_parquet(tmp_path / "observations.parquet")
    return tmp_path


def test_labels_are_the_first_judges_of_answers(run: Path) -> None:
    found = labels_of(run, "a")
    assert dict(zip(found.generations, found.labels.tolist(), strict=True)) == {"g-1": 1, "g-2": 0}
    assert found.left_out == {"incoherent": 1, "unfinished": 1, "partial": 1}
    assert found.judges == ("refusal",)
    assert found.counted == (
        "1 refused and 1 complied, in 2 clusters of prompts, by the judge `refusal`. "
        "Without a label: 1 incoherent, 1 partial, 1 unfinished."
    )


def test_a_look_alike_shares_the_cluster_of_what_it_mirrors(run: Path) -> None:
    found = labels_of(run, "a", axes=("harm", "overrefusal"))
    of = dict(zip(found.items, found.clusters.tolist(), strict=True))
    assert of["1"] == of["6"]
    assert len(set(of.values())) == 3
    assert dict(zip(found.items, found.labels.tolist(), strict=True)) == {"1": 1, "2": 0, "6": 1, "7": 0}


def test_whole_categories_can_be_clusters(run: Path) -> None:
    found = labels_of(run, "a", axes=("harm", "overrefusal"), by="category")
    of = dict(zip(found.items, found.clusters.tolist(), strict=True))
    assert of["1"] == of["6"] == of["7"] != of["2"]
    assert "2 categories" in found.counted


def test_another_judge(run: Path) -> None:
    with pytest.raises(DataError, match="refused nothing of 1"):
        labels_of(run, "a", judge="other")


def test_one_label_is_enough_where_nothing_is_told_apart(run: Path) -> None:
    with pytest.raises(DataError, match="refused everything of 1"):
        labels_of(run, "b")
    assert labels_of(run, "b", both=False).labels.tolist() == [1]


def test_what_is_not_there_is_told(run: Path) -> None:
    with pytest.raises(UnknownNameError, match="no arm `c`"):
        labels_of(run, "c")
    with pytest.raises(UnknownNameError, match="axis `reasoning`"):
        labels_of(run, "a", axes=("reasoning",))
    with pytest.raises(UnknownNameError, match="grouping by `clutser`.*cluster"):
        labels_of(run, "a", by="clutser")
    with pytest.raises(DataError, match="asked nothing on the axis `overrefusal`"):
        labels_of(run, "b", axes=("overrefusal",))
    with pytest.raises(ConfigError, match="does not say which model"):
        arm_facts(run, "a")
    (run / "manifest.json").write_text(json.dumps({"arms": {"a": {"model": "smollm2", "steering": None}}}))
    assert arm_facts(run, "a")["model"] == "smollm2"


def test_generations_come_in_the_order_asked_for(tmp_path: Path) -> None:
    some = [stored(number) for number in range(4)]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.add_generations(some)
    ids = [some[3].trial.fingerprint, some[1].trial.fingerprint]
    assert [g.trial.item for g in stored_generations(tmp_path, ids).values()] == ["3", "1"]
    with pytest.raises(DataError, match="1 of 3 generations are not in the ledger"):
        stored_generations(tmp_path, [*ids, "nowhere"])
    assert list(stored_generations(tmp_path, [*ids, "nowhere"], partial=True)) == ids
