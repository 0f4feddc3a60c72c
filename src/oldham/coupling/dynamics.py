"""Doses: what more of an intervention does to reasoning and to safety, dose by dose (estimators §6)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from oldham.core.errors import ConfigError, DataError, did_you_mean
from oldham.core.observations import as_observations
from oldham.core.outcomes import SAFETY_AXES
from oldham.coupling.attacks import tell_unattacked, unattacked
from oldham.coupling.dynamics_between import controlled, group_by_seed, is_control, mean_over_seeds, way_back, ways_back
from oldham.coupling.dynamics_gaps import find_gaps
from oldham.coupling.dynamics_ladders import Source, change_ladder, read_ladders
from oldham.coupling.dynamics_path import build_path
from oldham.coupling.dynamics_results import ENOUGH_SEEDS, Controls, Dynamics
from oldham.coupling.judge_error import Corrections
from oldham.coupling.options import CouplingOptions
from oldham.coupling.pairing import build_blocks, only_judge, stood_in, tidy_trials
from oldham.coupling.rates import build_rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from oldham.coupling.dynamics_ladders import DoseLadder, LadderChanges
    from oldham.coupling.dynamics_results import DoseGap, DosePath, Hysteresis

_DEFAULT: Final = CouplingOptions()


class NoDosesError(DataError):
    """No arm has a dose above the start of its intervention."""


@dataclass(frozen=True, slots=True)
class DoseOptions:
    """Which doses are looked at."""

    intervention: str | None = None
    """Only this one, with or without its seed, beside its controls; None takes all."""
    back: str | None = None
    """The intervention that turns the others back, with or without its seed."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What is known of interventions that are trained, by name, as a run's manifest has it; of each its `control`."""


_ALL: Final = DoseOptions()


def dose_dynamics(
    observations: pl.DataFrame,
    *,
    baseline: str,
    options: CouplingOptions = _DEFAULT,
    wanted: DoseOptions = _ALL,
) -> Dynamics:
    """Follow every intervention from its start to its last dose.

    Everything is as judged, from answers to items as they are; the judges' known errors are not taken out.

    Args:
        observations: One row a verdict, with `intervention` and `dose`.
        baseline: The arm that is d_0 of an intervention without an arm of dose 0.
        options: Resamples, seed, margin and the judge.
        wanted: Which interventions, the way back, and what is known of controls.

    Returns:
        Paths, seeds, hysteresis and controls. Equal tables give equal numbers, whatever the order of their rows;
        but where several judges scored one trial and `options.judge` is not given, the first of their rows counts.

    Raises:
        NoDosesError: No arm has a dose above its start.
        DataError: A column is wrong.
        ConfigError: There is no such baseline, intervention or judge.
    """
    tidy = as_observations(observations)
    arms = tidy["arm"].drop_nulls().unique(maintain_order=True).to_list()
    if baseline not in arms:
        raise ConfigError(f"No observation belongs to the arm `{baseline}`.", remedy=did_you_mean(baseline, arms))
    everything, notes = tidy_trials(only_judge(tidy, options.judge))
    trials = unattacked(everything)
    ladders, left_out = read_ladders(trials, baseline=baseline)
    if not ladders:
        raise NoDosesError(
            " ".join(["No arm has a dose above the start of its intervention.", *left_out]),
            remedy="Give arms an `intervention` and a `dose` in the study file.",
        )
    plain = replace(options, cards={})
    blocks = [b for b in build_blocks(trials, tuple(arms)) if b.span == "answer"]
    source = Source(tuple(blocks), plain, Corrections(trials, plain))
    chosen = _chosen(ladders, wanted)
    changes = {each.intervention: change_ladder(each, source) for each in ladders}
    paths = {each.intervention: build_path(changes[each.intervention], source) for each in chosen}
    groups = group_by_seed(list(changes.values()))
    shown = {each.name for each in chosen}
    ways = _ways(ladders, chosen, wanted)
    hysteresis = [h for there, back in ways for h in way_back(there, back, source)]
    gaps = find_gaps(build_rates(source.blocks), chosen)
    return Dynamics(
        baseline=baseline,
        margin=options.margin,
        paths=tuple(paths.values()),
        replicates=tuple(mean_over_seeds(n, runs) for n, runs in groups.items() if n in shown and len(runs) > 1),
        hysteresis=tuple(hysteresis),
        controls=tuple(_controls(groups, shown, paths, wanted, options.margin)),
        notes=(
            *left_out,
            *_notes({n: runs for n, runs in groups.items() if n in shown}, paths, groups, wanted, gaps),
            *_lost_ways(hysteresis, source, ways),
            *tell_unattacked(everything),
            *notes,
            *stood_in(tidy, options.judge),
        ),
        gaps=tuple(gaps),
    )


def _notes(
    of_shown: Mapping[str, Sequence[LadderChanges]],
    paths: Mapping[str, DosePath],
    groups: Mapping[str, Sequence[LadderChanges]],
    wanted: DoseOptions,
    gaps: Iterable[DoseGap],
) -> list[str]:
    return [
        *_seed_notes(of_shown),
        *_control_notes(paths, groups, wanted),
        *(gap.sentence for gap in gaps),
        *_mixed_benchmarks(of_shown),
    ]


def _chosen(ladders: Sequence[DoseLadder], wanted: DoseOptions) -> list[DoseLadder]:
    name = wanted.intervention
    chosen = [each for each in ladders if name in (None, each.intervention, each.name)]
    if not chosen:
        names = [each.intervention for each in ladders]
        raise ConfigError(f"No arm has a dose of `{name}`.", remedy=did_you_mean(str(name), names))
    # A way back begins where the others end, so it has no path of its own from the start.
    ways_out = [each for each in chosen if wanted.back not in (each.intervention, each.name)]
    return ways_out or chosen


def _ways(
    ladders: Sequence[DoseLadder], chosen: Sequence[DoseLadder], wanted: DoseOptions
) -> list[tuple[DoseLadder, DoseLadder]]:
    if wanted.back is None:
        return []
    out = [each for each in chosen if is_control(each.intervention, wanted.training) is None]
    return ways_back(ladders, out, wanted.back)


def _lost_ways(found: Sequence[Hysteresis], source: Source, ways: Sequence[tuple[DoseLadder, DoseLadder]]) -> list[str]:
    """Name the ways out and back that were asked for and cannot be followed."""
    measured = [str(a) for a in SAFETY_AXES if any(b.axis == a for b in source.blocks)]
    told = {(h.out, h.back, h.axis) for h in found}
    notes = []
    for out, back in ways:
        lost = [a for a in measured if (out.intervention, back.intervention, a) not in told]
        if lost or not measured:
            notes.append(
                f"`{back.intervention}` is not followed back from `{out.intervention}` on "
                f"{' and '.join(lost) or 'any safety axis'}: not every dose of both has scored answers there and on "
                "reasoning, on the same benchmarks."
            )
    return notes


def _mixed_benchmarks(groups: Mapping[str, Sequence[LadderChanges]]) -> list[str]:
    """Name the axes on which doses rest on different benchmarks, so that they answer different questions."""
    notes = []
    for name, runs in groups.items():
        for axis in dict.fromkeys(a for each in runs for a in each.axes):
            sets = {c.benchmarks for each in runs for (a, _), c in each.found.items() if a == axis and c.n_items}
            if len(sets) > 1:
                told = ", or on ".join(" and ".join(s) for s in sorted(sets))
                notes.append(
                    f"On {axis} the doses of `{name}` rest on different benchmarks (on {told}): what one dose changes "
                    "and another does not may come from that."
                )
    return notes


def _controls(
    groups: Mapping[str, Sequence[LadderChanges]],
    shown: Iterable[str],
    paths: Mapping[str, DosePath],
    wanted: DoseOptions,
    margin: float,
) -> Iterable[Controls]:
    names = set(shown)
    for name, runs in groups.items():
        interventions = [r.ladder.intervention for r in runs]
        is_known = any(n in wanted.training for n in (name, *interventions))
        if name not in names or not is_known or is_control(interventions[0], wanted.training):
            continue
        others = {n: r for n, r in groups.items() if n != name}
        own = [paths[i] for i in interventions if i in paths]
        yield controlled(runs, others, paths=own, training=wanted.training, margin=margin)


def _seed_notes(groups: Mapping[str, Sequence[LadderChanges]]) -> list[str]:
    """Say which interventions rest on fewer training runs than it takes to know what another seed would give."""
    notes = []
    single = [f"`{n}`" for n, runs in groups.items() if len(runs) == 1]
    if single:
        is_or_are = "is a single run" if len(single) == 1 else "are single runs"
        notes.append(
            f"{', '.join(single)} {is_or_are}: intervals are over items, and if the doses are trained weights, what "
            f"another seed would give is not known. Train {ENOUGH_SEEDS} seeds to know."
        )
    few = [f"`{n}`" for n, runs in groups.items() if 1 < len(runs) < ENOUGH_SEEDS]
    if few:
        notes.append(f"{', '.join(few)}: two seeds give a spread and no interval over seeds; it takes {ENOUGH_SEEDS}.")
    return notes


def _control_notes(
    paths: Mapping[str, DosePath], groups: Mapping[str, Sequence[LadderChanges]], wanted: DoseOptions
) -> list[str]:
    """Name the interventions that lose safety and of whose training nothing is recorded."""
    known = set(wanted.training)
    silent = []
    for name, runs in groups.items():
        own = [r.ladder.intervention for r in runs]
        loses = any(c.band.high < 0 for i in own if i in paths for c in paths[i].changes if c.axis != "reasoning")
        if loses and not known & {name, *own}:
            silent.append(f"`{name}`")
    if not silent:
        return []
    return [
        f"Nothing is recorded of how {', '.join(silent)} came about, and no control stands beside it: if the doses are "
        "trained weights, training as such, and not reasoning, may be what lost safety."
    ]
