"""Paired effects: how far an arm moved each axis, how sure that is, and what could have been seen at all."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from oldham.core.fingerprint import derive_seed
from oldham.coupling.findings import effect_finding
from oldham.coupling.power import detectable
from oldham.coupling.results import Effect
from oldham.coupling.shares import upper_if_none
from oldham.coupling.significance import benjamini_hochberg, holm, mcnemar, sign_flip
from oldham.coupling.tipping import tipping_point

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.options import CouplingOptions


class Tested(NamedTuple):
    """A p-value and the test it comes from."""

    p_value: float
    name: Literal["mcnemar", "sign-flip", "none"]


def run_test(contrast: Contrast, options: CouplingOptions) -> Tested:
    """Test "nothing changed" with the test that the design allows.

    Args:
        contrast: An arm against the baseline.
        options: Permutations and seed.

    Returns:
        Exact McNemar for single yes-or-no draws of independent items on one benchmark, sign flips by cluster otherwise;
        NaN and `none` without paired items.
    """
    if contrast.n_items == 0:
        return Tested(math.nan, "none")
    if contrast.discordant is not None:
        return Tested(mcnemar(*contrast.discordant), "mcnemar")
    seed = derive_seed("sign-flip", options.seed, contrast.axis, contrast.arm)
    return Tested(sign_flip(contrast.shifts, permutations=options.permutations, seed=seed), "sign-flip")


def smallest_detectable(contrast: Contrast) -> float:
    """Return the smallest |change| found with 80% power at the 5% level, from the spread of the clusters' changes.

    Args:
        contrast: An arm against the baseline.

    Returns:
        In [0, 1]. Where nothing changed there is no spread to go by, and the share of changes is taken at its upper
        bound, about 3/n. NaN with fewer than two clusters in a benchmark.
    """
    change = contrast.change
    if change.variance == 0 and change.degrees > 0:
        return detectable(upper_if_none(change.n_clusters) / change.n_clusters)
    return detectable(change.variance)


def build_effects(contrasts: Sequence[Contrast], *, baseline: str, options: CouplingOptions) -> list[Effect]:
    """Turn contrasts into effects.

    Args:
        contrasts: Every arm on every axis: p-values are adjusted over what is given.
        baseline: The arm compared with, for the sentences.
        options: Margin, permutations and seed.

    Returns:
        In the same order.
    """
    tests = [run_test(c, options) for c in contrasts]
    family: dict[str, list[int]] = defaultdict(list)
    for i, contrast in enumerate(contrasts):
        family[contrast.axis].append(i)
    p_holm = _within(family.values(), [t.p_value for t in tests])
    p_corrected = _within(family.values(), [c.corrected.p_value if c.corrected else math.nan for c in contrasts])
    effects = []
    for i, (c, q_bh) in enumerate(zip(contrasts, benjamini_hochberg([t.p_value for t in tests]), strict=True)):
        effect = Effect(
            arm=c.arm,
            axis=c.axis,
            benchmarks=c.benchmarks,
            delta=c.change.value,
            interval=c.change.interval(),
            p_value=tests[i].p_value,
            p_holm=p_holm[i],
            q_bh=q_bh,
            test=tests[i].name,
            smallest_detectable=smallest_detectable(c),
            n_items=c.n_items,
            n_clusters=c.change.n_clusters,
            n_missing=c.n_missing,
            finding="",
            corrected=c.corrected and replace(c.corrected, p_holm=p_corrected[i]),
            tipping=tipping_point(c.change.value, c.change.interval(), c.share),
            judges=c.judges,
            bounds=c.bounds,
        )
        # Two one-sided 5% tests of equivalence pass exactly when the 90% interval lies within the margin.
        inner = c.change.interval(0.90)
        equivalent = -options.margin < inner.low and inner.high < options.margin
        finding = effect_finding(effect, baseline=baseline, equivalent_within=options.margin if equivalent else None)
        effects.append(replace(effect, finding=finding))
    return effects


def _within(families: Iterable[list[int]], p_values: Sequence[float]) -> list[float]:
    """Adjust p-values within each family."""
    adjusted = list(p_values)
    for members in families:
        for i, p in zip(members, holm([p_values[i] for i in members]), strict=True):
            adjusted[i] = p
    return adjusted
