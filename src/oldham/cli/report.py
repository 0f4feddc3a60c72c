"""`oldham report`: write a run's report anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oldham.cli.console import out


def report(
    run_dir: Annotated[str, typer.Argument(help="The run directory, such as runs/NAME.")],
    reveal: Annotated[
        bool, typer.Option("--reveal/--no-reveal", help="Show harmful completions instead of hiding them.")
    ] = False,
    judge: Annotated[
        str | None,
        typer.Option("--judge", help="The judge whose verdicts count; by default the first of each benchmark."),
    ] = None,
) -> None:
    """Write report.html from the rows a run has stored (report-revealed.html, report-by-JUDGE.html)."""
    from oldham.report import write_report

    out.print(f"Report: {write_report(Path(run_dir), reveal=reveal, judge=judge)}", soft_wrap=True)
