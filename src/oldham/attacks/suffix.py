"""Strings that were optimised against one model, put to the request; the strings are looked for by `oldham attack`."""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from oldham.attacks.base import FOLDER, Attack, Knobs, knob
from oldham.attacks.strings import FILE_NAME, StringsFile, placed, read_strings
from oldham.core.errors import ConfigError
from oldham.core.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.core.records import Item


class SuffixKnobs(Knobs):
    """Settings of `suffix`; where strings lie and which items lack one is no part of what is done to the others."""

    strings: str = knob("", unit=FOLDER, exclude=True)
    """The folder that `oldham attack` wrote. A relative path is looked for in the study file's folder first."""
    steps: int = knob(10_000, unit="steps", ge=0)
    """The best string of so many first steps of the search; 0 is the request as it is. Searches that did fewer give the
    best they have. The default is the longest published search, so that nothing a search has found is left out."""
    missing: Literal["refuse", "skip"] = knob("refuse", unit="name", exclude=True)
    """What is done about items without a string: `refuse` the study, or `skip` them under this attack."""

    @field_validator("strings")
    @classmethod
    def _ends_in_a_name(cls, value: str) -> str:
        # The attack's label has the folder's name, which must not depend on where the command is given.
        path = Path(value)
        folder = path.parent if path.name == FILE_NAME else path
        if value and folder.name in ("", ".."):
            raise PydanticCustomError("folder_name", "Name the folder itself, such as runs/NAME or ../NAME")
        return value


class Suffix(Attack):
    """A string that was optimised for the item stands after the request (Zou et al. 2023, section 2).

    Which search found it, GCG, random search (Andriushchenko et al. 2024) or a search over words, is written in the
    file; what the last one finds stands before the request. A string that was found against one model can be put to
    any other: that measures transfer. Strings belong to the attack's identity by their content, and the label has the
    folder's name alone, so a moved folder is the same attack and one that was searched further another. Two folders of
    one name would share a label, so a study with both is refused.

    Args:
        knobs: Its settings.
    """

    name = "suffix"
    surface = "request"
    varies = "how long the string was optimised"
    budget = "1 query, after 250 to 10,000 steps with a model's gradients or log-probabilities"
    knobs_type: ClassVar[type[Knobs]] = SuffixKnobs
    dose = "steps"

    @property
    def label(self) -> str:
        """The name, with the folder's name and the steps where they are not the default."""
        name = self.folder.name if self.knobs.strings else ""
        told = {"strings": re.sub(r"[^\w.-]+", "-", name), "steps": self.knobs.steps}
        plain = SuffixKnobs()
        said = ",".join(f"{key}={value}" for key, value in told.items() if value != getattr(plain, key))
        return f"{self.name}[{said}]" if said else self.name

    @property
    def folder(self) -> Path:
        """Where its strings are, as a whole path; a link keeps its own name."""
        path = Path(os.path.abspath(Path(self.knobs.strings).expanduser()))
        return path.parent if path.name == FILE_NAME else path

    @cached_property
    def found(self) -> StringsFile:
        """The strings.

        Raises:
            ConfigError: No folder is named, or it holds none.
            DataError: The file is damaged.
        """
        if not self.knobs.strings:
            raise ConfigError(
                "`suffix` does not say where its strings are.",
                remedy="Write `strings: DIR`, as given to oldham attack.",
            )
        return read_strings(self.knobs.strings)

    def settings(self) -> dict[str, object]:
        """Tell strings apart by their content, wherever they lie. See `Attack.settings`."""
        chosen = [(each.key, each.item_fingerprint, each.best(self.knobs.steps).string) for each in self.found.items]
        return {"strings": fingerprint("strings", [self.found.side, sorted(chosen)])}

    def meets(self, item: Item) -> bool:
        """Say whether there is a string for an item as it is now. See `Attack.meets`."""
        return self.found.of(item) is not None

    def check(self, items: Sequence[Item]) -> None:
        """Refuse items without a string. See `Attack.check`."""
        lacking = [item for item in items if not self.meets(item)]
        if not lacking or (self.knobs.missing == "skip" and len(lacking) < len(items)):
            return
        changed = sum(self.found.named(item) is not None for item in lacking)
        also = f", {changed} of them because the item has changed since" if changed else ""
        raise ConfigError(
            f"`{self.label}` has no string for {len(lacking)} of {len(items)} items{also}.",
            remedy=f"Look for them with `oldham attack {self.found.method} {self.found.model} --out "
            f"{self.knobs.strings}`, name the benchmarks it has in `only:`, or write `missing: skip`.",
        )

    def item(self, item: Item, seed: int) -> Item:
        """Put the string to the request; an item without one is as it is, see `meets`. See `Attack.item`."""
        found = self.found.named(item) if self.knobs.steps else None
        if found is None:
            return item
        string = found.best(self.knobs.steps).string
        return item.model_copy(update={"prompt": placed(item.prompt, string, self.found.side)})
