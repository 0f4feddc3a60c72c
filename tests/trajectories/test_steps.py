from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byte_codec import ByteCodec
from oldham.core.errors import ConfigError
from oldham.core.thinking import Span
from oldham.engine.token_layout import token_offsets
from oldham.trajectories.steps import StepOptions, cut, sentence_ends

PIECES = [*"ab C1.?!:;,\n\t-*\"'()", "é", "…", "。", "你", "👩‍🚀", "\ufffd", "Dr.", "e.g.", " 3.5 "]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)
PLACES = st.lists(st.integers(min_value=0, max_value=400), max_size=60)
SIZES = st.tuples(st.integers(1, 15), st.integers(15, 40))


def sentences(text: str, shortest: int = 1, longest: int = 600) -> list[str]:
    ends = sentence_ends(text, StepOptions(shortest, longest))
    return [text[a:b] for a, b in itertools.pairwise([0, *ends])]


@given(TEXTS, PLACES, st.integers(0, 400), st.integers(0, 400), SIZES)
def test_steps_tile_the_trace_in_characters_and_in_tokens(
    text: str, places: list[int], one: int, other: int, sizes: tuple[int, int]
) -> None:
    codec = ByteCodec.cutting(text, places)
    offsets = token_offsets(codec.ids, text, codec.decode)
    assert offsets is not None
    trace = Span(*sorted((one % (len(text) + 1), other % (len(text) + 1))))
    steps = cut(text, trace, offsets, StepOptions(*sizes))
    inside = [
        i for i in range(len(offsets.tokens)) if trace.start <= offsets.characters[i] <= trace.end
    ]  # places at which the model could be stopped in the trace
    if not steps:
        assert len(inside) < 2 or offsets.tokens[inside[0]] == offsets.tokens[inside[-1]]
        return
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert "".join(text[step.start : step.end] for step in steps) == trace.of(text)
    assert (steps[0].start, steps[-1].end) == trace
    assert all(a.end == b.start and a.token_end == b.token_start for a, b in itertools.pairwise(steps))
    assert all(step.token_start < step.token_end for step in steps)
    for step in steps[:-1]:
        assert codec.decode(codec.ids[: step.token_end]) == text[: step.end], "a boundary lies between two tokens"
    assert steps[0].token_start == offsets.tokens[inside[0]]
    assert steps[-1].token_end == offsets.tokens[inside[-1]], "no whole token of the trace is dropped"


@given(TEXTS, SIZES)
def test_sentences_keep_to_their_limits(text: str, sizes: tuple[int, int]) -> None:
    shortest, longest = sizes
    parts = sentences(text, shortest, longest)
    assert "".join(parts) == text
    assert all(0 < len(part) <= longest for part in parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One is here. Two is here.", ["One is here. ", "Two is here."]),
        ("It weighs 3.5 kg. So it does", ["It weighs 3.5 kg. ", "So it does"]),
        ("Dr. Smith and e.g. Mr. Jones vs. me.", ["Dr. Smith and e.g. Mr. Jones vs. me."]),
        ("See No. 5 and Fig. 2 of J. Doe.", ["See No. 5 and Fig. 2 of J. Doe."]),
        ("No. That is wrong.", ["No. ", "That is wrong."]),
        ("So did I. You did not.", ["So did I. ", "You did not."]),
        ("1. Add them.\n2. Stop.", ["1. Add them.\n", "2. Stop."]),
        ("- a) Add them. (b) Stop", ["- a) Add them. ", "(b) Stop"]),
        ('He said "No!" and left. "Why?" I asked', ['He said "No!" and left. ', '"Why?" ', "I asked"]),
        ("Well... maybe. Hm… Yes", ["Well... maybe. ", "Hm… ", "Yes"]),
        ("def f():\n    return 1.0\n\n\nDone.", ["def f():\n", "    return 1.0\n\n\n", "Done."]),
        ("好。然后呢？再见", ["好。", "然后呢？", "再见"]),
        ("the last one has no end", ["the last one has no end"]),
        ("\n\n", ["\n\n"]),
        ("", []),
    ],
)
def test_sentences_and_lines(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def test_short_ones_join_the_next_and_the_last_joins_the_one_before() -> None:
    assert sentences("Ok. Now add three and four. So.", 12) == ["Ok. Now add three and four. So."]
    assert sentences("Now add three. Then add four. So.", 12) == ["Now add three. ", "Then add four. So."]


def test_long_ones_are_cut_at_white_space_into_equal_parts() -> None:
    parts = sentences("word " * 50, 1, 100)
    assert max(map(len, parts)) <= 100
    assert all(part.endswith(" ") for part in parts)
    assert min(map(len, parts)) > 60
    assert [len(part) for part in sentences("x" * 250, 1, 100)] == [84, 83, 83]


def test_a_boundary_inside_a_token_moves_to_its_end() -> None:
    text = "One here.\nTwo here.\nThree"
    codec = ByteCodec([b"One", b" here", b".\nTwo", b" here.", b"\n", b"Three"])
    offsets = token_offsets(codec.ids, text, codec.decode)
    assert offsets is not None
    steps = cut(text, Span(0, len(text)), offsets, StepOptions(1))
    assert [text[step.start : step.end] for step in steps] == ["One here.\nTwo", " here.\n", "Three"]
    assert [(step.token_start, step.token_end) for step in steps] == [(0, 3), (3, 5), (5, 6)]


def test_a_token_that_reaches_into_the_answer_belongs_to_no_step() -> None:
    text = "One here. Two Final answer: 7"
    codec = ByteCodec([b"One", b" here.", b" Two", b" Final", b" answer:", b" 7"])
    offsets = token_offsets(codec.ids, text, codec.decode)
    assert offsets is not None
    steps = cut(text, Span(0, text.index("Final")), offsets, StepOptions(1))
    assert steps[-1].end == text.index("Final"), "its space is in the trace"
    assert steps[-1].token_end == 3, "its word is not"


@pytest.mark.parametrize("limits", [(0, 5), (6, 5)])
def test_impossible_limits_are_refused(limits: tuple[int, int]) -> None:
    with pytest.raises(ConfigError):
        StepOptions(*limits)
