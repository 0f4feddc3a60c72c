"""`oldham compare`: one arm against others, from rows that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oldham.cli.console import out


def compare(
    baseline: Annotated[str, typer.Argument(metavar="A", help="The baseline: RUN, RUN:ARM, or a parquet or CSV file.")],
    other: Annotated[str, typer.Argument(metavar="B", help="What is compared with it: RUN, RUN:ARM, or a file.")],
    judge: Annotated[
        str | None,
        typer.Option("--judge", help="The judge whose verdicts count; by default the first of each benchmark."),
    ] = None,
    gate: Annotated[
        str | None,
        typer.Option("--gate", help="A gate file: what B must show. Exit code 1 where it does not."),
    ] = None,
) -> None:
    """Print whether B reasons better than A, is as safe, through which flips, and whether it is safe to ship."""
    from oldham.coupling import CouplingOptions, couple
    from oldham.coupling.compare_text import write_comparison
    from oldham.coupling.gates import Gate, judge_gate, read_gate
    from oldham.coupling.stopped import as_stopped, read_stopped
    from oldham.studies.observations import comparable

    wanted = read_gate(Path(gate)) if gate else None  # a bad file is told before the work
    both = comparable(baseline, other)
    options = CouplingOptions(
        deterministic=both.deterministic,
        judge=judge,
        cards=both.cards,
        margin=(wanted or Gate()).margin,
        format_controls=both.format_controls,
    )
    coupling = couple(both.observations, baseline=both.baseline, options=options)
    coupling = as_stopped(coupling, both.observations, read_stopped(both.manifest), options)
    result = None if wanted is None else judge_gate(coupling, wanted)
    out.print(write_comparison(coupling, result), soft_wrap=True)
    if result is not None and not result.passed:
        raise typer.Exit(1)
