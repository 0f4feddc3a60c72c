"""Small study files for tests: a text, what is replaced in it, and the directory it is written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def study_writer(folder: Path, text: str) -> Callable[..., Path]:
    """Return what writes `text` to `study.yaml` in a folder, with (old, new) replacements; each old one must occur."""

    def write(*replacements: tuple[str, str]) -> Path:
        replaced = text
        for old, new in replacements:
            assert old in replaced
            replaced = replaced.replace(old, new)
        path = folder / "study.yaml"
        path.write_text(replaced)
        return path

    return write
