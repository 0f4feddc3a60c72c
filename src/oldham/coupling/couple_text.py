"""A run told question by question: did reasoning improve, did safety change, how, at what rate, is it safe to ship."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from oldham.coupling.coefficient_text import AS_JUDGED
from oldham.coupling.compare_text import answers_of, comparison_head
from oldham.coupling.effect_tables import FLIPS_TITLE
from oldham.coupling.gates import Gate, GateResult, judge_gate
from oldham.coupling.layout import bullets, section
from oldham.coupling.meta_models import models_section, pooled_axes
from oldham.coupling.plain_json import write_json
from oldham.coupling.ship_text import of_arm, ship_lines, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from oldham.coupling.analysis import Coupling

_QUESTIONS: Final = (
    "Did reasoning improve?",
    "Did safety change?",
    f"Through which flips? {FLIPS_TITLE}",
    "How is safety coupled to reasoning?",
    "What does a point of reasoning cost?",
    "Is it safe to ship?",
    "Caveats",
)


@dataclass(frozen=True, slots=True)
class CoupledRun:
    """A run, what was found in it, and what of that passes the gate."""

    name: str
    coupling: Coupling
    observations: pl.DataFrame
    gate: GateResult


def coupled_run(name: str, coupling: Coupling, observations: pl.DataFrame, gate: Gate) -> CoupledRun:
    """Hold a coupling against a gate.

    Args:
        name: What the run is called.
        coupling: What was found in it.
        observations: What it was found in.
        gate: What arms must show.
    """
    return CoupledRun(name, coupling, observations, judge_gate(coupling, gate))


def write_run(run: CoupledRun) -> str:
    """Write a run as plain text, question by question.

    Args:
        run: The run.
    """
    found = run.coupling
    said = answers_of(found)
    answers = (
        said.reasoning,
        said.safety,
        said.flips,
        [*said.coupling, *bullets([AS_JUDGED] if found.coefficients else [])],
        said.price,
        ship_lines(run.gate, found.arms),
        bullets(found.caveats),
    )
    head = f"{run.name}: {comparison_head(found)}"
    sections = [section(title, lines) for title, lines in zip(_QUESTIONS, answers, strict=True)]
    return "\n\n".join([head, *(s for s in sections if s)])


def write_runs(runs: Sequence[CoupledRun], notes: Sequence[str] = ()) -> str:
    """Write several runs, and what they show together.

    Args:
        runs: One a model.
        notes: What else to know of them together, in sentences.
    """
    parts = [write_run(run) for run in runs]
    if len(runs) > 1:
        together = models_section(by_model(runs), [run.observations for run in runs])
        nothing = ["No safety axis has a coupling coefficient in two of them."]
        parts.append(section(f"Together: {len(runs)} runs", [*(together or nothing), *bullets(notes)]))
    return "\n\n\n".join(parts)


def by_model(runs: Sequence[CoupledRun]) -> Mapping[str, Coupling]:
    """Return the couplings by the names of their runs.

    Args:
        runs: One a model.
    """
    return {run.name: run.coupling for run in runs}


def runs_json(runs: Sequence[CoupledRun]) -> str:
    """Return everything as JSON.

    Args:
        runs: One a model.

    Returns:
        Fields by name, intervals as pairs; what is unknown or infinite is null.
    """
    together = pooled_axes(by_model(runs)) if len(runs) > 1 else {}
    whole = {"runs": [_run_fields(r) for r in runs], "pooled_kappa": {a: asdict(p) for a, p in together.items()}}
    return write_json(whole)


def _run_fields(run: CoupledRun) -> dict[str, Any]:
    found = run.coupling
    rows: dict[str, Sequence[Any]] = {
        "effects": found.effects,
        "flips": found.flips,
        "plane": found.plane,
        "coefficients": found.coefficients,
    }
    verdicts = {a: {"passed": (own := of_arm(run.gate, a)).passed, "verdict": verdict(own)} for a in found.arms}
    return {
        "name": run.name,
        "baseline": found.baseline,
        "arms": found.arms,
        "n_observations": found.n_observations,
        "n_missing": found.n_missing,
        **{name: [asdict(row) for row in some] for name, some in rows.items()},
        "gate": {**run.gate.gate.model_dump(mode="json"), "claims": [asdict(c) for c in run.gate.claims]},
        "ship": verdicts,
        "caveats": found.caveats,
    }
