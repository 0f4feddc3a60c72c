"""Several judges on the same answers: their rates, where they disagree, and which flips hang on the judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.results import Interval


@dataclass(frozen=True, slots=True)
class JudgeRate:
    """One judge's view of one arm on one benchmark and span."""

    judge: str
    arm: str
    axis: str
    benchmark: str
    span: str
    mean: float
    interval: Interval
    n_items: int
    n_missing: int
    """Rows without a score."""
    n_failed: int
    """Rows among them where the judge's own output could not be read."""
    n_retried: int
    """Rows that could be read only when asked again."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One text on which judges differ."""

    arm: str
    axis: str
    benchmark: str
    item: str
    draw: int
    span: str
    outcomes: Mapping[str, str]
    """Outcome by judge, in the table's order."""
    generation: str
    """Fingerprint of the trial, to find the text in the ledger."""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How far two judges agree on the texts that both scored."""

    first: str
    second: str
    axis: str
    span: str
    agreement: float
    """Share of texts on the same side of one half; NaN without any."""
    kappa: float
    """Cohen's kappa of the sides; NaN where one side is all there is."""
    n: int
    by_arm: Mapping[str, float]
    """Agreement within each arm: where it differs, the judges' errors drift between arms."""


@dataclass(frozen=True, slots=True)
class JudgeEffect:
    """An arm's change on an axis as one judge sees it."""

    judge: str
    arm: str
    axis: str
    delta: float
    interval: Interval
    n_items: int
    n_flips: int
    """Draws that cross one half."""
    n_alone: int
    """Flips among them that some other judge, which scored both sides, does not see."""


@dataclass(frozen=True, slots=True)
class JudgePanel:
    """What changes with the judge; every tuple is empty where one judge alone spoke."""

    rates: tuple[JudgeRate, ...]
    pairs: tuple[PairAgreement, ...]
    disagreements: tuple[Disagreement, ...]
    """By axis, arm, benchmark and item; the table's order of judges."""
    effects: tuple[JudgeEffect, ...]


def build_panel(observations: pl.DataFrame, *, baseline: str, options: CouplingOptions) -> JudgePanel:
    """Set the judges side by side wherever two or more read the same benchmark and span.

    Args:
        observations: In the observation schema, every judge's verdicts.
        baseline: The arm compared with.
        options: Resamples and seed.

    Returns:
        The panel.
    """
    return JudgePanel((), (), (), ())
