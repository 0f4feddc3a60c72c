"""Every two arms of a run against each other, with items and then with kinds of request as clusters.

    oldham import $OLDHAM_DATA/traces/*.jsonl --out runs/self-jailbreak --baseline r1-qwen
    python studies/imported/pairwise.py runs/self-jailbreak safety_rubric

With items as clusters the account holds for new requests of the kinds that were asked; with the kinds as clusters it
would hold for new kinds too, and rests on as many numbers as there are kinds.
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from oldham.core.observations import read_observations
from oldham.coupling import CouplingOptions, couple
from oldham.coupling.layout import p_value
from oldham.coupling.significance import holm

if TYPE_CHECKING:
    from oldham.coupling import Coupling, Effect


def pair(rows: pl.DataFrame, first: str, second: str, judge: str) -> Coupling:
    """Compare two arms."""
    both = rows.filter(pl.col("arm").is_in([first, second]))
    return couple(both, baseline=first, options=CouplingOptions(judge=judge))


def told(effect: Effect) -> str:
    """Write a change in points with its interval."""
    low, high = effect.interval
    return f"{100 * effect.delta:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def main() -> None:
    """Print a line for each pair."""
    run, judge = sys.argv[1:]
    rows = read_observations(Path(run) / "observations.parquet").filter(pl.col("judge") == judge)
    pairs = list(combinations(rows["arm"].unique(maintain_order=True).to_list(), 2))
    by_item = [pair(rows, *arms, judge) for arms in pairs]
    by_kind = [pair(rows.with_columns(cluster=pl.col("category")), *arms, judge) for arms in pairs]
    adjusted = holm([c.effects[0].p_value for c in by_item])
    for (first, second), items, kinds, p in zip(pairs, by_item, by_kind, adjusted, strict=True):
        effect, flips, other = items.effects[0], items.flips[0], kinds.effects[0]
        print(
            f"{first} -> {second}: {told(effect)}, p {p_value(p)} "
            f"(Holm over {len(pairs)} pairs, {effect.n_items} items); "
            f"good became bad {100 * flips.risk:.1f}%, bad became good {100 * flips.defence:.1f}%; "
            f"by kind of request {told(other)}, p {p_value(other.p_value)} ({other.n_clusters} kinds)"
        )


if __name__ == "__main__":
    main()
