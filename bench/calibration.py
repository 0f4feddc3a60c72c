"""Do the intervals hold the truth as often as they say, and what is claimed where nothing happened?

    python bench/calibration.py      # some minutes on one core

The studies are those of tests/statistical, which pass or fail; here the numbers are shown.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "statistical"))

from null_studies import claims, most, parts
from simulated_changes import simulate_changes
from test_coefficient_recovered import SCENES, studies_of
from test_null_studies import KINDS, NULL

from oldham.coupling.shares import wilson

STUDIES = 1000
NULL_STUDIES = 250
DESIGNS = ((60, 1, 1), (60, 1, 4), (60, 5, 1), (300, 1, 1), (300, 1, 4), (300, 5, 1))
"""Items, items a cluster, and draws."""
FLIPS = ((0.10, 0.10), (0.05, 0.30), (0.02, 0.10))
"""Shares that gain and lose."""


def share(hits: float, n: int) -> str:
    """Write a share of studies in percent with its Wilson interval."""
    low, high = wilson(hits / n, n)
    return f"{100 * hits / n:5.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def changes() -> None:
    """Print how often the interval of a paired change holds the truth."""
    print(f"A paired change: 95% intervals that hold the truth, {STUDIES} studies each")
    print("  items  a cluster  draws" + "".join(f"{f'gain {g:.0%}, loss {x:.0%}':>24}" for g, x in FLIPS))
    for n, cluster, draws in DESIGNS:
        cells = []
        for gain, loss in FLIPS:
            studies = simulate_changes(n, cluster, draws, gain, loss, STUDIES)
            ends = np.array([e.interval() for e in studies.changes()])
            held = (ends[:, 0] <= studies.truth + 1e-9) & (studies.truth - 1e-9 <= ends[:, 1])
            cells.append(share(held.sum(), STUDIES))
        print(f"  {n:5d}  {cluster:9d}  {draws:5d}" + "".join(f"{cell:>24}" for cell in cells))


def coefficients() -> None:
    """Print how well the coupling coefficient is recovered."""
    print("\nThe coupling coefficient, 300 items an axis, arms that share a baseline")
    print("  true kappa  arms  studies  mean estimate  interval holds it      one kappa doubted")
    for kappa, gains in SCENES:
        found = studies_of(kappa, gains)
        n = len(found.kappas)
        held, doubted = share(found.held * n, n), share(found.doubted.sum(), n)
        print(f"  {kappa:10.1f}  {len(gains):4d}  {n:7d}  {found.kappas.mean():13.3f}  {held}  {doubted}")


def nothing() -> None:
    """Print what is claimed of arms that did nothing."""
    print(f"\nArms that did nothing, {NULL_STUDIES} studies each: studies that claim something, by family")
    limit = most(NULL_STUDIES)
    for name, study in NULL.items():
        made: Counter[tuple[str, str]] = Counter()
        for seed in range(NULL_STUDIES):
            found = parts(*study(seed))
            assert found.gate is not None
            made.update(claims(found, found.gate))
        (kind, axis), n = made.most_common(1)[0] if made else (("none", ""), 0)
        where = f"{kind} {axis}".strip()
        print(f"  {name:17s}  most in one family {share(n, NULL_STUDIES)} ({where}); claims in {len(made)} families")
    largest = binom.ppf(0.5 ** (1 / len(KINDS)), NULL_STUDIES, 0.05)
    print(f"  The largest of {len(KINDS)} independent families of exactly 5% has {largest:.0f} in half of all cases;")
    print(f"  one family has more than {limit:.0f} once in a thousand.")


if __name__ == "__main__":
    changes()
    coefficients()
    nothing()
