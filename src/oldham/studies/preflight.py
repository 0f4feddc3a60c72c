"""The checks before a study's first batch, of judges, models and attackers, each made once and kept with the run."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from oldham._version import __version__
from oldham.backends.base import backend_for, chat_format_of
from oldham.core.errors import EmptyLedgerError, ModelError
from oldham.core.fingerprint import fingerprint
from oldham.core.ledger import Ledger
from oldham.judges.asking import ModelJudge
from oldham.studies.attackers import load_attacker
from oldham.studies.judging import graders_of
from oldham.studies.plan import Seat, plan
from oldham.studies.preflight_attackers import attacker_key, attacker_subject, check_attacker
from oldham.studies.preflight_checks import check_all
from oldham.studies.preflight_judges import JudgeChecks, check_asking, check_judges
from oldham.studies.preflight_kept import VERSION, Checked, Kept
from oldham.studies.preflight_probes import Finding, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from oldham.backends.base import Backend
    from oldham.core.records import Generation
    from oldham.judges.base import Judge
    from oldham.studies.plan import Plan, PlannedTrial
    from oldham.studies.rundir import RunDir
    from oldham.studies.spec import Study

_WITHOUT_MODEL: Final = {"scripted": "answers follow rules", "replay": "answers are read from a file"}
_STORED_SAMPLE: Final = 500


def check_model(work: Plan, seat: Seat, backend: Backend, ledger: Ledger | None) -> Checked:
    """Check a loaded model. Nothing is stored.

    Args:
        work: A plan.
        seat: One of its models.
        backend: That model, loaded.
        ledger: The study's rows; None where there are none yet.

    Raises:
        ModelError: Nothing can be generated at all.
    """
    kind = seat.model.backend.partition("/")[0]
    if kind in _WITHOUT_MODEL:
        note = Finding(check="model", severity="note", sentence=f"Not checked: {_WITHOUT_MODEL[kind]}.")
        return Checked(subject=seat.subject, findings=(note,))
    queue = work.queue(seat.model, seat.arms[0].server)
    trials = {planned[0].arm.name: planned for planned in queue}
    server = work.study.server_of(seat.arms[0])
    subject = Subject(backend, trials, _stored(trials, ledger), chat_format_of(seat.arms[0].model, server))
    return Checked(subject=seat.subject, findings=tuple(check_all(subject)))


def check_study(study: Study | str | Path, *, run_dir: Path | None = None) -> Iterator[Checked]:
    """Check the judges of a study, then each of its models, its attackers, and the models that judges ask.

    Nothing is stored.

    Args:
        study: A study, or the path of a study file.
        run_dir: Where the run is kept, if there is one.

    Yields:
        What was found, one subject at a time.

    Raises:
        OldhamError: The study cannot be meant, or a benchmark or model is not there.
    """
    work = plan(study, run_dir=run_dir)
    yield check_judges(_judges(work))
    path = work.run_dir / "ledger.sqlite"
    try:
        ledger = Ledger(path, read_only=True) if path.is_file() else None
    except EmptyLedgerError:
        ledger = None
    try:
        for seat in work.seats:
            arm = seat.arms[0]
            backend = backend_for(arm.model).load(arm.model, work.study.server_of(arm))
            try:
                yield check_model(work, seat, backend, ledger)
            finally:
                backend.close()
    finally:
        if ledger is not None:
            ledger.close()
    for name in work.attackers:
        yield _attacker_alone(work, name)
    asking = _asking(work)
    for grader in graders_of(asking):
        try:
            yield from (check_asking(judge) for judge in asking if judge.asker is grader)
        finally:
            grader.close()


class Preflight:
    """A run's checks: made before the first batch of each model and judge, kept with the run, and not made again.

    Args:
        work: The plan.
        directory: The run directory; its lock is held.
        wanted: False notes that nothing was checked, and checks nothing.
        note: Is told every warning.
    """

    def __init__(self, work: Plan, directory: RunDir, *, wanted: bool, note: Callable[[str], None]) -> None:
        self._work = work
        doctor = f"oldham doctor {work.study.source.name}"
        self._kept = Kept(directory, wanted=wanted, note=note, command="oldham run", doctor=doctor)
        self._checks = JudgeChecks(self._kept)
        self._seats = {(seat.model, seat.arms[0].server): seat for seat in work.seats}

    def judges(self) -> None:
        """Check the judges that ask no model.

        Raises:
            ConfigError: A judge gets a planted case wrong.
        """
        self._checks.offline(_judges(self._work))

    def remote_judges(self) -> None:
        """Check the judges whose models a server answers for and that have something to ask, by asking them.

        Raises:
            ConfigError: None of a model's replies can be read.
            ModelError: A server cannot be reached, or nothing can be asked.
        """
        busy = {work.judge for work in self._work.judging if work.calls}
        judges = [judge for judge in _asking(self._work) if judge.label in busy]
        for grader in graders_of(judges):
            try:
                for judge in judges if grader.is_remote else ():
                    if judge.asker is grader:
                        self._checks.asking(judge)
            except ModelError as error:
                told = f"The judges' model `{grader.model}` cannot be asked: {error.message}"
                raise ModelError(told, place=error.place, remedy=error.remedy) from error
            finally:
                grader.close()

    def judge(self, judge: ModelJudge) -> None:
        """Check a judge that asks a model, by asking it. See `JudgeChecks.asking`.

        Args:
            judge: The judge.
        """
        self._checks.asking(judge)

    def model(self, backend: Backend, server: str | None, ledger: Ledger) -> None:
        """Check a model.

        Args:
            backend: The model, loaded.
            server: Name of the server that answers for it; None for none.
            ledger: The run's rows; they are read only.

        Raises:
            ModelError: Its numbers would be wrong, or nothing can be generated at all.
        """
        seat = self._seats[backend.fingerprint, server]
        look = partial(check_model, self._work, seat, backend, ledger)
        self._kept.check(self._key(seat), seat.subject, look, ModelError)

    def attacker(self, name: str, load: Callable[[], Backend]) -> None:
        """Check an attacker, by asking it.

        Args:
            name: Its name.
            load: Returns its model, loaded; not called where the check was made before.

        Raises:
            ModelError: It fails or says nothing, or cannot be asked.
        """
        look = partial(check_attacker, self._work, name, load)
        self._kept.check(attacker_key(self._work, name), attacker_subject(self._work, name), look, ModelError)

    def facts(self) -> list[dict[str, Any]]:
        """Return what is known of this plan's judges and models, for the manifest: plain JSON values."""
        judges = _judges(self._work)
        keys = [JudgeChecks.offline_key(judges), *map(self._key, self._seats.values())]
        keys += [attacker_key(self._work, name) for name in self._work.attackers]
        return self._kept.facts([*keys, *map(JudgeChecks.asking_key, _asking(self._work))])

    def _key(self, seat: Seat) -> str:
        arms = sorted(self._work.arm_fingerprints[arm.name] for arm in seat.arms)
        return fingerprint("preflight", [VERSION, __version__, seat.model, seat.arms[0].server, arms])


def _attacker_alone(work: Plan, name: str) -> Checked:
    attacker = load_attacker(work, name)
    try:
        return check_attacker(work, name, lambda: attacker)
    finally:
        attacker.close()


def _judges(work: Plan) -> list[Judge]:
    return list({judge.fingerprint: judge for judges in work.judges.values() for judge in judges}.values())


def _asking(work: Plan) -> list[ModelJudge]:
    return [judge for judge in _judges(work) if isinstance(judge, ModelJudge)]


def _stored(trials: Mapping[str, list[PlannedTrial]], ledger: Ledger | None) -> dict[str, list[Generation]]:
    """Return a fair sample of the rows that are there, by arm."""
    if ledger is None:
        return {}
    arms = {planned.trial.fingerprint: name for name, mine in trials.items() for planned in mine}
    found: dict[str, list[Generation]] = {}
    for generation in islice(ledger.generations(arms), _STORED_SAMPLE):
        found.setdefault(arms[generation.trial.fingerprint], []).append(generation)
    return found
