"""Labelled texts, to measure a judge on: from any file that is imported, a run, or a plain table with labels."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from oldham.benchmarks.base import BENCHMARKS
from oldham.core.errors import DataError, OldhamError, UnknownNameError, did_you_mean
from oldham.core.fingerprint import file_sha256, fingerprint
from oldham.core.ledger import Ledger
from oldham.core.outcomes import MISSING, Outcome
from oldham.interop.base import IMPORTERS, ImportOptions, Source
from oldham.interop.guess import importer_for, read_head
from oldham.interop.items import Items, read_items
from oldham.interop.label_table import LabelTable
from oldham.interop.staging import Staging
from oldham.judges.cards import LabelSource
from oldham.studies.rundir import RunDir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from oldham.core.outcomes import Axis
    from oldham.core.records import Generation, Item, ReadSpan, Verdict
    from oldham.interop.base import Importer
    from oldham.interop.mapping import Mapping as MappingFile

SETTLED = ("human_final", "label")
"""Names of labels that are the truth where nothing else is said, the first before the second."""


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """What the user says of the labels."""

    mapping: MappingFile | None = None
    """What the columns of a table mean."""
    axis: Axis | None = None
    """The axis of every text, where the file does not say it."""
    truth: str | None = None
    """Whose verdicts are the truth; None for `human_final`, `label`, or the only judge there is."""
    span: ReadSpan | None = None
    """The part that is measured; None for every part that has labels, and for the answer in a plain table."""
    judge: str = ""
    """The label of the judge to be measured, which cannot be its own truth."""
    partial: bool = False
    """Keep what can be read of a damaged file."""


class Labelled(NamedTuple):
    """One text and what is true of it."""

    item: Item
    """What was asked."""
    generation: Generation
    """What came back."""
    span: ReadSpan
    """The part that was labelled."""
    truth: Outcome
    """What it is; never a missing outcome."""
    annotators: tuple[Outcome, ...]
    """What each annotator said, those aside who said nothing; empty where none are known."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labelled texts."""

    rows: tuple[Labelled, ...]
    """In the order of the files; never empty."""
    truth: str
    """Whose verdicts are the truth."""
    annotators: tuple[str, ...]
    """Whose verdicts lie behind it; empty where that is not known."""
    sources: tuple[LabelSource, ...]
    """The files."""
    hashes: frozenset[str]
    """Hashes of every file that the labels came from, those an imported run was made of among them."""
    n_unlabelled: int
    """Texts without a label, which are left out."""
    n_left_out: int
    """Rows that could not be read (partial), and texts of runs whose items are not here."""


@dataclass
class _Gathered:
    """Generations with what was said of them, before it is known whose word is the truth."""

    items: dict[str, Item] = field(default_factory=dict)
    generations: dict[str, Generation] = field(default_factory=dict)
    said: dict[str, dict[tuple[str, ReadSpan], Outcome]] = field(default_factory=dict)
    """Outcome by generation, then judge and span."""
    source: dict[str, int] = field(default_factory=dict)
    """Place of its source, by generation."""

    def add(self, item: Item, generation: Generation, verdicts: Iterable[Verdict], source: int) -> None:
        key = generation.trial.fingerprint
        self.items[key], self.generations[key] = item, generation
        self.source.setdefault(key, source)
        said = self.said.setdefault(key, {})
        for verdict in verdicts:
            said[verdict.judge, verdict.span] = verdict.outcome

    def judges(self) -> list[str]:
        return sorted({judge for said in self.said.values() for judge, _ in said})


def read_labels(paths: Sequence[Path], options: LabelOptions | None = None) -> Labels:
    """Read labelled texts.

    Args:
        paths: Files that `oldham import` reads, tables with the columns of `LabelTable`, or run directories.
        options: What the user says of them.

    Returns:
        The texts that have a label.

    Raises:
        OldhamError: A file cannot be read, its columns or labels cannot be told, or no one's word is the truth.
    """
    options = options or LabelOptions()
    gathered, hashes, left_out = _Gathered(), set[str](), 0
    names: list[tuple[str, str]] = []
    with Ledger(Path(":memory:")) as ledger:  # texts that may be harmful never reach the disk
        staging, table = Staging(ledger, Items()), LabelTable(options.span or "answer")
        ends = []
        for path in paths:
            is_run = (path / "ledger.sqlite").is_file()
            if is_run:
                behind, lost = _read_run(path, gathered, len(names))
                left_out += lost
            else:
                importer = _importer(path, options, table)
                files = importer.files(path)
                behind = _hashes(files)
            if hashes & set(behind):
                raise DataError("These labels are given twice.", place=str(path), remedy="Name them once.")
            if not is_run:
                left_out += _read_files(path, files, importer, options, staging)
            hashes.update(behind)
            names.append((f"run {path.resolve().name}" if is_run else path.resolve().name, behind[0]))
            ends.append(len(staging.contents))
        staging.flush()
        _take(staging, ledger, gathered, ends)
    return _labels(gathered, names, frozenset(hashes), left_out, options, paths)


def _hashes(files: Sequence[Path]) -> list[str]:
    """Return the identity of files, and then of each where they are several."""
    each = [file_sha256(file) for file in files]
    return each if len(each) == 1 else [fingerprint("files", each, length=64), *each]


def _importer(path: Path, options: LabelOptions, table: LabelTable) -> Importer:
    """Return what reads a file: the importer of its format, or else the plain table."""
    read_as = _read_as(options)
    if path.is_dir() or options.mapping is not None:
        return importer_for(path, read_as)
    head = read_head(path, lambda _: None)
    if head.kind not in ("csv", "jsonl") or any(IMPORTERS.get(e.name).recognises(head) for e in IMPORTERS.entries()):
        return importer_for(path, read_as)
    table.check(head)
    return table


def _read_as(options: LabelOptions) -> ImportOptions:
    return ImportOptions(mapping=options.mapping, axis=options.axis, partial=options.partial)


def _read_files(path: Path, files: Iterable[Path], importer: Importer, options: LabelOptions, staging: Staging) -> int:
    """Read files into the ledger and return how many of their rows had to be left out."""
    count = left_out = 0

    def bad(error: OldhamError) -> None:
        nonlocal left_out
        if not options.partial:
            raise error
        left_out += 1

    for file in files:
        for row in importer.rows(Source(file, _read_as(options), bad)):
            count += 1
            try:
                staging.add(row, importer.name)
            except DataError as error:
                bad(_reworded(error))
    if not count:
        raise DataError("There is no labelled row here.", place=str(path), remedy="Give a file with rows.")
    return left_out


def _reworded(error: DataError) -> DataError:
    """Advise only what can be done here: labels are not imported under names of the user's choice."""
    if not re.search(r"--(?:arm|benchmark)\b", error.remedy or ""):
        return error
    remedy = "Tell the texts apart by a column `arm` or `draw`, and explain it with --map."
    return DataError(error.message, place=error.place, remedy=remedy)


def _read_run(path: Path, gathered: _Gathered, source: int) -> tuple[list[str], int]:
    """Read a run.

    Returns:
        The identity of what it says, and then the hashes of the files it was imported from; and how many texts are left
        out, because the items that they answer are not here or have changed.
    """
    lost = 0
    manifest = _manifest(path)
    items = read_items(path)
    of_benchmark: dict[str, dict[str, Item]] = {}
    current = {f for judges in manifest.get("judges", {}).values() for f in dict(judges).values()}
    verdicts: dict[str, list[Verdict]] = {}
    with Ledger(path / "ledger.sqlite", read_only=True) as ledger:
        for verdict in ledger.verdicts():
            if not current or verdict.judge_fingerprint in current:
                verdicts.setdefault(verdict.generation, []).append(verdict)
        for generation in ledger.generations(verdicts):
            trial = generation.trial
            item = items.get(trial.benchmark, trial.item) or _registered(trial.benchmark, of_benchmark).get(trial.item)
            if item is not None and item.fingerprint == trial.item_fingerprint:
                gathered.add(item, generation, verdicts[trial.fingerprint], source)
            else:
                lost += 1
    said = sorted([v.fingerprint, str(v.outcome)] for some in verdicts.values() for v in some)
    behind = [str(file.get("sha256")) for file in manifest.get("source", []) if isinstance(file, dict)]
    return [fingerprint("labels of a run", said, length=64), *behind], lost


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(RunDir(path).manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the rows are what counts
    return manifest if isinstance(manifest, dict) else {}


def _registered(name: str, known: dict[str, dict[str, Item]]) -> Mapping[str, Item]:
    """Return the items of a registered benchmark by id: a study's run keeps none of its own."""
    if name not in known:
        try:
            items = BENCHMARKS.get(name)().items() if name in BENCHMARKS.names() else ()
        except OldhamError:
            items = ()  # its file is not here
        known[name] = {item.id: item for item in items}
    return known[name]


def _take(staging: Staging, ledger: Ledger, gathered: _Gathered, ends: Sequence[int]) -> None:
    """Take what was staged, in the order of the files."""
    verdicts: dict[str, list[Verdict]] = {}
    for verdict in ledger.verdicts():
        verdicts.setdefault(verdict.generation, []).append(verdict)
    generations = {g.trial.fingerprint: g for g in ledger.generations()}
    source = 0
    for place, key in enumerate(staging.contents):
        while place >= ends[source]:
            source += 1
        generation = generations[key]
        item = staging.items.get(generation.trial.benchmark, generation.trial.item)
        assert item is not None
        gathered.add(item, generation, verdicts.get(key, []), source)


def _labels(
    gathered: _Gathered,
    names: Sequence[tuple[str, str]],
    hashes: frozenset[str],
    left_out: int,
    options: LabelOptions,
    paths: Sequence[Path],
) -> Labels:
    place = ", ".join(map(str, paths[:3]))
    truth = _truth(gathered.judges(), options, place)
    annotators = _annotators(truth, gathered.judges())
    used, unlabelled = Counter[int](), 0
    rows: list[Labelled] = []
    for key, generation in gathered.generations.items():
        before, said = len(rows), gathered.said[key]
        for span in _spans(options.span):
            outcome = said.get((truth, span))
            if outcome is None or outcome in MISSING:
                continue
            heard = tuple(o for name in annotators if (o := said.get((name, span))) is not None and o not in MISSING)
            rows.append(Labelled(gathered.items[key], generation, span, outcome, heard))
        used[gathered.source[key]] += len(rows) - before
        unlabelled += len(rows) == before
    if not rows:
        part = f" of the {options.span}" if options.span else ""
        message = f"No text here has a label{part} by `{truth}`."
        raise DataError(message, place=place, remedy="Label some, or name another part with --span.")
    sources = tuple(LabelSource(name=n, sha256=sha, n=used[i]) for i, (n, sha) in enumerate(names))
    return Labels(tuple(rows), truth, annotators, sources, hashes, unlabelled, left_out)


def _spans(wanted: ReadSpan | None) -> Iterator[ReadSpan]:
    spans: tuple[ReadSpan, ...] = ("answer", "trace")
    return (span for span in spans if wanted in (None, span))


def _truth(judges: Sequence[str], options: LabelOptions, place: str) -> str:
    """Return whose verdicts are the truth."""
    if options.truth is not None:
        if options.truth not in judges:
            raise UnknownNameError(
                f"Nobody called `{options.truth}` labelled these texts.",
                place=place,
                remedy=did_you_mean(options.truth, judges),
            )
        if options.truth == options.judge:
            raise DataError("A judge cannot be its own truth.", place=place, remedy="Name somebody else with --truth.")
        return options.truth
    others = [name for name in judges if name != options.judge]
    for name in SETTLED:
        if name in others:
            return name
    if len(others) == 1:
        return others[0]
    if not others:
        raise DataError(
            "Nobody labelled these texts.",
            place=place,
            remedy="Add a column `label`, or say in a mapping file (--map) under `verdicts` which column holds one.",
        )
    raise DataError(
        f"Several judged these texts: {', '.join(f'`{name}`' for name in others)}.",
        place=place,
        remedy="Say whose word is the truth: --truth NAME.",
    )


def _annotators(truth: str, judges: Iterable[str]) -> tuple[str, ...]:
    """Return the numbered siblings of the truth: `human_1` and `human_2` of `human_final`, `label_1` of `label`."""
    stem = truth.rpartition("_")[0] or truth
    return tuple(name for name in judges if re.fullmatch(rf"{re.escape(stem)}_\d+", name) and name != truth)
