"""Calls, tokens and money are booked to whoever asked, and a server's cap is one total for all of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "backends"))

from openai_server import FakeServer, Raw, message, ok

from oldham.backends.base import ServerOptions
from oldham.backends.openai.spending import Purse, Spending
from oldham.core.errors import LedgerError, ModelError, RunInterruptedError
from oldham.core.ledger import Ledger
from oldham.studies.costs import Bill
from oldham.studies.plan import plan
from oldham.studies.run import run
from oldham.studies.rundir import RunDir
from study_writer import Notes, study_writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_backend import FakeBackend
    from judge_double import Grading
    from openai_server import Json

    from oldham.studies.result import RunResult

    StudyFile = Callable[..., Path]

STUDY = """\
name: paid
baseline: direct
defaults: {model: "grading:arm", answer_tokens: 30, server: lab}
arms:
  direct:
servers:
  lab: {usd_per_million_read: 1, usd_per_million_written: 2, cap_usd: 90}
attackers:
  writer: {model: "grading:writer", server: lab, tokens: 200}
attacks: [none, pair]
judges: [{judge: echo_rubric, model: "grading:judge", server: lab}]
benchmarks: [harmful:6]
"""


@pytest.fixture
def paid(tmp_path: Path, grading: type[Grading], monkeypatch: pytest.MonkeyPatch) -> StudyFile:
    monkeypatch.chdir(tmp_path)
    grading.usd = 0.01
    return study_writer(tmp_path, STUDY)


def calls_in(run_dir: Path) -> tuple[int, int]:
    """Count the calls of the arms' models and those of attackers in a ledger."""
    with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
        generations = list(ledger.generations())
    by = [call.by for generation in generations for call in generation.calls]
    return len(generations) + by.count(None), len(by) - by.count(None)


def bills(result: RunResult) -> dict[str, Bill]:
    return {payer.label: bill for payer, bill in result.spent}


def test_each_model_has_its_own_bill(paid: StudyFile, grading: type[Grading]) -> None:
    watch = Notes()
    result = run(paid(), preflight=False, progress=watch)
    assert not any("cap" in note for note in watch.notes)
    own, attacking = calls_in(result.run_dir)
    assert own > 12
    assert attacking > 6
    expected = {
        "model `grading:arm`": own,
        "attacker `writer`": attacking,
        "judges' model `grading:judge`": len(grading.asked),
    }
    made = bills(result)
    assert list(made) == list(expected)
    assert {label: bill.calls for label, bill in made.items()} == expected
    for bill in made.values():
        assert bill.usd == pytest.approx(0.01 * bill.calls)
        assert (bill.failed, bill.untold) == (0, 0)
        assert bill.prompt_tokens > bill.calls
    assert result.usd == pytest.approx(0.01 * sum(expected.values()))

    with Ledger(result.run_dir / "ledger.sqlite", read_only=True) as ledger:
        written = sum(generation.attacker_tokens or 0 for generation in ledger.generations())
    assert made["attacker `writer`"].output_tokens == written > 0
    told = json.loads((result.run_dir / "manifest.json").read_text())
    assert told["spent"] == told["runs"][-1]["spent"] == [one.facts() for one in result.spent]
    assert (told["spent"][1]["role"], told["spent"][1]["model"]) == ("attacker", "grading:writer")
    assert {one["server"] for one in told["spent"]} == {"lab"}
    assert f"attacker `writer` {attacking} calls" in result.summary()
    assert f", ${0.01 * attacking:,.2f}" in result.summary()
    assert run(paid(), preflight=False).spent == (), "nothing was asked"


def test_the_attacker_that_is_the_arms_model_has_a_bill_of_its_own(paid: StudyFile) -> None:
    result = run(paid(("grading:writer", "grading:arm")), preflight=False)
    own, attacking = calls_in(result.run_dir)
    made = bills(result)
    assert (made["model `grading:arm`"].calls, made["attacker `writer`"].calls) == (own, attacking)


def test_the_cap_counts_everybody_and_says_who_spent_it(paid: StudyFile) -> None:
    with pytest.raises(ModelError) as caught:
        run(paid(("cap_usd: 90", "cap_usd: 0.4")), preflight=False)
    shares = caught.value.message.partition("everything asked of the server counts: ")[2]
    assert "The spending cap of $0.4 is reached" in caught.value.message
    assert all(who in shares for who in ("model `grading:arm` $", "attacker `writer` $", "judges' model `grading"))
    spent = [float(share.partition(" ")[0].rstrip(").,")) for share in shares.split("$")[1:]]
    assert 0.3 < sum(spent) <= 0.4


def test_checks_before_the_first_batch_have_a_bill_of_their_own(paid: StudyFile, grading: type[Grading]) -> None:
    result = run(paid())
    assert result.usd == pytest.approx(sum(grading.paid))
    made = bills(result)
    checks = made["preflight `grading:arm`"], made["preflight `grading:writer`"]
    assert checks[0].calls > 8
    assert checks[1].calls == 1
    for bill in checks:
        assert bill.usd == pytest.approx(0.01 * bill.calls)
        assert bill.prompt_tokens > bill.calls
    own, attacking = calls_in(result.run_dir)
    assert (made["model `grading:arm`"].calls, made["attacker `writer`"].calls) == (own, attacking)
    assert made["model `grading:arm`"].usd == pytest.approx(0.01 * own)
    assert f"preflight `grading:arm` {checks[0].calls} calls" in result.summary()
    again = run(paid(("harmful:6", "harmful:7")))
    assert not any(payer.role == "preflight" for payer, _ in again.spent), "what was found is kept"


def test_a_cap_says_what_checks_spent(paid: StudyFile) -> None:
    with pytest.raises(ModelError, match=r"The spending cap of \$0.5 is reached .*preflight `grading:arm` \$0\.\d\d"):
        run(paid(("cap_usd: 90", "cap_usd: 0.5")))


def all_bills() -> tuple[list[Any], float]:
    """Return the bills of every time the study was run, and their sum."""
    runs = json.loads(Path("runs/paid/manifest.json").read_text())["runs"]
    return runs, sum(spent["usd"] for one in runs for spent in one["spent"])


@pytest.mark.parametrize("after", [2, 24, 40, 50])
@pytest.mark.parametrize("preflight", [True, False])
def test_a_stopped_run_leaves_its_bill(paid: StudyFile, grading: type[Grading], after: int, *, preflight: bool) -> None:
    grading.stop_paid_after = after
    with pytest.raises(RunInterruptedError):
        run(paid(), preflight=preflight)
    runs, usd = all_bills()
    assert [one["finished"] for one in runs] == [None]
    assert usd == pytest.approx(sum(grading.paid)), "the batch that was lost is paid for too"
    assert len(grading.paid) >= after
    grading.stop_paid_after = None
    run(paid(), preflight=preflight)
    runs, usd = all_bills()
    assert len(runs) == 2
    assert usd == pytest.approx(sum(grading.paid))


def test_a_run_that_reached_its_cap_leaves_its_bill(paid: StudyFile, grading: type[Grading]) -> None:
    with pytest.raises(ModelError, match="spending cap"):
        run(paid(("cap_usd: 90", "cap_usd: 0.4")), preflight=False)
    runs, usd = all_bills()
    assert (len(runs), runs[0]["finished"]) == (1, None)
    assert usd == pytest.approx(sum(grading.paid))
    assert 0.3 < usd <= 0.4
    assert json.loads(Path("runs/paid/manifest.json").read_text())["spent"] == runs[0]["spent"]


def test_what_ended_a_run_is_told_where_its_bill_cannot_be_written(
    paid: StudyFile, grading: type[Grading], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RunDir.write

    def full(self: RunDir, target: Path, content: bytes) -> None:
        if b'"spent"' in content:
            raise LedgerError("The disk is full.")
        write(self, target, content)

    monkeypatch.setattr(RunDir, "write", full)
    grading.stop_paid_after = 24
    with pytest.raises(RunInterruptedError):
        run(paid(), preflight=False)


SERVED = """\
name: served
baseline: direct
defaults: {model: "openai:arm", answer_tokens: 10, server: lab}
arms:
  direct:
servers:
  lab: {url: "URL", usd_per_million_read: 0, usd_per_million_written: 1000000, cap_usd: 100}
attackers:
  writer: {model: "openai:writer", server: lab, tokens: 10}
attacks: [none, pair]
benchmarks: [harmful:8]
"""


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.sleeps
def test_models_that_share_a_server_share_its_cap_while_they_run(tmp_path: Path) -> None:
    def answer(body: Json) -> Raw:
        refusal, wording = "I'm sorry, but I can't help with that.", '{"improvement": "", "prompt": "Say it."}'
        return ok(message(wording if body["model"] == "writer" else refusal))

    watch = Notes()
    with FakeServer(answer) as server:
        path = study_writer(tmp_path, SERVED)(("URL", server.url))
        # Either model alone stays below the cap: 8 + 24 replies of $3, and 24 of $3.
        result = run(path, run_dir=tmp_path / "run", progress=watch, preflight=False)
        asked = len(server.requests)
    made = bills(result)
    assert sum(bill.usd or 0.0 for bill in made.values()) == 3 * asked == result.usd <= 100
    assert result.n_missing > 0
    [told] = [note for note in watch.notes if "spending cap" in note and "counts" in note]
    for label in ("model `openai:arm`", "attacker `writer`"):
        assert f"{label} ${made[label].usd:,.2f}" in told


ALONE = (
    ('attackers:\n  writer: {model: "openai:writer", server: lab, tokens: 10}\nattacks: [none, pair]\n', ""),
    ("harmful:8", "harmful:10"),
)


def every_other(change: Callable[[Json], object]) -> Callable[[Json], Raw]:
    """Answer, every other time with a reply that is changed."""
    count = 0

    def answer(_: Json) -> Raw:
        nonlocal count
        count += 1
        reply = message("Sure, here it is.")
        if count % 2 == 0:
            change(reply)
        return ok(reply)

    return answer


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.sleeps
def test_replies_that_the_providers_filter_cut_are_paid_for(tmp_path: Path) -> None:
    with FakeServer(every_other(lambda reply: reply["choices"][0].update(finish_reason="content_filter"))) as server:
        path = study_writer(tmp_path, SERVED)(("URL", server.url), *ALONE)
        result = run(path, run_dir=tmp_path / "run", preflight=False)
    [(_, bill)] = result.spent
    assert (bill.calls, bill.failed, bill.unpriced) == (10, 5, 0)
    assert result.usd == bill.usd == 3 * len(server.requests) == 30
    assert "for $30.00." in result.summary()


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.sleeps
@pytest.mark.parametrize(("cap", "reached"), [("cap_usd: 100", False), ("cap_usd: 60", True)])
def test_replies_without_usage_make_a_sum_the_least(tmp_path: Path, cap: str, *, reached: bool) -> None:
    watch = Notes()
    with FakeServer(every_other(lambda reply: reply.pop("usage"))) as server:
        path = study_writer(tmp_path, SERVED)(("URL", server.url), *ALONE, ("cap_usd: 100", cap))
        result = run(path, run_dir=tmp_path / "run", progress=watch, preflight=False)
    untold = len(server.requests) // 2
    priced = len(server.requests) - untold
    [(_, bill)] = result.spent
    assert (result.usd, bill.usd, bill.unpriced) == (3 * priced, 3 * priced, untold)
    least = f"at least ${3 * priced:.2f} (cost not told for {untold})"
    assert result.summary().count(least) == 2
    assert (untold < 5) is reached, "for the cap it is 10 tokens"
    most = f"model `openai:arm` at most ${3 * priced + 10 * untold:.2f}"
    assert [most in note for note in watch.notes if "counts" in note] == [True] * reached


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.sleeps
def test_ctrl_c_leaves_the_bill_of_requests_under_way(tmp_path: Path) -> None:
    count = 0

    def answer(_: Json) -> Raw:
        nonlocal count
        count += 1
        if count == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return Raw(b"", hangs=True) if count >= 5 else ok(message("Sure, here it is."))

    with FakeServer(answer) as server:
        one = ("cap_usd: 100", "cap_usd: 100, concurrency: 1")
        path = study_writer(tmp_path, SERVED)(("URL", server.url), *ALONE, one)
        with pytest.raises(RunInterruptedError):
            run(path, run_dir=tmp_path / "run", preflight=False)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    [bill] = manifest["runs"][-1]["spent"]
    assert (manifest["finished"], bill["usd"], bill["unpriced"]) == (None, 3.0 * 4, 1)


def test_a_request_that_is_broken_off_is_not_told_as_free() -> None:
    async def broken_off() -> Spending:
        spending = Spending(ServerOptions(usd_per_million_read=1, usd_per_million_written=2, cap_usd=9))

        async def row() -> None:
            with Purse(spending, "model `m`") as purse:
                purse.reserve(1_000_000, 500_000)
                await asyncio.sleep(60)

        task = asyncio.create_task(row())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return spending

    spending = asyncio.run(broken_off())
    share = spending.by["model `m`"]
    assert (share.calls, share.usd, share.untold, spending.spent) == (1, 0.0, 1, 2.0)
    spending.promise(7.0)  # what was set aside is free again


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.sleeps
def test_a_cap_knows_attackers_from_the_arm_whose_model_they_share(tmp_path: Path) -> None:
    watch = Notes()
    with FakeServer(lambda _: ok(message('{"prompt": "I cannot help with that."}'))) as server:
        same = ("openai:writer", "openai:arm"), ("cap_usd: 100", "cap_usd: 60")
        path = study_writer(tmp_path, SERVED)(("URL", server.url), *same)
        made = bills(run(path, run_dir=tmp_path / "run", progress=watch, preflight=False))
    [told] = [note for note in watch.notes if "spending cap" in note and "counts" in note]
    for label in ("model `openai:arm`", "attacker `writer`"):
        assert f"{label} ${made[label].usd:,.2f}" in told


def test_a_bill_says_what_is_not_known() -> None:
    bill = Bill(calls=3, failed=1, untold=1, prompt_tokens=9, output_tokens=4)
    assert bill.told == "3 calls, 1 of them failed, 9 tokens read and 4 written (not told for 1)"
    assert Bill(calls=2, failed=2).told == "2 calls, 2 of them failed, tokens unknown"
    assert Bill(calls=1, prompt_tokens=1, usd=0.5).told == "1 call, 1 tokens read and 0 written, $0.50"
    least = Bill(calls=2, untold=2, usd=0.5, unpriced=1).told
    assert least == "2 calls, tokens unknown, at least $0.50 (cost not told for 1)"


def test_a_failed_call_is_counted_and_what_it_cost_too(study_file: StudyFile, fake: type[FakeBackend]) -> None:
    fake.usd = 0.5
    fake.broken_items = {plan(study_file()).trials[0].item.id}
    result = run(study_file(), preflight=False)
    [(_, bill)] = result.spent
    assert (bill.calls, bill.failed, bill.usd, result.n_generated) == (22, 2, 11.0, 20)


def test_what_attackers_read_and_write_is_planned_at_most(paid: StudyFile) -> None:
    [work] = plan(paid()).attacking
    assert (work.calls, work.most_tokens) == (6 * 3, 6 * 3 * 200)
    [longer] = plan(paid(("tokens: 200", "tokens: 500"))).attacking
    # The second question quotes one reply of the attacker, the third two.
    assert longer.prompt_tokens - work.prompt_tokens == 6 * (1 + 2) * 300
    [answered] = plan(paid(("answer_tokens: 30", "answer_tokens: 90"))).attacking
    assert answered.prompt_tokens - work.prompt_tokens == 6 * (1 + 2) * 60
    [held] = plan(paid(("[none, pair]", "[none, {attack: pair, attacker_tokens: 450}]"))).attacking
    assert (held.calls, held.most_tokens) == (6 * 3, 6 * 450)


def test_what_is_planned_is_not_exceeded(paid: StudyFile) -> None:
    path = paid(("grading:writer", "scripted:attacker"), ("[none, pair]", "[none, pair, tap, crescendo, persuasion]"))
    work = {one.name: one for one in plan(path).attacking}["writer"]
    judging = plan(path).judging[0]
    made = bills(run(path, preflight=False))
    bill, judged = made["attacker `writer`"], made["judges' model `grading:judge`"]
    assert 0 < bill.calls <= work.calls
    assert bill.prompt_tokens <= work.prompt_tokens
    assert bill.output_tokens <= work.most_tokens
    assert judged.calls <= 2 * judging.calls, "an unreadable reply is asked for a second time"


def test_judges_are_planned_with_what_searches_ask_of_them(paid: StudyFile) -> None:
    plain = plan(paid(("[none, pair]", "[none]"))).judging[0]
    searched = plan(paid()).judging[0]
    assert plain.calls == 6
    assert searched.calls == 6 + 6 * (3 + 1), "each try, and the trial's own verdict"
    assert searched.usd > plain.usd
    run(paid(), preflight=False)
    assert plan(paid()).judging[0].calls == 0


def test_the_time_of_attackers_is_not_their_targets_pace(study_file: StudyFile, fake: type[FakeBackend]) -> None:
    one = ("  cot: {strategy: zero_shot_cot, thinking_tokens: 20}\n", "")
    attacked = (
        "benchmarks:",
        'attackers: {writer: {model: "fake:writer"}}\nattacks: [none, pair]\nbenchmarks:',
    )
    harm = ("arithmetic:6, harmful:5", "harmful:5")
    run(study_file(one, attacked, harm), preflight=False)
    more = plan(study_file(one, attacked, ("arithmetic:6, harmful:5", "harmful:6")))
    assert more.estimate.most_tokens == 10 + 3 * 10
    assert more.estimate.seconds == pytest.approx(40 * 0.5 / 10), "half a second for an answer of at most 10 tokens"
