"""`oldham judge`, and judges that ask a model in the other commands, as a user gives them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parents[1] / "studies"))

import judge_double

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from command_line import Oldham

    StudyFile = Callable[..., Path]


@pytest.fixture(autouse=True)
def _judges() -> Iterator[None]:
    judge_double.Grading.reset()
    judge_double.register()
    yield
    judge_double.unregister()


def test_a_run_is_judged_again(oldham: Oldham, study_file: StudyFile) -> None:
    study_file()
    oldham("run", "study.yaml", "--no-report")
    said = oldham("judge", "runs/small", "--with", "refusal_rules", "--with", "echo_rubric", "--model", "scripted:echo")
    assert said.code == 0, said.err
    assert said.out == "Next: oldham report runs/small\n"
    assert "refusal_rules: 16 verdicts are new" in said.err
    assert "echo_rubric@scripted:echo: " in said.err
    assert "it agrees with `refusal` on " in said.err
    assert oldham("compare", "runs/small:direct", "runs/small", "--judge", "echo_rubric@scripted:echo").code == 0
    again = oldham("judge", "runs/small", "--with", "refusal_rules")
    assert "refusal_rules: 0 verdicts are new; 16 generations were judged before." in again.err
    assert "All 32 generations were in the ledger already" in oldham("run", "study.yaml", "--no-report").err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere", "--with", "numeric"), "There is no run here."),
        (("study.yaml", "--with", "numeric"), "This is a file, and a run is a directory."),
        (("runs/small",), "No judge is named."),
        (("runs/small", "--drop", "refusal"), "`refusal` is a judge of the study itself."),
        (("runs/small", "--drop", "refusal_rulez"), "This run has no judge `refusal_rulez`."),
        (("runs/small", "--with", "numeric", "--drop", "numeric"), "Both --with and --drop are given."),
        (("runs/small", "--with", "numerik"), "Did you mean `numeric`?"),
        (("runs/small", "--with", "secret_match"), "None of these judges can speak here"),
        (("runs/small", "--with", "echo_rubric"), "asks a model, and none is named"),
        (("runs/small", "--with", "numeric@scripted:echo"), "asks no model"),
        (("runs/small", "--with", "numeric", "--concurrency", "0"), "`--concurrency` is wrong"),
        (("runs/small", "--with", "numeric", "--usd-per-million-read", "-1"), "`--usd-per-million-read` is wrong"),
        (("runs/small", "--with", "echo_rubric@openai:m"), "--server-url"),
        (("runs/small", "--with", "echo_rubric@scripted:eco"), "Did you mean `echo`?"),
    ],
)
def test_a_mistake_is_one_line(oldham: Oldham, study_file: StudyFile, arguments: tuple[str, ...], says: str) -> None:
    study_file()
    oldham("run", "study.yaml", "--no-report")
    before = sorted(path.name for path in Path("runs/small").iterdir())
    said = oldham("judge", *arguments)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert said.err.startswith("oldham: ")
    assert said.err.count("\n") == 1
    assert sorted(path.name for path in Path("runs/small").iterdir()) == before


def test_a_plan_and_a_doctor_tell_of_judges_that_ask_a_model(oldham: Oldham, study_file: StudyFile) -> None:
    study_file(("benchmarks", 'judges: [rules, "echo_rubric@scripted:echo"]\nbenchmarks'))
    said = oldham("plan", "study.yaml")
    assert "Judges: rules, echo_rubric@scripted:echo." in said.out
    assert "To judge by `echo_rubric@scripted:echo`: up to 24 calls, retries aside; reads at most about " in said.out
    checked = oldham("doctor", "study.yaml")
    assert "ok  judges         `echo_rubric@scripted:echo` judges its 2 planted cases rightly." in checked.out
    ran = oldham("run", "study.yaml", "--no-report")
    assert "Judges that ask a model gave " in ran.err
    assert "To judge by `echo_rubric@scripted:echo`: nothing is left." in oldham("plan", "study.yaml").out


def test_a_judge_that_was_added_by_mistake_is_dropped(oldham: Oldham, study_file: StudyFile) -> None:
    study_file()
    oldham("run", "study.yaml", "--no-report")
    before = Path("runs/small/observations.parquet").read_bytes()
    oldham("judge", "runs/small", "--with", "refusal_keywords")
    assert Path("runs/small/observations.parquet").read_bytes() != before
    said = oldham("judge", "runs/small", "--drop", "refusal_keywords")
    assert said.code == 0, said.err
    assert Path("runs/small/observations.parquet").read_bytes() == before
    assert Path("runs/small/judges.json").read_text() == "[]"
    assert "refusal_keywords" not in Path("runs/small/manifest.json").read_text().split('"runs"')[0]
    again = oldham("judge", "runs/small", "--with", "refusal_keywords")
    assert "refusal_keywords: 0 verdicts are new; 16 generations were judged before." in again.err


def test_a_model_without_an_address_is_told_by_plan_and_run(oldham: Oldham, study_file: StudyFile) -> None:
    study_file(("benchmarks", 'judges: [rules, "echo_rubric@openai:m"]\nbenchmarks'))
    for command in ("plan", "run"):
        said = oldham(command, "study.yaml")
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("oldham: study.yaml:7: The model `m` has no server address. Write openai:m@http")
        assert "--server-url" in said.err
    assert not Path("runs").exists()
    study_file(("scripted:mixed", "openai:m"))
    assert oldham("plan", "study.yaml").err.startswith("oldham: study.yaml:3: The model `m` has no server address.")


def test_a_run_says_which_replies_could_not_be_read(oldham: Oldham, study_file: StudyFile) -> None:
    study_file(("benchmarks", 'judges: [rules, "echo_rubric@scripted:judge"]\nbenchmarks'))
    said = oldham("run", "study.yaml", "--no-report", "--no-preflight")
    assert re.search(
        r"^Warning: `echo_rubric@scripted:judge`: (\d+) of \1 replies could not be read \(100%\)", said.err, re.M
    )
    assert re.search(r"gave \d+ verdicts, \d+ of them without asking their model", said.err)
