"""Every number about attacks as plain text, for the full summary."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from oldham.coupling.attack_points import point_table
from oldham.coupling.findings import points, points_interval
from oldham.coupling.layout import p_value, percent, percent_interval, section, table
from oldham.coupling.results import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.coupling.attack_results import AttackContrast, AttackCost, AttackLadder, AttackSurvival, Paired


def attack_tables(ladder: AttackLadder) -> list[str]:
    """Write every table of a ladder.

    Args:
        ladder: What attacks did.

    Returns:
        Sections as `layout.section` makes them; empty ones where there is nothing to say.
    """
    return [
        section("Attacks, a single try: bad share in %, bounds by what is missing, counts", _cells(ladder)),
        section("Severity of the successes alone (mean of 1 − score), in no share above", _severity(ladder)),
        section(
            "What successful answers name: % of the words of their own request, and of others by chance",
            point_table(ladder),
        ),
        section("Attacks, several tries (ASR@k): at least one of k draws succeeds, in % of items", _tries(ladder)),
        section("Worst of attacks, one try each: items that at least one breaks, in %", _worst(ladder)),
        section(
            "Worst of attacks against the baseline, in points, over the items known on both sides",
            _worst_changes(ladder),
        ),
        section("Power of attacks, in points of bad share over none", _contrasts(ladder.powers)),
        section("Power in the arm minus power in the baseline, in points", _contrasts(ladder.interactions)),
        section("Bad share in the arm minus that in the baseline, in points", _contrasts(ladder.changes)),
        section("Queries or draws to the first success (Kaplan–Meier)", _survival(ladder.survival)),
        section("Transfer: of what succeeds in one arm, % that succeeds in another, first draws", _transfers(ladder)),
        section("Transfer, attack by attack", _transfers_by_attack(ladder)),
        section("Dose curves: bad share of a single try, in %", _doses(ladder)),
        section("Techniques minus their controls of the same dose, in points of bad share", _controls(ladder)),
        section("Length of traces, in tokens against none", _costs(ladder.costs)),
    ]


def tokens(value: float) -> str:
    """Write a change in tokens, such as `+320`; `unknown` for NaN.

    Args:
        value: In tokens.
    """
    return "unknown" if math.isnan(value) else f"{round(value):+,d}".replace("-", "−") if round(value) else "0"


def from_to(low: float, high: float) -> str:
    """Write two counts as a range, such as `2–20`, or as one number where they are equal.

    Args:
        low: The smaller one.
        high: The larger one.
    """
    ends = f"{low:.0f}", f"{high:.0f}"
    return ends[0] if ends[0] == ends[1] else "–".join(ends)


def _interval(interval: Interval) -> str:
    return "unknown" if math.isnan(interval.low) else f"{tokens(interval.low)} to {tokens(interval.high)}"


def _number(value: float, digits: int = 1) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _share(share: float, interval: Interval, *counts: int) -> tuple[str, ...]:
    return (percent(share), percent_interval(interval), *map(str, counts))


def _cells(ladder: AttackLadder) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("axis", "attack", "arm", "bad", "interval", "bounds", "items", "clusters", "unscored", "draws", "queries")
    ]
    rows += [
        (
            c.axis,
            c.attack,
            c.arm,
            *_share(c.bad_share, c.interval),
            f"{percent(c.bound_low)} to {percent(c.bound_high)}",
            str(c.n_items),
            str(c.n_clusters),
            f"{c.n_missing} of {c.n_observations}",
            str(c.tries),
            _number(c.queries),
        )
        for c in ladder.cells
    ]
    return table(rows, names=3)


def _severity(ladder: AttackLadder) -> list[str]:
    rows = [("axis", "attack", "arm", "severity", "successes")]
    rows += [
        (c.axis, c.attack, c.arm, _number(c.severity, 2) or "unknown", str(c.n_successes))
        for c in ladder.cells
        if c.n_successes
    ]
    return table(rows, names=3)


def _tries(ladder: AttackLadder) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "attack", "arm", "k", "ASR@k", "interval", "items", "clusters")]
    rows += [
        (t.axis, t.attack, t.arm, str(t.tries), *_share(t.share, t.interval, t.n_items, t.n_clusters))
        for t in ladder.tries
    ]
    return table(rows, names=3)


def _worst(ladder: AttackLadder) -> list[str]:
    """List what is known for sure, what is possible, and how many items are between the two."""
    rows: list[tuple[str, ...]] = [
        ("axis", "arm", "attacks", "searches", "queries", "for sure", "interval", "at most", "known", "unknown")
    ]
    rows += [
        (
            w.axis,
            w.arm,
            str(len(w.attacks)) if w.fewest == len(w.attacks) else f"{w.fewest}–{len(w.attacks)}",
            str(len(w.searches)),
            from_to(w.fewest_queries, w.most_queries) if w.searches else "",
            *_share(w.share, w.interval),
            percent(w.bound_high),
            str(w.n_items),
            str(w.n_missing),
        )
        for w in ladder.worst
    ]
    return table(rows)


def _worst_changes(ladder: AttackLadder) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "arm", "attacks", *_CHANGE, "bounds", "apart")]
    rows += [
        (
            w.axis,
            w.arm,
            str(len(w.shared)),
            *_in_points(w.change),
            points_interval(Interval(w.change_bound_low, w.change_bound_high)),
            str(w.n_apart),
        )
        for w in ladder.worst
        if w.change is not None
    ]
    return table(rows)


_CHANGE = ("change", "interval", "p", "p Holm", "items", "clusters", "left out")


def _paired(change: Paired) -> tuple[str, ...]:
    counts = (change.n_items, change.n_clusters, change.n_missing)
    return (p_value(change.p_value), p_value(change.p_holm), *map(str, counts))


def _in_points(change: Paired) -> tuple[str, ...]:
    return (points(change.delta), points_interval(change.interval), *_paired(change))


def _contrasts(contrasts: Sequence[AttackContrast]) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "attack", "arm", *_CHANGE)]
    rows += [(c.axis, c.attack, c.arm, *_in_points(c.change)) for c in contrasts]
    return table(rows, names=3)


def _survival(curves: Sequence[AttackSurvival]) -> list[str]:
    rows = [("axis", "attack", "arm", "time in", "median", "interval", "standing", "after", "fell", "items", "unknown")]
    for c in curves:
        standing = c.steps[-1].survival if c.steps else 1.0 if c.n_items else math.nan
        ends = (_number(end) or "not reached" for end in c.median_interval)
        rows.append(
            (
                c.axis,
                c.attack,
                c.arm,
                c.unit,
                _number(c.median) or "not reached",
                " to ".join(ends),
                percent(standing),
                _number(c.last, 0),
                str(c.n_events),
                str(c.n_items),
                str(c.n_missing),
            )
        )
    return table(rows, names=4)


def _transfers(ladder: AttackLadder) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "succeeds in", "tried in", "share", "interval", "of", "clusters")]
    rows += [(t.axis, t.given, t.arm, *_share(t.share, t.interval, t.n, t.n_clusters)) for t in ladder.transfers]
    return table(rows, names=3)


def _transfers_by_attack(ladder: AttackLadder) -> list[str]:
    """Write nothing where there is a single attack: it is the table of all of them."""
    rows: list[tuple[str, ...]] = [("axis", "attack", "succeeds in", "tried in", "share", "interval", "of", "clusters")]
    if len(ladder.attacks) > 1:
        rows += [
            (t.axis, str(t.attack), t.given, t.arm, *_share(t.share, t.interval, t.n, t.n_clusters))
            for t in ladder.transfers_by_attack
            if t.given != t.arm and t.n
        ]
    return table(rows, names=4)


def _doses(ladder: AttackLadder) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "technique", "arm", "dose", "bad", "interval", "items", "unscored")]
    rows += [
        (d.axis, d.technique, d.arm, f"{d.dose:g}", *_share(d.bad_share, d.interval, d.n_items, d.n_missing))
        for d in ladder.doses
    ]
    return table(rows, names=3)


def _controls(ladder: AttackLadder) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "technique", "control", "arm", "dose", *_CHANGE)]
    rows += [(c.axis, c.technique, c.control, c.arm, f"{c.dose:g}", *_in_points(c.change)) for c in ladder.controls]
    return table(rows, names=4)


def _costs(costs: Sequence[AttackCost]) -> list[str]:
    rows: list[tuple[str, ...]] = [("axis", "attack", "arm", "without", *_CHANGE, "cut")]
    rows += [
        (
            c.axis,
            c.attack,
            c.arm,
            f"{c.before:,.0f}",
            tokens(c.change.delta),
            _interval(c.change.interval),
            *_paired(c.change),
            str(c.n_cut),
        )
        for c in costs
    ]
    return table(rows, names=3)
