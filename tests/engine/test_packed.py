from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hooking import adapted_model

from architectures import SIZE, random_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.model

CLOSE = 1e-4
VOCABULARY = tuple(range(SIZE))
FAMILY = ((5, 6, 7), (5, 6, 8), (5,), (9, 5, 6, 7, 11), (5, 6))
"""Candidates that share beginnings, and one that is the beginning of others."""


@pytest.fixture(autouse=True)
def single_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def text() -> list[int]:
    stream = random.Random(3)
    return [stream.randrange(2, SIZE) for _ in range(150)]


def probes_of(length: int, count: int = 14, *, candidates: Sequence[tuple[int, ...]] = FAMILY) -> list[Any]:
    """Draw probes of a text, among them the shortest and the longest prefix, one twice, in no order."""
    from oldham.engine.packed import Probe

    stream = random.Random(length)
    after = [length, 1, *(stream.randrange(1, length + 1) for _ in range(count - 3))]
    probes = [
        Probe(
            place,
            tuple(stream.randrange(2, SIZE) for _ in range(stream.choice([1, 2, 6, 40]))),
            tuple(stream.sample(list(candidates), stream.randrange(len(candidates) + 1))),
        )
        for place in after
    ]
    return [*probes, probes[2]]


def read(model: Any, ids: Sequence[int], probes: Sequence[Any], method: str = "auto", **options: Any) -> Any:
    from oldham.engine.packed import PackedOptions, read_packed

    return read_packed(model, ids, probes, PackedOptions(method=method, first_tokens=VOCABULARY, **options))


def plainly(model: Any, ids: Sequence[int]) -> np.ndarray:
    """Return the log-probabilities after each token of a text, read by an ordinary forward pass."""
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([list(ids)], device=model.device)).logits[0]
    told: np.ndarray = logits.double().log_softmax(-1).numpy()
    return told


def assert_plain(model: Any, ids: Sequence[int], probes: Sequence[Any], readings: Sequence[Any]) -> None:
    """Check readings against a forward pass for each probe and for each of its candidates."""
    for probe, reading in zip(probes, readings, strict=True):
        before = [*ids[: probe.after], *probe.ids]
        expected = plainly(model, before)[-1]
        np.testing.assert_allclose(reading.first, expected, rtol=0, atol=CLOSE)
        assert reading.entropy == pytest.approx(-(np.exp(expected) * expected).sum(), abs=CLOSE)
        summed = [
            sum(plainly(model, [*before, *candidate[:n]])[-1][token] for n, token in enumerate(candidate))
            for candidate in probe.candidates
        ]
        np.testing.assert_allclose(reading.candidates, summed, rtol=0, atol=CLOSE)


def assert_same(one: Any, other: Any, close: float = CLOSE) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.first, b.first, rtol=0, atol=close)
        np.testing.assert_allclose(a.candidates, b.candidates, rtol=0, atol=close)
        np.testing.assert_allclose(a.hidden, b.hidden, rtol=0, atol=close)
        assert a.entropy == pytest.approx(b.entropy, abs=close)


def least_memory(model: Any, ids: Sequence[int], probes: Sequence[Any], **options: Any) -> float:
    """Return the GiB that the refusal of a budget too small asks for."""
    from oldham.core.errors import ConfigError

    with pytest.raises(ConfigError, match=f"Reading a text of {len(ids)} tokens takes") as refused:
        read(model, ids, probes, memory_gib=1e-7, **options)
    return float(str(refused.value.remedy).rstrip(".").split()[-1])


@contextmanager
def passes(model: Any) -> Iterator[list[int]]:
    """Count the tokens of each forward pass."""
    counted: list[int] = []
    handle = model.get_input_embeddings().register_forward_hook(lambda _, args, __: counted.append(args[0].shape[1]))
    try:
        yield counted
    finally:
        handle.remove()


# What is read


def test_packed_probes_read_what_forward_passes_of_their_own_read(architecture: Any, text: list[int]) -> None:
    probes = probes_of(len(text))
    told = read(architecture, text, probes)
    assert (told.method, told.reason) == ("packed", "")
    assert_plain(architecture, text, probes, told.readings)


def test_a_text_longer_than_several_blocks_is_read_the_same(architecture: Any) -> None:
    stream = random.Random(8)
    text = [stream.randrange(2, SIZE) for _ in range(900)]
    probes = probes_of(len(text), 8)
    told = read(architecture, text, probes, "packed")
    assert_plain(architecture, text, probes, told.readings)


@pytest.mark.parametrize("name", ["mistral", "qwen2"])
def test_windows_of_other_architectures_are_kept_to(name: str, text: list[int]) -> None:
    from transformers import AutoModelForCausalLM, MistralConfig

    from architectures import CONFIGS

    if name == "mistral":
        shape = {key: getattr(CONFIGS["llama"](), key) for key in ("vocab_size", "hidden_size", "intermediate_size")}
        config: Any = MistralConfig(
            **shape, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, sliding_window=16,
            initializer_range=0.3,
        )  # fmt: skip
    else:
        config = CONFIGS["qwen2"]()
        config.layer_types = ["full_attention", "sliding_attention"] * 2
        config.sliding_window, config.use_sliding_window = 16, True
    model = AutoModelForCausalLM.from_config(config).eval()
    probes = probes_of(len(text))
    told = read(model, text, probes)
    assert told.method == "packed"
    assert_plain(model, text, probes, told.readings)


def test_states_are_those_of_the_residual_stream(architecture: Any, text: list[int]) -> None:
    import torch

    from oldham.engine.anatomy import anatomy_of

    probes = probes_of(len(text))
    anatomy = anatomy_of(architecture)
    for method in ("packed", "reuse", "plain"):
        told = read(architecture, text, probes, method, layers=(2, 0, -1))
        for probe, reading in zip(probes, told.readings, strict=True):
            ids = torch.tensor([[*text[: probe.after], *probe.ids]])
            with torch.inference_mode():
                out = architecture(input_ids=ids, output_hidden_states=True)
                last = anatomy.unembedding(anatomy.norm(torch.from_numpy(reading.hidden[2])))
            assert reading.hidden.dtype == np.float32
            np.testing.assert_allclose(reading.hidden[0], out.hidden_states[3][0, -1].numpy(), rtol=0, atol=CLOSE)
            np.testing.assert_allclose(reading.hidden[1], out.hidden_states[1][0, -1].numpy(), rtol=0, atol=CLOSE)
            np.testing.assert_allclose(last.numpy(), out.logits[0, -1].numpy(), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("method", ["reuse", "plain"])
def test_the_other_methods_read_the_same(architecture: Any, text: list[int], method: str) -> None:
    probes = probes_of(len(text))
    told = read(architecture, text, probes, method, layers=(1,))
    assert (told.method, told.reason) == (method, "")
    assert_same(told.readings, read(architecture, text, probes, layers=(1,)).readings)


def test_chunks_change_nothing(architecture: Any, text: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    from oldham.engine import packed_attention, packed_methods

    probes = probes_of(len(text), 100)
    whole = read(architecture, text, probes, layers=(0, 3))
    monkeypatch.setattr(packed_methods, "_SMALLEST", 20)
    monkeypatch.setattr(packed_attention, "TEXT_BLOCK", 16)
    enough = least_memory(architecture, text, probes, layers=(0, 3))
    with passes(architecture) as tokens:
        told = read(architecture, text, probes, layers=(0, 3), memory_gib=enough)
    assert len(tokens) > 5
    assert_same(told.readings, whole.readings)


def test_all_goes_through_in_one_pass_where_there_is_room(llama: Any, text: list[int]) -> None:
    probes = probes_of(len(text), candidates=())
    read(llama, text, probes)
    with passes(llama) as tokens:
        read(llama, text, probes)
    assert tokens == [len(text) + sum(len(probe.ids) for probe in probes)]


def test_what_no_probe_sees_is_not_computed(llama: Any, text: list[int]) -> None:
    from oldham.engine.packed import Probe

    read(llama, text, [Probe(1, (5,))])
    with passes(llama) as tokens:
        told = read(llama, text, [Probe(20, (5, 6)), Probe(30, (7,))])
    assert tokens == [33]
    assert_plain(llama, text, [Probe(20, (5, 6)), Probe(30, (7,))], told.readings)


def test_candidates_with_the_same_beginning_share_its_tokens() -> None:
    from oldham.engine.packed_attention import Tree

    tree = Tree.of(10, (3, 4), FAMILY)
    assert tree.ids == (3, 4, 5, 6, 9, 5, 6, 7)
    assert tree.parents == (-1, 0, 1, 2, 1, 4, 5, 6)
    assert tree.positions() == [10, 11, 12, 13, 12, 13, 14, 15]
    assert tree.asked[1] == ((0, 5), (1, 6), (2, 8))
    assert tree.asked[2] == ((0, 5),)


def test_order_and_company_of_probes_change_nothing(architecture: Any, text: list[int]) -> None:
    probes = probes_of(len(text), 20)
    told = read(architecture, text, probes, layers=(-1,)).readings
    order = list(range(len(probes)))
    random.Random(1).shuffle(order)
    shuffled = read(architecture, text, [probes[n] for n in order], layers=(-1,)).readings
    assert_same([told[n] for n in order], shuffled)
    alone = [read(architecture, text, [probe], layers=(-1,)).readings[0] for probe in probes]
    assert_same(told, alone)


def test_a_text_without_probes_says_nothing(llama: Any) -> None:
    assert read(llama, [4, 5], []).readings == ()


def test_what_is_not_asked_for_is_empty(llama: Any) -> None:
    from oldham.engine.packed import Probe, read_packed

    told = read_packed(llama, [4, 5], [Probe(2, (6,))]).readings[0]
    assert (told.first.shape, told.candidates.shape, told.hidden.shape) == ((0,), (0,), (0, 0))
    assert 0 < told.entropy < np.log(SIZE)


def test_entropy_survives_tokens_that_cannot_come(llama: Any) -> None:
    import torch

    from oldham.engine.packed_methods import _log_probabilities

    logits = torch.tensor([[0.0, 0.0, -torch.inf], [1000.0, -1000.0, -torch.inf]])
    told, entropies = _log_probabilities(logits, [(0, 0), (0, 2), (1, 0), (1, 1)])
    np.testing.assert_allclose(told, [-np.log(2), -np.inf, 0.0, -2000.0])
    np.testing.assert_allclose(entropies, [np.log(2), 0.0], atol=1e-12)


# On what


def test_adapters_are_in_force(text: list[int]) -> None:
    model = adapted_model()
    probes = probes_of(len(text), 6)
    told = read(model, text, probes, layers=(1,))
    assert told.method == "packed"
    assert_plain(model, text, probes, told.readings)


@pytest.mark.parametrize("method", ["packed", "reuse", "plain"])
def test_edits_are_in_force(llama: Any, text: list[int], method: str) -> None:
    from oldham.engine.hooks import Point, hooked

    probes = probes_of(len(text), 6)
    before = read(llama, text, probes, layers=(1,)).readings
    with hooked(llama, edits={Point("resid_post", 1): lambda x: x * 1.5}):
        edited = read(llama, text, probes, method, layers=(1,)).readings
        assert_plain(llama, text, probes, edited)
    np.testing.assert_allclose(edited[0].hidden, before[0].hidden * 1.5, atol=CLOSE)


def test_eager_models_are_packed_as_well(text: list[int]) -> None:
    model = random_model("llama")
    model.set_attn_implementation("eager")
    probes = probes_of(len(text), 6)
    told = read(model, text, probes)
    assert told.method == "packed"
    assert model.config._attn_implementation == "eager"
    assert_plain(model, text, probes, told.readings)


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_half_precision_differs_by_rounding_only(name: str, text: list[int]) -> None:
    import torch

    model = random_model(name).to(torch.bfloat16)
    probes = probes_of(len(text))
    told, plain = (read(model, text, probes, method) for method in ("packed", "plain"))
    apart = np.concatenate([a.first - b.first for a, b in zip(told.readings, plain.readings, strict=True)])
    spread = np.concatenate([b.first - b.first.mean() for b in plain.readings])
    assert np.sqrt((apart**2).mean()) < 0.05 * np.sqrt((spread**2).mean())


# Models that cannot be packed


def fallen_back(model: Any, text: list[int], *, to: str, why: str) -> None:
    """Check that `auto` reads right in another way and says why, and that `packed` is refused."""
    from oldham.engine.errors import UnsupportedModelError

    probes = probes_of(len(text), 6)
    told = read(model, text, probes)
    assert told.method == to
    assert why in told.reason
    assert_plain(model, text, probes, told.readings)
    with pytest.raises(UnsupportedModelError, match="cannot be read by `packed`"):
        read(model, text, probes, "packed")


def random_of(config: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()


SHAPE = {"vocab_size": SIZE, "hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48}


def test_attention_with_soft_caps_is_left_alone(text: list[int]) -> None:
    from transformers import Gemma2Config

    config = Gemma2Config(**SHAPE, **HEADS, sliding_window=16, query_pre_attn_scalar=8, attn_implementation="eager")
    model = random_of(config)
    fallen_back(model, text, to="reuse", why="`softcap`")
    assert model.config._attn_implementation == "eager"


def test_attention_of_a_models_own_is_left_alone(text: list[int]) -> None:
    from transformers import BloomConfig

    config = BloomConfig(vocab_size=SIZE, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3)
    fallen_back(random_of(config), text, to="reuse", why="`position_ids`")


def test_models_that_keep_no_keys_are_read_from_the_start(text: list[int]) -> None:
    from transformers import MambaConfig

    config = MambaConfig(vocab_size=SIZE, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    fallen_back(random_of(config), text, to="plain", why="position_ids")


def test_other_kinds_of_layers_are_left_alone(text: list[int]) -> None:
    model = random_model("llama")
    model.config.layer_types = ["full_attention", "chunked_attention"] * 2
    model.config.attention_chunk_size = 16
    fallen_back(model, text, to="reuse", why="chunked_attention")


def test_a_window_that_attention_is_not_told_of_is_no_packing(text: list[int]) -> None:
    from oldham.engine.errors import UnsupportedModelError

    model = random_model("gemma3")
    model.model.layers[0].self_attn.sliding_window = None
    with pytest.raises(UnsupportedModelError, match="window None, its configuration says 24"):
        read(model, text, probes_of(len(text), 4), "packed")


def test_a_model_that_mixes_tokens_elsewhere_is_found_out(text: list[int]) -> None:
    model = random_model("llama")
    model.model.layers[1].mlp.register_forward_hook(lambda _, __, out: out.cumsum(dim=1))
    fallen_back(model, text, to="plain", why="does not give what plain forward passes give")


def test_a_forward_pass_without_a_choice_of_logits_is_enough_for_the_other_methods(text: list[int]) -> None:
    model = random_model("llama")
    forward = model.forward

    def older(input_ids: Any, position_ids: Any = None, past_key_values: Any = None, use_cache: bool = False) -> Any:
        return forward(input_ids, position_ids=position_ids, past_key_values=past_key_values, use_cache=use_cache)

    model.forward = older
    fallen_back(model, text, to="reuse", why="`logits_to_keep`")


def test_rotations_that_depend_on_the_length_are_read_from_the_start(text: list[int]) -> None:
    from transformers import LlamaConfig

    from oldham.engine.packed import Probe

    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    model = random_of(LlamaConfig(**SHAPE, **HEADS, max_position_embeddings=64, rope_parameters=rope))
    plainly(model, text)  # leaves its rotations behind
    short = [Probe(20, (4, 5)), Probe(59, (6, 7, 8), ((9, 10),))]
    told = read(model, text, short)
    assert told.method == "packed"
    assert_plain(model, text, short, told.readings)
    # A pass as long as no other before it is rotated for its length; after longer ones, it would be for theirs.
    longer = [Probe(n, (4, 5)) for n in (60, 90, 149)]
    told = read(model, text, longer[::-1])
    assert told.method == "plain"
    assert "more than 63" in told.reason
    plainly(model, text[:3])
    assert_plain(model, text, longer, told.readings[::-1])


def test_a_model_is_compared_once(text: list[int]) -> None:
    model = random_model("llama")
    probes = probes_of(len(text), 4)
    with passes(model) as first:
        read(model, text, probes)
    with passes(model) as second:
        read(model, text, probes)
    assert len(first) > len(second) == 1


def test_attention_is_as_before_after_an_error(text: list[int]) -> None:
    model = random_model("llama")
    read(model, text, probes_of(len(text), 4))
    handle = model.model.layers[1].mlp.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        read(model, text, probes_of(len(text), 4))
    handle.remove()
    assert model.config._attn_implementation == "sdpa"


# What cannot be meant


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ((0, (4,)), "after 0 tokens"),
        ((4, (4,)), "after 4 tokens of a text that has 3"),
        ((1, ()), "no token in the cue of probe 1"),
        ((1, (4,), ((5,), ())), "no token in a candidate of probe 1"),
        ((1, (SIZE,)), f"token {SIZE} in the cue"),
        ((1, (4,), ((-1,),)), "token -1 in a candidate"),
    ],
)
def test_probes_that_cannot_be_meant_are_refused(llama: Any, probe: Any, message: str) -> None:
    from oldham.core.errors import ConfigError
    from oldham.engine.packed import Probe

    with pytest.raises(ConfigError, match=message):
        read(llama, [5, 6, 7], [Probe(1, (4,)), Probe(*probe)])


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        ([], {}, "no token in the text"),
        ([SIZE + 3], {}, "in the text"),
        ([5], {"layers": (4,)}, "no layer 4"),
        ([5], {"layers": (-5,)}, "no layer -5"),
        ([5], {"memory_gib": 0.0}, "memory_gib"),
        ([5], {"memory_gib": float("nan")}, "memory_gib"),
        ([5], {"method": "magic"}, "no method `magic`"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(llama: Any, ids: Any, options: Any, message: str) -> None:
    from oldham.core.errors import ConfigError
    from oldham.engine.packed import Probe

    with pytest.raises(ConfigError, match=message):
        read(llama, ids, [Probe(1, (4,))], **options)


def test_too_little_memory_says_how_much_is_needed(llama: Any) -> None:
    from oldham.engine.packed import Probe

    text = [2 + n % (SIZE - 2) for n in range(900)]
    probes = [Probe(n, (4, 5)) for n in range(50, 901, 50)]
    enough = least_memory(llama, text, probes)
    with passes(llama) as tokens:
        told = read(llama, text, probes, memory_gib=enough)
    assert len(tokens) > 1
    assert_same(told.readings, read(llama, text, probes).readings)


def test_models_in_training_are_refused(text: list[int]) -> None:
    from oldham.core.errors import ModelError

    with pytest.raises(ModelError, match="training mode"):
        read(random_model("llama").train(), text, probes_of(len(text), 4))
