"""Tiny random models of the architectures that the engine is tested on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE: Final = 120
"""Tokens every tiny model knows."""
WIDTH: Final = 64
"""Width of the residual stream; four heads of 16."""

_SHAPE: Final = {
    "vocab_size": SIZE,
    "hidden_size": WIDTH,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 1024,
    "initializer_range": 0.2,  # wide enough that no two tokens are nearly equally likely
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
_GROUPED: Final = {"num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": False}


def _llama() -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(**_SHAPE, **_GROUPED)


def _qwen2() -> Any:
    from transformers import Qwen2Config

    return Qwen2Config(**_SHAPE, num_key_value_heads=2, tie_word_embeddings=True)


def _qwen3() -> Any:
    from transformers import Qwen3Config

    return Qwen3Config(**_SHAPE, **_GROUPED)


def _gemma3() -> Any:
    from transformers import Gemma3TextConfig

    kinds = ["sliding_attention", "full_attention"] * 2
    return Gemma3TextConfig(**_SHAPE, **_GROUPED, sliding_window=24, layer_types=kinds, query_pre_attn_scalar=16)


def _gpt_neox() -> Any:
    from transformers import GPTNeoXConfig

    return GPTNeoXConfig(**_SHAPE, tie_word_embeddings=False)


CONFIGS: Final[dict[str, Callable[[], Any]]] = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "gemma3": _gemma3,
    "gpt_neox": _gpt_neox,
}
"""Configurations by name; Gemma 3 has layers with a window of 24 tokens."""


def random_model(name: str) -> Any:
    """Build a model in float32; the same name gives the same weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(CONFIGS[name]()).eval().requires_grad_(requires_grad=False)
