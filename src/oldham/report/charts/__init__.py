"""The report's charts as Altair charts; each also works in a notebook.

Sizes are fixed; the report makes charts as wide as their box with `fluid`. No chart relies on colour alone: arms carry
a number, directions a shape, outcomes an order and (in the report) a pattern.
"""

from __future__ import annotations

from oldham.report.charts.attacks import attack_shares, dose_curve
from oldham.report.charts.contrasts import forest, forest_of, risk_defence
from oldham.report.charts.coupling_plane import plane
from oldham.report.charts.factors import main_effects, main_effects_of
from oldham.report.charts.observed import outcomes, outcomes_of, thinking
from oldham.report.charts.pareto import behind_best, pareto_front
from oldham.report.charts.parts import fluid
from oldham.report.charts.pathways import alluvial
from oldham.report.charts.slope_forest import axis_forest

__all__ = [
    "alluvial",
    "attack_shares",
    "axis_forest",
    "behind_best",
    "dose_curve",
    "fluid",
    "forest",
    "forest_of",
    "main_effects",
    "main_effects_of",
    "outcomes",
    "outcomes_of",
    "pareto_front",
    "plane",
    "risk_defence",
    "thinking",
]
