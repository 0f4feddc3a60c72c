"""A comparison told question by question, and below the answers every table that they rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from oldham.core.outcomes import Axis
from oldham.coupling.attack_text import attack_sections
from oldham.coupling.coefficient_text import AS_JUDGED, coefficient_lines, price_lines, quadrant_lines
from oldham.coupling.correction_text import correction_sections
from oldham.coupling.effect_tables import (
    FACTORS_TITLE,
    FLIPS_TITLE,
    GRID_TITLE,
    effect_grid,
    effect_rows,
    factor_grid,
    factor_rows,
    flip_rows,
    quadrant_rows,
)
from oldham.coupling.finding_text import finding_lines
from oldham.coupling.findings import counted
from oldham.coupling.gates import Gate, GateResult, judge_gate
from oldham.coupling.judge_summary import judge_sections
from oldham.coupling.layout import bullets, section
from oldham.coupling.mixed import MIXED_TITLE, mixed_rows
from oldham.coupling.rate_text import RATES_TITLE, rate_rows
from oldham.coupling.ship_text import asked_sentence, of_arm, ship_lines, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.coupling.analysis import Coupling

NOT_MEASURED: Final = "It was not measured."
_ITEMS: Final = 3
"""Flipped items named for each side of an axis."""


class Answers(NamedTuple):
    """The answers to the questions, as lines of text."""

    reasoning: list[str]
    safety: list[str]
    flips: list[str]
    coupling: list[str]
    price: list[str]
    """What a point of reasoning costs."""


def comparison_head(coupling: Coupling) -> str:
    """Say what was compared with what, and how much of it has no score.

    Args:
        coupling: What the analysis found.
    """
    return (
        f"{counted(len(coupling.arms), 'arm')} against `{coupling.baseline}` on "
        f"{counted(len(coupling.axes), 'axis', 'axes')}; "
        f"{counted(coupling.n_observations, 'observation')}, {coupling.n_missing} of them without a score."
    )


def answers_of(coupling: Coupling) -> Answers:
    """Answer each question in lines of text.

    Args:
        coupling: What the analysis found.

    Returns:
        Where nothing was measured, that is the answer.
    """
    reasoning = finding_lines(e for e in coupling.effects if e.axis == Axis.REASONING)
    safety = finding_lines(e for e in coupling.effects if e.axis != Axis.REASONING)
    coupled = [*quadrant_lines(coupling), *coefficient_lines(coupling.coefficients)]
    return Answers(
        reasoning=bullets(reasoning or [NOT_MEASURED]),
        safety=bullets(safety or [NOT_MEASURED]),
        flips=flip_rows(coupling.flips) or bullets([NOT_MEASURED]),
        coupling=bullets(coupled or [NOT_MEASURED]),
        price=bullets(price_lines(coupling.coefficients, coupling.effects)),
    )


def write_comparison(coupling: Coupling, gate: GateResult | None = None) -> str:
    """Write a comparison: the answers in order, what to know before believing them, then every table.

    Args:
        coupling: What the analysis found.
        gate: The gate that was asked for, with every claim told; None holds the arms against the usual one.

    Returns:
        Lines of at most 110 characters, unless a name is long or a gate was asked for.
    """
    found = answers_of(coupling)
    pathways = ["", *coupling.pathways.lines()] if coupling.pathways.entries else []
    price = found.price if len(coupling.arms) > 1 else []  # of one arm, the slope says it
    as_judged = bullets([AS_JUDGED] if coupling.coefficients or coupling.pareto else [])
    sections = [
        section(GRID_TITLE, effect_grid(coupling)),
        section("Did reasoning improve?", found.reasoning),
        section("Did safety change?", found.safety),
        section(f"Through which flips? {FLIPS_TITLE}", [*found.flips, *_flipped_items(coupling), *pathways]),
        section("How are the two coupled?", [*found.coupling, *price, *as_judged]),
        section("Is it safe to ship?", _shipping(coupling, gate)),
        section("Caveats", bullets(coupling.caveats)),
        *_details(coupling),
    ]
    return "\n\n".join([comparison_head(coupling), *(s for s in sections if s)])


def _flipped_items(coupling: Coupling) -> list[str]:
    """Name some of the items that flipped, where they are of one arm: whoever reads on looks at these."""
    if len(coupling.arms) != 1:
        return []
    told = []
    for axis in coupling.axes:
        pairs = coupling.flip_pairs.of(coupling.arms[0], axis).frame
        sides = {k: pairs.filter(kind=k)["item"].unique(maintain_order=True).to_list() for k in ("risk", "defence")}
        named = [f"{kind} {_some(items)}" for kind, items in sides.items() if items]
        told += [f"Items on {axis}: {'; '.join(named)}."] if named else []
    return bullets(told)


def _some(items: Sequence[str]) -> str:
    more = [f"and {len(items) - _ITEMS} more"] if len(items) > _ITEMS else []
    return ", ".join([*(f"`{item}`" for item in items[:_ITEMS]), *more])


def _shipping(coupling: Coupling, gate: GateResult | None) -> list[str]:
    if gate is None:
        return ship_lines(judge_gate(coupling, Gate()), coupling.arms)
    verdicts = [f"`{arm}`: {verdict(of_arm(gate, arm))}" for arm in coupling.arms]
    # One line a claim, however long: scripts read them.
    return [*bullets([asked_sentence(gate), *verdicts]), *gate.text().splitlines()]


def _details(coupling: Coupling) -> list[str]:
    return [
        section("Effects, in points of score (+ is better), with 95% intervals", effect_rows(coupling.effects)),
        section(RATES_TITLE, rate_rows(coupling.rates)),
        section(FACTORS_TITLE, factor_grid(coupling, full=True)),
        section("Effects of the factors, with their tests", factor_rows(coupling.factor_effects)),
        section(MIXED_TITLE, mixed_rows(coupling.factor_effects)),
        section("Chance of each direction in the coupling plane, in %", quadrant_rows(coupling.plane)),
        section("Pareto front: arms that no other beats", coupling.pareto.lines() if coupling.pareto else []),
        *attack_sections(coupling, full=True),
        *correction_sections(coupling, full=True),
        *judge_sections(coupling, full=True),
    ]
