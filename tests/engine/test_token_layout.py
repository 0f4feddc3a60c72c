from __future__ import annotations

import pytest

from oldham.core.errors import DataError
from oldham.engine.token_layout import Positions, places_of, row_table, token_layout, token_starts
from stored_texts import spell, stored

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
