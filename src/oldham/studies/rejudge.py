"""Judging a study's stored generations again: nothing is generated, and the study's models need not be there."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from oldham.core.errors import ConfigError, DataError, ModelError
from oldham.core.ledger import Ledger
from oldham.core.outcomes import Axis
from oldham.core.records import ModelFingerprint
from oldham.judges.base import JUDGES, Judge
from oldham.judges.rules import RULES, judges_for
from oldham.studies.added import check_there, forget
from oldham.studies.attackers import stored_attackers
from oldham.studies.manifest import judge_facts, judges_told
from oldham.studies.observations import build_observations, load_observations
from oldham.studies.plan import Identities, plan
from oldham.studies.progress import Silent
from oldham.studies.reading import tasks_of
from oldham.studies.rejudge_session import JudgeOptions, Session, interruptible, joined, read_manifest
from oldham.studies.rounds import asked_part
from oldham.studies.rundir import RunDir
from oldham.studies.spec import Study

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from oldham.core.records import Generation, Item, Verdict
    from oldham.studies.judging import JudgeSpec
    from oldham.studies.plan import Plan
    from oldham.studies.progress import Progress
    from oldham.studies.rejudge_session import Rejudged


class StoredJudge(Judge):
    """Stands for a judge whose verdicts are in a ledger and that is not put to work again.

    Args:
        label: What its verdicts are called.
        identity: Its fingerprint.
        facts: What the manifest says of it; may be empty.
    """

    name: ClassVar[str] = "stored"
    version: ClassVar[int] = 0
    axes: ClassVar[frozenset[Axis]] = frozenset(Axis)

    def __init__(self, label: str, identity: str, facts: Mapping[str, Any]) -> None:
        self._label = label
        self.__dict__["fingerprint"] = identity  # in the place of the cached property's value
        name = label.partition("@")[0]
        known = JUDGES.get(name).spans if name in JUDGES.names() else ("answer",)
        self.spans = tuple(facts.get("reads") or known)  # type: ignore[misc]

    @property
    def label(self) -> str:
        """What its verdicts are called."""
        return self._label

    def judge(self, item: Item, generation: Generation) -> list[Verdict]:
        """Never called: see the class."""
        raise TypeError(f"`{self._label}` stands for stored verdicts and is not put to work again")


def rejudge_study(
    run_dir: Path,
    specs: Sequence[JudgeSpec],
    *,
    options: JudgeOptions | None = None,
    watch: Progress | None = None,
) -> Rejudged:
    """Judge every stored generation of a study, and write its observations anew.

    The judges are kept in the run's list, so that a later run of the study judges with them too.

    Args:
        run_dir: The run's directory.
        specs: The judges.
        options: How.
        watch: Watches the work.

    Returns:
        What was done.

    Raises:
        OldhamError: The run cannot be read, or a judge cannot be had, asked or read; what was judged is kept.
        RunInterruptedError: Stopped with Ctrl-C; what was judged is kept.
    """
    directory, options = RunDir(run_dir), options or JudgeOptions()
    with interruptible(run_dir), directory.lock():
        manifest = read_manifest(run_dir)  # under the lock: a run may have just ended
        study = Study.load(directory.study)
        work = _asked(plan(study, run_dir=run_dir, identities=_identities(study, manifest, run_dir)), manifest)
        session = Session(directory, specs, options, watch or Silent(), study.servers)
        axes = {name: items[0].axis for name, items in work.items.items()}
        able = session.speaking(axes.values())
        new = {name: [judge for judge in able if axis in judge.axes] for name, axis in axes.items()}
        after = replace(
            work, judges={name: _joined(work.judges[name], new[name], first=options.first) for name in axes}
        )
        asked = {trial: planned.item for trial, planned in work.distinct.items()}
        with Ledger(directory.ledger) as ledger:
            tasks = [task for task in tasks_of(new, asked, work.stored) if task.trials]
            try:
                tallies = session.read(ledger, tasks, lambda generation: asked[generation.trial.fingerprint])
            except ModelError:
                _finish(after, directory, manifest, ledger)  # what was judged can be looked at meanwhile
                raise
            manifest["runs"] = [*manifest.get("runs", []), session.told(tallies)]
            return session.finished(tallies, _finish(after, directory, manifest, ledger))


def drop_from_study(run_dir: Path, label: str) -> pl.DataFrame:
    """Take a judge out of a study's run that was added to it. See `oldham.interop.rejudge.drop`.

    Args:
        run_dir: The run's directory.
        label: What the judge's verdicts are called.

    Returns:
        The run's new observation table.

    Raises:
        OldhamError: The run cannot be read, or the judge was not added to it.
    """
    directory = RunDir(run_dir)
    with directory.lock():
        manifest = read_manifest(run_dir)
        study = Study.load(directory.study)
        work = _asked(plan(study, run_dir=run_dir, identities=_identities(study, manifest, run_dir)), manifest)
        check_there(directory, label, (judge.label for some in work.judges.values() for judge in some))
        rules = {one.label for name in work.judges for one in judges_for(name, [RULES])}
        named = {spec.label for spec in study.judges}
        if label in named or (RULES in named and label in rules):
            raise ConfigError(
                f"`{label}` is a judge of the study itself.",
                place=str(directory.study),
                remedy="Take it out of `judges` in the study file, and run the study again.",
            )
        forget(directory, label, manifest)
        kept = {name: [judge for judge in some if judge.label != label] for name, some in work.judges.items()}
        with Ledger(directory.ledger, read_only=True) as ledger:
            return _finish(replace(work, judges=kept), directory, manifest, ledger)


def _asked(work: Plan, manifest: Mapping[str, Any]) -> Plan:
    """Leave out what a run never asked because it stopped by itself: that is not missing."""
    return asked_part(work, load_observations(work.run_dir)) if manifest.get("sequential") else work


def _identities(study: Study, manifest: Mapping[str, Any], run_dir: Path) -> Identities:
    """Return what the run wrote down of its arms, models and judges."""
    facts = manifest.get("judge_facts", {})
    try:
        arms = {arm.name: str(manifest["arms"][arm.name]["fingerprint"]) for arm in study.resolved_arms}
        models = {name: ModelFingerprint.model_validate(told) for name, told in manifest["models"].items()}
        attackers = stored_attackers(manifest)
        judges = {
            request.name: [
                StoredJudge(label, identity, facts.get(label, {}))
                for label, identity in manifest["judges"][request.name].items()
            ]
            for request in study.benchmark_requests()
        }
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise DataError(
            f"The manifest and the study's copy do not fit together ({error}).",
            place=str(run_dir),
            remedy="Run the study again, which mends this: oldham run.",
        ) from error
    return Identities(arms, models, judges, attackers)


def _joined(there: Sequence[Judge], new: Sequence[Judge], *, first: bool) -> list[Judge]:
    by_label = ({judge.label: judge for judge in judges} for judges in (there, new))
    return list(joined(*by_label, first=first).values())


def _finish(after: Plan, directory: RunDir, manifest: dict[str, Any], ledger: Ledger) -> pl.DataFrame:
    observations = build_observations(after, ledger)
    directory.write_observations(observations)
    own = [judge for some in after.judges.values() for judge in some if not isinstance(judge, StoredJudge)]
    told = {
        **manifest,
        "judges": judges_told(after.judges),
        "judge_facts": {**manifest.get("judge_facts", {}), **judge_facts(own)},
    }
    directory.write(directory.manifest, json.dumps(told, indent=2, ensure_ascii=False).encode())
    return observations
