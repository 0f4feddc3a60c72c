"""How far a judge agrees with labels: shares, Cohen's kappa, and whether its errors differ between arms.

Everything is worked out from the counts of a judge card. Labelled texts are taken as independent of each other: several
models' answers to one request count as several texts.

A text is *bad* where its outcome scores below one half on its axis and *good* above. A partial refusal scores one half
and counts as the refusal that it is: good on harm, bad on overrefusal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.stats import hypergeom

from oldham.core.outcomes import MISSING, side
from oldham.coupling.results import Interval
from oldham.coupling.shares import UNKNOWN, wilson
from oldham.coupling.significance import holm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from oldham.core.outcomes import Outcome
    from oldham.judges.cards import CardCell

FEW_LABELS: Final = 30
"""Below this many labels a share is marked: its 95% interval is about as wide as 35 points."""
FEWEST_NAMED: Final = 10
"""An arm with fewer labels of a class is never named as one in which the judge errs differently."""
_RESAMPLES: Final = 10_000
_SEED: Final = 0
_ROUNDING: Final = 1e-9
_LEVEL: Final = 0.05


class Share(NamedTuple):
    """A share of texts."""

    value: float
    """In [0, 1]; NaN of no texts."""
    interval: Interval
    """Wilson's."""
    n: int
    """Texts that it is a share of."""

    @property
    def is_few(self) -> bool:
        """Whether it rests on fewer than `FEW_LABELS` texts."""
        return self.n < FEW_LABELS


class Kappa(NamedTuple):
    """Cohen's kappa (Cohen 1960): agreement beyond what the two raters' shares of each label give by chance."""

    value: float
    """In [-1, 1], 1 for full agreement; NaN where both raters know one and the same label only."""
    interval: Interval
    """Wilson's interval of the agreement, with as many trials as make its variance that of kappa, on kappa's scale."""
    se: float
    """Large-sample standard error (Fleiss, Cohen and Everitt 1969)."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge against labels on one part of the texts; texts that it left open are counted, and agree with nothing."""

    n: int
    """Labelled texts."""
    n_open: int
    """Texts among them that the judge left open: `unfinished`, `unjudged`, or without a score."""
    n_failed: int
    """Texts among them where the judge's own output could not be read."""
    two_way: Share
    """Decided texts on the right side of good and bad."""
    same_label: Share
    """Decided texts with exactly the label's outcome; three-way where labels are refused, partial and complied."""
    kappa_two_way: Kappa
    kappa_same_label: Kappa
    sensitivity: Share
    """Truly bad texts that it calls bad, of those it decided."""
    specificity: Share
    """Truly good texts that it calls good, of those it decided."""


def agreement(cell: CardCell) -> Agreement:
    """Say how far a judge agrees with the labels of a card's cell.

    Args:
        cell: Counts by label, then by the judge's outcome.
    """
    sides = {"good": {"good": 0, "bad": 0}, "bad": {"good": 0, "bad": 0}}
    exact: dict[tuple[Outcome, Outcome], int] = {}
    n_open = 0
    for truth, row in cell.counts.items():
        for said, count in row.items():
            is_side, said_side = side(cell.axis, truth), side(cell.axis, said)
            n_open += count * (said_side is None)
            if is_side and said_side:
                sides[is_side][said_side] += count
            if said not in MISSING:
                exact[truth, said] = exact.get((truth, said), 0) + count
    outcomes = sorted({o for pair in exact for o in pair})
    size = len(outcomes)
    table = np.array([exact.get((t, s), 0) for t in outcomes for s in outcomes], dtype=np.int64).reshape(size, size)
    two_way = np.array([[sides[t][s] for s in ("good", "bad")] for t in ("good", "bad")])
    return Agreement(
        n=cell.n,
        n_open=n_open,
        n_failed=cell.failed,
        two_way=share(int(two_way.trace()), int(two_way.sum())),
        same_label=share(int(table.trace()), int(table.sum())),
        kappa_two_way=cohen_kappa(two_way),
        kappa_same_label=cohen_kappa(table),
        sensitivity=share(int(two_way[1, 1]), int(two_way[1].sum())),
        specificity=share(int(two_way[0, 0]), int(two_way[0].sum())),
    )


def share(hits: int, n: int) -> Share:
    """Return a share with Wilson's interval.

    Args:
        hits: Texts that count.
        n: Texts in all; 0 gives NaN.
    """
    value = hits / n if n else math.nan
    return Share(value, wilson(value, n), n)


def cohen_kappa(table: NDArray[np.int64]) -> Kappa:
    """Return Cohen's kappa of two raters.

    Args:
        table: Shape (labels, labels): texts by the first rater's label, then by the second's.

    Returns:
        The kappa and its interval. With agreement of all or of none the standard error is 0, and the interval follows
        from the number of texts alone.
    """
    n = int(table.sum())
    if not n:
        return Kappa(math.nan, UNKNOWN, math.nan)
    p = table / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, chance = float(p.trace()), float(rows @ columns)
    if chance > 1 - _ROUNDING:
        return Kappa(math.nan, UNKNOWN, math.nan)
    kappa = (observed - chance) / (1 - chance)
    # Fleiss, Cohen and Everitt 1969, eq. 13: cells on the diagonal, cells off it, and the square of their mean.
    across = columns[:, None] + rows[None, :]
    diagonal = float((p.diagonal() * (1 - (rows + columns) * (1 - kappa)) ** 2).sum())
    aside = float(((p - np.diag(p.diagonal())) * across**2).sum()) * (1 - kappa) ** 2
    variance = (diagonal + aside - (kappa - chance * (1 - kappa)) ** 2) / (n * (1 - chance) ** 2)
    se = math.sqrt(max(0.0, variance))
    trials = observed * (1 - observed) / (se * (1 - chance)) ** 2 if se > _ROUNDING and 0 < observed < 1 else n
    low, high = wilson(observed, trials)
    return Kappa(kappa, Interval((low - chance) / (1 - chance), (high - chance) / (1 - chance)), se)


def labels_to_halve(of: Share) -> int | None:
    """Return how many labels would make an interval half as wide, if the share stayed as it is.

    Args:
        of: A share.

    Returns:
        The number of all labels, those at hand among them; None where there are none yet.
    """
    if not of.n:
        return None

    def width(n: int) -> float:
        low, high = wilson(of.value, n)
        return high - low

    wanted = width(of.n) / 2
    few, many = of.n, of.n
    while width(many) > wanted:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if width(middle) <= wanted else (middle, many)
    return many


class Group(NamedTuple):
    """A judge's errors in one arm, or on one kind of output."""

    name: str
    sensitivity: Share
    specificity: Share


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether a judge's errors differ between arms: what differs there looks like an effect of the arm."""

    groups: tuple[Group, ...]
    p_sensitivity: float
    """Permutation test that truly bad texts are found alike everywhere; NaN where fewer than two groups have any."""
    p_specificity: float
    """The same for truly good texts."""
    finding: str
    """One sentence that claims no more than the labels allow."""


def drift(cells: Mapping[str, CardCell]) -> Drift | None:
    """Test whether a judge errs alike in several arms, or on several kinds of output.

    Args:
        cells: A card's cells of one axis and span, by the name of their arm or kind; together they are all the texts.

    Returns:
        The groups, both tests and a sentence, at 5%; None for fewer than two groups. The sentence says that the errors
        differ by the tests over all groups (adjusted for the two, Holm 1979). It names two groups only where these two
        differ by themselves, adjusted over all pairs, and have `FEWEST_NAMED` labels each.
    """
    if len(cells) < 2:
        return None
    found = {name: agreement(cell) for name, cell in cells.items()}
    groups = tuple(Group(name, a.sensitivity, a.specificity) for name, a in found.items())
    bad = homogeneity([_hits(group.sensitivity) for group in groups])
    good = homogeneity([_hits(group.specificity) for group in groups])
    return Drift(groups, bad, good, _finding(groups, holm([bad, good])))


def homogeneity(groups: Sequence[tuple[int, int]]) -> float:
    """Test whether a share is the same in all groups.

    The statistic is Pearson's chi-square; its distribution is that of the table with all margins held (exact with two
    groups, else by 10,000 draws from it with a fixed seed), so small groups do no harm.

    Args:
        groups: Hits and trials of each.

    Returns:
        The p-value; NaN where fewer than two groups have trials.
    """
    tried = np.array([(hits, n) for hits, n in groups if n], dtype=np.int64).reshape(-1, 2)
    if len(tried) < 2:
        return math.nan
    hits, sizes = tried[:, 0], tried[:, 1]
    total, n = int(hits.sum()), int(sizes.sum())
    if total in (0, n):
        return 1.0
    expected = sizes * total / n

    def statistic(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        # The table's other column moves by as much, so that one column is enough up to a constant.
        found: NDArray[np.float64] = ((counts - expected) ** 2 / expected).sum(axis=-1)
        return found

    observed = statistic(hits) * (1 - _ROUNDING)
    if len(tried) == 2:
        first = np.arange(max(0, total - sizes[1]), min(total, sizes[0]) + 1)
        chances = hypergeom.pmf(first, n, total, sizes[0])
        return min(1.0, float(chances[statistic(np.stack([first, total - first], axis=1)) >= observed].sum()))
    drawn = np.random.default_rng(_SEED).multivariate_hypergeometric(sizes, total, size=_RESAMPLES)
    return float((1 + (statistic(drawn) >= observed).sum()) / (1 + _RESAMPLES))


def _hits(of: Share) -> tuple[int, int]:
    return (round(of.value * of.n) if of.n else 0), of.n


def _finding(groups: Sequence[Group], adjusted: Sequence[float]) -> str:
    if all(math.isnan(p) for p in adjusted):
        return "Whether the judge errs alike everywhere cannot be told: only one arm has labels of either kind."
    kinds = {
        "bad": {g.name: g.sensitivity for g in groups if g.sensitivity.n},
        "good": {g.name: g.specificity for g in groups if g.specificity.n},
    }
    pairs = _pairs(kinds)
    parts = [
        _difference(kind, shares, {(a, b): q for (of, a, b), q in pairs.items() if of == kind}, p)
        for p, (kind, shares) in zip(adjusted, kinds.items(), strict=True)
        if p < _LEVEL
    ]
    if parts:
        return f"The judge errs differently: {', and '.join(parts)}."
    counts = {kind: sum(of.n for of in shares.values()) for kind, shares in kinds.items()}
    tested = [f"{counts[kind]:,} truly {kind}" for kind, p in zip(counts, adjusted, strict=True) if not math.isnan(p)]
    *first, last = [group.name for group in groups]
    return f"The judge errs alike in {', '.join(first)} and {last} as far as {' and '.join(tested)} texts can tell."


def _pairs(kinds: Mapping[str, Mapping[str, Share]]) -> dict[tuple[str, str, str], float]:
    """Test every two arms against each other.

    Returns:
        p-values (exact, margins held) by kind and pair, adjusted over all pairs of both kinds (Holm 1979).
    """
    tested = {
        (kind, a, b): homogeneity([_hits(shares[a]), _hits(shares[b])])
        for kind, shares in kinds.items()
        for a, b in combinations(shares, 2)
    }
    return dict(zip(tested, holm(list(tested.values())), strict=True))


def _difference(kind: str, shares: Mapping[str, Share], pairs: Mapping[tuple[str, str], float], overall: float) -> str:
    """Name the two arms that are furthest apart, of those that differ by themselves and have enough labels."""

    def gap(pair: tuple[str, str]) -> float:
        return abs(shares[pair[0]].value - shares[pair[1]].value)

    apart = [pair for pair, p in pairs.items() if p < _LEVEL and min(shares[a].n for a in pair) >= FEWEST_NAMED]
    if not apart:
        return (
            f"how many truly {kind} texts it finds differs between arms (adjusted {_p_words(overall)}), but no two "
            f"with {FEWEST_NAMED} such labels or more can be told apart"
        )
    furthest = max(apart, key=gap)
    low, high = sorted(furthest, key=lambda name: shares[name].value)
    most, least = shares[high], shares[low]
    return (
        f"it finds {100 * most.value:.0f}% of {most.n:,} truly {kind} texts in {high} and {100 * least.value:.0f}% of "
        f"{least.n:,} in {low} (adjusted {_p_words(pairs[furthest])})"
    )


def _p_words(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
