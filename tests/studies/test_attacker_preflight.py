"""An attacker is asked a harmless question before the first batch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fake_backend import FakeBackend

from oldham.core.errors import ModelError
from oldham.core.ledger import Ledger
from oldham.core.records import StopReason
from oldham.core.thinking import Span
from oldham.studies.preflight import check_study
from oldham.studies.run import run
from study_writer import SCRIPTED, study_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from oldham.backends.base import Request
    from oldham.core.records import Generation

    StudyFile = Callable[..., Path]

STUDY = f"""\
{SCRIPTED}\
attackers:
  writer: {{model: "fake:writer", tokens: 77, temperature: 0.5}}
  unused: {{model: "fake:absent_minded"}}
attacks: [none, {{attack: pair, attacker: writer}}]
benchmarks: [harmful:2]
"""


@pytest.fixture
def attacked(tmp_path: Path, fake: type[FakeBackend], monkeypatch: pytest.MonkeyPatch) -> StudyFile:
    monkeypatch.chdir(tmp_path)
    return study_writer(tmp_path, STUDY)


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The harmless questions that attackers were asked."""
    asked: list[Request] = []
    generate = FakeBackend.generate

    def noted(self: FakeBackend, requests: Sequence[Request]) -> list[Generation]:
        asked.extend(request for request in requests if request.trial.benchmark == "preflight")
        return generate(self, requests)

    monkeypatch.setattr(FakeBackend, "generate", noted)
    return asked


def test_it_is_asked_once_as_attacks_ask_it(attacked: StudyFile, questions: list[Request]) -> None:
    result = run(attacked())
    [question] = questions
    assert (question.plan.answer_tokens, question.sampling.temperature, question.to) == (77, 0.5, "writer")
    manifest = json.loads((result.run_dir / "manifest.json").read_text())
    subjects = {checked["subject"]: checked["findings"][0]["severity"] for checked in manifest["preflight"]}
    assert subjects["fake:writer as attacker writer"] == "ok"
    run(attacked(("harmful:2", "harmful:3")))
    assert len(questions) == 1, "what was found is kept"
    run(attacked(("tokens: 77", "tokens: 78")))
    assert len(questions) == 2, "another limit may leave it without an answer"


def test_an_attacker_that_is_not_used_is_not_asked(attacked: StudyFile, questions: list[Request]) -> None:
    run(attacked(("[none, {attack: pair, attacker: writer}]", "[none]")))
    assert not questions


def test_it_is_not_asked_where_nobody_wants_checks(attacked: StudyFile, questions: list[Request]) -> None:
    assert run(attacked(), preflight=False).n_generated == 4
    assert not questions


def empty(row: Generation) -> Generation:
    return row.model_copy(update={"output_text": " ", "answer": Span(0, 1)})


def failed(row: Generation) -> Generation:
    return row.model_copy(update={"stop": StopReason.ERROR, "error": "out of memory", "answer": None})


def dead(row: Generation) -> Generation:
    raise ModelError("The server cannot be reached.", remedy="Start it.")


@pytest.mark.parametrize(
    ("becomes", "says"),
    [
        (empty, "The attacker `writer` answered a harmless question with nothing, in 77 tokens."),
        (failed, "The attacker `writer` failed at a harmless question (out of memory)."),
        (dead, "The attacker `writer` cannot be asked: The server cannot be reached."),
    ],
)
def test_an_attacker_that_does_not_answer_stops_the_run(
    attacked: StudyFile, monkeypatch: pytest.MonkeyPatch, becomes: Callable[[Generation], Generation], says: str
) -> None:
    generate = FakeBackend.generate
    monkeypatch.setattr(FakeBackend, "generate", lambda self, some: [becomes(row) for row in generate(self, some)])
    with pytest.raises(ModelError) as caught:
        run(attacked())
    assert says in caught.value.message
    with Ledger(attacked().parent / "runs" / "small" / "ledger.sqlite", read_only=True) as ledger:
        assert not ledger.generation_ids()


def test_the_doctor_asks_it_too(attacked: StudyFile, questions: list[Request]) -> None:
    checked = {one.subject: one for one in check_study(attacked())}
    assert [finding.severity for finding in checked["fake:writer as attacker writer"].findings] == ["ok"]
    assert len(questions) == 1
