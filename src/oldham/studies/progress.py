"""What a run tells whoever watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from oldham.studies.plan import Plan


class Progress(Protocol):
    """Watches a run. A run calls these in order; none of them may change anything."""

    def planned(self, plan: Plan, missing: int) -> None:
        """Tell what is planned.

        Args:
            plan: The plan.
            missing: Generations that are not in the ledger.
        """

    def loading(self, model: str, trials: int, tokens: int) -> None:
        """Tell that a model is being loaded.

        Args:
            model: Its name.
            trials: Generations it has to make.
            tokens: Most tokens they may take.
        """

    def generated(self, trials: int, allowed: int, written: int) -> None:
        """Tell that a batch is done.

        Args:
            trials: Generations in it.
            allowed: Most tokens they might have taken.
            written: Tokens they took.
        """

    def judging(self, judge: str, rows: int) -> None:
        """Tell that a judge's model is about to be asked.

        Args:
            judge: The judge's label.
            rows: Generations it is asked about.
        """

    def judged(self, rows: int) -> None:
        """Tell that a batch is judged and stored.

        Args:
            rows: Generations in it that the model was asked about.
        """

    def note(self, text: str) -> None:
        """Tell something the user should know.

        Args:
            text: One sentence.
        """


class Silent:
    """Watches without a word."""

    def planned(self, plan: Plan, missing: int) -> None:
        """Say nothing."""

    def loading(self, model: str, trials: int, tokens: int) -> None:
        """Say nothing."""

    def generated(self, trials: int, allowed: int, written: int) -> None:
        """Say nothing."""

    def judging(self, judge: str, rows: int) -> None:
        """Say nothing."""

    def judged(self, rows: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""
