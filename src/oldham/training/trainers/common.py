"""What every method's trainer is made of: the model and its adapter, the shared arguments, the trackers."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import torch
from peft import LoraConfig, PeftModel
from transformers.pytorch_utils import Conv1D

from oldham.backends.loading import load_for_training
from oldham.backends.tokenizers import quiet, unloadable
from oldham.backends.weights import computing_dtype
from oldham.core.errors import ConfigError, MissingDependencyError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from oldham.training.config import LoraSettings, TrainingSettings

_SCHEDULES: Final = {"constant": "constant_with_warmup", "cosine": "cosine", "linear": "linear"}
_TRACKER_PACKAGES: Final = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",), "mlflow": ("mlflow",)}


def load_trainable(settings: TrainingSettings) -> tuple[Any, Any, LoraConfig | None]:
    """Load what is to be trained.

    Args:
        settings: The run's settings.

    Returns:
        The model in float32, its tokenizer, and the shape of the adapter that TRL is to add (`peft_config`). It is None
        where training goes on from an adapter, which the model then has, and where all weights are trained; an adapter
        in the model's name is merged then.

    Raises:
        ConfigError: The adapter's modules or layers are not in the model.
        ModelError: The model or its adapter cannot be loaded.
    """
    model, tokenizer, adapter = load_for_training(settings.model)
    if adapter is None:
        return model, tokenizer, None if settings.lora is None else _new_adapter(model, settings.lora)
    with quiet():
        try:
            continued = PeftModel.from_pretrained(model, str(adapter), is_trainable=settings.lora is not None)
        except Exception as error:  # an adapter of another model surfaces as errors of several libraries
            raise unloadable("adapter", adapter, error) from error
        if settings.lora is None:
            return continued.merge_and_unload().requires_grad_(requires_grad=True), tokenizer, None
    # An adapter names its base in its own words; the library would look for a folder or hub page of that name.
    continued.peft_config["default"].base_model_name_or_path = model.name_or_path
    return continued, tokenizer, None


def common_arguments(settings: TrainingSettings, checkpoints: Path) -> dict[str, Any]:
    """Return the arguments that the configurations of all trainers take.

    Args:
        settings: The run's settings.
        checkpoints: Where checkpoints go: a folder in the run's directory.

    Returns:
        Keyword arguments for TRL's configuration classes.

    Raises:
        MissingDependencyError: A tracker is not installed.
    """
    cuda = torch.cuda.is_available()
    run_dir = checkpoints.parent
    return {
        "output_dir": str(checkpoints),
        "run_name": settings.name if run_dir.name == settings.name else f"{settings.name}/{run_dir.name}",
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulate,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": _SCHEDULES[settings.schedule],
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "adam_beta2": settings.adam_beta2,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "train_sampling_strategy": "sequential" if in_order(settings) else "random",
        "logging_steps": 5,
        "logging_nan_inf_filter": False,  # it would log the mean of the steps before in place of a loss that is none
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "save_total_limit": 2,
        "report_to": _trackers(settings),
        "disable_tqdm": True,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "use_cpu": not cuda,
        "bf16": computing_dtype() == "bfloat16",  # mixed precision: weights and optimiser stay in float32
        "ddp_find_unused_parameters": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": cuda,
    }


def in_order(settings: TrainingSettings) -> bool:
    """Return whether examples are taken in the order of the training set, not drawn in another one each epoch.

    Args:
        settings: The run's settings.
    """
    return settings.mix is not None and settings.mix.order != "mixed"


@contextmanager
def tracked(settings: TrainingSettings, run_dir: Path) -> Iterator[None]:
    """Give trackers a home in the run's directory while a run trains, where their own variables name no other one.

    Args:
        settings: The run's settings.
        run_dir: The run's directory.

    Raises:
        MissingDependencyError: A tracker is not installed.
    """
    _trackers(settings)  # now, not after the model is loaded
    logs = run_dir.absolute() / "logs"
    homes = {
        "tensorboard": {"TENSORBOARD_LOGGING_DIR": str(logs)},
        "wandb": {"WANDB_DIR": str(logs), "WANDB_PROJECT": "oldham"},
        "mlflow": {"MLFLOW_TRACKING_URI": (logs / "mlruns").as_uri(), "MLFLOW_EXPERIMENT_NAME": "oldham"},
    }
    wanted = {name: value for tracker in settings.track for name, value in homes[tracker].items()}
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    if settings.track:
        logs.mkdir(parents=True, exist_ok=True)
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        # The next run of a grid would log into the open run of this one.
        for name, end in (("wandb", "finish"), ("mlflow", "end_run")):
            if name in settings.track and name in sys.modules:
                getattr(sys.modules[name], end)()


def _trackers(settings: TrainingSettings) -> list[str]:
    for tracker in settings.track:
        if not any(find_spec(package) for package in _TRACKER_PACKAGES[tracker]):
            raise MissingDependencyError(
                f"The tracker `{tracker}` is not installed.", remedy="Install it with: pip install 'oldham[track]'."
            )
    return list(settings.track)


def _new_adapter(model: Any, lora: LoraSettings) -> LoraConfig:
    chosen, linear = lora.target_modules, _linear_layers(model)
    names = {name.rpartition(".")[2] for name in linear}
    targets: str | list[str] = chosen if isinstance(chosen, str) else sorted(chosen)
    if not isinstance(targets, str):
        missing = next((one for one in targets if not any(f".{name}".endswith(f".{one}") for name in linear)), None)
        if missing is not None:
            raise ConfigError(
                f"No linear layer of the model's blocks is called `{missing}`.", remedy=did_you_mean(missing, names)
            )
    if lora.layers is not None:
        blocks = model.config.get_text_config().num_hidden_layers
        if lora.layers[1] >= blocks:
            raise ConfigError(
                f"`lora.layers` ends at block {lora.layers[1]}, and the model has {blocks} blocks.",
                remedy=f"Blocks are counted from 0 to {blocks - 1}.",
            )
        if isinstance(targets, str):  # the library takes a range of blocks only beside names of modules
            targets = sorted(names)
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        layers_to_transform=None if lora.layers is None else list(range(lora.layers[0], lora.layers[1] + 1)),
        task_type="CAUSAL_LM",
    )


def _linear_layers(model: Any) -> list[str]:
    """Return the names of the linear layers of the model's blocks."""
    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and module is not head
        and any(p.isdigit() for p in name.split("."))
    ]
