"""Checks of judges: cases whose outcome is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oldham._version import __version__
from oldham.core.errors import ConfigError
from oldham.core.fingerprint import fingerprint
from oldham.judges.asking import ModelJudge
from oldham.judges.planted import planted_failures, planted_rows
from oldham.studies.preflight_kept import VERSION, Checked
from oldham.studies.preflight_probes import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oldham.judges.base import Judge
    from oldham.studies.preflight_kept import Kept

SUBJECT: Final = "judges"
"""What the offline judges are called together."""

_SHOWN: Final = 100
"""Characters of a reply that could not be read that a finding shows."""


def check_judges(judges: Iterable[Judge]) -> Checked:
    """Give each offline judge cases whose outcome is known.

    Args:
        judges: Any judges; those that ask a model are left out.
    """
    findings = []
    for judge in _offline(judges):
        failures = planted_failures(judge)
        n = len(judge.planted)
        if failures:
            said = f"{len(failures)} of {n} planted cases are judged wrongly: {failures[0]}"
            fix = f"Take another judge than `{judge.name}`, or mend it."
            findings.append(Finding(check=SUBJECT, severity="stop", sentence=said, fix=fix))
        elif n:
            said = f"`{judge.name}` judges its {n} planted cases rightly."
            findings.append(Finding(check=SUBJECT, severity="ok", sentence=said))
        else:
            said = f"Not checked: `{judge.name}` has no planted cases."
            findings.append(Finding(check=SUBJECT, severity="note", sentence=said))
    return Checked(subject=SUBJECT, findings=tuple(findings))


def check_asking(judge: ModelJudge) -> Checked:
    """Ask a judge's model about cases whose outcome is known; nothing is stored.

    A model that judges some of them wrongly is a matter for the judge's card, and a warning. One whose replies can
    never be read would leave every answer unjudged.

    Args:
        judge: Its model is loaded if it is not.

    Raises:
        ModelError: The model cannot be loaded, or nothing can be asked.
    """
    rows = planted_rows(judge)
    n, unread, silent, wrong = len(rows), 0, 0, 0
    example = ""
    asked = sum(bool(judge.calls(item, generation)) for item, generation in rows)
    for case, verdicts in zip(judge.planted, judge.judge_all(rows), strict=True):
        verdict = next((v for v in verdicts if v.span == case.span), None)
        if verdict is None:
            silent += 1
        elif verdict.parsed == "failed":
            unread, example = unread + 1, example or verdict.raw[:_SHOWN]
        else:
            wrong += verdict.outcome is not case.outcome
    finding = _finding(judge, (n, asked), (wrong, unread, silent), example)
    return Checked(subject=_subject(judge), findings=(finding,))


class JudgeChecks:
    """The checks of a run's judges, each made once.

    Args:
        kept: Where what was found is kept.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def offline(self, judges: Iterable[Judge]) -> None:
        """Check the judges that ask no model.

        Args:
            judges: Any judges; those that ask one are left out.

        Raises:
            ConfigError: A judge gets a planted case wrong.
        """
        some = list(_offline(judges))
        if some:
            self._kept.check(self.offline_key(some), SUBJECT, lambda: check_judges(some), ConfigError)

    def asking(self, judge: ModelJudge) -> None:
        """Check a judge that asks a model, by asking it.

        Args:
            judge: The judge.

        Raises:
            ConfigError: None of its model's replies can be read.
            ModelError: The model cannot be loaded, or nothing can be asked.
        """
        self._kept.check(self.asking_key(judge), _subject(judge), lambda: check_asking(judge), ConfigError)

    @staticmethod
    def offline_key(judges: Iterable[Judge]) -> str:
        """Return the identity of the check of some offline judges.

        Args:
            judges: Any judges; those that ask a model are left out.
        """
        identities = sorted({judge.fingerprint for judge in _offline(judges)})
        return fingerprint("preflight judges", [VERSION, __version__, identities])

    @staticmethod
    def asking_key(judge: ModelJudge) -> str:
        """Return the identity of the check of a judge that asks a model.

        Args:
            judge: The judge.
        """
        return fingerprint("preflight judge", [VERSION, __version__, judge.fingerprint])


def _finding(judge: ModelJudge, counts: tuple[int, int], bad: tuple[int, int, int], example: str) -> Finding:
    (n, asked), (wrong, unread, silent) = counts, bad
    name = judge.label
    if not n:
        return Finding(check=SUBJECT, severity="note", sentence=f"Not checked: `{name}` has no planted cases.")
    if asked and unread + silent >= asked:
        said = f"None of the replies to the {asked} planted cases of `{name}` can be read"
        fix = "Take a model that can follow the judge's form, or another judge."
        detail = f" ({example})" if example else " (every call failed)"
        return Finding(check=SUBJECT, severity="stop", sentence=f"{said}{detail}.", fix=fix)
    if wrong or unread or silent:
        parts = [f"judges {wrong} of {n} planted cases wrongly"] if wrong else []
        parts += [f"gives {unread} of {n} replies that cannot be read"] if unread else []
        parts += [f"fails to answer {silent} of {n}"] if silent else []
        fix = "Measure it on labelled answers: oldham judges evaluate."
        return Finding(check=SUBJECT, severity="warning", sentence=f"`{name}` {', '.join(parts)}.", fix=fix)
    return Finding(check=SUBJECT, severity="ok", sentence=f"`{name}` judges its {n} planted cases rightly.")


def _offline(judges: Iterable[Judge]) -> list[Judge]:
    return [judge for judge in judges if not isinstance(judge, ModelJudge)]


def _subject(judge: ModelJudge) -> str:
    return f"judge {judge.label}"
