from __future__ import annotations

import json
import math
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from oldham.core.errors import ConfigError, MissingDependencyError, ModelError, OldhamError, RunInterruptedError
from oldham.training.methods import DPOSettings, SFTSettings
from oldham.training.run import TrainingProgress, run_training
from small_training import made, tensors, tiny_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.model

ANSWERS = ("Four.", "It is seven, since three and four are seven.", "No.", "Tom has three apples, so he has seven.")


@pytest.fixture
def told(tmp_path: Path, tiny_model: Callable[..., Path]) -> Callable[..., SFTSettings]:
    """Settings of a small run on sixteen examples of unlike length."""
    file = tmp_path / "data.jsonl"
    rows = [
        {"prompt": f"Question {n}?", "completion": ANSWERS[n % 4], "rejected": f"Rather not {n}."} for n in range(16)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model = f"path:{tiny_model()}"

    def build(cls: type[Any] = SFTSettings, **changes: Any) -> Any:
        data = [{"file": str(file), "n": 16}]
        base: dict[str, Any] = {"model": model, "data": data, "steps": 4, "max_length": 96, "learning_rate": 1e-2}
        return tiny_settings(cls, **{**base, **changes})

    return build


def test_packed_examples_have_the_loss_they_have_alone(told: Callable[..., Any], tmp_path: Path) -> None:
    import torch

    packed, _ = made(told(packing=True, max_length=256), tmp_path / "packed")
    alone, _ = made(told(max_length=256), tmp_path / "alone")
    assert len(packed.train_dataset) < len(alone.train_dataset) == 16
    with torch.no_grad():
        losses = [
            float(trainer.compute_loss(trainer.model, trainer.data_collator(list(trainer.train_dataset))))
            for trainer in (packed, alone)
        ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gemma3", "gpt_neox"])
def test_models_see_where_a_packed_example_begins(name: str) -> None:
    from architectures import random_model
    from oldham.training.trainers.sft import keeps_packed_apart

    assert keeps_packed_apart(random_model(name))


def test_a_model_that_cannot_see_it_is_refused(told: Callable[..., Any], tmp_path: Path) -> None:
    from transformers import BloomConfig, BloomForCausalLM, MambaConfig, MambaForCausalLM

    from oldham.training.trainers import sft

    small = {"vocab_size": 64, "hidden_size": 16}
    assert not sft.keeps_packed_apart(BloomForCausalLM(BloomConfig(**small, n_layer=1, n_head=2)))
    assert not sft.keeps_packed_apart(MambaForCausalLM(MambaConfig(**small, num_hidden_layers=1, state_size=4)))


def test_loss_on_all_tokens_takes_the_prompt_too(told: Callable[..., Any], tmp_path: Path) -> None:
    trainer, _ = made(told(loss_on="all"), tmp_path)
    assert all(row["labels"] == row["input_ids"] for row in trainer.train_dataset)


def test_train_tokens_end_the_data_and_give_the_steps(told: Callable[..., Any], tmp_path: Path) -> None:
    settings = told(train_tokens=60, accumulate=2)
    result = run_training(settings, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    rows, counted = manifest["n_rows"], manifest["loss_tokens"]
    longest = 60  # no answer is longer, so taking one less would stay below
    assert 60 <= counted < 60 + longest
    assert manifest["steps"] == math.ceil(math.ceil(rows / 2) / 2) == max(result.doses)
    with pytest.raises(ConfigError, match="lies outside the"):
        made(told(train_tokens=60, doses=[400]), tmp_path / "late")
    with pytest.raises(ConfigError, match="not 100,000"):
        made(told(train_tokens=100_000), tmp_path / "more")


def test_an_adapter_on_some_modules_of_some_blocks(told: Callable[..., Any], tmp_path: Path) -> None:
    lora = {"r": 1, "alpha": 2, "target_modules": ["up_proj"], "layers": [1, 1]}
    names = set(tensors(run_training(told(lora=lora), tmp_path / "up").doses[4]))
    assert names == {f"base_model.model.model.layers.1.mlp.up_proj.lora_{half}.weight" for half in "AB"}
    every = told(lora={"r": 1, "alpha": 2, "layers": [0, 0]}, steps=1)
    names = set(tensors(run_training(every, tmp_path / "every").doses[1]))
    assert all(".layers.0." in name for name in names)
    assert len(names) == 2 * 7


@pytest.mark.parametrize(
    ("lora", "says"),
    [
        ({"layers": [1, 2]}, "ends at block 2, and the model has 2 blocks"),
        ({"target_modules": ["up_projection"]}, "Did you mean `up_proj`?"),
        ({"target_modules": ["foo.up_proj"]}, "Did you mean `up_proj`?"),
        ({"target_modules": ["self_attn"]}, "No linear layer of the model's blocks is called `self_attn`"),
        ({"target_modules": ["lm_head"]}, "No linear layer of the model's blocks is called `lm_head`"),
    ],
)
def test_an_adapter_that_does_not_fit(told: Callable[..., Any], tmp_path: Path, lora: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(told(lora=lora), tmp_path)
    assert says in str(caught.value)


def test_an_adapter_on_one_module_by_its_longer_name(told: Callable[..., Any], tmp_path: Path) -> None:
    trainer, _ = made(told(lora={"r": 1, "target_modules": ["1.mlp.up_proj"]}), tmp_path)
    names = {name for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    assert names == {f"base_model.model.model.layers.1.mlp.up_proj.lora_{half}.default.weight" for half in "AB"}


def test_an_adapter_of_another_model(told: Callable[..., Any], tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    from architectures import random_model

    first = run_training(told(), tmp_path / "first").doses[4]
    other = tiny_model()
    random_model("qwen2").save_pretrained(other)
    with pytest.raises(ModelError, match="check that the adapter was trained on this model"):
        made(told(model=f"path:{other}+{first}"), tmp_path / "second")


@pytest.mark.parametrize("steps", [3, 10])
def test_weights_that_are_no_numbers_are_never_a_dose(told: Callable[..., Any], tmp_path: Path, steps: int) -> None:
    """Neither where the loss is logged before the next dose is due nor where it is not."""
    settings = told(learning_rate=1e30, warmup_steps=0, steps=steps)
    with pytest.raises(OldhamError, match="is not a number any more"):
        run_training(settings, tmp_path / "run")
    assert not list((tmp_path / "run" / "doses").glob("step-*[0-9]"))
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_loss_that_is_no_number_is_told(told: Callable[..., Any], tmp_path: Path) -> None:
    def spoil(at: TrainingProgress) -> None:
        if at.phase == "training" and at.step == 2:
            next(weight for weight in held[0].model.parameters() if weight.requires_grad).data.fill_(math.nan)

    from oldham.training.trainers import doses

    held: list[Any] = []
    settings, attach = told(steps=8), doses.DoseCallback.attach
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doses.DoseCallback, "attach", lambda self, *given: (held.append(given[0]), attach(self, *given)))
        with pytest.raises(OldhamError, match="The loss is not a number any more"):
            run_training(settings, tmp_path / "run", progress=spoil)


def test_all_weights_give_a_model_that_studies_can_ask(told: Callable[..., Any], tmp_path: Path) -> None:
    from oldham.backends.base import backend_for

    settings = told(lora=None, adapter_dtype="bfloat16")
    result = run_training(settings, tmp_path / "run")
    assert result.whole
    name = result.model_at(4)
    assert name == f"path:{result.doses[4]}"
    backend = backend_for(name)
    assert backend.identify(name).weights != backend.identify(settings.model).weights
    backend.load(name).close()
    kept = tensors(result.doses[4], "model.safetensors")
    assert {str(tensor.dtype) for tensor in kept.values()} == {"torch.bfloat16"}
    begun = run_training(told(model=name, lora=None, steps=1, learning_rate=1e-9), tmp_path / "more").doses[1]
    again = tensors(begun, "model.safetensors")
    assert all(again[key].float().sub(value.float()).abs().max() < 1e-3 for key, value in kept.items())


def test_all_weights_of_a_model_with_an_adapter(told: Callable[..., Any], tmp_path: Path) -> None:
    """The adapter is merged: the first dose differs from the base by what the adapter taught."""
    first = run_training(told(), tmp_path / "first")
    settings = told(model=first.model_at(4), lora=None, steps=1, learning_rate=1e-9)
    merged = tensors(run_training(settings, tmp_path / "second").doses[1], "model.safetensors")
    base = tensors(tmp_path / "model0", "model.safetensors")
    moved = {name for name, value in merged.items() if (value - base[name]).abs().max() > 1e-4}
    assert moved == {name for name in base if name.endswith("_proj.weight")}


@pytest.mark.parametrize("order", ["before", "mixed"])
def test_data_that_is_to_come_first_is_taken_in_order(told: Callable[..., Any], tmp_path: Path, order: str) -> None:
    from torch.utils.data import SequentialSampler

    mix = {"source": "harmful_refusals", "ratio": 0.5, "order": order}
    trainer, _ = made(told(mix=mix), tmp_path)
    assert isinstance(trainer._get_train_sampler(), SequentialSampler) == (order == "before")


def test_packing_would_undo_an_order(told: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"mix\.order"):
        told(packing=True, mix={"source": "harmful_refusals", "ratio": 0.5, "order": "after"})


def test_safety_data_at_one_end_would_be_lost_or_grow(told: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"`train_tokens` takes the first examples"):
        told(train_tokens=60, mix={"source": "harmful_refusals", "ratio": 0.5, "order": "after"})


@pytest.mark.parametrize("traced", ["trace", "rejected_trace"])
def test_sides_of_a_pair_behind_two_prompts(
    told: Callable[..., Any], tmp_path: Path, tiny_model: Callable[..., Path], traced: str
) -> None:
    """The template tells in the system's turn whether the model thinks."""
    from tiny_models import CHATML

    told_so = "<|im_start|>system\n{% if enable_thinking %}think<think></think>{% else %}answer{% endif %}<|im_end|>\n"
    file = tmp_path / "pairs.jsonl"
    pair = {"prompt": "Why?", "completion": "So.", "rejected": "No.", "trace": "Hm.", "rejected_trace": "Eh."}
    settings = told(
        DPOSettings, model=f"path:{tiny_model(template=told_so + CHATML)}", data=[{"file": str(file), "n": 1}]
    )
    file.write_text(json.dumps(pair) + "\n")
    (row,) = made(settings, tmp_path / "both")[0].train_dataset
    assert len(row["prompt_ids"]) > len(row["chosen_ids"])
    other = {"trace": "rejected_trace", "rejected_trace": "trace"}[traced]
    file.write_text(json.dumps({name: text for name, text in pair.items() if name != other}) + "\n")
    with pytest.raises(ConfigError, match="One side of a pair has a trace"):
        made(settings, tmp_path / "one")


@pytest.mark.parametrize("start", ["new adapter", "an adapter", "all weights"])
def test_preferences_begin_at_the_reference(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """Before the first step policy and reference agree, so the loss is log 2; then the margin grows."""
    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    changes: dict[str, Any] = {"lora": None} if start == "all weights" else {}
    if start == "an adapter":
        changes["model"] = run_training(told(), tmp_path / "first").model_at(4)
    settings = told(DPOSettings, steps=15, learning_rate=1e-2 if start != "all weights" else 1e-3, **changes)
    trainer, _ = made(settings, tmp_path / "made")
    batch = trainer.data_collator(list(trainer.train_dataset))
    assert float(trainer.compute_loss(trainer.model, batch).detach()) == pytest.approx(math.log(2), abs=1e-4)
    result = run_training(settings, tmp_path / "run")
    log = json.loads((tmp_path / "run" / "manifest.json").read_text())["log"]
    margins = [row["rewards/margins"] for row in log if "rewards/margins" in row]
    assert margins[-1] > margins[0] and margins[-1] > 0
    held = {path.name for path in result.doses[15].iterdir()}
    assert result.whole or held == {"adapter_config.json", "adapter_model.safetensors"}


def test_gradients_are_summed_over_batches(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches of two, summed, take the step that a batch of four takes."""
    import torch

    monkeypatch.setenv("OLDHAM_DTYPE", "float32")

    order = {"mix": {"source": "harmful_refusals", "ratio": 0.0, "order": "after"}, "steps": 1, "warmup_steps": 0}
    two = tensors(run_training(told(batch_size=2, accumulate=2, **order), tmp_path / "two").doses[1])
    four = tensors(run_training(told(batch_size=4, **order), tmp_path / "four").doses[1])
    assert all(torch.allclose(two[name], four[name], atol=1e-3) for name in four)


def test_a_tracker_that_is_not_installed(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oldham.training.trainers import common

    monkeypatch.setattr(common, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"oldham\[track\]"):
        made(told(track=["mlflow"]), tmp_path)


def test_a_tracker_is_given_the_losses_and_a_home_in_the_run(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, str, float]] = []

    class SummaryWriter:
        def __init__(self, log_dir: str) -> None:
            self.log_dir = log_dir

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((self.log_dir, name, value))

        def add_text(self, *_: Any) -> None: ...

        def flush(self) -> None: ...

        def close(self) -> None: ...

    from oldham.training.trainers import common

    fake = ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    monkeypatch.setattr("transformers.integrations.integration_utils.is_tensorboard_available", lambda: True)
    monkeypatch.setattr(common, "find_spec", lambda name: True)
    run_training(told(track=["tensorboard"], steps=5), tmp_path / "run")
    assert (tmp_path / "run" / "logs").is_dir()
    assert {home for home, _, _ in written} == {str(tmp_path / "run" / "logs")}
    assert "train/loss" in {name for _, name, _ in written}


@pytest.mark.parametrize("cls", [SFTSettings, DPOSettings])
@pytest.mark.parametrize("start", ["an adapter", "all weights"])
def test_a_stopped_run_ends_with_the_same_weights(
    told: Callable[..., Any], tmp_path: Path, cls: type[Any], start: str
) -> None:
    changes: dict[str, Any] = {"lora": None} if start == "all weights" else {}
    if start == "an adapter":
        changes["model"] = run_training(told(), tmp_path / "first").model_at(4)
    settings = told(cls, steps=5, save_every=2, learning_rate=1e-3, **changes)

    def stop(at: TrainingProgress) -> None:
        if at.phase == "training" and at.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError, match="the last checkpoint is kept"):
        run_training(settings, tmp_path / "stopped", progress=stop)
    again = run_training(settings, tmp_path / "stopped").doses[5]
    whole = run_training(settings, tmp_path / "whole").doses[5]
    name = "model.safetensors" if start == "all weights" else "adapter_model.safetensors"
    assert (again / name).read_bytes() == (whole / name).read_bytes()
