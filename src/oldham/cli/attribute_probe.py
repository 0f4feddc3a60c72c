"""`oldham attribute probe`: can refusals be told from activations before they are written?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oldham.cli.attribute_watch import bars
from oldham.cli.console import out


def probe(
    run_dir: Annotated[str, typer.Argument(metavar="RUN", help="The directory of a run.")],
    arm: Annotated[str, typer.Option("--arm", help="The arm that is probed.")],
    axis: Annotated[
        list[str] | None, typer.Option("--axis", help="harm (by default) or overrefusal; repeatable.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Whose verdicts are the labels; by default the first judge's.")
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="What is held out together: cluster of prompts, or category.")
    ] = "cluster",
    layers: Annotated[
        str, typer.Option("--layers", help="all, or such as 0,4,8-12; by default eight, from the first to the last.")
    ] = "",
    site: Annotated[
        list[str] | None,
        typer.Option("--site", help="resid_pre, resid_post, attn_out, mlp_out or head_out; repeatable."),
    ] = None,
    position: Annotated[
        list[str] | None,
        typer.Option("--position", help="prompt_end, trace:K, trace_end, answer_start or answer:K; repeatable."),
    ] = None,
    shuffles: Annotated[int, typer.Option("--shuffles", min=0, help="Shuffled labels behind the null.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides folds, shuffles and resamples.")] = 0,
    activations: Annotated[
        str | None, typer.Option("--activations", help="A folder of activations; by default the arm's own, made here.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Another model that reads the same text.")] = None,
    out_dir: Annotated[
        str | None, typer.Option("--out", help="The folder; by default RUN/attributions/probe/ARM.")
    ] = None,
) -> None:
    """Fit and test probes of refusal by layer and position, with shuffled labels and a control that sees words only."""
    from oldham.attribution.on_runs import probe_arm, wanted_of
    from oldham.attribution.probe import ProbeOptions

    folder = Path(out_dir) if out_dir else Path(run_dir) / "attributions" / "probe" / arm
    options = ProbeOptions(shuffles=shuffles, positions=tuple(position or ()), seed=seed)
    with bars() as watch:
        result = probe_arm(
            Path(run_dir),
            arm,
            Path(activations) if activations else None,
            axes=axis or ("harm",),
            judge=judge,
            by=by,
            wanted=wanted_of(layers, site, model=model, watch=watch),
            options=options,
        )
    result.save(folder)
    out.print(result.summary(), soft_wrap=True)
    out.print(f"Written: {folder}", soft_wrap=True)
