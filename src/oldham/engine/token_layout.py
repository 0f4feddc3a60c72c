"""Where the parts of a stored generation lie, in tokens: spans are stored in characters, models read tokens."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from pydantic import Field

from oldham.core.errors import DataError
from oldham.core.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oldham.core.records import Generation
    from oldham.core.thinking import Span

Decode: TypeAlias = "Callable[[Sequence[int]], str]"
"""Returns the text of tokens, special tokens kept, nothing cleaned up."""

Where: TypeAlias = Literal["all", "prompt_end", "trace", "trace_end", "answer_start", "answer", "steps"]
"""Tokens of a generation:

- `all`: every token of prompt and output.
- `prompt_end`: the last one of the prompt.
- `trace`, `answer`: those that the model chose.
- `trace_end`: the last one of the trace.
- `answer_start`: the one from which the answer's first chosen token is predicted. Of an answer at once it is the last
  one of the prompt.
- `steps`: the last one of each step.
"""

PARTS: Final = ("prompt", "trace", "answer", "other")
"""What the part of a row is called, by its number."""

_CUT_CHARACTER: Final = "\N{REPLACEMENT CHARACTER}"
_LONGEST_CHARACTER: Final = 8
"""Tokens that one character may be spread over; four bytes are the most that UTF-8 has, the rest is margin."""


class Positions(Record):
    """Which tokens of each generation are kept."""

    where: tuple[Where, ...] = ("prompt_end", "answer_start")
    """All of these together; what a generation does not have is left out of it."""
    every: int = Field(default=1, ge=1)
    """Of `all`, `trace` and `answer` only each so-manieth token, the first one always."""


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """The parts of a generation as places in `prompt_ids + output_ids`, counted from 0."""

    n_prompt: int
    """Tokens of the prompt, at least one."""
    n_tokens: int
    """Tokens of prompt and output together, the one that ended the turn included."""
    starts: tuple[int, ...]
    """The character of `output_text` at which each output token starts."""
    trace: tuple[int, ...]
    """Places of the trace's tokens, forced ones left out; empty without a trace."""
    answer: tuple[int, ...]
    """Places of the answer's tokens, forced ones left out; empty without an answer."""

    @property
    def answer_start(self) -> int | None:
        """The place from which the first token of the answer that the model chose is predicted; None without one."""
        return self.answer[0] - 1 if self.answer else None

    def at(self, character: int) -> int:
        """Return the place of the token in which a character of `output_text` lies, or with which it starts.

        Args:
            character: An offset into `output_text`.
        """
        return self.n_prompt + max(0, bisect_right(self.starts, character) - 1)


def token_layout(generation: Generation, decode: Decode) -> TokenLayout:
    """Find the parts of a generation in its stored tokens.

    A token that reaches over the end of a part belongs to the part in which it starts.

    Args:
        generation: With token ids.
        decode: Of the tokenizer that wrote them.

    Raises:
        DataError: There are no token ids, or the tokenizer does not spell the stored text with them.
    """
    place = f"generation {generation.trial.fingerprint}"
    if not generation.prompt_ids or not generation.output_ids:
        raise DataError(
            "The generation has no token ids.",
            place=place,
            remedy="Only backends that tell the tokens they read and wrote can be looked into.",
        )
    starts = token_starts(generation.output_ids, decode)
    text = generation.output_text
    if decode(generation.output_ids)[: len(text)] != text:
        raise DataError(
            "The stored tokens do not spell the stored text.",
            place=place,
            remedy="Give the model that wrote them, or one with the same tokenizer.",
        )
    n_prompt = len(generation.prompt_ids)
    own = [
        n_prompt + number
        for number, start in enumerate(starts)
        if start < len(text) and not any(span.start <= start < span.end for span in generation.forced)
    ]
    return TokenLayout(
        n_prompt=n_prompt,
        n_tokens=n_prompt + len(starts),
        starts=tuple(starts),
        trace=_within(own, starts, n_prompt, generation.trace),
        answer=_within(own, starts, n_prompt, generation.answer),
    )


def places_of(layout: TokenLayout, positions: Positions, steps: Sequence[int] = ()) -> list[int]:
    """Return the places of the tokens that are wanted, in order, each once.

    Args:
        layout: Of the generation.
        positions: Which tokens.
        steps: Where the steps of the generation end, as characters of `output_text`, for `steps`.
    """
    thin = slice(None, None, positions.every)
    some: dict[Where, Sequence[int]] = {
        "all": range(layout.n_tokens)[thin],
        "prompt_end": (layout.n_prompt - 1,),
        "trace": layout.trace[thin],
        "trace_end": layout.trace[-1:],
        "answer_start": () if layout.answer_start is None else (layout.answer_start,),
        "answer": layout.answer[thin],
        "steps": [layout.at(max(0, end - 1)) for end in steps],
    }
    return sorted({place for where in positions.where for place in some[where]})


def row_table(layout: TokenLayout, places: Sequence[int]) -> list[tuple[int, int, int, bool, bool]]:
    """Say of each place what it is.

    Args:
        layout: Of the generation.
        places: Any of its places.

    Returns:
        The place; the number of its part in `PARTS`; which token of its part's it is, from 0, in the prompt from its
        end, the last one being -1; whether the answer's first chosen token is predicted from it; whether it ends the
        trace.
    """
    number = {place: (1, offset) for offset, place in enumerate(layout.trace)}
    number |= {place: (2, offset) for offset, place in enumerate(layout.answer)}
    number |= {place: (0, place - layout.n_prompt) for place in range(layout.n_prompt)}
    return [
        (
            place,
            *number.get(place, (3, place - layout.n_prompt)),
            place == layout.answer_start,
            place in layout.trace[-1:],
        )
        for place in places
    ]


def token_starts(ids: Sequence[int], decode: Decode) -> list[int]:
    """Return the character at which each token starts in the text of all of them.

    Args:
        ids: Any tokens.
        decode: Of their tokenizer.

    Returns:
        One offset a token, never falling. Tokens that are pieces of one character start where it starts.
    """
    text = decode(ids)
    starts: list[int] = []
    end = 0
    while len(starts) < len(ids):
        begin = len(starts)
        for stop in range(begin + 1, min(begin + _LONGEST_CHARACTER, len(ids)) + 1):
            piece = decode(ids[begin:stop])
            if not piece.endswith(_CUT_CHARACTER) and text.startswith(piece, end):
                starts += [end] * (stop - begin)
                end += len(piece)
                break
        else:
            return _starts_by_prefix(ids, text, decode)
    return starts if end == len(text) else _starts_by_prefix(ids, text, decode)


def _starts_by_prefix(ids: Sequence[int], text: str, decode: Decode) -> list[int]:
    """Decode every prefix: slow, and right for tokenizers that write a token differently at the start of a text."""
    starts = [0]
    for stop in range(1, len(ids)):
        before = decode(ids[:stop])
        whole = before if text.startswith(before) else before.rstrip(_CUT_CHARACTER)
        starts.append(max(starts[-1], len(whole)))
    return starts


def _within(own: Sequence[int], starts: Sequence[int], n_prompt: int, span: Span | None) -> tuple[int, ...]:
    if span is None:
        return ()
    return tuple(place for place in own if span.start <= starts[place - n_prompt] < span.end)
