"""What stopping early saves, and what it costs: `python bench/sequential.py` (some minutes on one core).

**The fixed design** asks n items once and reads them with the gate's rule (95% interval); n gives it 80% power at the
change that the study is planned for: a gain of 5 points to be shown better, or no loss to be shown at most 5 points
worse. **The sequential design** may ask up to N items, where N gives it the same power at the same change; it is asked
in rounds of 20 items or more. Neither knows the truth, which is then 0, 5, 10 or 20 points. Saved is 1 - items / n.

Beside it: the same against a fixed design that knew each truth and was sized for it; betting alone (no reading at the
end); and group-sequential z-tests with the alpha-spending function of Lan and DeMets (1983) that is like O'Brien and
Fleming's, with the same rule for giving up, which rest on the normal approximation at every look.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "statistical"))

from simulated_rounds import Design, Outcome, draw, fixed_power

from oldham.coupling.stopping import StopRule

STUDIES = 2000
POWER = 0.8
TRUTHS = (0.0, 0.05, 0.10, 0.20)
CLAIMS = {"better": (0.0, 0.05, 0.05, 1), "at most 5 worse": (-0.05, 0.0, 0.03, -1)}
"""Limit, the change planned for, the share of items that flip each way by themselves, and the sign of the truths."""


def shares(change: float, noise: float) -> tuple[float, float]:
    return noise + max(change, 0.0), noise + max(-change, 0.0)


def items_for(change: float, noise: float, limit: float) -> int:
    """Items that give the fixed design its power."""
    gain, loss = shares(change, noise)
    n = ((norm.ppf(0.975) + norm.ppf(POWER)) / (change - limit)) ** 2 * (gain + loss - change**2)
    for _ in range(4):  # the gate's rule is not quite the normal approximation
        power = fixed_power(gain, loss, limit, round(n), STUDIES)
        n *= ((norm.ppf(0.975) + norm.ppf(POWER)) / (norm.ppf(0.975) + norm.ppf(power))) ** 2
    return round(n)


class Spending(Design):
    """Group-sequential z-tests; the rule's chances are spent by looks and not by betting."""

    def carry_out(self, gain: float, loss: float, studies: int = STUDIES, seed: int = 1) -> Outcome:
        counts, sizes = draw(gain, loss, self.sizes, studies, seed), np.array(self.sizes)
        value = (counts[..., 0] - counts[..., 2]) / sizes
        spread = np.sqrt((counts[..., 0] + counts[..., 2] - sizes * value**2) / sizes / (sizes - 1) + 1 / sizes**2)
        z, bar = (value - self.limit) / spread, boundary(tuple(sizes / sizes[-1]), self.rule.early + self.rule.end)
        passed, failed = z >= bar, z <= -bar
        given_up = (self.chances(counts) < self.rule.hopeless) & (sizes >= self.rule.hopeless_from * self.items)
        ends = passed | failed | given_up
        ends[:, -1] = True
        at, row = ends.argmax(axis=1), np.arange(studies)
        return Outcome(passed[row, at], failed[row, at] & ~passed[row, at], sizes[at])


def boundary(times: tuple[float, ...], level: float, paths: int = 400_000) -> np.ndarray:
    """Bars for z that spend 2 - 2 Phi(z_{level/2} / sqrt(t)), by simulated Brownian motion."""
    rng = np.random.default_rng(0)
    spent = 2 - 2 * norm.cdf(norm.ppf(1 - level / 2) / np.sqrt(times))
    walk, alive, bars = np.zeros(paths), np.ones(paths, dtype=bool), []
    for step, time, budget in zip(np.diff((0.0, *times)), times, spent, strict=True):
        walk += np.sqrt(step) * rng.standard_normal(paths)
        z = walk / np.sqrt(time)
        left = round(budget * paths) - int((~alive).sum())
        bars.append(8.0 if left <= 0 else float(np.sort(z[alive])[-left]))
        alive &= z < bars[-1]
    return np.array(bars)


def matched(design: Design, n: int, gain: float, loss: float, power: float) -> Design:
    """Give a design the items that bring it to a power."""
    steps = [replace(design, items=round(share * n)) for share in np.arange(1.0, 3.0, 0.025)]
    low, high = 0, len(steps) - 1
    while low < high:  # power grows with the items
        middle = (low + high) // 2
        enough = steps[middle].carry_out(gain, loss, STUDIES, seed=3).passed.mean() >= power
        low, high = (low, middle) if enough else (middle + 1, high)
    return steps[low]


def told(name: str, design: Design, n: int, truths: list[tuple[float, int]], noise: float) -> None:
    medians = []
    for truth, of in truths:
        o = design.carry_out(*shares(truth, noise), STUDIES, seed=5)
        saved = 1 - o.items / of
        half = 1.96 * saved.std() / np.sqrt(STUDIES)
        low, middle, high = np.quantile(saved, (0.25, 0.5, 0.75))
        medians.append(saved.mean())
        print(
            f"  {name:<22} {100 * truth:+5.0f}  {o.passed.mean():6.1%} {o.failed.mean():6.1%}  "
            f"{design.items:>5} {of:>5} {o.items.mean():7.0f}   {saved.mean():+6.1%} (+-{half:.1%})  "
            f"{middle:+6.1%} [{low:+.1%}, {high:+.1%}]"
        )
    print(f"  {name:<22} median over the truths of the mean saved: {np.median(medians):+.1%}")


def main() -> None:
    head = "truth  passed failed      N     n   items   saved on average     saved, median and quartiles"
    for claim, (limit, planned, noise, sign) in CLAIMS.items():
        n = items_for(planned, noise, limit)
        power = fixed_power(*shares(planned, noise), limit, n, STUDIES)
        print(f"\n{claim}: planned for {100 * planned:+.0f} points; fixed design n = {n}, power {power:.1%}")
        print(f"  {'':<22} {head}")
        truths = [(sign * t, n) for t in TRUTHS]
        designs = {
            "Oldham": Design(limit, n),
            "never giving up": Design(limit, n, StopRule(hopeless=0.0)),
            "betting alone": Design(limit, n, StopRule(early=0.025, end=1e-9, hopeless=0.0)),
            "alpha spending": Spending(limit, n),
        }
        for name, design in designs.items():
            told(name, matched(design, n, *shares(planned, noise), power), n, truths, noise)
        for truth in [t for t in (sign * t for t in TRUTHS) if t > limit and t != planned]:
            own = items_for(truth, noise, limit)
            known = fixed_power(*shares(truth, noise), limit, own, STUDIES)
            design = matched(Design(limit, own), own, *shares(truth, noise), known)
            told("against n that knew it", design, own, [(truth, own)], noise)


if __name__ == "__main__":
    main()
