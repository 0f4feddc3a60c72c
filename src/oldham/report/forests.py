"""A forest of coupling coefficients as a figure of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from oldham.core.errors import OldhamError
from oldham.coupling.coefficient import EVERY_ARM
from oldham.coupling.couple_text import by_model
from oldham.coupling.meta_models import pooled_axes
from oldham.coupling.results import Interval
from oldham.report.charts.slope_forest import Forest, ForestRow, slope_forest
from oldham.report.saving import save_figure
from oldham.report.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from oldham.coupling.coefficient import Coefficient
    from oldham.coupling.couple_text import CoupledRun
    from oldham.coupling.meta import Pooled


def forests_of(runs: Sequence[CoupledRun]) -> list[Forest]:
    """Choose what is drawn: of one run its arms and families, of several the models and what they show together.

    Args:
        runs: One a model.

    Returns:
        One a safety axis; none where no run has a coupling coefficient.
    """
    if len(runs) == 1:
        found = runs[0].coupling.coefficients
        return [arms_forest([c for c in found if c.axis == axis]) for axis in dict.fromkeys(c.axis for c in found)]
    couplings = by_model(runs)
    return [
        _models_forest(
            axis,
            {
                n: c
                for n, each in couplings.items()
                for c in each.coefficients
                if (c.axis, c.family) == (axis, EVERY_ARM)
            },
            pooled,
        )
        for axis, pooled in pooled_axes(couplings).items()
    ]


def arms_forest(coefficients: Sequence[Coefficient]) -> Forest:
    """Lay out the arms and families of one run.

    Args:
        coefficients: Of one safety axis, at least one.

    Returns:
        A row an arm whose changes are known, then one a family of several arms.
    """
    rows: dict[str, ForestRow] = {}
    for c in coefficients:
        for e in c.exchange:
            slopes = Interval(-math.inf, math.inf) if e.interval is None else e.interval
            slope = math.nan if e.rate is None else 0.0 - e.rate
            rows.setdefault(e.arm, ForestRow(e.arm, slope, Interval(-slopes.high, -slopes.low), "single"))
    families = [
        ForestRow(c.family if c.family == EVERY_ARM else f"doses of {c.family}", c.kappa, c.interval, "all")
        for c in coefficients
        if len(c.arms) > 1
    ]
    return Forest(f"Reasoning and {words(coefficients[0].axis)}", (*rows.values(), *families))


def _models_forest(axis: str, coefficients: dict[str, Coefficient], pooled: Pooled) -> Forest:
    weights = {m.study.name: m.weight for m in pooled.members}
    rows = [
        ForestRow(name, c.kappa, c.interval, "single", weights.get(name, math.nan)) for name, c in coefficients.items()
    ]
    if len(pooled.members) > 1:
        rows.append(ForestRow("pooled", pooled.value, pooled.interval, "all"))
    if not math.isnan(pooled.prediction.low):
        rows.append(ForestRow("another model", math.nan, pooled.prediction, "prediction"))
    return Forest(f"Reasoning and {words(axis)}", tuple(rows))


def save_forest(runs: Sequence[CoupledRun], path: Path) -> None:
    """Draw the forest of some runs into a file; a page asks nothing of any other machine.

    Args:
        runs: One a model.
        path: It ends in .png, .svg or .html.

    Raises:
        OldhamError: There is nothing to draw, or the file cannot be written.
    """
    forests = [f for f in forests_of(runs) if f.rows]
    if not forests:
        raise OldhamError("There is no coupling coefficient to draw.", place=str(path))
    save_figure(slope_forest(forests), path)
