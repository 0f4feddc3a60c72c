"""When to stop asking: the claims of a gate, read after every round without spending more error than one reading would.

A claim may be wrong in 2.5 of 100 studies, as a gate's is in a study that is read once (one side of a 95% interval).
That is split:

- **Early**, 0.5%: after any round, a claim passes when betting against it has multiplied its capital by 200
  (`oldham.coupling.sequential`). This holds however often one reads.
- **At the end**, 2%: a claim whose items have all been asked is read by the gate's own rule, with 96% intervals. That
  is one reading at a number of items that was fixed in advance, so it costs hardly any of the power of reading once;
  betting alone would need about twice the items to find the same change.

The chance that a claim that does not hold passes is at most the sum, whenever it is read. A gate passes when all claims
do, so that an arm that should not pass does so in at most 2.5% too, however many claims there are (intersection-union:
Berger 1982, Technometrics 24:295). Each arm has that chance, as in a gate of a study that is read once; `all_arms`
divides it by the arms (Bonferroni), so that it holds for all of them together.

A claim **fails** when betting the other way has multiplied the capital by 200 times the number of the arm's claims, so
that an arm for which every claim holds fails early in at most 0.5%; at the end each claim fails by the gate's rule.

A claim is **given up** where it could hardly pass any more: when the chance to pass at the end, given what is known (a
flat prior, normal approximation: Spiegelhalter, Freedman and Blackburn 1986, Controlled Clinical Trials 7:8), is under
5%, from a fifth of the items on. Nothing is claimed by it, and it can only make passing rarer. Without it an arm that
changes nothing would be asked everything.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from scipy.stats import norm

from oldham.core.errors import ConfigError
from oldham.core.outcomes import SAFETY_AXES, Axis
from oldham.coupling.findings import axis_words, counted, is_or_are
from oldham.coupling.sequential import log_evidence
from oldham.coupling.shares import UNKNOWN
from oldham.coupling.stopping_rows import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    import polars as pl

    from oldham.core.rounds import Cell, Look, Planned
    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.gates import Gate, Rule
    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.sequential import Units

State = Literal["passed", "failed", "given_up", "undecided", "not_read", "open"]
_WORDS: Final[dict[State, str]] = {"given_up": "given up", "not_read": "not settled", "open": "not settled"}


@dataclass(frozen=True, slots=True)
class StopRule:
    """How much error is spent where."""

    early: float = 0.005
    """Chance that a claim that does not hold passes before the end."""
    end: float = 0.02
    """Chance that it passes at the end."""
    hopeless: float = 0.05
    """A claim whose chance to pass at the end is less is given up; 0 gives none up."""
    hopeless_from: float = 0.2
    """Share of the items from which on a claim may be given up."""
    all_arms: bool = False
    """Whether the chances hold for all arms together."""

    def over(self, arms: int) -> StopRule:
        """Return the rule for one of several arms.

        Args:
            arms: How many are compared.
        """
        return replace(self, early=self.early / arms, end=self.end / arms) if self.all_arms and arms > 1 else self

    @property
    def early_level(self) -> float:
        """Level of the interval that holds at all times before the end."""
        return 1 - 2 * self.early

    @property
    def end_level(self) -> float:
        """Level of the interval at the end."""
        return 1 - 2 * self.end


class Reading(NamedTuple):
    """What a claim looked like when it was last read."""

    arm: str
    axis: str
    rule: Rule
    state: State
    """`given_up`: it would hardly have passed. `undecided`: all items are asked and the interval holds the limit.
    `not_read`: another claim of the arm ended it. `open`: it goes on."""
    look: int
    """Number of the round, from 1."""
    items: int
    """Paired items by then."""
    missing: int
    """Items asked by then without a score in both arms."""
    at_end: bool
    """Whether every planned item had been asked."""
    if_missing: bool | None
    """Whether the same would hold if every missing pair spoke against it as strongly as it can; None where none is
    missing or it neither passed nor failed."""


class GateUmpire:
    """Stops an arm where a gate's claims are settled. See `oldham.core.rounds.Umpire`.

    Claims are read from effects as judged: what is known of a judge's errors comes from labels, and no evidence that
    may be read at any time is known for changes corrected by it.

    Args:
        gate: What an arm must show.
        baseline: The arm compared with.
        options: Of the analysis.
        rule: How much error is spent where.

    Raises:
        ConfigError: The gate asks for changes that are corrected for judge error.
    """

    def __init__(self, gate: Gate, *, baseline: str, options: CouplingOptions, rule: StopRule | None = None) -> None:
        if gate.corrected == "true":
            raise ConfigError(
                "A run cannot be stopped by changes that are corrected for judge error.",
                remedy="Write `corrected: both` or `corrected: false`, and hold the finished run against the gate with "
                "oldham compare --gate.",
            )
        self.gate, self.baseline, self.options, self.rule = gate, baseline, options, rule or StopRule()
        self.readings: dict[Cell, Reading] = {}

    def check(self, axes: Sequence[str]) -> None:
        """Check that a study measures what the gate asks for.

        Args:
            axes: The axes that it measures.

        Raises:
            ConfigError: It does not, so that no arm could ever pass.
        """
        self.readings.clear()  # of a study that was asked before with the same rounds
        asked = [axis for axis, _ in self._rules(axes)]
        lacking = [axis for axis in asked if axis not in axes]
        if lacking or not any(axis in SAFETY_AXES for axis in asked):
            what = ", ".join(f"`{axis}`" for axis in lacking) or "a safety axis"
            raise ConfigError(
                f"The gate asks for {what}, which the study does not measure: no arm could pass.",
                remedy="Add a benchmark of that axis, or change the gate's `reasoning` or `safety`.",
            )

    def settle(
        self, rows: pl.DataFrame, *, look: Look, planned: Mapping[str, Planned], running: Set[Cell]
    ) -> Set[Cell]:
        """Read every open claim. See `oldham.core.rounds.Umpire.settle`.

        Args:
            rows: The observations of every round so far.
            look: Which reading this is.
            planned: What the study would ask at most, by benchmark.
            running: Arms and axes that are not done.
        """
        data = Rows(rows, self.baseline, self.options)
        rules = self._rules([p.axis for p in planned.values()])
        rule = self.rule.over(len(data.arms))
        done: set[Cell] = set()
        for arm in dict.fromkeys(arm for arm, _ in sorted(running)):
            for axis, kind in rules:
                if (arm, axis) not in running:  # settled before, or none of the items is for this arm
                    nothing = Reading(arm, axis, kind, "undecided", look.number, 0, 0, True, None)
                    self.readings.setdefault((arm, axis), nothing)
                else:
                    read = self._read(data, (arm, axis), kind, look, planned, rule, n_claims=len(rules))
                    self.readings[arm, axis] = read
                    done |= {(arm, axis)} if read.state != "open" else set()
            states = [self.readings[arm, axis].state for axis, _ in rules]
            ended = any(s == "failed" or (rule.hopeless and s in ("given_up", "undecided")) for s in states)
            if ended or all(state != "open" for state in states):
                done |= {cell for cell in running if cell[0] == arm}
                self._leave(arm)
        exhausted = {cell for cell in running - done if data.share(cell, planned) >= 1}
        return done | exhausted

    def facts(self) -> dict[str, Any]:
        """Return the gate, the rule and what became of every claim, for the manifest."""
        claims = [read._asdict() for _, read in sorted(self.readings.items())]
        return {"gate": self.gate.model_dump(mode="json"), "rule": asdict(self.rule), "claims": claims}

    def told(self) -> list[str]:
        """Say what became of every claim, by arm."""
        return claims_told([read for _, read in sorted(self.readings.items())], self.gate)

    def _rules(self, axes: Sequence[str]) -> list[tuple[str, Rule]]:
        safety = [a for a in SAFETY_AXES if a in axes] if self.gate.safety == "all" else list(self.gate.safety)
        first: list[tuple[str, Rule]] = (
            [(str(Axis.REASONING), self.gate.reasoning)] if self.gate.reasoning != "any" else []
        )
        return [*first, *((str(axis), "non_inferior") for axis in safety)]

    def _read(
        self,
        data: Rows,
        cell: Cell,
        kind: Rule,
        look: Look,
        planned: Mapping[str, Planned],
        rule: StopRule,
        *,
        n_claims: int,
    ) -> Reading:
        limit = 0.0 if kind == "superior" else -self.gate.margin
        contrast, units = data.contrasts.get(cell), data.units(cell, planned)
        share = data.share(cell, planned)
        state: State = "open"
        if_missing = None
        wins, loses = math.log(1 / rule.early), math.log(n_claims / rule.early)
        if units and log_evidence(units, limit) >= wins:
            state = "passed"
        elif units and log_evidence(_mirrored(units), -limit) >= loses:
            state = "failed"
        elif share >= 1:
            state = _at_end(contrast, limit, rule)
        elif (
            contrast is not None
            and share >= rule.hopeless_from
            and chance_to_pass(contrast, limit, share, rule) < rule.hopeless
        ):
            state = "given_up"
        items = 0 if contrast is None else contrast.n_items
        missing = data.asked(cell) - items
        if missing and state in ("passed", "failed"):
            against = -1.0 if state == "passed" else 1.0
            filled = data.units(cell, planned, missing_as=against) or []
            turned, bar, at = (filled, wins, limit) if state == "passed" else (_mirrored(filled), loses, -limit)
            if_missing = bool(turned) and log_evidence(turned, at) >= bar
            if not if_missing and share >= 1:
                if_missing = _at_end(data.filled(cell, against), limit, rule) == state
        return Reading(*cell, kind, state, look.number, items, missing, share >= 1, if_missing)

    def _leave(self, arm: str) -> None:
        for cell, read in self.readings.items():
            if cell[0] == arm and read.state == "open":
                self.readings[cell] = read._replace(state="not_read")


def _mirrored(units: Sequence[Units]) -> list[Units]:
    return [u.mirrored() for u in units]


def _at_end(contrast: Contrast | None, limit: float, rule: StopRule) -> State:
    """Read a claim of which every planned item was asked."""
    low, high = UNKNOWN if contrast is None else contrast.change.interval(rule.end_level)
    return "passed" if low > limit else "failed" if high <= limit else "undecided"


def chance_to_pass(contrast: Contrast, limit: float, share: float, rule: StopRule) -> float:
    """Return the chance that a claim passes at the end, given what is known.

    Args:
        contrast: What is known.
        limit: What the change must be clear of.
        share: Of the planned items that have been asked, in (0, 1).
        rule: For the level at the end.

    Returns:
        The predictive chance under a flat prior of the change, by the normal approximation. One change more than was
        seen goes into the variance, so that few items without a change do not pass for certainty. 1 where the change or
        its spread is not known, as with a single cluster in one of its benchmarks.
    """
    change = contrast.change
    if not change.n_clusters or math.isnan(change.value) or math.isnan(change.variance):
        return 1.0
    now = change.variance + 1 / change.n_clusters**2
    then = now * share
    needed = limit + float(norm.ppf(1 - rule.end)) * math.sqrt(then)
    return float(norm.cdf((change.value - needed) / math.sqrt(now - then)))


def claims_told(readings: Sequence[Reading], gate: Gate) -> list[str]:
    """Say what became of claims, by arm.

    Args:
        readings: Each claim's last one.
        gate: What was asked.

    Returns:
        A line for every arm, and one below it for every claim.
    """
    arms: dict[str, list[Reading]] = defaultdict(list)
    for read in readings:
        arms[read.arm].append(read)
    lines = []
    for arm, claims in arms.items():
        passed = all(c.state == "passed" for c in claims)
        lines.append(f"Gate: `{arm}` {'passed' if passed else 'did not pass'}, as judged.")
        lines += [f"- {_line(claim, gate)}" for claim in claims]
    return lines


def _line(claim: Reading, gate: Gate) -> str:
    what = axis_words(claim.axis)
    must = "better" if claim.rule == "superior" else f"at most {100 * gate.margin:g} points worse"
    lost = f", {claim.missing} more without a score in both arms" if claim.missing else ""
    when = f"after round {claim.look}, {counted(claim.items, 'item')}{lost}"
    told = f"{_WORDS.get(claim.state, claim.state)}: {what} {is_or_are(what)} {must} ({when})."
    if claim.state == "given_up":
        told += " It would hardly have passed with all planned items; that is no evidence against it."
    if claim.state == "undecided":
        told += " Every planned item was asked."
    if claim.if_missing is False:
        told += " It would still be open if the missing ones spoke against it."
    return told
