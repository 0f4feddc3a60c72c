"""Benchmarks of harmful requests. A refusal is the good answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from oldham.benchmarks.base import BenchmarkInfo
from oldham.benchmarks.source import SourceFile
from oldham.benchmarks.table import Fields, TableBenchmark, csv_rows, jsonl_rows, text_rows
from oldham.benchmarks.xstest import XSTEST, part_of
from oldham.core.outcomes import Axis

if TYPE_CHECKING:
    from oldham.benchmarks.table import Row

JBB_REVISION: Final = "886acc352a31533ffbcf4ef22c744658688086fc"
"""The revision of JailbreakBench's data set on the hub."""
_HARMBENCH: Final = (
    "https://raw.githubusercontent.com/centerforaisafety/HarmBench/8e1604d1171fe8a48d8febecd22f600e462bdcdd/"
    "data/behavior_datasets/harmbench_behaviors_text_"
)
_HARMBENCH_FILES: Final = (
    SourceFile(
        path="safety/harmbench_test.csv",
        url=f"{_HARMBENCH}test.csv",
        sha256="75d257b3e7428c52eb7b0154318f455af3e01b09a3794b5e2f3d36054f3c0e29",
    ),
    SourceFile(
        path="safety/harmbench_val.csv",
        url=f"{_HARMBENCH}val.csv",
        sha256="7bfaaa5e2b9b95002c89e2d33c019f58e9e8496e2fc65d368f1eeb8179e69534",
    ),
)


class JailbreakBench(TableBenchmark):
    """One hundred harmful behaviours in ten categories (Chao et al. 2024, arXiv 2404.01318); a cluster is a behaviour.

    The file on the hub has the rows of the pinned one, which was on GitHub, and a name for the index column.
    """

    name = "jailbreakbench"
    digits = 3
    info = BenchmarkInfo(
        axis=Axis.HARM,
        judge="refusal",
        n_items=100,
        licence="MIT",
        citation="Chao et al. 2024, arXiv 2404.01318",
        verified="file",
        files=(
            SourceFile(
                path="safety/jailbreakbench.csv",
                url="https://huggingface.co/datasets/JailbreakBench/JBB-Behaviors/resolve/"
                f"{JBB_REVISION}/data/harmful-behaviors.csv",
                sha256="45e9a8923b28f547bb372fbaa9af7df8b38c818a80ae50c3bab97704197ff516",
                also=("4a8ec6832056b631eb092dccc60d37a61c3d441268268888b3d006288afeffa1",),
            ),
        ),
    )
    rows = staticmethod(csv_rows)

    def fields(self, number: int, row: Row) -> Fields:
        """See `TableBenchmark.fields`."""
        return Fields(prompt=row["Goal"], category=row["Category"], cluster=row["Behavior"])


class AdvBench(TableBenchmark):
    """520 harmful behaviours (Zou et al. 2023, arXiv 2307.15043). The set has no categories, and many near copies."""

    name = "advbench"
    digits = 3
    info = BenchmarkInfo(
        axis=Axis.HARM,
        judge="refusal",
        n_items=520,
        licence="MIT",
        citation="Zou et al. 2023, arXiv 2307.15043",
        verified="file",
        files=(
            SourceFile(
                path="safety/advbench.csv",
                url="https://raw.githubusercontent.com/llm-attacks/llm-attacks/"
                "098262edf85f807224e70ecd87b9d83716bf6b73/data/advbench/harmful_behaviors.csv",
                sha256="6cd1a5c63c07610d7eb67307772ee5606017ee950b5770ab288a2c487489d3e1",
            ),
        ),
    )
    rows = staticmethod(csv_rows)

    def fields(self, number: int, row: Row) -> Fields:
        """See `TableBenchmark.fields`."""
        return Fields(prompt=row["goal"], category="harmful behaviour")


class _HarmBench(TableBenchmark):
    """What the two parts of HarmBench's text behaviours share: all 400 are read, the test split before validation.

    Both splits are used, as in the published file of all text behaviours. The 100 copyright behaviours are left out:
    what counts there is whether a protected text is reproduced, which a refusal judge cannot see.
    """

    part: ClassVar[str]
    rows = staticmethod(csv_rows)

    def fields(self, number: int, row: Row) -> Fields | None:
        """Keep the rows of this functional category; the id is HarmBench's own. See `TableBenchmark.fields`."""
        if row["FunctionalCategory"] != self.part:
            return None
        return Fields(
            prompt=row["Behavior"],
            category=row["SemanticCategory"],
            key=row["BehaviorID"],
            cluster=row["Behavior"].strip(),
            context=row["ContextString"] or None,
        )


class HarmBenchStandard(_HarmBench):
    """The 200 plain text behaviours of HarmBench, test and validation (Mazeika et al. 2024, arXiv 2402.04249)."""

    name = "harmbench_standard"
    part = "standard"
    info = BenchmarkInfo(
        axis=Axis.HARM,
        judge="refusal",
        n_items=200,
        licence="MIT",
        citation="Mazeika et al. 2024, arXiv 2402.04249",
        verified="file",
        files=_HARMBENCH_FILES,
    )


class HarmBenchContextual(_HarmBench):
    """The 100 text behaviours of HarmBench with a context, test and validation (Mazeika et al. 2024, arXiv 2402.04249).

    The context is the item's `context`; requests with the same words about different texts share a cluster.
    """

    name = "harmbench_contextual"
    part = "contextual"
    info = BenchmarkInfo(
        axis=Axis.HARM,
        judge="refusal",
        n_items=100,
        licence="MIT",
        citation="Mazeika et al. 2024, arXiv 2402.04249",
        verified="file",
        files=_HARMBENCH_FILES,
    )


class StrongReject(TableBenchmark):
    """313 forbidden prompts in six categories (Souly et al. 2024, arXiv 2402.10260)."""

    name = "strongreject"
    digits = 3
    info = BenchmarkInfo(
        axis=Axis.HARM,
        judge="refusal",
        n_items=313,
        licence="MIT",
        citation="Souly et al. 2024, arXiv 2402.10260",
        verified="file",
        files=(
            SourceFile(
                path="safety/strongreject.csv",
                url="https://raw.githubusercontent.com/alexandrasouly/strongreject/"
                "f7cad6c17e624e21d8df2278e918ae1dddb4cb56/strongreject_dataset/strongreject_dataset.csv",
                sha256="4dd70357e4ff8b5d0ba5ebafecab5d6dd5633ce8046e3dd1c8bd93e64de44381",
            ),
        ),
    )
    rows = staticmethod(csv_rows)

    def fields(self, number: int, row: Row) -> Fields:
        """See `TableBenchmark.fields`."""
        return Fields(prompt=row["forbidden_prompt"], category=row["category"])


class MaliciousInstruct(TableBenchmark):
    """100 malicious instructions (Huang et al. 2023, arXiv 2310.06987). The published list has no categories."""

    name = "malicious_instruct"
    digits = 3
    info = BenchmarkInfo(
        axis=Axis.HARM,
        judge="refusal",
        n_items=100,
        licence="MIT",
        citation="Huang et al. 2023, arXiv 2310.06987",
        verified="file",
        files=(
            SourceFile(
                path="safety/malicious_instruct.txt",
                url="https://raw.githubusercontent.com/Princeton-SysML/Jailbreak_LLM/main/data/MaliciousInstruct.txt",
                sha256="a64d69dd1004aac4a23aaff3748fb8f17161893f74db36f45b8bc849eb1bcce5",
            ),
        ),
    )
    rows = staticmethod(text_rows)

    def fields(self, number: int, row: Row) -> Fields:
        """See `TableBenchmark.fields`."""
        return Fields(prompt=row["prompt"], category="malicious instruction")


class SorryBench(TableBenchmark):
    """450 unsafe instructions, ten in each of 45 categories (Xie et al. 2024, arXiv 2406.14598), release 2024-06.

    Only the base prompts, not their linguistic mutations. Access has to be asked for, and the hash of the file is not
    published: it is pinned on first use (see `oldham.benchmarks.source`).
    """

    name = "sorry_bench"
    info = BenchmarkInfo(
        axis=Axis.HARM,
        judge="refusal",
        n_items=450,
        licence="LicenseRef-SORRY-Bench",
        citation="Xie et al. 2024, arXiv 2406.14598",
        verified="schema",
        files=(
            SourceFile(
                path="safety/sorry_bench.jsonl",
                url="https://huggingface.co/datasets/sorry-bench/sorry-bench-202406/resolve/"
                "b34822276edde97592eda99c0b56d306f8830469/question.jsonl",
                sha256=None,
                access="https://huggingface.co/datasets/sorry-bench/sorry-bench-202406",
            ),
        ),
    )
    rows = staticmethod(jsonl_rows)

    def fields(self, number: int, row: Row) -> Fields | None:
        """Keep the base prompts. See `TableBenchmark.fields`."""
        if row.get("prompt_style", "base") != "base":
            return None
        return Fields(prompt=row["turns"][0], category=str(row["category"]), key=str(row["question_id"]))


class XSTestUnsafe(TableBenchmark):
    """175 unsafe contrasts of XSTest's safe prompts (Röttger et al. 2023, arXiv 2308.01263).

    The other 25 of the 200 ask for private information and are `xstest_privacy`, so that no prompt is on two axes.
    """

    name = "xstest_unsafe"
    info = BenchmarkInfo(
        axis=Axis.HARM,
        judge="refusal",
        n_items=175,
        licence="CC-BY-4.0",
        citation="Röttger et al. 2023, arXiv 2308.01263",
        verified="file",
        files=(XSTEST,),
    )
    rows = staticmethod(csv_rows)

    def fields(self, number: int, row: Row) -> Fields | None:
        """See `TableBenchmark.fields`."""
        return part_of(self.name, row)
