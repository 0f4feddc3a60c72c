"""Which cells are drawn several times, and where the plan says that an attack has no place."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl
import pytest

from oldham.attacks import attack_of
from oldham.attacks.attacker import Attacker
from oldham.core.errors import ConfigError
from oldham.coupling import couple
from oldham.studies.attacks import draws_anew
from oldham.studies.plan import plan
from oldham.studies.run import run
from oldham.studies.spec import Study
from study_writer import ATTACKED, study_writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    StudyFile = Callable[..., Path]

STUDY = f"""\
{ATTACKED}\
attacks: [none, base64, persuasion]
draws: 2
benchmarks: [arithmetic:2, harmful:3]
"""
ATTACKS = "[none, base64, persuasion]"


@pytest.fixture
def study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFile:
    monkeypatch.chdir(tmp_path)
    return study_writer(tmp_path, STUDY)


def draws(study: Path) -> dict[tuple[str, str], int]:
    """Count the draws of each arm's first item under each attack."""
    trials = [planned.trial for planned in plan(study).trials]
    return dict(Counter((t.arm, t.attack) for t in trials if t.item == trials[0].item))


def test_greedy_arms_draw_again_where_the_attack_does(study_file: StudyFile) -> None:
    path = study_file()
    each = {"none": 1, "base64": 1, "persuasion": 2}
    assert draws(path) == {(arm, attack): n for arm in ("direct", "cot") for attack, n in each.items()}
    line = (
        "Under `direct`, `cot`, which decode greedily, `none`, `base64` would give the same text 2 times and have one "
        "draw; `persuasion` has 2."
    )
    assert line in plan(path).warnings
    result = run(path)
    assert result.n_generated == 2 * 5 * 4
    shared = result.observations.filter(pl.col("attack") == "none")
    assert set(shared["draw"]) == {0}
    made = couple(result.observations, baseline="direct")
    assert "persuasion" in made.summary()


def test_an_arm_that_samples_draws_under_every_attack(study_file: StudyFile) -> None:
    path = study_file(("thinking_tokens: 20}", "thinking_tokens: 20, temperature: 0.5}"))
    counted = draws(path)
    assert {n for (arm, _), n in counted.items() if arm == "cot"} == {2}
    assert [counted["direct", attack] for attack in ("none", "base64", "persuasion")] == [1, 1, 2]
    assert any(
        line.startswith("Under `direct`, which decode greedily, `none`, `base64`") for line in plan(path).warnings
    )
    warm = plan(study_file(("answer_tokens: 30}", "answer_tokens: 30, temperature: 0.5}")))
    assert not any("decode greedily" in line for line in warm.warnings)
    single = plan(study_file(("draws: 2", "draws: 1")))
    assert not any("decode greedily" in line for line in single.warnings)


@pytest.mark.parametrize(
    ("attacks", "named"),
    [
        ("[none]", ""),
        ("[none, base64, persona]", "under `base64`, `persona` it is asked the same each time"),
        ("[none, {attack: chained_transforms, length: 0}]", "under `chained_transforms[length=0]` it is asked"),
        ("[hijack]", "under `hijack` it is asked"),
    ],
)
def test_draws_that_would_all_be_equal_are_refused(study_file: StudyFile, attacks: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Study.load(study_file((ATTACKS, attacks)))
    assert caught.value.place is not None
    assert caught.value.place.endswith("study.yaml:10")
    assert "its 2 draws would be equal" in caught.value.message
    assert named in caught.value.message


def test_an_attacker_that_decodes_greedily_writes_the_same_again(study_file: StudyFile) -> None:
    with pytest.raises(ConfigError, match="under `base64`, `persuasion` it is asked the same each time"):
        Study.load(study_file(("tokens: 200", "tokens: 200, temperature: 0")))


def test_what_draws_anew_is_seen_by_what_it_asks() -> None:
    expected = {"chained_transforms": True, "chained_transforms[length=0]": False, "base64": False, "none": False}
    expected |= {"pair": True, "pair[depth=0]": False, "base64+persuasion": True}
    assert {label: draws_anew(attack_of(label)) for label in expected} == expected
    cold = attack_of("pair")
    cold.parts[0].attacker = Attacker(temperature=0.0)  # type: ignore[attr-defined]
    assert not draws_anew(cold)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items of arithmetic are scored by the likelihood of given answers."""
    choices = ("yes", "no")
    monkeypatch.setattr("oldham.prompts.build._choices", lambda item: choices if item.benchmark == "arithmetic" else ())


@pytest.mark.usefixtures("scored")
def test_a_plan_says_on_which_benchmarks_an_attack_is_left_out(study_file: StudyFile) -> None:
    made = plan(study_file((ATTACKS, "[none, prefill, early_close]"), ("draws: 2", "draws: 1")))
    assert {p.item.benchmark for p in made.trials if p.trial.attack == "prefill"} == {"harmful"}
    told = [line for line in made.warnings if "is left out" in line]
    assert told == [
        "`prefill` is left out on `arithmetic` under `direct`, `cot`: its answers are scored, not written.",
        "`early_close` is left out under `direct`: there is no trace.",
    ]


@pytest.mark.usefixtures("scored")
def test_words_are_refused_over_chat_only_where_they_would_be_put(study_file: StudyFile) -> None:
    chat = ("scripted:mixed", "openai:m@http://127.0.0.1:9/v1")
    words, once = (ATTACKS, "[none, prefill]"), ("draws: 2", "draws: 1")
    with pytest.raises(ConfigError, match="asked over chat"):
        plan(study_file(chat, words, once))
    made = plan(study_file(chat, words, once, ("arithmetic:2, harmful:3", "arithmetic:2")))
    assert {planned.trial.attack for planned in made.trials} == {"none"}
    assert any(line.startswith("`prefill` is left out under `direct`, `cot`: its answers") for line in made.warnings)
