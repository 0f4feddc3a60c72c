"""The importer contract, its registry, and the row that every importer makes of another tool's output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from oldham.core.errors import ConfigError, DataError
from oldham.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from oldham.core.errors import OldhamError
    from oldham.core.outcomes import Axis, Outcome
    from oldham.core.records import EarlierCall, ReadSpan, Sampling, StopReason
    from oldham.interop.mapping import Mapping
    from oldham.interop.outputs import Output


@dataclass(frozen=True, slots=True)
class Heard:
    """What a judge of the other tool said."""

    judge: str
    """The judge's name there."""
    outcome: Outcome
    """What it comes to here."""
    score: float | None
    """In [0, 1], 1 is good; None when nothing is known."""
    span: ReadSpan = "answer"
    """Which part it read."""
    raw: str = ""
    """What it said, as it said it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What else is known of a generation. What the source does not tell stays None."""

    stop: StopReason | None = None
    trace_stop: StopReason | None = None
    error: str | None = None
    prompt_text: str | None = None
    """The rendered prompt, where it is not the bare request."""
    requested_thinking_tokens: int | None = None
    realised_thinking_tokens: int | None = None
    prompt_tokens: int | None = None
    trace_tokens: int | None = None
    answer_tokens: int | None = None
    seconds: float | None = None
    usd: float | None = None
    sampling: Sampling | None = None
    choice_logprobs: tuple[float, ...] | None = None
    calls: tuple[EarlierCall, ...] = ()
    """Calls before the one that answers; empty where none are known."""


@dataclass(frozen=True, slots=True)
class Row:
    """One generation of another tool, with what its judges said."""

    place: str
    """Where it was read, such as `samples.jsonl:7`."""
    arm: str
    benchmark: str
    axis: Axis
    prompt: str
    """The user's request."""
    output: Output
    is_stand_in: bool = False
    """The source does not hold the request; `prompt` stands in for it where the item is not known already."""
    item: str | None = None
    """The item's id; None where the source has none: it then follows from the request's text."""
    cluster: str | None = None
    """None where every item stands for itself."""
    category: str | None = None
    context: str | None = None
    reference: dict[str, Any] = field(default_factory=dict)
    attack: str = "none"
    draw: int = 0
    model: str | None = None
    """The model's name there; None where only the arm's is known."""
    facts: Facts = Facts()
    heard: tuple[Heard, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user says of the files."""

    format: str | None = None
    """Registered name of the importer; None to tell it from the content."""
    mapping: Mapping | None = None
    """What the columns mean."""
    arm: str | None = None
    """Name of the arm, in place of the one the source suggests."""
    benchmark: str | None = None
    """Name of the benchmark, in place of the one the source suggests."""
    axis: Axis | None = None
    """The axis of every item, in place of the one the source suggests."""
    baseline: str | None = None
    """The run's baseline; None takes its first arm."""
    partial: bool = False
    """Keep what can be read of a damaged file."""


def _untold(_note: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to be read."""

    path: Path
    options: ImportOptions
    bad: Callable[[OldhamError], None]
    """Called with what is wrong with a row, which is then left out; raises it unless the import is partial."""
    tell: Callable[[str], None] = _untold
    """Called with what the user should know of the file: a sentence for the import's summary."""

    def place(self, line: int | None = None, column: int | None = None) -> str:
        """Name a place in the file.

        Args:
            line: Counted from 1.
            column: Counted from 1.
        """
        return ":".join(str(part) for part in (self.path, line, column) if part is not None)

    def axis(self, suggested: Axis | None) -> Axis:
        """Return the axis of the file's items.

        Args:
            suggested: What the source says; None where it says nothing.

        Raises:
            ConfigError: Neither the user nor the source says it.
        """
        axis = self.options.axis or suggested
        if axis is None:
            raise ConfigError(
                "Nothing here says on which axis these items are.",
                place=str(self.path),
                remedy="Say it: --axis reasoning, harm, overrefusal, truthfulness or privacy.",
            )
        return axis


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a file, by which its format is told."""

    path: Path
    kind: str
    """`zip`, `json`, `jsonl`, `csv`, `directory` or `text`."""
    keys: tuple[str, ...] = ()
    """The keys of the first JSON object, or the columns of a CSV file."""
    first: Any = None
    """With kind `json` the value of the first key, where it is small; else None."""


class Importer(ABC):
    """Reads the files of one format."""

    name: ClassVar[str]
    """The registered name."""

    @classmethod
    @abstractmethod
    def recognises(cls, head: Head) -> bool:
        """Say whether a file is of this format.

        Args:
            head: Its beginning.
        """

    def files(self, path: Path) -> list[Path]:
        """Return the files that a path stands for.

        Args:
            path: What the user gave; it exists.

        Raises:
            DataError: It is a directory without a file.
        """
        return (files_in(path) or no_file(path)) if path.is_dir() else [path]

    @abstractmethod
    def rows(self, source: Source) -> Iterator[Row]:
        """Read a file, a row at a time.

        Args:
            source: The file.

        Yields:
            Its rows, in its order. A row that makes no sense goes to `source.bad` and is left out.

        Raises:
            OldhamError: The file cannot be read any further.
        """


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder by name, hidden ones left out.

    Args:
        folder: The folder; folders in it are not looked into.
    """
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def no_file(path: Path) -> NoReturn:
    """Say that a path is a directory.

    Args:
        path: The directory.

    Raises:
        DataError: Always.
    """
    raise DataError("This is a directory, not a file.", place=str(path), remedy="Name the files in it.")


IMPORTERS: Registry[Importer] = Registry("importer", Importer)  # type: ignore[type-abstract]

for _name, _target, _summary, _citation in (
    (
        "inspect",
        "oldham.interop.inspect_logs:InspectImporter",
        "Logs of Inspect, `.eval` and `.json`, with reasoning apart from the answer.",
        "UK AI Security Institute, inspect.aisi.org.uk",
    ),
    (
        "lm_eval",
        "oldham.interop.lm_eval:LmEvalImporter",
        "Samples of the LM Evaluation Harness (`--log_samples`), a judge for each metric and filter.",
        "Gao et al., EleutherAI/lm-evaluation-harness",
    ),
    (
        "harmbench",
        "oldham.interop.harmbench:HarmBenchImporter",
        "Completions of HarmBench by behaviour, with the classifier's label where there is one.",
        "Mazeika et al. 2024, arXiv 2402.04249",
    ),
    (
        "self_jailbreak_traces",
        "oldham.interop.published:SelfJailbreakImporter",
        "Traces on StrongREJECT with a rubric's score and marked self-jailbreak sentences.",
        "Yong and Bach 2025, arXiv 2510.20956",
    ),
    (
        "refusal_direction",
        "oldham.interop.published:RefusalDirectionImporter",
        "Completions with the refusal direction ablated, added or subtracted, and two verdicts.",
        "Arditi et al. 2024, arXiv 2406.11717",
    ),
    (
        "xstest_completions",
        "oldham.interop.published:XSTestImporter",
        "Completions of XSTest with the labels of two annotators and their final one.",
        "Röttger et al. 2024, arXiv 2308.01263",
    ),
    (
        "table",
        "oldham.interop.table:TableImporter",
        "Any JSONL, CSV or TSV file whose columns a mapping file explains (`--map`).",
        "this project",
    ),
):
    IMPORTERS.register(_name, _target, summary=_summary, citation=_citation)
