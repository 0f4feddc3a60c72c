from __future__ import annotations

import copy
from typing import Any

import pytest

pytestmark = pytest.mark.model


def rearranged(model: Any) -> Any:
    from oldham.engine.linears import RearrangedLinears

    return RearrangedLinears(model)


def test_rearranged_layers_give_the_same_bits(architecture: Any) -> None:
    import torch

    model = copy.deepcopy(architecture).to(torch.bfloat16)
    ids = torch.arange(2, 50)[None]
    layers = rearranged(model)
    with torch.inference_mode():
        plain = model(input_ids=ids).logits
        with layers.used():
            told = model(input_ids=ids).logits
            assert sum("forward" in vars(m) for m in model.modules()) == len(layers)
        again = model(input_ids=ids).logits

    assert torch.equal(plain, told)
    assert torch.equal(plain, again)
    assert not any("forward" in vars(m) for m in model.modules())


def test_layers_are_restored_after_an_error(llama: Any) -> None:
    import torch

    model = copy.deepcopy(llama).to(torch.bfloat16)
    layers = rearranged(model)

    with pytest.raises(RuntimeError, match="stop"), layers.used():
        raise RuntimeError("stop")

    assert not any("forward" in vars(m) for m in model.modules())


def test_without_memory_or_in_another_format_layers_stay(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from oldham.engine import linears

    assert len(rearranged(llama)) == 0  # float32
    monkeypatch.setattr(linears, "available_gib", lambda: 1e-6)
    assert len(rearranged(copy.deepcopy(llama).to(torch.bfloat16))) == 0
