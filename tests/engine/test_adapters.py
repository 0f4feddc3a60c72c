"""Switching adapters gives the bits of a fresh load, in place and silently."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest
from switching import ALL, KINDS, bits, fresh, save_adapter, save_base, switcher

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.model,
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
    pytest.mark.usefixtures("single_thread"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_switch_gives_the_bits_of_a_fresh_load(base: Path, adapters: dict[str, Path], kind: str, dtype: str) -> None:
    model, switch = switcher(base, (), dtype)
    bare = bits(model)
    wanted = bits(fresh(base, [adapters[kind]], dtype))
    assert wanted != bare
    assert switch.switch([adapters[kind]])
    assert bits(model) == wanted
    assert switch.switch([])
    assert bits(model) == bare


def test_every_pair_of_adapters_leaves_nothing_behind(base: Path, adapters: dict[str, Path]) -> None:
    wanted = {kind: bits(fresh(base, [folder])) for kind, folder in adapters.items()}
    for start in adapters:
        model, switch = switcher(base, [adapters[start]])
        for kind, folder in adapters.items():
            assert switch.switch([folder])
            assert bits(model) == wanted[kind], f"from {start} to {kind}"


def test_chains_are_merged_in_order(base: Path, adapters: dict[str, Path]) -> None:
    chains = [
        ("everywhere", "attention"),
        ("attention", "everywhere"),
        ("saved head", "embeddings"),
        ("embeddings", "saved head"),
        ("saved block", "everywhere"),
        ("everywhere", "dora"),
        (),
        ("everywhere",),
        ("attention", "attention"),
        ("ranks", "rslora", "some layers"),
    ]
    model, switch = switcher(base, [adapters["everywhere"], adapters["saved head"]])
    for chain in chains:
        folders = [adapters[name] for name in chain]
        assert switch.switch(folders)
        assert switch.adapters == tuple(folders)
        assert bits(model) == bits(fresh(base, folders)), chain


def test_the_order_of_a_chain_matters_to_the_bits(base: Path, adapters: dict[str, Path]) -> None:
    chain = [adapters["everywhere"], adapters["dora"]]
    assert bits(fresh(base, chain)) != bits(fresh(base, chain[::-1]))  # else the test above could not fail


def test_a_hundred_switches_leave_no_drift(base: Path, adapters: dict[str, Path]) -> None:
    model, switch = switcher(base)
    bare = bits(model)
    places = {name: value.data_ptr() for name, value in model.named_parameters()}
    kinds = itertools.cycle(["attention", "everywhere", "saved head", "rslora"])
    for kind in itertools.islice(kinds, 100):
        assert switch.switch([adapters[kind]])
    assert bits(model) == bits(fresh(base, [adapters["rslora"]]))
    assert switch.switch([])
    assert bits(model) == bare
    assert {name: value.data_ptr() for name, value in model.named_parameters()} == places


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("llama", "float32"),
        ("qwen2", "float16"),
        ("qwen3", "float32"),
        ("gemma3", "bfloat16"),
        ("gpt_neox", "float16"),
        ("gpt_neox", "float32"),
    ],
)
def test_every_architecture_and_file_format(tmp_path: Path, name: str, stored: str) -> None:
    base = save_base(tmp_path / "base", name, stored)
    first, second = (
        save_adapter(base, tmp_path / f"a{r}", seed=r, r=r, target_modules="all-linear", bias=bias, lora_bias=lora_bias)
        for r, bias, lora_bias in ((2, "all", False), (3, "none", name == "gpt_neox"))
    )
    for dtype in ("bfloat16", "float16"):
        model, switch = switcher(base, [first], dtype)
        for chain in ([second], [first, second], [second, first], [], [first]):
            assert switch.switch(chain)
            assert bits(model) == bits(fresh(base, chain, dtype))


def test_transposed_layers(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"vocab_size": 120, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=1, eos_token_id=1)).save_pretrained(tmp_path / "base")
    adapter = save_adapter(
        tmp_path / "base", tmp_path / "a", r=2, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True
    )
    model, switch = switcher(tmp_path / "base")
    assert switch.switch([adapter])
    assert bits(model) == bits(fresh(tmp_path / "base", [adapter]))


def test_shards(tmp_path: Path, base: Path, adapters: dict[str, Path]) -> None:
    fresh(base, []).save_pretrained(tmp_path / "base", max_shard_size="20KB")
    assert len(list((tmp_path / "base").glob("*.safetensors"))) > 2
    model, switch = switcher(tmp_path / "base")
    assert switch.switch([adapters["everywhere"]])
    assert bits(model) == bits(fresh(base, [adapters["everywhere"]]))


def test_no_second_copy_of_the_weights(tmp_path: Path) -> None:
    from torch.profiler import ProfilerActivity, profile
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8}
    base = tmp_path / "base"
    LlamaForCausalLM(LlamaConfig(vocab_size=120, **shape)).save_pretrained(base)
    adapter = save_adapter(base, tmp_path / "a", r=1, target_modules=ALL)
    model, switch = switcher(base, [adapter])
    weights = [weight.numel() * 4 for weight in model.parameters()]
    lora = (adapter / "adapter_model.safetensors").stat().st_size
    # A base's module is there in full once, and its update twice while it is scaled; a file's pages count for nothing.
    allowed = 4 * max(weights) + 3 * lora
    assert allowed < sum(weights) / 4

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watch:
        assert switch.switch([])
        assert switch.switch([adapter])
    mapped = (base / "model.safetensors").stat().st_size
    watch.export_chrome_trace(str(tmp_path / "trace.json"))
    assert 0 < peak_bytes(tmp_path / "trace.json", mapped) < allowed
    assert bits(model) == bits(fresh(base, [adapter]))


def peak_bytes(trace: Path, mapped: int) -> int:
    """Return the most that torch had allocated at a time, beyond what it had at the start and the mapped file."""
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = [(event["ts"], event["args"]["Bytes"]) for event in events if event["name"] == "[memory]"]
    assert any(change == mapped for _, change in changes)  # torch reports a memory map like an allocation
    return max(itertools.accumulate(change for _, change in sorted(changes) if abs(change) != mapped))


def test_the_draws_of_others_are_left_alone(base: Path, adapters: dict[str, Path]) -> None:
    import torch

    _, switch = switcher(base)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert switch.switch([adapters["everywhere"]])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_models_on_one_base_are_switched_silently(
    base: Path, adapters: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from oldham.backends.loading import adapter_switch, load_model, switch_adapters
    from oldham.backends.weights import ModelFiles

    files = ModelFiles(base, (adapters["everywhere"],))
    other = ModelFiles(save_base(tmp_path / "other", "qwen3"), ())
    model = load_model(files, "bfloat16")
    switch = adapter_switch(model, files)
    capfd.readouterr()
    assert switch_adapters(switch, ModelFiles(base, (adapters["dora"],)))
    assert capfd.readouterr() == ("", "")
    assert bits(model) == bits(fresh(base, [adapters["dora"]]))
    assert not switch_adapters(switch, other)
    assert switch_adapters(switch, files)
    assert bits(model) == bits(fresh(base, [adapters["everywhere"]]))


@pytest.mark.slow
def test_the_shipped_doses() -> None:
    from oldham.backends.loading import adapter_switch, load_model, switch_adapters
    from oldham.backends.weights import aliases, locate

    model = load_model(locate(aliases()[-1]), "bfloat16")
    switch = adapter_switch(model, locate(aliases()[-1]))
    for name in aliases():
        assert switch_adapters(switch, locate(name))
        assert bits(model) == bits(load_model(locate(name), "bfloat16"))
