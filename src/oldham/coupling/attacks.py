"""Attacked studies: which rows the effects are read from, and what a ladder of attacks does in every arm.

An attack of one try, several tries, and the worst of all attacks are different questions with different numbers of
tries; they stand in tables of their own and are never mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from oldham.coupling.attack_cells import build_cells, build_tries
from oldham.coupling.attack_curves import (
    build_costs,
    build_doses,
    build_survival,
    build_transfers,
    build_transfers_by_attack,
)
from oldham.coupling.attack_grid import mark_success, read_grids, read_ladder
from oldham.coupling.attack_pairs import build_attack_contrasts
from oldham.coupling.attack_points import build_points, unknown_points
from oldham.coupling.attack_results import UNATTACKED, AttackLadder
from oldham.coupling.attack_worst import build_worst
from oldham.coupling.caveats import GAP
from oldham.coupling.findings import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from oldham.coupling.attack_results import AttackCell, AttackSurvival
    from oldham.coupling.options import CouplingOptions

_TOLD: Final = 3
"""Attacks or cells named in a caveat."""
_IS_FREE: Final = pl.col("attack").fill_null(UNATTACKED) == UNATTACKED


def unattacked(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows without an attack, on every benchmark that has any.

    Args:
        rows: In the observation schema.

    Returns:
        The table itself where nothing was attacked; a benchmark that was never asked without an attack keeps all rows.
    """
    if rows.select(_IS_FREE.all()).item():
        return rows
    return rows.filter(_IS_FREE | ~_IS_FREE.any().over("axis", "benchmark"))


def tell_unattacked(rows: pl.DataFrame) -> list[str]:
    """Say which rows the effects are read from.

    Args:
        rows: In the observation schema.

    Returns:
        At most two sentences; none where nothing was attacked.
    """
    of = rows.lazy().select("axis", "benchmark", "attack")
    attacked = of.filter(~_IS_FREE).collect()
    free = of.filter(_IS_FREE).select("axis", "benchmark").unique().collect()
    both = attacked.join(free, on=["axis", "benchmark"], how="semi")
    pooled = attacked.join(free, on=["axis", "benchmark"], how="anti")
    told = []
    if both.height:
        told.append(
            "Effects, rates, flips, factors and stages are read from the items as they are, without an attack; what "
            f"{counted(both['attack'].n_unique(), 'attack')} did is told under attacks."
        )
    if pooled.height:
        names = ", ".join(pooled["benchmark"].unique().sort().to_list())
        told.append(
            f"{names}: never asked without an attack. Effects there are over "
            f"{counted(pooled['attack'].n_unique(), 'attack')} together, and an attack's power cannot be told."
        )
    return told


def build_attacks(
    trials: pl.DataFrame, arms: Sequence[str], baseline: str, options: CouplingOptions
) -> AttackLadder | None:
    """Tell what a ladder of attacks does in every arm.

    Args:
        trials: One row a trial and span, as `oldham.coupling.pairing.tidy_trials` returns it; answers alone are read.
        arms: Every arm, in the order wanted.
        baseline: The arm that changes and interactions are told against.
        options: Resamples, permutations and seed.

    Returns:
        Its tables; None where nothing was attacked. Equal tables give equal numbers, whatever the order of their rows.
    """
    if trials.select(_IS_FREE.all()).item():
        return None
    answers = trials.filter(pl.col("span") == "answer")
    # A benchmark without an attack has no ladder.
    answers = answers.filter((~_IS_FREE).any().over("axis", "benchmark"))
    if answers.is_empty():
        return None
    marked = mark_success(answers)
    ladder = read_ladder(marked, arms, baseline)
    grids = read_grids(marked, ladder)
    contrasts = build_attack_contrasts(grids, ladder, options)
    cells = tuple(build_cells(marked, grids, ladder))
    survival = tuple(build_survival(marked, grids, ladder))
    return AttackLadder(
        baseline=baseline,
        arms=ladder.arms,
        axes=tuple(dict.fromkeys(grid.axis for grid in grids)),
        attacks=ladder.attacks,
        cells=cells,
        points=tuple(build_points(marked, ladder, options)),
        tries=tuple(build_tries(grids, ladder)),
        worst=tuple(build_worst(grids, ladder, contrasts.worst)),
        powers=contrasts.powers,
        interactions=contrasts.interactions,
        changes=contrasts.changes,
        survival=survival,
        transfers=tuple(build_transfers(grids, ladder)),
        transfers_by_attack=tuple(build_transfers_by_attack(grids, ladder)),
        doses=tuple(build_doses(cells, ladder)),
        controls=contrasts.controls,
        costs=tuple(build_costs(marked, grids, ladder, options)),
        caveats=(
            *_near_the_ceiling(cells),
            *_left_out(cells, ladder.arms),
            *_unscored(cells),
            *unknown_points(marked),
            *_clustered(survival),
            _AS_JUDGED,
        ),
    )


_HALF: Final = 0.5
_AS_JUDGED: Final = "Shares under attacks are as judged: they are not corrected for judge error."


def _near_the_ceiling(cells: Iterable[AttackCell]) -> Iterator[str]:
    """Warn where an arm is bad already, so that an attack has little left to add: lost power is no defence there."""
    full = [c for c in cells if c.attack == UNATTACKED and c.bad_share > _HALF]
    for axis in dict.fromkeys(c.axis for c in full):
        told = [f"{1 - c.bad_share:.0%} under `{c.arm}`" for c in full if c.axis == axis]
        yield (
            f"On {axis} most answers are bad without an attack, so there is little that an attack could add (at most "
            f"{', '.join(told)} of the items): power that is lost for want of room is no defence."
        )


def _left_out(cells: Iterable[AttackCell], arms: Sequence[str]) -> Iterator[str]:
    """Say which attacks were not run in all arms."""
    run: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        run.setdefault((cell.axis, cell.attack), set()).add(cell.arm)
    lacking: dict[str, list[str]] = {}
    for (axis, attack), own in run.items():
        if without := [f"`{arm}`" for arm in arms if arm not in own]:
            lacking.setdefault(axis, []).append(f"`{attack}` under {', '.join(without)}")
    for axis, told in lacking.items():
        more = [f"{len(told) - _TOLD} more"] if len(told) > _TOLD else []
        yield f"On {axis} some attacks were not run in every arm: {'; '.join([*told[:_TOLD], *more])}."


def _unscored(cells: Iterable[AttackCell]) -> Iterator[str]:
    """Warn where many answers under an attack have no score, such as text that nobody can read."""
    worst = sorted(
        (c for c in cells if c.n_missing > GAP * c.n_observations and c.attack != UNATTACKED),
        key=lambda c: -c.n_missing / c.n_observations,
    )
    for axis in dict.fromkeys(c.axis for c in worst):
        own = [c for c in worst if c.axis == axis]
        told = [f"{c.n_missing / c.n_observations:.0%} of `{c.attack}` under `{c.arm}`" for c in own[:_TOLD]]
        more = [f"{counted(len(own) - _TOLD, 'more cell')}"] if len(own) > _TOLD else []
        yield (
            f"On {axis} many answers under attacks have no score ({', '.join([*told, *more])}): shares are of the "
            "scored ones, a selection, and the bounds say how far they may be off."
        )


def _clustered(survival: Iterable[AttackSurvival]) -> Iterator[str]:
    """Warn where the bands of survival curves take items of a cluster for independent."""
    axes = list(dict.fromkeys(s.axis for s in survival if s.n_clusters < s.n_items))
    if axes:
        yield f"On {', '.join(axes)} items share clusters, which the bands of queries to success do not allow for."
