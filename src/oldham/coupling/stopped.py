"""Effects of a run that was stopped by its own results, with intervals that allow for that."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from oldham.core.errors import DataError
from oldham.core.rounds import Planned
from oldham.coupling.findings import effect_finding
from oldham.coupling.gates import Gate
from oldham.coupling.results import Corrected
from oldham.coupling.sequential import confidence_interval, log_evidence
from oldham.coupling.shares import UNKNOWN
from oldham.coupling.significance import benjamini_hochberg, holm
from oldham.coupling.stopping import Reading, StopRule, claims_told
from oldham.coupling.stopping_rows import Rows
from oldham.coupling.tipping import tipping_point

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from oldham.core.rounds import Cell
    from oldham.coupling.analysis import Coupling
    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.results import Effect, Interval

_LEVEL: Final = 0.05
_NO_CORRECTION: Final = (
    "No interval is known for a change that is corrected for judge error and was read when the run stopped."
)
_NOT_ALLOWED_FOR: Final = (
    "Rates, flips, pathways, the coupling plane, κ and exchange rates, the Pareto front and effects under attack still "
    "have intervals for a fixed number of items: read them as descriptions."
)


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a manifest says of a run that asked in rounds."""

    gate: Gate
    rule: StopRule
    planned: Mapping[str, Planned]
    """What the study would have asked at most, by benchmark."""
    readings: tuple[Reading, ...]
    """The last one of every claim."""
    looks: int
    """Rounds until the last arm was done."""

    def told(self) -> list[str]:
        """Say what became of every claim, by arm."""
        return claims_told(self.readings, self.gate)


def read_stopped(manifest: Mapping[str, Any]) -> Stopped | None:
    """Return what a manifest says of rounds.

    Args:
        manifest: Of a run.

    Returns:
        None where the run asked everything.

    Raises:
        DataError: What it says cannot be read.
    """
    told = manifest.get("sequential")
    if told is None:
        return None
    try:
        return Stopped(
            gate=Gate.model_validate(told["gate"]),
            rule=StopRule(**told["rule"]),
            planned={name: Planned(**planned) for name, planned in told["planned"].items()},
            readings=tuple(Reading(**claim) for claim in told["claims"]),
            looks=max((int(cell["look"]) for cell in told["stopped"]), default=0),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            "The manifest says that the run was asked in rounds, and not how.",
            place="manifest.json, key `sequential`",
            remedy="Give the command of the run again: oldham run STUDY --until gate.",
        ) from error


def stopped_of(run_dir: Path) -> Stopped | None:
    """Return how a run was asked, as its manifest tells it.

    Args:
        run_dir: A run directory; without a manifest nothing is known of rounds.

    Raises:
        DataError: The manifest tells of rounds, and what it says cannot be read.
    """
    try:
        manifest = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read_stopped(manifest) if isinstance(manifest, dict) else None


def as_stopped(
    coupling: Coupling, observations: pl.DataFrame, stopped: Stopped | None, options: CouplingOptions
) -> Coupling:
    """Give effects the intervals and p-values that hold where the run itself decided how many items to ask.

    Before all planned items are asked: the confidence sequence at the level that the rule spends early. With all of
    them: the interval of a fixed number of items at the level that it keeps for the end. Together they hold the truth
    in 95% of runs, wherever they stop; either at 95% would not. P-values are weighted in the same way.

    Args:
        coupling: What the analysis found.
        observations: The rows that it was found in.
        stopped: How the run was asked; None changes nothing.
        options: Of the analysis.

    Returns:
        The same with other intervals, p-values and findings in `effects`, and a caveat.
    """
    if stopped is None:
        return coupling
    rows = Rows(observations, coupling.baseline, options)
    rule = stopped.rule.over(len(coupling.arms))
    read = [_effect(effect, rows, stopped, len(coupling.arms)) for effect in coupling.effects]
    fdr = benjamini_hochberg([e.p_value for e in read])
    adjusted: dict[int, float] = {}
    for axis in coupling.axes:
        mine = [i for i, e in enumerate(read) if e.axis == axis]
        adjusted |= zip(mine, holm([read[i].p_value for i in mine]), strict=True)
    effects = [
        _with_finding(replace(e, p_holm=adjusted[i], q_bh=fdr[i]), coupling.baseline) for i, e in enumerate(read)
    ]
    early = [e for e in effects if rows.share((e.arm, e.axis), stopped.planned) < 1]
    told = _caveats(stopped, effects, early, rule)
    return replace(coupling, effects=tuple(effects), caveats=(*told, *coupling.caveats))


def interval_when_stopped(rows: Rows, cell: Cell, stopped: Stopped, *, arms: int) -> Interval:
    """Return the interval of a change that holds where the run itself decided how many items to ask.

    Args:
        rows: Of the run.
        cell: The arm and the axis.
        stopped: How it was asked.
        arms: How many are compared.

    Returns:
        NaN where nothing is known.
    """
    rule, contrast = stopped.rule.over(arms), rows.contrasts[cell]
    if rows.share(cell, stopped.planned) >= 1:
        return contrast.change.interval(rule.end_level)
    units = rows.units(cell, stopped.planned) if contrast.n_items else None
    return UNKNOWN if units is None else confidence_interval(units, rule.early_level)


def _effect(effect: Effect, rows: Rows, stopped: Stopped, arms: int) -> Effect:
    """Read one effect again; its finding and adjusted p-values are still to come."""
    cell, planned, rule = (effect.arm, effect.axis), stopped.planned, stopped.rule.over(arms)
    contrast, interval = rows.contrasts[cell], interval_when_stopped(rows, cell, stopped, arms=arms)
    n_missing = rows.asked(cell) - effect.n_items
    if rows.share(cell, planned) >= 1:
        p_value = min(1.0, effect.p_value * _LEVEL / (1 - rule.end_level))
        test, corrected = effect.test, effect.corrected
    else:
        units = rows.units(cell, planned) if effect.n_items else None
        p_value = math.nan if units is None else _p_value(units, rule)
        test = "none" if units is None else "betting"
        corrected = effect.corrected
        if corrected is not None and not math.isnan(corrected.value):
            corrected = Corrected(corrected.value, UNKNOWN, f"{corrected.basis} {_NO_CORRECTION}", corrected.has_card)
    return replace(
        effect,
        interval=interval,
        p_value=p_value,
        test=test,
        n_missing=n_missing,
        corrected=corrected,
        tipping=tipping_point(effect.delta, interval, contrast.share),
    )


def _p_value(units: Sequence[Any], rule: StopRule) -> float:
    """Return the two-sided p-value of "nothing changed" that may be read at any time."""
    evidence = max(log_evidence(units, 0.0), log_evidence([u.mirrored() for u in units], 0.0))
    return min(1.0, 2 * math.exp(-evidence) * _LEVEL / (1 - rule.early_level))


def _with_finding(effect: Effect, baseline: str) -> Effect:
    """Say what the effect shows; nothing is called equivalent, for which no test that allows for stopping is made."""
    finding = effect_finding(effect, baseline=baseline, equivalent_within=None)
    if effect.test == "betting":
        finding = f"{finding.removesuffix('.')}; read when the run stopped, with an interval that allows for it."
    return replace(effect, finding=finding)


def _caveats(stopped: Stopped, effects: Sequence[Effect], early: Sequence[Effect], rule: StopRule) -> list[str]:
    at_end = f"intervals at {_percent(rule.end_level)}, because the rounds before spent the rest."
    if not early:
        return [
            f"The run was asked in rounds, and every planned item came up: its effects have {at_end} {_NOT_ALLOWED_FOR}"
        ]
    rest = f" The other effects have {at_end}" if len(early) < len(effects) else ""
    if any(e.corrected is not None and not math.isnan(e.corrected.value) for e in early):
        rest += f" {_NO_CORRECTION}"
    return [
        f"The run was asked in rounds and stopped by its own results (at most {stopped.looks} rounds): "
        f"{len(early)} of {len(effects)} effects rest on fewer items than were planned. Their intervals hold wherever "
        f"the run stops, and are wider for it; an interval for a fixed number of items would not hold 95% there.{rest} "
        f"{_NOT_ALLOWED_FOR} A change that was read early is, on average, larger than the truth."
    ]


def _percent(level: float) -> str:
    return f"{100 * level:.4g}%"
