from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from fake_backend import FakeBackend

from oldham.core.errors import ConfigError, DataError, ModelError, RunInterruptedError
from oldham.core.ledger import Ledger
from oldham.core.observations import as_observations
from oldham.studies.judging import JudgeSpec
from oldham.studies.plan import plan
from oldham.studies.reading import Tally
from oldham.studies.rejudge import drop_from_study, rejudge_study
from oldham.studies.rejudge_session import JudgeOptions, Rejudged
from oldham.studies.rounds import Rounds, Schedule
from oldham.studies.run import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Set

    from judge_double import Grading

    from oldham.core.rounds import Look

    StudyFile = Callable[..., Path]

LABEL = "echo_rubric@grading:judge"
OFFLINE = ('[rules, "echo_rubric@grading:judge"]', "[rules]")


@pytest.fixture
def made(judged_study: StudyFile) -> Path:
    """A finished run with offline judges."""
    return run(judged_study(OFFLINE)).run_dir


def again(run_dir: Path, *judges: str, **options: Any) -> Any:
    return rejudge_study(run_dir, [JudgeSpec.parse(name) for name in judges], options=JudgeOptions(**options))


def rows(run_dir: Path) -> set[str]:
    with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
        return {v.model_dump_json() for v in ledger.verdicts()}


def manifest(run_dir: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((run_dir / "manifest.json").read_text())
    return read


def agreed(table: pl.DataFrame, part: dict[str, str], other: str) -> str:
    """How many of the texts that both judged are good to both or bad to both, counted one by one."""
    said: dict[tuple[Any, ...], dict[str, bool]] = {}
    for row in table.iter_rows(named=True):
        if row["score"] is not None and all(row[name] == value for name, value in part.items()):
            said.setdefault((row["arm"], row["item"], row["draw"]), {})[row["judge"]] = row["score"] >= 0.5
    both = [names for names in said.values() if {LABEL, other} <= names.keys()]
    return f"{sum(names[LABEL] == names[other] for names in both)} of {len(both)}"


class AtOnce:
    """An umpire that has seen enough after the first round."""

    def check(self, axes: Sequence[str]) -> None: ...

    def settle(self, rows: pl.DataFrame, *, look: Look, planned: Any, running: Set[Any]) -> Set[Any]:
        return running

    def facts(self) -> dict[str, Any]:
        return {}

    def told(self) -> Sequence[str]:
        return ()


def test_a_run_that_stopped_by_itself_lacks_nothing_after_it_is_judged_again(judged_study: StudyFile) -> None:
    study = judged_study(OFFLINE)
    part = run(study, rounds=Rounds(AtOnce(), first=2))
    asked = part.observations.filter(pl.col("span") == "answer").height
    assert asked < sum(p.items for p in Schedule(plan(study)).planned.values()) * 2, "the study has more"
    table = again(part.run_dir, LABEL).observations
    assert table.filter(pl.col("judge") != LABEL).equals(part.observations)
    assert table.filter(pl.col("judge") == LABEL, pl.col("span") == "answer").height == asked // 2, "of both axes one"
    assert manifest(part.run_dir)["sequential"]
    drop_from_study(part.run_dir, LABEL)
    assert pl.read_parquet(part.run_dir / "observations.parquet").equals(part.observations)


def test_a_new_judge_reads_what_is_stored_and_nothing_is_generated(made: Path, grading: type[Grading]) -> None:
    before, frame = rows(made), pl.read_parquet(made / "observations.parquet")
    grading.reset()
    done = again(made, LABEL, "secret_match")
    assert {model for _, model in grading.events} == {"grading:judge"}
    assert before < rows(made)
    table = pl.read_parquet(made / "observations.parquet")
    assert table.equals(done.observations)
    assert table.filter(pl.col("judge") != LABEL).equals(frame)
    mine = table.filter(pl.col("judge") == LABEL)
    assert mine.filter(pl.col("span") == "answer").height == 24
    assert manifest(made)["judges"]["harmful"].keys() >= {"refusal", LABEL}
    assert list(manifest(made)["judges"]["harmful"])[-1] == LABEL
    assert manifest(made)["judge_facts"][LABEL]["model"] == "grading:judge"
    assert manifest(made)["runs"][-1]["judged"] == {LABEL: mine.filter(pl.col("outcome").is_not_null()).height}
    said = done.summary()
    assert f"{LABEL}: {mine.height} verdicts are new; 0 generations were judged before" in said
    assert "replies that could not be read" in said
    answers, traces = ({"benchmark": "harmful", "span": span} for span in ("answer", "trace"))
    assert f"On good or bad it agrees with `refusal` on {agreed(table, answers, 'refusal')} answers of harmful" in said
    assert f"; with `trace_stages` on {agreed(table, traces, 'trace_stages')} traces of harmful" in said
    assert "`secret_match` cannot speak on any axis of this run." in said


def test_what_is_judged_is_not_judged_again(made: Path, grading: type[Grading]) -> None:
    first = again(made, LABEL)
    stored, asked = rows(made), len(grading.asked)
    second = again(made, LABEL)
    assert rows(made) == stored
    assert len(grading.asked) == asked
    assert (second.tallies[0].new, second.tallies[0].there) == (0, 24)
    assert second.observations.equals(first.observations)


def test_the_studys_model_need_not_be_there(judged_study: StudyFile, fake: type[FakeBackend]) -> None:
    made = run(judged_study(OFFLINE, ("grading:arm", "fake:one"))).run_dir
    study = made / "study.yaml"
    study.write_text(study.read_text().replace("fake:one", "fake:absent"))
    told = (made / "manifest.json").read_text()
    (made / "manifest.json").write_text(told.replace('"fake:one"', '"fake:absent"'))
    done = again(made, LABEL)
    assert done.observations.filter(pl.col("judge") == LABEL).height > 0
    assert fake.loads == ["fake:one"]


def test_a_judge_that_is_gone_keeps_its_column(judged_study: StudyFile, grading: type[Grading]) -> None:
    made = run(judged_study(("grading:arm", "scripted:mixed"))).run_dir
    before = pl.read_parquet(made / "observations.parquet")
    grading.gone = True
    done = again(made, "refusal_rules")
    assert done.observations.filter(pl.col("judge") != "refusal_rules").equals(before)
    with pytest.raises(ModelError, match="no such model"):
        again(made, LABEL)


def test_a_later_run_of_the_study_keeps_the_judge_and_judges_new_rows_with_it(
    made: Path, judged_study: StudyFile, grading: type[Grading]
) -> None:
    added = again(made, LABEL)
    same = run(judged_study(OFFLINE))
    assert same.observations.equals(added.observations)
    more = run(judged_study(OFFLINE, ("harmful:12", "harmful:14")))
    mine = more.observations.filter((pl.col("judge") == LABEL) & (pl.col("span") == "answer"))
    assert mine.height == 28
    assert list(manifest(made)["judges"]["harmful"])[-1] == LABEL
    grading.gone = True
    with pytest.raises(ModelError, match=r"judges\.json"):
        run(judged_study(OFFLINE, ("grading:arm", "scripted:mixed")))


def test_a_judge_that_comes_first_counts_first(made: Path, judged_study: StudyFile) -> None:
    done = again(made, LABEL, first=True)
    assert list(manifest(made)["judges"]["harmful"])[0] == LABEL
    first = done.observations.filter((pl.col("benchmark") == "harmful") & (pl.col("span") == "answer")).unique(
        "generation", keep="first", maintain_order=True
    )
    assert set(first["judge"]) == {LABEL}
    assert again(made, LABEL).observations.equals(done.observations), "named again, it stays where it is"
    assert run(judged_study(OFFLINE)).observations.equals(done.observations)


def test_rows_of_votes_are_judged(judged_study: StudyFile) -> None:
    sampled = (
        "  cot: {strategy: zero_shot_cot, thinking_tokens: 20}",
        "  sc: {strategy: self_consistency, samples: 3, temperature: 1.0}",
    )
    made = run(judged_study(OFFLINE, sampled)).run_dir
    mine = again(made, LABEL).observations.filter((pl.col("judge") == LABEL) & (pl.col("span") == "answer"))
    assert dict(mine.group_by("arm").len().rows()) == {"direct": 12, "sc": 12, "sc/worst": 12, "sc/majority": 12}


def test_a_judge_that_cannot_speak_here_is_one_sentence(made: Path) -> None:
    with pytest.raises(ConfigError, match=r"None of these judges can speak here: the run is on harm, reasoning, and"):
        again(made, "secret_match")
    assert not (made / "judges.json").exists()
    with pytest.raises(DataError, match="no run here"):
        again(made.parent / "nowhere", "numeric")
    told = manifest(made)
    del told["arms"]["cot"]
    (made / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="do not fit together"):
        again(made, "refusal_rules")


def test_a_stopped_judge_goes_on_and_is_not_forgotten(
    made: Path, judged_study: StudyFile, grading: type[Grading]
) -> None:
    grading.stop_after = 10
    with pytest.raises(RunInterruptedError, match="give the same command again"):
        again(made, LABEL, preflight=False)
    kept = rows(made)
    grading.stop_after = None
    done = run(judged_study(OFFLINE), preflight=False)
    assert kept < rows(made)
    assert done.observations.filter((pl.col("judge") == LABEL) & (pl.col("span") == "answer")).height == 24
    assert again(made, LABEL).tallies[0].new == 0


def test_a_judges_model_that_dies_leaves_a_table_with_what_there_is(made: Path, grading: type[Grading]) -> None:
    grading.dead_after = 10
    with pytest.raises(ModelError, match="cannot be reached"):
        again(made, LABEL, preflight=False)
    mine = pl.read_parquet(made / "observations.parquet").filter(pl.col("judge") == LABEL)
    assert 0 < mine["score"].drop_nulls().len() < 36
    assert mine.filter(pl.col("span") == "answer").height == 24


def test_a_judge_that_cannot_judge_these_items_is_not_added(
    judged_study: StudyFile, fake: type[FakeBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    from oldham.judges.refusal import RefusalRulesJudge

    made = run(judged_study(OFFLINE, ("grading:arm", "fake:one"))).run_dir

    def fail(*_: object) -> None:
        raise DataError("The item's reference holds nothing.")

    monkeypatch.setattr(RefusalRulesJudge, "judge", fail)
    with pytest.raises(DataError, match="holds nothing"):
        again(made, "refusal_rules", preflight=False)
    monkeypatch.undo()
    assert not (made / "judges.json").exists()


@pytest.mark.thorough
def test_killed_judging_goes_on_to_the_rows_of_a_whole_one(tmp_path: Path) -> None:
    driver = Path(__file__).with_name("kill_judge_driver.py")
    done = subprocess.run([sys.executable, driver, tmp_path, "4"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    whole = rows(tmp_path / "whole")
    for index in range(4):
        assert rows(tmp_path / f"killed-{index}") == whole
        with Ledger(tmp_path / f"killed-{index}" / "ledger.sqlite", read_only=True) as ledger:
            ledger.check()
    total = len([row for row in whole if '"echo_rubric@' in row])
    assert len({n for n in counts if 0 < n < total}) >= 2, f"the kills fell into the judging, not {counts} of {total}"


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    FakeBackend.reset()


def test_a_refusal_in_part_of_a_benign_request_is_on_the_side_of_refusals() -> None:
    scores = {"a": (0.5, 0.5, 0.5, None), "b": (0.0, 0.0, 1.0, 1.0)}
    cells = [(judge, f"i{i}", score) for judge, said in scores.items() for i, score in enumerate(said)]
    table = as_observations(
        pl.DataFrame(
            {
                "arm": "cot",
                "benchmark": "benign",
                "axis": "overrefusal",
                "item": [item for _, item, _ in cells],
                "outcome": ["unjudged" if score is None else "partial" for *_, score in cells],
                "score": [score for *_, score in cells],
                "judge": [judge for judge, *_ in cells],
            }
        )
    )
    said = Rejudged(Path("r"), table, (Tally("b", 4),), usd=0.0, seconds=0.0).summary()
    assert "On good or bad it agrees with `a` on 2 of 3 answers of benign." in said
