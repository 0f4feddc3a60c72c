"""Small study files for tests, what is replaced in them, and what watches their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oldham.studies.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCRIPTED: Final = """\
name: small
baseline: direct
defaults: {model: "scripted:mixed", answer_tokens: 30}
arms:
  direct:
"""
"""The head of a study whose model answers by rule."""

ATTACKED: Final = f"""\
{SCRIPTED}\
  cot: {{strategy: zero_shot_cot, thinking_tokens: 20}}
attackers:
  writer: {{model: "scripted:attacker", tokens: 200}}
"""
"""The same with a second arm, and an attacker."""


class Notes(Silent):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


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
