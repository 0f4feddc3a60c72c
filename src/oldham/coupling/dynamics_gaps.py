"""Where a dose lacks more, or fewer, scores than the start of its ladder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oldham.coupling.caveats import GAP, missing_bounds, missing_gaps, missing_shares
from oldham.coupling.dynamics_results import DoseGap

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.dynamics_ladders import DoseLadder
    from oldham.coupling.results import Rate


def find_gaps(rates: Sequence[Rate], ladders: Iterable[DoseLadder]) -> list[DoseGap]:
    """Find the doses whose share of answers without a score is far from that of their start.

    Args:
        rates: Of every arm.
        ladders: Those of one start are told together.

    Returns:
        One entry a start and axis.
    """
    arms_of: dict[str, list[str]] = {}
    for each in ladders:
        arms_of.setdefault(each.start, []).extend(each.arms)
    found = []
    for start, arms in arms_of.items():
        some = [r for r in rates if r.arm in (start, *arms)]
        for axis, shares in missing_shares(some).items():
            apart = [a for a in arms if a in shares and start in shares and abs(shares[a] - shares[start]) > GAP]
            if not apart:
                continue
            found.append(
                DoseGap(
                    axis=axis,
                    start=start,
                    start_share=shares[start],
                    arms=tuple(apart),
                    shares=tuple(shares[a] for a in apart),
                    bounds=tuple(missing_bounds(some, axis, a, start) for a in apart),
                    sentence=_told(some, axis, start, apart),
                )
            )
    return found


def _told(rates: Sequence[Rate], axis: str, start: str, arms: Sequence[str]) -> str:
    own = [r for r in rates if r.axis == axis and r.arm in (start, *arms)]
    return " ".join(missing_gaps(own, baseline=start))
