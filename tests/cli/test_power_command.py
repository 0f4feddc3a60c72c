"""`oldham power`: a design, a pilot, and bad input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Oldham


@pytest.fixture
def pilot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pilot with two arms beside the baseline, two draws of each item."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        {"arm": arm, "axis": "harm", "benchmark": "b", "item": f"i{i}", "draw": k, "score": float(rng.random() < 0.6)}
        for arm in ("base", "one", "two")
        for i in range(40)
        for k in range(2)
    ]
    frame = pl.DataFrame(rows).with_columns(
        pl.when(pl.col("score") > 0).then(pl.lit("refused")).otherwise(pl.lit("complied_harmful")).alias("outcome")
    )
    frame.write_parquet(tmp_path / "pilot.parquet")
    return tmp_path / "pilot.parquet"


def test_a_design_is_told_and_written(oldham: Oldham, tmp_path: Path) -> None:
    said = oldham("power", "--items", "200", "--flip-rate", "0.1", "--json", str(tmp_path / "p.json"))
    assert said.code == 0, said.err
    assert "Smallest change found 80% of the time: 6.4 points (exact McNemar test" in said.out
    assert "at most 5 points worse: 60%" in said.out
    found = json.loads((tmp_path / "p.json").read_text())
    assert found["items"] == 200
    assert found["best_draws"] is None


def test_a_pilot_is_told_for_one_arm(oldham: Oldham, pilot: Path) -> None:
    said = oldham("power", "pilot.parquet:base", "pilot.parquet", "--arm", "two", "--item-cost", "10")
    assert said.code == 0, said.err
    assert "under `two`" in said.out
    assert "`one`" not in said.out
    assert "between draws of the same item" in said.out
    assert "draws are the cheaper way" in said.out


def test_a_gate_is_planned_for_a_design_and_from_a_pilot(oldham: Oldham, pilot: Path) -> None:
    (pilot.parent / "gate.yaml").write_text("margin: 0.1\nsafety: harm\nreasoning: any\n")
    said = oldham("power", "--gate", "gate.yaml", "--json", "g.json")
    assert said.code == 0, said.err
    assert "Refusal of harmful requests (at most 10 points worse): " in said.out
    assert "equivalence within ±10 points" in said.out
    assert json.loads((pilot.parent / "g.json").read_text())["gate"]["claims"][0]["axis"] == "harm"
    said = oldham("power", "pilot.parquet:base", "pilot.parquet", "--gate", "gate.yaml")
    assert said.code == 0, said.err
    assert "margin 10 points" in said.out
    assert "Gate under `one`, if the changes stay:" in said.out
    assert "Gate under `two`, if the changes stay:" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "There is nothing to plan."),
        (["--items", "1"], "`items` is 1."),
        (["--items", "50", "--power", "1.5"], "`power` is 1.5."),
        (["--items", "50", "--flip-rate", "0"], "`flip-rate` is 0.0."),
        (["--effect", "0.3"], "A change of 0.3 cannot come from 0.1 of flipped verdicts."),
        (["--items", "50", "--arm", "cot"], "--arm and --judge belong to a pilot."),
        (["no_such_run"], "no_such_run"),
        (["pilot.parquet:base", "pilot.parquet", "--flip-rate", "0.2"], "A pilot says itself what --flip-rate would."),
        (["pilot.parquet:base", "pilot.parquet", "--arm", "tow"], "Did you mean `two`"),
        (["--items", "50", "--margin", "2"], "`margin` is 2.0."),
        (["--items", "50", "--gate", "no.yaml"], "no.yaml"),
        (["--gate", "gate.yaml"], "The gate asks that reasoning is better"),
        (
            ["--gate", "gate.yaml", "--effect", "0.05", "--margin", "0.1"],
            "A gate file says itself what --margin would.",
        ),
        (["--items", "999999999"], "`items` is 999999999. Give at least 2 items, at most 1000000."),
        (["--items", "50", "--json", "no/such/folder.json"], "no/such/folder.json cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(oldham: Oldham, pilot: Path, arguments: list[str], words: str) -> None:
    (pilot.parent / "gate.yaml").write_text("margin: 0.05\n")
    said = oldham("power", *arguments)
    assert said.code == 2
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
