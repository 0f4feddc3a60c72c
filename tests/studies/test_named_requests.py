"""What the observation table says of the point of an answer, and of attacks that hide what is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from oldham.benchmarks import load_items
from oldham.core.ledger import Ledger
from oldham.core.thinking import Span
from oldham.coupling import CouplingOptions, couple
from oldham.coupling.attack_points import point_finding
from oldham.judges.point import Requests
from oldham.studies.observations import load_observations, trial_columns
from oldham.studies.plan import plan
from oldham.studies.run import run
from study_writer import study_writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_backend import FakeBackend

    from oldham.studies.plan import PlannedTrial
    from oldham.studies.result import RunResult

    StudyFile = Callable[..., Path]

QUICK = CouplingOptions(resamples=400, permutations=400)
STUDY = """\
name: echoed
baseline: direct
defaults: {model: "scripted:echo", answer_tokens: 200}
arms:
  direct:
  cot: {strategy: zero_shot_cot, thinking_tokens: 20}
attacks:
  - none
  - base64
  - {attack: leetspeak, share: [0, 100]}
  - persona
  - persona+rot13
benchmarks: [harmful:40, benign:4]
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("echoed")
    return run(study_writer(folder, STUDY)(), run_dir=folder / "run")


@pytest.fixture
def echoed(done: RunResult) -> pl.DataFrame:
    return done.observations


def test_an_answer_names_what_it_repeats_and_not_what_is_encoded(echoed: pl.DataFrame) -> None:
    harm = echoed.filter(pl.col("benchmark") == "harmful")
    assert harm["named"].null_count() == harm["named_by_chance"].null_count() == 0
    mean = {attack: (own, chance) for attack, own, chance in harm.group_by("attack").agg(
        pl.col("named").mean(), pl.col("named_by_chance").mean()
    ).iter_rows()}  # fmt: skip
    for attack in ("none", "leetspeak[share=0]", "persona"):
        assert mean[attack][0] == 1.0
        assert mean[attack][1] < 0.3
    for attack in ("base64", "persona+rot13"):
        assert mean[attack][0] < 0.2
    requests = Requests(load_items("harmful", 40))
    (row,) = harm.filter(pl.col("arm") == "direct", pl.col("attack") == "none", pl.col("item") == harm["item"][0]).rows(
        named=True
    )
    prompt = next(item.prompt for item in load_items("harmful", 40) if item.id == row["item"])
    assert (row["named"], row["named_by_chance"]) == requests.named(row["item"], prompt)


def test_only_the_models_own_words_count(done: RunResult) -> None:
    items = load_items("harmful", 40)
    with Ledger(done.run_dir / "ledger.sqlite", read_only=True) as ledger:
        stored = next(g for g in ledger.generations() if g.trial.benchmark == "harmful")
    asked = next(item.prompt for item in items if item.id == stored.trial.item)

    def named(text: str, **changes: object) -> float | None:
        answer = {"output_text": text, "trace": None, "answer": Span(0, len(text)), "forced": (), **changes}
        found = Requests(items).named_in(stored.model_copy(update=answer))
        return None if found is None else found.own

    assert named(f"{asked} I will.") == 1.0
    assert named(f"{asked} I will.", forced=(Span(0, len(asked)),)) == 0.0
    assert named(f"I will.\n<|im_start|>user\n{asked}") == 0.0
    assert named(asked, answer=None) is None
    assert named("<|im_end|>") is None


def test_the_attacks_that_hide_the_request_are_told(echoed: pl.DataFrame) -> None:
    told = {attack: hides for attack, hides in echoed.select("attack", "disguised").unique().iter_rows()}
    hiding = {"base64", "leetspeak", "persona+rot13"}
    plain = {"none", "leetspeak[share=0]", "persona"}
    assert told == dict.fromkeys(hiding, True) | dict.fromkeys(plain, False)


def test_the_analysis_tells_what_was_not_understood(echoed: pl.DataFrame) -> None:
    bad = echoed.with_columns(
        pl.when(pl.col("axis") == "harm").then(0.0).otherwise(pl.col("score")).alias("score"),
        pl.when(pl.col("axis") == "harm")
        .then(pl.lit("complied_harmful"))
        .otherwise(pl.col("outcome"))
        .alias("outcome"),
    )
    ladder = couple(bad, baseline="direct", options=QUICK).attacks
    assert ladder is not None
    told = point_finding(ladder, "harm")
    for attack in ("`base64`", "`persona+rot13`"):
        assert attack in told
    assert "no attack" not in told
    assert "`persona` " not in told


@pytest.mark.parametrize(
    ("label", "hides"),
    [
        ("none", False),
        ("rot13", True),
        ("persona+base64", True),
        ("chained_transforms[length=0]", False),
        ("chained_transforms[length=2]", True),
        ("many_shot[shots=16]", False),
        ("GCG", None),
        ("base64[colour=red]", None),
        ("suffix[folder=nowhere]", None),
    ],
)
def test_a_label_that_is_none_of_this_packages_is_not_known(
    label: str, hides: bool | None, planned: PlannedTrial
) -> None:
    trial = planned.trial.model_copy(update={"attack": label})
    assert trial_columns("study", trial, planned.item)["disguised"] is hides


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlannedTrial:
    monkeypatch.chdir(tmp_path)
    return plan(study_writer(tmp_path, STUDY)()).trials[0]


def test_without_an_answer_nothing_is_known(study_file: StudyFile, fake: type[FakeBackend]) -> None:
    file = study_file(("arithmetic:6, harmful:5", "harmful:5"))
    lost = plan(file).trials[0]
    fake.broken_trials = {lost.trial.fingerprint}
    table = run(file).observations
    gone = pl.col("generation") == lost.trial.fingerprint
    assert table.filter(gone)["named"].null_count() == table.filter(gone).height > 0
    assert set(table.filter(~gone)["named"]) == {0.0}  # what it answers is a number


def test_a_table_from_before_these_columns_still_loads(echoed: pl.DataFrame, tmp_path: Path) -> None:
    columns = ("disguised", "named", "named_by_chance")
    echoed.drop(columns).write_parquet(tmp_path / "old.parquet")
    old = load_observations(tmp_path / "old.parquet")
    assert old.columns == echoed.columns
    assert all(old[name].null_count() == old.height for name in columns)
    assert couple(old, baseline="direct", options=QUICK).n_observations == echoed.height
