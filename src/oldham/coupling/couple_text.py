"""A run told question by question: did reasoning improve, did safety change, how, at what rate, is it safe to ship."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Any, Final

from oldham.core.outcomes import Axis
from oldham.coupling.coefficient_text import coefficient_lines, exchange_sentence, quadrant_sentence
from oldham.coupling.findings import counted
from oldham.coupling.gates import Gate, GateResult, judge_gate
from oldham.coupling.layout import bullets, percent, percent_interval, section, table
from oldham.coupling.meta_models import models_section, pooled_axes
from oldham.coupling.plain_json import write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from oldham.coupling.analysis import Coupling
    from oldham.coupling.coefficient import Coefficient
    from oldham.coupling.results import Flips

_QUESTIONS: Final = (
    "Did reasoning improve?",
    "Did safety change?",
    "Through which flips? In % of items: good becomes bad (risk), bad becomes good (defence)",
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

    def of_arm(self, arm: str) -> GateResult:
        """Return the claims about one arm.

        Args:
            arm: The arm.
        """
        return GateResult(self.gate.gate, tuple(c for c in self.gate.claims if c.arm == arm))


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
    head = (
        f"{run.name}: {counted(len(found.arms), 'arm')} against `{found.baseline}`; "
        f"{counted(found.n_observations, 'observation')}, {found.n_missing} of them without a score."
    )
    reasoning = [e.finding for e in found.effects if e.axis == Axis.REASONING]
    safety = [e.finding for e in found.effects if e.axis != Axis.REASONING]
    quadrants = [quadrant_sentence(p.arm, p.axis, p.quadrants, p.d_reasoning, p.d_safety) for p in found.plane]
    nothing = ["It was not measured."]
    answers = (
        bullets(reasoning or nothing),
        bullets(safety or nothing),
        flip_rows(found.flips),
        bullets([*quadrants, *coefficient_lines(found.coefficients)] or nothing),
        bullets(price_lines(found.coefficients)),
        ship_lines(run),
        bullets(found.caveats),
    )
    sections = [section(title, lines) for title, lines in zip(_QUESTIONS, answers, strict=True)]
    return "\n\n".join([head, *(s for s in sections if s)])


def flip_rows(flips: Iterable[Flips]) -> list[str]:
    """Lay flips out, with what is left of them when what sampling alone gives is taken out.

    Args:
        flips: Of every arm and axis.
    """
    shares = ("risk", "interval", "defence", "interval", "noise", "risk over it", "defence over it")
    head = ("axis", "arm", *shares, "items")
    rows = [
        (
            f.axis,
            f.arm,
            percent(f.risk),
            percent_interval(f.risk_interval),
            percent(f.defence),
            percent_interval(f.defence_interval),
            percent(f.noise_floor),
            percent_interval(f.excess_risk_interval),
            percent_interval(f.excess_defence_interval),
            str(f.n_items),
        )
        for f in flips
    ]
    return table([head, *rows])


def price_lines(coefficients: Sequence[Coefficient]) -> list[str]:
    """Say what a point of reasoning costs, arm by arm; arms whose reasoning has not clearly changed share a line.

    Args:
        coefficients: Of any families; an arm is told once an axis.
    """
    sentences: list[str] = []
    open_: dict[str, None] = {}
    told: set[tuple[str, str]] = set()
    for c in coefficients:
        for rate in c.exchange:
            if (c.axis, rate.arm) in told:
                continue
            told.add((c.axis, rate.arm))
            if rate.rate is None:
                open_[rate.arm] = None
            else:
                sentences.append(exchange_sentence(rate, c))
    if open_:
        arms = ", ".join(f"`{a}`" for a in open_)
        sentences.append(f"No exchange rate under {arms}: correct reasoning has not clearly changed there.")
    return sentences


def ship_lines(run: CoupledRun) -> list[str]:
    """Say of each arm whether it passes the gate, and if that is open, how many items would tell.

    Args:
        run: The run.
    """
    gate = run.gate.gate
    asked = {"superior": "better", "non_inferior": f"at most {100 * gate.margin:g} points worse", "any": "anything"}
    axes = "every safety axis measured" if gate.safety == "all" else ", ".join(map(str, gate.safety))
    lines = bullets(
        [f"Asked: reasoning {asked[gate.reasoning]}, and {axes} at most {100 * gate.margin:g} points worse."]
    )
    for arm in run.coupling.arms:
        result = run.of_arm(arm)
        lines += bullets([f"`{arm}`: {_verdict(result)}"])
        told = [line for line in result.text().splitlines()[1:] if not line.startswith("- passed")]
        lines += [indent(folded, "  ") for folded in bullets(line.removeprefix("- ") for line in told)]
    return lines


def _verdict(result: GateResult) -> str:
    states = [c.state for c in result.claims]
    passed = f"{states.count('passed')} of {counted(len(states), 'claim')} passed"
    if result.passed:
        return f"yes, as far as this gate asks ({passed})."
    if "failed" in states:
        return f"no ({passed}, {states.count('failed')} failed)."
    needed = [c.items_needed for c in result.claims if c.state == "undecided"]
    items = [n for n in needed if n is not None]
    if needed and len(items) == len(needed):
        return f"it cannot be said yet ({passed}); about {max(items)} items on each open axis would say it."
    return f"it cannot be said ({passed}); for some claims no number of items can be named that would."


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
    verdicts = {a: {"passed": run.of_arm(a).passed, "verdict": _verdict(run.of_arm(a))} for a in found.arms}
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
