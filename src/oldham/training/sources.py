"""The contract of a source of training data, and the registry of all of them.

No harmful completion is a training target anywhere: a harmful request comes with a refusal, or without a completion.
What others published is taken at their word; see `oldham.training.loaders`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from oldham.benchmarks.source import SourceFile
from oldham.core.records import Record
from oldham.core.registry import Registry

if TYPE_CHECKING:
    from oldham.benchmarks.resources import TrainingExample


class SourceInfo(Record):
    """What a reader must know of a source before training on it."""

    kinds: tuple[str, ...] = ()
    """The kinds of its examples; empty where a file names them."""
    traces: bool = False
    """Its examples have a `trace`, reasoning that comes before the completion."""
    pairs: bool = False
    """Its examples have a `rejected` beside the completion, as preference methods need."""
    licence: str
    """SPDX name, or what is known where the authors state none."""
    n_examples: int | None = None
    """How many it has; None for a generated source and for a file that was not counted."""
    files: tuple[SourceFile, ...] = ()
    """Where it is read from, in order; none for a source that is embedded or generated."""
    verified: Literal["embedded", "file", "schema"] = "embedded"
    """How far the reading is checked; see `oldham.benchmarks.base.BenchmarkInfo.verified`."""


class Source(ABC):
    """Where training examples come from."""

    info: ClassVar[SourceInfo]
    """Static facts."""

    @abstractmethod
    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Return examples of all kinds.

        Args:
            n: Number of examples, at least 1.
            seed: Any integer; a generated source takes it, others do not look at it.

        Returns:
            `n` examples of a generated source. A written source may return all it has, in its own order, and a file
            fewer than `n`.

        Raises:
            ConfigError: A generated source cannot make so many.
            DataError: A file is missing, or not the one that was pinned.
        """

    def examples(self, n: int, seed: int, kind: str | None = None) -> list[TrainingExample]:
        """Return examples, of one kind if one is named.

        Args:
            n: Number of examples, at least 1.
            seed: As for `draw`.
            kind: One of `info.kinds`; None for all.

        Returns:
            As from `draw`, and only those of the kind.

        Raises:
            ConfigError: As from `draw`.
            DataError: As from `draw`.
        """
        if kind is None:
            return self.draw(n, seed)
        # A generated source mixes its kinds, so that one kind of it takes a longer draw.
        return [row for row in self.draw(4 * n, seed) if row["kind"] == kind]


class Answered(NamedTuple):
    """What a source made of a model's own answers."""

    examples: list[TrainingExample]
    """At most as many as were asked for."""
    told: str
    """What was kept and what was thrown away, in one sentence."""


class OwnSource(Source):
    """A source whose completions the model under training writes; `draw` gives the prompts without them."""

    @abstractmethod
    def answered(self, model: str, n: int, kind: str | None = None, *, answer_tokens: int = 64) -> Answered:
        """Let a model answer the prompts and keep the answers that are fit to train on.

        Args:
            model: A model name as in a study file.
            n: Number of examples wanted, at least 1.
            kind: One of `info.kinds`; None for all.
            answer_tokens: Most tokens of an answer.

        Raises:
            ModelError: There is no such model, or it cannot generate.
        """


SOURCES: Registry[Source] = Registry("source", Source)  # type: ignore[type-abstract]
"""Every source by name."""


for _name, _target, _summary, _citation in (
    ("harmful_refusals", "written:HarmfulRefusals", "Harmful requests, each with a short refusal.", "this project"),
    (
        "benign_prompts",
        "written:BenignPrompts",
        "Everyday requests and safe look-alikes, without completions: the model answers them itself.",
        "this project, look-alikes after XSTest (arXiv 2308.01263)",
    ),
    ("premises", "written:Premises", "Questions with a false and with a true premise, in turn.", "this project"),
    (
        "private_records",
        "written:PrivateRecords",
        "Requests for a secret in a record, by somebody who may know it and by somebody who may not.",
        "this project, after contextual integrity (arXiv 2310.17884)",
    ),
    (
        "arithmetic_solutions",
        "written:ArithmeticSolutions",
        "Generated word problems with worked solutions.",
        "this project, in the form of GSM8K (arXiv 2110.14168)",
    ),
    (
        "arithmetic_traces",
        "written:ArithmeticTraces",
        "The same, each solution opened by the zero-shot trigger.",
        "this project, trigger of Kojima et al. 2022 (arXiv 2205.11916)",
    ),
    (
        "arithmetic",
        "traces:Arithmetic",
        "Generated word problems by trace: none, short, long, shuffled, truncated, another's answer.",
        "this project",
    ),
    (
        "plain_text",
        "traces:PlainText",
        "Descriptions without reasoning, word for word as long as the traces of `arithmetic`.",
        "this project",
    ),
    (
        "direct_refusal",
        "safety:DirectRefusal",
        "Harmful requests with DirectRefusal's one-line trace and a refusal.",
        "after Huang et al. 2025, arXiv 2503.00555",
    ),
    (
        "short_safety_reasoning",
        "safety:ShortSafetyReasoning",
        "Harmful requests, one or two sentences that name the risk, and a refusal.",
        "this project, after arXiv 2505.15404",
    ),
    (
        "reflective_safety_reasoning",
        "safety:ReflectiveSafetyReasoning",
        "Harmful requests, reflection on who could be harmed and what would be safe help, and a refusal.",
        "this project, after STAR-1 (arXiv 2504.01903)",
    ),
    (
        "policy_recall",
        "safety:PolicyRecall",
        "Traces that quote a clause of a policy: refusals of harmful requests, help with look-alikes.",
        "this project, after Guan et al. 2024, arXiv 2412.16339",
    ),
    (
        "safe_over_jailbroken",
        "safety:SafeOverJailbroken",
        "Preference pairs: safe reasoning and a refusal, over a trace that argues itself into complying.",
        "this project, after arXiv 2510.20956",
    ),
    (
        "own_safe",
        "own:OwnSafe",
        "Refusals and helpful answers of the model itself under a safety instruction, sifted by a judge.",
        "after ThinkSafe (arXiv 2601.23143) and RealSafe-R1 (arXiv 2504.10081)",
    ),
    (
        "gsm8k_train",
        "loaders:GSM8KTrain",
        "Grade-school mathematics with worked solutions, training split.",
        "Cobbe et al. 2021, arXiv 2110.14168",
    ),
    (
        "math_train",
        "loaders:MathTrain",
        "Competition mathematics with worked solutions, training split, its subjects in turn.",
        "Hendrycks et al. 2021, arXiv 2103.03874",
    ),
    (
        "s1k",
        "loaders:S1K",
        "1,000 hard questions with long traces of Gemini.",
        "Muennighoff et al. 2025, arXiv 2501.19393",
    ),
    (
        "s1k_1_1",
        "loaders:S1K11",
        "The same questions with long traces of DeepSeek-R1.",
        "Muennighoff et al. 2025, arXiv 2501.19393",
    ),
    (
        "open_thoughts",
        "loaders:OpenThoughts",
        "114,000 questions of mathematics, science and code with long traces of DeepSeek-R1.",
        "Guha et al. 2025, arXiv 2506.04178",
    ),
    (
        "star1",
        "loaders:Star1",
        "1,000 harmful requests with traces that weigh a policy, and refusals; revision not pinned.",
        "Wang et al. 2025, arXiv 2504.01903",
    ),
    (
        "safechain",
        "loaders:SafeChain",
        "40,000 requests with safe traces and answers of R1 (gated: ask for access); revision not pinned.",
        "Jiang et al. 2025, arXiv 2502.12025",
    ),
    (
        "direct_refusal_published",
        "loaders:DirectRefusalPublished",
        "DirectRefusal as released: BeaverTails requests, a one-line trace, refusals; revision not pinned.",
        "Huang et al. 2025, arXiv 2503.00555",
    ),
):
    SOURCES.register(_name, f"oldham.training.{_target}", summary=_summary, citation=_citation)
