"""What a reader must know before believing a number."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import polars as pl

from oldham.coupling.findings import axis_words, counted, points, points_interval
from oldham.coupling.layout import percent
from oldham.coupling.panel import is_split
from oldham.coupling.results import Interval
from oldham.coupling.shares import upper_if_none

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.factors import FactorEffect
    from oldham.coupling.judge_error import Corrections
    from oldham.coupling.panel import JudgeEffect
    from oldham.coupling.results import Effect, Flips, Rate
    from oldham.coupling.stages import StageTable

GAP: Final = 0.10
"""Shares of missing outcomes that differ by more than this can make an effect by themselves."""
_SPLITS: Final = 3
"""Arms named for each axis on which the judge decides."""


def missing_gaps(rates: Sequence[Rate], *, baseline: str) -> list[str]:
    """Warn where an arm leaves far more, or fewer, answers unscored than the baseline.

    Args:
        rates: Of every arm, baseline included.
        baseline: The arm compared with.

    Returns:
        One sentence for each axis with such an arm.
    """
    found = []
    for axis, shares in missing_shares(rates).items():
        apart = [a for a in shares if baseline in shares and abs(shares[a] - shares[baseline]) > GAP]
        if apart:
            told = ", ".join(f"{shares[arm]:.0%} under `{arm}`" for arm in apart)
            ends = {arm: missing_bounds(rates, axis, arm, baseline) for arm in apart}
            bounds = ", ".join(f"{points_interval(of)} under `{arm}`" for arm, of in ends.items())
            found.append(
                f"On {axis} the share of answers without a score is {told}, and {shares[baseline]:.0%} under "
                f"`{baseline}`: the items compared are a selection, and the effect may come from it. With those "
                f"answers all bad or all good the change could be {bounds}."
            )
    return found


def missing_shares(rates: Sequence[Rate]) -> dict[str, dict[str, float]]:
    """Return the share of answers without a score, by axis and arm.

    Args:
        rates: Of every arm.
    """
    counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for rate in rates:
        if rate.span == "answer":
            cell = counts[rate.axis][rate.arm]
            cell[0] += rate.n_missing
            cell[1] += rate.n_observations
    return {axis: {arm: lacking / n for arm, (lacking, n) in arms.items()} for axis, arms in counts.items()}


def missing_bounds(rates: Sequence[Rate], axis: str, arm: str, baseline: str) -> Interval:
    """Return the change of an arm's rate with its missing answers all bad and the baseline's all good, and reversed.

    Args:
        rates: Of every arm.
        axis: The axis.
        arm: The arm.
        baseline: The arm compared with.

    Returns:
        NaN without a benchmark that both have.
    """
    own, base = (
        {r.benchmark: r for r in rates if (r.axis, r.arm, r.span) == (axis, name, "answer")} for name in (arm, baseline)
    )
    both = own.keys() & base.keys()
    if not both:
        return Interval(math.nan, math.nan)
    low = sum(own[b].bound_low - base[b].bound_high for b in both) / len(both)
    return Interval(low, sum(own[b].bound_high - base[b].bound_low for b in both) / len(both))


def cut_answers(trials: pl.DataFrame) -> list[str]:
    """Warn where many scored answers had reached their token limit: they are scored by what they had said by then.

    Args:
        trials: One row a trial and span; `stop` may be empty in an imported table.

    Returns:
        One sentence for each axis where they are more than a tenth of an arm's scored answers, and one where for some
        it is not known.
    """
    of_answer = pl.col("score").is_not_null() & (pl.col("span") == "answer")
    answers = trials.lazy().filter(of_answer).select("axis", "arm", "stop").collect()
    scored = answers.filter(pl.col("stop").is_not_null())
    shares = scored.group_by("axis", "arm", maintain_order=True).agg((pl.col("stop") == "length").mean().alias("cut"))
    found = []
    for axis in shares["axis"].unique(maintain_order=True):
        cells = [(arm, cut) for of, arm, cut in shares.iter_rows() if of == axis and cut > GAP]
        if cells:
            told = ", ".join(f"{cut:.0%} under `{arm}`" for arm, cut in cells)
            found.append(
                f"On {axis} many scored answers had reached their token limit ({told}): they are scored by what they "
                "had said by then; raise `answer_tokens` to see them whole."
            )
    untold = answers.group_by("axis", maintain_order=True).agg(pl.col("stop").is_null().mean())
    found += [
        f"On {axis} {share:.0%} of the scored answers come without the reason why they ended: some may have been cut."
        for axis, share in untold.iter_rows()
        if share > 0
    ]
    return found


def stuck_axes(rates: Sequence[Rate], *, baseline: str) -> list[str]:
    """Warn where the baseline's scores are all at one end, so that one direction cannot be seen.

    Args:
        rates: Of every arm.
        baseline: The arm compared with.

    Returns:
        One sentence for each axis.
    """
    means: dict[str, list[float]] = defaultdict(list)
    judges: dict[str, set[str]] = defaultdict(set)
    clusters: dict[str, int] = defaultdict(int)
    for rate in rates:
        if rate.span == "answer" and rate.arm == baseline and rate.n_items:
            means[rate.axis].append(rate.mean)
            clusters[rate.axis] += rate.n_clusters
            judges[rate.axis] |= set(rate.judges)
    found = []
    for axis, values in means.items():
        for end, direction, score in ((0.0, "fall", "0"), (1.0, "rise", "1")):
            if all(v == end for v in values):
                found.append(
                    f"Every answer of the baseline scores {score} on {axis}: a {direction} of "
                    f"{axis_words(axis, judges[axis])} could not be seen. Of all such items up to "
                    f"{percent(upper_if_none(clusters[axis]))}% may score otherwise."
                )
    return found


def lone_stages(tables: Sequence[StageTable]) -> list[str]:
    """Warn where many traces lack a verdict on the trace or on the answer, so that they are in no cell.

    Args:
        tables: Trace against answer, of every arm.

    Returns:
        One sentence for each axis where they are more than a tenth of an arm's traces.
    """
    found = []
    for axis in dict.fromkeys(t.axis for t in tables):
        lone = [t for t in tables if t.axis == axis and t.n_missing > GAP * t.n_thought]
        if lone:
            told = ", ".join(f"{t.n_missing} of {t.n_thought} under `{t.arm}`" for t in lone)
            found.append(
                f"On {axis} many traces lack a verdict on the trace or on the answer ({told}): the table of trace and "
                "answer is about a selection."
            )
    return found


def judge_splits(effects: Iterable[JudgeEffect]) -> list[str]:
    """Name the changes that are clear of 0 by some judges only, or on opposite sides of it.

    Args:
        effects: By axis, arm and judge.

    Returns:
        One sentence for each axis where there are any, with at most three arms by name.
    """
    axes: dict[str, dict[str, list[JudgeEffect]]] = {}
    for e in effects:
        axes.setdefault(e.axis, {}).setdefault(e.arm, []).append(e)
    told = []
    for axis, arms in axes.items():
        split = {arm: of for arm, of in arms.items() if is_split(of)}
        shown = [
            f"`{arm}` ({', '.join(f'{e.judge} {points(e.delta)}' for e in of)})"
            for arm, of in list(split.items())[:_SPLITS]
        ]
        if split:
            more = len(split) - len(shown)
            rest = f", and {counted(more, 'more arm')}" if more else ""
            told.append(f"Whether {axis} changed, or which way, hangs on the judge under {', '.join(shown)}{rest}.")
    return told


def still_axes(contrasts: Sequence[Contrast]) -> list[str]:
    """Warn where no cluster's score differed, so that the interval is a bound and not a measured spread.

    Args:
        contrasts: Every arm on every axis.

    Returns:
        Up to two sentences for each axis that is concerned: of arms in which no item changed, and of those in which
        the changes cancel in every cluster. None of an arm without an interval.
    """
    still: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for contrast in contrasts:
        if contrast.n_items and contrast.change.degrees > 0 and not contrast.shifts.any():
            moved = contrast.risk.value > 0 or contrast.defence.value > 0
            still[contrast.axis, moved].append(f"`{contrast.arm}`")
    said = {False: "no item changed", True: "the changes cancel in every cluster"}
    return [
        f"On {axis} {said[moved]} under {', '.join(names)}: the interval is the bound that so few items leave open."
        for (axis, moved), names in still.items()
    ]


def unknown_floors(flips: Sequence[Flips]) -> list[str]:
    """Warn where the noise of sampling could not be told from flips.

    Args:
        flips: Of every arm on every axis.

    Returns:
        At most one sentence.
    """
    axes = list(dict.fromkeys(f.axis for f in flips if f.n_items and math.isnan(f.noise_floor)))
    if not axes:
        return []
    return [
        f"On {', '.join(axes)} the baseline has one draw an item, so flips by sampling alone cannot be told apart. "
        "Draw twice, or say that decoding was greedy with CouplingOptions(deterministic=True)."
    ]


def thin_factors(effects: Sequence[FactorEffect]) -> list[str]:
    """Warn where effects of factors rest on a minority of the items.

    Args:
        effects: Every effect of a factor.

    Returns:
        One sentence for each axis, with the fewest items that an effect there rests on.
    """
    found = []
    for axis in dict.fromkeys(e.axis for e in effects):
        fewest = min((e for e in effects if e.axis == axis), key=lambda e: e.n_items)
        if fewest.n_items < fewest.n_missing:
            found.append(
                f"On {axis} an effect of the factors rests on {fewest.n_items} of {fewest.n_items + fewest.n_missing} "
                "items: the others lack a score in a cell it needs."
            )
    return found


def uncorrected_factors(factor_effects: Sequence[FactorEffect], effects: Sequence[Effect]) -> list[str]:
    """Say that effects of factors are as judged, where those of arms are corrected.

    Args:
        factor_effects: Every effect of a factor.
        effects: Every arm on every axis.

    Returns:
        At most one sentence.
    """
    corrected = {e.axis for e in effects if e.corrected is not None and not math.isnan(e.corrected.value)}
    axes = [axis for axis in dict.fromkeys(e.axis for e in factor_effects) if axis in corrected]
    return [f"The effects of the factors on {', '.join(axes)} are not corrected for judge error."] if axes else []


def doubtful_cards(corrections: Corrections) -> list[str]:
    """Warn where the card of a judge that spoke may not fit its verdicts.

    A card of another version of the judge is used all the same: its errors are nearer than none at all.

    Args:
        corrections: The cards and who judged what; rates are to be corrected before.

    Returns:
        Up to three sentences for each judge with a card, one for each axis on which answers refused in part lie off its
        line, and one for each rate that its card's errors cannot give.
    """
    seen: dict[str, set[str]] = defaultdict(set)
    for reading in corrections.readings.values():
        for judge in reading.judges:
            # Of several judges in one place, it is not known whose fingerprint is whose.
            seen[judge] |= set(reading.fingerprints if len(reading.judges) == 1 else ())
    found = []
    for judge in sorted(seen.keys() & corrections.cards.keys()):
        card = corrections.cards[judge]
        if seen[judge] - {card.judge_fingerprint}:
            found.append(
                f"The card of `{judge}` was measured with another version, prompt or model of it: its errors may "
                "differ from those corrected for."
            )
        if card.validation == "in_sample":
            found.append(
                f"The card of `{judge}` was measured on rows that the judge was made with: expect more errors, and "
                "a larger correction, on other texts."
            )
        if card.labelled_by == "model":
            found.append(f"The labels behind the card of `{judge}` are by a model, not by humans, and hold its errors.")
    return [*found, *corrections.bends(), *corrections.misfits()]
