"""The whole analysis: a table of observations in, a coupling out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from oldham.core.errors import ConfigError, did_you_mean
from oldham.core.observations import as_observations
from oldham.coupling import caveats
from oldham.coupling.attack_pathways import build_attack_pathways
from oldham.coupling.attacks import build_attacks, tell_unattacked, unattacked
from oldham.coupling.cells import note_design, plan_contrasts, read_cells
from oldham.coupling.coefficient import couple_coefficients
from oldham.coupling.contrasts import build_contrasts
from oldham.coupling.effects import build_effects
from oldham.coupling.factors import build_factor_effects
from oldham.coupling.flip_caveats import chance_flips, judged_flips
from oldham.coupling.flip_pairs import FlipPairs, list_flip_pairs
from oldham.coupling.flips import build_flips
from oldham.coupling.judge_error import Corrections
from oldham.coupling.mixed import mixed_caveats
from oldham.coupling.options import CouplingOptions
from oldham.coupling.pairing import build_blocks, only_judge, stood_in, tidy_trials
from oldham.coupling.panel import JudgePanel, build_panel
from oldham.coupling.pareto import build_pareto
from oldham.coupling.pathways import PathwayOptions, classify
from oldham.coupling.plane import build_plane
from oldham.coupling.rates import build_rates
from oldham.coupling.stages import StageTable, build_stages
from oldham.coupling.summary import write_summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oldham.coupling.attack_results import AttackLadder
    from oldham.coupling.cells import Cells
    from oldham.coupling.coefficient import Coefficient
    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.factors import FactorEffect
    from oldham.coupling.pareto_results import Pareto
    from oldham.coupling.pathway_results import Pathways, PathwayTable
    from oldham.coupling.results import Effect, Flips, PlanePoint, Rate

_DEFAULT: Final = CouplingOptions()

_EFFECT_SCHEMA: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "arm": pl.String,
    "axis": pl.String,
    "benchmarks": pl.List(pl.String),
    "delta": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p_value": pl.Float64,
    "p_holm": pl.Float64,
    "q_bh": pl.Float64,
    "test": pl.String,
    "smallest_detectable": pl.Float64,
    "n_items": pl.Int64,
    "n_clusters": pl.Int64,
    "n_missing": pl.Int64,
    "corrected": pl.Float64,
    "corrected_low": pl.Float64,
    "corrected_high": pl.Float64,
    "tipping": pl.Float64,
    "bound_low": pl.Float64,
    "bound_high": pl.Float64,
    "finding": pl.String,
}


@dataclass(frozen=True, slots=True)
class Coupling:
    """What changing reasoning did to every axis, arm by arm."""

    baseline: str
    """The arm every other is compared with."""
    arms: tuple[str, ...]
    """The arms compared with it, in the table's order."""
    axes: tuple[str, ...]
    """The axes with observations, in their usual order."""
    rates: tuple[Rate, ...]
    """By axis, benchmark, span and arm, the baseline first."""
    effects: tuple[Effect, ...]
    """By axis, then arm."""
    flips: tuple[Flips, ...]
    """By axis, then arm."""
    plane: tuple[PlanePoint, ...]
    """By safety axis, then arm; empty where reasoning was not measured."""
    pareto: Pareto | None
    """Which arms nothing beats on all axes together; None with fewer than two axes."""
    coefficients: tuple[Coefficient, ...]
    """By safety axis, then family of arms: all of them, and each intervention with several doses."""
    flip_pairs: FlipPairs
    """By arm and axis, risk before defence."""
    factor_effects: tuple[FactorEffect, ...]
    """By axis, main effects before interactions; empty outside a factorial design."""
    stages: tuple[StageTable, ...]
    """Trace against answer, by axis and arm; empty where no judge read traces."""
    pathways: PathwayTable
    """What the flipped items went through; on the axes harm and privacy."""
    panel: JudgePanel
    """Judges side by side; empty where one alone spoke."""
    attacks: AttackLadder | None
    """What attacks did; None where nothing was attacked. All else here is read from the items as they are, save on
    benchmarks that were never asked without an attack."""
    attack_pathways: tuple[Pathways, ...]
    """What the flips of the largest interactions went through; see `oldham.coupling.attack_pathways`."""
    caveats: tuple[str, ...]
    """What to know before believing a number, one sentence each."""
    n_observations: int
    n_missing: int
    """Observations without a score."""

    def to_frame(self) -> pl.DataFrame:
        """Return the effects as a table, one row an arm and axis; NaN where nothing is known.

        `corrected` and its interval have the judges' known errors taken out; `tipping` is the difference in judge error
        between the two arms that would explain the effect away.
        """
        return pl.DataFrame(list(map(_effect_row, self.effects)), schema=_EFFECT_SCHEMA)

    def summary(self, *, full: bool = False) -> str:
        """Return what was found as plain text, for a terminal.

        Args:
            full: Also every effect with its test and counts, the flips, and the quadrants.
        """
        return write_summary(self, full=full)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.summary())}</pre>"


def couple(observations: pl.DataFrame, *, baseline: str, options: CouplingOptions = _DEFAULT) -> Coupling:
    """Compare every arm with the baseline, item by item.

    Effects, flips and the plane are read from answers; rates are given for traces too.

    Args:
        observations: One row a verdict, with at least `oldham.core.observations.REQUIRED_COLUMNS`.
        baseline: The arm to compare with.
        options: Resamples, seed, margin, the judge, and whether decoding was greedy.

    Returns:
        Rates, effects, flips, the coupling plane, and the flipped items. Equal tables give equal numbers, whatever the
        order of their rows; but where several judges scored one trial and `options.judge` is not given, the first of
        their rows counts. Arms are listed in the table's order.

    Raises:
        DataError: A column is missing or wrong, one judge scored a trial twice, or `factors` describes no design.
        ConfigError: There is no such baseline, judge, or format control.
    """
    read = _read(as_observations(observations), baseline, options)
    arms, trials = read.arms, read.trials
    attacks = build_attacks(read.everything, arms, baseline, options)
    blocks = build_blocks(trials, arms)
    answers = [b for b in blocks if b.span == "answer"]
    corrections = Corrections(trials, options)
    contrasts = build_contrasts(answers, baseline=baseline, options=options, corrections=corrections)
    effects = build_effects(contrasts, baseline=baseline, options=options)
    found = Coupling(
        baseline=baseline,
        arms=arms[1:],
        axes=tuple(dict.fromkeys(b.axis for b in blocks)),
        rates=tuple(build_rates(blocks, corrections)),
        effects=tuple(effects),
        flips=tuple(build_flips(contrasts)),
        plane=tuple(build_plane(contrasts)),
        pareto=build_pareto(contrasts, baseline=baseline, options=options),
        coefficients=tuple(couple_coefficients(contrasts, answers, trials, baseline=baseline, options=options)),
        flip_pairs=list_flip_pairs(trials, baseline=baseline, arms=arms[1:]),
        factor_effects=tuple(build_factor_effects(answers, read.cells, options=options)),
        stages=tuple(build_stages(trials, arms)),
        pathways=classify(trials, arms[1:], baseline, options=PathwayOptions(format_controls=options.format_controls)),
        panel=build_panel(unattacked(read.tidy), baseline=baseline, options=options, effects=effects),
        attacks=attacks,
        attack_pathways=build_attack_pathways(read.everything, attacks),
        caveats=(),
        n_observations=read.everything.height,
        n_missing=int(read.everything["score"].null_count()),
    )
    return replace(found, caveats=tuple(_caveats(found, read, contrasts, corrections)))


class _Read(NamedTuple):
    """A table of observations, cut to what the parts of the analysis read."""

    tidy: pl.DataFrame
    """Every verdict."""
    everything: pl.DataFrame
    """One row a trial and span, of one judge."""
    trials: pl.DataFrame
    """Of those, the items as they are."""
    arms: tuple[str, ...]
    """Every arm, the baseline first."""
    cells: Cells
    """The arms of a factorial design."""
    notes: tuple[str, ...]
    """Whose verdicts were read, one sentence each."""


def _read(tidy: pl.DataFrame, baseline: str, options: CouplingOptions) -> _Read:
    found = tidy["arm"].drop_nulls().unique(maintain_order=True).to_list()
    if baseline not in found:
        raise ConfigError(f"No observation belongs to the arm `{baseline}`.", remedy=did_you_mean(baseline, found))
    arms = (baseline, *(a for a in found if a != baseline))
    everything, notes = tidy_trials(only_judge(tidy, options.judge))
    trials = unattacked(everything)
    return _Read(tidy, everything, trials, arms, read_cells(trials, arms), (*notes, *stood_in(tidy, options.judge)))


def _caveats(found: Coupling, read: _Read, contrasts: Sequence[Contrast], corrections: Corrections) -> Iterator[str]:
    """Yield what to know before believing a number."""
    yield from tell_unattacked(read.everything)
    yield from caveats.missing_gaps(found.rates, baseline=found.baseline)
    yield from caveats.judge_splits(found.panel.effects)
    yield from caveats.lone_stages(found.stages)
    yield from caveats.cut_answers(read.trials)
    yield from caveats.stuck_axes(found.rates, baseline=found.baseline)
    yield from caveats.still_axes(contrasts)
    yield from caveats.unknown_floors(found.flips)
    yield from chance_flips(found.flips)
    yield from judged_flips(contrasts)
    yield from note_design(read.cells, plan_contrasts(read.cells))
    yield from caveats.thin_factors(found.factor_effects)
    yield from caveats.uncorrected_factors(found.factor_effects, found.effects)
    yield from mixed_caveats(found.factor_effects)
    yield from caveats.doubtful_cards(corrections)
    yield from found.attacks.caveats if found.attacks else ()
    yield from read.notes


def _effect_row(effect: Effect) -> dict[str, object]:
    corrected, tipping = effect.corrected, effect.tipping
    own = {name: getattr(effect, name) for name in _EFFECT_SCHEMA if hasattr(effect, name)}
    return {
        **own,
        "benchmarks": list(effect.benchmarks),
        "low": effect.interval.low,
        "high": effect.interval.high,
        "corrected": math.nan if corrected is None else corrected.value,
        "corrected_low": math.nan if corrected is None else corrected.interval.low,
        "corrected_high": math.nan if corrected is None else corrected.interval.high,
        "tipping": math.nan if tipping is None else tipping.error,
        "bound_low": effect.bounds.low,
        "bound_high": effect.bounds.high,
    }
