"""What attacks did, laid out for the page: who gained power, how often each succeeds in each arm, and at what price."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oldham.core.outcomes import Axis
from oldham.coupling.attack_grid import YES_OR_NO
from oldham.coupling.attack_pairs import control_of
from oldham.coupling.attack_points import point_finding
from oldham.coupling.attack_results import UNATTACKED
from oldham.coupling.attack_tables import tokens as change_in_tokens
from oldham.coupling.attack_text import (
    cell_marks,
    cost_finding,
    draws_words,
    interaction_finding,
    is_confirmed,
    is_cost_attack,
    mark_notes,
    tries_words,
)
from oldham.report.summary import direction
from oldham.report.text import NO_DATA, points, points_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from oldham.coupling.attack_results import (
        AttackCell,
        AttackContrast,
        AttackCost,
        AttackLadder,
        AttackSurvival,
        AttackTransfer,
        AttackTries,
        DoseControl,
        Paired,
    )
    from oldham.coupling.attack_worst_results import WorstOfAttacks
    from oldham.report.data import ReportData
    from oldham.report.summary import Direction

LARGEST: Final = 3
"""Interactions told although nothing confirms them."""
FOLDED: Final = 10
"""Confirmed interactions told at once; the others of a longer list are folded away."""
TALLEST: Final = 14
"""Attacks in one chart; more stand in two charts side by side."""
_TRIES: Final = (1, 2, 3, 5, 10, 20, 50, 100)
"""Numbers of tries of which ASR@k is shown, beside the largest there is."""


@dataclass(frozen=True, slots=True)
class AttackBox:
    """One attack in one arm: everything that is known of it."""

    cell: AttackCell
    direction: Direction
    """Of the bad share in the arm against that in the baseline arm under the same attack."""
    power: Paired | None
    """Bad share under the attack minus that without one; None where nobody asked without one."""
    change: Paired | None
    """Bad share in the arm minus that in the baseline arm; None for the baseline."""
    interaction: Paired | None
    """Power in the arm minus power in the baseline arm; None for the baseline."""
    mark: str
    """Empty, or the marks of a share that needs a word."""


@dataclass(frozen=True, slots=True)
class WorstBox:
    """The worst of all attacks in one arm."""

    worst: WorstOfAttacks
    direction: Direction
    """Of its change from the baseline; `open` also where the missing outcomes could undo it, sampling allowed for."""
    change: str
    """Its change from the baseline in points with the interval, from one bound to the other where items are unknown;
    empty where nothing is known."""
    tries: str
    """How many, in words."""


@dataclass(frozen=True, slots=True)
class AttackRow:
    """One attack across the arms."""

    attack: str
    draws: str
    """Draws an item, and the queries of one where it is adaptive."""
    boxes: Mapping[str, AttackBox]
    """By arm; an arm in which it was not run is absent."""


@dataclass(frozen=True, slots=True)
class TriesRow:
    """ASR@k of one attack in one arm."""

    attack: str
    arm: str
    shares: Mapping[int, AttackTries]
    """By k; more tries than any item has are absent."""


@dataclass(frozen=True, slots=True)
class DoseCurve:
    """A technique that was run with several doses."""

    chart: str
    """The name of its chart."""
    technique: str
    control: str | None
    """The control that was run too; None without one."""


@dataclass(frozen=True, slots=True)
class AttackAxis:
    """What attacks did on one axis."""

    axis: str
    is_yes_or_no: bool
    """Whether a try succeeds or fails; else its bad share is 1 - score."""
    told: tuple[tuple[Direction, str], ...]
    """Confirmed interactions, the largest first, then those of the largest that are not confirmed, then what cost
    attacks changed."""
    more: tuple[tuple[Direction, str], ...]
    """Confirmed interactions beyond the first `FOLDED`."""
    point: str
    """Attacks whose successes show no sign of speaking of what was asked, in a sentence; empty without one."""
    arms: tuple[str, ...]
    share_charts: tuple[str, ...]
    """Names of the charts of what attacks do."""
    draws: str
    """Draws an item where every attack has as many, else empty."""
    free: AttackRow | None
    """The items as they are; None where nobody asked without an attack."""
    rows: tuple[AttackRow, ...]
    """By the baseline's bad share, the largest first; where the baseline has none, last."""
    worst: Mapping[str, WorstBox]
    """By arm."""
    n_worst: int
    """The most attacks that the worst of them is taken over."""
    tries: tuple[TriesRow, ...]
    """Empty where no item has more than one draw."""
    ks: tuple[int, ...]
    """The columns of `tries`."""
    curves: tuple[DoseCurve, ...]
    controls: tuple[DoseControl, ...]
    transfers: Mapping[tuple[str, str], AttackTransfer]
    """By the arm in which an attack succeeded and the arm in which it is tried again."""
    transfers_by_attack: tuple[AttackTransfer, ...]
    """Between different arms; empty where there is a single attack, whose transfer is that of all."""
    survival: tuple[AttackSurvival, ...]
    costs: tuple[AttackCost, ...]
    """Of attacks that mean to make traces longer, in arms that think."""
    other_costs: tuple[AttackCost, ...]
    """Of all other attacks, in arms that think."""

    @property
    def all_rows(self) -> tuple[AttackRow, ...]:
        """The items as they are, then every attack."""
        return self.rows if self.free is None else (self.free, *self.rows)

    @property
    def notes(self) -> list[str]:
        """What the marks of boxes say."""
        return mark_notes("".join(box.mark for row in self.all_rows for box in row.boxes.values()))


def direction_of(change: Paired | None) -> Direction:
    """Say what a change of a bad share allows; more is worse.

    Args:
        change: None where there is nothing to compare with.
    """
    return "none" if change is None else direction(change, more="worse")


def attack_axes(data: ReportData) -> list[AttackAxis]:
    """Lay out what attacks did, axis by axis.

    Args:
        data: The report's data.

    Returns:
        An entry for every axis that was attacked, safety before reasoning; none where nothing was.
    """
    ladder = data.coupling.attacks
    if ladder is None:
        return []
    arms = tuple(arm for arm in data.arms if arm in ladder.arms)
    return [_axis(ladder, axis, arms) for axis in sorted(ladder.axes, key=lambda axis: axis == Axis.REASONING)]


def ranked_attacks(ladder: AttackLadder, axis: str) -> list[str]:
    """Order the attacks of an axis by what they do in the baseline.

    Args:
        ladder: What attacks did.
        axis: The axis.

    Returns:
        Labels without `none`, the largest bad share first; those of which the baseline knows nothing come last.
    """
    shares = {c.attack: c.bad_share for c in ladder.cells if (c.axis, c.arm) == (axis, ladder.baseline)}
    here = {c.attack for c in ladder.cells if c.axis == axis}

    def rank(attack: str) -> tuple[bool, float]:
        share = shares.get(attack, math.nan)
        return (True, 0.0) if math.isnan(share) else (False, -share)

    return sorted((attack for attack in ladder.attacks if attack in here), key=rank)


def share_charts(ladder: AttackLadder, axis: str) -> dict[str, list[str]]:
    """Spread the attacks of an axis over one chart, or over two where one would be too tall.

    Args:
        ladder: What attacks did.
        axis: The axis.

    Returns:
        The attacks of each chart, in their order, by its name.
    """
    ranked = ranked_attacks(ladder, axis)
    half = len(ranked) if len(ranked) <= TALLEST else (len(ranked) + 1) // 2
    parts = [ranked[:half], ranked[half:]]
    return {f"attacks-{axis}-{i}": part for i, part in enumerate(parts) if part}


def dose_curves(ladder: AttackLadder, axis: str) -> list[DoseCurve]:
    """List the dose curves of an axis; a control that was run goes with its technique.

    Args:
        ladder: What attacks did.
        axis: The axis.
    """
    techniques = list(dict.fromkeys(point.technique for point in ladder.doses if point.axis == axis))
    run = {c.technique for c in ladder.cells if c.axis == axis and not math.isnan(c.dose)}
    controls = {t: control for t in techniques if (control := control_of(t)) in run}
    shown = [t for t in techniques if t not in controls.values()]
    return [DoseCurve(f"doses-{axis}-{i}", t, controls.get(t)) for i, t in enumerate(shown)]


def tokens(value: float) -> str:
    """Write a change in tokens, such as `+320`; `no data` for NaN.

    Args:
        value: In tokens.
    """
    return NO_DATA if math.isnan(value) else change_in_tokens(value)


def power_words(power: Paired | None) -> str:
    """Say what an attack adds in its arm, in points with the interval; empty where nothing is known.

    Args:
        power: The bad share under the attack minus that without one.
    """
    if power is None or math.isnan(power.delta):
        return ""
    return f"{points(power.delta)} {points_interval(power.interval)}".strip()


def time_words(time: float) -> str:
    """Write a time to success; one that is not reached says so.

    Args:
        time: In queries or draws; NaN where it is not reached.
    """
    return "not reached" if math.isnan(time) else f"{time:g}"


def _axis(ladder: AttackLadder, axis: str, arms: tuple[str, ...]) -> AttackAxis:
    told, more = _findings(ladder, axis)
    rows = _rows(ladder, axis, arms)
    ranks = {attack: i for i, attack in enumerate((UNATTACKED, *ranked_attacks(ladder, axis)))}
    order = {arm: i for i, arm in enumerate(arms)}
    worst = {w.arm: _worst(w) for w in ladder.worst if w.axis == axis}
    curves = tuple(dose_curves(ladder, axis))
    tries = _tries([t for t in ladder.tries if t.axis == axis], ranks, order)
    known = [c for c in ladder.costs if c.axis == axis and (c.before > 0 or c.change.delta > 0)]
    known.sort(key=lambda c: (ranks[c.attack], order[c.arm]))
    deliberate = [c for c in known if is_cost_attack(ladder, c.attack)]
    return AttackAxis(
        axis=axis,
        is_yes_or_no=axis in YES_OR_NO,
        told=tuple(told),
        more=tuple(more),
        point=point_finding(ladder, axis),
        arms=tuple(arm for arm in arms if any(arm in row.boxes for row in rows.values())),
        share_charts=tuple(share_charts(ladder, axis)),
        draws=next(iter(rows.values())).draws if len({row.draws for row in rows.values()}) == 1 else "",
        free=rows.get(UNATTACKED),
        rows=tuple(rows[attack] for attack in ranks if attack in rows and attack != UNATTACKED),
        worst=worst,
        n_worst=max((len(box.worst.attacks) for box in worst.values()), default=0),
        tries=tries,
        ks=tuple(sorted({k for row in tries for k in row.shares})),
        curves=curves,
        controls=tuple(c for c in ladder.controls if c.axis == axis),
        transfers={(t.given, t.arm): t for t in ladder.transfers if t.axis == axis},
        transfers_by_attack=tuple(
            t
            for t in ladder.transfers_by_attack
            if t.axis == axis and t.given != t.arm and t.n and len(ladder.attacks) > 1
        ),
        survival=tuple(
            sorted((s for s in ladder.survival if s.axis == axis), key=lambda s: (ranks[s.attack], order[s.arm]))
        ),
        costs=tuple(deliberate),
        other_costs=tuple(c for c in known if c not in deliberate),
    )


def _findings(ladder: AttackLadder, axis: str) -> tuple[list[tuple[Direction, str]], list[tuple[Direction, str]]]:
    """Tell the confirmed interactions and the largest, and apart from them those that make the list too long."""
    # They come by size, and those of which nothing is known last.
    interactions = [c for c in ladder.interactions if c.axis == axis]
    n_tests = sum(not math.isnan(c.change.p_value) for c in interactions)
    confirmed = [c for c in interactions if is_confirmed(c)]
    # One item alone can seem to change by 200 points: what has no interval is told only where nothing has one.
    sure = [c for c in interactions if not math.isnan(c.change.interval.low)] or interactions
    others = [c for c in sure[:LARGEST] if not is_confirmed(c)]

    def tell(contrasts: Iterable[AttackContrast]) -> list[tuple[Direction, str]]:
        return [(direction_of(c.change), interaction_finding(c, n_tests=n_tests)) for c in contrasts]

    prices: list[tuple[Direction, str]] = [
        (direction_of(cost.change), cost_finding(cost))
        for cost in ladder.costs
        if cost.axis == axis and cost.change.interval.excludes_zero and is_cost_attack(ladder, cost.attack)
    ]
    return [*tell(confirmed[:FOLDED]), *tell(others), *prices], tell(confirmed[FOLDED:])


def _worst(worst: WorstOfAttacks) -> WorstBox:
    return WorstBox(worst, direction_of(worst.change), _worst_change_words(worst), tries_words(worst))


def _worst_change_words(worst: WorstOfAttacks) -> str:
    change = worst.change
    if change is None or math.isnan(change.delta):
        return ""
    bounds = f"{points(worst.change_bound_low)} to {points(worst.change_bound_high)}"
    return f"{bounds if change.n_missing else points(change.delta)} {points_interval(change.interval)}".strip()


def _rows(ladder: AttackLadder, axis: str, arms: Sequence[str]) -> dict[str, AttackRow]:
    powers, changes, interactions = (
        {(c.attack, c.arm): c.change for c in table if c.axis == axis}
        for table in (ladder.powers, ladder.changes, ladder.interactions)
    )
    marks = cell_marks(ladder, axis)
    cells: dict[str, dict[str, AttackCell]] = {}
    for cell in ladder.cells:
        if cell.axis == axis:
            cells.setdefault(cell.attack, {})[cell.arm] = cell
    return {
        attack: AttackRow(
            attack,
            draws_words(list(of_arm.values())),
            {
                arm: AttackBox(
                    of_arm[arm],
                    direction_of(changes.get((attack, arm))),
                    powers.get((attack, arm)),
                    changes.get((attack, arm)),
                    interactions.get((attack, arm)),
                    marks.get((attack, arm), ""),
                )
                for arm in arms
                if arm in of_arm
            },
        )
        for attack, of_arm in cells.items()
    }


def _tries(tries: Sequence[AttackTries], ranks: Mapping[str, int], order: Mapping[str, int]) -> tuple[TriesRow, ...]:
    most = max((t.tries for t in tries), default=0)
    shown = {k for k in _TRIES if k < most} | {most}
    rows: dict[tuple[str, str], dict[int, AttackTries]] = {}
    for t in tries:
        if t.tries in shown:
            rows.setdefault((t.attack, t.arm), {})[t.tries] = t
    return tuple(TriesRow(*key, rows[key]) for key in sorted(rows, key=lambda key: (ranks[key[0]], order[key[1]])))
