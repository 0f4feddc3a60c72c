"""The server that answers for a judge's model, as the options of a command describe it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oldham.backends.base import ServerOptions


def server_of(said: dict[str, str | int | float | None], *, command: str) -> ServerOptions | None:
    """Return the server that options describe.

    Args:
        said: Fields of `ServerOptions`; None for what was not given.
        command: The command, for messages.

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
        name = str(first["loc"][0] if first["loc"] else "server").replace("_", "-")
        reason = first["msg"].lower()
        raise ConfigError(f"`--{name}` is wrong: {reason}.", remedy=f"See: {command} --help.") from error
