from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from architectures import random_model
from oldham.core.errors import ConfigError, DataError, ModelError
from stored_texts import MODEL, spell, stored

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.model


def settings(**changes: Any) -> Any:
    from oldham.engine.activations import StoreOptions
    from oldham.engine.hooks import Point
    from oldham.engine.token_layout import Positions

    values: dict[str, Any] = {
        "model": MODEL,
        "decode": spell,
        "points": (Point("resid_post", 1), Point("head_out", 2)),
        "positions": Positions(where=("all",)),
        "number_format": "float32",
    }
    return StoreOptions(**values | changes)


def points(*layers: int) -> tuple[Any, ...]:
    from oldham.engine.hooks import Point

    return tuple(Point("resid_post", layer) for layer in layers)


def store(folder: Path) -> Any:
    from oldham.engine.activations import ActivationStore

    return ActivationStore(folder)


def key(number: int) -> str:
    return stored(number).trial.fingerprint


def expected(model: Any, number: int, layer: int) -> np.ndarray[Any, Any]:
    import torch

    generation = stored(number)
    with torch.no_grad():
        ids = torch.tensor([[*generation.prompt_ids, *generation.output_ids]])
        states = model(ids, output_hidden_states=True).hidden_states
    return np.asarray(states[layer + 1][0].numpy())


def test_what_is_read_is_what_the_model_computes(architecture: Any, tmp_path: Path) -> None:
    store(tmp_path).write(architecture, [stored(0), stored(1, prompt=30)], settings())
    kept = store(tmp_path)
    (resid,) = points(1)
    np.testing.assert_allclose(kept.read(key(0), resid), expected(architecture, 0, 1), atol=1e-5)
    heads = next(point for point in kept.points if point.site == "head_out")
    config = architecture.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    assert kept.read(key(0), heads).shape == (25, config.num_attention_heads, size)
    assert kept.rows(key(1)).place.tolist() == list(range(48))


def test_rows_of_several_generations_do_not_mix(llama: Any, tmp_path: Path) -> None:
    from oldham.engine.token_layout import Positions

    positions = Positions(where=("prompt_end", "trace", "answer_start"), every=4)
    some = [stored(number, prompt=5 + number) for number in range(6)]
    store(tmp_path).write(llama, some, settings(positions=positions, points=points(0, 3)))
    kept = store(tmp_path)
    for generation in some:
        name = generation.trial.fingerprint
        rows = kept.rows(name)
        alone = store(tmp_path / name)
        alone.write(llama, [generation], settings(points=points(3)))
        whole = alone.read(name, *points(3))
        np.testing.assert_allclose(kept.read(name, *points(3)), whole[rows.place], rtol=1e-4, atol=1e-4)
        assert rows.before_answer.sum() == 1
        assert rows.place[rows.before_answer] == len(generation.prompt_ids) + 7


def test_what_is_there_is_not_computed_again(llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from oldham.engine import activations

    passes: list[tuple[int, tuple[Any, ...]]] = []
    compute = activations._activations

    def counted(anatomy: Any, model: Any, ids: Any, wanted: Any) -> Any:
        passes.append((len(ids), wanted))
        return compute(anatomy, model, ids, wanted)

    monkeypatch.setattr(activations, "_activations", counted)
    some = [stored(number) for number in range(3)]
    assert store(tmp_path).write(llama, some[:2], settings(points=points(1))).new == 2
    done = store(tmp_path).write(llama, some, settings(points=points(1)))
    assert (done.new, done.there) == (1, 2)
    assert len(passes) == 3
    before = store(tmp_path).read(key(0), *points(1))
    store(tmp_path).write(llama, some, settings(points=points(1, 2)))
    assert [wanted for _, wanted in passes[3:]] == [points(2)] * 3  # layers are added, not computed again
    kept = store(tmp_path)
    assert kept.points == list(points(1, 2))
    np.testing.assert_array_equal(kept.read(key(0), *points(1)), before)


def test_killed_on_the_way_it_goes_on_and_ends_the_same(llama: Any, tmp_path: Path) -> None:
    some = [stored(number) for number in range(5)]
    small = settings(points=points(1), shard_mib=0.01)  # two generations a shard

    class Killed(BaseException):
        pass

    def kill(done: int) -> None:
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        store(tmp_path / "a").write(llama, some, replace(small, watch=kill))
    assert store(tmp_path / "a").generations == sorted([key(0), key(1)])  # the third was in no shard yet
    (tmp_path / "a" / "shard-00001.safetensors").write_bytes(b"cut off")  # a shard that was being written
    assert store(tmp_path / "a").generations == sorted([key(0), key(1)])
    done = store(tmp_path / "a").write(llama, some, small)
    assert (done.new, done.there) == (3, 2)
    store(tmp_path / "b").write(llama, some, small)
    one, other = store(tmp_path / "a"), store(tmp_path / "b")
    for number in range(5):
        np.testing.assert_array_equal(one.read(key(number), *points(1)), other.read(key(number), *points(1)))


def test_another_model_is_refused(llama: Any, tmp_path: Path) -> None:
    store(tmp_path).write(llama, [stored(0)], settings())
    for changes in ({"weights": "other"}, {"adapter": "lora"}, {"dtype": "bfloat16"}):
        with pytest.raises(ModelError, match=f"another model's, with other {next(iter(changes))}"):
            store(tmp_path).write(llama, [stored(1)], settings(model=MODEL.model_copy(update=changes)))
    # Another template or backend computes the same from the same tokens.
    same = MODEL.model_copy(update={"template": "other", "backend": "vllm/1"})
    assert store(tmp_path).write(llama, [stored(1)], settings(model=same)).new == 1


def test_a_store_has_one_meaning(llama: Any, tmp_path: Path) -> None:
    from oldham.engine.token_layout import Positions

    store(tmp_path).write(llama, [stored(0)], settings())
    for changes, what in (
        ({"positions": Positions()}, "positions"),
        ({"number_format": "float16"}, "number format"),
        ({"lens_tokens": (3,)}, "lens tokens"),
    ):
        with pytest.raises(ConfigError, match=f"other {what}"):
            store(tmp_path).write(llama, [stored(1)], settings(**changes))


def test_two_writers_do_not_meet(llama: Any, tmp_path: Path) -> None:
    from oldham.engine.store_index import writing

    with writing(tmp_path), pytest.raises(DataError, match="Another process"):
        store(tmp_path).write(llama, [stored(0)], settings())


@pytest.mark.parametrize("number_format", ["float16", "bfloat16", "float32"])
def test_number_formats(llama: Any, tmp_path: Path, number_format: str) -> None:
    import torch

    store(tmp_path).write(llama, [stored(0)], settings(number_format=number_format))
    kept = store(tmp_path)
    tensor = kept.tensor(key(0), *points(1))
    assert tensor.dtype == getattr(torch, number_format)
    exact = torch.tensor(expected(llama, 0, 1)).to(tensor.dtype)
    torch.testing.assert_close(tensor, exact, rtol=1e-2, atol=1e-2)
    assert kept.read(key(0), *points(1)).dtype == np.float32


def test_what_does_not_fit_a_number_format_is_refused(tmp_path: Path) -> None:
    import torch

    model = random_model("llama")
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(1e6)
    with pytest.raises(ModelError, match="too large for float16"):
        store(tmp_path).write(model, [stored(0)], settings(points=points(0), number_format="float16"))
    assert store(tmp_path).generations == []


def test_the_logit_lens_of_the_last_layer_gives_the_logits(architecture: Any, tmp_path: Path) -> None:
    import torch

    store(tmp_path).write(architecture, [stored(0)], settings(points=points(3), lens_tokens=(4, 9)))
    generation = stored(0)
    with torch.no_grad():
        logits = architecture(torch.tensor([[*generation.prompt_ids, *generation.output_ids]])).logits[0]
    np.testing.assert_allclose(store(tmp_path).lens(key(0), *points(3)), logits[:, [4, 9]].numpy(), atol=1e-4)


def test_only_the_residual_stream_has_a_lens(llama: Any, tmp_path: Path) -> None:
    store(tmp_path).write(llama, [stored(0)], settings(lens_tokens=(4,)))
    kept = store(tmp_path)
    assert [kept.lens(key(0), point) is None for point in kept.points] == [False, True]


def test_reading_a_row_does_not_load_the_shard(llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors.torch import save_file

    from oldham.engine.hooks import Point

    store(tmp_path).write(llama, [stored(0)], settings(points=points(1)))
    rows = 2**20
    big = {"resid_post.1": torch.zeros(rows, 64), "rows": torch.zeros(rows, 5, dtype=torch.int64)}
    save_file(big, tmp_path / "shard-00000.safetensors")
    del big
    kept = store(tmp_path)
    before = resident()
    assert kept.read(key(0), Point("resid_post", 1)).shape == (25, 64)
    assert resident() - before < 64 * 2**20  # of 256 MiB


def resident() -> int:
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * 4096


def test_generations_without_tokens_are_left_out_and_counted(llama: Any, tmp_path: Path) -> None:
    done = store(tmp_path).write(llama, [stored(0), stored(1, prompt_ids=(), output_ids=())], settings())
    assert (done.new, done.without_tokens) == (1, 1)
    assert "1 left out" in done.summary


def test_what_is_not_stored_is_told(llama: Any, tmp_path: Path) -> None:
    store(tmp_path).write(llama, [stored(0)], settings(points=points(1)))
    with pytest.raises(DataError, match="nothing is stored"):
        store(tmp_path).read(key(1), *points(1))
    with pytest.raises(DataError, match="not the resid_post of layer 2"):
        store(tmp_path).read(key(0), *points(2))
    with pytest.raises(DataError, match="nothing is stored"):
        store(tmp_path).rows(key(1))


def test_damaged_files_are_told(llama: Any, tmp_path: Path) -> None:
    store(tmp_path).write(llama, [stored(0)], settings(points=points(1)))
    (tmp_path / "shard-00000.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="shard of the store cannot be read"):
        store(tmp_path).read(key(0), *points(1))
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(index | {"format": 99}))
    with pytest.raises(DataError, match="format 99"):
        store(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(DataError, match="index of the store"):
        store(tmp_path)


def test_an_unknown_layer_is_told(llama: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="layer 9"):
        store(tmp_path).write(llama, [stored(0)], settings(points=points(9)))


def test_the_index_is_a_table(llama: Any, tmp_path: Path) -> None:
    assert store(tmp_path).to_frame().height == 0
    store(tmp_path).write(llama, [stored(0), stored(1)], settings(points=points(0, 2)))
    frame = store(tmp_path).to_frame()
    assert frame.height == 4
    assert frame.filter(frame["generation"] == key(1)).row(0, named=True) == {
        "generation": key(1),
        "site": "resid_post",
        "layer": 0,
        "shard": "shard-00000.safetensors",
        "start": 25,
        "stop": 50,
        "model": MODEL.fingerprint,
    }


def test_a_part_that_a_generation_lacks_has_no_rows(llama: Any, tmp_path: Path) -> None:
    from oldham.engine.token_layout import Positions

    none = stored(0, trace=0)
    store(tmp_path).write(llama, [none], settings(points=points(1), positions=Positions(where=("trace",))))
    kept = store(tmp_path)
    assert kept.read(none.trial.fingerprint, *points(1)).shape == (0, llama.config.hidden_size)
