"""Which arms nothing beats on all axes together: the Pareto front over reasoning and every safety axis.

**Dominance.** One arm dominates another within a margin when it is nowhere worse by more than the margin and somewhere
better by more than the margin. Margin 0 is Pareto's own relation, which is told beside it. The margin that is taken is
`CouplingOptions.margin`, the one that "equivalent" and "non-inferior" go by everywhere else: with Pareto's own relation
an arm that loses ten points of safety for nothing still counts as undominated as soon as chance makes it a hair better
on any other axis, which on four level axes happens in 15 of 16 studies. The relation with a margin knows no two arms
that dominate each other, but it is not transitive: three arms may beat each other in a circle, and then none of them is
in the front.

In 300 simulated studies of five axes with 10% flips, an arm that loses 20 points of one axis for nothing was
undominated in 93% of the resamples with 60 items an axis, and in 92% with 300, by Pareto's relation; within a margin of
5 points in 54% and in 9%. Of three arms that equal the baseline each was undominated in 91% by Pareto's relation, with
60 items as with 300; within the margin in 58% and 62%.

**Membership** is the share of the shared resamples in which nothing dominates an arm. It is no probability of being in
the true front: noise makes arms look undominated, and resampling adds its own. So the share that an arm would have if
no arm truly differed from the baseline (on the mean of such studies: the noise of the cloud, moved to no change, taken
twice) always stands beside it, and what may be claimed is read from intervals:

- *dominated*: some arm is above minus the margin on every axis (intervals at 95%, shared among the other arms by
  Bonferroni) and above the margin on one (shared among arms and axes);
- *in front*: every other arm is below by more than the margin on some axis (shared among axes) or above by more than it
  on none;
- *undecided*: anything else.

**Behind.** The gap is the least rise on all axes after which nothing would dominate an arm: max over other arms of the
min over axes of what they are ahead (the gap of Auer, Chiang, Ortner and Drugan 2016, "Pareto front identification from
stochastic bandit feedback", AISTATS). The regret is the largest loss to the best arm on any axis: the additive epsilon
indicator (Zitzler and others 2003) of taking this arm alone. Maxima of noisy numbers lean upward; their intervals are
put together from those of the differences between two arms, so that they hold the truth whichever arm is truly best (as
in multiple comparisons with the best, Hsu 1984): the lower end from simultaneous lower ends, the upper end from upper
ends. The same is done for the gain in hypervolume, which grows in every change: its lower end is the volume of all
changes at their simultaneous lower ends, since plain percentiles never reach down to no gain at all; its upper end is
the percentile, expanded for few clusters, which the lean makes safe.

Changes are as judged. An arm without paired items on an axis is left out: what is missing is never good.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from oldham.core.outcomes import Axis
from oldham.coupling.bootstrap import ZERO
from oldham.coupling.pareto_field import Field, compare, make_field
from oldham.coupling.pareto_results import Loss, Pareto, ParetoArm, Standing
from oldham.coupling.pareto_text import Winner, arm_finding, note_benchmarks, note_left_out, note_uneven
from oldham.coupling.pareto_volume import gain_alone, hypervolume
from oldham.coupling.results import Interval
from oldham.coupling.shares import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.pareto_field import Behind, Leads

_MOST_ARMS: Final = 24
"""With more arms, the volume of all together takes too long."""
_QUICK_ARMS: Final = 9
"""With more arms, the volume is computed for fewer resamples, but never for fewer than `_FEWEST`."""
_FEWEST: Final = 500


class Front(NamedTuple):
    """Who dominates whom, set by set."""

    membership: NDArray[np.float64]
    """Shape (arms,): share of the sets in which nothing dominates the arm."""
    beaten_by: NDArray[np.float64]
    """Shape (arms, arms): share in which the arm of the row is dominated by that of the column."""


def fronts(points: NDArray[np.float64], margins: Sequence[float]) -> list[Front]:
    """Find the undominated arms of many sets.

    Args:
        points: Shape (axes, arms, sets), more is better; no NaN.
        margins: What a difference must exceed to count; 0 is Pareto's own relation. Equal arms never dominate.

    Returns:
        Shares of the sets, by margin.
    """
    _, n_arms, n_sets = points.shape
    free = np.ones((len(margins), n_arms, n_sets), dtype=bool)
    beaten_by = np.zeros((len(margins), n_arms, n_arms))
    for i, j in combinations(range(n_arms), 2):
        ahead = points[:, j] - points[:, i]
        least, most = ahead.min(axis=0), ahead.max(axis=0)
        for m, margin in enumerate(margins):
            for winner, loser, wins in (
                (j, i, (least >= -margin - ZERO) & (most > margin + ZERO)),
                (i, j, (most <= margin + ZERO) & (least < -margin - ZERO)),
            ):
                free[m, loser] &= ~wins
                beaten_by[m, loser, winner] = wins.mean()
    return [Front(free[m].mean(axis=1), beaten_by[m]) for m in range(len(margins))]


class _Shares(NamedTuple):
    """Fronts of the resamples, of studies in which all arms are alike, and of the estimates: with a margin, without."""

    drawn: list[Front]
    alike: list[Front]
    point: list[Front]


def build_pareto(contrasts: Sequence[Contrast], *, baseline: str, options: CouplingOptions) -> Pareto | None:
    """Find the arms that nothing beats on all axes together.

    Args:
        contrasts: Every arm on every axis, with shared resamples.
        baseline: The arm compared with; it takes part, at change 0.
        options: The margin, and the seed.

    Returns:
        None where fewer than two axes have paired items. Arms that lack one of the axes are left out and named.
    """
    measured = {(c.arm, c.axis): c for c in contrasts if _is_known(c)}
    axes = tuple(str(a) for a in Axis if any(axis == a for _, axis in measured))
    if len(axes) < 2:
        return None
    named = tuple(dict.fromkeys(c.arm for c in contrasts))
    arms = tuple(a for a in named if all((a, axis) in measured for axis in axes))
    notes = [note_left_out(a, [x for x in axes if (a, x) not in measured]) for a in named if a not in arms]
    field = make_field((baseline, *arms), axes, measured, margin=options.margin, seed=options.seed)
    # Without an arm beside the baseline, or a resample in which all is known, there is nothing to compare.
    leads = compare(field) if arms and field.clouds.shape[2] else None
    rows = {axis: field.rows(axis) for axis in axes}
    if arms:
        notes += filter(None, [note_uneven(rows), *(note_benchmarks(axis, of) for axis, of in rows.items())])
    if arms and leads is None:
        notes.append("There are too few items on some axis to compare the arms: no resample knows every change.")
    entries = () if leads is None else _entries(field, leads)
    gain, interval, if_alike = (math.nan, UNKNOWN, math.nan) if leads is None else _gain(field, leads)
    if len(field.arms) > _MOST_ARMS:
        notes.append(f"The volume of all arms together is not computed for more than {_MOST_ARMS} arms.")
    if entries and not any(e.in_front for e in entries):
        notes.append("Within the margin the arms beat each other in a circle, so that none is in the front.")
    return Pareto(
        baseline=baseline,
        axes=axes,
        margin=options.margin,
        arms=entries,
        gain=gain,
        gain_interval=interval,
        gain_if_alike=if_alike,
        left_out=tuple(a for a in named if a not in arms),
        notes=tuple(notes),
        n_resamples=field.clouds.shape[2],
    )


def _is_known(contrast: Contrast) -> bool:
    return contrast.n_items > 0 and bool(np.isfinite(contrast.change.cloud).any())


def _entries(field: Field, leads: Leads) -> tuple[ParetoArm, ...]:
    sets = (field.clouds, field.alike, field.values[:, :, None])
    shares = _Shares(*(fronts(points, (field.margin, 0.0)) for points in sets))
    return tuple(_entry(field, shares, leads, i) for i in range(len(field.arms)))


def _entry(field: Field, shares: _Shares, leads: Leads, i: int) -> ParetoArm:
    behind = leads.of(i)
    beaten_by = shares.drawn[0].beaten_by[i]
    rival = int(np.argmax(beaten_by))
    gain, gain_interval = _gain_alone(field, leads, i)
    entry = ParetoArm(
        arm=field.arms[i],
        standing=_standing(behind, field.margin),
        in_front=bool(shares.point[0].membership[i]),
        membership=float(shares.drawn[0].membership[i]),
        membership_if_alike=float(shares.alike[0].membership[i]),
        in_front_exact=bool(shares.point[1].membership[i]),
        membership_exact=float(shares.drawn[1].membership[i]),
        membership_exact_if_alike=float(shares.alike[1].membership[i]),
        rival=field.arms[rival] if beaten_by[rival] else None,
        rival_share=float(beaten_by[rival]),
        gap=_least_0(behind.values.min(axis=1).max()),
        gap_interval=_from_0(behind.low_arms.min(axis=1).max(), behind.high_axes.min(axis=1).max()),
        regret=_least_0(behind.values.max()),
        regret_interval=_from_0(behind.low_all.max(), behind.high.max()),
        losses=tuple(_loss(field, behind, i, k) for k in range(len(field.axes))),
        gain=gain,
        gain_interval=gain_interval,
        finding="",
    )
    return replace(entry, finding=arm_finding(entry, _sure_winner(field, behind, i), margin=field.margin))


def _winners(behind: Behind, margin: float) -> NDArray[np.bool_]:
    """Say which of the other arms dominate for sure."""
    is_level = np.all(behind.low_arms > -margin, axis=1)
    winners: NDArray[np.bool_] = is_level & np.any(behind.low_all > margin, axis=1)
    return winners


def _standing(behind: Behind, margin: float) -> Standing:
    if _winners(behind, margin).any():
        return "dominated"
    is_safe = (behind.high_axes < -margin).any(axis=1) | (behind.high < margin).all(axis=1)
    return "in front" if is_safe.all() else "undecided"


def _sure_winner(field: Field, behind: Behind, i: int) -> Winner | None:
    """Name the arm that dominates most clearly, and the axis on which that shows."""
    leads = np.where(_winners(behind, field.margin)[:, None], behind.low_all, -np.inf)
    j, k = np.unravel_index(int(np.argmax(leads)), leads.shape)
    if leads[j, k] == -np.inf:
        return None
    interval = Interval(float(behind.low_all[j, k]), float(behind.high_all[j, k]))
    others = [a for n, a in enumerate(field.arms) if n != i]
    return Winner(others[j], field.axes[k], float(behind.values[j, k]), interval)


def _loss(field: Field, behind: Behind, i: int, k: int) -> Loss:
    axis = field.axes[k]
    rests_on = max(field.rows(axis), key=lambda c: c.n_items) if i == 0 else field.contrasts[field.arms[i], axis]
    return Loss(
        axis=axis,
        change=float(field.values[k, i]),
        best=field.arms[int(np.argmax(field.values[k]))],
        loss=_least_0(behind.values[:, k].max()),
        interval=_from_0(behind.low_arms[:, k].max(), behind.high[:, k].max()),
        n_items=rests_on.n_items,
        n_clusters=rests_on.change.n_clusters,
    )


def _gain_alone(field: Field, leads: Leads, i: int) -> tuple[float, Interval]:
    """Return what an arm adds to the baseline's volume by itself; see the module for its interval."""
    value = float(gain_alone(field.values[:, i]))
    if i == 0:
        return 0.0, Interval(0.0, 0.0)
    drawn = gain_alone(field.clouds[:, i].T)
    return value, Interval(float(gain_alone(leads.low_axes[0, i])), _upper(drawn, value, field.tail))


def _gain(field: Field, leads: Leads) -> tuple[float, Interval, float]:
    """Return what all arms together add to the baseline's volume, its interval, and what noise alone would make."""
    n_arms, n_drawn = len(field.arms), field.clouds.shape[2]
    if n_arms > _MOST_ARMS:
        return math.nan, UNKNOWN, math.nan
    count = int(min(n_drawn, max(_FEWEST, n_drawn * (_QUICK_ARMS / n_arms) ** 4)))
    value = float(hypervolume(field.values.T[None])[0]) - 1
    drawn = hypervolume(field.clouds[:, :, :count].transpose(2, 1, 0)) - 1
    alike = hypervolume(field.noise[:, :, : min(count, _FEWEST)].transpose(2, 1, 0)) - 1
    lowest = float(hypervolume(leads.low_all[0][None])[0]) - 1
    return value, Interval(lowest, _upper(drawn, value, field.tail)), float(alike.mean())


def _upper(drawn: NDArray[np.float64], value: float, tail: float) -> float:
    return max(value, float(np.quantile(drawn, 1 - tail)))


def _least_0(value: float) -> float:
    return max(0.0, float(value))


def _from_0(low: float, high: float) -> Interval:
    return Interval(_least_0(low), _least_0(high))
