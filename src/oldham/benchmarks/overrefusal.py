"""Benchmarks of benign requests. Help is the good answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oldham.benchmarks.base import BenchmarkInfo
from oldham.benchmarks.harm import JBB_REVISION
from oldham.benchmarks.source import SourceFile
from oldham.benchmarks.table import Fields, TableBenchmark, csv_rows, json_rows
from oldham.benchmarks.xstest import XSTEST, part_of
from oldham.core.outcomes import Axis

if TYPE_CHECKING:
    from oldham.benchmarks.table import Row


class XSTestSafe(TableBenchmark):
    """250 safe prompts that look unsafe (Röttger et al. 2023, arXiv 2308.01263).

    Questions about public facts and about fictional people are among them, for answering these gives nothing private
    away. 200 are paired with their contrast in `xstest_unsafe` or `xstest_privacy`, by the rule that
    `oldham.benchmarks.xstest` states.
    """

    name = "xstest_safe"
    info = BenchmarkInfo(
        axis=Axis.OVERREFUSAL,
        judge="refusal",
        n_items=250,
        licence="CC-BY-4.0",
        citation="Röttger et al. 2023, arXiv 2308.01263",
        verified="file",
        files=(XSTEST,),
    )
    rows = staticmethod(csv_rows)

    def fields(self, number: int, row: Row) -> Fields | None:
        """See `TableBenchmark.fields`."""
        return part_of(self.name, row)


class JailbreakBenchBenign(TableBenchmark):
    """100 benign behaviours on the topics of `jailbreakbench` (Chao et al. 2024, arXiv 2404.01318).

    A cluster is a behaviour; an item's pair is the harmful behaviour with the same index.
    """

    name = "jailbreakbench_benign"
    digits = 3
    info = BenchmarkInfo(
        axis=Axis.OVERREFUSAL,
        judge="refusal",
        n_items=100,
        licence="MIT",
        citation="Chao et al. 2024, arXiv 2404.01318",
        verified="schema",
        files=(
            SourceFile(
                path="safety/jailbreakbench_benign.csv",
                url="https://huggingface.co/datasets/JailbreakBench/JBB-Behaviors/resolve/"
                f"{JBB_REVISION}/data/benign-behaviors.csv",
                sha256="3cda234d21a991fa309bbfea4b6d9dae31ccdf8e9d452424b6a983e4fdc33468",
            ),
        ),
    )
    rows = staticmethod(csv_rows)

    def fields(self, number: int, row: Row) -> Fields:
        """See `TableBenchmark.fields`."""
        return Fields(
            prompt=row["Goal"],
            category=row["Category"],
            cluster=row["Behavior"],
            pair=f"jailbreakbench-{int(row['Index']):03d}",
        )


class OrBenchHard(TableBenchmark):
    """1,319 safe prompts that several models refused (OR-Bench-Hard-1K; Cui et al. 2024, arXiv 2405.20947)."""

    name = "or_bench_hard"
    info = BenchmarkInfo(
        axis=Axis.OVERREFUSAL,
        judge="refusal",
        n_items=1319,
        licence="CC-BY-4.0",
        citation="Cui et al. 2024, arXiv 2405.20947",
        verified="schema",
        files=(
            SourceFile(
                path="safety/or_bench_hard.csv",
                url="https://huggingface.co/datasets/bench-llm/or-bench/resolve/"
                "e36d8b80e81837c8a8f264bbb2a49f1b32c7e272/or-bench-hard-1k.csv",
                sha256="a6e2f1166416efe5901f3bb05c47dc92ab3aca3acfe143693d38b8057d841e6d",
            ),
        ),
    )
    rows = staticmethod(csv_rows)

    def fields(self, number: int, row: Row) -> Fields:
        """See `TableBenchmark.fields`."""
        return Fields(prompt=row["prompt"], category=row["category"])


class AlpacaHarmless(TableBenchmark):
    """6,264 plain instructions of Alpaca, the harmless validation split of Arditi et al. 2024 (arXiv 2406.11717).

    Nothing here looks harmful: a refusal is a model that has stopped helping. The set has no categories.
    """

    name = "alpaca_harmless"
    info = BenchmarkInfo(
        axis=Axis.OVERREFUSAL,
        judge="refusal",
        n_items=6264,
        licence="CC-BY-NC-4.0",
        citation="Arditi et al. 2024, arXiv 2406.11717; Alpaca, Taori et al. 2023",
        verified="file",
        files=(
            SourceFile(
                path="safety/alpaca_harmless_val.json",
                url="https://raw.githubusercontent.com/andyrdt/refusal_direction/"
                "0b9c8bc56a73b42f595fd173156d4aefe9a9143c/dataset/splits/harmless_val.json",
                sha256="772010758e7d771ef4c7e5e4acdfd7598dcece1a6f383f20d382f640913a2a4d",
            ),
        ),
    )
    rows = staticmethod(json_rows)

    def fields(self, number: int, row: Row) -> Fields:
        """See `TableBenchmark.fields`."""
        return Fields(prompt=row["instruction"], category="instruction")
