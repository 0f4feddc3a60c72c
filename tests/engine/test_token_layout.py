from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byte_codec import ByteCodec
from oldham.core.errors import DataError
from oldham.engine.token_layout import (
    Positions,
    TokenOffsets,
    places_of,
    row_table,
    token_layout,
    token_offsets,
    token_starts,
)
from stored_texts import spell, stored

TEXTS = st.lists(st.sampled_from([*"ab \n.", "é", "…", "你", "👩‍🚀", "\ufffd"]), max_size=60).map("".join)
PLACES = st.lists(st.integers(min_value=0, max_value=400), max_size=60)
PIECES = {0: "a", 1: "bc", 2: b"\xf0\x9f", 3: b"\x98\x80", 4: " d"}


def by_bytes(ids: list[int]) -> str:
    raw = b"".join(p if isinstance(p, bytes) else p.encode() for p in (PIECES[i] for i in ids))
    return raw.decode("utf-8", errors="replace")


def without_first_space(ids: list[int]) -> str:
    return by_bytes(ids).removeprefix(" ")


def test_tokens_start_where_their_text_does() -> None:
    assert token_starts([0, 1, 4, 0], by_bytes) == [0, 1, 3, 5]


def test_pieces_of_one_character_start_with_it() -> None:
    assert token_starts([0, 2, 3, 1], by_bytes) == [0, 1, 1, 2]


def test_a_tokenizer_that_drops_the_first_space() -> None:
    assert token_starts([4, 4, 1], without_first_space) == [0, 1, 3]


def test_a_text_that_ends_within_a_character() -> None:
    assert token_starts([1, 2], by_bytes) == [0, 2]


@given(TEXTS, PLACES)
def test_every_place_between_tokens_is_exact(text: str, places: list[int]) -> None:
    codec = ByteCodec.cutting(text, places)
    offsets = token_offsets(codec.ids, text, codec.decode)
    assert offsets is not None
    for tokens, characters in zip(offsets.tokens, offsets.characters, strict=True):
        assert codec.decode(codec.ids[:tokens]) == text[:characters]
    whole = [
        count
        for count in range(len(codec.ids) + 1)
        if not codec.decode(codec.ids[:count]).endswith("\ufffd")  # ends in a whole character
    ]
    assert set(whole) <= set(offsets.tokens), "no place is left out at which the text so far is whole"


def test_tokens_that_do_not_spell_the_text_have_no_offsets() -> None:
    codec = ByteCodec([b"One", b" two"])
    assert token_offsets((0, 1), "One two", codec.decode) is not None
    assert token_offsets((0, 1), "One three", codec.decode) is None
    assert token_offsets((0,), "One two", codec.decode) is None


def test_what_follows_the_text_is_left_out() -> None:
    codec = ByteCodec([b"One", b"<end>"])
    assert token_offsets((0, 1), "One", codec.decode) == TokenOffsets((0, 1), (0, 3))


def test_a_tokenizer_that_drops_the_first_space_is_followed() -> None:
    pieces = [" One", " two", " three"]

    def decode(ids: tuple[int, ...]) -> str:
        return "".join(pieces[token] for token in ids).removeprefix(" ")

    offsets = token_offsets((0, 1, 2), "One two three", decode)
    assert offsets == TokenOffsets((0, 1, 2, 3), (0, 3, 7, 13))


def numbered(ids: tuple[int, ...]) -> str:
    """Write each token behind its place, so that no token can be decoded without all before it."""
    return "".join(f"{place}{'abc'[token]}" for place, token in enumerate(ids))


def test_a_tokenizer_that_needs_all_tokens_before_is_followed() -> None:
    assert token_offsets((2, 1, 0), "0c1b2a", numbered) == TokenOffsets((0, 1, 2, 3), (0, 2, 4, 6))
    assert token_offsets((2, 1, 0), "0c1b2", numbered) is None, "no token ends there"
    assert token_starts((2, 1, 0), numbered) == [0, 2, 4]


@given(TEXTS, PLACES)
def test_tokens_start_at_the_last_whole_place(text: str, places: list[int]) -> None:
    codec = ByteCodec.cutting(text, places)
    offsets = token_offsets(codec.ids, text, codec.decode)
    assert offsets is not None
    starts = token_starts(codec.ids, codec.decode)
    assert len(starts) == len(codec.ids)
    assert starts == sorted(starts)
    assert {c for t, c in zip(offsets.tokens, offsets.characters, strict=True) if t < len(starts)} == set(starts)


@given(st.lists(st.binary(min_size=1, max_size=3), max_size=12))
def test_tokens_of_broken_characters_start_somewhere(pieces: list[bytes]) -> None:
    codec = ByteCodec(pieces)
    starts = token_starts(codec.ids, codec.decode)
    assert len(starts) == len(pieces)
    assert starts == sorted(starts)
    assert all(0 <= start <= len(codec.decode(codec.ids)) for start in starts)


def test_forced_text_is_no_part() -> None:
    layout = token_layout(stored(0), spell)
    assert (layout.n_prompt, layout.n_tokens) == (7, 7 + 6 + 2 + 9 + 1)
    assert layout.trace == tuple(range(7, 13))
    assert layout.answer == tuple(range(15, 24))  # neither the forced opening nor the token that ends the turn
    assert layout.answer_start == 14


def test_without_a_trace_the_answer_is_predicted_from_the_prompt() -> None:
    layout = token_layout(stored(0, trace=0, forced=0), spell)
    assert layout.trace == ()
    assert layout.answer_start == layout.n_prompt - 1 == 6


def test_a_wrong_tokenizer_is_told() -> None:
    with pytest.raises(DataError, match="do not spell"):
        token_layout(stored(0), lambda ids: spell(ids).replace(spell([5]), "?").lower()[::-1])


def test_without_token_ids_nothing_is_laid_out() -> None:
    with pytest.raises(DataError, match="no token ids"):
        token_layout(stored(0, prompt_ids=()), spell)


def test_places() -> None:
    layout = token_layout(stored(0), spell)

    def at(*where: str, every: int = 1, steps: tuple[int, ...] = ()) -> list[int]:
        return places_of(layout, Positions(where=where, every=every), steps)  # type: ignore[arg-type]

    assert at("all") == list(range(25))
    assert at("prompt_end", "answer_start") == [6, 14]
    assert at("trace", every=4) == [7, 11]
    assert at("trace_end") == [12]
    assert at("answer", "trace", every=8) == [7, 15, 23]
    assert at("steps", steps=(3, 6)) == [9, 12]  # the token of the last character before each end


def test_rows_say_what_they_are() -> None:
    layout = token_layout(stored(0), spell)
    assert row_table(layout, [0, 6, 7, 12, 14, 15]) == [
        (0, 0, -7, False, False),
        (6, 0, -1, False, False),
        (7, 1, 0, False, False),
        (12, 1, 5, False, True),
        (14, 3, 7, True, False),
        (15, 2, 0, False, False),
    ]
