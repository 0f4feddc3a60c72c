"""Where the parts of a stored generation lie, in tokens: spans are stored in characters, models read tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
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


class Positions(Record):
    """Which tokens of each generation are kept."""

    where: tuple[Where, ...] = ("prompt_end", "answer_start")
    """All of these together; what a generation does not have is left out of it."""
    every: int = Field(default=1, ge=1)
    """Of `all`, `trace` and `answer` only each so-manieth token, the first one always."""


@dataclass(frozen=True, slots=True)
class TokenOffsets:
    """The places between tokens at which the text so far ends in a whole character.

    A token that holds a part of a character ends at no such place.
    """

    tokens: tuple[int, ...]
    """How many tokens lie before each place, strictly rising, from 0."""
    characters: tuple[int, ...]
    """How many characters lie before each place, never falling; the last is the length of the text."""

    def from_character(self, character: int) -> int:
        """Return the first place at or after a character, as an index into `tokens` and `characters`.

        Args:
            character: An offset into the text, 0 to its length.
        """
        return bisect_left(self.characters, character)

    def until_character(self, character: int) -> int:
        """Return the last place at or before a character, as an index into `tokens` and `characters`.

        Args:
            character: An offset into the text, 0 to its length.
        """
        return bisect_right(self.characters, character) - 1


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


def token_offsets(ids: Sequence[int], text: str, decode: Decode) -> TokenOffsets | None:
    """Map tokens to the text that was stored with them.

    The text is never searched and nothing is encoded: tokens are decoded one after the other, each behind the one
    before it (some tokenizers write a token differently at the start of a text), and every piece has to be what the
    text goes on with. Where that fails, every prefix is decoded, which is slow.

    Args:
        ids: The tokens as generated; what follows the end of the text, such as the one that ended a turn, is left out.
        text: What they were stored as.
        decode: Of the tokenizer that wrote them.

    Returns:
        The map, or None where the tokens do not spell the text.
    """
    offsets = _by_pieces(ids, text, decode)
    if offsets is None and decode(ids).startswith(text):
        offsets = _by_prefixes(ids, text, decode)
    return offsets if offsets is not None and offsets.characters[-1] == len(text) else None


def token_starts(ids: Sequence[int], decode: Decode) -> list[int]:
    """Return the character at which each token starts in the text of all of them.

    Args:
        ids: Any tokens.
        decode: Of their tokenizer.

    Returns:
        One offset a token, never falling. Tokens that are pieces of one character start where its first one starts.
    """
    text = decode(ids)
    offsets = _by_pieces(ids, text, decode) or _by_prefixes(ids, text, decode)
    return [offsets.characters[bisect_right(offsets.tokens, number) - 1] for number in range(len(ids))]


def _by_pieces(ids: Sequence[int], text: str, decode: Decode) -> TokenOffsets | None:
    """Decode each token behind the one before it; None where the pieces are not the text."""
    tokens, characters = [0], [0]
    context = last = at = 0
    for count in range(1, len(ids) + 1):
        if at == len(text):
            break
        before = decode(ids[context:last])
        piece = decode(ids[context:count])[len(before) :]
        if not text.startswith(piece, at):
            # Up to its last bytes a character decodes to the sign for a broken one: later tokens complete it.
            if piece.endswith(_CUT_CHARACTER) and text.startswith(piece.rstrip(_CUT_CHARACTER), at):
                continue
            return None
        at += len(piece)
        tokens.append(count)
        characters.append(at)
        context, last = (last, count) if piece else (context, count)
    return TokenOffsets(tuple(tokens), tuple(characters)) if at == len(text) else None


def _by_prefixes(ids: Sequence[int], text: str, decode: Decode) -> TokenOffsets:
    """Decode every prefix: right for tokenizers that write a token by more than the one before it."""
    tokens, characters = [0], [0]
    for count in range(1, len(ids) + 1):
        if characters[-1] == len(text):
            break
        before = decode(ids[:count])
        if text.startswith(before) and len(before) >= characters[-1]:
            tokens.append(count)
            characters.append(len(before))
    return TokenOffsets(tuple(tokens), tuple(characters))


def _within(own: Sequence[int], starts: Sequence[int], n_prompt: int, span: Span | None) -> tuple[int, ...]:
    if span is None:
        return ()
    return tuple(place for place in own if span.start <= starts[place - n_prompt] < span.end)
