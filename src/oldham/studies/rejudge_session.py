"""Judging stored generations again, whichever kind of run they are in."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from oldham.core.errors import ConfigError, DataError, RunInterruptedError
from oldham.core.observations import good_side
from oldham.core.outcomes import Axis, Outcome
from oldham.judges.asking import ModelJudge
from oldham.studies.added import AddedJudge, remember
from oldham.studies.judging import Graders, JudgeSpec, graders_of, make_judge
from oldham.studies.manifest import now
from oldham.studies.preflight_judges import JudgeChecks
from oldham.studies.preflight_kept import Kept
from oldham.studies.reading import Reader, Tally, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from oldham.backends.base import ServerOptions
    from oldham.core.ledger import Ledger
    from oldham.core.records import Generation, Item
    from oldham.judges.base import Judge
    from oldham.studies.progress import Progress
    from oldham.studies.rundir import RunDir

T = TypeVar("T")


@dataclass(frozen=True)
class JudgeOptions:
    """How a run is judged again."""

    server: ServerOptions | None = None
    """How the judges' models are reached; None for models that need no server."""
    first: bool = False
    """Whether the new verdicts count before those that are there."""
    preflight: bool = True
    """Give each judge its planted cases before it judges anything."""


@dataclass(frozen=True)
class Rejudged:
    """What judging again did."""

    run_dir: Path
    """The run."""
    observations: pl.DataFrame
    """The run's observation table, with the new verdicts."""
    tallies: tuple[Tally, ...]
    """What each judge did."""
    usd: float
    """What the judges' models cost on servers whose prices are known; 0 without any."""
    seconds: float
    """Wall time."""
    notes: list[str] = field(default_factory=list)
    """What else the user should know, a sentence each."""

    def summary(self) -> str:
        """Say in a line for each judge what it did, and how far it agrees with the first other judge of a benchmark."""
        lines = [self._told(tally) for tally in self.tallies]
        cost = f", for ${self.usd:,.2f}" if self.usd else ""
        unread = [told for tally in self.tallies if (told := tally.unread_told())]
        return "\n".join([*lines, *unread, *self.notes, f"{self.run_dir}: judged in {self.seconds:.1f} s{cost}."])

    def _told(self, tally: Tally) -> str:
        mine = self.observations.filter(pl.col("judge") == tally.judge)
        unjudged = mine.filter(pl.col("outcome") == str(Outcome.UNJUDGED)).height
        failed = mine.filter(pl.col("parsed") == "failed").height
        parts = [f"{tally.new} verdicts are new", f"{tally.there} generations were judged before"]
        parts += [f"{unjudged} rows are unjudged ({failed} of them replies that could not be read)"] if unjudged else []
        parts += [f"{tally.missing} verdicts are missing, and the same command asks again"] if tally.missing else []
        agreement = self._agreement(tally.judge)
        return f"{tally.judge}: {'; '.join(parts)}.{f' {agreement}' if agreement else ''}"

    def _agreement(self, judge: str) -> str:
        """Compare a judge with the first other one of each benchmark and span, where both call a text good or bad."""
        key = ["arm", "item", "attack", "draw"]
        heard = self.observations.filter(pl.col("judge").is_not_null())
        known = heard.with_columns(good_side().alias("good")).drop_nulls("good")
        said = []
        for (benchmark, span), here in known.group_by("benchmark", "span", maintain_order=True):
            other = next((name for name in here["judge"].unique(maintain_order=True) if name != judge), None)
            both = here.filter(pl.col("judge") == judge).join(
                here.filter(pl.col("judge") == other), on=key, suffix="_other", nulls_equal=True
            )
            if both.height:
                same = (both["good"] == both["good_other"]).sum()
                said.append(f"with `{other}` on {same} of {both.height} {span}s of {benchmark}")
        return f"On good or bad it agrees {'; '.join(said)}." if said else ""


@dataclass
class Session:
    """What judging again needs of any run: its judges, made, checked and remembered.

    Args:
        directory: The run directory; its lock is held.
        specs: The judges that are wanted.
        options: How.
        watch: Watches the work.
        servers: The study's servers by name.
    """

    directory: RunDir
    specs: Sequence[JudgeSpec]
    options: JudgeOptions
    watch: Progress
    servers: Mapping[str, ServerOptions]

    def __post_init__(self) -> None:
        self.started, self._watch_start = now(), time.monotonic()
        self.notes: list[str] = []
        graders = Graders()
        self._added: dict[str, AddedJudge] = {}
        self.judges: list[Judge] = []
        for spec in self.specs:
            server = self._server(spec)
            judge = make_judge(spec, server, graders=graders)
            if judge.label not in self._added:
                self.judges.append(judge)
                used = server if isinstance(judge, ModelJudge) else None
                self._added[judge.label] = AddedJudge(
                    judge=spec.judge, model=spec.model, server=used, first=self.options.first
                )
        kept = Kept(self.directory, wanted=self.options.preflight, note=self.watch.note, command="oldham judge")
        self._checks = JudgeChecks(kept)

    def speaking(self, axes: Iterable[Axis]) -> list[Judge]:
        """Return the judges that can speak on a run's axes, and note the others.

        Args:
            axes: Those of the run.

        Raises:
            ConfigError: None of them can.
        """
        there = set(axes)
        able = [judge for judge in self.judges if judge.axes & there]
        if not able:
            said = ", ".join(f"`{judge.label}` on {', '.join(sorted(judge.axes))}" for judge in self.judges)
            raise ConfigError(
                f"None of these judges can speak here: the run is on {', '.join(sorted(there))}, and {said}.",
                place=str(self.directory.path),
                remedy="Name a judge of one of the run's axes; `oldham list judges` has them.",
            )
        self.notes += [f"`{j.label}` cannot speak on any axis of this run." for j in self.judges if j not in able]
        return able

    def read(self, ledger: Ledger, tasks: Sequence[Task], item_of: Callable[[Generation], Item]) -> tuple[Tally, ...]:
        """Put the judges to work and remember them; each is checked before.

        Args:
            ledger: Open for writing.
            tasks: What each is to read.
            item_of: Returns what a generation was asked.

        Raises:
            ConfigError: A judge fails its check.
            ModelError: A model cannot be loaded or asked; finished batches are stored.
        """
        offline = [task for task in tasks if not isinstance(task.judge, ModelJudge)]
        asking = [task for task in tasks if isinstance(task.judge, ModelJudge)]
        self._checks.offline([task.judge for task in offline])
        tallies = []
        for some in (offline, asking):
            reader = Reader(ledger, item_of, self.watch, self._check)
            reader.read(some)
            self._remember([task.judge for task in some])
            tallies += reader.tallies
        order = [task.judge.label for task in tasks]
        return tuple(sorted(tallies, key=lambda tally: order.index(tally.judge)))

    def finished(self, tallies: Sequence[Tally], observations: pl.DataFrame) -> Rejudged:
        """Return what was done.

        Args:
            tallies: What each judge did.
            observations: The run's new table.
        """
        usd = sum(grader.usd for grader in graders_of(self.judges))
        seconds = time.monotonic() - self._watch_start
        return Rejudged(self.directory.path, observations, tuple(tallies), usd, seconds, self.notes)

    def told(self, tallies: Sequence[Tally]) -> dict[str, Any]:
        """Return what the manifest's list of runs says of this.

        Args:
            tallies: What each judge did.
        """
        judged = {tally.judge: tally.new for tally in tallies}
        return {"started": self.started, "finished": now(), "judged": judged}

    def _check(self, judge: ModelJudge) -> None:
        self._checks.asking(judge)
        # From here on there are verdicts of it, which a later run of the study shall not lose sight of.
        self._remember([judge])

    def _remember(self, judges: Sequence[Judge]) -> None:
        if judges:
            remember(self.directory, [self._added[judge.label] for judge in judges])

    def _server(self, spec: JudgeSpec) -> ServerOptions | None:
        if spec.server is None:
            return self.options.server
        if spec.server not in self.servers:
            raise ConfigError(f"There is no server `{spec.server}`.", remedy="Give `ServerOptions` in the options.")
        return self.servers[spec.server]


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """Read what a run says of itself.

    Args:
        run_dir: The run directory.

    Raises:
        DataError: There is no run, or its manifest cannot be read.
    """
    path = run_dir / "manifest.json"
    if run_dir.is_file():
        raise DataError(
            "This is a file, and a run is a directory.", place=str(run_dir), remedy="Name it, such as runs/NAME."
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        manifest = None
    except (OSError, ValueError) as error:
        raise DataError(
            "The manifest cannot be read.", place=str(path), remedy="If a study made the run, run it again: oldham run."
        ) from error
    if not isinstance(manifest, dict):
        raise DataError(
            "There is no run here.", place=str(run_dir), remedy="Name the directory of a run, such as runs/NAME."
        )
    return manifest


def joined(there: Mapping[str, T], new: Mapping[str, T], *, first: bool) -> dict[str, T]:
    """Put judges to those that are there; one of the same label takes the other's place.

    Args:
        there: By label, in the order in which they count.
        new: The same.
        first: Whether the new ones count before the others.
    """
    return {**new, **{label: one for label, one in there.items() if label not in new}} if first else {**there, **new}


@contextmanager
def interruptible(run_dir: Path) -> Iterator[None]:
    """Say what Ctrl-C leaves.

    Args:
        run_dir: The run directory.

    Raises:
        RunInterruptedError: In the place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise RunInterruptedError(
            "Stopped; every finished batch is stored.",
            place=str(run_dir),
            remedy="To go on, give the same command again.",
        ) from error
