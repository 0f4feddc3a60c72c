"""This package's engine: rows side by side, as many at a time as its backend would take."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from side import Seen, Work, ending_tokens, load, run

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ROWS = {"cpu": 64, "cuda": 256}


class Counted:
    """A turn that ends at its limit or at a token that ends turns."""

    barred: frozenset[int] = frozenset()

    def __init__(self, limit: int, ends: frozenset[int]) -> None:
        self.pending: deque[int] = deque()
        self.limit, self.ends = limit, ends
        self.out: list[int] = []

    def accept(self, token: int) -> int | None:
        self.out.append(token)
        return None if token in self.ends or len(self.out) == self.limit else token


def prepare(work: Work) -> tuple[Callable[[int], None], Seen]:
    """Load the model."""
    from functools import partial

    from oldham.core.records import Sampling
    from oldham.engine.batching import Batcher, BatchOptions
    from oldham.engine.memory import kv_budget_gib
    from oldham.engine.passes import PackedModel
    from oldham.engine.rows import Row

    model = load(work)
    seen, ends = Seen(), ending_tokens(model)
    packed = PackedModel(model, 0)
    options = BatchOptions(MOST_ROWS[model.device.type], kv_budget_gib(model.device))

    def generate(count: int) -> None:
        def finished(row: Row) -> list[Row]:
            seen.read.append(tuple(row.prompt))
            seen.written.append(row.turn.out)  # type: ignore[attr-defined]
            return []

        asked = zip(work.ids[:count], work.limits[:count], strict=True)
        rows = [Row(ids, partial(Counted, limit, ends), Sampling(), 0, limit) for ids, limit in asked]
        Batcher(packed, options).run(rows, finished)

    return generate, seen


if __name__ == "__main__":
    run("oldham", prepare, [])
