from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache and settings out of the tests; only the embedded model's own tests use the cache."""
    monkeypatch.delenv("OLDHAM_BATCH", raising=False)
    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv("OLDHAM_CACHE", str(tmp_path / "cache"))
