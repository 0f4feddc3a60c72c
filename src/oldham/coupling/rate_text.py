"""Every rate with all that is known of it, as plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.coupling.layout import bullets, percent, percent_interval, table
from oldham.coupling.shares import upper_if_none

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oldham.coupling.results import Rate

RATES_TITLE: Final = "Rates of good answers among those scored, in %, with 95% intervals"
_WORDS: Final = (
    "Beta: the Bayesian interval, below 200 items. If missing: with all that has no score bad, and all of it good. "
    "Unseen: so many may be bad, or good, where none was seen."
)


def rate_rows(rates: Iterable[Rate]) -> list[str]:
    """Lay the rates out, one a line.

    Args:
        rates: Of every arm, benchmark and span.
    """
    rows: list[tuple[str, ...]] = [
        ("benchmark", "arm", "span", "rate", "interval", "Beta", "if missing", "unseen", "items", "clusters", "missing")
    ]
    rows += [
        (
            r.benchmark,
            r.arm,
            r.span,
            percent(r.mean),
            percent_interval(r.interval),
            percent_interval(r.bayes) if r.bayes else "",
            f"{percent(r.bound_low)} to {percent(r.bound_high)}" if r.n_missing else "",
            unseen(r),
            str(r.n_items),
            str(r.n_clusters),
            str(r.n_missing),
        )
        for r in rates
    ]
    return [*table(rows, names=3), *(bullets([_WORDS]) if len(rows) > 1 else [])]


def unseen(rate: Rate) -> str:
    """Say how many answers may be bad, or good, where none was seen: `bad 4.9`; empty where both were.

    Args:
        rate: Of one arm.
    """
    if rate.upper_if_none is not None:
        return f"bad {percent(rate.upper_if_none)}"
    if rate.mean == 0 and not math.isnan(most := upper_if_none(rate.n_clusters)):
        return f"good {percent(most)}"
    return ""
