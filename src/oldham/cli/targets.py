"""Files named on the command line: checked before the work, written after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oldham.core.errors import ConfigError, OldhamError

if TYPE_CHECKING:
    from pathlib import Path

_FORMATS: Final = (".png", ".svg", ".html")


def plot_target(path: Path) -> Path:
    """Check that a figure can be written.

    Args:
        path: The file.

    Returns:
        The same path.

    Raises:
        ConfigError: It ends in no known format, or its folder is not there.
    """
    if path.suffix not in _FORMATS:
        raise ConfigError(
            f"`{path.name}` says no format that can be drawn.", remedy=f"Let its name end in {', '.join(_FORMATS)}."
        )
    if not path.parent.is_dir():
        raise ConfigError("The folder of the figure is not there.", place=str(path), remedy="Make it first.")
    return path


def written_target(path: Path) -> Path:
    """Check that a file can be written.

    Args:
        path: The file.

    Returns:
        The same path.

    Raises:
        ConfigError: Its folder is not there, or it is a folder.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(
            "Nothing can be written here.", place=str(path), remedy="Name a file in a folder that exists."
        )
    return path


def save_text(text: str, path: Path) -> None:
    """Write a text into a file.

    Args:
        text: The text.
        path: As `written_target` returns it.

    Raises:
        OldhamError: The file cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OldhamError(f"The file cannot be written ({error.strerror}).", place=str(path)) from error
