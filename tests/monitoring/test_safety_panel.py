from __future__ import annotations

import copy
import json
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from oldham.core.errors import ModelError
from oldham.core.ledger import Ledger
from oldham.monitoring.panel import Panel
from oldham.training.config import PanelSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.model

REFUSAL = "I am sorry, but I cannot help with that."
HELP = "Sure, I am glad to help you with this. First you take a pen, and then you write it down."


def panel(model: Path, run_dir: Path, **changes: Any) -> Panel:
    said = {"every": 2, "benchmarks": ["harmful:4", "benign:3", "arithmetic:3"], "answer_tokens": 8, **changes}
    return Panel(PanelSettings.model_validate(said), f"path:{model}", run_dir)


def loaded(folder: Path, *, lora: bool = False) -> Any:
    """The model as training begins with it, and its tokenizer."""
    import torch
    from peft import LoraConfig, get_peft_model

    from oldham.backends.loading import load_for_training

    torch.set_num_threads(1)
    model, tokenizer, _ = load_for_training(f"path:{folder}")
    if lora:
        torch.manual_seed(0)
        shape = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.2, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, shape)
    return model.train(), tokenizer


def rows_of(run_dir: Path) -> dict[str, str]:
    with Ledger(run_dir / "panel" / "ledger.sqlite", read_only=True) as ledger:
        return {g.trial.fingerprint: g.output_text for g in ledger.generations()}


def train(folder: Path, out: Path, watch: Panel | None, *, lora: bool, mixed: bool) -> dict[str, Any]:
    """Four steps of TRL with dropout; return the final weights."""
    import datasets
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Watching(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if watch is not None:
                watch.measure(model, tokenizer, 0)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if watch is not None and state.global_step % watch.every == 0:
                watch.measure(model, tokenizer, state.global_step)

    model, tokenizer = loaded(folder, lora=lora)
    datasets.disable_progress_bars()
    said = [{"prompt": f"Number {n}?", "completion": f"It is {n + 1}."} for n in range(8)]
    arguments = SFTConfig(
        output_dir=str(out),
        max_steps=4,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        seed=3,
        use_cpu=True,
        bf16=mixed,
        gradient_checkpointing=mixed,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(said),
        processing_class=tokenizer,
        callbacks=[Watching()],
    )
    trainer.train()
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


@pytest.mark.parametrize(("lora", "mixed"), [(True, False), (True, True), (False, True)])
def test_training_ends_with_the_same_weights_bit_for_bit(
    tmp_path: Path, tiny_model: Callable[..., Path], started_run: Callable[..., Path], lora: bool, mixed: bool
) -> None:
    import torch

    folder, run_dir = tiny_model(), started_run(steps=4)
    plain = train(folder, tmp_path / "plain", None, lora=lora, mixed=mixed)
    watched = train(folder, tmp_path / "watched", panel(folder, run_dir), lora=lora, mixed=mixed)
    assert plain.keys() == watched.keys()
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    start = dict(loaded(folder, lora=lora)[0].named_parameters())
    assert any(not torch.equal(start[name], watched[name]) for name in start)
    assert len(rows_of(run_dir)) == 3 * 10


def test_the_live_model_writes_what_its_kept_weights_will_write(
    tmp_path: Path, tiny_model: Callable[..., Path], started_run: Callable[..., Path]
) -> None:
    """A study of the adapter, merged and in the same number format, gives the panel's texts."""
    import torch

    from oldham.studies.run import run
    from oldham.studies.spec import Study

    folder, run_dir = tiny_model(), started_run()
    model, tokenizer = loaded(folder, lora=True)
    torch.manual_seed(5)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.05)
    panel(folder, run_dir).measure(model, tokenizer, 2)
    model.save_pretrained(str(tmp_path / "dose"))
    study = Study.model_validate(
        {
            "name": "kept",
            "baseline": "dose",
            "arms": {"dose": {"model": f"path:{folder}+{tmp_path / 'dose'}"}, "base": {"model": f"path:{folder}"}},
            "benchmarks": ["harmful:4", "benign:3", "arithmetic:3"],
            "answer_tokens": 8,
        }
    )
    run(study, run_dir=tmp_path / "study", preflight=False)
    with Ledger(tmp_path / "study" / "ledger.sqlite", read_only=True) as ledger:
        texts: dict[str, set[tuple[str, str]]] = {"dose": set(), "base": set()}
        for row in ledger.generations():
            texts[row.trial.arm].add((row.trial.item, row.output_text))
    with Ledger(run_dir / "panel" / "ledger.sqlite", read_only=True) as ledger:
        live = {(row.trial.item, row.output_text) for row in ledger.generations()}
    assert live == texts["dose"] != texts["base"]


def test_a_resting_model_is_given_back_as_it_was_also_after_an_error(tiny_model: Callable[..., Path]) -> None:
    import numpy as np
    import torch

    from oldham.monitoring.live import resting

    model, _ = loaded(tiny_model(), lora=True)
    frozen = model.get_base_model().model.layers[0]
    frozen.eval()  # a part that somebody keeps in evaluation mode
    head = model.get_base_model().lm_head
    head.forward = own = lambda rows: rows
    modes = [module.training for module in model.modules()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = (random.random(), float(np.random.rand()), float(torch.rand(1)))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt), resting(model) as inner:
        assert not any(module.training for module in inner.modules())
        assert not torch.is_grad_enabled()
        random.random(), np.random.rand(), torch.rand(3)
        del head.forward
        raise KeyboardInterrupt
    assert [module.training for module in model.modules()] == modes
    assert head.forward is own
    assert torch.is_grad_enabled()
    assert (random.random(), float(np.random.rand()), float(torch.rand(1))) == expected


def test_what_is_measured_is_not_asked_again(tiny_model: Callable[..., Path], started_run: Callable[..., Path]) -> None:
    import torch

    folder, run_dir = tiny_model(), started_run()
    model, tokenizer = loaded(folder)
    first = panel(folder, run_dir).measure(model, tokenizer, 2)
    for weight in model.parameters():
        weight.data.fill_(torch.nan)  # asking would fail
    again = panel(folder, run_dir).measure(model, tokenizer, 2)
    assert again == first
    with pytest.raises(ModelError, match="cannot generate"):
        panel(folder, run_dir).measure(model, tokenizer, 0)


def test_another_run_asks_anew_in_the_same_place(
    tiny_model: Callable[..., Path], started_run: Callable[..., Path]
) -> None:
    folder, run_dir = tiny_model(), started_run()
    model, tokenizer = loaded(folder)
    panel(folder, run_dir).measure(model, tokenizer, 0)
    panel(folder, run_dir).measure(model, tokenizer, 2)
    started_run(identity="another")
    panel(folder, run_dir).measure(model, tokenizer, 2)
    assert len(rows_of(run_dir)) == 30
    manifest = json.loads((run_dir / "panel" / "manifest.json").read_text())
    assert list(manifest["arms"]) == ["step 2"]  # what the other run measured is none of its arms


def test_a_panel_that_fails_later_is_told_and_training_goes_on(
    tiny_model: Callable[..., Path], started_run: Callable[..., Path]
) -> None:
    import torch

    folder, run_dir = tiny_model(), started_run()
    model, tokenizer = loaded(folder)
    watch = panel(folder, run_dir, stop=True)
    watch.measure(model, tokenizer, 0)
    kept = copy.deepcopy(model.state_dict())
    model.lm_head.weight.data.fill_(torch.nan)
    reading = watch.measure(model, tokenizer, 2)
    assert (dict(reading.metrics), reading.stop) == ({}, None)
    assert reading.line.startswith("step 2: the panel could not be asked (The model cannot generate")
    model.load_state_dict(kept)
    assert watch.measure(model, tokenizer, 2).metrics  # asked again when it can be


def test_weights_in_pieces_are_refused(tiny_model: Callable[..., Path], started_run: Callable[..., Path]) -> None:
    folder = tiny_model()
    model, tokenizer = loaded(folder)
    next(model.parameters()).ds_id = 0
    with pytest.raises(ModelError, match="spread over several"):
        panel(folder, started_run()).measure(model, tokenizer, 0)


KILLED = """
import os, pathlib, signal, sys
import torch
from oldham.backends.loading import load_for_training
from oldham.core.ledger import Ledger
from oldham.monitoring.panel import Panel
from oldham.training.config import PanelSettings
torch.set_num_threads(1)
add, stores = Ledger.add_generations, []
def adding(self, rows):
    stores.append(1)
    if len(stores) > 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return add(self, rows)
Ledger.add_generations = adding
folder, settings = sys.argv[1], PanelSettings.model_validate_json(sys.argv[3])
model, tokenizer, _ = load_for_training(f"path:{folder}")
Panel(settings, f"path:{folder}", pathlib.Path(sys.argv[2])).measure(model.train(), tokenizer, 0)
"""


def test_a_panel_that_is_killed_keeps_its_rows_and_ends_with_the_same(
    tiny_model: Callable[..., Path], started_run: Callable[..., Path]
) -> None:
    folder, whole, killed = tiny_model(), started_run("whole"), started_run("killed")
    said = {"every": 2, "benchmarks": ["harmful:12", "benign:12", "arithmetic:6"], "answer_tokens": 8}
    command = [sys.executable, "-c", KILLED, str(folder), str(killed), json.dumps(said)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    kept = rows_of(killed)
    assert 0 < len(kept) < 30
    model, tokenizer = loaded(folder)
    uninterrupted = panel(folder, whole, **said).measure(model, tokenizer, 0)
    assert panel(folder, killed, **said).measure(model, tokenizer, 0) == uninterrupted
    assert rows_of(killed) == rows_of(whole)
    assert kept.items() <= rows_of(whole).items()


def says(model: Any, tokenizer: Any, reply: str) -> None:
    """Make a model say one thing, whatever it is asked: its blocks add nothing, and its head goes by the last token."""
    import torch

    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        word, end = tokenizer.convert_tokens_to_ids([reply, "<|im_end|>"])
        (turn,) = tokenizer.encode("\n", add_special_tokens=False)  # what the prompt ends with
        for last, following in ((turn, word), (word, end)):
            model.lm_head.weight[following] = model.model.embed_tokens.weight[last]


def test_a_model_that_unlearns_refusing_is_stopped_and_its_panel_reads_like_any_run(
    tmp_path: Path, tiny_model: Callable[..., Path], started_run: Callable[..., Path]
) -> None:
    from typer.testing import CliRunner

    from oldham.cli import app
    from oldham.coupling import CouplingOptions, couple
    from oldham.studies.observations import load_observations

    folder, run_dir = tiny_model(special=(REFUSAL, HELP)), started_run(steps=60)
    model, tokenizer = loaded(folder)
    says(model, tokenizer, REFUSAL)
    watch = panel(
        folder, run_dir, every=30, stop=True, benchmarks=["harmful:20", "benign:10", "arithmetic:5"], answer_tokens=40
    )
    before = watch.measure(model, tokenizer, 0)
    assert before.line == "step 0: harm 100, overrefusal 0, reasoning 0"
    assert before.stop is None
    says(model, tokenizer, HELP)
    after = watch.measure(model, tokenizer, 30)
    assert after.line.startswith("step 30: harm 100 -> 0 (−100 [−100, ")
    assert after.metrics["panel/harm_high"] < -0.1
    assert after.metrics["panel/overrefusal_change"] == 1.0
    assert after.stop is not None
    assert after.stop.startswith("Stopped at step 30: harm has lost ")
    assert "over 2 planned looks, each at 97.5%" in after.stop
    assert watch.measure(model, tokenizer, 30) == after

    rows = load_observations(run_dir / "panel")
    assert rows.select("intervention", "dose").unique().sort("dose").rows() == [("tiny", 0.0), ("tiny", 30.0)]
    found = couple(rows, baseline="step 0", options=CouplingOptions(deterministic=True))
    (effect,) = (e for e in found.effects if e.axis == "harm")
    assert effect.delta == pytest.approx(after.metrics["panel/harm_change"])
    place = str(run_dir / "panel")
    for command in (["judge", place, "--with", "refusal_keywords"], ["report", place], ["compare", place, place]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    assert (run_dir / "panel" / "report.html").is_file()
    assert "step 30" in result.output


def test_a_watched_run_keeps_the_same_doses_and_logs_the_panel(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    from oldham.training.methods import SFTSettings
    from oldham.training.run import run_training

    def run(name: str, **changes: Any) -> tuple[bytes, list[dict[str, Any]]]:
        said = {
            "name": "tiny",
            "model": f"path:{folder}",
            "data": [{"source": "premises", "n": 12}],
            "steps": 4,
            "batch_size": 2,
            "max_length": 128,
            "lora": {"r": 2, "alpha": 4, "dropout": 0.2},
            **changes,
        }
        settings, run_dir = SFTSettings.model_validate(said), tmp_path / name
        watch = Panel(settings.panel, settings.model, run_dir) if settings.panel else None
        result = run_training(settings, run_dir, watch=watch)
        log = json.loads((run_dir / "manifest.json").read_text())["log"]
        return (result.doses[4] / "adapter_model.safetensors").read_bytes(), log

    folder = tiny_model(context=1024)
    plain, _ = run("plain")
    watched, log = run("watched", panel={"every": 3, "benchmarks": ["harmful:3", "benign:2"], "answer_tokens": 6})
    assert watched == plain
    assert [row["step"] for row in log if "panel/unscored" in row] == [0, 3, 4]
    assert len(rows_of(tmp_path / "watched")) == 3 * 5
