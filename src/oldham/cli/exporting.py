"""`oldham export`: write a run for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oldham.cli.console import out


def export(
    run_dir: Annotated[str, typer.Argument(metavar="RUN", help="The run directory, such as runs/NAME.")],
    to: Annotated[str, typer.Option("--to", help="parquet, csv, jsonl, latex or inspect.")],
    target: Annotated[
        str | None, typer.Option("--out", help="The file, or the folder for inspect; by default in RUN/export.")
    ] = None,
    reveal: Annotated[
        bool, typer.Option("--reveal/--no-reveal", help="Write harmful completions instead of hiding them.")
    ] = False,
    judge: Annotated[
        str | None, typer.Option("--judge", help="The judge whose verdicts count in latex; by default the first.")
    ] = None,
) -> None:
    """Write observations, texts, a table of effects, or logs of Inspect."""
    from oldham.interop import ExportOptions, export_run

    options = ExportOptions(to=to, out=Path(target) if target else None, reveal=reveal, judge=judge)
    for path in export_run(Path(run_dir), options):
        out.print(f"Written: {path}", soft_wrap=True)
