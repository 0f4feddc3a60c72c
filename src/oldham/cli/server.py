"""The server that answers for a judge's model, as the options of a command describe it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from oldham.backends.base import ServerOptions

Url = Annotated[str | None, typer.Option("--server-url", help="Address of the server of the judge's model.")]
KeyEnv = Annotated[str | None, typer.Option("--key-env", help="Environment variable with the server's key.")]
Tokenizer = Annotated[str | None, typer.Option("--tokenizer", help="Model whose tokenizer the server uses.")]
Concurrency = Annotated[int | None, typer.Option("--concurrency", help="Most requests at a time.")]
UsdRead = Annotated[float | None, typer.Option("--usd-per-million-read", help="Price of a million prompt tokens.")]
UsdWritten = Annotated[
    float | None, typer.Option("--usd-per-million-written", help="Price of a million generated tokens.")
]
CapUsd = Annotated[float | None, typer.Option("--cap-usd", help="Stop before spending more than this.")]


def server_of(command: str, **said: str | float | None) -> ServerOptions | None:
    """Return the server that options describe.

    Args:
        command: The command, for messages.
        **said: Fields of `ServerOptions`; None for what was not given.

    Returns:
        The server; None where nothing was given.

    Raises:
        ConfigError: An option is out of its range.
    """
    from pydantic import ValidationError

    from oldham.backends.base import ServerOptions
    from oldham.core.errors import ConfigError

    given = {name: value for name, value in said.items() if value is not None}
    try:
        return ServerOptions.model_validate(given) if given else None
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        reason = first["msg"].lower()
        raise ConfigError(f"`--{option}` is wrong: {reason}.", remedy=f"See: {command} --help.") from error
