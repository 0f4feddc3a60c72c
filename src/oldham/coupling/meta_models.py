"""Couplings of several models as one: kappa and changes pooled, and what is said of them."""

from __future__ import annotations

import math
from collections import Counter
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from oldham.coupling.coefficient import EVERY_ARM
from oldham.coupling.findings import counted
from oldham.coupling.layout import bullets, p_value, ratio, table
from oldham.coupling.meta import FEW, Pooled, Study, pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from oldham.coupling.analysis import Coupling
    from oldham.coupling.results import Interval

_BAR: Final = 41
"""Characters of a forest's row of text."""
_ITEM: Final = ("axis", "benchmark", "item")


def study_of(name: str, value: float, interval: Interval) -> Study:
    """Make an estimate with a 95% interval one of several.

    Args:
        name: The model.
        value: Its estimate.
        interval: Of it; the standard error is half its length over 1.96.

    Returns:
        With an unknown variance where an end is unknown or infinite.
    """
    error = (interval.high - interval.low) / (2 * NormalDist().inv_cdf(0.975))
    return Study(name, value, error**2 if math.isfinite(error) and error > 0 else math.nan, interval)


def pool_kappa(couplings: Mapping[str, Coupling], axis: str, *, family: str = EVERY_ARM) -> Pooled:
    """Pool the coupling coefficient of a family over models.

    Args:
        couplings: By model.
        axis: The safety axis.
        family: Which arms; models without it are left out.

    Returns:
        A model whose kappa has no two ends (reasoning moved too little) is among the dropped.
    """
    found = {n: [c for c in each.coefficients if (c.axis, c.family) == (axis, family)] for n, each in couplings.items()}
    return pool([study_of(name, c.kappa, c.interval) for name, some in found.items() for c in some])


def shared_items(tables: Sequence[pl.DataFrame]) -> int:
    """Count the items that more than one of several tables has: as many as two are enough to share their luck.

    Args:
        tables: Observations, one table a model.
    """
    counts = Counter(item for frame in tables for item in frame.select(_ITEM).unique().iter_rows())
    return sum(n > 1 for n in counts.values())


def forest_rows(pooled: Pooled) -> list[str]:
    """Draw a forest as lines of text.

    Args:
        pooled: The models.

    Returns:
        A row a model, then all together; `│` is 0, `■` an estimate, and `─` its interval.
    """
    members = [(m.study, f"{m.weight:.0%}", ratio(m.shrunken)) for m in pooled.members]
    rows = [(s.name, s.value, s.interval, weight, shrunken) for s, weight, shrunken in members]
    rows.append(("pooled", pooled.value, pooled.interval, "", ""))
    rows.append(("another model", math.nan, pooled.prediction, "", ""))
    ends = [e for _, v, i, *_ in rows[:-1] for e in (v, *i) if math.isfinite(e)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    cells = [("model", "", "κ", "95% interval", "weight", "shrunken")]
    for name, value, interval, weight, shrunken in rows:
        if math.isnan(value) and math.isnan(interval.low):
            continue
        span = "unknown" if math.isnan(interval.low) else f"{ratio(interval.low)} to {ratio(interval.high)}"
        said = "" if math.isnan(value) else ratio(value)
        cells.append((name, _bar(value, interval, low, high), said, span, weight, shrunken))
    return table(cells)


def _bar(value: float, interval: Interval, low: float, high: float) -> str:
    def at(number: float) -> int:
        share = (number - low) / (high - low) if high > low else 0.5
        return round(min(max(share, 0.0), 1.0) * (_BAR - 1))

    marks = [" "] * _BAR
    marks[at(0.0)] = "│"
    if not math.isnan(interval.low):
        for i in range(at(interval.low), at(interval.high) + 1):
            marks[i] = "┼" if marks[i] == "│" else "─"
    if not math.isnan(value):
        marks[at(value)] = "■"
    return "".join(marks)


def pooled_sentences(pooled: Pooled, what: str) -> list[str]:
    """Say what several models show together.

    Args:
        pooled: The models.
        what: What is pooled, such as `κ of harm on reasoning`.
    """
    k = len(pooled.members)
    said = [_dropped(pooled)] if pooled.dropped else []
    if k < 2:
        alone = "no model" if k == 0 else f"{counted(k, 'model')} alone"
        return [f"{what} cannot be pooled: it has two ends in {alone}.", *said]
    span = f"95% interval {ratio(pooled.interval.low)} to {ratio(pooled.interval.high)}, {k} models"
    value = ratio(pooled.value)
    sure = f"{what} over models is {value} ({span})."
    unsure = f"No {what} clear of 0 over models: {value} ({span})."
    said.insert(0, sure if pooled.interval.excludes_zero else unsure)
    spread = f"Q {pooled.q:.1f}, p {p_value(pooled.q_p)}, I² {100 * pooled.i_squared:.0f}%, τ {ratio(pooled.tau2**0.5)}"
    said.append(f"The models {'differ' if pooled.q_p < 0.05 else 'do not detectably differ'} ({spread} by REML).")
    if not math.isnan(pooled.prediction.low):
        ends = f"{ratio(pooled.prediction.low)} and {ratio(pooled.prediction.high)}"
        said.append(f"Another model of their kind would lie between {ends} (95% prediction interval).")
    said += [f"Without `{x.name}`: {ratio(x.value)} ({_span(x.interval)})." for x in pooled.left_out]
    return [*said, *_few(pooled)]


def _few(pooled: Pooled) -> list[str]:
    k = len(pooled.members)
    notes = []
    if k < FEW:
        notes.append(
            f"{k} models are very few: how far models differ is next to unknown, the test of it finds only large "
            "differences, and the interval says nothing of models unlike these."
        )
    if _length(pooled.interval) < _length(pooled.normal_interval):
        notes.append(
            "The models agree more than their own errors would have them, which with few models is chance: trust the "
            f"longer interval {_span(pooled.normal_interval)}."
        )
    return notes


def _dropped(pooled: Pooled) -> str:
    names = ", ".join(f"`{n}`" for n in pooled.dropped)
    return (
        "Left out for want of a slope with two ends (reasoning moved too little there, nothing moved clearly, or too "
        f"little is known): {names}."
    )


def _length(interval: Interval) -> float:
    return interval.high - interval.low


def _span(interval: Interval) -> str:
    return "unknown" if math.isnan(interval.low) else f"{ratio(interval.low)} to {ratio(interval.high)}"


def models_section(couplings: Mapping[str, Coupling], tables: Sequence[pl.DataFrame]) -> list[str]:
    """Write what several models show together, axis by axis.

    Args:
        couplings: By model.
        tables: Their observations.

    Returns:
        Lines of text; none where no safety axis has a coefficient in two models.
    """
    lines: list[str] = []
    for axis, pooled in pooled_axes(couplings).items():
        lines += [f"κ of {axis} on reasoning, all arms of each model", *forest_rows(pooled)]
        lines += [*bullets(pooled_sentences(pooled, f"κ of {axis} on reasoning")), ""]
    shared = shared_items(tables)
    if lines and shared:
        lines += bullets(
            [
                f"{counted(shared, 'item')} {'was' if shared == 1 else 'were'} answered by more than one model, and "
                "pooling treats their errors as independent: the pooled interval is about these items and too short "
                "for other items."
            ]
        )
    return lines


def pooled_axes(couplings: Mapping[str, Coupling]) -> dict[str, Pooled]:
    """Pool kappa of all arms on every safety axis that two models or more have.

    Args:
        couplings: By model.
    """
    having: dict[str, int] = {}
    for each in couplings.values():
        for axis in {c.axis for c in each.coefficients}:
            having[axis] = having.get(axis, 0) + 1
    axes = [a for each in couplings.values() for a in each.axes if having.get(a, 0) > 1]
    return {axis: pool_kappa(couplings, axis) for axis in dict.fromkeys(axes)}
