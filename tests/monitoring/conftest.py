from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache and settings out of the tests."""
    monkeypatch.delenv("OLDHAM_BATCH", raising=False)
    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv("OLDHAM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def started_run(tmp_path: Path) -> Callable[..., Path]:
    """A run directory as training leaves it before its first step."""

    def start(where: str = "run", *, identity: str = "settings", data: str = "{}\n", **settings: Any) -> Path:
        run_dir = tmp_path / where
        run_dir.mkdir(parents=True, exist_ok=True)
        said = {"name": "tiny", "steps": 6, "batch_size": 2, "accumulate": 1, **settings}
        (run_dir / "settings.json").write_text(json.dumps({"identity": identity, "settings": said}))
        (run_dir / "data.jsonl").write_text(data)
        return run_dir

    return start
