"""Controls and ways back in brief: a table of what stands beside each loss, and which controls a claim has."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from oldham.coupling.dynamics_claims import area_words, has_sentence, kind_words, unchecked_sentences
from oldham.coupling.findings import change_cell, points, points_interval
from oldham.coupling.layout import bullets, footnotes, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.coupling.dynamics_results import ControlCheck, Controls, DoseGap, Dynamics, Hysteresis


def lead_controls(dynamics: Dynamics) -> list[str]:
    """Lay out which controls each claim has, and each loss beside those of its controls.

    Args:
        dynamics: What was found.

    Returns:
        Sentences, then a row a loss and control; nothing where nothing is known of any control.
    """
    alike: dict[str, list[Controls]] = {}
    for each in dynamics.controls:
        alike.setdefault(has_sentence(replace(each, intervention="")), []).append(each)
    said = [has_sentence(some[0], also=[c.intervention for c in some[1:]]) for some in alike.values()]
    said += [s for c in dynamics.controls for s in unchecked_sentences(c)]
    return [*bullets(said), *_checks([k for c in dynamics.controls for k in c.checks if k.state != "no loss"])]


def _checks(checks: Sequence[ControlCheck]) -> list[str]:
    head = ("loss under", "axis", "control", "dose", "change", "of it the control", "left, 95% band", "over seeds")
    rows: list[tuple[str, ...]] = [(*head, "so the loss")]
    rows += [
        (
            c.intervention,
            c.axis,
            c.control,
            f"{c.dose:g}",
            points(c.change),
            points(c.of_control),
            change_cell(c.left, c.left_interval),
            "–" if math.isnan(c.seed_interval.low) else _seeds(c),
            _verdict(c),
        )
        for c in checks
    ]
    kinds = {c.control: kind_words(c.kind) for c in checks}
    notes = ["; ".join(f"`{name}`: {kind}" for name, kind in kinds.items()) + "."] if kinds else []
    return [*table(rows, names=3), *footnotes(notes)]


def _seeds(check: ControlCheck) -> str:
    return change_cell(check.left, check.seed_interval).partition(" ")[2]


def _verdict(check: ControlCheck) -> str:
    if check.state == "survives":
        return "survives"
    if check.state == "explained":
        return "is explained"
    if check.hangs_on_seeds:
        return "is open: other seeds"
    return f"is open: {check.items_needed} items" if check.items_needed else "is open"


def lead_gaps(gaps: Sequence[DoseGap]) -> list[str]:
    """Lay out where answers without a score make what is compared a selection.

    Args:
        gaps: By start and axis.

    Returns:
        A sentence, then a row a start and axis with the arm whose share is farthest from the start's; of a single
        arm the sentence alone.
    """
    if sum(len(g.arms) for g in gaps) < 2:
        return bullets(g.sentence for g in gaps)
    said = (
        "Where the share of answers without a score is far from the start's, the items compared are a selection, and "
        "the effect may come from it. With those answers all bad or all good a change could be:"
    )
    rows: list[tuple[str, ...]] = [("axis", "arms", "without a score", "start", "farthest", "its share", "its change")]
    for g in gaps:
        far = max(range(len(g.arms)), key=lambda i: abs(g.shares[i] - g.start_share))
        low, high = (f"{share:.0%}" for share in (min(g.shares), max(g.shares)))
        rows.append(
            (
                g.axis,
                str(len(g.arms)),
                low if low == high else f"{low} to {high}",
                f"{g.start_share:.0%}",
                g.arms[far],
                f"{g.shares[far]:.0%}",
                points_interval(g.bounds[far]),
            )
        )
    return [*bullets([said]), *table(rows, names=1)]


def lead_ways_back(ways: Sequence[Hysteresis]) -> list[str]:
    """Lay out ways out and back.

    Args:
        ways: Of every pair and safety axis.

    Returns:
        A row a pair and axis. The sign of the area says which way has more safety only where reasoning at the turn is
        clear of its start, so it is told by the sentences and not here.
    """
    rows: list[tuple[str, ...]] = [("out", "back", "axis", "signed area, 95%", "safety at the end", "reasoning")]
    rows += [
        (
            h.out,
            h.back,
            h.axis,
            f"{area_words(h.area)} [{area_words(h.interval.low)}, {area_words(h.interval.high)}]",
            change_cell(h.left_safety, h.left_safety_interval),
            change_cell(h.left_reasoning, h.left_reasoning_interval),
        )
        for h in ways
    ]
    return table(rows, names=3)
