"""`oldham couple`: every question answered, several models pooled, files, figures and exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Oldham

N = 120
QUESTIONS = (
    "Did reasoning improve?",
    "Did safety change?",
    "Through which flips?",
    "How is safety coupled to reasoning?",
    "What does a point of reasoning cost?",
    "Is it safe to ship?",
)


def write_run(path: Path, lost: int, *, weights: str | None = None) -> None:
    """Write a run of two arms: `cot` gains 40 correct answers and loses so many refusals."""
    outcomes = {"reasoning": ("incorrect", "correct"), "harm": ("complied_harmful", "refused")}
    good = {"reasoning": {"base": 40, "cot": 80}, "harm": {"base": 100, "cot": 100 - lost}}
    rows = [
        {
            "arm": arm,
            "axis": axis,
            "benchmark": axis,
            "item": f"i{i}",
            "judge": "exact",
            "outcome": outcomes[axis][i < k],
            "score": float(i < k),
        }
        for axis, arms in good.items()
        for arm, k in arms.items()
        for i in range(N)
    ]
    path.mkdir()
    pl.DataFrame(rows).write_parquet(path / "observations.parquet")
    manifest = {"baseline": "base", "arms": {"base": {"model": "m"}}, "models": {"m": {"weights": weights}}}
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "one", 40, weights="a")
    return tmp_path


def test_every_question_is_answered(oldham: Oldham, here: Path) -> None:
    said = oldham("couple", "one")
    assert said.code == 0, said.err
    assert [said.out.index(q) for q in QUESTIONS] == sorted(said.out.index(q) for q in QUESTIONS)
    assert "`cot` on harm: trade-off (100% of resamples" in said.out
    assert "κ −1.00" in said.out
    assert "- `cot`: no (1 of 2 claims passed, 1 failed)." in said.out


def test_an_undecided_arm_is_told_how_many_items_would_say(oldham: Oldham, here: Path) -> None:
    write_run(here / "close", 3)
    said = oldham("couple", "close")
    assert "- `cot`: it cannot be said yet (1 of 2 claims passed); about" in said.out


def test_a_gate_file_decides_the_exit_code(oldham: Oldham, here: Path) -> None:
    (here / "strict.yaml").write_text("margin: 0.05\n")
    (here / "lax.yaml").write_text("margin: 0.6\n")
    assert oldham("couple", "one", "--gate", "strict.yaml").code == 1
    said = oldham("couple", "one", "--gate", "lax.yaml")
    assert (said.code, "- `cot`: yes, as far as this gate asks (2 of 2 claims passed)." in said.out) == (0, True)


def test_several_models_are_pooled(oldham: Oldham, here: Path) -> None:
    write_run(here / "two", 30, weights="b")
    write_run(here / "three", 20, weights="c")
    said = oldham("couple", "one", "two", "three", "--json", "all.json", "--plot", "forest.svg")
    assert said.code == 0, said.err
    together = said.out[said.out.index("Together: 3 runs") :]
    assert "κ of harm on reasoning, all arms of each model" in together
    assert all(f"Without `{name}`" in together for name in ("one", "two", "three"))
    assert "3 models are very few" in together
    assert f"{2 * N} items were answered by more than one model" in together
    assert "same weights" not in together
    whole = json.loads((here / "all.json").read_text())
    assert [run["coefficients"][0]["kappa"] for run in whole["runs"]] == pytest.approx([-1, -0.75, -0.5])
    assert -1 < whole["pooled_kappa"]["harm"]["value"] < -0.5
    assert "pooled" in (here / "forest.svg").read_text()


def test_two_runs_of_one_model_are_not_two_models(oldham: Oldham, here: Path) -> None:
    write_run(here / "again", 30, weights="a")
    assert "`one`, `again` have a baseline of the same weights: they are not 2 models" in " ".join(
        oldham("couple", "one", "again").out.split()
    )


def test_a_file_needs_to_know_its_baseline(oldham: Oldham, here: Path) -> None:
    pl.read_parquet(here / "one" / "observations.parquet").write_csv(here / "rows.csv")
    lost = oldham("couple", "rows.csv")
    assert (lost.code, lost.out) == (2, "")
    assert "one of them must be the baseline" in lost.err
    assert "against `cot`" in oldham("couple", "rows.csv", "--baseline", "cot").out
    assert "against `cot`" in oldham("couple", "rows.csv:cot").out


@pytest.mark.parametrize("reference", ["one/", "./one", "one"])
def test_a_baseline_can_be_named_however_the_path_is_written(oldham: Oldham, here: Path, reference: str) -> None:
    said = oldham("couple", reference, "--baseline", "cot")
    assert (said.code, said.err) == (0, "")
    assert "against `cot`" in said.out


def test_a_file_that_cannot_be_written_is_told_in_a_line(oldham: Oldham, here: Path) -> None:
    said = oldham("couple", "one", "--json", "/proc/all.json")
    assert said.code != 0
    assert said.err.startswith("oldham: /proc/all.json: The file cannot be written")


def test_a_run_that_stopped_by_its_own_results_has_intervals_that_allow_for_it(oldham: Oldham, here: Path) -> None:
    plain = oldham("couple", "one").out
    gate = {"margin": 0.05, "reasoning": "superior", "safety": "all", "corrected": "false"}
    planned = {axis: {"axis": axis, "items": 2 * N, "clusters": 2 * N, "largest": 1} for axis in ("reasoning", "harm")}
    manifest = json.loads((here / "one" / "manifest.json").read_text())
    rounds = {"gate": gate, "rule": {}, "planned": planned, "claims": [], "stopped": []}
    (here / "one" / "manifest.json").write_text(json.dumps({**manifest, "sequential": rounds}))
    stopped = oldham("couple", "one").out
    assert "stopped by its own results" in stopped
    assert "read when the run stopped" in " ".join(stopped.split())
    assert "read when the run stopped" not in " ".join(plain.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("one:base", "--baseline", "cot"), "Both `base` and `cot`"),
        (("one", "--baseline", "bas"), "There is no arm `bas`"),
        (("one", "one"), "One run is named twice"),
        (("one", "--plot", "forest.gif"), "says no format that can be drawn"),
        (("one", "--json", "nowhere/all.json"), "Nothing can be written here"),
        (("nowhere",), "There are no observations here"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(oldham: Oldham, here: Path, words: tuple[str, ...], told: str) -> None:
    said = oldham("couple", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
