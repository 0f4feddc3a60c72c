"""Training itself: from the trainer's first step to its last, with doses kept, checkpoints marked, the watch asked."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file, save_file
from transformers import PrinterCallback, Trainer, TrainerCallback

from oldham.backends.tokenizers import quiet
from oldham.core.errors import ConfigError, OldhamError
from oldham.training.live import is_sharded, undisturbed
from oldham.training.preflight import check_start, preflight
from oldham.training.run import TrainingProgress, dose_dir, first_process_first, write_json
from oldham.training.trainers import make_trainer
from oldham.training.trainers.common import tracked
from oldham.training.trainers.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from oldham.benchmarks.resources import TrainingExample
    from oldham.training.config import TrainingSettings
    from oldham.training.watch import Reading, Watch

_WHOLE: Final = "whole"
"""Name of the empty file that is put into a checkpoint once everything else is in it."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What training told, for the manifest."""

    log: list[dict[str, Any]]
    """The trainer's log, one dict for each logged step, the watch's readings among them."""
    steps: int
    """Optimiser steps done."""
    stopped: str | None
    """Why it stopped before its last step."""
    rows: int
    """Rows of the training set as the trainer takes them: examples, or packed rows."""
    loss_tokens: int | None
    """Tokens of these rows that carry loss; None for methods whose loss is not on single tokens."""
    warnings: tuple[str, ...]
    """What the checks before training said."""
    writes: bool
    """This process is the one that writes."""


def train(
    settings: TrainingSettings,
    run_dir: Path,
    examples: list[TrainingExample],
    report: Callable[[TrainingProgress], None],
    watch: Watch | None = None,
) -> Trained:
    """Train and keep the doses.

    Args:
        settings: The run's settings.
        run_dir: The run's directory; checkpoints found in it are continued.
        examples: The training set, in order.
        report: Called after every step.
        watch: Measures the model meanwhile.

    Returns:
        What training told.

    Raises:
        ConfigError: A check before training failed.
        OldhamError: The loss or a weight is not a number any more.
    """
    if not torch.cuda.is_available():
        keep_freed_memory()
    callback = DoseCallback(settings, run_dir, examples, report, watch)
    with tracked(settings, run_dir):
        trainer, tokenizer = make_trainer(settings, run_dir, examples, [callback])
        callback.attach(trainer, tokenizer)
        checkpoint = last_checkpoint(trainer, run_dir / "checkpoints")
        _check(settings, run_dir, examples, trainer, tokenizer, report)
        with quiet():
            trainer.train(resume_from_checkpoint=checkpoint)
    return Trained(
        log=trainer.state.log_history,
        steps=int(trainer.state.global_step),
        stopped=callback.stopped,
        rows=len(trainer.train_dataset),
        loss_tokens=_loss_tokens(trainer.train_dataset),
        warnings=_warnings(run_dir),
        writes=bool(trainer.is_world_process_zero()),
    )


class DoseCallback(TrainerCallback):
    """Keeps weights at each dose, marks whole checkpoints, asks the watch, and reports progress.

    Args:
        settings: The run's settings.
        run_dir: The run's directory.
        examples: The training set.
        report: Called after every step.
        watch: Measures the model meanwhile.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        run_dir: Path,
        examples: list[TrainingExample],
        report: Callable[[TrainingProgress], None],
        watch: Watch | None = None,
    ) -> None:
        self.settings = settings
        self.run_dir = run_dir
        self.examples = examples
        self.report = report
        self.watch = watch
        self.stopped: str | None = None
        self._loss: float | None = None
        self._reward: float | None = None
        self._note: str | None = None
        self._trainer: Any = None
        self._tokenizer: Any = None

    def attach(self, trainer: Any, tokenizer: Any) -> None:
        """Tell the callback whose it is.

        Args:
            trainer: The trainer that has this callback.
            tokenizer: Its tokenizer.

        Raises:
            ConfigError: There is a watch, and the model is spread over several devices.
        """
        self._trainer, self._tokenizer = trainer, tokenizer
        trainer.remove_callback(PrinterCallback)  # progress is shown by whoever asked for it
        if self.watch is not None and is_sharded(trainer):
            raise ConfigError(
                "A panel needs the whole model on one device, and this launch spreads it over several.",
                remedy="Leave `panel` out and run a study over the doses, or launch without FSDP and ZeRO-3.",
            )

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Have the model measured as it is before the first step: is there anything to lose and to gain?"""
        if self.watch is not None and state.global_step == 0:
            warnings = check_start(self._look(state).metrics, self.settings, self.examples)
            self._note = "\n".join([str(self._note), *(f"Warning: {warning}" for warning in warnings)])
            if state.is_world_process_zero:
                path = self.run_dir / "checks.json"
                write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "start": warnings})

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Note loss and reward; end a run whose loss is not a number."""
        logs = logs or {}
        loss, reward = logs.get("loss"), logs.get("reward")
        if not math.isfinite(logs.get("train_loss", 0.0) if loss is None else loss):
            raise _diverged("The loss")
        self._loss = self._loss if loss is None else float(loss)
        self._reward = self._reward if reward is None else float(reward)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark a checkpoint as whole."""
        self._trainer.accelerator.wait_for_everyone()
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _WHOLE).touch()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure, stop, keep weights and report, each where it is due."""
        step, last = int(state.global_step), int(state.max_steps)
        if self.watch is not None and (step % self.watch.every == 0 or step == last):
            self.stopped = self._look(state).stop
            if self.stopped is not None:
                control.should_training_stop = True
                # A run killed after this would go on from the checkpoint of this step, past the stop.
                control.should_save = False
        if step in self.settings.doses or step == last or self.stopped is not None:
            _keep(self._trainer, self.settings, dose_dir(self.run_dir, step))
        self._tell(step, last, "training")

    def _look(self, state: Any) -> Reading:
        """Have the first process measure, and log what it read."""
        assert self.watch is not None
        step = int(state.global_step)
        self._tell(step, int(state.max_steps), "panel")
        read: list[Any] = [None]
        if state.is_world_process_zero:
            model = self._trainer.accelerator.unwrap_model(self._trainer.model)
            read = [self.watch.measure(model, self._tokenizer, step)]
        broadcast_object_list(read)
        reading: Reading = read[0]
        self._note = reading.line
        # Not the trainer's own `log`, which would end the running means of reward and accuracy in the middle.
        Trainer.log(self._trainer, dict(reading.metrics))
        return reading

    def _tell(self, step: int, last: int, phase: str) -> None:
        self.report(TrainingProgress(step, last, self._loss, phase, self._reward, self._note))


def last_checkpoint(trainer: Any, folder: Path) -> str | None:
    """Return the last checkpoint, after removing those that a kill left unfinished.

    Args:
        trainer: Whose first process does the removing.
        folder: The run's checkpoints.

    Returns:
        The checkpoint's folder, None where there is none.
    """
    whole = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / _WHOLE).is_file():
            whole.append(checkpoint)
        elif trainer.is_world_process_zero():
            shutil.rmtree(checkpoint)
    trainer.accelerator.wait_for_everyone()
    last = max(whole, key=lambda checkpoint: int(checkpoint.name.rpartition("-")[2]), default=None)
    return None if last is None else str(last)


def _check(
    settings: TrainingSettings,
    run_dir: Path,
    examples: list[TrainingExample],
    trainer: Any,
    tokenizer: Any,
    report: Callable[[TrainingProgress], None],
) -> None:
    """Check the run once, before its first step; what was said is kept for a run that goes on."""
    path = run_dir / "checks.json"
    with first_process_first():
        if path.exists() or not trainer.is_world_process_zero():
            return
        report(TrainingProgress(0, trainer.args.max_steps, None, "checking"))
        with undisturbed():
            template = tokenizer.get_chat_template()
            checks = preflight(settings, examples, trainer.model, tokenizer, template, trainer=trainer)
        write_json(path, {"warnings": checks.warnings, "shown": checks.shown})
        note = "\n".join([checks.shown, *(f"Warning: {warning}" for warning in checks.warnings)])
        report(TrainingProgress(0, trainer.args.max_steps, None, "checking", note=note))


def _warnings(run_dir: Path) -> tuple[str, ...]:
    """Return what was said before the first step, by whichever start of the run said it."""
    said = json.loads((run_dir / "checks.json").read_text(encoding="utf-8"))
    return (*said["warnings"], *said.get("start", ()))


def _diverged(what: str) -> OldhamError:
    return OldhamError(
        f"{what} is not a number any more.", remedy="Lower `learning_rate`, and give the run another `name`."
    )


def _loss_tokens(rows: Any) -> int | None:
    if "labels" not in rows.column_names:
        return None
    return sum(int(label != -100) for labels in rows["labels"] for label in labels)


def _keep(trainer: Any, settings: TrainingSettings, folder: Path) -> None:
    """Write weights under their final name only when they are whole."""
    part = folder.with_name(folder.name + ".part")
    if trainer.is_world_process_zero():
        shutil.rmtree(part, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(part))  # every process: the weights may be spread over them
    with first_process_first():
        if not trainer.is_world_process_zero():
            return
        (part / "training_args.bin").unlink(missing_ok=True)
        (part / "README.md").unlink(missing_ok=True)  # a form the library writes, nothing filled in
        if (part / "adapter_config.json").is_file():
            _tidy_adapter(part, settings.model)
        else:
            _tidy_model(part, settings.adapter_dtype)
        for weights in part.glob("*.safetensors"):
            _cast(weights, getattr(torch, settings.adapter_dtype))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)


def _tidy_adapter(folder: Path, base: str) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)  # a frozen copy that served as the reference
        elif path.name not in ("adapter_config.json", "adapter_model.safetensors"):
            path.unlink()  # the tokenizer, which the base has
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # The library writes the folder the model was read from, which means nothing elsewhere, and a set in no order.
    config["base_model_name_or_path"] = base
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _tidy_model(folder: Path, dtype: str) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["dtype"] = dtype
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _cast(weights: Path, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in load_file(weights).items()}
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise _diverged("A weight")
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # the library leaves it readable by its owner alone
