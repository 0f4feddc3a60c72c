"""Judging any run again: one that a study made, or one that was imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oldham.core.errors import ConfigError, DataError, ModelError
from oldham.core.ledger import Ledger
from oldham.core.outcomes import Axis
from oldham.interop.items import read_items
from oldham.interop.observed import imported_identity, imported_observations
from oldham.studies.added import check_there, forget
from oldham.studies.judging import JudgeSpec
from oldham.studies.manifest import judge_facts
from oldham.studies.progress import Silent
from oldham.studies.reading import Task
from oldham.studies.rejudge import drop_from_study, rejudge_study
from oldham.studies.rejudge_session import JudgeOptions, Session, interruptible, joined, read_manifest
from oldham.studies.rundir import RunDir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from oldham.core.records import Generation, Item
    from oldham.interop.items import Items
    from oldham.judges.base import Judge
    from oldham.studies.progress import Progress
    from oldham.studies.rejudge_session import Rejudged


def judge(
    run_dir: Path | str,
    judges: str | JudgeSpec | Sequence[str | JudgeSpec],
    *,
    options: JudgeOptions | None = None,
    progress: Progress | None = None,
) -> Rejudged:
    """Judge every stored generation of a run; nothing is generated, and verdicts that are there are kept.

    Args:
        run_dir: The directory of a run, made by a study or imported.
        judges: One or several: `NAME`, or `NAME@MODEL` for one that asks a model. A judge speaks on the benchmarks
            whose axis it can judge.
        options: How their models are reached, and whether the new verdicts count first.
        progress: Watches the work.

    Returns:
        What each judge did, and the new observation table.

    Raises:
        OldhamError: There is no run, or a judge cannot be had, asked or read; what was judged is kept.
        RunInterruptedError: Stopped with Ctrl-C; the same call goes on.
    """
    directory = Path(run_dir)
    named = [judges] if isinstance(judges, str | JudgeSpec) else judges
    specs = [one if isinstance(one, JudgeSpec) else JudgeSpec.parse(one) for one in named]
    if not specs:
        raise ConfigError("No judge is named.", remedy="Name one, such as refusal_rules; `oldham list judges` has all.")
    if "source" in read_manifest(directory):
        return _rejudge_imported(directory, specs, options or JudgeOptions(), progress or Silent())
    return rejudge_study(directory, specs, options=options, watch=progress)


def drop(run_dir: Path | str, label: str) -> pl.DataFrame:
    """Take a judge out of a run that was added to it; its verdicts stay in the ledger, and adding it again is free.

    Args:
        run_dir: The directory of a run, made by a study or imported.
        label: What the judge's verdicts are called: `NAME` or `NAME@MODEL`.

    Returns:
        The run's new observation table.

    Raises:
        OldhamError: There is no run, or the judge was not added to it: it is the study's own, or came with the imported
            files.
    """
    directory = Path(run_dir)
    if "source" in read_manifest(directory):
        return _drop_from_imported(directory, label)
    return drop_from_study(directory, label)


def _drop_from_imported(run_dir: Path, label: str) -> pl.DataFrame:
    directory = RunDir(run_dir)
    with directory.lock():
        manifest, items = read_manifest(run_dir), read_items(run_dir)
        named: dict[str, dict[str, str]] = manifest.get("judges", {})
        check_there(directory, label, (one for some in named.values() for one in some))
        if any(some.get(label) == imported_identity(label) for some in named.values()):
            raise ConfigError(
                f"The verdicts of `{label}` came with the imported files.",
                place=str(run_dir),
                remedy="Leave it in; `oldham compare --judge NAME` says whose verdicts count.",
            )
        forget(directory, label, manifest)
        manifest["judges"] = {name: {k: v for k, v in some.items() if k != label} for name, some in named.items()}
        with Ledger(directory.ledger, read_only=True) as ledger:
            return _finish(directory, manifest, ledger, items)


def _rejudge_imported(run_dir: Path, specs: Sequence[JudgeSpec], options: JudgeOptions, watch: Progress) -> Rejudged:
    directory = RunDir(run_dir)
    with interruptible(run_dir), directory.lock():
        manifest, items = read_manifest(run_dir), read_items(run_dir)  # under the lock: an import may have just ended
        session = Session(directory, specs, options, watch, {})
        axes = {name: {Axis(axis) for axis in told["axes"]} for name, told in manifest["benchmarks"].items()}
        able = session.speaking(axis for some in axes.values() for axis in some)
        _check_names(able, manifest, run_dir)
        new = {name: [one for one in able if one.axes & some] for name, some in axes.items()}
        manifest["judges"] = {
            name: joined(
                manifest.get("judges", {}).get(name, {}),
                {one.label: one.fingerprint for one in new[name]},
                first=options.first,
            )
            for name in axes
        }
        manifest["judge_facts"] = {**manifest.get("judge_facts", {}), **judge_facts(able)}

        def item_of(generation: Generation) -> Item:
            item = items.get(generation.trial.benchmark, generation.trial.item)
            assert item is not None  # trials without one are in no task
            return item

        with Ledger(directory.ledger) as ledger:
            trials = _trials(ledger, items, manifest)
            tasks = [Task(one, set().union(*(trials.get(axis, ()) for axis in one.axes))) for one in able]
            try:
                tallies = session.read(ledger, [task for task in tasks if task.trials], item_of)
            except ModelError:
                _finish(directory, manifest, ledger, items)  # what was judged can be looked at meanwhile
                raise
            manifest["runs"] = [*manifest.get("runs", []), session.told(tallies)]
            return session.finished(tallies, _finish(directory, manifest, ledger, items))


def _check_names(judges: Sequence[Judge], manifest: Mapping[str, Any], run_dir: Path) -> None:
    there = {name: identity for named in manifest.get("judges", {}).values() for name, identity in named.items()}
    for one in judges:
        if there.get(one.label) == imported_identity(one.label):
            raise ConfigError(
                f"The imported files have verdicts of a judge `{one.label}` already, which is another one.",
                place=str(run_dir),
                remedy="Import them into another directory, with another name for it in a mapping file (--map).",
            )


def _trials(ledger: Ledger, items: Items, manifest: Mapping[str, Any]) -> dict[Axis, set[str]]:
    """Return the run's stored trials by the axis of what they ask."""
    axes = {(item.benchmark, item.id): item.axis for item in items}
    if not axes:
        raise DataError("This run keeps no items.", place=str(ledger.path.parent), remedy="Import it anew.")
    trials: dict[Axis, set[str]] = {}
    for generation in ledger.generations():
        trial = generation.trial
        # An import that was killed half-way may have left rows that nothing else knows of yet.
        if trial.arm in manifest["arms"] and (trial.benchmark, trial.item) in axes:
            trials.setdefault(axes[trial.benchmark, trial.item], set()).add(trial.fingerprint)
    return trials


def _finish(directory: RunDir, manifest: Mapping[str, Any], ledger: Ledger, items: Items) -> pl.DataFrame:
    observations = imported_observations(
        ledger, study=manifest["study"], items=items, arms=list(manifest["arms"]), judges=manifest["judges"]
    )
    directory.write_observations(observations)
    directory.write(directory.manifest, json.dumps(manifest, indent=2, ensure_ascii=False).encode())
    return observations
