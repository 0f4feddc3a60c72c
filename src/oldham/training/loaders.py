"""Training sets that others published, read from pinned files as benchmarks are (`oldham.benchmarks.source`).

Where nobody published a file's hash, it is pinned on first use. Of three sets (`star1`, `safechain`,
`direct_refusal_published`) the revision is not pinned either: the hub's own conversion is read as it is on the day, so
that another machine may get other rows. A run's `data.jsonl` has the rows it was trained on, and its manifest their
hash (`data_sha256`): compare these, or give both machines the same file by `OLDHAM_DATA`.

Traces that never end are left out: a model would learn not to answer. Nothing else is sifted: that the answers to
harmful requests are refusals is what the authors say of their sets.
"""

from __future__ import annotations

import io
import re
from abc import abstractmethod
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Final

from oldham.benchmarks.source import SourceFile, read_source
from oldham.benchmarks.table import jsonl_rows
from oldham.core.errors import DataError
from oldham.core.thinking import ThinkingState, split_thinking
from oldham.training.safety import DIRECT_REFUSAL_TRACE
from oldham.training.sources import Source, SourceInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oldham.benchmarks.resources import TrainingExample
    from oldham.benchmarks.table import Row

_HUB: Final = "https://huggingface.co/datasets/"
_MATH_REVISION: Final = "21a5633873b6a120296cce3e2df9d5550074f4a3"
_MATH_SUBJECTS: Final = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_OPEN_THOUGHTS_REVISION: Final = "5c8af951ffb9688fe3e1a7f3ecd5a6e55154d0b5"
_OPEN_THOUGHTS_FILES: Final = 6
# Of a hub page without a known revision, the hub's own conversion is read, which has this place on every page. It moves
# with the page: nothing pins it but the hash of the first file that a machine reads.
_CONVERTED: Final = "resolve/refs%2Fconvert%2Fparquet/default/train/0000.parquet"
_CALCULATOR: Final = re.compile(r"<<[^<>]*>>")
_SOLUTION: Final = re.compile(r"<\|(?:begin|end)_of_solution\|>")
_QUESTION: Final = re.compile(r"Question:\s*(?P<question>.+?)\s*\nAnswer:\s*(?P<answer>.+)", re.DOTALL)


class FileSource(Source):
    """A source read from files with one example a row. Several files take turns, so that a prefix has all of them."""

    @abstractmethod
    def fields(self, row: Row) -> TrainingExample | None:
        """Turn a row into an example.

        Args:
            row: The record, by column.

        Returns:
            The example, or None for a row that cannot be trained on.
        """

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Read the first `n` usable rows, or as many as there are. See `Source.draw`."""
        return self._read(self.info.files, n)

    def examples(self, n: int, seed: int, kind: str | None = None) -> list[TrainingExample]:
        """Read the first `n` usable rows of a kind, or as many as there are. See `Source.examples`."""
        return self._read(self.info.files, n, kind)

    def _read(self, files: tuple[SourceFile, ...], n: int, kind: str | None = None) -> list[TrainingExample]:
        columns = [self._usable(file, n, kind) for file in files]
        turns = chain.from_iterable(zip_longest(*columns))
        return [example for example in turns if example is not None][:n]

    def _usable(self, file: SourceFile, n: int, kind: str | None) -> list[TrainingExample]:
        found: list[TrainingExample] = []
        for row in _rows(file):
            try:
                example = self.fields(row)
            except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
                raise DataError(
                    f"A row does not have the columns it should have ({error!r}).",
                    place=file.path,
                    remedy="Check that the file is the published one.",
                ) from error
            if example is not None and kind in (None, example["kind"]):
                found.append(example)
            if len(found) == n:
                break
        return found


class GSM8KTrain(FileSource):
    """7,473 grade-school problems with worked solutions (Cobbe et al. 2021, arXiv 2110.14168).

    The calculator's marks (`<<48/2=24>>`) are taken out; the solution ends in "#### 72", and `reference` has the answer
    as the benchmark `gsm8k` does.
    """

    info = SourceInfo(
        kinds=("gsm8k",),
        licence="MIT",
        n_examples=7473,
        verified="file",
        files=(
            SourceFile(
                path="gsm8k/train.jsonl",
                url="https://raw.githubusercontent.com/openai/grade-school-math/"
                "3101c7d5072418e28b9008a6636bde82a006892c/grade_school_math/data/train.jsonl",
                sha256="17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
            ),
        ),
    )

    def fields(self, row: Row) -> TrainingExample:
        """Take the marks out. See `FileSource.fields`."""
        answer = row["answer"].rpartition("####")[2].strip().replace(",", "")
        completion = _CALCULATOR.sub("", row["answer"]).strip()
        return {
            "prompt": row["question"].strip(),
            "completion": completion,
            "kind": "gsm8k",
            "reference": {"answer": answer},
        }


class MathTrain(FileSource):
    """7,500 competition problems with worked solutions (Hendrycks et al. 2021, arXiv 2103.03874).

    The training split alone: MATH-500 is drawn from the test split. The kind is the subject, and `reference` has the
    content of the solution's last box, as the benchmark `math500` does; a solution without one is left out.
    """

    info = SourceInfo(
        kinds=_MATH_SUBJECTS,
        licence="MIT",
        n_examples=7500,
        verified="schema",
        files=tuple(
            SourceFile(
                path=f"math/{subject}-train.parquet",
                url=f"{_HUB}EleutherAI/hendrycks_math/resolve/{_MATH_REVISION}/{subject}/train-00000-of-00001.parquet",
                sha256=None,
            )
            for subject in _MATH_SUBJECTS
        ),
    )

    def examples(self, n: int, seed: int, kind: str | None = None) -> list[TrainingExample]:
        """Read the subject's file alone, where one is named. See `Source.examples`."""
        named = [file for subject, file in zip(_MATH_SUBJECTS, self.info.files, strict=True) if subject == kind]
        return self._read(tuple(named) or self.info.files, n, kind)

    def fields(self, row: Row) -> TrainingExample | None:
        """Take the answer from the last box. See `FileSource.fields`."""
        answer = last_box(row["solution"])
        if answer is None:
            return None
        return {
            "prompt": row["problem"].strip(),
            "completion": row["solution"].strip(),
            "kind": row["type"].lower().replace(" & ", "_and_").replace(" ", "_"),
            "reference": {"answer": answer},
        }


class S1K(FileSource):
    """s1K: 1,000 hard questions with long traces of Gemini 2.0 Flash Thinking (arXiv 2501.19393)."""

    info = SourceInfo(
        traces=True,
        licence="Apache-2.0",
        n_examples=1000,
        verified="schema",
        files=(
            SourceFile(
                path="s1k/train.parquet",
                url=f"{_HUB}simplescaling/s1K/resolve/d070fdb085608970b8388905c78045b1f84085dc/"
                "data/train-00000-of-00001.parquet",
                sha256=None,
            ),
        ),
    )

    def fields(self, row: Row) -> TrainingExample:
        """Take the first trajectory; the kind is `cot_type`. See `FileSource.fields`."""
        return _reasoned(row["question"], row["thinking_trajectories"][0], row["attempt"], row["cot_type"])


class S1K11(FileSource):
    """s1K-1.1: the questions of s1K with traces of DeepSeek-R1 (arXiv 2501.19393)."""

    info = SourceInfo(
        traces=True,
        licence="MIT",
        n_examples=1000,
        verified="schema",
        files=(
            SourceFile(
                path="s1k/train-1.1.parquet",
                url=f"{_HUB}simplescaling/s1K-1.1/resolve/064b009f7987665aae83921408fe44947bb8fa6d/"
                "data/train-00000-of-00001.parquet",
                sha256=None,
            ),
        ),
    )

    def fields(self, row: Row) -> TrainingExample:
        """Take R1's trajectory; the kind is `cot_type`. See `FileSource.fields`."""
        return _reasoned(row["question"], row["deepseek_thinking_trajectory"], row["deepseek_attempt"], row["cot_type"])


class OpenThoughts(FileSource):
    """OpenThoughts-114k: questions of mathematics, science and code with traces of DeepSeek-R1 (arXiv 2506.04178).

    Its six files, 1.1 GB together, hold one domain after another, so they take turns. The system prompt, which asks for
    the authors' own markers, is left out.
    """

    info = SourceInfo(
        traces=True,
        licence="Apache-2.0",
        n_examples=113_957,
        verified="schema",
        files=tuple(
            SourceFile(
                path=f"open_thoughts/train-{number}.parquet",
                url=f"{_HUB}open-thoughts/OpenThoughts-114k/resolve/{_OPEN_THOUGHTS_REVISION}/"
                f"data/train-{number:05d}-of-{_OPEN_THOUGHTS_FILES:05d}.parquet",
                sha256=None,
            )
            for number in range(_OPEN_THOUGHTS_FILES)
        ),
    )

    def fields(self, row: Row) -> TrainingExample | None:
        """Split the answer at its markers. See `FileSource.fields`."""
        question, reply = (turn["value"] for turn in row["conversations"][:2])
        return _split(question, _SOLUTION.sub("", reply), "open_thoughts")


class Star1(FileSource):
    """STAR-1: 1,000 harmful requests with traces that weigh a policy (Wang et al. 2025, arXiv 2504.01903).

    The revision is not pinned.
    """

    info = SourceInfo(
        kinds=("harmful_refusal",),
        traces=True,
        licence="Apache-2.0",
        n_examples=1000,
        verified="schema",
        files=(SourceFile(path="star1/train.parquet", url=f"{_HUB}UCSC-VLAA/STAR-1/{_CONVERTED}", sha256=None),),
    )

    def fields(self, row: Row) -> TrainingExample | None:
        """Split the response at its thinking tags. See `FileSource.fields`."""
        return _split(row["question"], row["response"], "harmful_refusal")


class SafeChain(FileSource):
    """SafeChain: 40,000 requests of WildJailbreak with traces and answers of R1-70B (Jiang et al. 2025).

    Kept by its authors where all of five samples were safe. The kind is their label, which says whether the request is
    harmful. Access has to be asked for. The revision is not pinned.
    """

    info = SourceInfo(
        traces=True,
        licence="none stated by its authors",
        n_examples=40_000,
        verified="schema",
        files=(
            SourceFile(
                path="safechain/train.parquet",
                url=f"{_HUB}UWNSL/SafeChain/{_CONVERTED}",
                sha256=None,
                access=f"{_HUB}UWNSL/SafeChain",
            ),
        ),
    )

    def fields(self, row: Row) -> TrainingExample | None:
        """Split the response, which lacks the opening tag. See `FileSource.fields`."""
        return _split(row["instruction"], row["response"], row["label"], opened="<think>" not in row["response"])


class DirectRefusalPublished(FileSource):
    """DirectRefusal as released (Huang et al. 2025, arXiv 2503.00555): 1,000 refusals of BeaverTails requests.

    The trace is the same line everywhere. Only the column with the refusal is read; those with harmful text are not.
    The revision is not pinned.
    """

    info = SourceInfo(
        kinds=("harmful_refusal",),
        traces=True,
        licence="none stated by its authors (BeaverTails: CC-BY-NC-4.0)",
        n_examples=1000,
        verified="schema",
        files=(
            SourceFile(
                path="direct_refusal/train.parquet", url=f"{_HUB}TianshengHuang/DirectRefusal/{_CONVERTED}", sha256=None
            ),
        ),
    )

    def fields(self, row: Row) -> TrainingExample | None:
        """Take question and answer apart. See `FileSource.fields`."""
        found = _QUESTION.search(row["refusal"])
        if found is None:
            return None
        return _reasoned(found["question"], DIRECT_REFUSAL_TRACE, found["answer"], "harmful_refusal")


def last_box(solution: str) -> str | None:
    r"""Return what the last `\boxed{...}` of a solution holds.

    Args:
        solution: LaTeX.

    Returns:
        The content, nested braces kept; None where there is no box, or one that never closes.
    """
    start = solution.rfind("\\boxed{")
    if start < 0:
        return None
    start += len("\\boxed{")
    depth = 1
    for place, character in enumerate(solution[start:], start=start):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return solution[start:place].strip() or None
    return None


def _reasoned(prompt: str, trace: str, completion: str, kind: str) -> TrainingExample:
    return {"prompt": prompt.strip(), "completion": completion.strip(), "kind": kind, "trace": trace.strip()}


def _split(prompt: str, reply: str, kind: str, *, opened: bool = False) -> TrainingExample | None:
    split = split_thinking(reply, opened_in_prompt=opened)
    whole = split.state in (ThinkingState.COMPLETE, ThinkingState.OPEN_IN_PROMPT)
    if not whole or split.trace is None or split.answer is None:
        return None
    example = _reasoned(prompt, split.trace.of(reply), split.answer.of(reply), kind)
    return example if example["trace"] and example["completion"] else None


def _rows(file: SourceFile) -> Iterator[Row]:
    content = read_source(file)
    try:
        if file.path.endswith(".parquet"):
            import polars as pl

            yield from pl.read_parquet(io.BytesIO(content)).iter_rows(named=True)
        else:
            yield from jsonl_rows(content)
    except Exception as error:
        # Each format has errors of its own, and all of them mean this.
        raise DataError(
            f"The file cannot be read ({error}).", place=file.path, remedy="Check that it is the published one."
        ) from error
