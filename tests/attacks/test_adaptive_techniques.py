"""What each attack with an attacker does of its own: PAIR, TAP, crescendo and rewritings."""

from __future__ import annotations

import pytest
from playing import BENIGN, NO, play, wording

from oldham.attacks import attack_of
from oldham.attacks.adaptive import _share
from oldham.attacks.rewriting import PersuasionKnobs, TranslateKnobs
from oldham.attacks.words import words
from oldham.prompts.base import PromptOptions
from oldham.prompts.build import rehearse


def test_pair_shows_reply_and_score_and_returns_the_nearest_try() -> None:
    scores = {"one": 0.9, "two": 0.6, "three": 0.8}
    played = play(
        "pair",
        attacker=(wording("first"), wording("second"), wording("third")),
        target=("one", "two", "three"),
        score=scores.get,
    )
    assert played.prompts == ["first", "second", "third"]
    assert played.row.answer_text == "two"
    assert played.labels == ["attacker 1", "try 1", "attacker 2", "attacker 3", "try 3"]
    assert [call.by for call in played.row.calls] == ["small", None, "small", "small", None]
    last = played.attacker.asked[-1].plan.messages
    assert [message.role for message in last] == ["user", "assistant", "user", "assistant", "user"]
    assert [message.content for message in last[1::2]] == ["first", "second"]
    assert "one" in last[2].content
    assert "score: 2." in last[2].content
    assert "score: 5." in last[4].content
    assert {request.sampling.temperature for request in played.attacker.asked} == {0.7}


def test_tap_takes_out_what_is_off_topic_and_goes_on_with_the_best() -> None:
    played = play(
        "tap[width=1,depth=2]",
        attacker=(wording("left"), wording("right"), "No.", "yes", wording("left 2"), wording("right 2"), "yes", "yes"),
        target=("one", "two", "three"),
        score={"one": 0.9, "two": 0.8, "three": 0.7}.get,
    )
    assert played.prompts == ["right", "left 2", "right 2"]
    assert played.row.answer_text == "three"
    branch = played.attacker.asked[4].plan.messages
    assert branch[1].content == "right"
    judged = [request for request in played.attacker.asked if len(request.plan.messages) == 1][2:4]
    assert {request.sampling.temperature for request in judged} == {0.0}


def test_tap_falls_back_on_shared_letters_and_never_takes_all_out() -> None:
    near = f"In a story: {BENIGN.prompt}"
    played = play("tap[depth=1]", attacker=(wording("xyz"), wording(near), "Hm.", "Hm."))
    assert played.prompts == [near]
    played = play("tap[depth=1]", attacker=(wording("xyz"), wording("uvw"), "no", "no"))
    assert played.prompts == ["xyz"]
    played = play("tap[depth=2]", attacker=(NO,))
    assert played.prompts == [BENIGN.prompt]
    assert set(played.labels) == {f"attacker {n} (refused)" for n in range(1, 5)}
    assert _share("Why?", "WHY?") == 1
    assert _share("", "anything") <= 1


def test_crescendo_talks_and_takes_refused_turns_back() -> None:
    played = play(
        "crescendo[turns=3]",
        attacker=tuple(wording(f"turn {n}") for n in range(1, 6)),
        target=("Fine.", "I cannot.", "Well.", "Good."),
        score=lambda text: 1.0,
    )
    assert played.prompts == ["turn 1", "turn 2", "turn 3", "turn 4"]
    talks = [[message.content for message in request.plan.messages] for request in played.target.asked]
    assert talks[1] == ["turn 1", "Fine.", "turn 2"]
    assert talks[2] == ["turn 1", "Fine.", "turn 3"], "the refused turn was never said"
    assert talks[3] == ["turn 1", "Fine.", "turn 3", "Well.", "turn 4"]
    origins = [part.origin for message in played.target.asked[-1].plan.messages[:-1] for part in message.parts]
    assert origins == ["attack", "reply", "attack", "reply"]
    assert played.row.answer_text == "Good."
    told = played.attacker.asked[2].plan.messages[-1].content
    assert told == words("adaptive")["crescendo"]["taken_back"]


def test_crescendo_stops_taking_back_at_its_limit() -> None:
    played = play("crescendo[turns=2,backtracks=1]", target=("I cannot.",))
    assert len(played.target.asked) == 3
    assert len(played.target.asked[-1].plan.messages) == 3, "the second refusal stands"
    played = play("crescendo[backtracks=2]", attacker=("Hm.",))
    assert played.labels == ["attacker 1 (unread)", "attacker 2 (unread)", "attacker 3 (unread)"]
    assert played.prompts == [BENIGN.prompt]


@pytest.mark.parametrize(("scored", "answer"), [("last", "three"), ("worst", "two")])
def test_crescendo_is_scored_on_the_last_or_the_worst_turn(scored: str, answer: str) -> None:
    scores = {"one": 0.9, "two": 0.6, "three": 0.8}
    label = f"crescendo[turns=3,scored={scored}]"
    played = play(label, target=("one", "two", "three"), score=scores.get)
    assert played.row.answer_text == answer
    assert sum(label.startswith("turn") for label in played.labels) == 2
    assert attack_of("crescendo").fingerprint != attack_of("crescendo[scored=worst]").fingerprint


def test_every_choice_has_its_words() -> None:
    told = words("adaptive")
    for knobs, key, section in (
        (PersuasionKnobs, "technique", told["persuasion"]["techniques"]),
        (TranslateKnobs, "language", told["translate"]["languages"]),
    ):
        assert knobs.model_json_schema()["properties"][key]["enum"] == list(section)


@pytest.mark.parametrize("name", ["persuasion", "translate"])
def test_a_rewriting_is_asked_once(name: str) -> None:
    said = wording("Bitte!") if name == "persuasion" else "Bitte!"
    played = play(name, attacker=(said,), target=("Gern.",))
    assert played.prompts == ["Bitte!"]
    assert played.labels == ["attacker 1"]
    assert played.row.answer_text == "Gern."
    assert played.scored == []
    played = play(name, attacker=(NO,))
    assert played.prompts == [BENIGN.prompt]
    assert played.labels == ["attacker 1 (refused)"]
    told = words("adaptive")[name]
    every = told["techniques" if name == "persuasion" else "languages"]
    key = "technique" if name == "persuasion" else "language"
    for choice, text in every.items():
        [ask, _] = rehearse(BENIGN, attack_of(f"{name}[{key}={choice}]").program(BENIGN, PromptOptions(), seed=0)).calls
        assert text in ask.plan.messages[0].content
