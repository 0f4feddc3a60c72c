"""`oldham dose`: what each dose of an intervention does, from rows that are there."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from oldham.cli.console import err, out


class _Format(StrEnum):
    TEXT = "text"
    JSON = "json"


def dose(
    run_dir: Annotated[str, typer.Argument(metavar="RUN", help="The run directory, such as runs/NAME.")],
    intervention: Annotated[
        str | None,
        typer.Option("--intervention", help="Only this one, with or without its seed; by default every one."),
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", help="Largest loss of a safety score that still counts as none.")
    ] = 0.05,
    back: Annotated[
        str | None,
        typer.Option("--back", help="The intervention that begins where the others end and takes the dose back."),
    ] = None,
    plot: Annotated[
        str | None, typer.Option("--plot", help="Also draw it, as a file that ends in .png, .svg or .html.")
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Also print every ladder dose by dose with its local coupling, and every comparison."
        ),
    ] = False,
    form: Annotated[_Format, typer.Option("--format", help="How it is printed.")] = _Format.TEXT,
    judge: Annotated[
        str | None,
        typer.Option("--judge", help="The judge whose verdicts count; by default the first of each benchmark."),
    ] = None,
) -> None:
    """Print what doses do to reasoning and safety: changes, critical doses, free range, local coupling, controls."""
    from oldham.cli.targets import plot_target
    from oldham.coupling import CouplingOptions
    from oldham.coupling.dynamics import DoseOptions, dose_dynamics
    from oldham.report.doses import save_doses, training_facts
    from oldham.studies.observations import comparable

    target = plot_target(Path(plot)) if plot else None  # a bad name is told before the work
    options = CouplingOptions(margin=margin, judge=judge)
    both = comparable(run_dir, run_dir)
    wanted = DoseOptions(intervention, back, training_facts(Path(run_dir)))
    found = dose_dynamics(both.observations, baseline=both.baseline, options=options, wanted=wanted)
    out.print(found.to_json() if form is _Format.JSON else found.summary(full=full), soft_wrap=True)
    if form is _Format.TEXT and not full:
        out.print("\n`--full` prints every ladder dose by dose; `--format json` writes everything.", soft_wrap=True)
    if target is not None:
        save_doses(found, target)
        err.print(f"Drawn: {target}", soft_wrap=True)
