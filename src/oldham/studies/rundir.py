"""The run directory: its files, one writer at a time, and writes that happen whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

from oldham.core.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl


class RunDir:
    """Where a run is kept.

    Args:
        path: The directory; made by `lock`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.study = path / "study.yaml"
        self.manifest = path / "manifest.json"
        self.ledger = path / "ledger.sqlite"
        self.observations = path / "observations.parquet"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Make the directory and keep other writers out; the lock ends with the process, however it ends.

        Raises:
            LedgerError: Another process is writing here, or the directory cannot be written.
        """
        with self._explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = (self.path / ".lock").open("w")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LedgerError(
                    "Another run is writing here.",
                    place=str(self.path),
                    remedy="Wait for it to end, stop it, or name another directory with --out.",
                ) from error
            yield

    def write(self, target: Path, content: bytes) -> None:
        """Write a file whole or not at all; one that holds just this already is left as it is, with its date.

        Args:
            target: The file; one that is there is replaced only when the new one is complete.
            content: What it shall hold.

        Raises:
            LedgerError: The disk is full or the directory cannot be written.
        """
        part = target.with_name(f".{target.name}.part")
        with self._explained(target):
            if target.is_file() and target.read_bytes() == content:
                return
            try:
                part.write_bytes(content)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)

    def write_observations(self, observations: pl.DataFrame) -> None:
        """Write the observation table. See `write`.

        Args:
            observations: The table.

        Raises:
            LedgerError: The disk is full or the directory cannot be written.
        """
        parquet = io.BytesIO()
        observations.write_parquet(parquet)
        self.write(self.observations, parquet.getvalue())

    @contextmanager
    def _explained(self, place: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # EFBIG is what a limit on file sizes says.
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                message = "The disk is full."
                remedy = "Free some space and give the same command again; finished rows are kept."
            else:
                message = f"The run directory cannot be written ({(error.strerror or str(error)).lower()})."
                remedy = "Check that it is a directory you may write to, or name another with --out."
            raise LedgerError(message, place=str(place), remedy=remedy) from error
