"""From observations to effects, flips and the coupling of reasoning and safety. Imports no model.

The names here are loaded when they are first used: planning a study asks for power alone, and must not wait for polars
and scipy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oldham.coupling.analysis import Coupling, couple
    from oldham.coupling.attack_results import AttackLadder
    from oldham.coupling.attacks import build_attacks, unattacked
    from oldham.coupling.coefficient import Coefficient
    from oldham.coupling.dynamics import DoseOptions, dose_dynamics
    from oldham.coupling.dynamics_results import Dynamics
    from oldham.coupling.factors import FactorEffect, factor_frame
    from oldham.coupling.gates import Gate, GateResult, judge_gate, read_gate
    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.pareto_results import Pareto, ParetoArm
    from oldham.coupling.pathway_results import PathwayTable
    from oldham.coupling.pathway_rules import read_rules
    from oldham.coupling.pathways import PathwayOptions, classify, classify_attack
    from oldham.coupling.power import smallest_detectable_effect
    from oldham.coupling.rates import axis_rate
    from oldham.coupling.results import (
        CHANCE_KEYS,
        Corrected,
        Effect,
        FlipPair,
        Flips,
        Interval,
        PlanePoint,
        Rate,
        Tipping,
    )
    from oldham.coupling.stopped import as_stopped, read_stopped
    from oldham.coupling.stopping import GateUmpire, StopRule

_WHERE = {
    "Coupling": "analysis",
    "couple": "analysis",
    **dict.fromkeys(("PathwayOptions", "classify", "classify_attack"), "pathways"),
    "PathwayTable": "pathway_results",
    **dict.fromkeys(("Pareto", "ParetoArm"), "pareto_results"),
    "read_rules": "pathway_rules",
    "AttackLadder": "attack_results",
    **dict.fromkeys(("build_attacks", "unattacked"), "attacks"),
    "Coefficient": "coefficient",
    "Dynamics": "dynamics_results",
    **dict.fromkeys(("DoseOptions", "dose_dynamics"), "dynamics"),
    **dict.fromkeys(("as_stopped", "read_stopped"), "stopped"),
    "CouplingOptions": "options",
    "smallest_detectable_effect": "power",
    "axis_rate": "rates",
    **dict.fromkeys(("GateUmpire", "StopRule"), "stopping"),
    "FactorEffect": "factors",
    "factor_frame": "factors",
    **dict.fromkeys(("Gate", "GateResult", "judge_gate", "read_gate"), "gates"),
    **dict.fromkeys(("CHANCE_KEYS", "Corrected", "Effect", "FlipPair", "Flips"), "results"),
    **dict.fromkeys(("Interval", "PlanePoint", "Rate", "Tipping"), "results"),
}

__all__ = [
    "AttackLadder",
    "CHANCE_KEYS",
    "Coefficient",
    "Corrected",
    "Coupling",
    "CouplingOptions",
    "DoseOptions",
    "Dynamics",
    "Effect",
    "FactorEffect",
    "FlipPair",
    "Flips",
    "Gate",
    "GateResult",
    "GateUmpire",
    "Interval",
    "Pareto",
    "ParetoArm",
    "PathwayOptions",
    "PathwayTable",
    "PlanePoint",
    "Rate",
    "StopRule",
    "Tipping",
    "as_stopped",
    "axis_rate",
    "build_attacks",
    "classify",
    "classify_attack",
    "couple",
    "dose_dynamics",
    "factor_frame",
    "judge_gate",
    "read_gate",
    "read_rules",
    "read_stopped",
    "smallest_detectable_effect",
    "unattacked",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module `oldham.coupling` has no attribute `{name}`")
    return getattr(importlib.import_module(f"oldham.coupling.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
