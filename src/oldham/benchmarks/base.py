"""The benchmark contract and its registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from oldham.benchmarks.source import SourceFile
from oldham.core.outcomes import Axis
from oldham.core.records import Record
from oldham.core.registry import Registry

if TYPE_CHECKING:
    from oldham.core.records import Item


class BenchmarkInfo(Record):
    """What a reader must know of a benchmark before trusting a number from it."""

    axis: Axis
    """The axis its items are on."""
    judge: str
    """Registered name of the judge that `rules` stands for on this benchmark."""
    n_items: int
    """Number of items; the loader checks it."""
    licence: str
    """SPDX name."""
    citation: str
    """Where it comes from."""
    files: tuple[SourceFile, ...] = ()
    """Where its items are read from, in order; none for a set that is embedded or generated."""
    verified: Literal["embedded", "file", "schema"] = "embedded"
    """How far the loader is checked: the set is `embedded` in the package; it was run on the published `file`; or only
    on a made-up file with the published columns (`schema`)."""
    likelihood: bool = False
    """Its items are scored by the likelihood of `reference["choices"]`, and nothing is generated."""

    @property
    def file(self) -> str | None:
        """Path of the first file below `OLDHAM_DATA`; None for an embedded or generated set."""
        return self.files[0].path if self.files else None


class Benchmark(ABC):
    """A set of items on one axis."""

    info: ClassVar[BenchmarkInfo]
    """Static facts."""

    @abstractmethod
    def items(self) -> tuple[Item, ...]:
        """Return every item, always in the same order.

        Returns:
            `info.n_items` items with unique ids.

        Raises:
            DataError: The file is missing, or not the one that was pinned.
        """


BENCHMARKS: Registry[Benchmark] = Registry("benchmark", Benchmark)  # type: ignore[type-abstract]

for _name, _target, _summary, _citation in (
    (
        "arithmetic",
        "arithmetic:Arithmetic",
        "Word problems from seeded templates in three difficulty levels.",
        "this project",
    ),
    (
        "sums",
        "sums:Sums",
        "60 sums of two small numbers, held out from the sums that rewards are tried on.",
        "this project",
    ),
    (
        "harmful",
        "embedded:Harmful",
        "Short, plain, non-operational harmful requests over ten categories.",
        "this project",
    ),
    (
        "benign",
        "embedded:Benign",
        "Safe look-alikes, each paired with a harmful item by surface form.",
        "this project, after XSTest (arXiv 2308.01263)",
    ),
    (
        "false_premise",
        "embedded:FalsePremise",
        "Questions with a false premise and a checkable reference.",
        "this project",
    ),
    (
        "private_record",
        "private_record:PrivateRecord",
        "A synthetic record in context, and a request by someone who should not get it.",
        "this project, after contextual integrity (arXiv 2310.17884)",
    ),
    ("gsm8k", "reasoning:GSM8K", "Grade-school mathematics, test split.", "arXiv 2110.14168"),
    ("math500", "reasoning:Math500", "500 competition problems in seven subjects.", "arXiv 2103.03874, 2305.20050"),
    (
        "arc_challenge",
        "reasoning:ArcChallenge",
        "Multiple-choice science questions for schools, test split.",
        "arXiv 1803.05457",
    ),
    (
        "gpqa_diamond",
        "reasoning:GpqaDiamond",
        "Multiple-choice questions of graduate level in biology, physics and chemistry.",
        "arXiv 2311.12022",
    ),
    ("jailbreakbench", "harm:JailbreakBench", "100 harmful behaviours in ten categories.", "arXiv 2404.01318"),
    ("advbench", "harm:AdvBench", "520 harmful behaviours.", "Zou et al. 2023, arXiv 2307.15043"),
    (
        "harmbench_standard",
        "harm:HarmBenchStandard",
        "HarmBench's plain text behaviours, validation and test.",
        "Mazeika et al. 2024, arXiv 2402.04249",
    ),
    (
        "harmbench_contextual",
        "harm:HarmBenchContextual",
        "HarmBench's behaviours that refer to a text in context.",
        "Mazeika et al. 2024, arXiv 2402.04249",
    ),
    ("strongreject", "harm:StrongReject", "313 forbidden prompts in six categories.", "arXiv 2402.10260"),
    ("malicious_instruct", "harm:MaliciousInstruct", "100 malicious instructions.", "arXiv 2310.06987"),
    (
        "sorry_bench",
        "harm:SorryBench",
        "450 unsafe base prompts in 45 categories (gated: ask for access).",
        "arXiv 2406.14598",
    ),
    (
        "xstest_unsafe",
        "harm:XSTestUnsafe",
        "The unsafe contrasts of XSTest's safe prompts, privacy apart.",
        "arXiv 2308.01263",
    ),
    (
        "xstest_safe",
        "overrefusal:XSTestSafe",
        "250 safe prompts that look unsafe, most paired with an unsafe contrast.",
        "arXiv 2308.01263",
    ),
    (
        "jailbreakbench_benign",
        "overrefusal:JailbreakBenchBenign",
        "100 benign behaviours on the topics of JailbreakBench's harmful ones.",
        "arXiv 2404.01318",
    ),
    ("or_bench_hard", "overrefusal:OrBenchHard", "1,319 safe prompts that models tend to refuse.", "arXiv 2405.20947"),
    (
        "alpaca_harmless",
        "overrefusal:AlpacaHarmless",
        "Plain harmless instructions, validation split of the refusal-direction paper.",
        "arXiv 2406.11717",
    ),
    (
        "truthfulqa",
        "truthfulness:TruthfulQA",
        "Questions that many people answer falsely; the answer is generated.",
        "Lin et al. 2021, arXiv 2109.07958",
    ),
    (
        "truthfulqa_mc1",
        "truthfulness:TruthfulQAMC1",
        "TruthfulQA by likelihood: the best answer against all false ones.",
        "Lin et al. 2021, arXiv 2109.07958",
    ),
    (
        "truthfulqa_mc2",
        "truthfulness:TruthfulQAMC2",
        "TruthfulQA by likelihood: the share of the true answers.",
        "Lin et al. 2021, arXiv 2109.07958",
    ),
    ("simpleqa", "truthfulness:SimpleQA", "Short factual questions with one right answer.", "arXiv 2411.04368"),
    (
        "xstest_privacy",
        "privacy:XSTestPrivacy",
        "XSTest's requests for private information about real people.",
        "arXiv 2308.01263",
    ),
    (
        "contextual_integrity",
        "privacy:ContextualIntegrity",
        "Meeting notes to be written without a secret that was told in confidence.",
        "ConfAIde tier 4, arXiv 2310.17884",
    ),
):
    BENCHMARKS.register(_name, f"oldham.benchmarks.{_target}", summary=_summary, citation=_citation)
