from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from oldham.core.errors import DataError, LedgerError, ModelError
from oldham.studies.plan import plan
from oldham.studies.run import chunked, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_backend import FakeBackend

    StudyFile = Callable[..., Path]


def test_a_plan_counts_cells_and_tokens(study_file: StudyFile) -> None:
    made = plan(study_file())
    assert made.n_cells == 2 * 11
    assert len(made.trials) == len(made.distinct) == made.estimate.trials == 22
    assert made.estimate.most_tokens == 11 * 10 + 11 * 30
    prompts = sum(sum(len(m.content) for m in p.prompt.messages) // 4 for p in made.trials)
    assert made.estimate.prompt_tokens == prompts
    assert made.estimate.seconds is None, "no rate was measured, so none is claimed"


def test_planning_loads_no_model_and_leaves_nothing_behind(
    study_file: StudyFile, fake: type[FakeBackend], tmp_path: Path
) -> None:
    plan(study_file())
    assert fake.loads == []
    assert [p.name for p in tmp_path.iterdir()] == ["study.yaml"]


def test_draws_and_seed_make_other_trials(study_file: StudyFile) -> None:
    one = plan(study_file(("answer_tokens: 10", "answer_tokens: 10, temperature: 1")))
    two = plan(
        study_file(("answer_tokens: 10", "answer_tokens: 10, temperature: 1"), ("benchmarks", "draws: 2\nbenchmarks"))
    )
    other = plan(
        study_file(("answer_tokens: 10", "answer_tokens: 10, temperature: 1"), ("benchmarks", "seed: 1\nbenchmarks"))
    )
    assert len(two.distinct) == 2 * len(one.distinct)
    assert one.distinct.keys() < two.distinct.keys()
    assert not one.distinct.keys() & other.distinct.keys()
    assert len({p.trial.seed for p in two.trials}) == len(two.trials)


@pytest.mark.parametrize(
    "change",
    [
        ("fake:one", "fake:two"),
        ("answer_tokens: 10", "answer_tokens: 11"),
        ("answer_tokens: 10", "answer_tokens: 10, temperature: 0.5"),
        ("answer_tokens: 10", "answer_tokens: 10, safety: self_reminder"),
        ("answer_tokens: 10", "answer_tokens: 10, system: Be brief."),
    ],
)
def test_every_setting_that_changes_an_output_changes_the_identity(
    study_file: StudyFile, change: tuple[str, str]
) -> None:
    assert not plan(study_file()).distinct.keys() & plan(study_file(change)).distinct.keys()


def test_a_name_is_no_part_of_the_identity(study_file: StudyFile) -> None:
    renamed = study_file(("  direct:", "  plain:"), ("baseline: direct", "baseline: plain"))
    assert plan(renamed).distinct.keys() == plan(study_file()).distinct.keys()


def test_arms_with_the_same_settings_share_their_trials(study_file: StudyFile) -> None:
    made = plan(study_file(("  direct:\n", "  direct:\n  again: {thinking_tokens: 0}\n")))
    assert len(made.trials) == 33
    assert len(made.distinct) == 22
    assert any("`again` has the same settings as `direct`" in w for w in made.warnings)


def test_what_is_stored_is_counted_and_its_speed_is_used(study_file: StudyFile) -> None:
    file = study_file()
    run(file)
    done = plan(file)
    assert done.stored == done.distinct.keys()
    assert (done.estimate.trials, done.estimate.seconds) == (0, 0)
    more = plan(study_file(("harmful:5", "harmful:7")))
    assert more.estimate.trials == 4
    # Each stored row took half a second; 22 rows were allowed 440 tokens, and 4 more are allowed 80.
    assert more.estimate.seconds == pytest.approx(80 * (22 * 0.5) / 440)


def test_rows_that_only_score_given_answers_tell_no_speed(
    study_file: StudyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oldham.prompts.build._choices", lambda _: ("yes", "no"))
    one = ("  cot: {strategy: zero_shot_cot, thinking_tokens: 20}\n", "")
    run(study_file(one))
    assert plan(study_file(one, ("harmful:5", "harmful:7"))).estimate.seconds is None


def test_the_embedded_models_speed_is_assumed_until_it_is_measured(
    study_file: StudyFile, fake: type[FakeBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oldham.studies.plan.backend_for", lambda _: fake)
    made = plan(study_file(('"fake:one"', "smollm2"))).estimate
    assert made.assumed
    assert made.seconds == pytest.approx(440 * 386 / 211_200)
    mixed = plan(study_file(('"fake:one"', "smollm2"), ("direct:", 'direct: {model: "fake:one"}'))).estimate
    assert mixed.seconds is None, "one model of unknown speed makes the sum unknown"


def test_the_queue_keeps_arms_apart_and_puts_the_longest_first(study_file: StudyFile) -> None:
    made = plan(study_file())
    queue = made.queue(made.models["fake:one"])
    assert [{p.arm.name for p in trials} for trials in queue] == [{"direct"}, {"cot"}]
    for trials in queue:
        lengths = [p.prompt_tokens + p.most_tokens for p in trials]
        assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize(
    ("n", "size", "expected"), [(0, 4, []), (3, 4, [3]), (9, 4, [3, 3, 3]), (10, 4, [3, 3, 4]), (8, 4, [4, 4])]
)
def test_batches_are_few_and_even(n: int, size: int, expected: list[int]) -> None:
    batches = list(chunked(list(range(n)), size))  # type: ignore[arg-type]
    assert [len(b) for b in batches] == expected
    assert [x for b in batches for x in b] == list(range(n))


def test_warnings_say_what_a_reader_will_object_to(study_file: StudyFile) -> None:
    text = " ".join(plan(study_file()).warnings)
    assert "`arithmetic` has 6 items" in text
    assert "axis `reasoning`" not in text
    alone = plan(
        study_file(
            ("arithmetic:6, harmful:5", "harmful"), ("  cot: {strategy: zero_shot_cot, thinking_tokens: 20}\n", "")
        )
    )
    assert "axis `reasoning`" in " ".join(alone.warnings)
    assert "only one arm" in " ".join(alone.warnings)
    sampled = plan(study_file(("answer_tokens: 10", "answer_tokens: 10, temperature: 1")))
    assert "sampling noise" in " ".join(sampled.warnings)


def test_a_model_that_is_not_there_names_the_line(study_file: StudyFile) -> None:
    with pytest.raises(ModelError, match="absent") as caught:
        plan(study_file(("  direct:", '  direct: {model: "fake:absent"}')))
    assert caught.value.place is not None
    assert caught.value.place.endswith("study.yaml:5")


def test_a_data_set_that_is_not_there_names_the_line(study_file: StudyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLDHAM_DATA", raising=False)
    with pytest.raises(DataError, match="OLDHAM_DATA") as caught:
        plan(study_file(("arithmetic:6", "gsm8k:6")))
    assert caught.value.place is not None
    assert caught.value.place.endswith("study.yaml:7")


def test_a_damaged_ledger_is_reported_and_left_alone(study_file: StudyFile, tmp_path: Path) -> None:
    ledger = tmp_path / "runs" / "small" / "ledger.sqlite"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(b"no database at all, only words " * 100)
    with pytest.raises(LedgerError, match="damaged"):
        plan(study_file())
    assert ledger.read_bytes().startswith(b"no database")


def test_a_ledger_that_was_killed_before_its_first_table_is_no_obstacle(study_file: StudyFile, tmp_path: Path) -> None:
    ledger = tmp_path / "runs" / "small" / "ledger.sqlite"
    ledger.parent.mkdir(parents=True)
    ledger.touch()
    assert plan(study_file()).estimate.trials == 22
    assert run(study_file()).n_generated == 22


@pytest.mark.skipif("OLDHAM_DATA" not in os.environ, reason="OLDHAM_DATA is not set")
def test_choices_that_a_model_cannot_score_are_warned_of(study_file: Callable[..., Path]) -> None:
    made = plan(study_file(("harmful:5", "truthfulqa_mc1:5")))
    assert any("truthfulqa_mc1" in warning and "fake:one" in warning for warning in made.warnings)


def test_a_paid_server_is_priced_beforehand_and_counted_afterwards(
    study_file: Callable[..., Path], fake: type[FakeBackend]
) -> None:
    priced = "servers: {paid: {usd_per_million_read: 0, usd_per_million_written: 1000000}}\n"
    file = study_file(
        ("baseline: direct\n", f"baseline: direct\n{priced}"), ('model: "fake:one"', 'model: "fake:one", server: paid')
    )
    made = plan(file)
    assert made.estimate.usd == made.estimate.most_tokens > 0
    fake.usd = 0.25
    done = run(file)
    assert done.usd == 0.25 * done.n_generated
    assert f"${done.usd:.2f}" in done.summary()
    assert plan(file).estimate.usd == 0


ENTRY = "{{url: 'http://127.0.0.1:1/v1{slash}', usd_per_million_read: 1, usd_per_million_written: 1, cap_usd: {cap}}}"


@pytest.mark.parametrize(
    ("second", "used", "warned"),
    [
        (ENTRY.format(slash="/", cap=7), "server: fast", True),
        (ENTRY.format(slash="", cap=3), "server: fast", False),  # says the same as the first
        (ENTRY.format(slash="", cap=7), "server: slow", False),  # the second is not used
        (ENTRY.format(slash="/other", cap=7), "server: fast", False),
        ("{url: 'http://127.0.0.1:1/v1'}", "server: fast", False),
    ],
)
def test_caps_of_two_entries_of_one_address_are_told(
    study_file: StudyFile, second: str, used: str, *, warned: bool
) -> None:
    servers = f"servers: {{slow: {ENTRY.format(slash='', cap=3)}, fast: {second}}}"
    made = plan(
        study_file(
            ("answer_tokens: 10}", "answer_tokens: 10, server: slow}"),
            ("thinking_tokens: 20", f"thinking_tokens: 20, {used}"),
            ("name: small", f"name: small\n{servers}"),
        )
    )
    told = (
        "The servers `slow`, `fast` have one address (http://127.0.0.1:1/v1) and a cap each, and their caps are apart: "
        "together up to $10."
    )
    assert (told in made.warnings) is warned
    assert any("caps are apart" in warning for warning in made.warnings) is warned
