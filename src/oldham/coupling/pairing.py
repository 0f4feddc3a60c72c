"""From observation rows to aligned scores: the same items, in the same order, for every arm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from oldham.core.errors import ConfigError, DataError, did_you_mean
from oldham.core.outcomes import Axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_TRIAL = ("arm", "axis", "benchmark", "span", "item", "attack", "draw")
_UNIT = ("item", "attack")
_SPANS = ("answer", "trace")


@dataclass(frozen=True)
class Block:
    """Every arm's scores on one benchmark, read on one span. A unit is an item under an attack."""

    axis: str
    benchmark: str
    span: str
    arms: tuple[str, ...]
    """Every arm of the table; one without rows here is all NaN."""
    scores: NDArray[np.float64]
    """Shape (arms, units, draws), in [0, 1]; NaN where nothing is known or nothing was run."""
    rows: NDArray[np.int64]
    """Shape (arms, units): observations, finished or not."""
    clusters: NDArray[np.int64]
    """Shape (units,): cluster numbers from 0, without gaps."""

    @cached_property
    def finished(self) -> NDArray[np.int64]:
        """Shape (arms, units): draws with a score."""
        finished: NDArray[np.int64] = np.isfinite(self.scores).sum(axis=2)
        return finished

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Shape (arms, units): mean over finished draws; NaN without one."""
        means = np.full(self.finished.shape, np.nan)
        np.divide(np.nansum(self.scores, axis=2), self.finished, out=means, where=self.finished > 0)
        return means

    def arm(self, name: str) -> int:
        """Return an arm's position in `scores`."""
        return self.arms.index(name)

    def is_single_binary(self, *names: str) -> bool:
        """Whether these arms drew once an item, scored only 0 or 1, and no cluster holds two units."""
        at = [self.arm(n) for n in names]
        known = self.scores[at][np.isfinite(self.scores[at])]
        once = bool((self.rows[at] <= 1).all())
        return once and bool(np.isin(known, (0.0, 1.0)).all()) and len(np.unique(self.clusters)) == len(self.clusters)


def only_judge(observations: pl.DataFrame, judge: str | None) -> pl.DataFrame:
    """Keep one judge's verdicts wherever it spoke.

    Args:
        observations: In the observation schema.
        judge: Its name; None keeps every judge.

    Returns:
        The table; on a benchmark, axis and span that this judge did not read, the other judges' verdicts are kept.

    Raises:
        ConfigError: No verdict is this judge's.
    """
    if judge is None:
        return observations
    is_its = pl.col("judge").eq(judge).fill_null(value=False)
    if observations.filter(is_its).is_empty():
        names = observations["judge"].drop_nulls().unique().to_list()
        raise ConfigError(f"No verdict is by the judge `{judge}`.", remedy=did_you_mean(judge, names))
    return observations.filter(is_its | is_its.any().over("axis", "benchmark", "span").not_())


def stood_in(observations: pl.DataFrame, judge: str | None) -> list[str]:
    """Say where a judge that was asked for did not speak, so that another one counts.

    Args:
        observations: In the observation schema, all judges.
        judge: The judge asked for; None asks for none.

    Returns:
        One sentence for each benchmark and span.
    """
    if judge is None:
        return []
    is_its = pl.col("judge").eq(judge).fill_null(value=False)
    others = observations.filter(pl.col("judge").is_not_null(), ~is_its.any().over("axis", "benchmark", "span"))
    return [
        f"`{judge}` did not read {benchmark} ({axis}, {span}); there {names}."
        for axis, benchmark, span, names in _counting(tidy_trials(others)[0])
    ]


def _counting(trials: pl.DataFrame) -> list[tuple[str, str, str, str]]:
    """Say whose verdicts count on each axis, benchmark and span, the judge of the most trials first.

    Args:
        trials: One row a trial and span.
    """
    counts = trials.group_by("axis", "benchmark", "span", "judge", maintain_order=True).len()
    places: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    for axis, benchmark, span, judge, n in counts.sort("len", descending=True, maintain_order=True).iter_rows():
        places.setdefault((axis, benchmark, span), []).append((f"`{judge}`" if judge else "an unnamed judge", n))
    told = []
    for place in sorted(places):
        (first, n), *rest = places[place]
        more = ", then ".join(f"{name} ({n_others} more)" for name, n_others in rest)
        told.append((*place, f"{first} counts ({n} trials), then {more}" if rest else f"{first} counts"))
    return told


def tidy_trials(observations: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Keep one verdict a trial and span, and fill what an imported table may leave empty.

    Args:
        observations: In the observation schema.

    Returns:
        The table with an `attack`, a `cluster`, a `draw` and a `span` in every row and one row a trial and span, and a
        sentence for every benchmark and span on which several judges spoke: the first of a trial in the table's order
        is used, and the sentence names it.

    Raises:
        DataError: A row does not say of which arm, benchmark or item it is, or is of no known span; one judge scored a
            trial twice.
    """
    _check_names(observations)
    filled = observations.with_columns(
        pl.col("attack").fill_null("none"),
        pl.col("cluster").fill_null(pl.col("item")),
        pl.col("draw").fill_null(0),
        pl.col("span").fill_null("answer"),
    )
    twice = _repeated(filled, (*_TRIAL, "judge"))
    if twice is not None:
        row = filled.row(twice, named=True)
        raise DataError(
            f"Item `{row['item']}` of arm `{row['arm']}` has two verdicts for draw {row['draw']}.",
            place=f"benchmark {row['benchmark']}",
            remedy="Number repeated samples in a `draw` column and leave one verdict for each.",
        )
    spoke = filled.lazy().select("axis", "benchmark", "span", "judge").unique().collect()
    judges = spoke.group_by("axis", "benchmark", "span").agg(pl.col("judge").drop_nulls())
    if filled["stages"].null_count() < filled.height:
        # Whoever looked for stages in a trace is heard, also where another judge's verdict on it counts.
        filled = filled.with_columns(pl.col("stages").drop_nulls().first().over(_TRIAL))
    kept = filled if _repeated(filled, _TRIAL) is None else filled.unique(_TRIAL, keep="first", maintain_order=True)
    several = {
        (axis, benchmark, span): ", ".join(sorted(names))
        for axis, benchmark, span, names in judges.iter_rows()
        if len(names) > 1
    }
    notes = [
        f"{benchmark} ({axis}, {span}) was scored by several judges ({several[axis, benchmark, span]}): {names}."
        for axis, benchmark, span, names in (_counting(kept) if several else [])
        if (axis, benchmark, span) in several
    ]
    return kept, notes


def _check_names(observations: pl.DataFrame) -> None:
    """Turn away rows that would be paired with nothing, and so be lost without a word."""
    for name in ("arm", "benchmark", "item"):
        lacking = observations[name].null_count()
        if lacking:
            raise DataError(
                f"{lacking:,} of {observations.height:,} rows have no `{name}`.",
                place=f"column {name}",
                remedy="Fill it in, or leave these rows out.",
            )
    for span in observations["span"].drop_nulls().unique().sort().to_list():
        if span not in _SPANS:
            raise DataError(f"`{span}` is not a span.", place="column span", remedy=did_you_mean(span, list(_SPANS)))


def _repeated(rows: pl.DataFrame, names: Sequence[str]) -> int | None:
    """Return the place of the first row that has others like it; None where there is none.

    Rows are compared by a hash first: nearly always no two are alike, and comparing millions of texts takes long.
    """
    keys = rows.select(names)
    if keys.hash_rows().n_unique() == rows.height:
        return None
    alike = keys.is_duplicated()
    return alike.arg_max() if alike.any() else None


def build_blocks(trials: pl.DataFrame, arms: tuple[str, ...]) -> list[Block]:
    """Align the arms' scores, benchmark by benchmark.

    Args:
        trials: As `tidy_trials` returns it.
        arms: Every arm, in the order wanted.

    Returns:
        Blocks by axis in its usual order, then benchmark and span by name; units by item and attack, so that nothing
        depends on the order of rows.
    """
    order = {str(axis): i for i, axis in enumerate(Axis)}
    read = trials.lazy().select(*_TRIAL, "cluster", "score")
    found = read.select("axis", "benchmark", "span").unique().collect().rows()
    blocks = []
    for axis, benchmark, span in sorted(found, key=lambda key: (order[key[0]], key[1], key[2])):
        # One at a time, not a table cut into all of them: that would hold every row twice.
        rows = read.filter(axis=axis, benchmark=benchmark, span=span).collect()
        blocks.append(_block(axis, benchmark, span, rows, arms))
    return blocks


def _block(axis: str, benchmark: str, span: str, rows: pl.DataFrame, arms: tuple[str, ...]) -> Block:
    units = rows.group_by(_UNIT).agg(pl.col("cluster").min()).sort(_UNIT).with_row_index("unit")
    draws = rows.select(pl.col("draw").unique().sort()).with_row_index("slot")
    numbers = pl.DataFrame({"arm": arms}).with_row_index("number")
    placed = rows.join(units, on=_UNIT).join(draws, on="draw").join(numbers, on="arm")
    at = (placed["number"].to_numpy(), placed["unit"].to_numpy(), placed["slot"].to_numpy())
    scores = np.full((len(arms), units.height, draws.height), np.nan)
    scores[at] = placed["score"].fill_null(np.nan).to_numpy()
    counts = np.zeros((len(arms), units.height), dtype=np.int64)
    np.add.at(counts, at[:2], 1)
    clusters = np.unique(units["cluster"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    return Block(axis, benchmark, span, arms, scores, counts, clusters)
