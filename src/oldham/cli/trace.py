"""`oldham trace`: what a model would have answered, step by step along the traces of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oldham.cli.console import err, out

if TYPE_CHECKING:
    import polars as pl


def trace(
    run_dir: Annotated[str, typer.Argument(metavar="RUN", help="The directory of a finished run.")],
    arms: Annotated[list[str] | None, typer.Option("--arm", help="An arm; all by default. May be given again.")] = None,
    benchmarks: Annotated[
        list[str] | None,
        typer.Option("--benchmark", help="A benchmark; by default those on harm and overrefusal. May be given again."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most this many traces of each arm on each benchmark.")
    ] = None,
    openings: Annotated[
        str | None, typer.Option("--openings", help="A YAML file: how answers begin that refuse or comply.")
    ] = None,
) -> None:
    """Read how far a model leans to refusing at each step of its stored traces; what was read before is kept."""
    from oldham.cli.trace_progress import TraceBar
    from oldham.trajectories.openings import read_openings
    from oldham.trajectories.readouts import ReadoutOptions
    from oldham.trajectories.run_trace import trace_run
    from oldham.trajectories.stored import Selection
    from oldham.trajectories.told import told

    options = ReadoutOptions(openings=read_openings(Path(openings) if openings else None))
    selection = Selection(arms=tuple(arms or ()), benchmarks=tuple(benchmarks or ()), limit=limit)
    with TraceBar() as progress:
        result = trace_run(Path(run_dir), selection, options, progress=progress)
    err.print(result.summary(), soft_wrap=True)
    out.print(told(result.readouts, _observations(Path(run_dir))), soft_wrap=True)


def _observations(run_dir: Path) -> pl.DataFrame | None:
    from oldham.core.errors import DataError
    from oldham.studies.observations import load_observations

    try:
        return load_observations(run_dir)
    except DataError:
        return None  # the readouts stand by themselves
