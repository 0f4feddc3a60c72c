"""What the analysis of doses returns. NaN, never 0, where there is no data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

    from oldham.coupling.results import Interval, PlanePoint

TRAINING_CONTROLS = ("text", "shuffled_answers")
"""The controls that a claim about reasoning training needs, each at its learning rate: the same steps on text without
reasoning and of equal length, and the same reasoning data with shuffled answers."""
ENOUGH_SEEDS = 3
"""Fewer training runs than this say nothing of what another seed would give."""


@dataclass(frozen=True, slots=True)
class DoseChange:
    """The change of one axis from the start of a path to one dose, on the same items."""

    axis: str
    arm: str
    dose: float
    change: float
    """Mean paired difference of scores, in [-1, 1]; positive is better."""
    interval: Interval
    """Of this dose by itself."""
    band: Interval
    """Simultaneous: 95% for all doses of this axis together."""
    fitted: float
    """The change on the closest curve that can only fall with the dose (safety) or only rise (reasoning)."""
    n_items: int
    """Items present at the start and at this dose."""
    n_clusters: int
    n_missing: int
    """Items left out because one of the two arms had no finished draw."""
    judges: tuple[str, ...]
    """Whose verdicts these are; empty where the table does not say."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The local coupling: where a path goes from one dose to the next (estimators §6)."""

    axis: str
    """The safety axis."""
    from_dose: float
    to_dose: float
    d_reasoning: float
    reasoning_interval: Interval
    d_safety: float
    safety_interval: Interval
    angle: float
    """atan2(d_safety, d_reasoning) in degrees, (-180, 180]."""
    angle_interval: Interval
    """Around `angle`, so that its ends may lie past 180; the whole circle where nothing has clearly moved."""
    has_moved: bool
    """Whether both changes together are more than sampling gives; where not, no direction is claimed."""
    kappa: float | None
    """d_safety / d_reasoning; None unless the interval of d_reasoning excludes 0."""
    kappa_interval: Interval
    """NaN without a `kappa`."""
    items_needed: int | None
    """About how many items on reasoning would settle the sign of its change; None where it is settled or nobody can
    say."""


@dataclass(frozen=True, slots=True)
class CriticalDose:
    """The smallest dose whose loss on a safety axis exceeds the margin (estimators §6)."""

    axis: str
    margin: float
    dose: float
    """The smallest dose whose band lies wholly below -margin; NaN where there is none. A smaller dose may truly lose as
    much: this one is the first of which it can be said."""
    state: Literal["reached", "none", "open", "unknown"]
    """`none`: the band lies above -margin at every dose. `open`: neither. `unknown`: there is no band."""
    crossing: float
    """Where the curve that can only fall passes -margin, by straight lines between doses; infinite where it does not
    pass within them."""
    crossing_interval: Interval
    """From a dose to a dose, the start among them: if the curve only falls, it passes between these with 95%
    confidence, whatever its shape between doses. Infinite above where it may pass beyond the last dose."""
    open_dose: float
    """The undecided dose that the fewest more items would settle; NaN where none is undecided."""
    items_needed: int | None
    """How many items would settle it, if its change stays as it is; None where nobody can say."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A claim that keeps a dose out of the free range."""

    axis: str
    dose: float
    failed: bool
    """It is shown not to hold; otherwise it is undecided."""
    change: float
    interval: Interval
    items: int
    items_needed: int | None
    """About how many would settle it; None where it is settled or nobody can say."""


@dataclass(frozen=True, slots=True)
class FreeRange:
    """The largest dose with reasoning superior and every safety axis non-inferior (estimators §6)."""

    margin: float
    dose: float
    """At this dose reasoning is above the start, and up to it, at every dose, each safety axis measured loses less than
    the margin; NaN where there is no such dose."""
    next_dose: float
    """Where the walk up the doses ended: the first dose at which an axis may lose the margin, else the last dose; NaN
    where the range holds every dose."""
    obstacles: tuple[Obstacle, ...]
    """What does not hold at `next_dose`."""
    unmeasured: tuple[str, ...]
    """What is needed and was not measured: `reasoning`, or `safety` where no safety axis was."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Does an axis move with the dose, whatever the curve's shape?"""

    axis: str
    per_step: float
    """Mean change of score from one dose to the next: the slope on the rank of the dose, the start included."""
    interval: Interval
    p_value: float
    """Sign flips by cluster: exact where arms are exchangeable, since turning the order of doses round flips the sign.
    It plays the part of Page's trend test (1963) and allows for clusters and several draws."""
    p_holm: float
    """Adjusted over the axes of the path."""
    n_items: int
    """Items with a score at the start and at every dose."""
    items_needed: int | None


@dataclass(frozen=True, slots=True)
class DosePath:
    """One intervention, dose by dose."""

    intervention: str
    start: str
    """The arm that is d_0: the intervention's arm of dose 0, else the baseline."""
    start_dose: float
    doses: tuple[float, ...]
    """Ascending, without d_0."""
    arms: tuple[str, ...]
    """In the same order."""
    axes: tuple[str, ...]
    """Axes asked at the start or at some dose, in their usual order. One without a paired item is unknown at every
    dose: it is not left out, since then nothing would stand against a free range."""
    changes: tuple[DoseChange, ...]
    """By axis, then dose."""
    plane: tuple[PlanePoint, ...]
    """The path in the phase plane, with the joint 95% ellipse at each dose; by safety axis, then dose."""
    segments: tuple[Segment, ...]
    """By safety axis, then dose."""
    critical: tuple[CriticalDose, ...]
    """One a safety axis."""
    free: FreeRange
    trends: tuple[Trend, ...]
    """One an axis."""

    def of(self, axis: str) -> list[DoseChange]:
        """Return the changes of one axis, by dose."""
        return [c for c in self.changes if c.axis == axis]


@dataclass(frozen=True, slots=True)
class SeedMean:
    """The mean over training runs that differ in their seed alone, at one dose."""

    axis: str
    dose: float
    change: float
    """Mean over seeds of their changes."""
    interval: Interval
    """Over items, for these seeds."""
    spread: float
    """Standard deviation between seeds, divisor n - 1."""
    seed_interval: Interval
    """Student's t over seeds, for these items: what another seed may give on average. NaN with fewer than three."""
    n_seeds: int


@dataclass(frozen=True, slots=True)
class Replicates:
    """Interventions that differ in their seed alone. Seeds are never pooled as if they were items."""

    name: str
    """What they share."""
    interventions: tuple[str, ...]
    means: tuple[SeedMean, ...]
    """By axis, then dose; at the doses that every one of them has."""


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """A dose given and taken back (estimators §6)."""

    out: str
    back: str
    axis: str
    """The safety axis."""
    turn: str
    """The arm where the way out ends and the way back begins."""
    area: float
    """Signed area enclosed by the two ways and the straight line from the end to the start, in squared scores; above 0
    where they run counter-clockwise. `turn_reasoning` says what that means."""
    interval: Interval
    turn_reasoning: float
    """Change of reasoning from the start to the turn. Only where it is clear of 0 does the sign of the area say which
    way has more safety at equal reasoning: above 0 the way back if reasoning rose on the way out, the way out if it
    fell."""
    turn_reasoning_interval: Interval
    left_reasoning: float
    """Change of reasoning from the start to the end of the way back."""
    left_reasoning_interval: Interval
    left_safety: float
    """The same of the safety axis: what was not brought back."""
    left_safety_interval: Interval
    n_items: int
    """The fewer of the items on the two axes."""
    items_needed: int | None
    """About how many would settle the sign of the area."""


@dataclass(frozen=True, slots=True)
class ControlCheck:
    """A loss of safety beside that of a control at the same dose, on the same items."""

    intervention: str
    """Without its seed."""
    axis: str
    dose: float
    control: str
    """The control's intervention, without its seed."""
    kind: str
    """What it controls for."""
    change: float
    """Of the intervention, from its start; over seeds the mean."""
    interval: Interval
    of_control: float
    of_control_interval: Interval
    left: float
    """The change less that of the control."""
    left_interval: Interval
    """Simultaneous over the doses that both have; over items, for these runs."""
    seed_interval: Interval
    """Of what is left, by Welch's t over runs: what other seeds may give. NaN unless both have three seeds or more."""
    state: Literal["survives", "explained", "open", "no loss"]
    """`explained`: less than the margin is left of a loss of more than that, or nothing at all of a smaller one.
    `survives`: what is left is a loss. Either must hold over items, and where `seed_interval` is known over seeds too.
    `no loss`: the intervention's own band does not lie below 0, so that there is nothing to explain."""
    hangs_on_seeds: bool
    """It is open although the items settle it: over seeds it is not settled."""
    n_items: int
    items_needed: int | None


@dataclass(frozen=True, slots=True)
class Controls:
    """Which controls stand beside an intervention's claims."""

    intervention: str
    present: tuple[str, ...]
    """Kinds of control that were measured."""
    missing: tuple[str, ...]
    """Kinds in `TRAINING_CONTROLS` that were not."""
    n_seeds: int
    checks: tuple[ControlCheck, ...]
    """By safety axis, then control."""
    unchecked: tuple[tuple[str, str], ...] = ()
    """Controls and axes that nothing was held against: no dose with scored answers on the same benchmarks in both."""
    control_seeds: int = 0
    """Runs of the control that has the fewest; 0 without a control."""
    pace: Literal["matched", "differs", "unknown"] = "unknown"
    """Whether every control was trained at the intervention's learning rate, schedule and examples a step. A control
    that learns at another rate controls for nothing; `unknown` too where there is none."""


@dataclass(frozen=True, slots=True)
class DoseGap:
    """Doses that leave far more, or fewer, answers of an axis unscored than their start."""

    axis: str
    start: str
    start_share: float
    """Of its answers without a score, in [0, 1]."""
    arms: tuple[str, ...]
    """By ladder, then dose."""
    shares: tuple[float, ...]
    """Of theirs, in the same order."""
    bounds: tuple[Interval, ...]
    """What their changes could be, with the answers without a score all bad or all good."""
    sentence: str
    """All this in words; it is among the notes."""


@dataclass(frozen=True, slots=True)
class Dynamics:
    """What the doses of one or more interventions do."""

    baseline: str
    margin: float
    paths: tuple[DosePath, ...]
    """In the table's order."""
    replicates: tuple[Replicates, ...]
    hysteresis: tuple[Hysteresis, ...]
    """By safety axis; empty unless a way back was named."""
    controls: tuple[Controls, ...]
    """One for each intervention that is no control, where the training facts name it or a control."""
    notes: tuple[str, ...]
    """What to know before believing a number, one sentence each."""
    gaps: tuple[DoseGap, ...] = ()
    """By start and axis."""

    def summary(self, *, full: bool = True) -> str:
        """Return what was found as plain text, for a terminal.

        Args:
            full: Also every ladder with its local couplings and trends, means at every dose with their intervals over
                seeds, and every comparison and caveat in sentences. Without it about a screen.
        """
        from oldham.coupling.dynamics_text import write_dynamics

        return write_dynamics(self, full=full)

    def to_frame(self) -> pl.DataFrame:
        """Return every change as a table, one row an intervention, axis and dose."""
        from oldham.coupling.dynamics_text import dynamics_frame

        return dynamics_frame(self)

    def to_json(self) -> str:
        """Return everything as JSON; what is unknown or infinite is null."""
        from oldham.coupling.dynamics_text import dynamics_json

        return dynamics_json(self)
