from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from oldham.cli import main
from study_writer import study_writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STUDY = """\
name: small
baseline: direct
defaults: {model: "scripted:mixed"}
arms:
  direct:
  cot: {strategy: zero_shot_cot, thinking_tokens: 20}
benchmarks: [arithmetic:8, harmful:8]
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the small study, with replacements, and work in its directory."""
    monkeypatch.chdir(tmp_path)
    return study_writer(tmp_path, STUDY)


@pytest.fixture
def oldham(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Give a command in this process."""

    def command(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["oldham", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Said(int(left.value.code or 0), said.out, said.err)

    return command
