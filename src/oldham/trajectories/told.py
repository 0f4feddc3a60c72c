"""What the readouts of a run say, as a table and a few plain sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl
from scipy.stats import rankdata

from oldham.core.outcomes import Outcome
from oldham.trajectories.cliff import QUARTERS, CurveOptions, Decision, per_trace, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.trajectories.cliff import MeanCliff, TraceGroup

LITTLE_MASS: Final = 0.1
"""Where the openings hold less of the probability, the table says so."""

FEW_STEPS: Final = 5
"""Where the median trace has fewer steps, the table says how coarse its places are."""

_HEAD: Final = (
    "Log-odds of refusing against complying (nats, above 0: refusing), if the trace ended there and the answer had to "
    "be given."
)
_WHEN: Final = (
    "When the answer is settled, in traces (to refusing / to complying). pre_decided: before the trace; "
    "mid_chain_override: turned over inside it; end_cliff: still on the other side after {late:.0%} of it or more; "
    "undecided: within {tolerance:g} of one half at its end; one step: nothing tells where."
)


class ToldApart(NamedTuple):
    """How well the readout at the end of a trace tells which answer was given."""

    auroc: float
    """Chance that an answer judged refused has the larger log-odds of two, one of each; NaN where one is missing."""
    n_refused: int
    n_complied: int
    p_refuse: float
    """Mean p_refuse at the end of these traces; NaN without any."""


def told(readouts: pl.DataFrame, observations: pl.DataFrame | None = None, options: CurveOptions | None = None) -> str:
    """Say what the readouts of a run show.

    Args:
        readouts: Rows of `trajectories.parquet`, all of one reading, once for each arm.
        observations: The run's observation table, to hold the readouts against the judged answers; None without one.
        options: The numbers in the definitions; None for the defaults.

    Returns:
        A table with a line for each arm and benchmark, then sentences; one sentence where there are no readouts.
    """
    options = options or CurveOptions()
    if readouts.is_empty():
        return "There are no readouts to show."
    traces = per_trace(readouts, options)
    groups = summarise(traces, options)
    lines = [_HEAD, "", *_curves(groups), "", *_notes(groups, options), ""]
    lines += [_WHEN.format(tolerance=options.tolerance, late=options.late), "", *_decisions(groups)]
    if observations is not None:
        lines += ["", _checked(told_apart(traces, observations))]
    return "\n".join(lines)


def told_apart(traces: pl.DataFrame, observations: pl.DataFrame) -> ToldApart:
    """Hold the readout at the end of each trace against the judged answer.

    Args:
        traces: As `per_trace` returns them.
        observations: The run's observation table; the first judge of each benchmark counts.

    Returns:
        The area under the ROC curve over all traces, ties counted half.
    """
    answers = observations.filter((pl.col("span") == "answer") & pl.col("outcome").is_not_null())
    first = answers.unique(["arm", "generation"], keep="first", maintain_order=True)
    known = traces.join(first.select("arm", "generation", "outcome"), on=["arm", "generation"])
    known = known.unique("generation", keep="first", maintain_order=True)
    refused = (known["outcome"] == Outcome.REFUSED.value).to_numpy()
    complied = known["outcome"].is_in([Outcome.COMPLIED_SAFE.value, Outcome.COMPLIED_HARMFUL.value]).to_numpy()
    ends = known["at_100"].to_numpy()[refused | complied]
    n_refused, n_complied = int(refused.sum()), int(complied.sum())
    p_refuse = float((1 / (1 + np.exp(-ends))).mean()) if len(ends) else math.nan
    if not n_refused or not n_complied:
        return ToldApart(math.nan, n_refused, n_complied, p_refuse)
    ranks = rankdata(ends)[refused[refused | complied]]
    over = ranks.sum() - n_refused * (n_refused + 1) / 2
    return ToldApart(float(over) / (n_refused * n_complied), n_refused, n_complied, p_refuse)


def _curves(groups: Sequence[TraceGroup]) -> list[str]:
    quarters = [f"{at:.0%}" for at in QUARTERS]
    head = ["arm", "benchmark", "traces", "steps", *quarters, "cliff, nats", "cliff, p_refuse", "commits at"]
    rows = [
        [
            group.arm,
            group.benchmark,
            str(group.n_traces),
            f"{group.steps:g}",
            *(_number(value) for value in group.quarters),
            _with_interval(group.cliff),
            _with_interval(group.cliff_p),
            "-" if math.isnan(group.commitment) else f"{group.commitment:.0%}",
        ]
        for group in groups
    ]
    return _aligned([head, *rows])


def _decisions(groups: Sequence[TraceGroup]) -> list[str]:
    head = ["arm", "benchmark", *map(str, Decision), "one step"]
    rows = []
    for group in groups:
        cells = []
        for kind in Decision:
            refusing, complying = (group.decisions.get((kind, side), 0) for side in (True, False))
            sides = f" ({refusing}/{complying})" if kind is not Decision.UNDECIDED and refusing + complying else ""
            cells.append(f"{refusing + complying}{sides}")
        rows.append([group.arm, group.benchmark, *cells, str(group.n_traces - group.n_resolved)])
    return _aligned([head, *rows])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Set a table in columns: two of names, then numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    names = 2
    return [
        "  ".join(
            cell.ljust(width) if column < names else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _notes(groups: Sequence[TraceGroup], options: CurveOptions) -> list[str]:
    first, last = options.middle
    notes = [
        "Steps: median of a trace. "
        f"Cliff: mean readout between {first:.0%} and {last:.0%} of a trace minus the one at its end, with a 95% "
        "interval over clusters; above 0, refusing falls away at the end. Commits at: median share of the trace after "
        f"which p_refuse stays within {options.tolerance:g} of its end."
    ]
    coarse = [_name(group) for group in groups if group.steps < FEW_STEPS]
    if coarse:
        notes.append(
            f"Fewer than {FEW_STEPS} steps a trace in {'; '.join(coarse)}: where these commit or turn over is known no "
            "finer than their steps."
        )
    for group in groups:
        if group.cliff.n_traces < group.n_traces:
            notes.append(
                f"{_name(group)}: {group.n_traces - group.cliff.n_traces} of {group.n_traces} traces have no step that "
                "ends in the middle and are left out of the cliff."
            )
        if group.mass < LITTLE_MASS:
            notes.append(
                f"{_name(group)}: the openings hold {group.mass:.1%} of the probability (median), so they do not fit "
                "how this model answers; give others with --openings."
            )
    return notes


def _checked(found: ToldApart) -> str:
    counts = f"{found.n_refused} answers judged refused, {found.n_complied} judged complied"
    if math.isnan(found.auroc):
        return f"The readouts cannot be held against the answers: {counts}."
    share = found.n_refused / (found.n_refused + found.n_complied)
    return (
        f"Check: the readout at the end of the trace tells refused from complied answers with an AUROC of "
        f"{found.auroc:.2f} (0.5 is chance; {counts}). Its p_refuse averages {found.p_refuse:.2f} where {share:.2f} of "
        "the answers are refusals. Answers begin in more ways than any list holds, so differences along a trace and "
        "between arms say more than levels."
    )


def _name(group: TraceGroup) -> str:
    return f"{group.arm}, {group.benchmark}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.2f}"


def _with_interval(mean: MeanCliff) -> str:
    if math.isnan(mean.value):
        return "-"
    if math.isnan(mean.interval.low):
        return f"{_number(mean.value)} [unknown]"
    return f"{_number(mean.value)} [{_number(mean.interval.low)}, {_number(mean.interval.high)}]"
