"""How answers begin that refuse or comply, as text and as one tokenizer's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from oldham.core.errors import ConfigError
from oldham.core.explain import explain
from oldham.core.records import Record
from oldham.core.yaml_io import parse_yaml, read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from oldham.backends.turns import Codec

_FILE: Final = "openings.yaml"

Tokens = tuple[int, ...]


class Openings(Record):
    """How answers begin, by what they do."""

    refusing: tuple[str, ...] = Field(min_length=1)
    """First words of answers that refuse."""
    complying: tuple[str, ...] = Field(min_length=1)
    """First words of answers that comply."""
    leads: tuple[str, ...] = Field(default=(" ",), min_length=1)
    """White space that may stand before them where the words that open the answer do not end in any."""

    @field_validator("refusing", "complying")
    @classmethod
    def _are_words(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        stripped = tuple(dict.fromkeys(opening.strip() for opening in value))
        if "" in stripped:
            raise ValueError("an opening is empty")
        return stripped

    @field_validator("leads")
    @classmethod
    def _are_space(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(lead.strip() for lead in value):
            raise ValueError("`leads` may hold white space only")
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _differ(self) -> Self:
        both = sorted(set(self.refusing) & set(self.complying))
        if both:
            raise ValueError(f"`{both[0]}` is on both lists")
        return self


def read_openings(path: Path | None = None) -> Openings:
    """Read a file of openings.

    Args:
        path: A YAML file with the keys of `Openings`; None for the one that ships.

    Raises:
        ConfigError: It cannot be read, or a key or value in it cannot be meant; with its line.
    """
    if path is None:
        document = parse_yaml(files(__package__).joinpath(_FILE).read_text(encoding="utf-8"), _FILE)
    else:
        document = read_yaml(path)
    try:
        return Openings.model_validate(document.data)
    except ValidationError as error:
        raise explain(error, document.source, top=Openings.model_fields, inner=()) from error


@dataclass(frozen=True, slots=True)
class OpeningTokens:
    """Openings as one tokenizer writes them. No two of them can begin the same answer, so probabilities add up."""

    refusing: tuple[Tokens, ...]
    """Token sequences of answers that refuse, at least one."""
    complying: tuple[Tokens, ...]
    """Token sequences of answers that comply, at least one."""
    refusing_first: Tokens
    """Tokens that begin refusing openings only; empty where all of them begin complying ones too."""
    complying_first: Tokens
    """Tokens that begin complying openings only."""
    notes: tuple[str, ...]
    """What was left out and why, a sentence each."""


def opening_tokens(openings: Openings, codec: Codec, leads: Sequence[str] | None = None) -> OpeningTokens:
    """Write openings in a tokenizer's tokens.

    Left out are: an opening that goes on from another one of its list, whose probability holds it already; one with
    which an opening of the other list begins, for it says neither; and first tokens that both lists have.

    Args:
        openings: The openings.
        codec: The tokenizer.
        leads: What may stand before an opening; None for the leads of `openings`. After words that end in white space
            it is `("",)`: no lead is needed.

    Raises:
        ConfigError: Nothing is left of a list.
    """
    before = openings.leads if leads is None else leads
    written = {
        name: {tuple(codec.encode(lead + text)): text for text in texts for lead in before}
        for name, texts in (("refusing", openings.refusing), ("complying", openings.complying))
    }
    notes: list[str] = []
    kept: dict[str, tuple[Tokens, ...]] = {}
    for name, other in (("refusing", "complying"), ("complying", "refusing")):
        own, others = written[name], written[other]
        vague = {ids: [others[o] for o in others if o[: len(ids)] == ids] for ids in own}
        said = {own[ids]: texts[0] for ids, texts in vague.items() if texts}
        notes += [f"`{text}` begins `{theirs}` too, and is left out." for text, theirs in said.items()]
        clear = [ids for ids in own if not vague[ids]]
        kept[name] = tuple(ids for ids in clear if not any(c != ids and ids[: len(c)] == c for c in clear))
        if not kept[name]:
            raise ConfigError(
                f"This tokenizer cannot tell the {name} openings from the {other} ones.",
                remedy="Give longer or other ones (oldham trace --openings FILE), or take another model.",
            )
    first = {name: dict.fromkeys(ids[0] for ids in kept[name]) for name in kept}
    shared = [token for token in first["refusing"] if token in first["complying"]]
    if shared:
        said_tokens = ", ".join(repr(codec.piece(token)) for token in shared)
        notes.append(
            f"First tokens of both lists tell nothing and are left out of the first-token readout: {said_tokens}."
        )
    return OpeningTokens(
        refusing=kept["refusing"],
        complying=kept["complying"],
        refusing_first=tuple(token for token in first["refusing"] if token not in shared),
        complying_first=tuple(token for token in first["complying"] if token not in shared),
        notes=tuple(notes),
    )
