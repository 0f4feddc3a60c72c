"""What the tests of switching adapters share: adapters of every kind, fresh loads, and weights bit by bit."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from architectures import random_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ATTENTION = ["q_proj", "v_proj"]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS: dict[str, dict[str, Any]] = {
    "attention": {"r": 2, "lora_alpha": 4, "target_modules": ATTENTION},
    "everywhere": {"r": 4, "lora_alpha": 16, "target_modules": ALL},
    "rslora": {"r": 4, "lora_alpha": 3, "use_rslora": True, "target_modules": ["down_proj"]},
    "ranks": {
        "target_modules": ["q_proj", "up_proj"],
        "r": 4,
        "rank_pattern": {"layers.1.self_attn.q_proj": 2},
        "alpha_pattern": {"up_proj": 5},
    },
    "some layers": {"r": 2, "target_modules": ["o_proj"], "layers_to_transform": [1, 3]},
    "expression": {"r": 3, "target_modules": r".*\.2\.mlp\.(gate|up)_proj", "exclude_modules": r".*up_proj"},
    "saved head": {"r": 2, "target_modules": ATTENTION, "modules_to_save": ["lm_head"]},
    "saved block": {"r": 2, "target_modules": ["k_proj"], "modules_to_save": ["mlp", "norm"]},
    "embeddings": {"r": 2, "target_modules": ["embed_tokens", "lm_head"]},
    "dora": {"r": 2, "use_dora": True, "target_modules": ["v_proj", "down_proj"]},
    "orthogonal": {"r": 2, "init_lora_weights": "orthogonal", "target_modules": ATTENTION},
}


def save_base(target: Path, name: str = "llama", kind: str = "bfloat16") -> Path:
    import torch

    random_model(name).to(getattr(torch, kind)).save_pretrained(target)
    return target


def save_adapter(base: Path, target: Path, seed: int = 0, **settings: Any) -> Path:
    """Write a LoRA adapter whose every weight is drawn anew."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    torch.manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.requires_grad or "lora_" in name:
            weight.data += 0.3 * torch.randn_like(weight)
    model.save_pretrained(target)
    return target


def fresh(base: Path, adapters: Sequence[Path], dtype: str = "bfloat16") -> Any:
    from oldham.backends.loading import load_model
    from oldham.backends.weights import ModelFiles

    return load_model(ModelFiles(base, tuple(adapters)), dtype)


def bits(model: Any) -> dict[str, bytes]:
    """Return every parameter and buffer as its bytes."""
    import torch

    tensors = itertools.chain(model.named_parameters(remove_duplicate=False), model.named_buffers())
    return {name: value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes() for name, value in tensors}


def switcher(base: Path, adapters: Sequence[Path] = (), dtype: str = "bfloat16") -> tuple[Any, Any]:
    from oldham.engine.adapters import AdapterSwitch

    model = fresh(base, adapters, dtype)
    return model, AdapterSwitch(model, base, adapters)
