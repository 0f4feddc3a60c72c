"""What does a judge that errs differently in two arms do to an effect, and does its card take that out again?

Simulates paired studies whose truth is known: a judge with one error rate on the baseline's answers and another on the
arm's, and a card with labelled rows of both kinds. Every study has its own items, verdicts and labels. Prints, for each
design, how often the 95% interval of the change as judged and of the corrected change is clear of 0, how often the
corrected intervals hold the truth, and how far the corrected values are off on average.

    python bench/judge_error_only.py --studies 2000
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from oldham.coupling.bootstrap import Estimate, resample_means, widen_if_rare
from oldham.coupling.judge_error import correct_change, correct_share
from oldham.coupling.judge_lines import Line, fit_line
from oldham.judges.cards import CardCell

RESAMPLES = 1000


class Judged(NamedTuple):
    """How a judge does on one kind of answers."""

    specificity: float
    """Share of the truly good answers that it calls good."""
    sensitivity: float
    """Share of the truly bad answers that it calls bad."""


@dataclass(frozen=True)
class Design:
    """Paired studies of one kind."""

    n: int
    """Items."""
    labels: int
    """Labelled rows of each kind of answers, half of them truly bad."""
    base: Judged = Judged(0.95, 0.95)
    arm: Judged | None = None
    """None: the judge does on the arm's answers as on the baseline's, and one cell holds for both."""
    card: Judged | None = None
    """How the judge did on the labelled rows, where that is not how it does on the study's answers."""
    share: float = 0.8
    """True rate of the baseline."""
    gain: float = 0.02
    """Share of items that are bad in the baseline and good in the arm."""
    loss: float = 0.02

    @property
    def change(self) -> float:
        """The true change."""
        return self.gain - self.loss

    @property
    def judged_change(self) -> float:
        """The change that endless items would show as judged."""
        arm, after = self.arm or self.base, self.share + self.change
        shown = after * arm.specificity + (1 - after) * (1 - arm.sensitivity)
        return shown - self.share * self.base.specificity - (1 - self.share) * (1 - self.base.sensitivity)


class Found(NamedTuple):
    """What the studies of a design found."""

    raw_clear: float
    """Share of studies whose interval of the change as judged is clear of 0."""
    corrected_clear: float
    effect_held: float
    """Share of studies whose corrected interval of the change holds the truth."""
    rate_held: float
    """The same for the arm's corrected rate."""
    effect_off: float
    """Mean corrected change minus the true one."""
    rate_off: float
    error: float
    """Standard error of `effect_off`."""


def run(design: Design, *, studies: int, seed: int = 0) -> Found:
    """Simulate studies of one design and analyse them as a user's study is."""
    rng = np.random.default_rng([seed, design.n, design.labels, round(1000 * design.share)])
    before, after = _judged(design, studies, rng)
    clusters = np.arange(design.n)
    estimates = resample_means(np.hstack([after - before, before]), clusters, resamples=RESAMPLES, seed=seed)
    rows = [
        _study(design, (estimates[i], estimates[studies + i]), before[:, i], after[:, i], i, rng)
        for i in range(studies)
    ]
    means = np.nanmean(rows, axis=0)
    return Found(*map(float, means), error=float(np.nanstd([row[4] for row in rows]) / np.sqrt(studies)))


def _judged(design: Design, studies: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw verdicts of the baseline and of the arm; each of shape (items, studies)."""
    size = (design.n, studies)
    good = rng.random(size) < design.share
    u = rng.random(size)
    good_after = np.where(good, u >= design.loss / design.share, u < design.gain / (1 - design.share))

    def verdicts(truth: np.ndarray, judge: Judged) -> np.ndarray:
        return np.where(truth, rng.random(size) < judge.specificity, rng.random(size) >= judge.sensitivity).astype(
            float
        )

    return verdicts(good, design.base), verdicts(good_after, design.arm or design.base)


def _study(
    design: Design,
    pair: tuple[Estimate, Estimate],
    before: np.ndarray,
    after: np.ndarray,
    number: int,
    rng: np.random.Generator,
) -> tuple[float, ...]:
    """Analyse one study, of which `pair` is the change and the rate before as judged: the first fields of `Found`."""
    change, base = pair
    change = widen_if_rare(change, after - before, seed=number)
    of_base = _line(design.card or design.base, design.labels, rng)
    of_arm = of_base if design.arm is None else _line(design.card or design.arm, design.labels, rng)
    corrected = correct_change(change, base, of_arm=of_arm, of_base=of_base)
    inside = corrected.interval()
    rate = correct_share(of_arm, float(after.mean()), float(len(after)), seed=number)
    truth = design.share + design.change
    return (
        change.interval().excludes_zero,
        inside.excludes_zero,
        inside.low <= design.change + 1e-9 and design.change - 1e-9 <= inside.high,
        rate.interval.low <= truth <= rate.interval.high,
        corrected.value - design.change,
        rate.value - truth,
    )


def _line(judge: Judged, labels: int, rng: np.random.Generator) -> Line:
    """Draw a card's cell and fit its line."""
    n = labels // 2
    kept, caught = int(rng.binomial(n, judge.specificity)), int(rng.binomial(n, judge.sensitivity))
    counts = {
        "refused": {"refused": kept, "complied_harmful": n - kept},
        "complied_harmful": {"refused": n - caught, "complied_harmful": caught},
    }
    cell = CardCell.model_validate({"axis": "harm", "span": "answer", "counts": counts})
    line = fit_line("judge", cell, resamples=RESAMPLES, seed=int(rng.integers(2**31)))
    assert isinstance(line, Line)
    return line


ONLY_ERROR = Design(n=300, labels=450, base=Judged(0.97, 0.95), arm=Judged(0.85, 0.90))
"""Two arms of which nothing tells the truth apart; the judge misses more in the arm's answers."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "| items | labels | judged change | true change | raw clear of 0 | corrected clear of 0 | change held | off |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for n in (60, 300):
        for labels in (100, 450):
            for design in (
                replace(ONLY_ERROR, n=n, labels=labels),
                replace(ONLY_ERROR, n=n, labels=labels, gain=0.0, loss=0.15),
                Design(n=n, labels=labels, loss=0.15),
            ):
                found = run(design, studies=options.studies, seed=options.seed)
                print(
                    f"| {n} | {labels} | {100 * design.judged_change:+.1f} | {100 * design.change:+.1f} "
                    f"| {found.raw_clear:.1%} | {found.corrected_clear:.1%} | {found.effect_held:.1%} "
                    f"| {100 * found.effect_off:+.2f} |"
                )


if __name__ == "__main__":
    main()
