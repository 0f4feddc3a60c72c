"""Findings in the order of what they decide: what changed first, then what could not be told from no change."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from oldham.coupling.findings import axis_words, corrected_otherwise, counted, is_open, points_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.results import Effect


def finding_lines(effects: Iterable[Effect]) -> list[str]:
    """Say what was found: findings that decide something lead, and the open ones of an axis share a line.

    Args:
        effects: In the order wanted.

    Returns:
        Each effect's own finding, but for the open ones: these share a sentence (one an axis, or one in all where they
        are of a single arm) with what each change could still be, its items, and how many are left out. An open effect
        keeps its own sentence where that says more: where the correction for judge error makes a change clear, and
        where answers without a score could take it beyond its interval. So does one of which nothing is known.
    """
    told: dict[str, list[str]] = {"decided": [], "open": [], "unknown": []}
    grouped: list[Effect] = []
    for e in effects:
        if is_open(e) and not corrected_otherwise(e) and not _hides_more(e):
            grouped.append(e)
        else:
            told["unknown" if math.isnan(e.interval.low) else "open" if is_open(e) else "decided"].append(e.finding)
    return [*told["decided"], *told["open"], *_together(grouped), *told["unknown"]]


def _together(effects: Sequence[Effect]) -> list[str]:
    """Say of several changes at once that they could not be told from none."""
    arms = {e.arm for e in effects}
    if len(arms) == 1 and len(effects) > 1:
        listed = ", ".join(f"{axis_words(e.axis, e.judges)} {_could_be(e)}" for e in effects)
        return [f"No detectable change under `{effects[0].arm}` in {listed}."]
    of_axis: dict[str, list[str]] = {}
    for e in effects:
        of_axis.setdefault(axis_words(e.axis, e.judges), []).append(f"`{e.arm}` {_could_be(e)}")
    return [f"No detectable change in {what} under {', '.join(those)}." for what, those in of_axis.items()]


def _could_be(effect: Effect) -> str:
    left = f", {effect.n_missing} left out" if effect.n_missing else ""
    return f"(could be {points_interval(effect.interval)} points; {counted(effect.n_items, 'item')}{left})"


def _hides_more(effect: Effect) -> bool:
    """Whether the answers without a score could take a change further than its interval; false where nobody knows."""
    return effect.bounds.low < effect.interval.low or effect.bounds.high > effect.interval.high
