from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from oldham.core.errors import ConfigError, DataError, MissingDependencyError
from oldham.training import run
from oldham.training.examples import build_examples
from oldham.training.methods import METHODS, SFTSettings, TrainingSettings
from oldham.training.recipes import load_runs
from oldham.training.run import dose_dir, run_training
from small_training import goes_on_after_a_kill, kept, tensors
from small_training import tiny_settings as settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SFT_ALONE = set(SFTSettings.model_fields) - set(TrainingSettings.model_fields)


def test_doses_must_lie_inside_the_run() -> None:
    with pytest.raises(ValidationError, match="dose 7 lies outside the 6 steps"):
        settings(doses=[7])


def test_a_part_has_one_origin(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="either `source` or `file`"):
        settings(data=[{"n": 2}])
    with pytest.raises(ValidationError, match="either `source` or `file`"):
        settings(data=[{"source": "premises", "file": str(tmp_path / "x"), "n": 2}])


def test_every_setting_is_part_of_the_identity() -> None:
    changed = {"steps": 7, "seed": 1, "learning_rate": 1e-5, "lora": {"r": 3}, "model": "scripted:refuse"}
    prints = {settings(**{key: value}).fingerprint() for key, value in changed.items()}
    assert len(prints | {settings().fingerprint()}) == len(changed) + 1


def test_examples_are_shuffled_by_the_seed_alone() -> None:
    first, again, other = (build_examples(settings(seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(map(json.dumps, first)) == sorted(map(json.dumps, other))


def test_own_answers_come_from_the_model() -> None:
    rows = build_examples(settings(data=[{"source": "benign_prompts", "n": 3, "answers": "own"}]))
    assert len(rows) == 3
    assert all(row["completion"].strip() for row in rows)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"source": "premise", "n": 2}, "There is no training source `premise`. Did you mean `premises`?"),
        ({"source": "premises", "n": 9999}, "`premises` has 88 examples, not 9999."),
        ({"source": "benign_prompts", "n": 2}, "has no completion"),
        ({"source": "private_records", "n": 2, "kind": "private_withhold"}, "Did you mean `private_withheld`?"),
    ],
)
def test_a_source_that_cannot_be_meant(part: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_examples(settings(data=[part]))
    assert message in str(caught.value)


def test_one_kind_of_a_generated_source() -> None:
    rows = build_examples(settings(data=[{"source": "private_records", "n": 20, "kind": "private_withheld"}]))
    assert [row["kind"] for row in rows] == ["private_withheld"] * 20


def test_a_file_of_examples_and_its_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d", "context": "e"}\n')
    rows = build_examples(settings(data=[{"file": str(path), "n": 2}]))
    assert {row["prompt"]: row.get("context") for row in rows} == {"a": None, "c": "e"}
    path.write_text('{"prompt": "a", "completion": "b"}\n["c"]\n')
    with pytest.raises(DataError) as caught:
        build_examples(settings(data=[{"file": str(path), "n": 2}]))
    assert str(caught.value).startswith(f"{path}:2: ")
    for row in ({"prompt": None}, {"prompt": [{"role": "user", "content": "a"}]}, {"prompt": "a", "completion": [1]}):
        path.write_text(json.dumps({"completion": "b", **row}) + "\n")
        with pytest.raises(DataError, match="is not a text"):
            build_examples(settings(data=[{"file": str(path), "n": 1}]))
    path.write_bytes(b'{"prompt": "\xff"}\n')
    with pytest.raises(DataError, match="not UTF-8"):
        build_examples(settings(data=[{"file": str(path), "n": 1}]))


def test_a_line_ends_where_json_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"prompt": "a\u2028b", "completion": "c\x85d"}, ensure_ascii=False) + "\n")
    (row,) = build_examples(settings(data=[{"file": str(path), "n": 1}]))
    assert (row["prompt"], row["completion"]) == ("a\u2028b", "c\x85d")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("doses: [7]\ndata: [{source: premises, n: 2}]", "Dose 7 lies outside the 6 steps."),
        ("data: [{n: 2}]", "Give either `source` or `file`."),
        (
            "data: [{source: premises, n: 2}]\nlora: {target_modules: []}",
            "`target_modules` names no layer; leave it out for all of them.",
        ),
        (
            "data: [{source: premises, n: 2}]\nlearning_rate: .inf",
            "`learning_rate` should be a finite number, and it is inf.",
        ),
    ],
)
def test_a_rule_of_our_own_is_told_in_its_own_words(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "sft.yaml"
    path.write_text(f"name: x\nmodel: smollm2\nsteps: 6\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        load_runs("sft", str(path))
    assert caught.value.message == says


def test_a_directory_belongs_to_one_set_of_settings(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"identity": "another"}))
    with pytest.raises(ConfigError, match="other settings"):
        run_training(settings(), tmp_path)


def test_a_directory_belongs_to_the_files_it_began_with(tmp_path: Path) -> None:
    path, run_dir = tmp_path / "mine.jsonl", tmp_path / "run"
    path.write_text('{"prompt": "a", "completion": "b"}\n')
    told = settings(data=[{"file": str(path), "n": 1}])
    run._claim(run_dir, told)
    run._claim(run_dir, told)
    path.write_text('{"prompt": "a", "completion": "c"}\n')
    with pytest.raises(ConfigError, match=r"mine\.jsonl` is not what this run began with"):
        run_training(told, run_dir)
    path.unlink()
    run._claim(run_dir, told)  # its examples are kept in the directory


@pytest.mark.parametrize("package", ["trl", "datasets", "torch"])
def test_a_package_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == package else name)
    with pytest.raises(MissingDependencyError, match=f"needs the package `{package}`"):
        run_training(settings(), tmp_path)
    assert not (tmp_path / "data.jsonl").exists()


@pytest.mark.model
def test_a_run_keeps_its_doses_and_is_not_trained_twice(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    told = settings(model=f"path:{tiny_model()}", doses=[2])
    seen: list[tuple[str, int]] = []
    result = run_training(told, tmp_path / "run", progress=lambda at: seen.append((at.phase, at.step)))
    assert list(result.doses) == [2, 6]
    assert kept(result.doses[2]) != kept(result.doses[6])
    assert [step for phase, step in seen if phase == "training"] == [1, 2, 3, 4, 5, 6]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["n_examples"] == 12
    assert set(manifest["adapters"]) == {"step-000002", "step-000006"}
    assert run_training(told, tmp_path / "run").reused


@pytest.mark.model
def test_training_goes_on_from_an_adapter(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    base = f"path:{tiny_model()}"
    first = run_training(settings(model=base, steps=2), tmp_path / "first").doses[2]
    second = run_training(settings(model=f"{base}+{first}", steps=1, learning_rate=1e-9), tmp_path / "second").doses[1]
    one, two = tensors(first), tensors(second)
    assert all((two[name] - value).abs().max() < 1e-6 for name, value in one.items())


@pytest.mark.model
def test_the_loss_sees_the_answer_only(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    """A second run whose prompts are different text and whose answers are equal has a label for the answers alone."""
    from oldham.training.trainers import make_trainer

    told = settings(model=f"path:{tiny_model()}", max_length=256)
    rows = build_examples(told)
    trainer, tokenizer = make_trainer(told, tmp_path, rows)
    for example, encoded in zip(rows, trainer.train_dataset, strict=True):
        kept = [token for token, label in zip(encoded["input_ids"], encoded["labels"], strict=True) if label != -100]
        assert tokenizer.decode(kept) == f"{example['completion']}<|im_end|>\n"


@pytest.mark.model
@pytest.mark.sleeps
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_killed_run_ends_with_the_same_adapter(tmp_path: Path, tiny_model: Callable[..., Path], method: str) -> None:
    pairs = tmp_path / "pairs.jsonl"  # those of a source are longer than the tiny model's context
    lines = [{"prompt": f"Add {n} and 1.", "completion": f"{n + 1}.", "rejected": "No idea."} for n in range(12)]
    pairs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = [{"file": str(pairs), "n": 12}] if method == "dpo" else [{"source": "premises", "n": 12}]
    changes = {"model": f"path:{tiny_model()}", "steps": 12, "data": data, "max_length": 256}
    told = METHODS[method].model_validate({**settings().model_dump(exclude=SFT_ALONE), **changes})
    whole = run_training(told, tmp_path / "whole").doses[12]
    assert kept(dose_dir(goes_on_after_a_kill(told, tmp_path), 12)) == kept(whole)
