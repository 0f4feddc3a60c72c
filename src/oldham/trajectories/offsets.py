"""Where each stored token ends in the stored text: exact, or not at all."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Decode = Callable[[Sequence[int]], str]

_BROKEN = "\ufffd"


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


def token_offsets(ids: Sequence[int], text: str, decode: Decode) -> TokenOffsets | None:
    """Map tokens to the text that was stored with them.

    The text is never searched and nothing is encoded: tokens are decoded one after the other, each behind the one
    before it (some tokenizers write a token differently at the start of a text), and every piece has to be what the
    text goes on with.

    Args:
        ids: The tokens as generated; what follows the end of the text, such as the one that ended a turn, is left out.
        text: What they were stored as.
        decode: Returns the text of tokens, special tokens kept and nothing cleaned up.

    Returns:
        The map, or None where the tokens do not spell the text.
    """
    tokens, characters = [0], [0]
    context = last = at = 0
    for count in range(1, len(ids) + 1):
        if at == len(text):
            break
        before = decode(ids[context:last])
        piece = decode(ids[context:count])[len(before) :]
        if not text.startswith(piece, at):
            # Up to its last bytes a character decodes to the sign for a broken one: later tokens complete it.
            if piece.endswith(_BROKEN) and text.startswith(piece.rstrip(_BROKEN), at):
                continue
            return None
        at += len(piece)
        tokens.append(count)
        characters.append(at)
        context, last = (last, count) if piece else (context, count)
    return TokenOffsets(tuple(tokens), tuple(characters)) if at == len(text) else None
