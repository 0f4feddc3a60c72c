from __future__ import annotations

import math
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from plain_reader import read_plain

from oldham.core.errors import ConfigError
from oldham.core.records import Item, Message, PromptPlan, Sampling, Trial
from oldham.core.thinking import ThinkingState
from oldham.trajectories.openings import Openings, opening_tokens, read_openings
from oldham.trajectories.readouts import (
    ReadoutOptions,
    UnreadableTraceError,
    cue_after,
    given_answers,
    prepare,
    read,
)
from oldham.trajectories.steps import StepOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oldham.backends.transformers import TransformersBackend
    from oldham.core.records import Generation

pytestmark = pytest.mark.model

TAGGED = {"special": ("<think>", "</think>")}
OPENINGS = Openings(refusing=("four no", "seven"), complying=("and To", "apples"), leads=(" ", "\n\n"))
OPTIONS = ReadoutOptions(openings=OPENINGS, steps=StepOptions(1, 12))


@pytest.fixture
def load(tiny_model: Callable[..., Path]) -> Callable[..., TransformersBackend]:
    import torch

    from oldham.backends.transformers import TransformersBackend

    torch.set_num_threads(1)
    return lambda **settings: TransformersBackend.load(f"path:{tiny_model(**settings)}")


class Case:
    """A tiny model's own generation, with everything that reading it takes."""

    def __init__(self, backend: TransformersBackend, *, tokens: int = 24, draw: int = 0, cue: str = "Answer:") -> None:
        from oldham.backends.base import Request
        from oldham.backends.chat import ChatFormat, TokenizerCodec

        trial = Trial(arm="a", arm_fingerprint="a", benchmark="b", item="i", item_fingerprint="i", draw=draw)
        self.plan = PromptPlan(
            messages=(Message(role="user", content="What is two plus two?"),),
            thinks=True,
            trace_open="Let us",
            answer_open=cue,
            thinking_tokens=tokens,
            answer_tokens=4,
        )
        self.backend = backend
        (self.generation,) = backend.generate([Request(trial, self.plan, Sampling(temperature=1.0))])
        tokenizer = backend.tokenizer
        codec = TokenizerCodec(tokenizer, [tokenizer.eos_token_id])
        self.chat = ChatFormat(tokenizer, tokenizer.chat_template, codec)
        self.script = self.chat.open(self.plan).script

    def prepared(self, generation: Generation | None = None, answers: tuple[str, ...] = ()) -> Any:
        return prepare(generation or self.generation, self.script, self.chat.codec, OPTIONS, answers)


@pytest.mark.parametrize("settings", [{}, TAGGED], ids=["cue", "tags"])
@pytest.mark.parametrize("cue", ["Answer:", ""])
def test_the_last_probe_is_what_the_backend_really_put_there(
    load: Callable[..., Any], settings: dict[str, Any], cue: str
) -> None:
    backend = load(**settings)
    forced = 0
    for draw in range(6):
        case = Case(backend, draw=draw, cue=cue)
        generation = case.generation
        if generation.trace_stop != "budget_forced" or not generation.trace_text:
            continue
        prepared = case.prepared()
        after, tokens = prepared.cues[-1]
        read_ids = (*prepared.ids[:after], *tokens)
        both = (*generation.prompt_ids, *generation.output_ids)
        assert both[: len(read_ids)] == read_ids, "closing and opening are the machine's own tokens"
        assert generation.answer is not None
        text = case.chat.codec.decode(read_ids[len(generation.prompt_ids) :])
        assert text == generation.output_text[: generation.answer.start + len(cue)], "and all of them"
        forced += 1
    assert forced >= 3


@pytest.mark.parametrize("settings", [{}, TAGGED], ids=["cue", "tags"])
def test_a_readout_is_the_plain_forward_of_the_text_it_stands_for(
    load: Callable[..., Any], settings: dict[str, Any]
) -> None:
    import torch

    case = Case(load(**settings))
    answers = ("7", "four")
    prepared = case.prepared(answers=answers)
    options = ReadoutOptions(openings=OPENINGS, steps=OPTIONS.steps, layers=(0, -1))
    packed = read(case.backend.model, prepared, options)
    plain = read(case.backend.model, prepared, options, read_plain)
    assert len(packed.readouts) == len(prepared.steps) + 1 > 3
    assert not math.isnan(packed.readouts[0].log_odds_first)
    for one, other in zip(packed.readouts, plain.readouts, strict=True):
        assert (one.step, one.fraction) == (other.step, other.fraction)
        for name in ("log_odds", "log_odds_first", "mass", "mass_first", "entropy"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=2e-5), name
        np.testing.assert_allclose(one.answers, other.answers, atol=2e-5)
        np.testing.assert_allclose(one.hidden, other.hidden, atol=2e-4)
    # And one of them from the text itself, without tokens of ours.
    step = prepared.steps[1]
    codec, generation = case.chat.codec, case.generation
    written = codec.decode(generation.output_ids[: step.token_end])
    close = case.script.bridge + case.script.answer_open
    kept = next(n for n in range(len(close), -1, -1) if written.endswith(close[:n]))
    start = [*generation.prompt_ids, *generation.output_ids[: step.token_end]]
    start += codec.encode(close[kept:].removesuffix("Answer:")) + codec.encode("Answer:")

    def probability(opening: str) -> float:
        ids = codec.encode(opening)
        with torch.inference_mode():
            told = case.backend.model(input_ids=torch.tensor([start + ids])).logits[0].double().log_softmax(-1)
        return math.exp(sum(float(told[len(start) + i - 1, token]) for i, token in enumerate(ids)))

    refuse = sum(probability(lead + text) for lead in (" ", "\n\n") for text in OPENINGS.refusing)
    comply = sum(probability(lead + text) for lead in (" ", "\n\n") for text in OPENINGS.complying)
    second = packed.readouts[2]
    assert second.log_odds == pytest.approx(math.log(refuse / comply), abs=1e-4)
    assert second.p_refuse == pytest.approx(refuse / (refuse + comply), abs=1e-5)
    assert second.mass == pytest.approx(refuse + comply, rel=1e-4)


def test_fractions_run_from_nothing_to_all_of_the_trace(load: Callable[..., Any]) -> None:
    fractions = Case(load()).prepared().fractions
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert list(fractions) == sorted(set(fractions))


def test_a_trace_that_ends_in_all_of_the_cue_is_read_after_its_last_token(load: Callable[..., Any]) -> None:
    case = Case(load(), cue="")  # nothing but a blank line closes it
    generation = case.generation
    codec = case.chat.codec
    ids = (*codec.encode("two plus two."), *codec.encode("\n\n"))
    text = codec.decode(ids)
    assert text.endswith("\n\n")
    written = generation.model_copy(
        update={"output_ids": ids, "output_text": text, "trace": (0, len(text)), "answer": None, "forced": ()}
    )
    written = type(generation).model_validate(written.model_dump())
    assert cue_after(ids, case.script, codec) == ()
    prepared = case.prepared(written)
    assert prepared.cues[-1] == (len(generation.prompt_ids) + len(ids) - 1, (ids[-1],))


def test_stored_text_without_tokens_is_read_only_where_it_is_spelt_exactly(load: Callable[..., Any]) -> None:
    case = Case(load())
    told = case.prepared()
    bare = case.generation.model_copy(update={"prompt_ids": (), "output_ids": ()})
    again = case.prepared(bare)
    assert case.chat.codec.decode(again.ids) == case.chat.codec.decode(told.ids)
    lossy = copy(case.chat.codec)
    lossy.encode = lambda text: case.chat.codec.encode(text.lower())
    with pytest.raises(UnreadableTraceError, match="does not spell it exactly"):
        prepare(bare, case.script, lossy, OPTIONS)


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"trace": None}, "empty"),
        ({"thinking_state": ThinkingState.MALFORMED}, "pair up"),
        ({"output_text": "something else entirely, which no token spells"}, "do not spell"),
    ],
)
def test_what_cannot_be_read_says_why(load: Callable[..., Any], update: dict[str, Any], reason: str) -> None:
    case = Case(load())
    with pytest.raises(UnreadableTraceError, match=reason):
        case.prepared(case.generation.model_copy(update=update))


def test_a_trace_beyond_the_models_length_says_so(load: Callable[..., Any]) -> None:
    case = Case(load())
    prepared = case.prepared()
    case.backend.model.config.max_position_embeddings = len(prepared.ids)
    with pytest.raises(UnreadableTraceError, match="the model reads"):
        read(case.backend.model, prepared, OPTIONS, read_plain)


def test_openings_that_overlap_are_left_out_and_said(load: Callable[..., Any]) -> None:
    codec = Case(load()).chat.codec
    both = Openings(
        refusing=("I", "nothing at all", "No, thanks"), complying=("I can", "nothing", "No, thanks, but yes")
    )
    told = opening_tokens(both, codec, ("",))
    assert told.refusing == (tuple(codec.encode("nothing at all")),), "what begins the other list's is vague"
    assert told.complying == (tuple(codec.encode("I can")), tuple(codec.encode("No, thanks, but yes")))
    assert len(told.notes) == 3
    shared = Openings(refusing=("three and", "not"), complying=("three four", "yes"))
    told = opening_tokens(shared, codec, ("",))
    first = {codec.encode(text)[0] for text in ("three and", "three four")}
    assert len(first) == 1
    assert not first & {*told.refusing_first, *told.complying_first}
    assert "First tokens of both lists" in told.notes[0]
    with pytest.raises(ConfigError, match="refusing openings"):
        opening_tokens(Openings(refusing=("I",), complying=("I can",)), codec, ("",))


def test_an_opening_is_counted_once(load: Callable[..., Any]) -> None:
    codec = Case(load()).chat.codec
    told = opening_tokens(Openings(refusing=("not", "not at all"), complying=("yes",)), codec)
    assert told.refusing == (tuple(codec.encode(" not")),)


def test_the_openings_that_ship_can_be_told_apart() -> None:
    shipped = read_openings()
    assert "I'm sorry" in shipped.refusing
    assert not any(r.startswith(c) or c.startswith(r) for r in shipped.refusing for c in shipped.complying)


def test_given_answers_come_from_the_plan_then_the_reference() -> None:
    def item(**reference: Any) -> Item:
        return Item(id="i", benchmark="b", axis="reasoning", cluster="c", category="c", prompt="?", reference=reference)

    plan = PromptPlan(messages=(), thinks=True)
    assert given_answers(item(answer="7"), plan) == ("7",)
    assert given_answers(item(answer="x" * 100), plan) == ()
    assert given_answers(item(choices=["a", "b", "c"], letter="B"), plan) == ("A", "B", "C")
    assert given_answers(item(choices=["a", "b"]), plan) == ("a", "b")
    assert given_answers(item(likeness="x"), plan) == ()
    assert given_answers(item(answer="7"), plan.model_copy(update={"choices": ("yes", "no")})) == ("yes", "no")
