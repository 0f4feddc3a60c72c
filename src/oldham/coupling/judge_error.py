"""What a judge is known to get wrong, taken out of rates and effects (estimators §2).

An interval rests on draws of what was judged and of the judge's line (see `oldham.coupling.judge_lines`). For a rate
the first are from its Beta posterior with the effective number of trials, and not from resampled items, which never
show what a flawless sample may hide: with 60 items, a true rate of 90%, error rates of 2% and 20% and 100 labels,
resampled items held it in 92.4% of 1,500 simulated studies, the posterior in 95.3%. For a change they are the resamples
that the change as judged rests on, so that arms keep their covariance.

A judge that errs less here than on its card may give a rate that the card's errors cannot (a baseline that refuses
everything). A rate is then clipped to [0, 1] and its interval holds the raw one too; a change is corrected as ever, its
arms not clipped. With 300 items, 450 labels, a truth of 98% or 100%, and a judge that errs on 0.2% of good answers here
and on 4% on its card, the change so corrected was held by 92% to 100% of 600 simulated intervals, clipped arm by arm by
37% to 100%. `Corrections.misfits` names such rates.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from oldham.core.fingerprint import derive_seed
from oldham.core.thinking import ThinkingState
from oldham.coupling.bootstrap import Estimate
from oldham.coupling.judge_lines import Line, Untold, fit_line, label_counts, steep
from oldham.coupling.rates import judged_share
from oldham.coupling.results import Corrected, Interval
from oldham.coupling.shares import UNKNOWN, wilson
from oldham.judges.cards import ALL, ARM, DIRECT, FEWEST_LABELS, THINKING, shipped_cards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.pairing import Block
    from oldham.judges.cards import CardCell, JudgeCard

_HALF: Final = 0.5
_KEY: Final = ("axis", "benchmark", "span", "arm")
_BENT: Final = 0.1
"""A class mean this far off the line is worth a word."""
_TAILS: Final = (0.025, 0.975)
_CALLED: Final = {"humans": "people call", "model": "a model calls", "construction": "were made to be"}
"""How the labels of a card are spoken of."""


class Reading(NamedTuple):
    """Who gave the verdicts of an arm on one benchmark and span, and on what kind of output."""

    judges: tuple[str, ...]
    """By name; empty where the table does not say."""
    fingerprints: tuple[str, ...]
    """Identities of the judges, where the table tells them."""
    thinks: bool | None
    """Whether most outputs hold a trace; None where the table does not say."""


class CorrectedShare(NamedTuple):
    """A corrected rate."""

    value: float
    interval: Interval
    fits: bool = True
    """Whether the card's errors can have given the judged rate, sampling allowed for."""


class Corrections:
    """The line for every arm on every benchmark, worked out once for each cell of a card."""

    def __init__(self, trials: pl.DataFrame, options: CouplingOptions) -> None:
        """Read who judged what.

        Args:
            trials: One row a trial and span.
            options: Cards, resamples and seed.
        """
        self.cards: Mapping[str, JudgeCard] = shipped_cards() if options.cards is None else options.cards
        self.readings = read_verdicts(trials)
        self.wanted = options.cards is None or bool(options.cards)
        self.seed = options.seed
        self._shipped = shipped_cards()
        self._resamples = options.resamples
        self._lines: dict[tuple[str, ...], Line | Untold] = {}
        self._misfits: dict[tuple[str, ...], str] = {}

    def reading(self, block: Block, arm: str) -> Reading:
        """Return who gave an arm's verdicts.

        Args:
            block: A benchmark, read on one span.
            arm: One of its arms.
        """
        return self.readings.get((block.axis, block.benchmark, block.span, arm), Reading((), (), None))

    def rate(self, block: Block, arm: str) -> Corrected | None:
        """Return an arm's corrected rate.

        Args:
            block: A benchmark, read on one span.
            arm: One of its arms.

        Returns:
            The rate clipped to [0, 1], with percentiles over draws of the rate and of the line; None where no
            correction was asked for.
        """
        if not self.wanted:
            return None
        line = self.line(block, arm)
        if isinstance(line, Untold):
            return no_correction([line])
        key = (block.axis, block.benchmark, block.span, arm)
        share, trials = judged_share(block, arm)
        found = correct_share(line, share.value, trials, seed=derive_seed("rate", self.seed, *key))
        if not found.fits:
            self._misfits[key] = _misfit(line, share.value, key)
        return Corrected(found.value, found.interval, f"Card of `{line.judge}`, {_cell_words(line)}.")

    def misfits(self) -> list[str]:
        """Name the rates, among those corrected so far, that the errors on the judge's card cannot have given."""
        return [self._misfits[key] for key in sorted(self._misfits)]

    def bends(self) -> list[str]:
        """Name the lines, among those used so far, that pass answers refused in part by."""
        found = {}
        for (judge, axis, *_), line in sorted(self._lines.items()):
            if isinstance(line, Line) and abs(line.bend) >= _BENT:
                there = line.intercept + line.slope * _HALF
                way = "low" if line.bend < 0 else "high"
                found[judge, axis] = (
                    f"`{judge}` scores answers that {_CALLED[self.cards[judge].labelled_by]} partly refused "
                    f"{there + line.bend:.2f} on average on {axis}, and the correction assumes {there:.2f}: where an "
                    f"arm has more of them than the card ({line.middle:.0%} of its labels), its corrected score is too "
                    f"{way}."
                )
        return list(found.values())

    def line(self, block: Block, arm: str) -> Line | Untold:
        """Return the line behind an arm's verdicts; the same object where the same cell is used.

        Args:
            block: A benchmark, read on one span.
            arm: One of its arms.
        """
        reading = self.reading(block, arm)
        if not reading.judges:
            return Untold("the table does not say which judge spoke", has_card=False)
        if len(reading.judges) > 1:
            names = ", ".join(f"`{name}`" for name in reading.judges)
            has_card = all(name in self.cards for name in reading.judges)
            return Untold(f"several judges ({names}) gave the verdicts of `{arm}`", has_card=has_card)
        (judge,) = reading.judges
        card = self.cards.get(judge)
        if card is None:
            return Untold(f"there is no card of `{judge}`", has_card=False)
        cell = self._cell(card, block, arm, thinks=reading.thinks)
        if cell is None:
            return Untold(f"the card of `{judge}` has no labels on {block.axis} ({block.span})", has_card=False)
        key = (judge, block.axis, block.span, cell.kind)
        if key not in self._lines:
            self._lines[key] = fit_line(judge, cell, resamples=self._resamples, seed=derive_seed(*key, self.seed))
        return self._lines[key]

    def _cell(self, card: JudgeCard, block: Block, arm: str, *, thinks: bool | None) -> CardCell | None:
        """Choose the cell that is nearest to the arm's outputs and has enough labels in both classes."""
        # An arm of some other study may have the same name: only a card of the user's own speaks of these arms.
        kinds = [] if self._shipped.get(card.judge) == card else [f"{ARM}{arm}"]
        kinds += [] if thinks is None else [THINKING if thinks else DIRECT]
        cells = [c for kind in (*kinds, ALL) if (c := card.cell(block.axis, block.span, kind)) is not None]
        found = next((c for c in cells if min(label_counts(c)) >= FEWEST_LABELS), cells[-1] if cells else None)
        # Where all labels are of one kind, arms of different kinds rest on the same labels, and so share their line.
        return cells[-1] if found is not None and found.counts == cells[-1].counts else found


def read_verdicts(trials: pl.DataFrame) -> dict[tuple[str, str, str, str], Reading]:
    """Say who gave each arm's verdicts, and whether the arm thinks.

    Args:
        trials: One row a trial and span.

    Returns:
        By axis, benchmark, span and arm. Judges are those of rows with a score, or of any row where none has one. An
        arm thinks if most of its rows whose thinking state is known have one other than `none`.
    """
    told = (
        pl.col("score").is_not_null().alias("scored"),
        (pl.col("thinking_state") != str(ThinkingState.NONE)).alias("thinks"),
    )
    # Equal rows are counted first: lists of who judged are then made of a few, and not of millions.
    kinds = trials.lazy().group_by(*_KEY, "judge", "judge_fingerprint", *told).agg(pl.len().alias("n")).collect()
    scored, n = pl.col("scored"), pl.col("n")
    grouped = kinds.group_by(*_KEY).agg(
        pl.col("judge").filter(scored).drop_nulls().unique().sort().alias("judges"),
        pl.col("judge").drop_nulls().unique().sort().alias("any"),
        (pl.col("judge").is_null() & scored).any().alias("untold"),
        pl.col("judge_fingerprint").drop_nulls().unique().sort().alias("fingerprints"),
        (n.filter(pl.col("thinks")).sum() / n.filter(pl.col("thinks").is_not_null()).sum()).alias("thinking"),
    )
    return {
        tuple(row[name] for name in _KEY): Reading(
            judges=() if row["untold"] else tuple(row["judges"] or row["any"]),
            fingerprints=tuple(row["fingerprints"]),
            thinks=None if math.isnan(row["thinking"]) else row["thinking"] > _HALF,
        )
        for row in grouped.iter_rows(named=True)
    }


def correct_share(line: Line, share: float, trials: float, *, seed: int) -> CorrectedShare:
    """Correct one rate.

    Args:
        line: The line of the judge that gave it.
        share: The judged rate.
        trials: Effective number of trials behind it.
        seed: Of the draws of the rate.

    Returns:
        The rate clipped to [0, 1], with percentiles over draws of the rate and of the line. Where it is clipped, the
        interval holds Wilson's of the judged rate too: the judge may err less here than on its card, and a clipped
        interval alone would have next to no width and claim certainty.
    """
    if math.isnan(share):
        return CorrectedShare(math.nan, UNKNOWN)
    unclipped = line.true_share(share)
    value = min(max(unclipped, 0.0), 1.0)
    if not trials > 0:
        return CorrectedShare(value, UNKNOWN)
    shares = np.random.default_rng(seed).beta(share * trials + 0.5, (1 - share) * trials + 0.5, size=len(line.slopes))
    low, high = (float(end) for end in np.quantile(line.true_shares(shares), _TAILS))
    clipped = Interval(min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0))
    if value != unclipped:
        raw = wilson(share, trials)
        clipped = Interval(min(clipped.low, raw.low), max(clipped.high, raw.high))
    return CorrectedShare(value, clipped, fits=low < 1 and high > 0)


def correct_change(change: Estimate, before: Estimate, *, of_arm: Line, of_base: Line) -> Estimate:
    """Correct one arm's change on one benchmark.

    Args:
        change: Of judged scores, over the paired items.
        before: The baseline's judged score over the same items, from the same resamples.
        of_arm: The line behind the arm's verdicts.
        of_base: The line behind the baseline's; the same object where both share a cell, and so its draws.

    Returns:
        (p_arm - a_arm) / b_arm - (p_base - a_base) / b_base, in [-1, 1]; neither term is clipped (see the module).
    """
    value = of_arm.true_share(before.value + change.value) - of_base.true_share(before.value)
    cloud = of_arm.true_shares(before.cloud + change.cloud) - of_base.true_shares(before.cloud)
    if of_arm is of_base:  # the baseline's rate cancels, and rounding must not tell two equal arms apart
        value, cloud = change.value / of_arm.slope, change.cloud / steep(of_arm.slopes)
    cloud = np.clip(cloud, -1.0, 1.0)
    variance = float(np.nanvar(cloud)) if np.isfinite(cloud).any() else math.nan
    return Estimate(min(max(value, -1.0), 1.0), cloud, variance, change.n_clusters, change.strata)


def change_basis(of_arm: Line, of_base: Line, *, arm: str, baseline: str) -> str:
    """Say what the correction of a change on one benchmark rests on.

    Args:
        of_arm: The arm's line.
        of_base: The baseline's.
        arm: Its name.
        baseline: Its name.

    Returns:
        A clause without a full stop.
    """
    if of_arm is of_base:
        return (
            f"card of `{of_arm.judge}`, {_cell_words(of_arm)} for both arms; this cannot remove an error that differs "
            "between the arms (see the tipping point)"
        )
    second = "" if of_arm.judge == of_base.judge else f"card of `{of_base.judge}`, "
    return (
        f"card of `{of_arm.judge}`, {_cell_words(of_arm)} for `{arm}`; {second}{_cell_words(of_base)} for `{baseline}`"
    )


def one_basis(bases: Mapping[str, str]) -> str:
    """Put the bases of several benchmarks into one sentence.

    Args:
        bases: Clause by benchmark.
    """
    benchmarks: dict[str, list[str]] = defaultdict(list)
    for benchmark, clause in bases.items():
        benchmarks[clause].append(benchmark)
    if len(benchmarks) == 1:
        (text,) = benchmarks
    else:
        text = "; ".join(f"on {', '.join(names)}: {clause}" for clause, names in benchmarks.items())
    return f"{text[:1].upper()}{text[1:]}."


def no_correction(reasons: Sequence[Untold]) -> Corrected:
    """Say why there is no correction: the first reason, over the benchmarks of an effect.

    Args:
        reasons: At least one.
    """
    reason = reasons[0].reason
    sentence = f"{reason[:1].upper()}{reason[1:]}."
    return Corrected(math.nan, UNKNOWN, sentence, has_card=all(r.has_card for r in reasons))


def _misfit(line: Line, share: float, key: tuple[str, ...]) -> str:
    axis, benchmark, span, arm = key
    # A fitted line may run a little past what a rate can be.
    low, high = (100 * min(max(end, 0.0), 1.0) for end in (line.intercept, line.intercept + line.slope))
    return (
        f"`{line.judge}` gives `{arm}` {100 * share:.1f}% on {axis} ({benchmark}, {span}), and the errors on its card "
        f"allow {low:.1f}% to {high:.1f}%: it errs otherwise on these texts, and corrections there may be off."
    )


def _cell_words(line: Line) -> str:
    left = f", {line.n_open} more that were left open are not used" if line.n_open else ""
    return f"cell `{line.kind}` ({line.n} labels{left})"
