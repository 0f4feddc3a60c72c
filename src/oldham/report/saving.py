"""A figure in a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oldham.core.errors import OldhamError

if TYPE_CHECKING:
    from pathlib import Path


def save_figure(figure: Any, path: Path) -> None:
    """Draw a figure into a file; a page asks nothing of any other machine.

    Args:
        figure: An altair chart.
        path: It ends in .png, .svg or .html.

    Raises:
        OldhamError: The file cannot be written.
    """
    try:
        if path.suffix == ".html":
            figure.save(str(path), inline=True)
        else:
            figure.properties(background="white").save(str(path), scale_factor=2)
    except OSError as error:
        raise OldhamError(f"The figure cannot be written ({error.strerror}).", place=str(path)) from error
