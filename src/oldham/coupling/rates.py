"""How often each arm does well, with what is missing kept in sight (estimators: rates)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from oldham.coupling.bootstrap import resample_means
from oldham.coupling.results import Rate
from oldham.coupling.shares import effective_trials, jeffreys, upper_if_none, wilson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.bootstrap import Estimate
    from oldham.coupling.judge_error import Corrections
    from oldham.coupling.pairing import Block

FEW_ITEMS: Final = 200
"""Below this many items a Bayesian interval stands beside the other (arXiv 2503.01747)."""


def build_rates(blocks: Sequence[Block], corrections: Corrections | None = None) -> list[Rate]:
    """Return the rate of every arm on every benchmark and span.

    Args:
        blocks: Aligned scores.
        corrections: What is known of the judges and their errors; None leaves both out.

    Returns:
        By block, then arm; an arm without a row in a block has no rate there.
    """
    return [
        rate_of(block, arm, corrections) for block in blocks for arm in block.arms if block.rows[block.arm(arm)].any()
    ]


def axis_rate(rates: Iterable[Rate], arm: str, axis: str) -> float:
    """Return an arm's score on an axis: the unweighted mean over its benchmarks, read on the answer.

    Args:
        rates: The analysis's rates.
        arm: The arm.
        axis: The axis.

    Returns:
        A share in [0, 1]; NaN when a benchmark has no data.
    """
    means = [r.mean for r in rates if (r.arm, r.axis, r.span) == (arm, axis, "answer")]
    return sum(means) / len(means) if means else math.nan


def rate_of(block: Block, arm: str, corrections: Corrections | None = None) -> Rate:
    """Return the rate of one arm on one benchmark and span.

    Args:
        block: Aligned scores.
        arm: One of its arms.
        corrections: What is known of the judges and their errors; None leaves both out.

    Returns:
        Wilson's interval for single yes-or-no draws of independent items, else Wilson's with the effective number of
        trials. NaN when nothing finished.
    """
    at = block.arm(arm)
    asked = block.rows[at] > 0
    means, rows, finished = block.means[at][asked], block.rows[at][asked], block.finished[at][asked]
    estimate, trials = judged_share(block, arm)
    n_items, mean = int((finished > 0).sum()), estimate.value
    scored = np.nansum(block.scores[at][asked], axis=1)
    flawless = n_items > 0 and bool((means[finished > 0] == 1).all())
    return Rate(
        arm=arm,
        axis=block.axis,
        benchmark=block.benchmark,
        span=block.span,
        mean=mean,
        interval=wilson(mean, trials),
        bayes=jeffreys(mean, trials) if 0 < n_items < FEW_ITEMS and not math.isnan(trials) else None,
        bound_low=float((scored / rows).mean()),
        bound_high=float(((scored + rows - finished) / rows).mean()),
        n_items=n_items,
        n_clusters=estimate.n_clusters,
        n_missing=int((rows - finished).sum()),
        n_observations=int(rows.sum()),
        upper_if_none=upper_if_none(estimate.n_clusters) if flawless else None,
        judges=corrections.reading(block, arm).judges if corrections else (),
        corrected=corrections.rate(block, arm) if corrections else None,
    )


class JudgedShare(NamedTuple):
    """A mean score as the judge gave it."""

    mean: Estimate
    """Without resamples."""
    trials: float
    """How many independent yes-or-no trials would be as informative; NaN where nobody can say."""


def judged_share(block: Block, arm: str) -> JudgedShare:
    """Return the mean score of one arm on one benchmark and span.

    Args:
        block: Aligned scores.
        arm: One of its arms.
    """
    at = block.arm(arm)
    asked = block.rows[at] > 0
    finished = block.finished[at][asked]
    (mean,) = resample_means(block.means[at][asked][:, None], block.clusters[asked], resamples=0, seed=0)
    if block.is_single_binary(arm):
        return JudgedShare(mean, float((finished > 0).sum()))
    trials = effective_trials(
        mean.value,
        mean.variance,
        n_clusters=mean.n_clusters,
        degrees=mean.degrees,
        most=float(finished.sum()),
    )
    return JudgedShare(mean, trials)
