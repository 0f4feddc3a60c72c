from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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


@pytest.fixture
def study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the small study, with replacements, and work in its directory."""
    monkeypatch.chdir(tmp_path)
    return study_writer(tmp_path, STUDY)
