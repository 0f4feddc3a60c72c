from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import pytest


class Said(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


Oldham: TypeAlias = Callable[..., Said]


@pytest.fixture
def oldham(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Oldham:
    """Give a command in this process."""
    from oldham.cli import main

    def command(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["oldham", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Said(int(left.value.code or 0), said.out, said.err)

    return command
