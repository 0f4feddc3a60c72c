from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from architectures import random_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore::UserWarning:peft")]

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
UNSWITCHABLE: dict[str, dict[str, Any]] = {
    "pissa": {"r": 2, "init_lora_weights": "pissa", "target_modules": ATTENTION},
    "olora": {"r": 2, "init_lora_weights": "olora", "target_modules": ATTENTION},
    "tokens": {"r": 2, "target_modules": ATTENTION, "trainable_token_indices": [3, 4]},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return {
        name: save_adapter(base, folder / name.replace(" ", "-"), seed, **settings)
        for seed, (name, settings) in enumerate(KINDS.items())
    }


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


@pytest.mark.parametrize("kind", UNSWITCHABLE)
def test_what_cannot_be_switched_is_refused_untouched(base: Path, tmp_path: Path, kind: str) -> None:
    adapter = save_adapter(base, tmp_path / "a", **UNSWITCHABLE[kind])
    model, switch = switcher(base)
    before = bits(model)
    assert not switch.switch([adapter])
    assert bits(model) == before
    assert switch.adapters == ()
    assert not switcher(base, [adapter])[1].switch([])


def test_prompt_tuning_is_refused(base: Path, tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model

    model, switch = switcher(base)
    tuned = get_peft_model(fresh(base, []), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    tuned.save_pretrained(tmp_path / "a")
    assert not switch.switch([tmp_path / "a"])


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["embed_tokens"]},
        {"target_modules": ["lm_head"]},
    ],
    ids=["saved", "embedding", "head"],
)
def test_tied_embeddings_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    base = save_base(tmp_path / "base", "qwen2")
    adapter = save_adapter(base, tmp_path / "a", r=2, **settings)
    model, switch = switcher(base)
    before = bits(model)
    assert not switch.switch([adapter])
    assert bits(model) == before
    assert not switcher(base, [adapter])[1].switch([])


def test_a_model_that_is_not_what_its_files_say_is_refused(base: Path, adapters: dict[str, Path]) -> None:
    model, switch = switcher(base)
    weight = model.model.layers[2].mlp.down_proj.weight
    weight.data[0, 0] += 1
    before = bits(model)
    assert not switch.switch([adapters["everywhere"]])
    assert bits(model) == before
    assert switch.switch([adapters["attention"]])  # that module is none of its targets


def test_files_that_change_are_refused(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    adapter = save_adapter(base, tmp_path / "a", r=2, target_modules=ATTENTION)
    model, switch = switcher(base, [adapter])
    save_adapter(base, tmp_path / "a", seed=1, r=3, target_modules=["k_proj"])
    assert not switch.switch([])
    model, switch = switcher(base)
    save_base(tmp_path / "base", kind="float32")
    assert not switch.switch([adapter])


def test_an_adapter_written_anew_between_switches(tmp_path: Path, base: Path) -> None:
    model, switch = switcher(base)
    bare = bits(model)
    adapter = save_adapter(base, tmp_path / "a", r=2, target_modules=ALL)
    assert switch.switch([adapter])
    save_adapter(base, tmp_path / "a", seed=1, r=3, target_modules=["k_proj"])
    assert switch.switch([adapter])
    assert bits(model) == bits(fresh(base, [adapter]))
    assert switch.switch([])
    assert bits(model) == bare
    model, switch = switcher(base, [adapter])
    assert switch.switch([])
    save_adapter(base, tmp_path / "a", seed=2, r=2, target_modules=["v_proj"])
    assert switch.switch([adapter])  # what it was at the start is no longer of any use
    assert bits(model) == bits(fresh(base, [adapter]))


def test_damaged_adapters_are_left_to_loading(base: Path, adapters: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model, switch = switcher(base)
    before = bits(model)
    broken = save_adapter(base, tmp_path / "a", **KINDS["attention"])
    weights = load_file(broken / "adapter_model.safetensors")
    weights.pop(next(name for name in weights if "lora_A" in name))
    save_file(weights, broken / "adapter_model.safetensors")
    assert not switch.switch([broken])  # what is missing would be random
    (broken / "adapter_model.safetensors").write_bytes(b"not weights")
    assert not switch.switch([broken])
    (broken / "adapter_config.json").write_text("{")
    assert not switch.switch([broken])
    assert not switch.switch([tmp_path / "nowhere"])
    config = json.loads((adapters["attention"] / "adapter_config.json").read_text(encoding="utf-8"))
    (broken / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "LOHA"}))
    assert not switch.switch([broken])
    assert bits(model) == before
    assert switch.switch([adapters["attention"]])


def test_a_switch_broken_off_in_the_middle_is_not_taken_for_done(
    base: Path, adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, switch = switcher(base)
    write, calls = switch._write, itertools.count()

    def run_out(name: str, weights: Any) -> None:
        if next(calls) == 3:
            raise MemoryError
        write(name, weights)

    monkeypatch.setattr(switch, "_write", run_out)
    with pytest.raises(MemoryError):
        switch.switch([adapters["everywhere"]])
    assert switch.adapters is None
    assert not switch.switch([])


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
