"""Runs whose attacks ask an attacker, from the study file to the observations, stopped and continued."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import polars as pl
import pytest

from oldham.attacks import attack_of
from oldham.backends.scripted import ScriptedBackend
from oldham.core.errors import ConfigError, ModelError, RunInterruptedError, UnknownNameError
from oldham.core.ledger import Ledger
from oldham.core.records import ModelFingerprint
from oldham.prompts.base import PromptOptions
from oldham.prompts.build import rehearse
from oldham.studies.attackers import Attackers
from oldham.studies.judging import JudgeSpec
from oldham.studies.plan import plan
from oldham.studies.rejudge import rejudge_study
from oldham.studies.run import run
from oldham.studies.shown import shown_calls
from oldham.studies.spec import Study
from study_writer import ATTACKED, study_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from judge_double import Grading

    from oldham.backends.base import Request
    from oldham.core.records import Generation

    StudyFile = Callable[..., Path]

STUDY = f"""\
{ATTACKED}\
attacks: [none, pair, tap, crescendo, persuasion, pair+base64]
benchmarks: [arithmetic:2, harmful:6]
"""
ALL = "[none, pair, tap, crescendo, persuasion, pair+base64]"
ONE = (ALL, "[none, pair]")


@pytest.fixture
def study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFile:
    monkeypatch.chdir(tmp_path)
    return study_writer(tmp_path, STUDY)


def rows(run_dir: Path) -> set[str]:
    with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
        ledger.check()
        generations = {g.model_dump_json(exclude={"seconds"}) for g in ledger.generations()}
        return generations | {v.model_dump_json() for v in ledger.verdicts()}


def identities(study: Path) -> dict[str, str | None]:
    return {planned.trial.attack: planned.trial.attack_fingerprint for planned in plan(study).trials}


def test_a_run_keeps_what_attackers_wrote_and_counts_the_queries(study_file: StudyFile) -> None:
    result = run(study_file())
    # Searches look for harm: arithmetic is asked plainly and by the rewriting alone.
    assert (result.n_generated, result.n_missing) == (2 * (2 * 8 + 4 * 6), 0)
    frame = result.observations
    assert frame.equals(pl.read_parquet(result.run_dir / "observations.parquet"))
    plain = frame.filter(pl.col("attack") == "none")
    assert plain["queries"].null_count() == plain["attack_tokens"].null_count() == plain.height
    attacked = frame.filter(pl.col("attack") != "none")
    assert attacked["queries"].null_count() == attacked["attack_tokens"].null_count() == 0
    assert set(attacked.filter(pl.col("attack") == "persuasion")["queries"]) == {1}
    pair = frame.filter(pl.col("attack") == "pair")
    assert {1, 2} < set(pair["queries"]) <= {1, 2, 3}
    assert set(pair["technique"]) == {"pair"}
    assert set(pair["attack_dose"]) == {3}

    with Ledger(result.run_dir / "ledger.sqlite", read_only=True) as ledger:
        stored = {g.trial.fingerprint: g for g in ledger.generations()}
    for trial, queries, tokens, called in attacked.select(
        "generation", "queries", "attack_tokens", "call_tokens"
    ).rows():
        calls = stored[trial].calls
        assert [call.by for call in calls if call.label.startswith("attacker")].count("writer") == len(
            [call for call in calls if call.by]
        )
        assert queries == 1 + sum(re.fullmatch(r"(try|turn) \d+", call.label) is not None for call in calls)
        assert tokens == sum(call.output_tokens or 0 for call in calls if call.by)
        assert called == sum(call.output_tokens or 0 for call in calls if not call.by)
        assert stored[trial].model == ScriptedBackend("mixed").fingerprint, "the target answers"

    manifest = json.loads((result.run_dir / "manifest.json").read_text())
    assert manifest["attackers"]["writer"]["model"] == "scripted:attacker"
    assert manifest["attackers"]["writer"]["tokens"] == 200
    identity = manifest["attackers"]["writer"]["identity"]
    assert ModelFingerprint.model_validate(identity) == ScriptedBackend("attacker").fingerprint
    assert run(result.run_dir.parents[1] / "study.yaml").n_generated == 0


def test_a_search_stops_where_the_judge_says_that_it_has_come_through(study_file: StudyFile) -> None:
    result = run(study_file(ONE, ("scripted:mixed", "scripted:refuse")))
    harm = result.observations.filter(pl.col("axis") == "harm", pl.col("attack") == "pair", pl.col("span") == "answer")
    assert set(harm["queries"]) == {3}
    assert set(harm["outcome"]) == {"refused"}
    result = run(study_file(ONE, ("scripted:mixed", "scripted:echo"), ("name: small", "name: echo")))
    harm = result.observations.filter(pl.col("axis") == "harm", pl.col("attack") == "pair", pl.col("span") == "answer")
    assert set(harm.filter(pl.col("score") < 0.5)["queries"]) == {1}


def stopping_after(batches: int) -> Callable[..., list[Generation]]:
    """Return what generates for so many batches of a study, and then is stopped by the user."""
    whole, left = ScriptedBackend.generate, itertools.count(batches, -1)

    def generate(self: ScriptedBackend, requests: Sequence[Request]) -> list[Generation]:
        if requests[0].trial.benchmark != "preflight" and next(left) <= 0:
            raise KeyboardInterrupt
        return whole(self, requests)

    return generate


@pytest.mark.parametrize("batches", [1, 5, 12, 20, 33])
def test_a_stopped_run_goes_on_to_the_rows_of_a_whole_one(
    study_file: StudyFile, tmp_path: Path, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_file()
    run(study, run_dir=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(ScriptedBackend, "generate", stopping_after(batches))
        with pytest.raises(RunInterruptedError):
            run(study, run_dir=tmp_path / "stopped")
    assert there(tmp_path / "stopped") < 96
    run(study, run_dir=tmp_path / "stopped")
    assert rows(tmp_path / "stopped") == rows(tmp_path / "whole")


@pytest.mark.thorough
@pytest.mark.sleeps
def test_a_killed_run_goes_on_to_the_rows_of_a_whole_one(study_file: StudyFile, tmp_path: Path) -> None:
    study = study_file(("scripted:mixed", "scripted:slow"), (ALL, "[none, pair, crescendo]"))
    command = [sys.executable, "-m", "oldham", "run", str(study), "--out"]
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (some := there(killed)) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < some <= there(killed) < 48, "it was killed in the middle"
    for run_dir in (killed, tmp_path / "whole"):
        done = subprocess.run([*command, str(run_dir)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert rows(killed) == rows(tmp_path / "whole")


def there(run_dir: Path) -> int:
    try:
        with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
            return len(ledger.generation_ids())
    except Exception:
        return 0


def test_the_attacker_its_model_and_how_it_is_asked_belong_to_the_identity(study_file: StudyFile) -> None:
    first = identities(study_file(ONE))
    assert first["none"] is None
    changes = [
        ("tokens: 200", "tokens: 201"),
        ("tokens: 200", "temperature: 0.5"),
        ("scripted:attacker", "scripted:echo"),
    ]
    seen = [first, *(identities(study_file(ONE, change)) for change in changes)]
    assert len({one["pair"] for one in seen}) == len(seen)
    renamed = identities(study_file(ONE, ("writer:", "other:")))
    assert renamed == first, "its name alone is a name"


def test_a_plan_says_what_attackers_are_asked_at_most(study_file: StudyFile) -> None:
    made = plan(study_file(ONE))
    [work] = made.attacking
    assert (work.name, work.model, work.calls) == ("writer", "scripted:attacker", 2 * 6 * 3)
    assert work.most_tokens == work.calls * 200
    arm = [planned for planned in made.trials if planned.arm.name == "direct"]
    assert {planned.most_tokens for planned in arm} == {30, 3 * 30}
    assert any("let a judge that asks a model come first" in warning for warning in made.warnings)
    assert "`pair` search for harm, and are left out on the other axes." in made.warnings
    assert {planned.item.benchmark for planned in made.trials if planned.trial.attack == "pair"} == {"harmful"}

    priced = (
        'writer: {model: "scripted:attacker", tokens: 200}',
        'writer: {model: "scripted:attacker", tokens: 200, server: s}\n'
        "servers: {s: {usd_per_million_read: 1, usd_per_million_written: 1000000}}",
    )
    [paid] = plan(study_file(ONE, priced)).attacking
    assert paid.usd == pytest.approx(work.most_tokens + work.prompt_tokens / 1e6)
    run(study_file(ONE))
    assert plan(study_file(ONE)).attacking == ()


def test_the_judge_that_ends_a_search_is_part_of_what_it_is(study_file: StudyFile) -> None:
    first = identities(study_file(ONE))
    other = identities(study_file(ONE, ("benchmarks:", "judges: [refusal_keywords, rules]\nbenchmarks:")))
    assert other["pair"] != first["pair"]
    assert other["none"] == first["none"] is None
    reads_traces_first = ("benchmarks:", "judges: [trace_stages, rules]\nbenchmarks:")
    assert identities(study_file(ONE, reads_traces_first))["pair"] == first["pair"]


@pytest.mark.parametrize("attack", ["prefill", "thinking_prefill", "forged_trace", "early_close"])
def test_no_words_are_put_into_what_is_asked_over_chat(study_file: StudyFile, attack: str) -> None:
    chat = ("name: small", "name: small\nservers: {s: {url: 'http://localhost:1/v1'}}")
    arm = ("zero_shot_cot, thinking_tokens: 20", "zero_shot_cot, thinking_tokens: 20, model: 'openai:m', server: s")
    with pytest.raises(ConfigError, match=f"`{attack}` begins or closes"):
        plan(study_file((ALL, f"[none, {attack}]"), chat, arm))


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (('attackers:\n  writer: {model: "scripted:attacker", tokens: 200}\n', ""), ConfigError, "names none"),
        (("writer:", 'b: {model: "scripted:echo"}\n  writer:'), ConfigError, "does not say which"),
        (("[none, pair]", "[none, {attack: pair, attacker: writr}]"), UnknownNameError, "Did you mean `writer`"),
        (("tokens: 200", "server: s"), UnknownNameError, "no server `s`"),
        (("tokens: 200", "tokns: 200"), UnknownNameError, "tokns"),
        (("writer:", '"a,b":'), ConfigError, "letters"),
        (("tokens: 200", "tokens: 0"), ConfigError, "greater than or equal to 1"),
    ],
)
def test_mistakes_are_told_with_their_line(
    study_file: StudyFile, change: tuple[str, str], error: type[ConfigError], told: str
) -> None:
    with pytest.raises(error, match=re.escape(told)) as caught:
        Study.load(study_file(ONE, change))
    assert re.search(r"study\.yaml:\d+", str(caught.value))


def test_an_attacker_that_is_no_model_is_told_where_it_is_named(study_file: StudyFile) -> None:
    with pytest.raises(ModelError, match=r"study\.yaml:8: .*no scripted behaviour"):
        plan(study_file(ONE, ("scripted:attacker", "scripted:attaker")))


def test_one_of_several_attackers_is_chosen_by_its_name(study_file: StudyFile) -> None:
    study = study_file(
        (ALL, "[{attack: pair, attacker: [writer, mute]}]"),
        ("writer:", 'mute: {model: "scripted:refuse"}\n  writer:'),
        ("harmful:6", "harmful:2"),
    )
    result = run(study)
    assert set(result.observations["attack"]) == {"pair[attacker=writer]", "pair[attacker=mute]"}
    with Ledger(result.run_dir / "ledger.sqlite", read_only=True) as ledger:
        for generation in ledger.generations():
            labels = {call.label for call in generation.calls if call.by == "mute"}
            assert all(re.fullmatch(r"attacker \d \(refused\)", label) for label in labels)
            assert bool(labels) == ("mute" in generation.trial.attack)


def test_an_attacker_that_is_the_arms_model_shares_it(study_file: StudyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = Attackers._load
    monkeypatch.setattr(Attackers, "_load", lambda self, name: [loads.append(name), load(self, name)][1])
    run(study_file(ONE, ("scripted:attacker", "scripted:mixed")))
    assert loads == []
    run(study_file(ONE, ("name: small", "name: other")))
    assert set(loads) == {"writer"}


def test_words_cannot_be_put_into_the_mouth_of_a_model_over_chat(study_file: StudyFile) -> None:
    chat = ("scripted:mixed", "openai:m@http://127.0.0.1:9/v1")
    none = (ALL, "\n  - none\n  - persona+prefill")
    with pytest.raises(ConfigError, match=r"study\.yaml:11: .*asked over chat.*completions"):
        plan(study_file(chat, none))
    fine = (ALL, "[none, persona]")
    assert plan(study_file(chat, fine)).trials


def test_stored_outputs_answer_no_new_wording(study_file: StudyFile) -> None:
    with pytest.raises(ConfigError, match=r"study\.yaml:9: `pair` writes new wordings"):
        plan(study_file(ONE, ("scripted:mixed", "replay:outputs.jsonl")))


def test_a_judge_that_asks_a_model_is_looked_at(study_file: StudyFile, grading: type[Grading]) -> None:
    study = study_file(
        ONE,
        ("arithmetic:2, harmful:6", "harmful:6"),
        ("name: small", 'judges: ["echo_rubric@grading:judge"]\nname: small'),
    )
    result = run(study)
    pair = result.observations.filter(pl.col("attack") == "pair", pl.col("span") == "answer")
    assert pair.filter(pl.col("queries") < 3)["score"].to_list() == [0.0] * pair.filter(pl.col("queries") < 3).height
    assert not any("come first" in warning for warning in plan(study).warnings)
    assert 1 in set(pair["queries"])


def test_a_trial_whose_judge_failed_is_tried_again(study_file: StudyFile, grading: type[Grading]) -> None:
    study = study_file(
        ONE,
        ("arithmetic:2, harmful:6", "harmful:6"),
        ("name: small", 'judges: ["echo_rubric@grading:judge"]\nname: small'),
    )
    whole = run(study, run_dir=study.parent / "whole")
    grading.asked = []
    grading.dead_after = 5
    with pytest.raises(ModelError, match="cannot be reached"):
        run(study)
    assert 12 < there(study.parent / "runs" / "small") < 24, "items as they are, and the trials judged in time"
    grading.dead_after = None
    run(study)
    assert rows(study.parent / "runs" / "small") == rows(whole.run_dir)


def test_a_finished_run_is_judged_again_without_its_attacker(study_file: StudyFile) -> None:
    result = run(study_file(ONE))
    again = rejudge_study(result.run_dir, [JudgeSpec.parse("refusal_keywords")])
    new = again.observations.filter(pl.col("judge") == "refusal_keywords")
    assert set(new["attack"]) == {"none", "pair"}
    assert new.filter(pl.col("attack") == "pair")["queries"].null_count() == 0


def test_questions_to_the_attacker_are_shown_without_the_arms_template(study_file: StudyFile) -> None:
    calls = shown_calls(study_file(), "direct", "harmful", "pair")
    labels = [call.label for call in calls]
    made = attack_of("pair")
    item = plan(study_file()).items["harmful"][0]
    assert labels == [call.label for call in rehearse(item, made.program(item, PromptOptions(), seed=0)).calls]
    assert not any(call.exact for call in calls if call.label.startswith("attacker"))


def test_every_arm_meets_the_same_rewriting(study_file: StudyFile) -> None:
    result = run(study_file((ALL, "[none, persuasion]")))
    with Ledger(result.run_dir / "ledger.sqlite", read_only=True) as ledger:
        written = {
            (g.trial.arm, g.trial.benchmark, g.trial.item): [call.output_text for call in g.calls if call.by]
            for g in ledger.generations()
            if g.trial.attack == "persuasion"
        }
    assert len(written) == 2 * 8
    for (arm, *item), texts in written.items():
        assert texts == written["cot" if arm == "direct" else "direct", *item]
    assert len({texts[0] for texts in written.values()}) > 1
