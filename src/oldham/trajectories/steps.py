"""Cutting a stored trace into steps: its sentences and lines, by offsets into the stored text and tokens.

Every character of the trace lies in exactly one step, white space and an unfinished last sentence included. A model can
only be stopped between two tokens, so a boundary inside a token moves to the token's end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oldham.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oldham.core.thinking import Span
    from oldham.engine.token_layout import TokenOffsets

STEPS_VERSION: Final = 1
"""Raised whenever the same trace could be cut in other places."""

_BREAK: Final = re.compile(
    r"""
    (?P<line> [^\S\n]* \n (?:[^\S\n]*\n)* )                        # the end of a line, and the blank lines after it
    | (?P<mark> [.!?…]+ ) (?P<close> ["'”’»)\]}*_`]* ) [^\S\n]+   # the end of a sentence, inside a line
    | [。！？]+ [”’」』）]* [^\S\n]*                                # which needs no space in Chinese and Japanese
    """,
    re.VERBOSE,
)
_ABBREVIATIONS: Final = frozenset(
    {
        *("e.g", "i.e", "cf", "vs", "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "ed", "al", "approx"),
        *("inc", "ltd", "co", "dept"),
    }
)
_BEFORE_NUMBERS: Final = frozenset({"no", "nr", "fig", "figs", "eq", "eqs", "sec", "ch", "vol", "p", "pp", "art"})
_WORD_BEFORE: Final = re.compile(r"[\w.]*$")
_LIST_MARK: Final = re.compile(r"[\s>#*_(\-•]*(?:\d{1,3}|[A-Za-z]|[ivx]{1,4})$")


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How long a step may be.

    Raises:
        ConfigError: A limit is under 1, or the shortest step is longer than the longest.
    """

    min_characters: int = 12
    """A sentence or line that is shorter, outer white space not counted, becomes part of the next one."""
    max_characters: int = 600
    """A longer one is cut at white space into parts of about the same length."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_characters <= self.max_characters:
            raise ConfigError(
                f"Steps of {self.min_characters} to {self.max_characters} characters are not possible.",
                remedy="Give a shortest length from 1, and a longest one that is no smaller.",
            )


@dataclass(frozen=True, slots=True)
class Step:
    """One segment of a trace."""

    number: int
    """Its place, from 1."""
    start: int
    """Its first character, an offset into the stored output text."""
    end: int
    """The character after its last one."""
    token_start: int
    """Its first token, an offset into the stored output tokens."""
    token_end: int
    """The token after its last one."""


def cut(text: str, trace: Span, offsets: TokenOffsets, options: StepOptions | None = None) -> tuple[Step, ...]:
    """Cut the trace of an output into steps.

    Args:
        text: The stored output.
        trace: Where the trace stands in it.
        offsets: Where the output's tokens end.
        options: How long a step may be; None for the defaults.

    Returns:
        The steps in order. Their characters cover the trace without gaps, and their tokens every token that lies wholly
        inside it. A token that reaches over an end of the trace, such as one that holds its last space and the first
        letter of the answer, belongs to no step. Empty where no token lies wholly inside.
    """
    first, last = offsets.from_character(trace.start), offsets.until_character(trace.end)
    if last <= first:
        return ()
    places = [first]
    for end in sentence_ends(trace.of(text), options):
        place = offsets.from_character(trace.start + end)
        if places[-1] < place < last:
            places.append(place)
    places.append(last)
    starts = [trace.start, *(offsets.characters[place] for place in places[1:-1])]
    return tuple(
        Step(number, start, end, offsets.tokens[a], offsets.tokens[b])
        for number, (start, end, a, b) in enumerate(
            zip(starts, [*starts[1:], trace.end], places, places[1:], strict=False), start=1
        )
    )


def sentence_ends(text: str, options: StepOptions | None = None) -> list[int]:
    """Return where the sentences and lines of a text end, white space after them included.

    A full stop ends none after an abbreviation, an initial or the number of a list entry, before a lower-case letter,
    and inside a number. Every line is one, so that code, lists and formulas are cut as they were written.

    Args:
        text: Any text.
        options: Shorter ones are joined and longer ones cut; None for the defaults.

    Returns:
        Offsets, strictly rising, the last the length of the text; none for an empty text.
    """
    options = options or StepOptions()
    ends: list[int] = []
    start = 0
    for end in [*_ends(text), len(text)]:
        if len(text[start:end].strip()) < options.min_characters and end < len(text):
            continue
        if end > start:
            ends += _parts(text, start, end, options.max_characters)
            start = end
    if len(ends) > 1 and len(text[ends[-2] :].strip()) < options.min_characters:
        joined = ends[-1] - (ends[-3] if len(ends) > 2 else 0)
        if joined <= options.max_characters:
            del ends[-2]  # a short last one has no next one to become part of
    return ends


def _ends(text: str) -> Iterator[int]:
    for found in _BREAK.finditer(text):
        if found["mark"] is None or _ends_sentence(text, found):
            yield found.end()


def _ends_sentence(text: str, found: re.Match[str]) -> bool:
    after = text[found.end() : found.end() + 1]
    if after.islower():
        return False
    if found["mark"] != "." or found["close"]:
        return True
    line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
    word = _WORD_BEFORE.search(line)
    before = word[0] if word else ""
    short = before.lower() in _ABBREVIATIONS or (after.isdigit() and before.lower() in _BEFORE_NUMBERS)
    initial = len(before) == 1 and before.isupper() and before != "I"
    return not (short or initial or _LIST_MARK.fullmatch(line))


def _parts(text: str, start: int, end: int, most: int) -> Iterator[int]:
    """Cut what is too long at white space, near the places that would make its parts equal."""
    while end - start > most:
        count = -(-(end - start) // most)
        wanted = start + -(-(end - start) // count)
        space = max((i + 1 for i in range((start + wanted) // 2, wanted) if text[i].isspace()), default=wanted)
        yield space
        start = space
    yield end
