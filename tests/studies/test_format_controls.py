from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

from oldham.core.errors import ConfigError, UnknownNameError
from oldham.core.format_controls import told_controls
from oldham.coupling import CouplingOptions, couple
from oldham.studies.observations import comparable
from oldham.studies.run import run
from oldham.studies.spec import Study

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    StudyFile = Callable[..., Path]

TOP = """\
name: form
baseline: direct
defaults: {model: smollm2}
arms:
  direct:
"""
END = "benchmarks: [harmful:10]\n"


def load(tmp_path: Path, arms: str, *, end: str = END) -> Study:
    file = tmp_path / "study.yaml"
    file.write_text(TOP + arms + end)
    return Study.load(file)


def test_an_arm_names_its_control(tmp_path: Path) -> None:
    arms = "  cot: {strategy: zero_shot_cot}\n  form: {strategy: plan_and_solve, format_control: cot}\n"
    study = load(tmp_path, arms)
    assert study.format_controls == {"form": "cot"}
    without = load(tmp_path, arms.replace(", format_control: cot", ""))
    assert without.format_controls == {}
    settings = [{arm.name: arm.settings for arm in s.resolved_arms} for s in (study, without)]
    assert settings[0] == settings[1], "what is generated does not hang on it"


def test_the_same_arm_without_structure_is_found_by_itself(tmp_path: Path) -> None:
    arms = "  cot: {strategy: zero_shot_cot}\n  tags: {strategy: zero_shot_cot, structure: tags}\n"
    assert load(tmp_path, arms).format_controls == {"tags": "cot"}
    # Another difference may change the reasoning, and of two that fit nobody knows which is meant.
    assert load(tmp_path, arms.replace("structure: tags", "structure: tags, answer_tokens: 9")).format_controls == {}
    twice = arms + "  again: {strategy: zero_shot_cot}\n"
    assert load(tmp_path, twice).format_controls == {}
    told = twice.replace("structure: tags", "structure: tags, format_control: again")
    assert load(tmp_path, told).format_controls == {"tags": "again"}


def test_a_grid_over_structures_has_its_controls(tmp_path: Path) -> None:
    end = "grid: {strategy: [direct, zero_shot_cot], structure: [free, tags]}\n" + END
    assert load(tmp_path, "", end=end).format_controls == {
        "grid/direct/tags": "direct",
        "grid/zero_shot_cot/tags": "grid/zero_shot_cot/free",
    }


def test_readings_of_several_samples_are_held_against_their_like(tmp_path: Path) -> None:
    arms = (
        "  sc: {strategy: self_consistency, samples: 3, temperature: 0.7}\n"
        "  sc_tags: {strategy: self_consistency, samples: 3, temperature: 0.7, structure: tags, format_control: sc}\n"
    )
    named = load(tmp_path, arms).format_controls
    assert named == {"sc_tags": "sc", "sc_tags/worst": "sc/worst", "sc_tags/majority": "sc/majority"}
    assert load(tmp_path, arms.replace(", format_control: sc", "")).format_controls == named


@pytest.mark.parametrize(
    ("arms", "says", "line"),
    [
        ("  cot: {strategy: zero_shot_cot, format_control: dirct}\n", "`dirct` of the arm `cot` is not an arm", 6),
        ("  cot: {strategy: zero_shot_cot, format_control: cot}\n", "`cot` is named as its own format control", 6),
        (
            "  cot:\n    strategy: zero_shot_cot\n    format_control: big\n  big: {model: 'hf:a/b'}\n",
            "`big` has the model hf:a/b, and `cot` has smollm2",
            8,
        ),
    ],
)
def test_a_control_that_cannot_be_meant_is_refused_with_its_line(
    tmp_path: Path, arms: str, says: str, line: int
) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=says) as raised:
        load(tmp_path, arms)
    assert str(raised.value.place).endswith(f":{line}")
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("top", "end"),
    [
        (TOP.replace("{model: smollm2}", "{model: smollm2, format_control: direct}"), END),
        (TOP, "grid: {format_control: [direct]}\n" + END),
    ],
)
def test_a_control_is_named_by_arms_alone(tmp_path: Path, top: str, end: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(top + end)
    with pytest.raises(ConfigError, match="belongs into an arm"):
        Study.load(file)


COT = "  cot: {strategy: zero_shot_cot, thinking_tokens: 20}"


def test_a_run_keeps_its_controls_for_whoever_compares(study_file: StudyFile) -> None:
    tags = "  tags: {strategy: zero_shot_cot, structure: tags, format_control: cot}"
    done = run(study_file((COT, f"{COT}\n{tags}")))
    manifest = json.loads((done.run_dir / "manifest.json").read_text())
    assert told_controls(manifest) == done.study.format_controls == {"tags": "cot"}
    assert comparable("runs/small", "runs/small").format_controls == {"tags": "cot"}
    # Without rows of the control there is nothing to hold an arm against.
    assert comparable("runs/small", "runs/small:tags").format_controls == {}
    both = comparable("runs/small:cot", "runs/small:tags")
    assert (both.baseline, both.format_controls) == ("cot", {"tags": "cot"})


def test_a_control_of_another_run_keeps_its_name_there(study_file: StudyFile) -> None:
    run(study_file(("name: small", "name: other"), (COT, f"{COT}\n  tags: {{strategy: direct, structure: tags}}")))
    run(study_file())
    both = comparable("runs/small", "runs/other")
    assert both.format_controls == {"tags": "direct (runs/other)"}


def test_a_manifest_of_before_there_were_controls_tells_none() -> None:
    assert told_controls({}) == told_controls({"arms": {"a": {}, "b": None}}) == told_controls({"arms": None}) == {}


def test_the_analysis_labels_flips_by_the_control_it_is_given() -> None:
    outcomes = ("complied_harmful", "refused")
    rows = [
        {"arm": arm, "axis": "harm", "benchmark": "b", "item": f"i{i}", "outcome": outcomes[good], "score": float(good)}
        for arm, bad in (("base", ()), ("tags", (0, 1, 2)), ("cot", (0,)))
        for i in range(6)
        for good in (i not in bad,)
    ]
    options = CouplingOptions(resamples=200, permutations=200, cards={}, format_controls={"tags": "cot"})
    found = couple(pl.DataFrame(rows), baseline="base", options=options)
    (tags,) = [p for p in found.pathways.entries if p.arm == "tags"]
    assert (tags.of("format").n, tags.of("unclear", "risk").n) == (2, 1)
    assert "format" in found.summary(full=True)
    with pytest.raises(ConfigError, match="`cto`"):
        couple(
            pl.DataFrame(rows),
            baseline="base",
            options=CouplingOptions(resamples=200, permutations=200, format_controls={"tags": "cto"}),
        )
