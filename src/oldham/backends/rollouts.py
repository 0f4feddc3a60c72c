"""Forked rollouts: several continuations of one generation, from any token of its trace or its answer.

The unit of work for resampling: what would the model have written, had it gone on from here once more? All rollouts of
a batch share forward passes, and what they have in common is read once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from oldham.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.backends.base import Backend, Request
    from oldham.core.records import Generation, Sampling


@dataclass(frozen=True, slots=True)
class Fork:
    """A place in a generation to go on from."""

    request: Request
    """What the generation answered."""
    generation: Generation
    """What was generated."""
    after: int
    """How many of its output tokens are kept; at most those of its trace, or without a trace all but the last."""


def roll_out(
    backend: Backend, forks: Sequence[Fork], count: int, sampling: Sampling | None = None
) -> list[list[Generation]]:
    """Go on from some places several times each.

    Args:
        backend: The model that wrote the generations.
        forks: Where to go on from.
        count: Continuations of each, 1 or more.
        sampling: How to draw; None as the generation was drawn. Greedy continuations are all the same.

    Returns:
        For each fork its continuations: whole generations, what was kept included, whose budgets count from the start.
        Continuation k of a fork has a seed of its own, the same each time. One that failed has stop reason `error`.

    Raises:
        ConfigError: The backend cannot go on from tokens, or a fork lies outside its generation.
        ModelError: Nothing can be generated at all.
    """
    if not backend.goes_on:
        raise ConfigError(
            "This backend cannot go on from the tokens of a generation.", remedy="Load the model in this process."
        )
    asked: list[Request] = []
    for fork in forks:
        written = len(fork.generation.output_ids)
        if not 0 <= fork.after < written:
            raise ConfigError(
                f"There is no going on after {fork.after} of {written} tokens.",
                remedy=f"Give a number from 0 to {written - 1}.",
            )
        kept = fork.generation.output_ids[: fork.after]
        asked += [
            replace(
                fork.request,
                call=f"rollout/{fork.after}/{n}",
                kept=kept,
                sampling=sampling or fork.request.sampling,
            )
            for n in range(count)
        ]
    made = backend.generate(asked)
    return [made[start : start + count] for start in range(0, len(made), count)]
