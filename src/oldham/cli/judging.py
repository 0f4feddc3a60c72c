"""`oldham judge`: judge what a run has stored, without generating anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oldham.cli.console import err, out

if TYPE_CHECKING:
    from oldham.backends.base import ServerOptions


def judge(
    run_dir: Annotated[str, typer.Argument(metavar="RUN", help="The directory of a run, made by a study or imported.")],
    names: Annotated[list[str], typer.Option("--with", help="A judge: NAME, or NAME@MODEL. May be given again.")],
    model: Annotated[str | None, typer.Option("--model", help="The model of judges that name none.")] = None,
    url: Annotated[
        str | None, typer.Option("--server-url", help="Address of the server of the judges' models.")
    ] = None,
    key_env: Annotated[
        str | None, typer.Option("--key-env", help="Environment variable with the server's key.")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option("--tokenizer", help="Model whose tokenizer the server uses.")] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", help="Most requests at a time.")] = None,
    usd_read: Annotated[
        float | None, typer.Option("--usd-per-million-read", help="Price of a million prompt tokens.")
    ] = None,
    usd_written: Annotated[
        float | None, typer.Option("--usd-per-million-written", help="Price of a million generated tokens.")
    ] = None,
    cap_usd: Annotated[float | None, typer.Option("--cap-usd", help="Stop before spending more than this.")] = None,
    first: Annotated[
        bool, typer.Option("--first/--last", help="Let the new verdicts count before the others.")
    ] = False,
    preflight: Annotated[
        bool, typer.Option("--preflight/--no-preflight", help="Check each judge on cases whose outcome is known.")
    ] = True,
) -> None:
    """Judge every stored generation of a run with more judges; verdicts that are there are kept."""
    from oldham.cli.progress import RichProgress
    from oldham.interop.rejudge import judge as judge_run
    from oldham.studies.judging import JudgeSpec, with_model
    from oldham.studies.rejudge_session import JudgeOptions

    said = {
        "url": url,
        "key_env": key_env,
        "tokenizer": tokenizer,
        "concurrency": concurrency,
        "usd_per_million_read": usd_read,
        "usd_per_million_written": usd_written,
        "cap_usd": cap_usd,
    }
    options = JudgeOptions(server=_server(said), first=first, preflight=preflight)
    specs = [with_model(JudgeSpec.parse(name), model) for name in names]
    with RichProgress() as progress:
        done = judge_run(Path(run_dir), specs, options=options, progress=progress)
    err.print(done.summary(), soft_wrap=True)
    out.print(f"Next: oldham report {run_dir}", soft_wrap=True)


def _server(said: dict[str, str | int | float | None]) -> ServerOptions | None:
    """Return the server that the options describe; None where none was given."""
    from pydantic import ValidationError

    from oldham.backends.base import ServerOptions
    from oldham.core.errors import ConfigError

    given = {name: value for name, value in said.items() if value is not None}
    try:
        return ServerOptions.model_validate(given) if given else None
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise ConfigError(
            f"`--{name}` is wrong: {first['msg'].lower()}.", remedy="See: oldham judge --help."
        ) from error
