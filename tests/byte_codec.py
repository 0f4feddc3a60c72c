from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ByteCodec:
    """A tokenizer whose tokens are given runs of bytes, so that a token may hold half a character or two words."""

    eos: frozenset[int] = frozenset()

    def __init__(self, pieces: Sequence[bytes] = ()) -> None:
        self.pieces = list(pieces)

    @classmethod
    def cutting(cls, text: str, places: Sequence[int]) -> ByteCodec:
        """Cut a text's bytes at places; token k is the k-th run."""
        data = text.encode()
        bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
        return cls([data[a:b] for a, b in zip(bounds, bounds[1:], strict=False)])

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(range(len(self.pieces)))

    def encode(self, text: str) -> list[int]:
        """Return a token for each word with the space before it, new ones as they are met."""
        words: list[bytes] = []
        for word in text.replace(" ", "\x00 ").split("\x00"):
            words += [part for part in (word.encode(),) if part]
        for word in words:
            if word not in self.pieces:
                self.pieces.append(word)
        return [self.pieces.index(word) for word in words]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self.pieces[token] for token in ids).decode(errors="replace")

    def piece(self, token: int) -> str:
        return self.decode([token])
