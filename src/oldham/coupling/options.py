"""What the analysis may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from oldham.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oldham.judges.cards import JudgeCard

FEWEST_RESAMPLES: Final = 200
"""Below this many resamples an end of a 95% interval rests on fewer than five of them."""


@dataclass(frozen=True, slots=True)
class CouplingOptions:
    """Settings of `couple`.

    Raises:
        ConfigError: A number lies outside its range.
    """

    resamples: int = 10_000
    """Bootstrap resamples of clusters, at least 200."""
    permutations: int = 10_000
    """Random sign flips where they are too many to enumerate, at least 200."""
    seed: int = 0
    """Makes every number repeatable. The order of rows does not matter, save where several judges scored one trial."""
    margin: float = 0.05
    """Largest change of a score, in (0, 1), that still counts as equivalent."""
    deterministic: bool = False
    """True: the baseline was decoded greedily, so that a single draw has no sampling noise (the noise floor is 0)."""
    judge: str | None = None
    """Where this judge spoke, only its verdicts count; benchmarks it did not read keep theirs. None takes
    the first verdict of each trial in the order of rows."""
    cards: Mapping[str, JudgeCard] | None = None
    """What is known of the judges' errors, by label; None takes the cards of this package, an empty mapping corrects
    nothing."""
    format_controls: Mapping[str, str] = field(default_factory=dict)
    """By arm, another arm that is the same without its format or prefix, to tell the flips that the format makes."""

    def __post_init__(self) -> None:
        for name in ("resamples", "permutations"):
            if getattr(self, name) < FEWEST_RESAMPLES:
                raise ConfigError(
                    f"`{name}` is {getattr(self, name)}.", remedy=f"Give at least {FEWEST_RESAMPLES}; 10000 is usual."
                )
        if not 0 < self.margin < 1:
            raise ConfigError(
                f"`margin` is {self.margin}.", remedy="Give a change of a score between 0 and 1; 0.05 is usual."
            )
