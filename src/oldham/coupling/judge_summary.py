"""What the judges are known to get wrong, and where they differ, as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oldham.coupling.analysis import Coupling


def judge_sections(coupling: Coupling, *, full: bool) -> list[str]:
    """Write the sections on trace against answer and on judges that differ.

    Args:
        coupling: What the analysis found.
        full: Also the tables that a short summary leaves out.

    Returns:
        Sections as `layout.section` makes them; empty ones where there is nothing to say.
    """
    return []
