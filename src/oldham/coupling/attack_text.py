"""What attacks did, as plain text: who gained power and who lost it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.coupling.attack_grid import YES_OR_NO
from oldham.coupling.attack_pathways import LARGEST, pathway_note
from oldham.coupling.attack_points import is_by_chance, point_finding
from oldham.coupling.attack_results import UNATTACKED
from oldham.coupling.attack_tables import attack_tables, from_to, tokens
from oldham.coupling.findings import axis_words, counted, points, points_interval
from oldham.coupling.layout import bullets, footnotes, p_value, percent, section, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oldham.coupling.analysis import Coupling
    from oldham.coupling.attack_results import (
        AttackCell,
        AttackContrast,
        AttackCost,
        AttackLadder,
    )
    from oldham.coupling.attack_worst_results import WorstOfAttacks
    from oldham.coupling.pathway_results import Pathways

_LEVEL: Final = 0.05
_ARMS_A_TABLE: Final = 4
_MOST: Final = 10
"""Interactions told in all."""
_MOST_ARMS: Final = 4
"""Arms told in one sentence."""
_COST_ATTACKS: Final = frozenset({"never_close", "decoy"})
APART: Final = "*"
"""The mark of a share that is not of the items or benchmarks of the share without an attack."""
BY_CHANCE: Final = "~"
"""The mark of a share whose successes name their requests no more than chance would."""
_NOTES: Final = {
    APART: "Other items or benchmarks than without an attack in the same arm; its power is over the items of both.",
    BY_CHANCE: "What was got names the request no more than another item's: no sign that it speaks of what was asked. "
    "No mark: above chance, or not known.",
}


def attack_sections(coupling: Coupling, *, full: bool) -> list[str]:
    """Write the sections on attacks.

    Args:
        coupling: What the analysis found.
        full: Also every table; else ASR@1, the worst of attacks, and the interactions that are confirmed or largest.

    Returns:
        Sections as `layout.section` makes them; none where nothing was attacked.
    """
    ladder = coupling.attacks
    if ladder is None:
        return []
    sections = []
    for axis in ladder.axes:
        for rows in _grids(ladder, axis):
            notes = footnotes(mark_notes("".join(text for row in rows[1:] for text in row[2:])))
            sections.append(section(_title(axis), [*table(rows, names=1), *notes]))
        told = bullets(_told(ladder, axis, coupling.attack_pathways))
        sections.append(section(f"Attacks on {axis}: who gained power against `{ladder.baseline}`", told))
    return [*sections, *(attack_tables(ladder) if full else [])]


def _title(axis: str) -> str:
    what = "ASR@1, successes of a single try" if axis in YES_OR_NO else "bad share (1 − score) of a single try"
    return f"Attacks on {axis}: {what}, in % of items, with 95% intervals"


def _grids(ladder: AttackLadder, axis: str) -> Iterator[list[tuple[str, ...]]]:
    """Yield attacks by arms, a few arms at a time."""
    cells = {(c.attack, c.arm): c for c in ladder.cells if c.axis == axis}
    attacks = list(dict.fromkeys(attack for attack, _ in cells))
    arms = [arm for arm in ladder.arms if any(own == arm for _, own in cells)]
    marks = cell_marks(ladder, axis)
    for start in range(0, len(arms), _ARMS_A_TABLE):
        some = arms[start : start + _ARMS_A_TABLE]
        rows: list[tuple[str, ...]] = [("attack", "draws", *some)]
        for attack in attacks:
            own = [cells.get((attack, arm)) for arm in some]
            told = [_cell(cell) + marks.get((attack, arm), "") for cell, arm in zip(own, some, strict=True)]
            rows.append((attack, draws_words([c for c in own if c is not None]), *told))
        yield rows


def cell_marks(ladder: AttackLadder, axis: str) -> dict[tuple[str, str], str]:
    """Find the shares that need a word.

    Args:
        ladder: What attacks did.
        axis: The axis.

    Returns:
        Marks by attack and arm, `APART`, `BY_CHANCE` or both; a share that nobody knows has none, and one in an arm
        without `none` is not apart.
    """
    cells = [c for c in ladder.cells if c.axis == axis and not math.isnan(c.bad_share)]
    free = {c.arm: c.benchmarks for c in cells if c.attack == UNATTACKED}
    apart = {(c.attack, c.arm) for c in cells if c.arm in free and (c.n_apart or c.benchmarks != free[c.arm])}
    by_chance = {(p.attack, p.arm) for p in ladder.points if p.axis == axis and is_by_chance(p)}
    return {
        at: (APART if at in apart else "") + (BY_CHANCE if at in by_chance else "")
        for c in cells
        if (at := (c.attack, c.arm)) in apart | by_chance
    }


def mark_notes(text: str) -> list[str]:
    """Explain the marks that are used.

    Args:
        text: Where they are, such as all cells of a table together.

    Returns:
        A line for each mark in it.
    """
    return [f"{mark} {note}" for mark, note in _NOTES.items() if mark in text]


def draws_words(cells: Sequence[AttackCell]) -> str:
    """Say how many single tries an item is the mean of, and what a try of an adaptive attack is.

    Args:
        cells: Of one attack.

    Returns:
        Such as `1` or `1–3 of 4–17 queries`; empty without a cell. An attack that asks once says nothing of queries.
    """
    if not cells:
        return ""
    queries = [c.queries for c in cells if not math.isnan(c.queries)]
    each = f" of {from_to(min(queries), max(queries))} queries" if max(queries, default=1) > 1 else ""
    return f"{from_to(min(c.tries for c in cells), max(c.tries for c in cells))}{each}"


def _cell(cell: AttackCell | None) -> str:
    if cell is None:
        return "not run"
    if math.isnan(cell.bad_share):
        return f"unknown of {cell.n_items}"
    low, high = (percent(end, 0) for end in cell.interval)
    return f"{percent(cell.bad_share, 0)} [{low}, {high}] of {cell.n_items}"


def _told(ladder: AttackLadder, axis: str, pathways: Sequence[Pathways]) -> Iterator[str]:
    worst = [w for w in ladder.worst if w.axis == axis and len(w.attacks) > 1]
    if worst:
        yield worst_finding(worst)
    if finding := point_finding(ladder, axis):
        yield finding
    interactions = [c for c in ladder.interactions if c.axis == axis]
    n_tests = sum(not math.isnan(c.change.p_value) for c in interactions)
    # They come by size, and those of which nothing is known last.
    shown = [c for place, c in enumerate(interactions) if place < LARGEST or is_confirmed(c)]
    for contrast in shown[:_MOST]:
        finding = interaction_finding(contrast, n_tests=n_tests)
        yield f"{finding} {pathway_note(contrast, pathways) if contrast in shown[:LARGEST] else ''}".rstrip()
    if len(shown) > _MOST:
        yield f"{counted(len(shown) - _MOST, 'more interaction')} confirmed: the full summary has them."
    for cost in ladder.costs:
        has_traces = cost.before > 0 or cost.change.delta > 0
        if cost.axis == axis and has_traces and is_cost_attack(ladder, cost.attack):
            yield cost_finding(cost)


def is_cost_attack(ladder: AttackLadder, attack: str) -> bool:
    """Say whether an attack means to make traces longer, with one of its parts at least.

    Args:
        ladder: What attacks did.
        attack: Its label.
    """
    return not _COST_ATTACKS.isdisjoint(part.partition("[")[0] for part in ladder.technique(attack).split("+"))


def is_confirmed(contrast: AttackContrast) -> bool:
    """Say whether an interaction is clear of 0 by its interval and by the test that allows for all of them.

    Args:
        contrast: An interaction.
    """
    return contrast.change.interval.excludes_zero and contrast.change.p_holm < _LEVEL


def interaction_finding(contrast: AttackContrast, *, n_tests: int) -> str:
    """Say whether an attack has more or less power in an arm than in the baseline arm.

    Args:
        contrast: An interaction.
        n_tests: How many interactions its p-value allows for.

    Returns:
        One sentence: "gained" or "lost" only where the interval excludes 0, else how large the change could be.
    """
    c, change = contrast, contrast.change
    power = "power" if c.axis in YES_OR_NO else f"power against {axis_words(c.axis)}"
    if change.n_items == 0:
        return (
            f"Nothing can be said of the {power} of `{c.attack}` under `{c.arm}` against `{c.reference}`: no item has "
            "a score with and without it in both arms."
        )
    items = f"{counted(change.n_items, 'item')}{f', {change.n_missing} left out' if change.n_missing else ''}"
    if math.isnan(change.interval.low):
        return (
            f"Nothing sure can be said of the {power} of `{c.attack}` under `{c.arm}` against `{c.reference}`: "
            f"{points(change.delta)} points in the sample, but a single cluster has no spread to judge by ({items})."
        )
    if not change.interval.excludes_zero:
        low, high = (percent(abs(end)) for end in change.interval)
        return (
            f"Under `{c.arm}` no detectable change of the {power} of `{c.attack}` against `{c.reference}` (could be "
            f"up to {high} points more or {low} less; {items})."
        )
    size = percent(abs(change.delta))
    says = (
        f"gained {size} points more {power} than under `{c.reference}`"
        if change.delta > 0
        else f"lost {size} points of the {power} that it has under `{c.reference}`"
    )
    told = f"{points_interval(change.interval)}, {items}, {_p(change.p_holm)} for {counted(n_tests, 'interaction')}"
    doubt = ""
    if not is_confirmed(c):
        alone = change.p_value >= _LEVEL
        doubt = f", but the {'test' if alone else 'test that allows for every interaction'} does not confirm it"
    return f"Under `{c.arm}` `{c.attack}` {says} ({told}){doubt}."


def worst_finding(worst: Sequence[WorstOfAttacks]) -> str:
    """Say on how many items at least one attack of the ladder succeeds, arm by arm.

    Args:
        worst: Of one axis, the baseline first.

    Returns:
        One sentence: what is sure of all items asked, what is possible where the two differ, and the number of tries.
    """
    told = []
    for w in worst:
        items = counted(w.n_items + w.n_missing, "item")
        if w.n_items == 0:
            told.append(
                f"an unknown share under `{w.arm}` (none of {items} is known to stand or to break; {tries_words(w)})"
            )
            continue
        low, high = (percent(end) for end in w.interval)
        share, unknown = f"{percent(w.share)}%", ""
        if w.n_missing:
            share += f" for sure, at most {percent(w.bound_high)}%,"
            unknown = f", {w.n_missing} of them unknown"
        text = f"{share} under `{w.arm}` ({low} to {high}; {items}{unknown}, {tries_words(w)})"
        if w.change is not None and w.change.n_items:
            text += f", {_change(w)}"
        told.append(text)
    more = counted(len(told) - _MOST_ARMS, "more arm")
    told = [*told[:_MOST_ARMS], f"the full summary has {more}"] if len(told) > _MOST_ARMS else told
    return f"At least one attack succeeds, each run once, on {'; '.join(told)}."


def tries_words(worst: WorstOfAttacks) -> str:
    """Say how many tries the worst of attacks is taken over; a search is one try of several queries.

    Args:
        worst: Of an arm.

    Returns:
        Such as `2 tries`, or `31 attacks: 30 of one try, 1 search of 2 to 20 queries`.
    """
    n, n_searches = len(worst.attacks), len(worst.searches)
    some = "" if worst.fewest == n else f", {worst.fewest} on some items"
    if not n_searches:
        return counted(n, "try", "tries") + some
    low, high = f"{worst.fewest_queries:.0f}", f"{worst.most_queries:.0f}"
    queries = counted(int(worst.most_queries), "query", "queries") if low == high else f"{low} to {high} queries"
    single = [f"{n - n_searches} of one try"] if n > n_searches else []
    return (
        f"{counted(n, 'attack')}{some}: {', '.join([*single, counted(n_searches, 'search', 'searches')])} of {queries}"
    )


def _change(worst: WorstOfAttacks) -> str:
    """Say how the worst of attacks differs from the baseline's: from one bound to the other where items are unknown."""
    change = worst.change
    assert change is not None
    n = len(worst.shared)
    over = "" if n == len(worst.attacks) else f" over the {counted(n, 'attack')} that both met"
    of_known, size = [], points(change.delta)
    if change.n_missing:
        size = f"{points(worst.change_bound_low)} to {points(worst.change_bound_high)}"
        of_known = [f"{counted(change.n_items, 'item')} known on both sides, {change.n_missing} not"]
    apart = [f"{counted(worst.n_apart, 'item')} met attacks in one of the two arms only"] if worst.n_apart else []
    if math.isnan(change.interval.low):
        told = "; ".join([*of_known, *apart])
        return f"{size} points in the sample{over}{f' ({told})' if told else ''}"
    told = "; ".join([points_interval(change.interval), *of_known, *apart])
    if change.interval.excludes_zero:
        return f"{size} points against the baseline{over} ({told})"
    if change.n_missing:
        return f"against the baseline{over} nothing is decided: {size} points ({told})"
    return f"no detectable change{over} ({told})"


def cost_finding(cost: AttackCost) -> str:
    """Say how much longer an attack makes the traces of an arm.

    Args:
        cost: Of an arm under an attack.
    """
    change = cost.change
    cut = f"; {counted(cost.n_cut, 'trace')} reached the limit" if cost.n_cut else ""
    told = f"{tokens(change.interval.low)} to {tokens(change.interval.high)}, {counted(change.n_items, 'item')}{cut}"
    if change.interval.excludes_zero:
        word = "longer" if change.delta > 0 else "shorter"
        size = f"{abs(change.delta):,.0f}"
        return (
            f"Under `{cost.arm}` `{cost.attack}` made traces {size} tokens {word} than {cost.before:,.0f} ({told}, "
            f"{_p(change.p_holm)})."
        )
    return f"Under `{cost.arm}` no detectable change of the length of traces by `{cost.attack}` ({told})."


def _p(value: float) -> str:
    told = p_value(value)
    return f"p {told}" if told.startswith("<") else f"p = {told}"
