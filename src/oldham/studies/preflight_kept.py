"""What checks before a first batch found, kept beside the run so that none is made twice."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from oldham.core.records import Record
from oldham.studies.preflight_probes import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from oldham.core.errors import OldhamError
    from oldham.studies.rundir import RunDir

VERSION = 1
"""Raised whenever a check could find something else."""


class Checked(Record):
    """What was found of one subject."""

    subject: str
    """A model's name, with its server where it has one, `judges`, or `judge NAME@MODEL`."""
    findings: tuple[Finding, ...]
    """One or more for each check."""
    skipped: bool = False
    """Nothing was checked, because the user wanted it so."""

    @property
    def stops(self) -> list[Finding]:
        """What the study cannot be run with."""
        return [finding for finding in self.findings if finding.severity == "stop"]


@dataclass
class Kept:
    """The checks of a run, in its file `preflight.json`.

    Args:
        directory: The run directory; its lock is held.
        wanted: False notes that nothing was checked, and checks nothing.
        note: Is told every warning.
        command: The command that is stopped by what a check finds.
        doctor: The command that tells all findings; empty for none.
    """

    directory: RunDir
    wanted: bool
    note: Callable[[str], None]
    command: str
    doctor: str = ""
    found: dict[str, Checked] = field(init=False)

    def __post_init__(self) -> None:
        self._file = self.directory.path / "preflight.json"
        self.found = _read(self._file)

    def check(self, key: str, subject: str, look: Callable[[], Checked], kind: type[OldhamError]) -> None:
        """Make a check, unless it was made before.

        Args:
            key: Identity of what is checked.
            subject: What to call it.
            look: Makes the check.
            kind: What is raised where it finds that the numbers would be wrong.

        Raises:
            OldhamError: Of that kind.
        """
        kept = self.found.get(key)
        if kept is not None and not (kept.skipped and self.wanted):
            return
        checked = look() if self.wanted else self._unchecked(subject)
        for finding in checked.findings:
            if finding.severity == "warning":
                self.note(f"Warning: {subject}: {finding.sentence} {finding.fix}".rstrip())
        if checked.stops:
            raise self._stopped(checked, kind)
        self.found[key] = checked
        text = json.dumps(
            {key: kept.model_dump(mode="json") for key, kept in self.found.items()}, indent=2, ensure_ascii=False
        )
        self.directory.write(self._file, text.encode())

    def facts(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Return what was found, for the manifest: plain JSON values.

        Args:
            keys: Identities of what was checked; those that were not are left out.
        """
        return [self.found[key].model_dump(mode="json") for key in keys if key in self.found]

    def _unchecked(self, subject: str) -> Checked:
        said = "Not checked: the run was started with --no-preflight."
        finding = Finding(check="preflight", severity="warning", sentence=said)
        return Checked(subject=subject, findings=(finding,), skipped=True)

    def _stopped(self, checked: Checked, kind: type[OldhamError]) -> OldhamError:
        first, *others = checked.stops
        more = f" ({len(others)} more; `{self.doctor}` tells all.)" if others and self.doctor else ""
        return kind(
            f"{first.sentence}{more}",
            place=checked.subject if checked.subject.startswith("judge") else f"model `{checked.subject}`",
            remedy=f"{first.fix} `{self.command} --no-preflight` goes on all the same.",
        )


def _read(path: Path) -> dict[str, Checked]:
    """Read what is kept; a file that cannot be read counts as not there, and the checks are made again."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): Checked.model_validate_json(json.dumps(value)) for key, value in kept.items()}
    except (OSError, ValueError, AttributeError, ValidationError):
        return {}
