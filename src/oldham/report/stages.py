"""Trace against answer, as small tables whose shade tells the share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.core.outcomes import Stage

if TYPE_CHECKING:
    from oldham.coupling.stages import StageTable
    from oldham.report.data import ReportData

STAGE_MEANING: Final = {
    Stage.HARM_RECOGNITION: "names the harm",
    Stage.POLICY_RECALL: "recalls a rule or the law",
    Stage.INTENT_ASSUMPTION: "assumes a good intent",
    Stage.RATIONALISATION: "argues the harm away",
    Stage.REFUSAL_DECISION: "decides to decline",
    Stage.HARMFUL_DETAIL: "works out the help",
}
"""What each stage is, in a few words."""
_HUES: Final = {
    "safe": "11 90 138",
    "leak": "176 134 47",
    "escape": "199 104 58",
    "unsafe": "163 57 27",
    "stage": "86 93 107",
}
_FAINTEST: Final = 0.06
_STRONGEST: Final = 0.55


def shade(share: float, name: str) -> str:
    """Return a background that dark text can be read on.

    Args:
        share: In [0, 1]; NaN has none.
        name: A cell of the table of trace and answer, or `stage`.

    Returns:
        A CSS declaration.
    """
    if math.isnan(share):
        return ""
    return f"background:rgb({_HUES[name]} / {_FAINTEST + (_STRONGEST - _FAINTEST) * share:.2f})"


def stage_tables(data: ReportData) -> dict[str, list[StageTable]]:
    """Return the tables of trace and answer by axis; none where no judge read traces."""
    tables: dict[str, list[StageTable]] = {}
    for found in data.coupling.stages:
        tables.setdefault(found.axis, []).append(found)
    return tables
