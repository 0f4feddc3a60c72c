from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from oldham.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def own_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache and settings out of the tests; only the embedded model's own tests use the cache."""
    monkeypatch.delenv("OLDHAM_BATCH", raising=False)
    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv("OLDHAM_CACHE", str(tmp_path / "cache"))


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
