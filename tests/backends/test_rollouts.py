from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from oldham.backends.rollouts import Fork, roll_out
from oldham.core.errors import ConfigError
from oldham.core.records import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from oldham.backends.base import Request
    from oldham.backends.transformers import TransformersBackend

pytestmark = pytest.mark.model

COT: dict[str, Any] = {
    "thinks": True,
    "trace_open": "Let us think step by step.",
    "answer_open": "Final answer:",
    "thinking_tokens": 30,
    "answer_tokens": 10,
}


@pytest.fixture
def backend(load: Callable[..., TransformersBackend], tiny_model: Callable[..., Any]) -> TransformersBackend:
    return load(tiny_model())


@pytest.mark.parametrize("after", [0, 1, 13, 29])
def test_a_greedy_rollout_writes_the_rest_again(
    ask: Callable[..., Request], backend: TransformersBackend, after: int
) -> None:
    request = ask("two?", **COT)
    first = backend.generate([request])[0]

    [[again]] = roll_out(backend, [Fork(request, first, after)], 1)

    told = {"seed", "seconds", "prompt_ids"}
    assert again.model_dump(exclude=told) == first.model_dump(exclude=told)
    assert first.trace_tokens == 30


def test_rollouts_share_their_beginning_and_differ_after_it(
    ask: Callable[..., Request], backend: TransformersBackend
) -> None:
    hot = Sampling(temperature=1.5)
    requests = [ask("two?", **COT), ask("three?", **COT)]
    made = backend.generate(requests)
    assert backend.counts is not None
    before = backend.counts.read
    forks = [Fork(request, one, after) for request, one in zip(requests, made, strict=True) for after in (10, 20)]

    rolled = roll_out(backend, forks, 6, hot)
    again = roll_out(backend, forks[::-1], 6, hot)[::-1]

    assert [[g.output_ids for g in group] for group in rolled] == [[g.output_ids for g in group] for group in again]
    for fork, group in zip(forks, rolled, strict=True):
        kept = fork.generation.output_ids[: fork.after]
        assert all(g.output_ids[: fork.after] == kept for g in group)
        assert len({g.output_ids for g in group}) > 1
        assert all(g.trace_tokens <= 30 and g.trial == fork.request.trial for g in group)
    naive = 2 * 6 * sum(len(f.generation.prompt_ids or ()) + f.after for f in forks)
    bridges = 2 * 24 * 12  # what closes the trace is read in each
    assert backend.counts.read - before < naive / 3 + bridges


def test_a_direct_answer_can_be_forked(ask: Callable[..., Request], backend: TransformersBackend) -> None:
    request = ask("two?", answer_open="Well,")
    first = backend.generate([request])[0]

    [[again]] = roll_out(backend, [Fork(request, first, len(first.output_ids) - 2)], 1)

    assert again.output_ids == first.output_ids


def test_what_cannot_be_gone_on_from_is_told(ask: Callable[..., Request], backend: TransformersBackend) -> None:
    from oldham.backends.scripted import ScriptedBackend

    request = ask("two?", **COT)
    first = backend.generate([request])[0]

    with pytest.raises(ConfigError, match=r"after 99 of \d+ tokens"):
        roll_out(backend, [Fork(request, first, 99)], 1)
    with pytest.raises(ConfigError, match="cannot go on"):
        roll_out(ScriptedBackend.load("scripted:refuse"), [Fork(request, first, 1)], 1)
    closed = roll_out(backend, [Fork(request, first, 35)], 1)[0][0]
    assert closed.error is not None
    assert "goes another way" in closed.error
