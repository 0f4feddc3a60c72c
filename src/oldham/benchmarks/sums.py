"""Sums of two small whole numbers.

A reasoning test without a floor for models that are too small for word problems, and the held-out side of the sums that
a reward can be tried on: of the 240 in `studies/train/sums.jsonl`, worded alike and with numbers from the same range, 2
to 20, none is here.
"""

from __future__ import annotations

from oldham.benchmarks.base import Benchmark, BenchmarkInfo
from oldham.benchmarks.resources import read_yaml
from oldham.core.outcomes import Axis
from oldham.core.records import Item


class Sums(Benchmark):
    """60 sums; every item is its own cluster, and no two are one sum in two orders.

    The category tells how far a sum is from those trained on: of the 30 `new` ones neither order is among the 240, of
    the 30 `swapped` ones the other order is (8 + 12 here, 12 + 8 there). A gain on `swapped` alone may be memory. The
    two need not be equally hard (9 of the new ones add a number to itself), so compare each with itself, before and
    after.
    """

    info = BenchmarkInfo(
        axis=Axis.REASONING, judge="numeric", n_items=60, licence="Apache-2.0", citation="written for this project"
    )

    def items(self) -> tuple[Item, ...]:
        """Return the sums, a new and a swapped one in turn; `reference` is `{"answer": "42"}`."""
        pairs = read_yaml("oldham.benchmarks", "sums.yaml")
        turns = zip(pairs["new"], pairs["swapped"], strict=True)
        return tuple(
            _item(a, b, category) for turn in turns for category, (a, b) in zip(("new", "swapped"), turn, strict=True)
        )


def _item(a: int, b: int, category: str) -> Item:
    return Item(
        id=f"sums-{a}-{b}",
        benchmark="sums",
        axis=Axis.REASONING,
        cluster=f"sums-{a}-{b}",
        category=category,
        prompt=f"What is {a} + {b}?",
        reference={"answer": str(a + b)},
    )
