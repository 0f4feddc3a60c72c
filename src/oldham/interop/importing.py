"""Reading other people's runs into a run directory: all of it, or nothing."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import yaml

from oldham.core.errors import ConfigError, DataError, LedgerError, OldhamError, did_you_mean
from oldham.core.fingerprint import file_sha256
from oldham.core.ledger import Ledger
from oldham.interop.base import ImportOptions, Source
from oldham.interop.guess import importer_for
from oldham.interop.items import ITEMS, read_items
from oldham.interop.merging import merge
from oldham.interop.staging import Staging
from oldham.studies.manifest import FORMAT, machine, now, versions
from oldham.studies.rundir import RunDir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from oldham.interop.base import Importer

PLACES_SHOWN: Final = 5
"""How many of the rows left out are named."""


class Watch(Protocol):
    """Watches an import."""

    def reading(self, path: Path, format_name: str) -> None:
        """Tell that a file is being read.

        Args:
            path: The file.
            format_name: The format it is read as.
        """

    def rows(self, count: int) -> None:
        """Tell how many rows of the file were read.

        Args:
            count: Rows so far.
        """


class Unwatched:
    """Watches without a word."""

    def reading(self, path: Path, format_name: str) -> None:
        """Say nothing."""

    def rows(self, count: int) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Read:
    """One file that was read."""

    path: Path
    format: str
    rows: int
    """Rows taken."""
    arms: tuple[str, ...]
    """The arms they are of."""
    named: Path
    """What the user named: the file, or the folder it lies in."""


@dataclass
class Imported:
    """What an import did."""

    run_dir: Path
    """Where the run is kept."""
    arms: tuple[str, ...] = ()
    """Every arm of the run, the baseline first."""
    files: list[Read] = field(default_factory=list)
    """What was read."""
    n_generations: int = 0
    """Generations that are new in the run directory."""
    n_verdicts: int = 0
    """Verdicts that are new in it."""
    n_left_out: int = 0
    """Rows that could not be read (partial imports)."""
    left_out: list[OldhamError] = field(default_factory=list)
    """Why, for the first of them."""
    notes: list[str] = field(default_factory=list)
    """What else the user should know of the files, a sentence or two each."""
    seconds: float = 0.0

    def summary(self) -> str:
        """Say in a few lines what was done."""
        lines = [f"{read.path}: {read.rows} rows, read as {read.format}." for read in self.files]
        lines += self.notes
        if self.n_left_out:
            lines.append(f"{self.n_left_out} left out:")
            lines += [f"  {error}" for error in self.left_out]
        if self.n_generations or self.n_verdicts:
            lines.append(
                f"{self.n_generations} generations and {self.n_verdicts} verdicts added to {self.run_dir} "
                f"({self.seconds:.1f} s)."
            )
        else:
            lines.append(f"All of it was in {self.run_dir} already.")
        return "\n".join(lines)


def import_runs(
    paths: Sequence[Path], *, run_dir: Path, options: ImportOptions | None = None, watch: Watch | None = None
) -> Imported:
    """Read files of other tools into a run directory.

    Rows are read one at a time into a hidden directory beside the run; only when all went well do they reach the run.
    What is there already is left as it is, so that importing twice changes nothing.

    Args:
        paths: Files, or folders that a format is kept in.
        run_dir: Where the run is kept; made when it is not there. An imported run that is there gets the new arms.
        options: What the user says of the files.
        watch: Watches the import.

    Returns:
        What was done.

    Raises:
        OldhamError: A file cannot be read, its format or its columns cannot be told, a row is there already with
            another content, or the directory holds a study of its own. Nothing is written then.
    """
    options, started = options or ImportOptions(), time.monotonic()
    if not paths:
        raise ConfigError("There is nothing to import.", remedy="Name a file.")
    directory = RunDir(run_dir)
    done = Imported(run_dir)
    with _hidden(run_dir) as hidden:
        with Ledger(hidden / "ledger.sqlite") as ledger:
            staging = Staging(ledger, read_items(run_dir))
            manifest = _earlier(directory)
            _read_all(paths, options, staging, done, watch or Unwatched())
            staging.flush()
            _check(staging, options, manifest)
            if run_dir.is_dir():
                with directory.lock():
                    done.n_generations, done.n_verdicts = merge(staging, directory.ledger)
            else:
                done.n_generations, done.n_verdicts = len(staging.contents), len(staging.outcomes)
        described = _describe(manifest, staging, done, options, run_dir)
        done.arms = tuple(described["arms"])
        done.notes += _differing(staging)
        if options.arm is None and done.n_generations:
            done.notes += _joined(done.files, manifest, described)
        if done.n_generations or done.n_verdicts or not _is_told(described, manifest):
            _finish(hidden, directory, staging, described)
    done.seconds = time.monotonic() - started
    return done


def _read_all(paths: Iterable[Path], options: ImportOptions, staging: Staging, done: Imported, watch: Watch) -> None:
    def bad(error: OldhamError) -> None:
        if not options.partial:
            raise error
        done.n_left_out += 1
        if len(done.left_out) < PLACES_SHOWN:
            done.left_out.append(error)

    for path in paths:
        importer = importer_for(path, options)
        for file in importer.files(path):
            watch.reading(file, importer.name)
            source = Source(file, options, bad, lambda note, file=file: done.notes.append(f"{file}: {note}"))  # type: ignore[misc]
            done.files.append(_read(source, importer, staging, watch, path))
    if not any(read.rows for read in done.files):
        why = f" {done.left_out[0]}".replace(", or keep what can be read with --partial", "") if done.left_out else ""
        raise DataError(f"There is no row here that can be read.{why}", place=str(done.files[0].path))


def _read(source: Source, importer: Importer, staging: Staging, watch: Watch, named: Path) -> Read:
    count, arms = 0, dict[str, None]()
    try:
        for row in importer.rows(source):
            try:
                staging.add(row, importer.name)
            except DataError as error:
                source.bad(error)
                continue
            count += 1
            arms[row.arm] = None
            watch.rows(count)
    except DataError as error:  # the file cannot be read any further
        source.bad(error)
    return Read(source.path, importer.name, count, tuple(arms), named)


def _differing(staging: Staging) -> Iterator[str]:
    if staging.differing:
        (benchmark, item), place = next(iter(staging.differing.items()))
        yield (
            f"{len(staging.differing)} items have another reference here than in the rows before, first `{item}` of "
            f"`{benchmark}` ({place}). The first is kept; where the right answers differ, name the benchmarks apart "
            "with --benchmark."
        )


def _joined(files: Sequence[Read], earlier: dict[str, Any], described: dict[str, Any]) -> Iterator[str]:
    """Say which files became one arm, or joined one of an earlier import, though nobody named it."""
    known = {source["sha256"] for source in earlier.get("source", [])}
    new = {Path(source["path"]) for source in described["source"] if source["sha256"] not in known}
    for arm in described["arms"]:
        here = [read for read in files if arm in read.arms]
        names = list(dict.fromkeys(str(read.named) for read in here))
        if arm in earlier.get("arms", {}) and any(read.path in new for read in here):
            names.insert(0, "what was there")
        if len(names) > 1:
            more = [f"{len(names) - PLACES_SHOWN} more"] if len(names) > PLACES_SHOWN else []
            *first, last = [*names[:PLACES_SHOWN], *more]
            yield (
                f"Arm `{arm}` is made of {', '.join(first)} and {last}. Where they are arms of their own, import each "
                "with a name (--arm)."
            )


def _check(staging: Staging, options: ImportOptions, manifest: dict[str, Any]) -> None:
    """Check what only the whole shows."""
    arms = [*manifest.get("arms", {}), *staging.arms]
    if options.baseline is not None and options.baseline not in arms:
        raise ConfigError(f"There is no arm `{options.baseline}`.", remedy=did_you_mean(options.baseline, arms))


def _earlier(directory: RunDir) -> dict[str, Any]:
    """Return the manifest of the run that is there; empty where none is.

    Raises:
        ConfigError: What is there was not imported.
    """
    if not directory.path.exists() or (directory.path.is_dir() and not any(directory.path.iterdir())):
        return {}
    try:
        manifest = json.loads(directory.manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or "source" not in manifest:
        raise ConfigError(
            "This is there already, and is not an imported run.",
            place=str(directory.path),
            remedy="Name another directory with --out.",
        )
    return manifest


def _describe(
    earlier: dict[str, Any], staging: Staging, done: Imported, options: ImportOptions, run_dir: Path
) -> dict[str, Any]:
    """Return the run's manifest."""
    arms = {**earlier.get("arms", {})}
    for name, facts in staging.arms.items():
        arms.setdefault(name, facts.described())
    baseline = options.baseline or earlier.get("baseline") or next(iter(arms))
    counts: dict[str, dict[str, int]] = {}
    for item in staging.items:
        axes = counts.setdefault(item.benchmark, {})
        axes[str(item.axis)] = axes.get(str(item.axis), 0) + 1
    judges = {name: dict(there) for name, there in earlier.get("judges", {}).items()}
    for benchmark, found in staging.judges.items():
        judges[benchmark] = {**judges.get(benchmark, {}), **found}
    sources = [
        {"path": str(read.path), "sha256": file_sha256(read.path), "format": read.format, "rows": read.rows}
        for read in done.files
    ]
    return {
        "format": FORMAT,
        "study": run_dir.resolve().name,
        "baseline": baseline,
        "arms": {baseline: arms.pop(baseline), **arms},
        "benchmarks": {name: {"n_items": sum(axes.values()), "axes": axes} for name, axes in counts.items()},
        "judges": judges,
        **{kept: earlier[kept] for kept in ("judge_facts", "runs") if kept in earlier},  # of judges added since
        "source": [*earlier.get("source", []), *sources],
        "left_out": earlier.get("left_out", 0) + done.n_left_out,
        "started": earlier.get("started", now()),
        "finished": now(),
        "versions": versions(),
        "machine": machine(),
    }


def _is_told(described: dict[str, Any], earlier: dict[str, Any]) -> bool:
    """Whether the manifest, which is written last, tells of all this: an import may have been killed before it."""
    known = {source["sha256"] for source in earlier.get("source", [])}
    return all(described[name] == earlier.get(name) for name in ("baseline", "arms", "benchmarks", "judges")) and all(
        source["sha256"] in known for source in described["source"]
    )


def _finish(hidden: Path, directory: RunDir, staging: Staging, manifest: dict[str, Any]) -> None:
    """Write the run's other files and put the run in its place."""
    from oldham.interop.observed import imported_observations

    there = directory.path.is_dir()
    target = directory if there else RunDir(hidden)
    with Ledger(target.ledger, read_only=True) as ledger:
        observations = imported_observations(
            ledger,
            study=manifest["study"],
            items=staging.items,
            arms=list(manifest["arms"]),
            judges=manifest["judges"],
        )
    names = ", ".join(sorted({Path(source["path"]).name for source in manifest["source"]}))
    study = {
        "name": manifest["study"],
        "baseline": manifest["baseline"],
        "description": f"Imported from {names}; nothing was generated here.",
        "arms": {name: {"model": arm["model"]} for name, arm in manifest["arms"].items()},
    }
    target.write(target.path / ITEMS, staging.items.text())
    target.write_observations(observations)
    target.write(target.study, yaml.safe_dump(study, sort_keys=False, allow_unicode=True).encode())
    target.write(target.manifest, json.dumps(manifest, indent=2, ensure_ascii=False).encode())
    if not there:
        with written(directory.path):
            directory.path.parent.mkdir(parents=True, exist_ok=True)
            hidden.rename(directory.path)


@contextmanager
def _hidden(run_dir: Path) -> Iterator[Path]:
    """Make a directory of our own on the run's disk, and take it away again."""
    with written(run_dir):
        if run_dir.exists() and not run_dir.is_dir():
            raise ConfigError("This is a file.", place=str(run_dir), remedy="Name a directory with --out.")
        near = next(parent for parent in run_dir.resolve().parents if parent.is_dir())
        hidden = near / f".{run_dir.name}.import-{os.getpid()}"
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir()
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def written(place: Path) -> Iterator[None]:
    """Say what is wrong when a place cannot be written.

    Args:
        place: The directory.

    Raises:
        LedgerError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise LedgerError(
            f"The run directory cannot be written ({(error.strerror or str(error)).lower()}).",
            place=str(place),
            remedy="Check that you may write there, or name another with --out.",
        ) from error
