"""Whole studies that are read round by round, many at once: single yes-or-no draws of independent items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from oldham.coupling.bootstrap import Estimate, widen_if_rare
from oldham.coupling.sequential import log_growth
from oldham.coupling.stopping import StopRule
from oldham.studies.rounds import Rounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
CHUNK = 100


def draw(gain: float, loss: float, sizes: list[int], studies: int, seed: int) -> NDArray[np.int64]:
    """Count gains, items that stay, and losses by each reading; shape (studies, readings, 3)."""
    rng = np.random.default_rng(seed)
    steps = np.diff([0, *sizes])
    rounds = [rng.multinomial(step, [gain, 1 - gain - loss, loss], size=studies) for step in steps]
    return np.cumsum(np.stack(rounds, axis=1), axis=1)


def evidence(counts: NDArray[np.int64], limit: float) -> NDArray[np.float64]:
    """Logarithm of the capital of a bet on a mean above a limit, from counts of +1, 0 and -1 in the last axis."""
    growth = np.stack([log_growth(v, 1.0, 1, np.array([limit]))[:, 0] for v in (1.0, 0.0, -1.0)])
    if counts.ndim == 1:
        return logsumexp(counts @ growth) - np.log(growth.shape[1])
    # All bets of all readings of all studies at once would fill the memory.
    parts = [logsumexp(counts[at : at + CHUNK] @ growth, axis=-1) for at in range(0, len(counts), CHUNK)]
    return np.concatenate(parts) - np.log(growth.shape[1])


def against(counts: NDArray[np.int64], limit: float) -> NDArray[np.float64]:
    """The same for a mean below it."""
    return evidence(counts[..., ::-1], -limit)


def fixed_interval(counts: NDArray[np.int64], level: float, rng: np.random.Generator) -> tuple[float, float]:
    """The interval of a study that is read once, as the analysis makes it."""
    n = int(counts.sum())
    value = (counts[0] - counts[2]) / n
    drawn = rng.multinomial(n, counts / n, size=RESAMPLES)
    variance = (counts[0] + counts[2] - n * value**2) / n / (n - 1)
    changes = np.repeat([1.0, 0.0, -1.0], counts)
    made = Estimate(value, (drawn[:, 0] - drawn[:, 2]) / n, variance, n)
    low, high = widen_if_rare(made, changes, seed=n).interval(level)
    return low, high


def fixed_power(gain: float, loss: float, limit: float, n: int, studies: int = 2000) -> float:
    """Share of studies of n items, read once by the gate's rule, in which a claim passes."""
    counts = draw(gain, loss, [n], studies, seed=n)[:, 0]
    rng = np.random.default_rng(n + 1)
    return float(np.mean([fixed_interval(c, 0.95, rng)[0] > limit for c in counts]))


class Outcome(NamedTuple):
    """What became of simulated studies; each of shape (studies,)."""

    passed: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    items: NDArray[np.int64]


@dataclass(frozen=True)
class Design:
    """A study of one claim that is read in rounds."""

    limit: float
    items: int
    rule: StopRule = StopRule()

    @property
    def sizes(self) -> list[int]:
        return [look.items for look in Rounds(umpire=None).looks(self.items)]  # type: ignore[arg-type]

    def chances(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The chance to pass at the end, as `oldham.coupling.stopping.chance_to_pass` has it."""
        n = counts.sum(axis=-1)
        value = (counts[..., 0] - counts[..., 2]) / n
        now = (counts[..., 0] + counts[..., 2] - n * value**2) / n / (n - 1) + 1 / n**2
        then = now * n / self.items
        needed = self.limit + norm.ppf(1 - self.rule.end) * np.sqrt(then)
        return norm.cdf((value - needed) / np.sqrt(np.maximum(now - then, 1e-15)))

    def carry_out(self, gain: float, loss: float, studies: int = 2000, seed: int = 1) -> Outcome:
        """Run studies to their ends."""
        counts = draw(gain, loss, self.sizes, studies, seed)
        sizes = np.array(self.sizes)
        bar = np.log(1 / self.rule.early)
        passed, failed = evidence(counts, self.limit) >= bar, against(counts, self.limit) >= bar
        given_up = (self.chances(counts) < self.rule.hopeless) & (sizes >= self.rule.hopeless_from * self.items)
        ends = passed | failed | given_up
        rng = np.random.default_rng(seed + 1)
        at_end = ~ends[:, :-1].any(axis=1) & (self.rule.end > 1e-6)
        for study in np.flatnonzero(at_end):
            low, high = fixed_interval(counts[study, -1], 1 - 2 * self.rule.end, rng)
            passed[study, -1] |= low > self.limit
            failed[study, -1] |= high <= self.limit and not passed[study, -1]
        ends[:, -1] = True
        at, row = ends.argmax(axis=1), np.arange(studies)
        return Outcome(passed[row, at], failed[row, at] & ~passed[row, at], sizes[at])
