"""The command line: `oldham COMMAND`. One small file a command, and no logic."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Final

import typer

from oldham._version import __version__
from oldham.cli import (
    attack,
    attribute,
    compare,
    couple,
    doctor,
    dose,
    exporting,
    importing,
    judges,
    judging,
    listing,
    plan,
    power,
    report,
    run,
    show,
    trace,
    train,
)
from oldham.cli.console import err, out
from oldham.core.errors import OldhamError

app = typer.Typer(
    name="oldham",
    help="Measure what making a language model reason better does to its safety.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # what is not an OldhamError is a bug, and a bug report needs the plain traceback
    rich_markup_mode=None,
)
app.command("plan")(plan.plan)
app.command("power")(power.power)
app.command("run")(run.run)
app.command("show")(show.show)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("couple")(couple.couple)
app.command("dose")(dose.dose)
app.command("judge")(judging.judge)
app.command("trace")(trace.trace)
app.command("attack")(attack.attack)
app.command("import")(importing.import_)
app.command("export")(exporting.export)
app.command("list")(listing.list_kind)
app.command("doctor")(doctor.doctor)
app.add_typer(train.app, name="train")
app.add_typer(judges.app, name="judges")
app.add_typer(attribute.app, name="attribute")


_TERMINATED: Final = 128 + signal.SIGTERM


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"oldham {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Measure what making a language model reason better does to its safety."""


def main() -> None:
    """Run the command line; a mistake of the user's is one sentence on standard error and an exit code.

    SIGTERM stops a command as Ctrl-C does, with the exit code 143.
    """
    told: list[int] = []

    def stop(number: int, _: object) -> None:
        told.append(number)
        raise KeyboardInterrupt  # what keeps finished work on Ctrl-C keeps it here too

    before = signal.signal(signal.SIGTERM, stop)
    try:
        app()
    except OldhamError as error:
        err.print(f"oldham: {error}", style="bold red" if err.is_terminal else "", soft_wrap=True)
        sys.exit(_TERMINATED if told else error.exit_code)
    except SystemExit:
        if told:
            sys.exit(_TERMINATED)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
