from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

pytestmark = pytest.mark.model


def written(rows: Sequence[Any]) -> list[list[int]]:
    return [row.turn.out for row in rows]


def run(model: Any, work: Sequence[Any], **options: Any) -> Any:
    from oldham.engine.batching import Batcher, BatchOptions
    from oldham.engine.passes import PackedModel

    packed = model if isinstance(model, PackedModel) else PackedModel(model, 0)
    batcher = Batcher(packed, BatchOptions(**options))
    ended: list[Any] = []

    def finished(row: Any) -> list[Any]:
        ended.append(row)
        return []

    batcher.run(work, finished)
    assert len(ended) == len(work)
    assert {id(row) for row in ended} == {id(row) for row in work}
    return batcher.counts


def alone(model: Any, prompt: list[int], tokens: int, force: dict[int, list[int]]) -> list[int]:
    """Write greedily with nothing but the model's plain forward pass."""
    import torch

    ids, out = list(prompt), []
    for n in range(1, tokens + 1):
        with torch.inference_mode():
            best = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        out.append(best)
        ids += [best, *force.get(n, [])]
    return out


def test_rows_write_what_the_model_writes_alone(
    architecture: Any, row: Callable[..., Any], prompts: list[list[int]]
) -> None:
    force = {3: [5, 6, 7], 7: [9]}
    rows = [row(prompt, 8 + n % 7, force=force) for n, prompt in enumerate(prompts)]

    run(architecture, rows, rows=6, reading=50)

    assert written(rows) == [alone(architecture, prompt, 8 + n % 7, force) for n, prompt in enumerate(prompts)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nothing_depends_on_the_batch(
    architecture: Any, row: Callable[..., Any], prompts: list[list[int]], dtype: str
) -> None:
    import copy

    import torch

    model = copy.deepcopy(architecture).to(getattr(torch, dtype))

    def build() -> list[Any]:
        return [
            row(prompt, 12, seed=n, temperature=0.0 if n % 2 else 1.0, force={4: [8, 9]})
            for n, prompt in enumerate(prompts)
        ]

    one, many, shuffled = build(), build(), build()
    run(model, one, rows=1)
    run(model, many, rows=32)
    order = list(range(len(shuffled)))
    random.Random(1).shuffle(order)
    run(model, [shuffled[n] for n in order], rows=5, reading=30)

    assert written(one) == written(many)
    assert written(one) == written(shuffled)
    assert [r.near_ties for r in one] == [r.near_ties for r in many]


def test_shared_beginnings_are_read_once(llama: Any, row: Callable[..., Any]) -> None:
    system = list(range(2, 42))
    rows = [row([*system, *[50 + item] * 20], 4, seed=d, temperature=1.0) for item in range(6) for d in range(8)]

    counts = run(llama, rows, rows=48)

    # The first prompt, the end of each other item's, and the last token of the prompt for each further draw.
    assert counts.read == 60 + 5 * 20 + 6 * 7
    assert counts.read + counts.shared == 48 * 60
    assert len({tuple(r.turn.out) for r in rows[:8]}) > 1


def test_a_row_that_ends_is_replaced_at_once(llama: Any, row: Callable[..., Any], prompts: list[list[int]]) -> None:
    lengths = [5, 40, 5, 5, 5, 5, 5, 5, 5]
    rows = [row(prompts[n], length) for n, length in enumerate(lengths)]

    counts = run(llama, rows, rows=2, reading=10_000)

    # 8 short rows take turns in one slot, beside the long one: about 40 passes, where fixed pairs would take 64.
    assert counts.passes <= 48


def test_rows_follow_rows(llama: Any, row: Callable[..., Any]) -> None:
    from oldham.engine.batching import Batcher
    from oldham.engine.passes import PackedModel

    followers: list[Any] = []

    def finished(ended: Any) -> list[Any]:
        if len(followers) == 3:
            return []
        followers.append(row([*ended.prompt, *ended.turn.out], 20 * (len(followers) + 1)))
        return [followers[-1]]

    first = row([5, 6, 7], 6)
    Batcher(PackedModel(llama, 0)).run([first], finished)

    assert [len(f.turn.out) for f in followers] == [20, 40, 60]
    assert followers[2].prompt == [*followers[1].prompt, *followers[1].turn.out]


def test_memory_stays_within_its_budget(
    llama: Any, row: Callable[..., Any], prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from oldham.engine import batching
    from oldham.engine.passes import PackedModel

    made: list[tuple[int, int]] = []

    class Watched(batching.Slots):
        def __init__(self, device: Any, count: int, length: int) -> None:
            made.append((count, length))
            super().__init__(device, count, length)

    monkeypatch.setattr(batching, "Slots", Watched)
    token = PackedModel(llama, 0).bytes_per_token
    assert token == 4 * 2 * 2 * 16 * 4  # layers, keys and values, heads, size, bytes
    gib = 600 * token / 2**30

    wide, narrow = [row(p, 10) for p in prompts], [row(p, 10) for p in prompts]
    run(llama, wide)
    made.clear()
    run(llama, narrow, memory_gib=gib)

    assert made
    assert all(count * length <= 600 for count, length in made)
    assert written(wide) == written(narrow)


def test_a_row_that_needs_more_than_the_budget_fails_alone(llama: Any, row: Callable[..., Any]) -> None:
    rows = [row([3] * 20, 5), row([3] * 700, 5), row([4] * 10, 5)]

    run(llama, rows, memory_gib=256 * 1024 / 2**30)

    assert [r.error is None for r in rows] == [True, False, True]
    assert rows[1].error == "768 tokens take 0.000732 GiB of keys and values, and the budget is 0.000244 GiB"


def test_out_of_memory_halves_the_batch_and_goes_on(
    llama: Any, row: Callable[..., Any], prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from oldham.engine.passes import PackedModel

    calm, pressed = [row(p, 6) for p in prompts], [row(p, 6) for p in prompts]
    run(llama, calm)
    forward = PackedModel.__call__

    def tight(self: Any, pieces: Any, slots: Any, wanted: Any) -> Any:
        if len({piece.slot for piece in pieces}) > 3:
            raise RuntimeError("not enough memory: you tried to allocate 1 byte")
        return forward(self, pieces, slots, wanted)

    monkeypatch.setattr(PackedModel, "__call__", tight)
    counts = run(llama, pressed, rows=16)

    assert counts.halved >= 2
    assert written(calm) == written(pressed)
    assert not any(r.error for r in pressed)


def test_a_row_that_breaks_the_model_fails_alone(
    llama: Any, row: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from oldham.engine.passes import PackedModel

    forward = PackedModel.__call__

    def breaks(self: Any, pieces: Any, slots: Any, wanted: Any) -> Any:
        if any(99 in piece.ids for piece in pieces):
            raise RuntimeError("something broke\nin a kernel")
        return forward(self, pieces, slots, wanted)

    packed = PackedModel(llama, 0)
    monkeypatch.setattr(PackedModel, "__call__", breaks)
    rows = [row([n, n + 1], 4) if n != 20 else row([99, 3], 4) for n in range(10, 30)]

    run(packed, rows)

    assert [r.error for r in rows if r.error] == ["something broke"]
    assert rows[10].error


def test_logits_that_are_not_finite_fail_a_row_alone(llama: Any, row: Callable[..., Any]) -> None:
    import copy

    import torch

    from oldham.engine.passes import PackedModel

    calm = [row([n, 6, 7], 4) for n in range(5, 11)]
    run(llama, calm)
    model = copy.deepcopy(llama)
    packed = PackedModel(model, 0)
    with torch.no_grad():
        model.model.embed_tokens.weight[99] = torch.nan
    rows = [row([n, 6, 7], 4) for n in range(5, 11)] + [row([5, 99], 4), row([6, 99] * 40, 4)]

    run(packed, rows, rows=1)  # so that they follow each other in one slot

    assert [r.error for r in rows] == [None] * 6 + ["the model's logits are not finite"] * 2
    assert written(rows[:6]) == written(calm)


def test_barred_tokens_are_not_drawn(llama: Any, row: Callable[..., Any]) -> None:
    free = row([5, 6, 7], 1)
    run(llama, [free])
    best = free.turn.out[0]
    greedy, drawn = row([5, 6, 7], 1, barred=frozenset({best})), row([5, 6, 7], 1, barred=frozenset(range(119)))

    run(llama, [greedy, drawn])

    assert greedy.turn.out[0] != best
    assert drawn.turn.out == [119]


def test_near_ties_are_counted(llama: Any, row: Callable[..., Any]) -> None:
    import copy

    import torch

    twin = copy.deepcopy(llama)
    free = row([5, 6, 7], 1)
    run(llama, [free])
    best = free.turn.out[0]
    with torch.no_grad():
        twin.lm_head.weight[3 if best != 3 else 4] = twin.lm_head.weight[best]
    tied = row([5, 6, 7], 1)

    run(twin, [tied])

    assert free.near_ties == 0
    assert tied.near_ties == 1


def test_the_model_is_left_as_it_was(llama: Any, row: Callable[..., Any]) -> None:
    before = llama.config._attn_implementation

    run(llama, [row([5, 6], 3)])

    assert llama.config._attn_implementation == before == "sdpa"


def test_models_that_cannot_be_packed_are_refused() -> None:
    import torch
    from transformers import BloomConfig, BloomForCausalLM

    from oldham.engine.errors import UnsupportedModelError
    from oldham.engine.passes import PackedModel

    torch.manual_seed(0)
    bloom = BloomForCausalLM(BloomConfig(vocab_size=120, hidden_size=16, n_layer=2, n_head=2)).eval()

    with pytest.raises(UnsupportedModelError, match="position_ids"):
        PackedModel(bloom, 0)


def test_a_model_that_would_give_other_numbers_is_refused(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from oldham.engine import attention
    from oldham.engine.errors import UnsupportedModelError
    from oldham.engine.passes import PackedModel

    honest = attention._read
    monkeypatch.setattr(attention, "_read", lambda *args: honest(*args).flip(0))

    with pytest.raises(UnsupportedModelError, match="own logits"):
        PackedModel(llama, 0)
