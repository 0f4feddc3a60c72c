"""A coupling as plain text: in brief here, and in full question by question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oldham.coupling.attack_text import attack_sections
from oldham.coupling.compare_text import comparison_head, write_comparison
from oldham.coupling.correction_text import correction_sections
from oldham.coupling.effect_tables import FACTORS_TITLE, GRID_TITLE, effect_grid, factor_grid
from oldham.coupling.finding_text import finding_lines
from oldham.coupling.judge_summary import judge_sections
from oldham.coupling.layout import bullets, section

if TYPE_CHECKING:
    from oldham.coupling.analysis import Coupling


def write_summary(coupling: Coupling, *, full: bool) -> str:
    """Write a coupling as plain text.

    Args:
        coupling: What the analysis found.
        full: Every question answered, and every table: what `oldham compare` prints.

    Returns:
        The change of every arm on every axis, what was found, what is open, and caveats; lines of at most 110
        characters unless a name is long.
    """
    if full:
        return write_comparison(coupling)
    clear = [e for e in coupling.effects if e.interval.excludes_zero]
    still_open = [e for e in coupling.effects if not e.interval.excludes_zero]
    sections = [
        section(GRID_TITLE, effect_grid(coupling)),
        section(FACTORS_TITLE, factor_grid(coupling, full=False)),
        section("Found", bullets(e.finding for e in sorted(clear, key=lambda e: (e.p_holm, -abs(e.delta))))),
        section("Open", bullets(finding_lines(still_open))),
        *attack_sections(coupling, full=False),
        *correction_sections(coupling, full=False),
        *judge_sections(coupling, full=False),
        section("Caveats", bullets(coupling.caveats)),
    ]
    return "\n\n".join([comparison_head(coupling), *(s for s in sections if s)])
