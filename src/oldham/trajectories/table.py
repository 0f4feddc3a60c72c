"""`trajectories.parquet`: one row for each readout of each trace, kept between commands."""

from __future__ import annotations

import io
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from oldham.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from oldham.studies.rundir import RunDir
    from oldham.trajectories.readouts import TraceReading
    from oldham.trajectories.stored import StoredTrace

FILE: Final = "trajectories.parquet"
"""The file of a run directory that holds its readouts."""

TRAJECTORY_COLUMNS: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = MappingProxyType(
    {
        "generation": pl.String,  # fingerprint of the trial
        "reading": pl.String,  # identity of model, openings and steps; rows of several may stand side by side
        "arm": pl.String,  # the first arm of the study that has the generation
        "benchmark": pl.String,
        "axis": pl.String,
        "item": pl.String,
        "cluster": pl.String,
        "attack": pl.String,
        "draw": pl.Int64,
        "step": pl.Int64,  # 0 is the start of the trace, before any step
        "start": pl.Int64,  # characters of the step in the stored output
        "end": pl.Int64,
        "token_start": pl.Int64,  # tokens of the step in the stored output
        "token_end": pl.Int64,
        "fraction": pl.Float64,  # share of the trace's tokens that were seen
        "log_odds": pl.Float64,  # of refusing against complying, by scored openings, in nats
        "log_odds_first": pl.Float64,  # the same by first tokens; null where the tokenizer leaves none that tells
        "p_refuse": pl.Float64,  # of refusing among answers that start with one of the openings
        "mass": pl.Float64,  # probability that the answer starts with any of the openings
        "mass_first": pl.Float64,
        "entropy": pl.Float64,  # of the answer's first token, in nats
        "answers": pl.List(pl.String),  # given answers that were scored; empty where the item has none
        "answer_logprobs": pl.List(pl.Float64),  # summed log-probability of each, in nats
    }
)
"""Column names and types."""


class TrajectoryTable:
    """The readouts of a run, those of earlier commands and new ones.

    Args:
        directory: The run directory; its lock is held where anything is saved.

    Raises:
        DataError: There is a table that cannot be read.
    """

    def __init__(self, directory: RunDir) -> None:
        self.directory = directory
        self.path = directory.path / FILE
        self._kept = read_trajectories(self.path) if self.path.is_file() else pl.DataFrame(schema=TRAJECTORY_COLUMNS)
        self._new: list[dict[str, Any]] = []

    def read_already(self, reading: str) -> set[str]:
        """Return the generations whose readouts are there.

        Args:
            reading: Identity of the reading.
        """
        return set(self._kept.filter(pl.col("reading") == reading)["generation"])

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take the rows of one trace, all of them."""
        self._new += rows

    @property
    def frame(self) -> pl.DataFrame:
        """All rows: those that were there, then the new ones."""
        return pl.concat([self._kept, pl.DataFrame(self._new, schema=TRAJECTORY_COLUMNS)])

    def save(self) -> None:
        """Write the table, whole or not at all; nothing is written where nothing is new.

        Raises:
            LedgerError: The disk is full or the directory cannot be written.
        """
        if not self._new:
            return
        self._kept, self._new = self.frame, []
        parquet = io.BytesIO()
        self._kept.write_parquet(parquet)
        self.directory.write(self.path, parquet.getvalue())


def read_trajectories(path: Path) -> pl.DataFrame:
    """Read a table of readouts.

    Args:
        path: A run directory that has one, or the parquet file.

    Returns:
        A frame with `TRAJECTORY_COLUMNS`.

    Raises:
        DataError: There is none, or it cannot be read.
    """
    file = path / FILE if path.is_dir() else path
    try:
        frame = pl.read_parquet(file)
    except FileNotFoundError as error:
        raise DataError(
            "There are no trajectories here.", place=str(path), remedy="Read them: oldham trace."
        ) from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(file, str(error).partition("\n")[0]) from error
    if dict(frame.schema) != dict(TRAJECTORY_COLUMNS):
        raise _unreadable(file, "its columns are of another version")
    return frame


def rows_of(trace: StoredTrace, reading: str, answers: tuple[str, ...], told: TraceReading) -> list[dict[str, Any]]:
    """Return the rows of one trace.

    Args:
        trace: Whose readouts they are.
        reading: Identity of the reading.
        answers: The given answers that were scored.
        told: What was read.
    """
    trial = trace.generation.trial
    shared = {
        "generation": trial.fingerprint,
        "reading": reading,
        "arm": trace.arm,
        "benchmark": trace.item.benchmark,
        "axis": str(trace.item.axis),
        "item": trace.item.id,
        "cluster": trace.item.cluster,
        "attack": trial.attack,
        "draw": trial.draw,
        "answers": list(answers),
    }
    rows = []
    first = next(one.step for one in told.readouts if one.step is not None)
    for number, one in enumerate(told.readouts):
        start = (first.start, first.start, first.token_start, first.token_start)
        span = start if one.step is None else (one.step.start, one.step.end, one.step.token_start, one.step.token_end)
        rows.append(
            {
                **shared,
                "step": number,
                **dict(zip(("start", "end", "token_start", "token_end"), span, strict=True)),
                "fraction": one.fraction,
                "log_odds": one.log_odds,
                "log_odds_first": one.log_odds_first if one.log_odds_first == one.log_odds_first else None,
                "p_refuse": one.p_refuse,
                "mass": one.mass,
                "mass_first": one.mass_first,
                "entropy": one.entropy,
                "answer_logprobs": list(one.answers),
            }
        )
    return rows


def _unreadable(file: Path, reason: str) -> DataError:
    return DataError(
        f"The trajectories cannot be read ({reason}).",
        place=str(file),
        remedy="Move the file away; `oldham trace` reads everything again.",
    )
