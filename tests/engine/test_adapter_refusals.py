"""Where a switch of adapters is refused, and what becomes of the model then."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from switching import ALL, ATTENTION, KINDS, bits, fresh, save_adapter, save_base, switcher

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.model,
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
    pytest.mark.usefixtures("single_thread"),
]
UNSWITCHABLE: dict[str, dict[str, Any]] = {
    "pissa": {"r": 2, "init_lora_weights": "pissa", "target_modules": ATTENTION},
    "olora": {"r": 2, "init_lora_weights": "olora", "target_modules": ATTENTION},
    "tokens": {"r": 2, "target_modules": ATTENTION, "trainable_token_indices": [3, 4]},
}


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
