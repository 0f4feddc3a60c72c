from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hooking import LAYERS, at, logits, tokens

from architectures import CONFIGS, WIDTH, random_model
from oldham.core.errors import ConfigError
from oldham.core.steering import SteeringSpec

if TYPE_CHECKING:
    from pathlib import Path

    import torch

pytestmark = pytest.mark.model

ADDED = [name for name in CONFIGS if name != "gemma3"]
"""Architectures that add what attention and MLP put out to the residual stream as it is."""


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest) -> Any:
    return random_model(request.param)


@pytest.fixture
def vector() -> torch.Tensor:
    import torch

    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(1)) * 3


def write(folder: Path, vector: torch.Tensor, **said: str) -> Path:
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    save_file({"direction": vector}, folder / "direction.safetensors", said)
    return folder


def seen(model: Any, steering: Any, points: list[Any]) -> dict[Any, torch.Tensor]:
    """Read points while the model is steered."""
    import torch

    from oldham.engine.hooks import hooked

    with steering, hooked(model, reads=points) as readings, torch.no_grad():
        model(tokens())
    return dict(readings)


def test_nothing_along_the_direction_is_left_at_any_site(model: Any, vector: torch.Tensor) -> None:
    from oldham.engine.steering import ablated

    points = [at(site, layer) for site in ("resid_pre", "attn_out", "mlp_out") for layer in LAYERS]
    for point, state in seen(model, ablated(model, vector), points).items():
        along = (state @ vector / vector.norm()).abs().max()
        assert along < 1e-4 * state.norm(dim=-1).max(), point


@pytest.mark.parametrize("name", ADDED)
def test_ablating_is_to_write_nothing_along_the_direction(name: str, vector: torch.Tensor) -> None:
    """The paper's equivalence (section 4.1): ablation equals weights that cannot write to the direction."""
    import torch

    from oldham.engine.anatomy import anatomy_of
    from oldham.engine.steering import ablated

    model, edited = random_model(name), random_model(name)
    unit = vector / vector.norm()
    anatomy = anatomy_of(edited)
    inner = [module for mlp in anatomy.mlp for module in mlp.modules()]
    writers = [m for m in (*anatomy.attention_out, *inner) if getattr(m, "out_features", None) == anatomy.width]
    assert len(writers) == 2 * anatomy.n_layers
    embedding = edited.get_input_embeddings().weight
    before = edited.get_output_embeddings().weight.clone()
    with torch.no_grad():
        for writer in writers:
            writer.weight -= torch.outer(unit, unit @ writer.weight)
            if writer.bias is not None:
                writer.bias -= unit * (unit @ writer.bias)
        embedding -= torch.outer(embedding @ unit, unit)
        if edited.get_output_embeddings().weight is embedding:  # tied: reading from the direction does no harm
            edited.lm_head.weight = torch.nn.Parameter(before)
        with ablated(model, vector):
            steered = model(tokens()).logits
        plain = edited(tokens()).logits
    assert torch.allclose(steered, plain, atol=1e-4)


def test_adding_shifts_the_input_of_one_layer(model: Any, vector: torch.Tensor) -> None:
    import torch

    from oldham.engine.steering import added

    points = [at("resid_pre", layer) for layer in LAYERS]
    plain = seen(model, added(model, torch.zeros_like(vector), layer=0), points)
    pushed = seen(model, added(model, vector, layer=2, coefficient=-0.5), points)
    for layer in (0, 1):
        assert torch.equal(plain[at("resid_pre", layer)], pushed[at("resid_pre", layer)])
    shift = pushed[at("resid_pre", 2)] - plain[at("resid_pre", 2)]
    assert torch.allclose(shift, (-0.5 * vector).expand_as(shift), atol=1e-5)
    assert not torch.allclose(plain[at("resid_pre", 3)], pushed[at("resid_pre", 3)], atol=1e-2)


def test_the_model_is_itself_again_afterwards(model: Any, vector: torch.Tensor) -> None:
    import torch

    from oldham.engine.steering import ablated, added

    before = logits(model)
    for steering in (ablated(model, vector), added(model, vector, layer=1)):
        with pytest.raises(KeyboardInterrupt), steering:
            assert not torch.allclose(logits(model), before, atol=1e-3)
            raise KeyboardInterrupt
        assert torch.equal(logits(model), before)


def test_half_precision_keeps_what_is_not_along(vector: torch.Tensor) -> None:
    import torch

    from oldham.engine.steering import ablated

    model = random_model("llama").to(torch.bfloat16)
    state = seen(model, ablated(model, vector), [at("resid_pre", 3)])[at("resid_pre", 3)]
    assert state.dtype == torch.bfloat16
    along = (state.float() @ vector / vector.norm()).abs()
    assert (along <= 2**-8 * state.float().norm(dim=-1)).all()  # what rounding to bfloat16 puts back


def test_generation_token_by_token_is_steered_like_one_pass(vector: torch.Tensor) -> None:
    import torch

    from oldham.engine.steering import ablated, added

    model = random_model("qwen3")
    for steering in (lambda: ablated(model, vector), lambda: added(model, vector, layer=1)):
        with steering(), torch.no_grad():
            whole = model(tokens()).logits[:, -1]
            first = model(tokens()[:, :-1], use_cache=True)
            last = model(tokens()[:, -1:], past_key_values=first.past_key_values).logits[:, -1]
        assert torch.allclose(whole, last, atol=1e-4)


def test_a_study_s_setting_is_carried_out(tmp_path: Path, vector: torch.Tensor) -> None:
    import torch

    from oldham.engine.steering import ablated, added, steered

    model = random_model("llama")
    folder = write(tmp_path / "d", vector, layer="2")

    def under(steering: Any) -> torch.Tensor:
        with steering:
            return logits(model)

    def said(**settings: Any) -> torch.Tensor:
        return under(steered(model, SteeringSpec(direction=str(folder), **settings)))

    assert torch.equal(said(mode="ablate"), under(ablated(model, vector)))
    assert torch.equal(said(mode="add"), under(added(model, vector, layer=2)))
    assert torch.equal(said(mode="add", coefficient=-2, layer=1), under(added(model, vector, layer=1, coefficient=-2)))
    assert torch.equal(said(mode="add", coefficient=0), logits(model))


def test_a_direction_is_read_again_when_its_file_changes(tmp_path: Path, vector: torch.Tensor) -> None:
    import torch

    from oldham.engine.steering import load_direction

    folder = write(tmp_path / "d", vector, layer="2")
    first = load_direction(folder)
    assert load_direction(folder).vector is first.vector
    write(folder, -vector, layer="3")
    second = load_direction(folder)
    assert torch.equal(second.vector, -vector)
    assert (first.layer, second.layer) == (2, 3)


def test_what_cannot_be_done_is_told(tmp_path: Path, vector: torch.Tensor) -> None:
    import torch

    from oldham.engine.steering import ablated, added, load_direction, steered

    model = random_model("llama")
    with pytest.raises(ConfigError, match="numbers"), ablated(model, vector[1:]):
        pass
    with pytest.raises(ConfigError, match="layer 4"), added(model, vector, layer=4):
        pass
    with pytest.raises(ConfigError, match="zero or not finite"):
        load_direction(write(tmp_path / "zero", torch.zeros_like(vector)))
    unplaced = SteeringSpec(direction=str(write(tmp_path / "unplaced", vector)), mode="add")
    with pytest.raises(ConfigError, match="which layer"):
        steered(model, unplaced)
