"""`oldham run`: carry a study out, or go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oldham.cli.console import err, out


def run(
    study: Annotated[str, typer.Argument(help="The study file.")],
    out_dir: Annotated[str | None, typer.Option("--out", help="The run directory; by default runs/NAME.")] = None,
    with_report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")] = True,
    preflight: Annotated[
        bool, typer.Option("--preflight/--no-preflight", help="Check judges and models before the first batch.")
    ] = True,
) -> None:
    """Generate and judge whatever a study still lacks, then say what was found."""
    from oldham.cli.progress import RichProgress
    from oldham.studies.run import run as run_study

    with RichProgress() as progress:
        result = run_study(study, run_dir=Path(out_dir) if out_dir else None, progress=progress, preflight=preflight)
    err.print(result.summary(), soft_wrap=True)

    from oldham.coupling import CouplingOptions, couple
    from oldham.judges.cards import cards_of

    options = CouplingOptions(deterministic=result.study.baseline_is_greedy, cards=cards_of(result.run_dir))
    coupling = couple(result.observations, baseline=result.study.baseline, options=options)
    out.print(coupling.summary(), soft_wrap=True)
    if with_report:
        out.print(f"Report: {_report(result.run_dir)}", soft_wrap=True)


def _report(run_dir: Path) -> Path:
    """Write the report, unless it is younger than everything it is made of."""
    report = run_dir / "report.html"
    if report.is_file():
        made_of = (run_dir / "observations.parquet", run_dir / "study.yaml", *run_dir.glob("cards/*.json"))
        if report.stat().st_mtime_ns > max(path.stat().st_mtime_ns for path in made_of):
            return report
    from oldham.report import write_report

    return write_report(run_dir)
