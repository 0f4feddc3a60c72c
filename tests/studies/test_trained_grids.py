"""Arms with `train` that name the grid of a training file."""

from __future__ import annotations

from pathlib import Path

import pytest
from trained_folders import RUN, arm_of, enter_place, make_grid, make_run, refused, study, trained
from typer.testing import CliRunner

from oldham.cli import app
from oldham.core.errors import ConfigError, DataError
from oldham.studies.manifest import describe
from oldham.studies.plan import plan
from oldham.studies.trained_runs import missing_runs, record_grid


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter_place(tmp_path, monkeypatch)


def test_each_run_of_a_grid_is_an_intervention(folder: Path) -> None:
    make_grid()
    made = study((RUN, "{train: runs/sft/cot, steps: [60]}"))
    assert trained(made) == [
        (f"sft[seed={s},mix.ratio={r}]/60", f"sft[seed={s},mix.ratio={r}]", 60.0)
        for s in (0, 1)
        for r in ("0", "0.05", "0.1")
    ]


def test_a_varied_setting_as_the_dose(folder: Path) -> None:
    make_grid()
    made = study((RUN, "{train: runs/sft/cot, dose: mix.ratio}"))
    assert trained(made) == [
        (f"sft[seed={s}]/{r}", f"sft[seed={s}]", float(r)) for s in (0, 1) for r in ("0", "0.05", "0.1")
    ]
    model = "path:model+runs/sft/cot/seed=1,mix.ratio=0.05/doses/step-000060"
    assert arm_of(made, "sft[seed=1]/0.05").model == model
    early = study((RUN, "{train: runs/sft/cot, dose: mix.ratio, steps: [30]}"))
    assert arm_of(early, "sft[seed=1]/0.05").model == model.replace("60", "30")
    assert plan(made)


def test_numbers_of_a_grid_stand_by_size(folder: Path) -> None:
    for rate in ("1e-05", "0.1", "0.002", "none"):
        make_run(f"runs/sft/cot/learning_rate={rate}", steps=[1])
    assert [name for name, _, _ in trained(study())] == [
        f"sft[learning_rate={rate}]/1" for rate in ("1e-05", "0.002", "0.1", "none")
    ]


def test_an_unfinished_run_of_a_grid(folder: Path) -> None:
    make_run("runs/sft/cot/seed=0")
    make_run("runs/sft/cot/seed=1", steps=[], finished=False)
    assert "`runs/sft/cot/seed=1` is not finished; its steps are: none." in str(refused())


def test_several_steps_cannot_be_one_dose(folder: Path) -> None:
    make_grid()
    said = "{train: runs/sft/cot, dose: mix.ratio, steps: [30, 60]}"
    assert "one step of each run is taken, and `steps` names several" in str(refused((RUN, said)))


def test_a_grid_over_a_name_and_a_number_has_an_intervention_a_name(folder: Path) -> None:
    for source in ("harmful_refusals", "benign"):
        for ratio in ("0", "0.05", "0.1", "0.2"):
            make_run(f"runs/sft/cot/mix.source={source},mix.ratio={ratio}", mix={"source": source, "ratio": ratio})
    made = study((RUN, "{train: runs/sft/cot, dose: mix.ratio}"))
    assert trained(made) == [
        (f"sft[mix.source={s}]/{r}", f"sft[mix.source={s}]", float(r))
        for s in ("benign", "harmful_refusals")
        for r in ("0", "0.05", "0.1", "0.2")
    ]
    assert arm_of(made, "sft[mix.source=benign]/0.2").model.endswith(
        "mix.source=benign,mix.ratio=0.2/doses/step-000060"
    )
    told = describe(plan(made))["training"]
    assert [len(told[name]["runs"]) for name in told] == [4, 4]
    assert "does not vary `mix`" in str(refused((RUN, "{train: runs/sft/cot, dose: mix}")))
    assert "`benign` is no number" in str(refused((RUN, "{train: runs/sft/cot, dose: mix.source}")))


def test_a_run_of_a_grid_that_never_began_is_missed(folder: Path) -> None:
    grid = Path("runs/sft/cot")
    record_grid(grid, [f"seed={seed}" for seed in range(6)])
    assert "6 runs never began: `seed=0`, `seed=1`, `seed=2` and 3 more." in str(refused())
    for seed in (0, 1, 2, 4, 5):
        make_run(f"runs/sft/cot/seed={seed}", seed=seed)
    error = refused()
    assert error.message == "Of the grid in `runs/sft/cot` 1 run never began: `seed=3`."
    assert "grid.json" in str(error.remedy)
    assert refused((RUN, "{train: runs/sft/cot, steps: [60]}"))
    make_run("runs/sft/cot/seed=3", seed=3)
    assert len(trained(study())) == 12


def test_a_grid_trained_in_two_commands_is_one(folder: Path) -> None:
    grid = Path("runs/sft/cot")
    record_grid(grid, ["seed=0", "seed=1"])
    record_grid(grid, ["seed=1", "seed=2"])
    first = (grid / "grid.json").stat().st_mtime_ns
    record_grid(grid, ["seed=2"])
    assert (grid / "grid.json").stat().st_mtime_ns == first
    assert missing_runs(grid) == ["seed=0", "seed=1", "seed=2"]


def test_the_command_leaves_its_grid_on_disk_before_the_first_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise ConfigError("Stopped before the first step.")

    monkeypatch.setattr("oldham.cli.train._train_one", stop)
    Path("cot.yaml").write_text("name: cot\nmodel: path:model\ndata: [{source: premises, n: 4}]\nsteps: 2\n")
    assert CliRunner().invoke(app, ["train", "sft", "cot.yaml"]).exit_code != 0
    assert not Path("runs").exists()
    assert CliRunner().invoke(app, ["train", "sft", "cot.yaml", "--set", "vary={seed: [0, 1]}"]).exit_code != 0
    assert missing_runs(Path("runs/sft/cot")) == ["seed=0", "seed=1"]
    CliRunner().invoke(app, ["train", "sft", "cot.yaml", "--set", "vary={seed: [2]}", "--out", "elsewhere"])
    assert missing_runs(Path("elsewhere")) == ["seed=2"]


@pytest.mark.parametrize("content", ["{", "[]", '{"runs": "seed=0"}', '{"runs": [0]}'])
def test_a_record_of_a_grid_that_cannot_be_read(folder: Path, content: str) -> None:
    make_run("runs/sft/cot/seed=0")
    Path("runs/sft/cot/grid.json").write_text(content)
    with pytest.raises(DataError, match=r"grid\.json"):
        study()


def test_a_record_that_cannot_be_written_is_told(folder: Path) -> None:
    Path("runs").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        record_grid(Path("runs/sft/cot"), ["seed=0"])


def test_a_run_that_holds_a_grid_is_neither(folder: Path) -> None:
    make_run("runs/sft/cot")
    make_run("runs/sft/cot/seed=0")
    assert "is a training run, and holds the runs of a grid" in str(refused())
    assert len(trained(study((RUN, "{train: runs/sft/cot/seed=0}")))) == 2


def test_runs_of_unlike_length_are_not_doses_of_their_setting(folder: Path) -> None:
    said = "{train: runs/sft/cot, dose: mix.ratio}"
    make_run("runs/sft/cot/mix.ratio=0", steps=(30, 45), stopped="The loss is not finite.")
    make_run("runs/sft/cot/mix.ratio=0.1", steps=(30, 60))
    error = refused((RUN, said))
    assert "`runs/sft/cot/mix.ratio=0` stopped before its last step" in error.message
    assert "they are of 45 and 60 steps" in error.message
    assert error.remedy == "Compare them at a step that all have: `steps: [30]`."
    at_30 = study((RUN, said.replace("}", ", steps: [30]}")))
    assert [name for name, _, _ in trained(at_30)] == ["sft/0", "sft/0.1"]


def test_runs_that_were_told_to_be_of_unlike_length_are_doses(folder: Path) -> None:
    for steps in (60, 120):
        make_run(f"runs/sft/cot/steps={steps}", steps=(30, steps))
    assert trained(study((RUN, "{train: runs/sft/cot, dose: steps}"))) == [
        ("sft/60", "sft", 60.0),
        ("sft/120", "sft", 120.0),
    ]
