"""Trace and answer together: where a trace holds harm and where the answer does (methods: stage safety)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from oldham.coupling.results import Interval

CELLS: Final = ("safe", "leak", "escape", "unsafe")
"""Safe trace and safe answer; unsafe trace and safe answer; safe trace and unsafe answer; both unsafe."""


@dataclass(frozen=True, slots=True)
class StageTable:
    """How safe traces and answers go together in one arm on one axis."""

    arm: str
    axis: str
    shares: Mapping[str, float]
    """Share of each of `CELLS` among the items with both verdicts; NaN without any."""
    intervals: Mapping[str, Interval]
    """Wilson, clusters and draws allowed for."""
    unsafe_after_unsafe: float
    """P(unsafe answer | unsafe trace); NaN where no trace was unsafe."""
    unsafe_after_safe: float
    """P(unsafe answer | safe trace)."""
    stages: Mapping[str, float]
    """Share of the traces in which each stage was found; empty where no judge looked for stages."""
    stage_intervals: Mapping[str, Interval]
    n_items: int
    """Items with both verdicts on some draw."""
    n_traces: int
    """Trials with a trace verdict that has a score."""
    n_missing: int
    """Trials with a trace for which one of the verdicts is missing."""
    judges: tuple[str, str]
    """Who read the trace, and who the answer."""


def build_stages(trials: pl.DataFrame, arms: Sequence[str]) -> list[StageTable]:
    """Cross the verdict on the trace with the verdict on the answer, arm by arm.

    Args:
        trials: One row a trial and span.
        arms: Every arm, in the order wanted.

    Returns:
        By axis, then arm; arms without a trace verdict have no table.
    """
    return []
