from __future__ import annotations

from typing import Any

import pytest

from architectures import CONFIGS, random_model
from oldham.core.errors import ModelError

pytestmark = pytest.mark.model

LLAMA_LIKE = ("model", "model.layers.{}", "self_attn", "mlp", "self_attn.o_proj", "model.norm")
WHERE = dict.fromkeys(("llama", "qwen2", "qwen3", "gemma3"), LLAMA_LIKE) | {
    "gpt_neox": (
        "gpt_neox",
        "gpt_neox.layers.{}",
        "attention",
        "mlp",
        "attention.dense",
        "gpt_neox.final_layer_norm",
    )
}
"""Names of decoder, block, attention, MLP, out-projection (the last three inside the block) and final norm."""

TINY = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}


def tiny(family: str, **changes: Any) -> Any:
    """Build a small model of any family of transformers."""
    import transformers

    config = getattr(transformers, f"{family}Config")(**TINY | changes)
    return transformers.AutoModelForCausalLM.from_config(config)


def with_adapter(model: Any) -> Any:
    """Put LoRA on all linear layers."""
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"))


@pytest.mark.parametrize("name", CONFIGS)
def test_finds_the_parts_of_each_architecture(name: str) -> None:
    from oldham.engine.anatomy import anatomy_of

    model = random_model(name)
    found = anatomy_of(model)
    decoder, block, attention, mlp, attention_out, norm = WHERE[name]
    blocks = [model.get_submodule(block.format(layer)) for layer in range(4)]
    assert found.decoder is model.get_submodule(decoder)
    assert found.blocks == tuple(blocks)
    assert found.attention == tuple(each.get_submodule(attention) for each in blocks)
    assert found.mlp == tuple(each.get_submodule(mlp) for each in blocks)
    assert found.attention_out == tuple(each.get_submodule(attention_out) for each in blocks)
    assert found.norm is model.get_submodule(norm)
    assert found.unembedding is model.lm_head
    assert (found.n_layers, found.n_heads, found.head_size, found.width) == (4, 4, 16, 64)


@pytest.mark.parametrize("name", CONFIGS)
def test_looks_through_an_adapter(name: str) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    from oldham.engine.anatomy import anatomy_of

    model = random_model(name)
    plain = anatomy_of(model)
    adapted = anatomy_of(with_adapter(model))
    assert (adapted.blocks, adapted.attention, adapted.mlp) == (plain.blocks, plain.attention, plain.mlp)
    assert all(isinstance(module, BaseTunerLayer) for module in adapted.attention_out)
    assert [module.get_base_layer() for module in adapted.attention_out] == list(plain.attention_out)
    assert (adapted.norm, adapted.unembedding) == (plain.norm, plain.unembedding)


def test_an_adapter_that_is_taken_off_again_is_gone() -> None:
    from oldham.engine.anatomy import anatomy_of

    model = random_model("llama")
    plain = anatomy_of(model)
    assert anatomy_of(with_adapter(model).unload()) == plain


def test_parts_that_an_adapter_trains_whole_are_found_where_they_run() -> None:
    from peft import LoraConfig, get_peft_model

    from oldham.engine.anatomy import anatomy_of

    model = random_model("llama")
    plain = anatomy_of(model)
    trained = ["o_proj", "mlp", "norm", "lm_head"]
    settings = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=trained)
    found = anatomy_of(get_peft_model(model, settings))
    pairs = [
        (found.attention_out[1], plain.attention_out[1]),
        (found.mlp[1], plain.mlp[1]),
        (found.norm, plain.norm),
        (found.unembedding, plain.unembedding),
    ]
    for wrapper, before in pairs:
        assert wrapper is not before
        assert wrapper.original_module is before


def test_heads_may_be_wider_together_than_the_residual_stream() -> None:
    from oldham.engine.anatomy import anatomy_of

    found = anatomy_of(tiny("Llama", head_dim=16))
    assert (found.n_heads, found.head_size, found.width) == (4, 16, 32)
    assert found.attention_out[0].in_features == 64


@pytest.mark.parametrize(
    ("family", "attention_out"),
    [
        ("Phi3", "model.layers.1.self_attn.o_proj"),  # defined before the projections that lead inward
        ("Mixtral", "model.layers.1.self_attn.o_proj"),  # experts in the place of the MLP
        ("Olmo2", "model.layers.1.self_attn.o_proj"),  # norms behind attention and MLP only
        ("Cohere", "model.layers.1.self_attn.o_proj"),  # one norm, parallel
        ("GPTJ", "transformer.h.1.attn.out_proj"),  # keys, values, queries, all of one shape
        ("Falcon", "transformer.h.1.self_attention.dense"),
    ],
)
def test_families_that_nobody_listed_are_found_too(family: str, attention_out: str) -> None:
    from oldham.engine.anatomy import anatomy_of

    model = tiny(family, **({"rotary_dim": 4} if family == "GPTJ" else {}))
    assert anatomy_of(model).attention_out[1] is model.get_submodule(attention_out)


def test_finds_the_text_part_of_a_model_that_also_sees() -> None:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    from oldham.engine.anatomy import anatomy_of

    seeing = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    text = TINY | {"num_key_value_heads": 2, "head_dim": 8}
    model = Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=seeing, mm_tokens_per_image=4))
    assert anatomy_of(model).blocks == tuple(model.model.language_model.layers)


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("GPT2", "no projection from 32"),  # its projections do not say their shape
        ("OPT", "2 modules that could be the MLP"),  # the MLP lies open in the block
        ("Bloom", "adds the residual stream itself"),
        ("Mpt", "adds the residual stream itself"),
        ("DeepseekV3", "no projection from"),  # values have a size of their own
        ("Mamba", "no MLP"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(family: str, said: str) -> None:
    from oldham.engine.anatomy import anatomy_of

    with pytest.raises(ModelError, match=said):
        anatomy_of(tiny(family))


def test_a_second_module_that_could_be_the_out_projection_is_refused() -> None:
    from torch import nn

    from oldham.engine.anatomy import anatomy_of

    model = random_model("llama")
    model.model.layers[2].self_attn.gate_proj = nn.Linear(64, 64)
    with pytest.raises(ModelError, match="2 modules that could be the projection"):
        anatomy_of(model)


def test_layers_that_share_a_module_are_refused() -> None:
    from oldham.engine.anatomy import anatomy_of

    model = random_model("llama")
    model.model.layers[2] = model.model.layers[1]
    with pytest.raises(ModelError, match="share one module"):
        anatomy_of(model)


def test_layers_of_different_shape_are_refused() -> None:
    from oldham.engine.anatomy import anatomy_of

    with pytest.raises(ModelError, match="differ in `head_dim`"):
        anatomy_of(tiny("Gemma4Text"))


def test_a_model_without_logits_is_refused() -> None:
    from oldham.engine.anatomy import anatomy_of

    with pytest.raises(ModelError, match="no unembedding"):
        anatomy_of(random_model("llama").model)


def test_something_else_than_a_language_model_is_refused() -> None:
    from torch import nn

    from oldham.engine.anatomy import anatomy_of

    with pytest.raises(ModelError, match="A Linear is no language model"):
        anatomy_of(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("number", "said"),
    [(None, "does not say its `num_attention_heads`"), ([4, 4, 2, 4], "no single `num_attention_heads`")],
)
def test_a_number_that_the_configuration_lacks_is_named(number: Any, said: str) -> None:
    from oldham.engine.anatomy import anatomy_of

    model = random_model("llama")
    vars(model.config)["num_attention_heads"] = number  # past the checks of transformers' own configurations
    with pytest.raises(ModelError, match=said):
        anatomy_of(model)
