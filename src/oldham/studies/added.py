"""Judges that were added to a run after it was made; kept beside it, so that the same study goes on with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from oldham.backends.base import ServerOptions
from oldham.core.errors import DataError, UnknownNameError, did_you_mean
from oldham.core.records import Record
from oldham.studies.judging import JudgeSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from oldham.studies.rundir import RunDir

FILE: Final = "judges.json"
"""The file of a run directory that names them."""


class AddedJudge(Record):
    """A judge that a run got later."""

    judge: str
    """Its registered name."""
    model: str | None = None
    """The model it asks."""
    server: ServerOptions | None = None
    """How that model is reached; keys stay in the environment."""
    first: bool = False
    """Whether its verdicts count before those of the run's own judges."""

    @property
    def spec(self) -> JudgeSpec:
        """Its name and its model's."""
        return JudgeSpec(judge=self.judge, model=self.model)


_LIST: Final = TypeAdapter(tuple[AddedJudge, ...])


def read_added(run_dir: Path) -> tuple[AddedJudge, ...]:
    """Read which judges a run got later.

    Args:
        run_dir: The run directory; it need not be there.

    Returns:
        In the order they were added.

    Raises:
        DataError: The file cannot be read.
    """
    path = run_dir / FILE
    try:
        return _LIST.validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValidationError) as error:
        raise DataError(
            "The list of added judges cannot be read.",
            place=str(path),
            remedy="Delete it and add them again with `oldham judge`; verdicts that are there are kept.",
        ) from error


def remember(directory: RunDir, judges: Sequence[AddedJudge]) -> None:
    """Add judges to a run's list; one that is in it already takes its new settings, and stays first if it was.

    Args:
        directory: The run directory; its lock is held.
        judges: In the order they were added.

    Raises:
        DataError: The list cannot be read.
        LedgerError: It cannot be written.
    """
    known = {added.spec.label: added for added in read_added(directory.path)}
    for added in judges:
        was_first = added.spec.label in known and known[added.spec.label].first
        known[added.spec.label] = added.model_copy(update={"first": added.first or was_first})
    _write(directory, known.values())


def check_there(directory: RunDir, label: str, judges: Iterable[str]) -> None:
    """Check that a run has a judge.

    Args:
        directory: The run directory.
        label: What the judge's verdicts are called.
        judges: Labels of the judges in its tables; those that were added count too.

    Raises:
        UnknownNameError: It has none of this name; the remedy names the nearest.
        DataError: The list of added judges cannot be read.
    """
    there = {*judges, *(one.spec.label for one in read_added(directory.path))}
    if label not in there:
        raise UnknownNameError(
            f"This run has no judge `{label}`.", place=str(directory.path), remedy=did_you_mean(label, there)
        )


def forget(directory: RunDir, label: str, manifest: dict[str, Any]) -> None:
    """Take a judge off a run's list and out of the manifest's facts; where it is not named is passed over.

    Args:
        directory: The run directory; its lock is held.
        label: What the judge's verdicts are called.
        manifest: The run's manifest; changed, and not written.

    Raises:
        DataError: The list cannot be read.
        LedgerError: It cannot be written.
    """
    added = read_added(directory.path)
    kept = [one for one in added if one.spec.label != label]
    if len(kept) < len(added):
        _write(directory, kept)
    manifest["judge_facts"] = {k: v for k, v in manifest.get("judge_facts", {}).items() if k != label}


def _write(directory: RunDir, judges: Iterable[AddedJudge]) -> None:
    text = json.dumps([added.model_dump(mode="json") for added in judges], indent=2, ensure_ascii=False)
    directory.write(directory.path / FILE, text.encode())
