from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from oldham.backends.base import ServerOptions
from oldham.core.errors import ConfigError, ModelError, RunInterruptedError, UnknownNameError
from oldham.core.ledger import Ledger
from oldham.core.records import Message, PromptPlan
from oldham.judges.asking import JudgeCall
from oldham.studies.judging import Grader, Graders, JudgeSpec, make_judge
from oldham.studies.plan import plan
from oldham.studies.preflight import check_study
from oldham.studies.run import run
from oldham.studies.spec import Study
from study_writer import Notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from judge_double import Grading

    StudyFile = Callable[..., Path]

LABEL = "echo_rubric@grading:judge"
SERVED = (
    ('"echo_rubric@grading:judge"', '{judge: echo_rubric, model: "grading:judge", server: lab}'),
    ("benchmarks", "servers: {lab: {cap_usd: 3, usd_per_million_read: 1, usd_per_million_written: 2}}\nbenchmarks"),
)


class Heard(Notes):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, object]] = []

    def judging(self, judge: str, rows: int) -> None:
        self.heard.append((judge, rows))

    def judged(self, rows: int) -> None:
        self.heard.append(("judged", rows))


def verdicts(run_dir: Path, label: str = LABEL) -> dict[tuple[str, str], str]:
    with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
        return {(v.generation, v.span): v.model_dump_json() for v in ledger.verdicts() if v.judge == label}


def manifest(run_dir: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((run_dir / "manifest.json").read_text())
    return read


def call(text: str, attempt: int = 0, about: str = "x") -> JudgeCall:
    plan_ = PromptPlan(messages=(Message(role="user", content=text),), thinks=False)
    return JudgeCall("answer", plan_, about, attempt=attempt)


def test_a_judge_is_named_alone_or_with_its_model() -> None:
    assert JudgeSpec.parse("numeric") == JudgeSpec(judge="numeric")
    parsed = JudgeSpec.parse("rubric@openai:org/name@v2")
    assert (parsed.judge, parsed.model, parsed.label) == ("rubric", "openai:org/name@v2", "rubric@openai:org/name@v2")
    for wrong in ("", "@model", "rubric@"):
        with pytest.raises(ConfigError, match="NAME@MODEL"):
            JudgeSpec.parse(wrong)


def test_a_judge_without_the_model_it_asks_and_one_with_a_model_it_does_not(grading: type[Grading]) -> None:
    assert make_judge(JudgeSpec.parse(LABEL)).label == LABEL
    assert make_judge(JudgeSpec.parse("numeric")).label == "numeric"
    with pytest.raises(ConfigError, match=r"asks a model.*echo_rubric@hf:someone/published-judge"):
        make_judge(JudgeSpec.parse("echo_rubric"))
    with pytest.raises(ConfigError, match="asks no model"):
        make_judge(JudgeSpec.parse("numeric@grading:judge"))
    with pytest.raises(UnknownNameError, match="Did you mean `echo_rubric`"):
        make_judge(JudgeSpec.parse("echo_rubrik@grading:judge"))
    grading.gone = True
    with pytest.raises(ModelError, match="no such model"):
        make_judge(JudgeSpec.parse(LABEL))
    assert grading.events == []


def test_a_grader_loads_on_the_first_question_and_keeps_the_order(grading: type[Grading]) -> None:
    grader = Grader("grading:judge")
    assert grader.fingerprint.weights == "judge"
    assert grader.ask([]) == []
    assert grading.events == []
    texts = ["a", "a b c d", "b b", "c", "d d d", "e"]
    replies = grader.ask([call(text) for text in texts])
    assert [reply.answer_text for reply in replies] == texts
    assert {reply.sampling.temperature for reply in replies} == {0.0}
    grader.close()
    assert grading.events == [("load", "grading:judge"), ("close", "grading:judge")]


def test_what_is_asked_decides_the_identity_of_the_question(grading: type[Grading]) -> None:
    asked = [call("a"), call("b"), call("a", attempt=1), call("a", about="y")]
    replies = Grader("grading:judge").ask([*asked, call("a")])
    identities = [reply.trial.fingerprint for reply in replies]
    assert len(set(identities)) == 4
    assert identities[0] == identities[4]


def test_replies_that_were_paid_for_outlive_a_failure_after_them(grading: type[Grading]) -> None:
    grader = Grader("grading:judge")
    grading.usd, grading.dead_after = 0.5, 3
    replies = grader.ask([call("a") for _ in range(5)])
    assert [reply.stop for reply in replies] == ["stop", "stop", "stop", "error", "error"]
    assert grader.usd == 1.5
    retried = grader.ask([call("a", attempt=1)])
    assert [reply.stop for reply in retried] == ["error"], "the first replies of the same batch are still to be kept"
    with pytest.raises(ModelError, match="cannot be reached"):
        grader.ask([call("a")])
    grader.close()
    grading.dead_after = 0
    with pytest.raises(ModelError, match="cannot be reached"):
        grader.ask([call("a")])


def test_a_cap_counts_what_was_spent_before_the_model_was_loaded(grading: type[Grading]) -> None:
    server = ServerOptions(cap_usd=3.0, usd_per_million_read=1.0, usd_per_million_written=1.0)
    grader = Grader("grading:judge", server)
    assert grader.spending is not None
    grader.spending.pay("model `grading:arm`", 2.0)
    grading.usd = 0.25
    for _ in range(2):
        grader.ask([call("a"), call("b")])
        grader.close()
    with pytest.raises(ModelError) as caught:
        grader.ask([call("a")])
    assert caught.value.message == (
        "The spending cap of $3 is reached (everything asked of the server counts: model `grading:arm` $2.00, judges' "
        "model `grading:judge` $1.00)."
    )
    assert (grader.bill.calls, grader.usd) == (4, 1.0)


def test_the_models_of_judges_on_one_server_count_together(grading: type[Grading]) -> None:
    server = ServerOptions(cap_usd=3.0, usd_per_million_read=1.0, usd_per_million_written=1.0)
    graders = Graders()
    first, second = graders.of("grading:one", server), graders.of("grading:two", server)
    assert first.spending is second.spending
    assert graders.of("grading:one", ServerOptions()).spending is not first.spending


def test_judges_of_one_model_share_it(grading: type[Grading]) -> None:
    graders = Graders()
    first, second = (
        make_judge(JudgeSpec.parse(f"{name}@grading:judge"), graders=graders)
        for name in ("echo_rubric", "echo_trace_rubric")
    )
    assert first.asker is second.asker  # type: ignore[attr-defined]
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("echo_rubrik@grading:judge", "Did you mean `echo_rubric`?"),
        ("echo_rubric", "asks a model"),
        ("numeric@grading:judge", "asks no model"),
        ("rules@grading:judge", "`rules` stands for judges that ask no model"),
        ("{judge: echo_rubric, modle: x}", "There is no key `modle` in `judges.1`. Did you mean `model`?"),
        ("{judge: echo_rubric, model: grading:judge, server: lab}", "There is no server `lab`"),
        ("'@x'", "`@x` names no judge"),
        ("7", "should hold `key: value` settings"),
    ],
)
def test_a_mistake_in_the_judges_names_its_line(judged_study: StudyFile, entry: str, says: str) -> None:
    path = judged_study(('"echo_rubric@grading:judge"]', f"\n  {entry}]"))
    with pytest.raises(ConfigError) as caught:
        plan(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith("study.yaml:8: ") or f"{path}:8: " in str(caught.value)


def test_a_study_made_in_python_takes_names_and_writes_them(grading: type[Grading]) -> None:
    made = Study.model_validate(
        {
            "name": "s",
            "baseline": "a",
            "arms": {"a": {"model": "grading:arm"}},
            "benchmarks": ["harmful:2"],
            "judges": ["rules", LABEL],
        }
    )
    assert [spec.label for spec in made.judges] == ["rules", LABEL]
    assert "echo_rubric" in made.to_yaml()


def test_verdicts_of_a_model_are_stored_with_their_facts(judged_study: StudyFile, grading: type[Grading]) -> None:
    watch = Heard()
    result = run(judged_study(), progress=watch)
    mine = result.observations.filter(pl.col("judge") == LABEL)
    assert mine.filter(pl.col("span") == "answer").height == 24, "every harmful answer, and no arithmetic"
    assert set(mine["benchmark"]) == {"harmful"}
    assert mine.filter(pl.col("span") == "trace")["arm"].unique().to_list() == ["cot"]
    judge = make_judge(JudgeSpec.parse(LABEL))
    assert mine["judge_fingerprint"].unique().to_list() == [judge.fingerprint]
    assert set(mine["parsed"]) == {"ok", "failed"}, "the scripted arm also says numbers, which no rubric reads"
    unread = mine.filter(pl.col("parsed") == "failed")
    assert set(unread["outcome"]) == {"unjudged"}
    assert unread["score"].null_count() == unread.height
    told = manifest(result.run_dir)
    assert list(told["judges"]["harmful"])[-1] == LABEL
    assert list(told["judges"]["arithmetic"]) == ["numeric"]
    facts = told["judge_facts"][LABEL]
    assert facts["fingerprint"] == judge.fingerprint
    assert (facts["name"], facts["model"]) == ("echo_rubric", "grading:judge")
    assert facts["base_model"] == "someone/published-judge"
    assert facts["reads"] == ["answer", "trace"]
    assert facts["prompt_hash"] == judge.prompt_hash  # type: ignore[attr-defined]
    assert told["judge_facts"]["numeric"]["model"] is None
    (label, rows), *batches = watch.heard
    assert label == LABEL
    assert sum(n for _, n in batches if isinstance(n, int)) == rows
    assert result.n_judged == mine.height


def test_the_judges_model_comes_after_the_studys_own_and_once(judged_study: StudyFile, grading: type[Grading]) -> None:
    both = ('"echo_rubric@grading:judge"]', '"echo_rubric@grading:judge", "echo_trace_rubric@grading:judge"]')
    run(judged_study(both))
    arm, judge = "grading:arm", "grading:judge"
    assert grading.events == [("load", arm), ("close", arm), ("load", judge), ("close", judge)]
    asked = len(grading.asked)
    again = run(judged_study(both))
    assert len(grading.events) == 4, "nothing is left to ask, arms without a trace among it"
    assert len(grading.asked) == asked
    assert again.n_judged == 0


def test_a_judge_of_traces_has_rows_where_a_trace_is(judged_study: StudyFile) -> None:
    label = "echo_trace_rubric@grading:judge"
    result = run(judged_study((LABEL, label)))
    mine = result.observations.filter(pl.col("judge") == label)
    assert mine.select("arm", "span").unique().rows() == [("cot", "trace")]
    assert mine.height == 12
    assert mine["stages"].to_list() == [""] * 12, "it looks for stages and found none"
    others = result.observations.filter(pl.col("span") == "answer")
    assert others["stages"].null_count() == others.height


def test_calls_that_fail_leave_no_verdict_and_are_asked_again(judged_study: StudyFile, grading: type[Grading]) -> None:
    whole = verdicts(run(judged_study()).run_dir)
    ids = sorted({generation for generation, _ in whole})
    grading.reset()
    grading.failing = set(ids[:5])
    watch = Notes()
    path = judged_study()
    first = run(path, run_dir=path.parent / "again", progress=watch)
    assert first.n_unread > 0
    assert f"{first.n_unread} verdicts are missing" in first.summary()
    assert any(f"`{LABEL}`: {first.n_unread} verdicts are missing" in note for note in watch.notes)
    rows = first.observations.filter((pl.col("judge") == LABEL) & (pl.col("span") == "answer"))
    assert rows.height == 24, "a missing verdict is a row without an outcome"
    assert len(verdicts(first.run_dir)) == len(whole) - first.n_unread
    grading.failing = set()
    second = run(path, run_dir=path.parent / "again")
    assert second.n_unread == 0
    assert verdicts(second.run_dir) == whole


@pytest.mark.parametrize("after", [0, 8, 17, 30])
def test_a_stopped_judge_goes_on_and_loses_no_stored_batch(
    judged_study: StudyFile, grading: type[Grading], tmp_path: Path, after: int
) -> None:
    whole = verdicts(run(judged_study(), run_dir=tmp_path / "whole", preflight=False).run_dir)
    asked = len(grading.asked)
    grading.reset()
    grading.stop_after = after
    with pytest.raises(RunInterruptedError, match="every finished batch"):
        run(judged_study(), run_dir=tmp_path / "parts", preflight=False)
    kept = verdicts(tmp_path / "parts")
    assert kept.items() <= whole.items()
    grading.stop_after = None
    assert verdicts(run(judged_study(), run_dir=tmp_path / "parts", preflight=False).run_dir) == whole
    # Two batches of the model's own size, each generation with a span or two and a retry, are lost at most.
    assert len(grading.asked) <= asked + 2 * 3 * 2 * 2


def test_a_judge_that_is_gone_leaves_what_there_is(judged_study: StudyFile, grading: type[Grading]) -> None:
    grading.dead_after = 0
    with pytest.raises(ModelError, match="cannot be reached"):
        run(judged_study())
    frame = pl.read_parquet("runs/judged/observations.parquet")
    assert set(frame.filter(pl.col("judge") == LABEL)["outcome"]) == {"unjudged"}
    assert frame.filter(pl.col("judge") == "refusal_rules")["score"].null_count() < 24


def test_a_dead_server_of_a_judge_stops_a_run_before_anything_is_generated(
    judged_study: StudyFile, grading: type[Grading], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grading, "remote", True)
    grading.dead_after = 0
    with pytest.raises(ModelError, match="cannot be reached"):
        run(judged_study())
    assert ("load", "grading:arm") not in grading.events
    with Ledger(Path("runs/judged/ledger.sqlite"), read_only=True) as ledger:
        assert not ledger.generation_ids()
    grading.reset()
    run(judged_study())
    arm, judge = "grading:arm", "grading:judge"
    assert [name for kind, name in grading.events if kind == "load"] == [judge, arm, judge]
    assert len({item for item in grading.asked if grading.asked.count(item) > 2}) == 0, "planted cases are asked once"


def test_a_judge_that_cannot_be_had_leaves_what_there_is(
    judged_study: StudyFile, grading: type[Grading], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(model: str, server: object = None) -> Grading:
        if model == "grading:judge":
            raise ConfigError("The environment variable KEY is not set.")
        return grading(model)

    monkeypatch.setattr(grading, "load", load)
    with pytest.raises(ConfigError, match="KEY is not set"):
        run(judged_study())
    frame = pl.read_parquet("runs/judged/observations.parquet")
    assert frame.filter(pl.col("judge") == "refusal_rules")["score"].null_count() < 24


def test_a_run_counts_replies_and_what_needed_none(judged_study: StudyFile, grading: type[Grading]) -> None:
    result = run(judged_study())
    mine = result.observations.filter(pl.col("judge") == LABEL)
    unread = mine.filter(pl.col("parsed") == "failed").height
    replies = result.n_judged - result.n_settled
    assert 0 < unread < replies < result.n_judged
    (line,) = result.unreadable
    assert f"`{LABEL}`: {unread} of {replies} replies could not be read ({unread / replies:.0%})." in line
    assert line in result.summary()
    assert run(judged_study()).unreadable == (), "nothing was asked"


def test_what_a_judge_costs_is_told_and_counts_for_the_cap(judged_study: StudyFile, grading: type[Grading]) -> None:
    grading.usd = 0.01
    same = ("grading:arm", "grading:judge")
    result = run(judged_study(*SERVED, same, ("answer_tokens: 20}", "answer_tokens: 20, server: lab}")))
    assert result.usd == pytest.approx(sum(grading.paid))
    assert result.usd > 0.01 * (32 + len(grading.asked)), "the checks of the arms' model are paid for too"
    grading.usd = 0.05
    with pytest.raises(ModelError, match=r"model `grading:judge` \$1.60, judges' model `grading:judge` \$1\."):
        run(
            judged_study(*SERVED, same, ("answer_tokens: 20}", "answer_tokens: 21, server: lab}")),
            run_dir=Path("b"),
            preflight=False,
        )


def test_a_plan_counts_what_judges_will_ask(judged_study: StudyFile, grading: type[Grading]) -> None:
    path = judged_study(*SERVED)
    (work,) = plan(path).judging
    assert work.judge == LABEL
    assert work.calls == 36, "24 answers and 12 traces"
    assert work.most_tokens == 36 * 40
    assert work.prompt_tokens >= 36 * 20
    assert work.usd == pytest.approx((work.prompt_tokens * 1 + work.most_tokens * 2) / 1e6)
    run(path)
    assert [(left.calls, left.usd) for left in plan(path).judging] == [(0, 0.0)]
    assert ("load", "grading:judge") not in grading.events[:2]


def test_a_judge_that_reads_nothing_of_its_model_stops_the_run(judged_study: StudyFile) -> None:
    path = judged_study((LABEL, "echo_rubric@scripted:refuse"), ("harmful:12", "harmful:3"))
    watch = Notes()
    run(path, progress=watch)
    assert any("judges 1 of 2 planted cases wrongly" in note for note in watch.notes)
    path = judged_study((LABEL, "numbers@scripted:echo"), ("harmful:12", "harmful:3"))
    from judge_double import EchoRubric

    from oldham.judges.base import JUDGES

    class Deaf(EchoRubric):
        name = "numbers"

        def read(self, *_: object) -> None:
            return None

    JUDGES.register("numbers", Deaf, summary="For tests.", citation="this project")
    try:
        with pytest.raises(ConfigError, match=r"None of the replies to the 2 planted cases of `numbers@scripted:echo`"):
            run(path)
        checked = {one.subject: one for one in check_study(path)}
        assert checked["judge numbers@scripted:echo"].stops
        unchecked = run(path, preflight=False)
        mine = unchecked.observations.filter(pl.col("judge") == "numbers@scripted:echo")
        assert set(mine.filter(pl.col("parsed") == "failed")["outcome"]) == {"unjudged"}
    finally:
        del JUDGES._entries["numbers"]


def test_the_check_of_a_judge_is_made_once(judged_study: StudyFile, grading: type[Grading]) -> None:
    first = run(judged_study())
    assert [one["subject"] for one in manifest(first.run_dir)["preflight"]] == [
        "judges",
        "grading:arm",
        f"judge {LABEL}",
    ]
    asked = len(grading.asked)
    again = run(judged_study(("harmful:12", "harmful:13")))
    new = (
        again.observations.filter(pl.col("judge") == LABEL).height
        - first.observations.filter(pl.col("judge") == LABEL).height
    )
    assert 2 <= len(grading.asked) - asked <= 2 * new, "the new item's calls and their retries, no planted case"


def test_votes_count_the_verdicts_of_a_model(judged_study: StudyFile) -> None:
    path = judged_study(
        (
            "  cot: {strategy: zero_shot_cot, thinking_tokens: 20}",
            "  sc: {strategy: self_consistency, samples: 3, temperature: 1.0}",
        )
    )
    result = run(path)
    mine = result.observations.filter((pl.col("judge") == LABEL) & (pl.col("span") == "answer"))
    assert dict(mine.group_by("arm").len().rows()) == {"direct": 12, "sc": 12, "sc/worst": 12, "sc/majority": 12}


RUBRICS = ("strongreject_rubric", "harmbench_yes_no", "policy_rubric", "trace_rubric")


def test_every_rubric_runs_in_a_study(judged_study: StudyFile) -> None:
    named = ", ".join(f'"{name}@scripted:judge"' for name in (*RUBRICS, "truthful_rubric"))
    path = judged_study(('"echo_rubric@grading:judge"', named), ("arithmetic:4", "false_premise:4"))
    assert all(work.calls and work.prompt_tokens > 100 * work.calls for work in plan(path).judging)
    result = run(path)
    said = result.observations.filter(pl.col("judge").str.ends_with("@scripted:judge"))
    assert set(said["judge"]) == {f"{name}@scripted:judge" for name in (*RUBRICS, "truthful_rubric")}
    assert set(said["parsed"]) == {"ok"}
    assert said.filter(pl.col("judge") == "trace_rubric@scripted:judge")["span"].unique().to_list() == ["trace"]
    assert "harmful_detail" in set(said["stages"])
    assert [work.calls for work in plan(path).judging] == [0] * 5
    assert result.n_unread == 0


def test_a_judge_by_likelihood_needs_a_backend_that_can_tell_it() -> None:
    with pytest.raises(ConfigError, match=r"`scripted:judge` cannot tell.*shieldgemma@hf:google/shieldgemma-9b"):
        make_judge(JudgeSpec.parse("shieldgemma@scripted:judge"))


def test_a_plan_counts_every_question_of_a_guard(judged_study: StudyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oldham.backends.scripted.ScriptedBackend.scores_choices", True)
    path = judged_study(("echo_rubric@grading:judge", "shieldgemma@scripted:judge"))
    (work,) = plan(path).judging
    assert work.calls == 24 * 4, "an answer is asked about by four principles"
    assert work.prompt_tokens >= 24 * 4 * 20


def test_a_model_that_follows_no_form_is_read_by_no_rubric(judged_study: StudyFile) -> None:
    path = judged_study(("echo_rubric@grading:judge", "policy_rubric@scripted:mixed"))
    with pytest.raises(ConfigError, match=r"None of the replies .* of `policy_rubric@scripted:mixed` can be read"):
        run(path)
    table = run(path, preflight=False).observations.filter(pl.col("judge") == "policy_rubric@scripted:mixed")
    assert set(table["outcome"]) <= {"unjudged", "incoherent", "unfinished"}
    assert table.filter(pl.col("parsed") == "failed").height > 0
