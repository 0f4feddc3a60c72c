"""What a design can show before there is any data: from the share of verdicts that is expected to flip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from oldham.core.errors import ConfigError
from oldham.coupling.mcnemar_power import MOST_ITEMS, connor_items, mcnemar_effect, mcnemar_items, mcnemar_power
from oldham.coupling.planning import Goal, Size, Spread, best_draws, cheapest, clear_chance, items_for, smallest_effect

if TYPE_CHECKING:
    from oldham.coupling.pilot import PlanOptions


@dataclass(frozen=True, slots=True)
class Design:
    """How two arms are expected to differ, and how they are compared.

    Raises:
        ConfigError: A number lies outside its range.
    """

    flip_rate: float = 0.1
    """Share of items whose verdict differs between one draw of one arm and one of the other, in (0, 1]."""
    sampling_share: float | None = None
    """Share of those flips that sampling alone would make, in [0, 1]; None is not known."""
    cluster_size: float = 1.0
    """Mean items a cluster."""
    intraclass: float = 0.0
    """Correlation of the changes of two items of a cluster, in [0, 1]."""

    def __post_init__(self) -> None:
        share = self.sampling_share
        checks = (
            ("flip-rate", self.flip_rate, 0 < self.flip_rate <= 1, "Give a share above 0, at most 1."),
            ("sampling-share", share, share is None or 0 <= share <= 1, "Give a share from 0 to 1."),
            ("cluster-size", self.cluster_size, 1 <= self.cluster_size < math.inf, "Give at least 1."),
            ("intraclass", self.intraclass, 0 <= self.intraclass <= 1, "Give a correlation from 0 to 1."),
        )
        for name, value, holds, remedy in checks:
            if not holds:
                raise ConfigError(f"`{name}` is {value}.", remedy=remedy)
        if share is not None and share + self.intraclass > 1:
            raise ConfigError(
                f"A sampling share of {share:g} leaves no correlation of {self.intraclass:g} within clusters.",
                remedy="Give two numbers that sum to at most 1: sampling noise is not shared.",
            )

    def spread(self, share: float) -> Spread:
        """Return what an item's change varies by.

        Args:
            share: Of the flips, that sampling makes.

        Returns:
            With one draw the variance is that of `oldham.coupling.power`: flip rate times the design effect. The change
            itself is not taken off, which errs to the safe side.
        """
        shared = (self.cluster_size - 1) * self.intraclass
        return Spread(self.flip_rate * (1 - share + shared), self.flip_rate * share, self.cluster_size)

    def spreads(self, draws: int) -> tuple[Spread, ...]:
        """Return the spread, or the narrowest and the widest that it can be where the sampling share decides.

        Args:
            draws: Of each item in each arm.
        """
        if self.sampling_share is not None:
            return (self.spread(self.sampling_share),)
        # With a single draw it makes no difference what a flip comes from.
        return (self.spread(0.0),) if draws == 1 else (self.spread(1 - self.intraclass), self.spread(0.0))

    def is_mcnemar(self, draws: int) -> bool:
        """Whether the analysis decides by McNemar's exact test: single draws of items that share no cluster.

        Args:
            draws: Of each item in each arm.
        """
        return draws == 1 and self.cluster_size == 1


class Shown(NamedTuple):
    """What a number of items can show."""

    smallest_detectable: float
    """Smallest change found with the wanted chance; NaN where the design is too small for any."""
    chance_non_inferior: float
    """Chance to show that no more than the margin was lost, if nothing changed."""
    chance_equivalent: float
    """Chance to show equivalence within the margin, if nothing changed."""
    chance_effect: float | None
    """Chance to find the effect that was asked for; None where none was."""


class Needed(NamedTuple):
    """The items that a goal takes."""

    goal: Goal
    items: int | None
    """None over a million."""
    best: Size | None
    """The cheapest design, where the sampling share is known."""


@dataclass(frozen=True, slots=True)
class DesignPlan:
    """What a design shows and needs; several entries are the best and the worst case of an unknown sampling share."""

    design: Design
    wanted: PlanOptions
    items: int | None
    draws: int
    shown: tuple[Shown, ...]
    """For the items asked for; empty where none were."""
    exact: Shown | None
    """The same by McNemar's exact test, where that decides; only its first and last number differ."""
    needed: tuple[tuple[Needed, ...], ...]
    """For each case, the items by goal; superior only where an effect was asked for."""
    exact_items: int | None
    """Items that find the effect by McNemar's exact test; None where another test decides or none do."""
    connor_items: int | None
    """The same by the normal approximation of that test."""
    best_draws: float
    """Draws of each item with the narrowest interval for the money, not rounded; NaN where the share is not known."""


def plan_design(design: Design, wanted: PlanOptions) -> DesignPlan:
    """Work out what a design shows and what it needs.

    Args:
        design: What is expected.
        wanted: Items, draws, effect, margin, power and costs.

    Returns:
        What the items show, where they were given, and the items that each goal needs.

    Raises:
        ConfigError: The effect is larger than the flip rate.
    """
    draws = wanted.draws or 1
    spreads = design.spreads(draws)
    goals = [Goal("non_inferior", wanted.margin), Goal("equivalent", wanted.margin)]
    effect = wanted.effect
    if effect is not None:
        connor_items(effect, design.flip_rate)  # says so where there are too few flips
        goals.insert(0, Goal("superior", effect))
    is_known = design.sampling_share is not None
    exact = design.is_mcnemar(draws) and (wanted.items or 0) <= MOST_ITEMS
    shown = tuple(_shown(s, draws, wanted) for s in spreads) if wanted.items else ()
    return DesignPlan(
        design=design,
        wanted=wanted,
        items=wanted.items,
        draws=draws,
        shown=shown,
        exact=_exact(shown[0], design, wanted) if exact and shown else None,
        needed=tuple(
            tuple(
                Needed(
                    goal,
                    items_for(spread, draws, goal, power=wanted.power),
                    cheapest(spread, goal, power=wanted.power, item_cost=wanted.item_cost) if is_known else None,
                )
                for goal in goals
            )
            for spread in spreads
        ),
        exact_items=mcnemar_items(effect, design.flip_rate, power=wanted.power) if exact and effect else None,
        connor_items=connor_items(effect, design.flip_rate, power=wanted.power) if exact and effect else None,
        best_draws=best_draws(spreads[0], wanted.item_cost) if is_known else math.nan,
    )


def _shown(spread: Spread, draws: int, wanted: PlanOptions) -> Shown:
    items = wanted.items or 0
    variance, degrees = spread.variance(items, draws), spread.degrees(items)
    return Shown(
        smallest_detectable=smallest_effect(spread, items, draws, power=wanted.power),
        chance_non_inferior=Goal("non_inferior", wanted.margin).chance(variance, degrees),
        chance_equivalent=Goal("equivalent", wanted.margin).chance(variance, degrees),
        chance_effect=None if wanted.effect is None else clear_chance(wanted.effect, variance, degrees),
    )


def _exact(shown: Shown, design: Design, wanted: PlanOptions) -> Shown:
    items, rate, effect = wanted.items or 0, design.flip_rate, wanted.effect
    chance = None
    if effect is not None:
        chance = mcnemar_power(items, gain=(rate + effect) / 2, loss=(rate - effect) / 2)
    return shown._replace(smallest_detectable=mcnemar_effect(items, rate, power=wanted.power), chance_effect=chance)
