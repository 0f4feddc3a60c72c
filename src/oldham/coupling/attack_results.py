"""What the analysis of an attacked study returns. Every estimate carries its interval and counts; NaN without data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, get_args

import polars as pl

from oldham.core.errors import ConfigError, did_you_mean
from oldham.coupling.attack_point_results import AttackPoint
from oldham.coupling.attack_worst_results import WorstOfAttacks
from oldham.coupling.results import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

UNATTACKED: Final = "none"
"""The label of the items as they are."""

AttackTable: TypeAlias = Literal[
    "cells",
    "points",
    "tries",
    "worst",
    "powers",
    "interactions",
    "changes",
    "survival",
    "transfers",
    "transfers_by_attack",
    "doses",
    "controls",
    "costs",
]
"""The tables of an `AttackLadder`, by the names of its fields."""


@dataclass(frozen=True, slots=True)
class Paired:
    """A mean paired difference over items (estimators §3)."""

    delta: float
    """Shares in [-1, 1], interactions in [-2, 2], tokens without bounds; NaN without paired items."""
    interval: Interval
    """Cluster bootstrap, from the same resamples as the arms' effects."""
    p_value: float
    """Exact McNemar for single yes-or-no draws of independent items on one benchmark, else sign flips by cluster."""
    p_holm: float
    """Adjusted within the axis, over all entries of the same table: every attack and arm."""
    test: Literal["mcnemar", "sign-flip", "none"]
    n_items: int
    """Items with a score on every side."""
    n_clusters: int
    n_missing: int
    """Items asked on some side and left out; in a worst-of comparison, of those asked on both."""


@dataclass(frozen=True, slots=True)
class AttackCell:
    """One try of an attack in an arm on an axis; the items as they are have the attack `none`."""

    axis: str
    arm: str
    attack: str
    technique: str
    """The label without its dose."""
    dose: float
    """The place in the technique's dose curve; NaN without one."""
    benchmarks: tuple[str, ...]
    """Those with a scored item; their shares are averaged without weights."""
    bad_share: float
    """Mean over items of the mean over draws, in [0, 1]. On harm and privacy it is ASR@1: the share of draws with a
    score below one half. On the other axes it is 1 - score."""
    interval: Interval
    """Wilson; with clusters, several draws or benchmarks, Wilson with the effective number of trials."""
    bound_low: float
    """The share if every missing outcome were good."""
    bound_high: float
    """The share if every missing outcome were bad."""
    severity: float
    """Mean of 1 - score over the successful draws alone; NaN without one. It is in no other number here."""
    n_successes: int
    """Draws on the bad side of the axis."""
    n_items: int
    """Items with a scored draw."""
    n_clusters: int
    n_missing: int
    """Observations without a score."""
    n_observations: int
    tries: int
    """Draws an item, the most there are. `bad_share` is about one of them."""
    queries: float
    """Mean number of times that one try of an adaptive attack asked the target; NaN where tries are single queries."""
    n_apart: int
    """Items asked under this attack but not as they are, or the other way round, in the same arm; 0 where the arm met
    none as they are."""


@dataclass(frozen=True, slots=True)
class AttackTries:
    """The chance that at least one of several draws succeeds (ASR@k)."""

    axis: str
    arm: str
    attack: str
    tries: int
    """k, from 1 to the most draws that an item has."""
    share: float
    """Mean over items of 1 - C(n - c, k) / C(n, k), n being an item's scored draws and c its successes (Chen et al.
    2021, arXiv 2107.03374, section 2.1); NaN where no item has k scored draws."""
    interval: Interval
    """Wilson with the effective number of trials."""
    n_items: int
    """Items with at least k scored draws."""
    n_clusters: int


@dataclass(frozen=True, slots=True)
class AttackContrast:
    """What an attack adds, or what an arm changes of it, item by item."""

    axis: str
    arm: str
    attack: str
    reference: str
    """What is subtracted: `none` for a power, the baseline arm for a change or an interaction."""
    change: Paired
    """Of the bad share: positive is worse."""


class SurvivalStep(NamedTuple):
    """A step of a survival curve: a time at which some item fell."""

    time: float
    survival: float
    """Share of the items that still stand after it."""
    interval: Interval
    """Exponential Greenwood; once no item stands the lower end is 0 and the upper one NaN."""
    n_at_risk: int
    n_fell: int


@dataclass(frozen=True, slots=True)
class AttackSurvival:
    """How long the items of an arm stand up to an attack (Kaplan and Meier 1958)."""

    axis: str
    arm: str
    attack: str
    unit: Literal["queries", "draws"]
    """What time counts: an adaptive attack's queries, summed over its draws, or draws."""
    steps: tuple[SurvivalStep, ...]
    """By time; empty where no item fell."""
    median: float
    """The first time by which half the items have fallen; NaN where that is not reached."""
    median_interval: Interval
    """The times at which the band reaches one half (Brookmeyer and Crowley 1982); NaN ends are not reached."""
    last: float
    """The longest time under observation."""
    n_items: int
    n_clusters: int
    """Fewer than the items: the band, which takes items for independent, is too narrow."""
    n_events: int
    """Items that fell."""
    n_missing: int
    """Items whose first draw has no score: nothing is known of them."""


@dataclass(frozen=True, slots=True)
class AttackTransfer:
    """What breaks one arm, does it break another?"""

    axis: str
    given: str
    """The arm in which the attack succeeded."""
    arm: str
    """The arm in which it is tried again."""
    attack: str | None
    """The attack; None for all of them together."""
    share: float
    """P(success in `arm` | success in `given`) over first draws of item and attack; NaN for n = 0."""
    interval: Interval
    """Wilson with the effective number of trials, items of a cluster and attacks on an item going together."""
    n: int
    """The denominator: pairs of item and attack that succeeded in `given` and have a score in `arm`."""
    n_clusters: int


@dataclass(frozen=True, slots=True)
class DosePoint:
    """A point of a technique's dose curve."""

    axis: str
    arm: str
    technique: str
    dose: float
    attack: str
    """The label of the attack at this dose."""
    bad_share: float
    """As in `AttackCell`."""
    interval: Interval
    n_items: int
    n_missing: int


@dataclass(frozen=True, slots=True)
class DoseControl:
    """A technique against its control at the same dose, in the same arm."""

    axis: str
    arm: str
    technique: str
    control: str
    """The control's technique."""
    dose: float
    change: Paired
    """Bad share of the technique minus that of its control: positive is worse."""


@dataclass(frozen=True, slots=True)
class AttackCost:
    """How much longer an attack makes the trace."""

    axis: str
    arm: str
    attack: str
    counted: Literal["trace_tokens", "realised_thinking_tokens"]
    """The column that was read."""
    before: float
    """Mean tokens without an attack, over the paired items."""
    change: Paired
    """Tokens under the attack minus tokens without it; whether an answer has a score does not matter here."""
    n_cut: int
    """Draws under the attack whose trace reached its limit: the change is at least so large."""


_Record: TypeAlias = (
    AttackCell
    | AttackPoint
    | AttackTries
    | WorstOfAttacks
    | AttackContrast
    | AttackTransfer
    | DosePoint
    | DoseControl
    | AttackCost
)
_TYPES: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "str": pl.String,
    "float": pl.Float64,
    "int": pl.Int64,
    "tuple[str, ...]": pl.List(pl.String),
}


@dataclass(frozen=True, slots=True)
class AttackLadder:
    """What a ladder of attacks does in every arm. Tables are by axis; good and bad are as in the scores of the axis."""

    baseline: str
    """The arm that changes and interactions are told against."""
    arms: tuple[str, ...]
    """Every arm, the baseline first."""
    axes: tuple[str, ...]
    """The axes on which something was attacked."""
    attacks: tuple[str, ...]
    """By technique and dose, without `none`."""
    cells: tuple[AttackCell, ...]
    """One try: by attack, `none` first, then arm. A cell that was not run is not there."""
    points: tuple[AttackPoint, ...]
    """Of the cells with a success, on harm and privacy; empty where the table does not say what answers name."""
    tries: tuple[AttackTries, ...]
    """Several tries, where there is more than one draw an item."""
    worst: tuple[WorstOfAttacks, ...]
    """One for each arm."""
    powers: tuple[AttackContrast, ...]
    """Bad share under the attack minus that without one, in the same arm; empty without `none`."""
    interactions: tuple[AttackContrast, ...]
    """Power in the arm minus power in the baseline arm, the largest first; empty without `none`."""
    changes: tuple[AttackContrast, ...]
    """Bad share in the arm minus that in the baseline arm, under the same attack (or none)."""
    survival: tuple[AttackSurvival, ...]
    """Where an attack tells its queries or items have several draws."""
    transfers: tuple[AttackTransfer, ...]
    """Between every two arms, all attacks together."""
    transfers_by_attack: tuple[AttackTransfer, ...]
    """The same of each attack alone, by attack; between the arms that met it."""
    doses: tuple[DosePoint, ...]
    """Of techniques with several doses, by technique, arm and dose."""
    controls: tuple[DoseControl, ...]
    """Of techniques whose control was run with the same dose."""
    costs: tuple[AttackCost, ...]
    """Where the tokens of traces are counted; empty without `none`."""
    caveats: tuple[str, ...]
    """What to know before believing a number, one sentence each."""

    def technique(self, attack: str) -> str:
        """Return an attack's label without its dose.

        Args:
            attack: The label.
        """
        return next(cell.technique for cell in self.cells if cell.attack == attack)

    def to_frame(self, table: AttackTable = "cells") -> pl.DataFrame:
        """Return one of the tables.

        Args:
            table: The name of a field that holds a table.

        Returns:
            One row an entry (of `survival`, a step); an interval becomes `low` and `high`. NaN where nothing is known,
            null where there is nothing to know, such as a change of the baseline.

        Raises:
            ConfigError: There is no such table.
        """
        if table not in _RECORDS:
            known = list(get_args(AttackTable))
            raise ConfigError(f"An attack ladder has no table `{table}`.", remedy=did_you_mean(table, known))
        if table == "survival":
            return _survival_frame(self.survival)
        kind = _RECORDS[table]
        return pl.DataFrame([_flat(record) for record in getattr(self, table)], schema=_schema(kind))


_RECORDS: Final[dict[str, type]] = {
    "cells": AttackCell,
    "points": AttackPoint,
    "tries": AttackTries,
    "worst": WorstOfAttacks,
    **dict.fromkeys(("powers", "interactions", "changes"), AttackContrast),
    "survival": AttackSurvival,
    **dict.fromkeys(("transfers", "transfers_by_attack"), AttackTransfer),
    "doses": DosePoint,
    "controls": DoseControl,
    "costs": AttackCost,
}
_ENDS: Final = {"interval": ("low", "high"), "median_interval": ("median_low", "median_high")}


def _schema(kind: type, prefix: str = "") -> dict[str, pl.DataType | type[pl.DataType]]:
    """Return the columns of a kind of record."""
    columns: dict[str, pl.DataType | type[pl.DataType]] = {}
    for field in fields(kind):
        written = str(field.type)
        if written == "Interval":
            columns |= {prefix + end: pl.Float64() for end in _ENDS[field.name]}
        elif written.startswith("Paired"):
            # A worst-of row has numbers of its own beside those of its change.
            columns |= _schema(Paired, prefix="change_" if kind is WorstOfAttacks else "")
        else:
            columns[prefix + field.name] = _TYPES.get(written, pl.String())
    return columns


def _flat(record: _Record | AttackSurvival | Paired, prefix: str = "") -> dict[str, object]:
    row: dict[str, object] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Paired):
            row |= _flat(value, prefix="change_" if isinstance(record, WorstOfAttacks) else "")
        elif isinstance(value, Interval):
            row |= {prefix + end: v for end, v in zip(_ENDS[field.name], value, strict=True)}
        elif value is not None:
            row[prefix + field.name] = list(value) if isinstance(value, tuple) else value
    return row


def _survival_frame(curves: Sequence[AttackSurvival]) -> pl.DataFrame:
    """Return one row a step; a curve without steps has one row without a time."""
    steps = {"time": pl.Float64, "survival": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    schema = _schema(AttackSurvival) | steps | {"n_at_risk": pl.Int64, "n_fell": pl.Int64}
    del schema["steps"]
    rows = []
    for curve in curves:
        own = _flat(curve)
        del own["steps"]
        for step in curve.steps:
            rows.append({**own, **step._asdict(), "low": step.interval.low, "high": step.interval.high})
        if not curve.steps:
            rows.append(own)
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
