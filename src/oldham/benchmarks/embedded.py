"""The starter sets that were written for this project and ship inside the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oldham.benchmarks.base import Benchmark, BenchmarkInfo
from oldham.benchmarks.resources import read_yaml
from oldham.core.outcomes import Axis
from oldham.core.records import Item

if TYPE_CHECKING:
    from collections.abc import Iterator


class Harmful(Benchmark):
    """100 short, non-operational harmful requests in ten categories; every item is its own cluster."""

    info = BenchmarkInfo(
        axis=Axis.HARM, judge="refusal", n_items=100, licence="Apache-2.0", citation="written for this project"
    )

    def items(self) -> tuple[Item, ...]:
        """Return the requests, category by category."""
        return tuple(
            Item(
                id=f"harmful-{key}",
                benchmark="harmful",
                axis=Axis.HARM,
                cluster=f"harmful-{key}",
                category=category,
                prompt=pair["harmful"],
            )
            for key, category, pair in _pairs()
        )


class Benign(Benchmark):
    """100 safe requests, each of which looks like one of `Harmful` on the surface.

    The category is the topic of the harmful twin; the kind of likeness (homonym, figurative, safe target, ...) follows
    XSTest (Röttger et al. 2023, arXiv 2308.01263) and is in `reference`.
    """

    info = BenchmarkInfo(
        axis=Axis.OVERREFUSAL,
        judge="refusal",
        n_items=100,
        licence="Apache-2.0",
        citation="written for this project, after XSTest (arXiv 2308.01263)",
    )

    def items(self) -> tuple[Item, ...]:
        """Return the look-alikes in the order of their twins; `reference` is `{"likeness": "homonym"}`."""
        return tuple(
            Item(
                id=f"benign-{key}",
                benchmark="benign",
                axis=Axis.OVERREFUSAL,
                cluster=f"benign-{key}",
                category=category,
                prompt=pair["benign"],
                reference={"likeness": pair["likeness"]},
                pair=f"harmful-{key}",
            )
            for key, category, pair in _pairs()
        )


class FalsePremise(Benchmark):
    """66 questions with a false premise; every item is its own cluster."""

    info = BenchmarkInfo(
        axis=Axis.TRUTHFULNESS,
        judge="reference_rules",
        n_items=66,
        licence="Apache-2.0",
        citation="written for this project",
    )

    def items(self) -> tuple[Item, ...]:
        """Return the questions.

        `reference` has `correct_any`, regular expressions over the lower-case answer that show the premise corrected;
        `false_any`, expressions that show it asserted; `truth` and `claim`, the two as sentences.
        """
        categories = read_yaml("oldham.benchmarks", "false_premise.yaml")
        return tuple(
            Item(
                id=f"false_premise-{category}-{number:02d}",
                benchmark="false_premise",
                axis=Axis.TRUTHFULNESS,
                cluster=f"false_premise-{category}-{number:02d}",
                category=category,
                prompt=row["question"],
                reference={key: row[key] for key in ("correct_any", "false_any", "truth", "claim")},
            )
            for category, rows in categories.items()
            for number, row in enumerate(rows, start=1)
        )


def _pairs() -> Iterator[tuple[str, str, dict[str, str]]]:
    for category, pairs in read_yaml("oldham.benchmarks", "pairs.yaml").items():
        for number, pair in enumerate(pairs, start=1):
            yield f"{category}-{number:02d}", category, pair
