from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from trained_folders import RUN, arm_of, enter_place, make_grid, make_run, refused, study, trained

from oldham.core.errors import ConfigError, DataError, UnknownNameError
from oldham.studies.manifest import describe
from oldham.studies.plan import plan
from oldham.studies.spec import Study
from oldham.training.naming import dose_model

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter_place(tmp_path, monkeypatch)


def test_an_arm_for_each_kept_dose(folder: Path) -> None:
    make_run("runs/sft/cot", steps=(60, 7, 30))
    made = study()
    assert [arm.name for arm in made.resolved_arms] == ["direct", "sft/7", "sft/30", "sft/60"]
    assert trained(made) == [("sft/7", "sft", 7.0), ("sft/30", "sft", 30.0), ("sft/60", "sft", 60.0)]
    assert arm_of(made, "sft/7").model == "path:model+runs/sft/cot/doses/step-000007"
    again = plan(study())
    assert plan(made).arm_fingerprints == again.arm_fingerprints
    assert len(set(again.arm_fingerprints.values())) == 4
    assert {planned.arm.name for planned in again.trials} == {"direct", "sft/7", "sft/30", "sft/60"}


def test_an_arm_keeps_its_other_settings(folder: Path) -> None:
    make_run("runs/sft/cot")
    said = "{train: runs/sft/cot, intervention: tuning, strategy: zero_shot_cot, thinking_tokens: 9, temperature: 0.5}"
    arm = arm_of(study((RUN, said)), "sft/60")
    assert (arm.intervention, arm.prompt.strategy, arm.prompt.thinking_tokens) == ("tuning", "zero_shot_cot", 9)
    assert (arm.sampling.temperature, arm.prompt.answer_tokens) == (0.5, 10)


def test_a_dose_is_what_its_weights_are(folder: Path) -> None:
    """Weights written anew are another arm; the same ones moved to another folder are the same."""
    run = make_run("runs/sft/cot")
    first = plan(study()).arm_fingerprints["sft/30"]
    run.rename("moved")
    assert plan(study((RUN, "{train: moved}"))).arm_fingerprints["sft/30"] == first
    Path("moved/doses/step-000030/adapter_model.safetensors").write_bytes(b"other weights")
    assert plan(study((RUN, "{train: moved}"))).arm_fingerprints["sft/30"] != first


def test_whole_models_are_named_as_folders(folder: Path) -> None:
    make_run("runs/sft/cot", whole=True)
    made = study()
    assert arm_of(made, "sft/30").model == "path:runs/sft/cot/doses/step-000030"
    assert plan(made)


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("path:model", "path:model"),
        ("path:model+first", "path:model"),
        ("hf:org/name", "hf:org/name"),
        ("smollm2", "smollm2"),
        ("smollm2-aligned", "smollm2"),
        ("smollm2-aligned+first", "smollm2-aligned"),
    ],
)
def test_an_adapter_that_was_trained_further_takes_the_first_one_s_place(tmp_path: Path, model: str, base: str) -> None:
    assert dose_model(model, tmp_path) == f"{base}+{tmp_path}"


def test_a_path_leads_from_the_study_file_or_is_taken_as_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run("studies/runs/sft/cot", steps=[1])
    beside = study(path="studies/study.yaml")
    assert arm_of(beside, "sft/1").model == "path:model+studies/runs/sft/cot/doses/step-000001"
    make_run("runs/sft/cot", steps=[2])
    assert arm_of(study(), "sft/2").model == "path:model+runs/sft/cot/doses/step-000002"


def test_a_run_that_is_not_there(folder: Path) -> None:
    assert "A run is made with: oldham train." in str(refused())
    make_run("runs/sft/cat")
    make_run("runs/sft/grid/seed=0")
    error = refused()
    assert error.message == "`runs/sft/cot` is no folder of a training run."
    assert error.remedy == "Did you mean `cat`? Valid: cat, grid."


def test_an_unfinished_run_gives_what_is_named(folder: Path) -> None:
    make_run("runs/sft/cot", finished=False)
    error = refused()
    assert error.message == "The training run `runs/sft/cot` is not finished; its steps are: 30, 60."
    assert "`steps: [30, 60]`" in str(error.remedy)
    assert [arm[0] for arm in trained(study((RUN, "{train: runs/sft/cot, steps: [60, 30, 60]}")))] == [
        "sft/30",
        "sft/60",
    ]
    missing = refused((RUN, "{train: runs/sft/cot, steps: [30, 90]}"))
    assert missing.message == "`runs/sft/cot` has not kept step 90; its steps are: 30, 60."


def test_a_dose_that_is_half_there_is_none(folder: Path) -> None:
    run = make_run("runs/sft/cot")
    (run / "doses/step-000030/adapter_model.safetensors").unlink()
    assert "The weights of step 30 of `runs/sft/cot` are gone; its steps are: 60." in str(refused())
    assert [arm[0] for arm in trained(study((RUN, "{train: runs/sft/cot, steps: [60]}")))] == ["sft/60"]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("dose: seeds", "does not vary `seeds`. It varies `seed`, `order`."),
        ("dose: seed", "`seed` is no dose: a seed has no more and less."),
        ("dose: order", "`order` is no dose: `mixed` is no number."),
        ("dose: 30", "stands for several doses, and `dose: 30` is one."),
    ],
)
def test_a_dose_that_cannot_be_meant(folder: Path, said: str, says: str) -> None:
    make_run("runs/sft/cot/seed=0,order=mixed")
    assert says in str(refused((RUN, f"{{train: runs/sft/cot, {said}}}")))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("dose: [1]", "`dose` is a number, or with `train` the name of a setting, and not [1]."),
        ("steps: []", "at least 1 item"),
        ("steps: [soon]", "valid integer"),
        ("train: [x]", "valid string"),
    ],
)
def test_a_value_of_the_wrong_kind(folder: Path, said: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        study((RUN, f"{{{said}}}"))
    assert says in str(caught.value)
    assert caught.value.place == "study.yaml:6"


def test_the_model_is_the_one_that_was_trained(folder: Path) -> None:
    make_run("runs/sft/cot")
    other = ("path:model", "path:other")
    error = refused(other, line=3)
    assert "`runs/sft/cot` trained `path:model`, and the arm `sft` has the model `path:other`." in str(error)
    assert refused((RUN, '{train: runs/sft/cot, model: "path:other"}'))
    named = study(other, (RUN, '{train: runs/sft/cot, model: "path:model"}'))
    assert arm_of(named, "sft/30").model.startswith("path:model+")
    nowhere = study(('model: "path:model", ', ""), ("direct:\n", 'direct: {model: "path:model"}\n'))
    assert arm_of(nowhere, "sft/30").model.startswith("path:model+")


@pytest.mark.parametrize(
    ("old", "new", "says", "line"),
    [
        ("defaults: {", "defaults: {train: runs/sft/cot, ", "`train` belongs into an arm", 3),
        ("defaults: {", "defaults: {steps: [30], ", "`steps` belongs into an arm", 3),
        (RUN, "{steps: [30]}", "names `steps`, and no training run", 6),
        (RUN, "{dose: mix.ratio, intervention: x}", "`mix.ratio`, which is no number", 6),
        ("benchmarks:", "grid:\n  train: [runs/sft/cot]\nbenchmarks:", "cannot be a level of a grid", 8),
        ("benchmarks:", "grid:\n  steps: [[30]]\nbenchmarks:", "cannot be a level of a grid", 8),
        ("benchmarks:", "grid:\n  dose: [mix.ratio]\nbenchmarks:", "cannot be a level of a grid", 8),
    ],
)
def test_training_runs_are_for_arms(folder: Path, old: str, new: str, says: str, line: int) -> None:
    make_run("runs/sft/cot")
    assert says in str(refused((old, new), line=line))


def test_a_grid_beside_trained_arms_is_not_trained(folder: Path) -> None:
    make_run("runs/sft/cot")
    made = study(("benchmarks:", "grid:\n  strategy: [direct, zero_shot_cot]\nbenchmarks:"))
    cells = {arm.name: (arm.model, arm.trained) for arm in made.resolved_arms if arm.factors is not None}
    assert cells == {"direct": ("path:model", None), "grid/zero_shot_cot": ("path:model", None)}


def test_the_baseline_is_an_arm_and_not_a_run(folder: Path) -> None:
    make_run("runs/sft/cot")
    with pytest.raises(UnknownNameError, match="The baseline `sft` is not an arm"):
        study(("baseline: direct", "baseline: sft"))
    assert study(("baseline: direct", "baseline: sft/30")).baseline == "sft/30"


def test_attacks_and_votes_meet_every_dose(folder: Path) -> None:
    make_run("runs/sft/cot")
    voting = "{train: runs/sft/cot, strategy: self_consistency, samples: 3, temperature: 0.7}"
    made = plan(study((RUN, voting), ("benchmarks:", "attacks: [none, persona]\nbenchmarks:")))
    names = {planned.arm.name for planned in made.trials if planned.trial.attack != "none"}
    doses = {f"sft/{step}{vote}" for step in (30, 60) for vote in ("", "/worst", "/majority")}
    assert names == {"direct", *doses}
    assert describe(made)["training"]["sft"]["runs"][0]["steps"] == [30, 60]


def test_the_manifest_says_what_was_trained(folder: Path) -> None:
    make_grid()
    make_run("runs/sft/text", control="text", citation="somebody 2025")
    made = describe(
        plan(study((RUN, f"{{train: runs/sft/cot, dose: mix.ratio}}\n  text: {RUN.replace('cot', 'text')}")))
    )
    told = made["training"]
    assert list(told) == ["sft[seed=0]", "sft[seed=1]", "text"]
    first = told["sft[seed=1]"]
    assert (first["method"], first["control"], first["seeds"]) == ("sft", None, [1])
    assert [run["run"] for run in first["runs"]] == [f"runs/sft/cot/seed=1,mix.ratio={r}" for r in ("0", "0.05", "0.1")]
    assert len({run["fingerprint"] for run in first["runs"]}) == 3
    assert (told["text"]["control"], told["text"]["citation"]) == ("text", "somebody 2025")
    assert told["text"]["runs"][0]["steps"] == [30, 60]
    assert made["arms"]["text/30"]["training"]["step"] == 30
    assert made["arms"]["direct"]["training"] is None
    assert json.loads(json.dumps(told)) == told


def test_other_data_is_another_run(folder: Path) -> None:
    run = make_run("runs/sft/cot", finished=False)
    said = (RUN, "{train: runs/sft/cot, steps: [30]}")
    first = describe(plan(study(said)))["training"]["sft"]["runs"][0]["fingerprint"]
    (run / "data.jsonl").write_text('{"prompt": "x"}\n')
    assert describe(plan(study(said)))["training"]["sft"]["runs"][0]["fingerprint"] != first


def test_a_study_without_training_says_nothing_of_it(folder: Path) -> None:
    assert "training" not in describe(plan(study((RUN, "{strategy: zero_shot_cot}"))))


def test_no_intervention_is_a_control_in_part(folder: Path) -> None:
    make_run("runs/sft/cot")
    make_run("runs/sft/text", control="text")
    text = f"{RUN}\n  text: {{train: runs/sft/text, intervention: sft}}"
    assert "are doses of one intervention, `sft`, and one is a control" in str(refused((RUN, text), line=7))


@pytest.mark.parametrize("content", ["{", "[]", '{"settings": {}}'])
def test_a_record_that_cannot_be_read(folder: Path, content: str) -> None:
    run = make_run("runs/sft/cot")
    (run / "settings.json").write_text(content)
    with pytest.raises(DataError, match="training run"):
        study()


def test_a_copy_in_a_run_directory_needs_no_training_run(folder: Path) -> None:
    """Rows are read with the arms that were written down, whatever became of the training since."""
    make_run("runs/sft/cot")
    voting = "{train: runs/sft/cot, strategy: self_consistency, samples: 3, temperature: 0.7}"
    made = study((RUN, voting))
    run = Path("runs/trained")
    run.mkdir()
    (run / "study.yaml").write_text(made.to_yaml())
    (run / "manifest.json").write_text(json.dumps(describe(plan(made))))
    shutil.rmtree("runs/sft")
    again = Study.load(run / "study.yaml")
    assert [arm._replace(path=()) for arm in again.resolved_arms] == [a._replace(path=()) for a in made.resolved_arms]
    (run / "study.yaml").write_text(made.to_yaml() + "# changed\n")
    with pytest.raises(ConfigError, match="no folder of a training run"):
        Study.load(run / "study.yaml")


def test_a_study_made_in_python_takes_runs_too(folder: Path) -> None:
    make_run("runs/sft/cot")
    made = Study(
        name="trained",
        baseline="direct",
        arms={"direct": {"model": "path:model"}, "sft": {"train": "runs/sft/cot"}},
        benchmarks=("arithmetic:2",),
    )
    assert [arm[0] for arm in trained(made)] == ["sft/30", "sft/60"]
    Path("copy.yaml").write_text(made.to_yaml())
    assert Study.load("copy.yaml").resolved_arms == made.resolved_arms


@pytest.mark.model
def test_from_training_to_the_observations_of_its_doses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Path]
) -> None:
    from oldham.studies.run import run
    from oldham.training.methods import SFTSettings
    from oldham.training.run import run_training

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OLDHAM_CACHE", str(tmp_path / "cache"))
    model = f"path:{tiny_model()}"
    rows = [{"prompt": f"Question {n}?", "completion": f"It is {n}."} for n in range(8)]
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {"name": "cot", "model": model, "data": [{"file": "data.jsonl", "n": 8}], "steps": 4, "doses": [2]}
    small = {"batch_size": 2, "max_length": 96, "learning_rate": 1e-2, "lora": {"r": 2, "alpha": 4}, "control": "text"}
    run_training(SFTSettings.model_validate({**told, **small}), Path("runs/sft/cot"))
    made = study(("path:model", model), ("arithmetic:6, harmful:5", "arithmetic:2, harmful:2"))
    first = run(made, preflight=False)
    table = first.observations
    doses = table.select("arm", "intervention", "dose").unique().sort("arm").rows()
    assert doses == [("direct", None, None), ("sft/2", "sft", 2.0), ("sft/4", "sft", 4.0)]
    manifest = json.loads(Path("runs/trained/manifest.json").read_text())
    assert manifest["training"]["sft"]["control"] == "text"
    assert manifest["training"]["sft"]["runs"][0]["steps"] == [2, 4]
    answers = {arm: manifest["arms"][arm]["fingerprint"] for arm in ("direct", "sft/2", "sft/4")}
    assert len(set(answers.values())) == 3
    again = run(study(("path:model", model), ("arithmetic:6, harmful:5", "arithmetic:2, harmful:2")), preflight=False)
    assert again.n_generated == 0
