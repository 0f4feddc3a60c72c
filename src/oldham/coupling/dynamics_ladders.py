"""Which arms are doses of what, and their changes from the start, all from the same resamples."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from oldham.core.outcomes import Axis
from oldham.coupling.bootstrap import Estimate
from oldham.coupling.contrasts import build_contrasts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.judge_error import Corrections
    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.pairing import Block

_BRACKETS: Final = re.compile(r"(?P<name>.*)\[(?P<settings>[^\[\]]*)\]")


@dataclass(frozen=True)
class DoseLadder:
    """The arms of one intervention, by dose."""

    intervention: str
    start: str
    """The arm that is d_0."""
    start_dose: float
    doses: tuple[float, ...]
    """Ascending, all above `start_dose`."""
    arms: tuple[str, ...]

    @property
    def name(self) -> str:
        """The intervention without its seed."""
        return without_seed(self.intervention)[0]


@dataclass(frozen=True)
class Source:
    """What every contrast is read from: the same blocks, hence the same resamples of items."""

    blocks: tuple[Block, ...]
    """The answers' blocks, with every arm of the table."""
    options: CouplingOptions
    corrections: Corrections
    """They correct nothing here, and know whose verdicts these are."""

    def contrasts(self, arms: Sequence[str], start: str) -> dict[tuple[str, str], Contrast]:
        """Contrast arms with a start.

        Args:
            arms: Some arms of the table.
            start: What they are compared with.

        Returns:
            By axis and arm. Two calls share the resamples of a benchmark, so that their clouds can be subtracted.
        """
        wanted = tuple(dict.fromkeys((start, *arms)))
        some = [_of_arms(block, wanted) for block in self.blocks]
        found = build_contrasts(some, baseline=start, options=self.options, corrections=self.corrections)
        return {(c.axis, c.arm): c for c in found}


def _of_arms(block: Block, arms: tuple[str, ...]) -> Block:
    at = [block.arm(a) for a in arms]
    return replace(block, arms=arms, scores=block.scores[at], rows=block.rows[at])


def unknown_estimate(resamples: int) -> Estimate:
    """Return the estimate of something that was not measured.

    Args:
        resamples: Length of its cloud.
    """
    return Estimate(math.nan, np.full(resamples, np.nan), math.nan, 0)


def without_seed(intervention: str) -> tuple[str, str | None]:
    """Take the seed out of an intervention's name.

    Args:
        intervention: Such as `sft[seed=1]` or `sft[seed=1,mix.ratio=0.05]`.

    Returns:
        The rest, such as `sft` or `sft[mix.ratio=0.05]`, and the seed; None where the name has none.
    """
    found = _BRACKETS.fullmatch(intervention)
    if found is None:
        return intervention, None
    settings = found["settings"].split(",")
    seeds = [s.removeprefix("seed=") for s in settings if s.startswith("seed=")]
    if len(seeds) != 1:
        return intervention, None
    rest = ",".join(s for s in settings if not s.startswith("seed="))
    return (f"{found['name']}[{rest}]" if rest else found["name"]), seeds[0]


def read_ladders(observations: pl.DataFrame, *, baseline: str) -> tuple[list[DoseLadder], list[str]]:
    """Read which arms are doses of what.

    Args:
        observations: In the observation schema.
        baseline: The arm that is d_0 of an intervention without an arm of dose 0.

    Returns:
        One ladder an intervention that has a dose above its start, in the table's order, and a sentence for everything
        left out.
    """
    known = observations.filter(pl.col("dose").is_not_null() & pl.col("intervention").is_not_null())
    table = known.select("arm", "intervention", "dose").unique(maintain_order=True)
    several = table.filter(pl.col("arm").is_duplicated())["arm"].unique(maintain_order=True).to_list()
    notes = [f"The rows of the arm `{arm}` name several doses, so it is left out." for arm in several]
    table = table.filter(pl.col("arm").is_duplicated().not_())
    ladders = []
    for intervention in table["intervention"].unique(maintain_order=True).to_list():
        rows = table.filter(pl.col("intervention") == intervention)
        doses = {str(arm): float(dose) for arm, _, dose in rows.iter_rows()}
        ladder, told = _ladder(intervention, doses, baseline)
        notes += told
        if ladder is not None:
            ladders.append(ladder)
    return ladders, notes


def _ladder(intervention: str, doses: dict[str, float], baseline: str) -> tuple[DoseLadder | None, list[str]]:
    by_dose: dict[float, list[str]] = {}
    for arm, dose in doses.items():
        by_dose.setdefault(dose, []).append(arm)
    for dose, arms in by_dose.items():
        if len(arms) > 1:
            both = " and ".join(f"`{a}`" for a in arms)
            return None, [f"{both} are the same dose ({dose:g}) of `{intervention}`, so it has no path."]
    start = by_dose.get(0.0, [baseline])[0]
    start_dose = doses.get(start, 0.0)
    above = sorted((dose, arms[0]) for dose, arms in by_dose.items() if dose > start_dose)
    below = [arms[0] for dose, arms in sorted(by_dose.items()) if dose < start_dose]
    names = ", ".join(f"`{a}`" for a in below)
    notes = [f"Doses of `{intervention}` below that of its start `{start}` are left out: {names}."] if below else []
    if not above:
        return None, notes
    ladder = DoseLadder(intervention, start, start_dose, tuple(d for d, _ in above), tuple(a for _, a in above))
    return ladder, notes


@dataclass(frozen=True)
class LadderChanges:
    """A ladder with the contrasts of its arms with its start."""

    ladder: DoseLadder
    found: dict[tuple[str, str], Contrast]
    """By axis and arm."""
    axes: tuple[str, ...]
    """Axes asked at the start or at some dose, in their usual order, scored answers or not."""
    resamples: int

    def estimates(self, axis: str) -> list[Estimate]:
        """Return the changes of an axis, by dose; all NaN where it was not measured."""
        known = [self.found.get((axis, arm)) for arm in self.ladder.arms]
        return [c.change if c else unknown_estimate(self.resamples) for c in known]

    def n_items(self, axis: str, arm: str) -> int:
        """Return the items that an arm shares with the start on an axis."""
        found = self.found.get((axis, arm))
        return found.n_items if found else 0


def change_ladder(ladder: DoseLadder, source: Source) -> LadderChanges:
    """Contrast every dose with the start.

    Args:
        ladder: The doses.
        source: What is read.
    """
    own = (ladder.start, *ladder.arms)
    asked = {block.axis for block in source.blocks if any(block.rows[block.arm(a)].any() for a in own)}
    axes = tuple(str(a) for a in Axis if str(a) in asked)
    return LadderChanges(ladder, source.contrasts(ladder.arms, ladder.start), axes, source.options.resamples)
