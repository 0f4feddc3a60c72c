"""`oldham power`: what a design can show, and what it needs, from a guess or from a pilot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oldham.cli.console import err, out

if TYPE_CHECKING:
    from oldham.coupling.gates import Gate, Rule
    from oldham.coupling.pilot import Pilot, PlanOptions


def power(
    pilot: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A pilot: RUN, RUN:BASELINE, or a parquet or CSV file.")
    ] = None,
    other: Annotated[
        str | None, typer.Argument(metavar="[OTHER]", help="What is compared with it; by default the same run.")
    ] = None,
    arm: Annotated[str | None, typer.Option("--arm", help="Only this arm of the pilot.")] = None,
    items: Annotated[int | None, typer.Option("--items", help="Items of the design.")] = None,
    draws: Annotated[int | None, typer.Option("--draws", help="Draws of each item in each arm.")] = None,
    effect: Annotated[
        float | None, typer.Option("--effect", help="The change of a score that is to be found, such as 0.05.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", help="Largest loss that still counts as none; 0.05 if not said.")
    ] = None,
    gate: Annotated[
        str | None, typer.Option("--gate", help="A gate file: also say how many items settle it, claim by claim.")
    ] = None,
    chance: Annotated[float, typer.Option("--power", help="Chance to show what is to be shown.")] = 0.8,
    flip_rate: Annotated[
        float | None,
        typer.Option("--flip-rate", help="Share of verdicts that differ from arm to arm; 0.1 if not said."),
    ] = None,
    sampling_share: Annotated[
        float | None, typer.Option("--sampling-share", help="Share of those flips that sampling alone makes.")
    ] = None,
    cluster_size: Annotated[float | None, typer.Option("--cluster-size", help="Mean items a cluster.")] = None,
    intraclass: Annotated[
        float | None, typer.Option("--intraclass", help="Correlation of the changes of a cluster's items.")
    ] = None,
    item_cost: Annotated[
        float, typer.Option("--item-cost", help="What a new item costs beside its generations, in generations.")
    ] = 0.0,
    judge: Annotated[
        str | None, typer.Option("--judge", help="The judge of the pilot whose verdicts count; by default the first.")
    ] = None,
    json_file: Annotated[str | None, typer.Option("--json", help="Also write everything to this file.")] = None,
) -> None:
    """Say how small a change a design can find, and how many items or draws it takes to settle a claim."""
    from oldham.core.errors import ConfigError
    from oldham.coupling.design_plan import Design, plan_design
    from oldham.coupling.gate_plan import gate_from_pilot, gate_text, plan_gate
    from oldham.coupling.pilot import PlanOptions
    from oldham.coupling.planning_text import design_text, pilot_text, plan_json

    asked = _gate(gate, margin)
    wanted = PlanOptions(chance, asked.margin, item_cost, effect, items, draws, _of_reasoning(asked))
    guesses = {
        "flip_rate": flip_rate,
        "sampling_share": sampling_share,
        "cluster_size": cluster_size,
        "intraclass": intraclass,
    }
    given = {name: value for name, value in guesses.items() if value is not None}
    if pilot is None:
        if items is None and effect is None and gate is None:
            raise ConfigError(
                "There is nothing to plan.", remedy="Give --items, --effect, --gate, or the run directory of a pilot."
            )
        if arm is not None or judge is not None:
            raise ConfigError("--arm and --judge belong to a pilot.", remedy="Give its run directory.")
        design = Design(**given)
        found = plan_design(design, wanted)
        takes = plan_gate(asked, design, wanted) if gate else None
        text, whole = design_text(found), plan_json(found, takes)
    else:
        if given:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ConfigError(f"A pilot says itself what {flags} would.", remedy="Leave it out.")
        planned = _from_pilot(pilot, other or pilot, arm, judge, wanted)
        takes = gate_from_pilot(asked, planned) if gate else None
        text, whole = pilot_text(planned), plan_json(planned, takes)
    if takes is not None:
        text = f"{text}\n\n{gate_text(takes)}"
    out.print(text, soft_wrap=True)
    if json_file is not None:
        try:
            Path(json_file).write_text(whole + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{json_file} cannot be written ({error.strerror}).", remedy="Name another file."
            ) from error
        err.print(f"Written: {json_file}", soft_wrap=True)


def _gate(path: str | None, margin: float | None) -> Gate:
    """Read the gate, or make the default one with a margin."""
    from oldham.core.errors import ConfigError
    from oldham.coupling.gates import Gate, read_gate

    if path is not None:
        if margin is not None:
            raise ConfigError("A gate file says itself what --margin would.", remedy="Leave one of them out.")
        return read_gate(Path(path))
    if margin is None:
        return Gate()
    if not 0 < margin < 1:
        raise ConfigError(f"`margin` is {margin}.", remedy="Give a change of a score between 0 and 1; 0.05 is usual.")
    return Gate(margin=margin)


def _of_reasoning(gate: Gate) -> Rule:
    return "non_inferior" if gate.reasoning == "non_inferior" else "superior"


def _from_pilot(pilot: str, other: str, arm: str | None, judge: str | None, wanted: PlanOptions) -> Pilot:
    from oldham.coupling import CouplingOptions
    from oldham.coupling.pilot import plan_from_pilot
    from oldham.coupling.stopped import read_stopped
    from oldham.studies.observations import comparable

    both = comparable(pilot, other)
    options = CouplingOptions(deterministic=both.deterministic, judge=judge, margin=wanted.margin)
    stopped = read_stopped(both.manifest)
    return plan_from_pilot(
        both.observations, baseline=both.baseline, wanted=wanted, arm=arm, options=options, stopped=stopped
    )
