"""Small training runs: their settings, what they keep, and one that is killed and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from oldham.training.methods import SFTSettings

if TYPE_CHECKING:
    from pathlib import Path

    from oldham.training.config import TrainingSettings

TRAIN = (
    "import sys, pathlib; from oldham.training.methods import METHODS; "
    "from oldham.training.run import run_training; "
    "told = METHODS[sys.argv[1]].model_validate_json(pathlib.Path(sys.argv[2]).read_text()); "
    "run_training(told, pathlib.Path(sys.argv[3]))"
)


def tiny_settings(cls: type[Any] = SFTSettings, **changes: Any) -> Any:
    """Return settings of a few small steps.

    Args:
        cls: The class of the method.
        **changes: What is to be otherwise.
    """
    base: dict[str, Any] = {
        "name": "tiny",
        "model": "scripted:echo",
        "data": [{"source": "premises", "n": 12}],
        "steps": 6,
        "batch_size": 2,
        "max_length": 128,
        "save_every": 2,
        "lora": {"r": 2, "alpha": 4},
    }
    return cls.model_validate({**base, **changes})


def made(settings: Any, run_dir: Path) -> tuple[Any, Any]:
    """Return the trainer of a run, and its tokenizer."""
    from oldham.training.examples import build_examples
    from oldham.training.trainers import make_trainer

    return make_trainer(settings, run_dir, build_examples(settings))


def tensors(folder: Path, name: str = "adapter_model.safetensors") -> dict[str, Any]:
    """Return the weights of a dose."""
    from safetensors.torch import load_file

    loaded: dict[str, Any] = load_file(folder / name)
    return loaded


def kept(folder: Path) -> bytes:
    """Return the file with a dose's adapter."""
    return (folder / "adapter_model.safetensors").read_bytes()


def goes_on_after_a_kill(settings: TrainingSettings, folder: Path) -> Path:
    """Train in a process of its own that is killed after its second checkpoint, and again to the end.

    Args:
        settings: A run of at least 12 steps, with a checkpoint every second one.
        folder: For the settings and the run.

    Returns:
        The run's directory.
    """
    from oldham.training.run import kept_doses

    config, out = folder / "tiny.json", folder / "killed"
    config.write_text(settings.model_dump_json())
    command = [sys.executable, "-c", TRAIN, settings.method, str(config), str(out)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    deadline = time.monotonic() + 240
    while not (out / "checkpoints" / "checkpoint-4" / "whole").exists() and time.monotonic() < deadline:
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert (out / "checkpoints" / "checkpoint-4").exists()
    assert settings.steps not in kept_doses(out)
    (out / "checkpoints" / "checkpoint-10").mkdir(exist_ok=True)  # what a kill at the start of a checkpoint leaves
    subprocess.run(command, check=True, timeout=240)
    return out
