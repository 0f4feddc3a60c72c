"""The paired differences behind every effect, as betting reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from oldham.core.observations import as_observations
from oldham.coupling.attacks import unattacked
from oldham.coupling.contrasts import build_contrasts
from oldham.coupling.pairing import build_blocks, only_judge, tidy_trials
from oldham.coupling.sequential import Units

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    from oldham.core.rounds import Cell, Planned
    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.pairing import Block


class Rows:
    """The paired differences behind every effect, as betting reads them.

    Args:
        observations: In the observation schema.
        baseline: The arm compared with.
        options: The judge that counts, resamples and seed.
    """

    def __init__(self, observations: pl.DataFrame, baseline: str, options: CouplingOptions) -> None:
        trials = unattacked(tidy_trials(only_judge(as_observations(observations), options.judge))[0])
        found = trials["arm"].drop_nulls().unique(maintain_order=True).to_list()
        self.baseline, self.options = baseline, options
        self.arms = tuple(arm for arm in found if arm != baseline)
        self._blocks = [b for b in build_blocks(trials, (baseline, *self.arms)) if b.span == "answer"]
        made = build_contrasts(self._blocks, baseline=baseline, options=options)
        self.contrasts: dict[Cell, Contrast] = {(c.arm, c.axis): c for c in made}

    def asked(self, cell: Cell) -> int:
        """Return how many items both the arm and the baseline were asked.

        Args:
            cell: The arm and the axis.
        """
        arm, axis = cell
        blocks = [b for b in self._blocks if b.axis == axis]
        return sum(int((b.rows[[b.arm(self.baseline), b.arm(arm)]] > 0).all(axis=0).sum()) for b in blocks)

    def share(self, cell: Cell, planned: Mapping[str, Planned]) -> float:
        """Return how much of what was planned on an axis an arm was asked.

        Args:
            cell: The arm and the axis.
            planned: What the study would ask at most, by benchmark.
        """
        most = sum(p.items for p in planned.values() if p.axis == cell[1])
        return self.asked(cell) / most if most else 0.0

    def units(
        self, cell: Cell, planned: Mapping[str, Planned], *, missing_as: float | None = None
    ) -> list[Units] | None:
        """Return an arm's differences on every planned benchmark of an axis.

        Args:
            cell: The arm and the axis.
            planned: What the study would ask at most, by benchmark.
            missing_as: What a missing pair is taken for, 1 or -1: the best or the worst it could be, given the score
                that is there; None leaves it out.

        Returns:
            One for each benchmark, without units where no pair is known; None where the axis is not planned.
        """
        arm, axis = cell
        blocks = {b.benchmark: b for b in self._blocks if b.axis == axis}
        mine = [(blocks.get(name), p.largest) for name, p in planned.items() if p.axis == axis]
        return [_units(block, self.baseline, arm, largest, missing_as) for block, largest in mine] or None

    def filled(self, cell: Cell, missing_as: float) -> Contrast | None:
        """Return the change with every missing score of an arm and the baseline at its best, or its worst.

        Args:
            cell: The arm and the axis.
            missing_as: 1 for the best that missing pairs could be for the arm, -1 for the worst.

        Returns:
            None where the arm has no row on the axis.
        """
        arm, axis = cell
        best = 1.0 if missing_as > 0 else 0.0
        mine = (b for b in self._blocks if b.axis == axis)
        blocks = [_filled(b, {b.arm(arm): best, b.arm(self.baseline): 1 - best}) for b in mine]
        made = build_contrasts(blocks, baseline=self.baseline, options=self.options)
        return next((c for c in made if c.arm == arm), None)


def _filled(block: Block, values: Mapping[int, float]) -> Block:
    """Give items that an arm was asked and that have no score one."""
    scores = block.scores.copy()
    for arm, value in values.items():
        scores[arm, (block.rows[arm] > 0) & (block.finished[arm] == 0), 0] = value
    return replace(block, scores=scores)


def _units(block: Block | None, baseline: str, arm: str, largest: int, missing_as: float | None) -> Units:
    nothing = Units(np.empty(0), np.empty(0), largest)
    if block is None or arm not in block.arms:
        return nothing
    before, after = block.means[block.arm(baseline)], block.means[block.arm(arm)]
    asked = (block.rows[block.arm(baseline)] > 0) & (block.rows[block.arm(arm)] > 0)
    differences: NDArray[np.float64] = after - before
    if missing_as is not None:
        best, worst = (1.0, 0.0) if missing_as > 0 else (0.0, 1.0)
        differences = np.where(np.isnan(after), best, after) - np.where(np.isnan(before), worst, before)
    known = asked & np.isfinite(differences)
    counts = np.bincount(block.clusters[known]).astype(np.float64)
    sums = np.bincount(block.clusters[known], weights=differences[known]).astype(np.float64)
    return Units(sums[counts > 0], counts[counts > 0], largest)
