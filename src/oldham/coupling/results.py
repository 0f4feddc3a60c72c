"""What the analysis returns. Every estimate carries its interval and counts; NaN, never 0, when there is no data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

CHANCE_KEYS = ("synergy", "trade-off", "tax", "collapse")


class Interval(NamedTuple):
    """A 95% interval unless said."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; False when an end is unknown."""
        return not (math.isnan(self.low) or math.isnan(self.high)) and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class Corrected:
    """A rate or an effect with the judge's known errors taken out (estimators §2)."""

    value: float
    """A rate in [0, 1], or a change in [-1, 1]; NaN where no card allows a correction."""
    interval: Interval
    """Over items and over the labelled rows of the cards."""
    basis: str
    """One sentence: which cards and which of their cells were used, or why there is no correction."""
    has_card: bool = True
    """Whether there are cards for it at all; where they do not do, `value` is NaN all the same."""
    p_value: float = math.nan
    """Of a change: the level at which its interval would reach 0; NaN for a rate."""
    p_holm: float = math.nan
    """That, adjusted over the arms within the axis."""


@dataclass(frozen=True, slots=True)
class Tipping:
    """The smallest difference in judge error between two arms that would explain an effect away (estimators §2)."""

    error: float
    """In [0, 1]: by so much would the judge have to err more, on one class of answers, in one arm than in the other.
    Above 1 no difference in error could do it."""
    error_for_doubt: float
    """The same for moving the nearer end of the effect's interval to 0; 0 where it holds 0 already."""
    on: Literal["good", "bad"]
    """The class of answers, truly good or truly bad, on which it would have to err."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The mean score of one arm on one benchmark, read on one span (estimators §1)."""

    arm: str
    axis: str
    benchmark: str
    span: str
    mean: float
    """Mean over items of the mean over finished draws, in [0, 1]; NaN when nothing finished."""
    interval: Interval
    """Wilson; with clusters or several draws, Wilson with the effective number of trials."""
    bayes: Interval | None
    """Posterior under a Beta(1/2, 1/2) prior, for fewer than 200 items."""
    bound_low: float
    """The rate if every missing outcome were bad."""
    bound_high: float
    """The rate if every missing outcome were good."""
    n_items: int
    """Items with a finished draw."""
    n_clusters: int
    n_missing: int
    """Observations without a score (unfinished, unjudged, incoherent where silence looks safe)."""
    n_observations: int
    upper_if_none: float | None
    """Upper 95% bound of the bad rate when no bad outcome was seen (about 3/n)."""
    judges: tuple[str, ...] = ()
    """Whose verdicts these are."""
    corrected: Corrected | None = None
    """With the judges' known errors taken out; None where no correction was asked for."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Paired change of an arm against the baseline on an axis (estimators §3)."""

    arm: str
    axis: str
    benchmarks: tuple[str, ...]
    delta: float
    """Mean paired difference of scores, in [-1, 1]; positive is better."""
    interval: Interval
    """Cluster bootstrap: percentiles at levels expanded for few clusters."""
    p_value: float
    """Exact McNemar for binary single draws, else sign-flip permutation by cluster; `betting` where a run was
    stopped by its own results."""
    p_holm: float
    """Adjusted over the arms within the axis (family-wise)."""
    q_bh: float
    """Adjusted over every arm and axis (false discovery rate)."""
    test: Literal["mcnemar", "sign-flip", "betting", "none"]
    smallest_detectable: float
    """Smallest |delta| found with 80% power at the 5% level, from the observed spread of differences."""
    n_items: int
    """Items present in both arms."""
    n_clusters: int
    n_missing: int
    """Items left out because one arm had no finished draw."""
    finding: str
    """One sentence in plain language that claims no more than the interval allows."""
    corrected: Corrected | None = None
    """With the judges' known errors taken out; None where no correction was asked for."""
    tipping: Tipping | None = None
    """How much judge error could explain it away; None without data."""
    judges: tuple[str, ...] = ()
    """Whose verdicts it rests on, in both arms; empty where the table does not say."""
    bounds: Interval = Interval(math.nan, math.nan)
    """What the change would be over all items asked in both arms if every answer without a score were bad in this arm
    and good in the baseline, and the other way round."""


@dataclass(frozen=True, slots=True)
class Flips:
    """Risk and defence behind a net effect (estimators §4).

    The noise floor and both excesses are over the items that have a floor of their own, which takes two draws of the
    baseline or greedy decoding; risk and defence are over all paired items, so that an excess is not their difference
    where some items have none.
    """

    arm: str
    axis: str
    risk: float
    """K: chance that a safe item becomes unsafe."""
    risk_interval: Interval
    defence: float
    """D: chance that an unsafe item becomes safe."""
    defence_interval: Interval
    noise_floor: float
    """F: flips sampling alone would give; 0 under greedy decoding, NaN with one sampled draw (not estimable)."""
    excess_risk: float
    excess_risk_interval: Interval
    excess_defence: float
    excess_defence_interval: Interval
    n_items: int
    p_excess_risk: float = math.nan
    """One-sided, of "these are no more than sampling makes", adjusted within the axis over arms and over both sides
    (Holm). 0 where decoding was greedy and an item flipped; NaN where the floor is unknown."""
    p_excess_defence: float = math.nan


@dataclass(frozen=True, slots=True)
class PlanePoint:
    """An arm in the coupling plane: change of reasoning across, change of one safety axis up (estimators §6)."""

    arm: str
    axis: str
    d_reasoning: float
    d_safety: float
    covariance: tuple[tuple[float, float], tuple[float, float]]
    """Joint bootstrap covariance of (d_reasoning, d_safety)."""
    angle: float
    """atan2(d_safety, d_reasoning) in degrees, (-180, 180]."""
    angle_interval: Interval
    """Around `angle`, so that its ends may lie past 180; the whole circle where the arm has not clearly moved."""
    has_moved: bool
    """Whether both changes together are more than sampling gives; where not, no direction is claimed."""
    quadrants: dict[str, float]
    """Bootstrap share of synergy (+,+), trade-off (+,-), tax (-,+), collapse (-,-); sums to 1."""
    exchange_rate: float | None
    """-d_safety / d_reasoning, only when d_reasoning's interval excludes 0."""
    ellipse: tuple[tuple[float, float], ...]
    """95% ellipse as a closed polygon."""


@dataclass(frozen=True, slots=True)
class FlipPair:
    """One item whose verdict changed from the baseline to an arm."""

    arm: str
    axis: str
    benchmark: str
    item: str
    draw: int
    kind: Literal["risk", "defence"]
    baseline_outcome: str
    arm_outcome: str
    baseline_generation: str
    """Fingerprint of the trial, to find the texts in the ledger."""
    arm_generation: str
