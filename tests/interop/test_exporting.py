"""Runs for other tools, with harmful texts held back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import made
import polars as pl
import pytest

from oldham.core.errors import OldhamError
from oldham.interop import ExportOptions, ImportOptions, export_run, import_runs
from oldham.interop.latex import escape

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    first = made.write(tmp_path, "model.jsonl", made.FILES["self_jailbreak_traces"][1])
    rows = [row | {"safety_eval_score": 1, "selfjb_annos": None} for row in made.trace_rows()]
    second = made.write(tmp_path, "safe_100%.jsonl", made.jsonl(rows))
    import_runs([first, second], run_dir=tmp_path / "run", options=ImportOptions(baseline="model"))
    return tmp_path / "run"


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_table_of_observations(run: Path, kind: str) -> None:
    (path,) = export_run(run, ExportOptions(kind))
    assert path == run / "export" / f"run.{kind}"
    table = pl.read_parquet(path) if kind == "parquet" else pl.read_csv(path)
    kept = pl.read_parquet(run / "observations.parquet")
    assert table.height == kept.height
    assert table["outcome"].to_list() == kept["outcome"].to_list()
    # A judge may quote what it read, so nobody's words on a harmful answer are told, nor on the trace that led to it.
    words = table.select("arm", "item", "outcome", "raw").rows()
    harmful = {(arm, item) for arm, item, outcome, _ in words if outcome == "complied_harmful"}
    assert {outcome for arm, item, outcome, _ in words if (arm, item) in harmful} == {
        "complied_harmful",
        "complied_safe",
    }
    for arm, item, outcome, raw in words:
        assert (raw is None) == ((arm, item) in harmful or outcome == "unjudged")


def test_texts_are_withheld_unless_they_are_asked_for(run: Path, tmp_path: Path) -> None:
    (path,) = export_run(run, ExportOptions("jsonl"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    model = [row for row in rows if row["arm"] == "model"]
    shown = [row["answer"].startswith("Reply") for row in model]
    assert shown == [False, True, False, False, True, False]  # only what a judge called refused
    assert not any(row["trace"].startswith("Thinking") for row in model)
    # The trace of item 3 has a verdict that finds no self-jailbreak in it; it led to a harmful answer all the same.
    assert [v["outcome"] for v in model[3]["verdicts"]] == ["complied_harmful", "complied_safe"]
    (path,) = export_run(run, ExportOptions("jsonl", out=tmp_path / "texts.jsonl", reveal=True))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {(row["trace"], row["answer"]) for row in rows} >= {("Thinking about 0.\n", "Reply 0.")}
    assert not any(row["withheld"] for row in rows)
    assert {row["call_tokens"] for row in rows} == {None}  # nobody told of earlier calls


def test_arms_that_share_their_generations_are_all_there(tmp_path: Path) -> None:
    from oldham.studies.run import run as run_study

    study = """\
name: small
baseline: direct
defaults: {model: "scripted:mixed"}
arms: {direct: , again: }
benchmarks: [arithmetic:2]
"""
    run_study(str(made.write(tmp_path, "study.yaml", study)), run_dir=tmp_path / "own")
    (path,) = export_run(tmp_path / "own", ExportOptions("jsonl"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["arm"], len(row["verdicts"])) for row in rows] == [("direct", 1)] * 2 + [("again", 1)] * 2
    assert len({row["generation"] for row in rows}) == 2


def test_a_table_for_a_paper(run: Path) -> None:
    (path,) = export_run(run, ExportOptions("latex"))
    text = path.read_text()
    assert r"safe\_100\% & 100.0 & $+" in text
    assert r"harm & model & 40.0 & --" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in rows} == {8}
    assert text.count(r"\begin") == text.count(r"\end")


def test_a_table_of_a_stopped_run_has_its_intervals(run: Path) -> None:
    (path,) = export_run(run, ExportOptions("latex"))
    whole = path.read_text()
    manifest = json.loads((run / "manifest.json").read_text())
    rows = pl.read_parquet(run / "observations.parquet")
    planned = {
        name: {"axis": axis, "items": 1000, "clusters": 1000, "largest": 1}
        for name, axis in rows.select("benchmark", "axis").unique().iter_rows()
    }
    told = {"gate": {}, "rule": {}, "planned": planned, "claims": [], "stopped": []}
    (run / "manifest.json").write_text(json.dumps({**manifest, "sequential": told}))
    (path,) = export_run(run, ExportOptions("latex"))
    changed = [(a, b) for a, b in zip(whole.splitlines(), path.read_text().splitlines(), strict=True) if a != b]
    assert changed

    def width(line: str) -> float:
        low, high = re.findall(r"[+-]?\d+\.\d", line.split(" & ")[4])
        return float(high) - float(low)

    assert all(width(b) > width(a) for a, b in changed)


@pytest.mark.parametrize("text", ["a_b", "50%", "$x^2$", "{#1 & ~2}", "\\input{x}", "a\nb"])
def test_latex_prints_a_name_as_it_is(text: str) -> None:
    escaped = escape(text)
    assert "\n" not in escaped
    bare = re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]", "", escaped)
    assert not set(bare) & set("\\&%$#_{}~^")


@pytest.mark.parametrize("kind", ["jsonl", "latex", "csv"])
def test_the_same_run_is_exported_alike(run: Path, kind: str) -> None:
    (path,) = export_run(run, ExportOptions(kind))
    before = path.read_bytes()
    export_run(run, ExportOptions(kind))
    assert path.read_bytes() == before


def test_what_cannot_be_exported(run: Path, tmp_path: Path) -> None:
    with pytest.raises(OldhamError, match="There is no export to `parket`") as raised:
        export_run(run, ExportOptions("parket"))
    assert "Did you mean `parquet`?" in str(raised.value)
    with pytest.raises(OldhamError, match="There is no run directory here"):
        export_run(tmp_path / "nowhere", ExportOptions("csv"))
    with pytest.raises(OldhamError, match="cannot be written"):
        export_run(run, ExportOptions("csv", out=run / "manifest.json" / "a.csv"))
