"""What looks at a model while it trains: the contract between the trainer and whoever measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured at one step."""

    metrics: Mapping[str, float]
    """Logged beside loss and reward, by names such as `panel/harm`; a value that is missing is left out."""
    line: str
    """The same in a line for the progress display."""
    stop: str | None = None
    """Why training should stop here, as a sentence; None to go on."""


class Watch(Protocol):
    """Measures a model while it trains.

    It is asked before the first step (step 0), after every `every` steps and after the last one. It must leave the
    model and every stream of random numbers as it found them, so that a watched run ends with the same weights as one
    that is not watched. A run that goes on after a kill may ask again for a step that was measured already; the watch
    then answers from what it has stored.
    """

    @property
    def every(self) -> int:
        """Optimiser steps between two measurements, at least 1."""

    def measure(self, model: Any, tokenizer: Any, step: int) -> Reading:
        """Measure the model as it is now.

        Args:
            model: The live model, unwrapped: a PEFT model or a transformers model, in training mode or not.
            tokenizer: Its tokenizer.
            step: Optimiser steps done.

        Returns:
            What was measured.
        """
