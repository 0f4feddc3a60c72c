"""A bar for long readings of a model."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from oldham.cli.console import err

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar for each kind of work.

    Yields:
        A function to be told what is done, how much of it, and of how much.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        tasks: dict[str, int] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield told
