from __future__ import annotations

from typing import TYPE_CHECKING

import fake_backend
import judge_double
import pytest
from fake_backend import FakeBackend
from judge_double import Grading

from study_writer import study_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STUDY = """\
name: small
baseline: direct
defaults: {model: "fake:one", answer_tokens: 10}
arms:
  direct:
  cot: {strategy: zero_shot_cot, thinking_tokens: 20}
benchmarks: [arithmetic:6, harmful:5]
"""


@pytest.fixture
def fake() -> Iterator[type[FakeBackend]]:
    FakeBackend.reset()
    fake_backend.register()
    yield FakeBackend
    fake_backend.unregister()


@pytest.fixture
def study_file(tmp_path: Path, fake: type[FakeBackend], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the small study, with replacements, and work in its directory."""
    monkeypatch.chdir(tmp_path)
    return study_writer(tmp_path, STUDY)


JUDGED = """\
name: judged
baseline: direct
defaults: {model: "grading:arm", answer_tokens: 20}
arms:
  direct:
  cot: {strategy: zero_shot_cot, thinking_tokens: 20}
judges: [rules, "echo_rubric@grading:judge"]
benchmarks: [arithmetic:4, harmful:12]
"""


@pytest.fixture
def grading() -> Iterator[type[Grading]]:
    """Judges that ask a model, and that model."""
    Grading.reset()
    judge_double.register()
    yield Grading
    judge_double.unregister()


@pytest.fixture
def judged_study(tmp_path: Path, grading: type[Grading], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the small study with a judge that asks a model, with replacements, and work in its directory."""
    monkeypatch.chdir(tmp_path)
    return study_writer(tmp_path, JUDGED)
