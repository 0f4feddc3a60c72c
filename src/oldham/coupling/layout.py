"""Plain text in lines and columns, for a terminal."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.results import Interval

_WIDTH: Final = 110


def section(title: str, lines: list[str]) -> str:
    """Put a title above lines; nothing without lines.

    Args:
        title: The title.
        lines: The lines, as `table` or `bullets` return them.
    """
    return "\n".join([title, *lines]) if lines else ""


def table(rows: Sequence[tuple[str, ...]], *, names: int = 2) -> list[str]:
    """Align columns; the first ones hold names and the rest numbers. Nothing but a header gives nothing.

    Args:
        rows: The header and the rows, all of one length.
        names: How many columns hold names.
    """
    if len(rows) < 2:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [c.ljust(w) if i < names else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def footnotes(notes: Iterable[str]) -> list[str]:
    """Write notes to stand under a table, folded at 110 characters.

    Args:
        notes: One an entry, each with its mark first.
    """
    return [
        textwrap.fill(note, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
        for note in notes
    ]


def bullets(sentences: Iterable[str]) -> list[str]:
    """Write sentences as a list, folded at 110 characters.

    Args:
        sentences: One an entry.
    """
    return [
        textwrap.fill(s, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False) for s in sentences
    ]


def listed(names: Sequence[str]) -> str:
    """Write names such as `a, b and c`; nothing without names.

    Args:
        names: In the order wanted.
    """
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def percent(value: float, digits: int = 1) -> str:
    """Write a share in percent without the sign; `unknown` for NaN.

    Args:
        value: In [0, 1].
        digits: After the point.
    """
    return "unknown" if math.isnan(value) else f"{100 * value:.{digits}f}"


def percent_interval(interval: Interval) -> str:
    """Write an interval of a share in percent, such as `4.0 to 12.0`; `unknown` for NaN.

    Args:
        interval: Of a share.
    """
    return "unknown" if math.isnan(interval.low) else f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def ratio(value: float) -> str:
    """Write a number such as kappa with two digits; `unknown` for NaN.

    Args:
        value: Any number.
    """
    return "unknown" if math.isnan(value) else f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def p_value(value: float) -> str:
    """Write a p-value; `unknown` for NaN.

    Args:
        value: In [0, 1].
    """
    if math.isnan(value):
        return "unknown"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
