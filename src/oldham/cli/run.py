"""`oldham run`: carry a study out, or go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oldham.cli.console import err, out

if TYPE_CHECKING:
    from oldham.studies.rounds import Rounds


def run(
    study: Annotated[str, typer.Argument(help="The study file.")],
    out_dir: Annotated[str | None, typer.Option("--out", help="The run directory; by default runs/NAME.")] = None,
    with_report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")] = True,
    preflight: Annotated[
        bool, typer.Option("--preflight/--no-preflight", help="Check judges and models before the first batch.")
    ] = True,
    until: Annotated[
        str | None,
        typer.Option("--until", help="`gate`: ask in rounds, and stop each arm where the gate's claims are settled."),
    ] = None,
    gate: Annotated[
        str | None, typer.Option("--gate", help="A gate file for --until gate; by default the default gate.")
    ] = None,
    all_arms: Annotated[
        bool, typer.Option("--all-arms/--each-arm", help="Hold the chance of a wrong pass for all arms together.")
    ] = False,
) -> None:
    """Generate and judge whatever a study still lacks, then say what was found."""
    from oldham.cli.progress import RichProgress
    from oldham.studies.run import run as run_study

    rounds = _rounds(study, until, gate, all_arms=all_arms)
    directory = Path(out_dir) if out_dir else None
    with RichProgress() as progress:
        result = run_study(study, run_dir=directory, progress=progress, preflight=preflight, rounds=rounds)
    err.print(result.summary(), soft_wrap=True)

    from oldham.coupling import CouplingOptions, couple
    from oldham.judges.cards import cards_of

    options = CouplingOptions(
        deterministic=result.study.baseline_is_greedy,
        cards=cards_of(result.run_dir),
        format_controls=result.study.format_controls,
    )
    coupling = couple(result.observations, baseline=result.study.baseline, options=options)
    if rounds is not None:
        from oldham.coupling.stopped import as_stopped, stopped_of

        coupling = as_stopped(coupling, result.observations, stopped_of(result.run_dir), options)
    out.print(coupling.summary(), soft_wrap=True)
    if with_report:
        out.print(f"Report: {_report(result.run_dir)}", soft_wrap=True)


def _rounds(study: str, until: str | None, gate: str | None, *, all_arms: bool) -> Rounds | None:
    """Read when to stop; None where everything is asked."""
    from oldham.core.errors import ConfigError

    if until is None:
        if gate is not None or all_arms:
            raise ConfigError("A run that asks everything needs no gate.", remedy="Add --until gate.")
        return None
    if until != "gate":
        raise ConfigError(f"A run cannot go on until `{until}`.", remedy="Write --until gate.")
    from oldham.coupling import CouplingOptions
    from oldham.coupling.gates import Gate, read_gate
    from oldham.coupling.stopping import GateUmpire, StopRule
    from oldham.studies.rounds import Rounds
    from oldham.studies.spec import Study

    wanted = read_gate(Path(gate)) if gate else Gate()
    meant = Study.load(study)
    options = CouplingOptions(deterministic=meant.baseline_is_greedy, cards={})  # claims are read as judged
    rule = StopRule(all_arms=all_arms)
    return Rounds(GateUmpire(wanted, baseline=meant.baseline, options=options, rule=rule))


def _report(run_dir: Path) -> Path:
    """Write the report, unless it is younger than everything it is made of."""
    report = run_dir / "report.html"
    if report.is_file():
        made_of = (run_dir / "observations.parquet", run_dir / "study.yaml", *run_dir.glob("cards/*.json"))
        if report.stat().st_mtime_ns > max(path.stat().st_mtime_ns for path in made_of):
            return report
    from oldham.report import write_report

    return write_report(run_dir)
