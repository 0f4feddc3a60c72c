"""`oldham judge`: judge what a run has stored, without generating anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oldham.cli.console import err, out
from oldham.cli.server import CapUsd, Concurrency, KeyEnv, Tokenizer, Url, UsdRead, UsdWritten, server_of


def judge(
    run_dir: Annotated[str, typer.Argument(metavar="RUN", help="The directory of a run, made by a study or imported.")],
    names: Annotated[
        list[str] | None, typer.Option("--with", help="A judge: NAME, or NAME@MODEL. May be given again.")
    ] = None,
    dropped: Annotated[
        str | None,
        typer.Option("--drop", help="Take an added judge out of the run; its verdicts stay in the ledger."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model of judges that name none.")] = None,
    url: Url = None,
    key_env: KeyEnv = None,
    tokenizer: Tokenizer = None,
    concurrency: Concurrency = None,
    usd_read: UsdRead = None,
    usd_written: UsdWritten = None,
    cap_usd: CapUsd = None,
    first: Annotated[
        bool, typer.Option("--first/--last", help="Let the new verdicts count before the others.")
    ] = False,
    preflight: Annotated[
        bool, typer.Option("--preflight/--no-preflight", help="Check each judge on cases whose outcome is known.")
    ] = True,
) -> None:
    """Judge every stored generation of a run with more judges; verdicts that are there are kept."""
    from oldham.cli.progress import RichProgress
    from oldham.core.errors import ConfigError
    from oldham.interop.rejudge import drop
    from oldham.interop.rejudge import judge as judge_run
    from oldham.studies.judging import JudgeSpec, with_model
    from oldham.studies.rejudge_session import JudgeOptions

    if dropped is not None:
        if names:
            raise ConfigError("Both --with and --drop are given.", remedy="Give one after the other.")
        drop(Path(run_dir), dropped)
        err.print(f"{run_dir}: `{dropped}` is taken out; its verdicts stay in the ledger.", soft_wrap=True)
        out.print(f"Next: oldham report {run_dir}", soft_wrap=True)
        return
    server = server_of(
        "oldham judge",
        url=url,
        key_env=key_env,
        tokenizer=tokenizer,
        concurrency=concurrency,
        usd_per_million_read=usd_read,
        usd_per_million_written=usd_written,
        cap_usd=cap_usd,
    )
    options = JudgeOptions(server=server, first=first, preflight=preflight)
    specs = [with_model(JudgeSpec.parse(name), model) for name in names or ()]
    with RichProgress() as progress:
        done = judge_run(Path(run_dir), specs, options=options, progress=progress)
    err.print(done.summary(), soft_wrap=True)
    out.print(f"Next: oldham report {run_dir}", soft_wrap=True)
