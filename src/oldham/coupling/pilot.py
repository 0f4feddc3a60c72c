"""What a pilot run says of the study that is to follow: what its changes vary by, and what would settle what is open.

A claim is judged by the rule of `oldham.coupling.gates`, as judged: reasoning must be superior, or what a gate asks of
it, and every safety axis non-inferior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from oldham.core.errors import ConfigError, did_you_mean
from oldham.core.observations import as_observations
from oldham.core.outcomes import Axis
from oldham.coupling.attacks import tell_unattacked, unattacked
from oldham.coupling.bootstrap import ZERO
from oldham.coupling.contrasts import build_contrasts
from oldham.coupling.effects import run_test
from oldham.coupling.judge_error import Corrections
from oldham.coupling.options import CouplingOptions
from oldham.coupling.pairing import build_blocks, only_judge, stood_in, tidy_trials
from oldham.coupling.planning import (
    MOST,
    Goal,
    Size,
    Spread,
    best_draws,
    cheapest,
    draws_for,
    grow,
    items_for,
    smallest_effect,
    spread_range,
)
from oldham.coupling.shares import upper_if_none
from oldham.coupling.significance import holm
from oldham.coupling.stopped import interval_when_stopped
from oldham.coupling.stopping_rows import Rows
from oldham.coupling.variance_split import Split, read_changes, split_axis, variance_cloud

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

    from oldham.core.rounds import Cell
    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.gates import Rule, State
    from oldham.coupling.pairing import Block
    from oldham.coupling.results import Interval
    from oldham.coupling.stopped import Stopped

_DEFAULT: Final = CouplingOptions()
_TWO: Final = 2
_LEVEL: Final = 0.05
_STOPPED: Final = (
    "The pilot was stopped by its own results: the intervals allow for it, and are wider. A change that was read early "
    "is, on average, larger than the truth, and what is planned from it too small."
)
If = Literal["it stays", "nothing changed", "it is the effect"]


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What is to be planned.

    Raises:
        ConfigError: A number lies outside its range.
    """

    power: float = 0.8
    """Chance to show what is to be shown, in [0.5, 1)."""
    margin: float = 0.05
    """Largest loss of a score, in (0, 1), that still counts as none."""
    item_cost: float = 0.0
    """What a new item costs beside its generations, in generations."""
    effect: float | None = None
    """A change of a score, in (0, 1), that is to be found."""
    items: int | None = None
    """Items of the study that is planned; None takes what is there."""
    draws: int | None = None
    """Draws of each item in each arm; None takes what is there."""
    reasoning: Rule = "superior"
    """What reasoning must be."""

    def __post_init__(self) -> None:
        checks = (
            ("power", 0.5 <= self.power < 1, "Give a chance of at least 0.5 and below 1; 0.8 is usual."),
            ("margin", 0 < self.margin < 1, "Give a change of a score between 0 and 1; 0.05 is usual."),
            ("item_cost", 0 <= self.item_cost < math.inf, "Give a number of generations, 0 or more."),
            ("effect", self.effect is None or 0 < self.effect < 1, "Give a change of a score between 0 and 1."),
            ("items", self.items is None or _TWO <= self.items <= MOST, f"Give at least 2 items, at most {MOST}."),
            ("draws", self.draws is None or 1 <= self.draws <= MOST, f"Give at least 1 draw, at most {MOST}."),
        )
        for name, holds, remedy in checks:
            if not holds:
                raise ConfigError(f"`{name.replace('_', '-')}` is {getattr(self, name)}.", remedy=remedy)


class Need(NamedTuple):
    """What it takes to show something."""

    goal: Goal
    supposing: If
    """What is supposed of the true change."""
    items: int | None
    """Items in all, at the pilot's number of draws; None where no number under a million does."""
    items_range: tuple[int | None, int | None]
    """95% range of it, since the pilot's variance is an estimate; None is no number under a million."""
    draws: int | None
    """Draws in all of each item in each arm, on the pilot's items; None where no number up to 64 does, or where draws
    cannot be told from items."""
    added: Size | None
    """The cheapest way to get there from the pilot: items and draws in all, and the cost of what is added."""
    new: Size | None
    """The cheapest study that starts from nothing."""


@dataclass(frozen=True, slots=True)
class AxisPlan:
    """One arm on one axis."""

    arm: str
    axis: str
    benchmarks: tuple[str, ...]
    judges: tuple[str, ...]
    n_items: int
    n_clusters: int
    draws: int
    """Finished draws of an item in the arm that has fewer of them, in the median over paired items; a baseline that was
    decoded greedily has as many as anybody wants."""
    delta: float
    """Mean paired difference; NaN without paired items."""
    interval: Interval
    rule: Rule
    state: State
    """Of the claim by this rule, as `oldham compare --gate` has it, but for what missing answers could undo."""
    p_holm: float
    """Of the test of "nothing changed", adjusted over the arms on the axis; NaN where a run was stopped early."""
    spread: Spread
    """Of an item's change; without a split all of it is `between`."""
    split: Split | None
    """None where draws cannot be told from items."""
    factors: tuple[float, float]
    """95% range of the true variance over the estimated one; NaN where nothing is known."""
    at_most: bool
    """No item changed, or all alike, and the spread is taken at its upper bound."""
    n_changed: int
    """Clusters that changed."""
    smallest_detectable: float
    """Smallest change found with the wanted chance by the design that is planned (by default the pilot's)."""
    chance_non_inferior: float
    """Chance of that design to show that no more than the margin was lost, if nothing changed."""
    chance_equivalent: float
    """Chance of it to show equivalence within the margin, if nothing changed."""
    best_draws: float
    """Draws of each item with the narrowest interval for the money, not rounded; NaN without a split."""
    best_draws_range: tuple[float, float]
    """95% range of it, from that of the draws' share; NaN where nothing is known."""
    falls_short: bool
    """The change as it stands lies below what the claim asks for."""
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class Pilot:
    """What a pilot says of the study that is to follow."""

    baseline: str
    wanted: PlanOptions
    deterministic: bool
    """The baseline was decoded greedily."""
    plans: tuple[AxisPlan, ...]
    """By axis, then arm."""
    notes: tuple[str, ...]


def plan_from_pilot(
    observations: pl.DataFrame,
    *,
    baseline: str,
    wanted: PlanOptions,
    arm: str | None = None,
    options: CouplingOptions = _DEFAULT,
    stopped: Stopped | None = None,
) -> Pilot:
    """Read from a pilot what a study needs.

    Args:
        observations: One row a verdict.
        baseline: The arm compared with.
        wanted: Power, margin and costs.
        arm: Only this arm.
        options: Resamples, seed, the judge, and whether the baseline was decoded greedily. Changes are as judged.
        stopped: How a run was asked that stopped by itself: its intervals are those that allow for it.

    Returns:
        One plan for each axis and arm.

    Raises:
        DataError: A column is missing or wrong.
        ConfigError: There is no such arm or judge.
    """
    tidy = as_observations(observations)
    arms = tidy["arm"].drop_nulls().unique(maintain_order=True).to_list()
    for name in (baseline, *([arm] if arm else [])):
        if name not in arms:
            raise ConfigError(f"No observation belongs to the arm `{name}`.", remedy=did_you_mean(name, arms))
    if arm == baseline:
        raise ConfigError(f"`{arm}` is the baseline itself.", remedy="Name the arm that is compared with it.")
    everything, notes = tidy_trials(only_judge(tidy, options.judge))
    if arm:
        arms = [baseline, arm]
        everything = everything.filter(everything["arm"].is_in(arms))
    trials = unattacked(everything)
    blocks = [b for b in build_blocks(trials, tuple(arms)) if b.span == "answer"]
    plain = replace(options, cards={})
    contrasts = build_contrasts(blocks, baseline=baseline, options=plain, corrections=Corrections(trials, plain))
    known = _known(contrasts, plain)
    if stopped is not None:
        rows = Rows(tidy, baseline, plain)
        known = {cell: (interval_when_stopped(rows, cell, stopped, arms=len(rows.arms)), math.nan) for cell in known}
    told = [] if stopped is None else [_STOPPED]
    return Pilot(
        baseline=baseline,
        wanted=wanted,
        deterministic=options.deterministic,
        plans=tuple(_plan(c, blocks, baseline, plain, wanted, known[c.arm, c.axis]) for c in contrasts),
        notes=(*told, *tell_unattacked(everything), *notes, *stood_in(tidy, options.judge)),
    )


def _known(contrasts: Sequence[Contrast], options: CouplingOptions) -> dict[Cell, tuple[Interval, float]]:
    """Return each change's interval and its p-value adjusted over the arms, as the analysis has them."""
    known: dict[Cell, tuple[Interval, float]] = {}
    for axis in dict.fromkeys(c.axis for c in contrasts):
        mine = [c for c in contrasts if c.axis == axis]
        adjusted = holm([run_test(c, options).p_value for c in mine])
        known |= {(c.arm, axis): (c.change.interval(), p) for c, p in zip(mine, adjusted, strict=True)}
    return known


def _plan(
    contrast: Contrast,
    blocks: Sequence[Block],
    baseline: str,
    options: CouplingOptions,
    wanted: PlanOptions,
    known: tuple[Interval, float],
) -> AxisPlan:
    of_axis = [b for b in blocks if b.axis == contrast.axis and b.benchmark in contrast.benchmarks]
    split = _split(contrast, of_axis, baseline, options)
    is_still = split is None or split.draw == 0
    at_most = is_still and contrast.change.variance == 0 and contrast.change.degrees > 0
    spread = _spread(contrast, of_axis, split, at_most=at_most)
    rule: Rule = wanted.reasoning if contrast.axis == Axis.REASONING else "non_inferior"
    interval, p_holm = known
    limit = 0.0 if rule == "superior" else -wanted.margin
    state: State = "passed" if interval.low > limit else "failed" if interval.high <= limit else "undecided"
    if state == "passed" and rule == "superior" and p_holm >= _LEVEL:
        state = "undecided"
    plan = AxisPlan(
        arm=contrast.arm,
        axis=contrast.axis,
        benchmarks=contrast.benchmarks,
        judges=contrast.judges,
        n_items=contrast.n_items,
        n_clusters=contrast.change.n_clusters,
        draws=_draws(contrast, of_axis, baseline, deterministic=options.deterministic),
        delta=contrast.change.value,
        interval=interval,
        rule=rule,
        state=state,
        p_holm=p_holm,
        spread=spread,
        split=split,
        factors=(math.nan, math.nan) if at_most else _factors(contrast, of_axis, baseline, options),
        at_most=at_most,
        n_changed=int((np.abs(contrast.shifts) > ZERO).sum()),
        smallest_detectable=math.nan,
        chance_non_inferior=math.nan,
        chance_equivalent=math.nan,
        best_draws=best_draws(spread, wanted.item_cost) if split else math.nan,
        best_draws_range=_best_range(split, wanted.item_cost),
        falls_short=contrast.change.value < limit,
        needs=(),
    )
    return _with_chances(plan, wanted) if contrast.n_items else plan


def _with_chances(plan: AxisPlan, wanted: PlanOptions) -> AxisPlan:
    """Add what the planned design can show, and what would be needed."""
    items, draws = wanted.items or plan.n_items, wanted.draws or plan.draws
    if plan.split is None and draws != plan.draws:
        draws = plan.draws  # what other draws would do is not known
    variance, degrees = plan.spread.variance(items, draws), plan.spread.degrees(items)
    return replace(
        plan,
        smallest_detectable=smallest_effect(plan.spread, items, draws, power=wanted.power),
        chance_non_inferior=Goal("non_inferior", wanted.margin).chance(variance, degrees),
        chance_equivalent=Goal("equivalent", wanted.margin).chance(variance, degrees),
        needs=tuple(_need(plan, goal, supposing, wanted) for goal, supposing in _goals(plan, wanted)),
    )


def _goals(plan: AxisPlan, wanted: PlanOptions) -> list[tuple[Goal, If]]:
    """Return what is worth showing, the claim that is open first."""
    limit = 0.0 if plan.rule == "superior" else -wanted.margin
    goals: list[tuple[Goal, If]] = []
    if plan.state == "undecided" and abs(plan.delta - limit) > ZERO:
        goals.append((Goal(plan.rule, abs(plan.delta - limit)), "it stays"))
    goals.append((Goal("non_inferior", wanted.margin), "nothing changed"))
    goals.append((Goal("equivalent", wanted.margin), "nothing changed"))
    if wanted.effect is not None:
        goals.append((Goal("superior", wanted.effect), "it is the effect"))
    return goals


def _need(plan: AxisPlan, goal: Goal, supposing: If, wanted: PlanOptions) -> Need:
    spread, power = plan.spread, wanted.power
    low, high = (
        None if math.isnan(f) or math.isinf(f) else items_for(spread.times(f), plan.draws, goal, power=power)
        for f in plan.factors
    )
    at_hand = {"items": plan.n_items, "draws": plan.draws}
    return Need(
        goal=goal,
        supposing=supposing,
        items=items_for(spread, plan.draws, goal, power=power),
        items_range=(low, high),
        draws=draws_for(spread, plan.n_items, goal, power=power, first=plan.draws) if plan.split else None,
        added=grow(spread, goal, power=power, item_cost=wanted.item_cost, **at_hand) if plan.split else None,
        new=cheapest(spread, goal, power=power, item_cost=wanted.item_cost) if plan.split else None,
    )


def _best_range(split: Split | None, item_cost: float) -> tuple[float, float]:
    if split is None or math.isnan(split.share_interval[0]) or math.isnan(split.draws):
        return math.nan, math.nan
    low, high = (best_draws(Spread(1 - share, share * split.draws), item_cost) for share in split.share_interval)
    return low, high


def _split(contrast: Contrast, blocks: Sequence[Block], baseline: str, options: CouplingOptions) -> Split | None:
    changes = [read_changes(b, contrast.arm, baseline, options, split=True) for b in blocks]
    return split_axis(changes, resamples=options.resamples) if changes else None


def _spread(contrast: Contrast, blocks: Sequence[Block], split: Split | None, *, at_most: bool) -> Spread:
    change, n = contrast.change, contrast.n_items
    if not n:
        return Spread(math.nan, math.nan)
    size, strata = n / max(change.n_clusters, 1), max(len(blocks), 1)
    if at_most:
        # As `smallest_detectable` has it: the share of clusters that would change unseen, at its upper bound.
        return Spread(n * upper_if_none(change.n_clusters) / change.n_clusters, 0.0, size, strata)
    if split is None:
        return Spread(n * change.variance, 0.0, size, strata)
    return Spread(split.between, split.draw, size, strata)


def _factors(
    contrast: Contrast, blocks: Sequence[Block], baseline: str, options: CouplingOptions
) -> tuple[float, float]:
    """Return how far the true variance may lie from the estimated one, from the clusters' resamples."""
    clouds = [
        variance_cloud(read_changes(b, contrast.arm, baseline, options, split=False), resamples=options.resamples)
        for b in blocks
    ]
    if not clouds:
        return math.nan, math.nan
    cloud: NDArray[np.float64] = np.sum(clouds, axis=0)
    known = cloud[np.isfinite(cloud)]
    if not len(known) or not known.mean() > 0:
        return math.nan, math.nan
    return spread_range(float(known.var() / known.mean() ** 2), contrast.change.degrees)


def _draws(contrast: Contrast, blocks: Sequence[Block], baseline: str, *, deterministic: bool) -> int:
    counts = []
    for block in blocks:
        own, base = (block.finished[block.arm(arm)] for arm in (contrast.arm, baseline))
        # Draws of a greedy baseline are all alike, so that one of them stands for any number.
        counts.append((own if deterministic else np.minimum(own, base))[(own > 0) & (base > 0)])
    drawn = np.concatenate(counts) if counts else np.empty(0)
    return int(np.median(drawn)) if len(drawn) else 1
