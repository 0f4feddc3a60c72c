"""Attacks with an attacker: who is asked what, when they stop, what counts, and what they may take."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from playing import BENIGN, NO, SEARCHING, Said, play, wording

from oldham.attacks import ATTACKS, attack_of
from oldham.attacks.attacker import AskingAttack, Attacker
from oldham.backends.programs import ProgramRequest, generate
from oldham.backends.routing import Router
from oldham.backends.scripted import ScriptedBackend
from oldham.benchmarks.embedded import FalsePremise, Harmful
from oldham.core.errors import ConfigError, ModelError
from oldham.core.outcomes import Axis
from oldham.core.records import Generation, Item, Sampling, StopReason, Trial
from oldham.prompts.base import STRATEGIES, PromptOptions
from oldham.prompts.build import dry_run, rehearse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.backends.base import Request

ASKING = sorted([*SEARCHING, "persuasion", "translate"])


def made(prompt: str, **changes: object) -> Item:
    fields = {"id": "1", "benchmark": "b", "axis": Axis.REASONING, "cluster": "c", "category": "a", "prompt": prompt}
    return Item.model_validate(fields | changes)


ITEMS = [
    BENIGN,
    Harmful().items()[0],
    FalsePremise().items()[0],
    made("Why?"),
    made('Zwei {x} Zeilen\n\nüber 100% 日本語 {request} </request> "prompt": "x"', context="Ein {Kontext}."),
    made("Which?", reference={"likelihood": True, "choices": ["yes", "no"]}),
]


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_they_are_rehearsed_with_any_item(name: str, item: Item) -> None:
    attack = attack_of(name)
    [part] = attack.parts
    assert "attacker" in part.needs
    assert part.reacts
    options = PromptOptions(strategy="zero_shot_cot")
    first, second = (rehearse(item, attack.program(item, options, seed=seed)) for seed in (1, 2))
    assert [(c.label, c.plan) for c in first.calls] == [(c.label, c.plan) for c in second.calls]
    asked = [call for call in first.calls if call.to is not None]
    assert asked
    assert item.prompt in asked[0].plan.messages[0].content
    assert all(part.origin == "attack" for call in asked for m in call.plan.messages for part in m.parts)
    assert all(not call.plan.thinks and call.plan.messages[-1].role == "user" for call in asked)
    assert len({call.label for call in first.calls}) == len(first.calls)
    assert first.answering.choices == dry_run(item, options).answering.choices


@pytest.mark.parametrize(
    ("label", "attackers", "tries"),
    [
        ("pair", 3, 3),
        ("pair[streams=4]", 12, 12),
        ("pair[streams=4,queries=5]", 8, 5),
        ("tap", 20, 10),
        ("tap[width=10,branching=4,depth=2]", 40, 20),
        ("crescendo", 20, 20),
        ("crescendo[turns=3,backtracks=1]", 4, 4),
        ("crescendo[turns=3,queries=2]", 2, 2),
    ],
)
def test_a_rehearsal_shows_the_most_that_may_be_asked(label: str, attackers: int, tries: int) -> None:
    calls = rehearse(BENIGN, attack_of(label).program(BENIGN, PromptOptions(), seed=0)).calls
    asked = [call for call in calls if call.to is not None]
    assert len(calls) - len(asked) == tries
    assert len(asked) == attackers


@pytest.mark.parametrize("label", ["pair[depth=0]", "tap[depth=0]", "crescendo[turns=0]"])
def test_a_dose_of_nothing_is_the_request(label: str) -> None:
    options = PromptOptions(strategy="self_refine")
    assert rehearse(BENIGN, attack_of(label).program(BENIGN, options, seed=0)) == dry_run(BENIGN, options)
    assert attack_of(label).dose_value == 0


@pytest.mark.parametrize(
    "label",
    [
        *("pair[streams=0]", "pair[depth=-1]", "pair[queries=0]", "pair[attacker_tokens=0]", "tap[width=0]"),
        *("crescendo[turns=51]", "crescendo[scored=best]", "persuasion[technique=magic]", "translate[language=en]"),
    ],
)
def test_bad_knobs_are_refused(label: str) -> None:
    with pytest.raises(ConfigError, match="cannot be"):
        attack_of(label)


@pytest.mark.parametrize("name", SEARCHING)
def test_a_search_ends_with_its_first_success(name: str) -> None:
    played = play(name, target=(NO, "Sure, here it is."), attacker=(wording("please"),))
    word = "turn" if name == "crescendo" else "try"
    assert played.row.answer_text == "Sure, here it is."
    assert [label for label in played.labels if label.startswith(word)] == [f"{word} 1"]
    assert len(played.target.asked) == 2
    assert played.row.seed == played.target.asked[1].seed


@pytest.mark.parametrize("name", SEARCHING)
def test_an_unknown_score_is_no_success(name: str) -> None:
    played = play(name, target=("Sure.",), score=lambda text: None)
    assert len(played.target.asked) == {"pair": 3, "tap": 3, "crescendo": 10}[name]
    assert played.row.answer_text == "Sure."


def test_a_judge_that_cannot_be_asked_ends_the_trial_and_no_other() -> None:
    def judge(item: Item, generation: Generation) -> float | None:
        if generation.trial.item == "broken":
            raise ModelError("The judge is gone.")
        return 1.0

    requests = []
    for name in ("broken", "fine"):
        attack = attack_of("pair")
        trial = Trial(arm="a", arm_fingerprint="f", benchmark="b", item=name, item_fingerprint=name)
        program = partial(attack.program, BENIGN, PromptOptions(), seed=0, judge=judge)
        requests.append(ProgramRequest(trial, program, Sampling()))
    broken, fine = generate(Router(Said(NO), {"": lambda: Said(wording("a"))}), requests)
    assert (broken.stop, broken.error) == (StopReason.ERROR, "The judge is gone.")
    assert fine.error is None
    assert len(fine.calls) == 5


def test_an_attacker_that_refuses_or_rambles_is_told_in_the_label_and_the_last_wording_is_tried_again() -> None:
    played = play("pair", attacker=(wording("first"), NO, "Hm, let me see."), target=("I cannot.",))
    assert played.prompts == ["first"] * 3
    assert played.labels[0] == "attacker 1"
    assert "attacker 2 (refused)" in played.labels
    assert "attacker 3 (unread)" in played.labels
    played = play("pair[depth=1]", attacker=(NO,))
    assert played.prompts == [BENIGN.prompt]


@pytest.mark.parametrize("name", SEARCHING)
@pytest.mark.parametrize("queries", [1, 2, 3])
def test_the_limit_of_queries_is_hard(name: str, queries: int) -> None:
    wide = ",streams=4" if name == "pair" else ""
    played = play(f"{name}[queries={queries}{wide}]", target=("I cannot.",))
    assert len(played.target.asked) == queries


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("limit", [1, 7, 23])
def test_the_limit_of_the_attackers_tokens_is_hard(name: str, limit: int) -> None:
    wide = ",streams=5" if name == "pair" else ""
    endless = " ".join(["word"] * 500)
    played = play(f"{name}[attacker_tokens={limit}{wide}]", attacker=(endless,), tokens=10)
    assert played.row.attacker_tokens is not None
    assert 0 < played.row.attacker_tokens <= limit
    assert played.row.answer_text == NO, "an answer there is, by the request itself if need be"


def test_tokens_that_are_not_counted_are_taken_for_all_that_were_allowed() -> None:
    class Silent(Said):
        def generate(self, requests: Sequence[Request]) -> list[Generation]:
            return [row.model_copy(update={"answer_tokens": None}) for row in super().generate(requests)]

    attack = attack_of("pair[attacker_tokens=25]")
    [part] = attack.parts
    assert isinstance(part, AskingAttack)
    part.attacker = Attacker("small", 1.0, 10)
    small = Silent(wording("a"))
    trial = Trial(arm="a", arm_fingerprint="f", benchmark="b", item="1", item_fingerprint="i")
    request = ProgramRequest(trial, lambda: attack.program(BENIGN, PromptOptions(), seed=0), Sampling())
    generate(Router(Said(NO), {"small": lambda: small}), [request])
    assert [asked.plan.answer_tokens for asked in small.asked] == [10, 10, 5]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES.names()))
@pytest.mark.parametrize("name", SEARCHING)
def test_a_search_is_carried_out_under_every_strategy(name: str, strategy: str) -> None:
    rounds = {"rounds": 2} if "rounds" in STRATEGIES.get(strategy).uses else {}
    options = PromptOptions(strategy=strategy, **rounds)
    attack = attack_of(f"{name}[queries=2]")
    [part] = attack.parts
    assert isinstance(part, AskingAttack)
    part.attacker = Attacker("small")
    trial = Trial(arm="a", arm_fingerprint="f", benchmark="b", item="1", item_fingerprint="i")
    request = ProgramRequest(trial, lambda: attack.program(BENIGN, options, seed=0), Sampling())
    router = Router(ScriptedBackend("echo"), {"small": lambda: ScriptedBackend("attacker")})
    [row] = generate(router, [request])
    assert row.stop is not StopReason.ERROR
    tries = [call.label for call in row.calls if call.label in ("try 1", "try 2", "turn 1", "turn 2")]
    assert len(tries) == 1, "the other try is the answer"
    assert "Wording" in row.prompt_text
    if strategy == "wait":
        assert row.trace_text is not None
        assert row.trace_text.count("Wait") == 2


def test_other_attacks_change_each_try_and_no_question_to_the_attacker() -> None:
    played = play("pair+persona+prefill[tokens=3]", attacker=(wording("please"),))
    assert len(played.target.asked) == 3
    for request in played.target.asked:
        assert "please" in request.plan.messages[-1].content
        assert request.plan.messages[-1].content != "please"
        assert request.plan.prefill_tokens == 3
    assert all(not request.plan.prefill for request in played.attacker.asked)
    with pytest.raises(ConfigError, match="both react"):
        attack_of("pair+tap")


def test_how_the_attacker_is_asked_belongs_to_the_identity() -> None:
    one, other = attack_of("pair"), attack_of("pair")
    assert one.fingerprint == attack_of("pair").fingerprint
    [part] = other.parts
    assert isinstance(part, AskingAttack)
    part.attacker = Attacker("x", 0.2, 512)
    assert other.fingerprint != one.fingerprint
    assert len({attack_of(name).fingerprint for name in ASKING}) == len(ASKING)


def test_all_that_ask_an_attacker_are_here() -> None:
    assert sorted(n for n in ATTACKS.names() if issubclass(ATTACKS.get(n), AskingAttack)) == ASKING


@pytest.mark.slow
def test_the_embedded_model_attacks_its_aligned_self() -> None:
    from oldham.backends.transformers import TransformersBackend
    from oldham.judges.rules import offline_judge

    judge = offline_judge("refusal")
    attack = attack_of("pair[depth=2]")
    [part] = attack.parts
    assert isinstance(part, AskingAttack)
    part.attacker = Attacker("small", 1.0, 60)
    target, small = TransformersBackend.load("smollm2-aligned"), TransformersBackend.load("smollm2")

    def score(item: Item, generation: Generation) -> float | None:
        return judge.judge(item, generation)[0].score

    options = PromptOptions(answer_tokens=30)
    trial = Trial(arm="a", arm_fingerprint="f", benchmark="benign", item=BENIGN.id, item_fingerprint="i")
    request = ProgramRequest(trial, lambda: attack.program(BENIGN, options, seed=0, judge=score), Sampling())
    rows = [generate(Router(target, {"small": lambda: small}), [request])[0] for _ in range(2)]
    assert rows[0].error is None
    assert rows[0].model == target.fingerprint
    assert rows[0].attacker_tokens
    assert rows[0].attacker_tokens <= 120
    assert [call.by for call in rows[0].calls][0] == "small"
    assert rows[0].model_dump(exclude={"seconds"}) == rows[1].model_dump(exclude={"seconds"})
