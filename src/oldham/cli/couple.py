"""`oldham couple`: what each run's reasoning cost its safety, and what several models show together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oldham.cli.console import err, out


def couple(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Run directories, or parquet or CSV files.")],
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="The arm to compare with; by default the run's own.")
    ] = None,
    gate: Annotated[
        str | None, typer.Option("--gate", help="A gate file: what arms must show. Exit code 1 where one does not.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option("--judge", help="The judge whose verdicts count; by default the first of each benchmark."),
    ] = None,
    json_file: Annotated[str | None, typer.Option("--json", help="Also write everything to this file.")] = None,
    plot: Annotated[
        str | None, typer.Option("--plot", help="Also draw a forest of the coefficients: .png, .svg or .html.")
    ] = None,
) -> None:
    """Print whether reasoning improved, what that did to safety, at what rate, and whether it is safe to ship."""
    from oldham.cli.targets import plot_target, save_text, written_target
    from oldham.coupling import CouplingOptions
    from oldham.coupling import couple as analyse
    from oldham.coupling.couple_text import coupled_run, runs_json, write_runs
    from oldham.coupling.gates import Gate, read_gate
    from oldham.coupling.stopped import as_stopped, read_stopped
    from oldham.studies.single import models_read, same_models, single_run

    wanted = read_gate(Path(gate)) if gate else Gate()  # bad names are told before the work
    target = plot_target(Path(plot)) if plot else None
    written = written_target(Path(json_file)) if json_file else None
    references = models_read(runs)
    read = {name: single_run(reference, baseline) for name, reference in references.items()}
    notes = same_models(references, {name: both.baseline for name, both in read.items()})
    found = []
    for name, both in read.items():
        options = CouplingOptions(deterministic=both.deterministic, judge=judge, cards=both.cards, margin=wanted.margin)
        coupling = analyse(both.observations, baseline=both.baseline, options=options)
        coupling = as_stopped(coupling, both.observations, read_stopped(both.manifest), options)
        found.append(coupled_run(name, coupling, both.observations, wanted))
    out.print(write_runs(found, notes), soft_wrap=True)
    if written is not None:
        save_text(runs_json(found), written)
        err.print(f"Written: {written}", soft_wrap=True)
    if target is not None:
        from oldham.report.forests import save_forest

        save_forest(found, target)
        err.print(f"Drawn: {target}", soft_wrap=True)
    if gate and not all(run.gate.passed for run in found):
        raise typer.Exit(1)
