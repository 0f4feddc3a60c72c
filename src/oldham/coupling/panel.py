"""Several judges on the same answers: their rates, where they disagree, and which flips hang on the judge."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from oldham.core.observations import good_side
from oldham.core.outcomes import MISSING, Axis
from oldham.coupling.agreement import cohen_kappa
from oldham.coupling.contrasts import build_contrasts
from oldham.coupling.pairing import build_blocks, only_judge, tidy_trials
from oldham.coupling.rates import build_rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.options import CouplingOptions
    from oldham.coupling.results import Effect, Interval

MOST_RESAMPLES: Final = 2_000
"""Resamples behind the effects of a judge that does not count; the analysis itself takes more."""

_HALF: Final = 0.5
_TEXT: Final = ("arm", "axis", "benchmark", "span", "item", "attack", "draw")


@dataclass(frozen=True, slots=True)
class JudgeRate:
    """One judge's view of one arm on one benchmark and span."""

    judge: str
    arm: str
    axis: str
    benchmark: str
    span: str
    mean: float
    interval: Interval
    n_items: int
    n_missing: int
    """Rows without a score."""
    n_failed: int
    """Rows among them where the judge's own output could not be read."""
    n_retried: int
    """Rows that could be read only when asked again."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One text on which judges differ."""

    arm: str
    axis: str
    benchmark: str
    item: str
    draw: int
    span: str
    outcomes: Mapping[str, str]
    """Outcome by judge, in the table's order."""
    generation: str
    """Fingerprint of the trial, to find the text in the ledger."""
    opposed: bool
    """One judge calls the text good and another calls it bad."""
    unscored: bool = False
    """Not opposed, and one judge gave a score and another, which read it, gave none (`incoherent`, `unjudged`). Where
    neither this nor `opposed` holds, all are on one side and differ in the name of the outcome."""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How far two judges agree on the texts that both scored."""

    first: str
    second: str
    axis: str
    span: str
    agreement: float
    """Share of texts on the same side of one half; NaN without any. `partial` counts as a refusal."""
    kappa: float
    """Cohen's kappa of the sides; NaN where one side is all there is."""
    kappa_interval: Interval
    n: int
    n_alone: int
    """Texts that both read and only one scored."""
    by_arm: Mapping[str, float]
    """Agreement within each arm: where it differs, the judges' errors drift between arms."""


@dataclass(frozen=True, slots=True)
class JudgeEffect:
    """An arm's change on an axis if this judge counts wherever it spoke, as `CouplingOptions.judge` has it."""

    judge: str
    arm: str
    axis: str
    delta: float
    interval: Interval
    n_items: int
    n_flips: int
    """Draws that cross one half by its own verdicts, where another judge reads the same benchmark."""
    n_alone: int
    """Flips among them that some other judge, which scored both sides, does not see."""
    resamples: int
    """Behind the interval: those of the analysis where this judge's verdicts are the ones that count."""


@dataclass(frozen=True, slots=True)
class JudgePanel:
    """What changes with the judge; every tuple is empty where one judge alone spoke. Judges in the table's order."""

    rates: tuple[JudgeRate, ...]
    """By axis, benchmark, span, judge and arm."""
    pairs: tuple[PairAgreement, ...]
    """By axis, span and pair."""
    disagreements: tuple[Disagreement, ...]
    """By axis, opposed ones first and those without one of the scores last, then by arm, benchmark, span and item."""
    effects: tuple[JudgeEffect, ...]
    """By axis, arm and judge."""

    @property
    def resamples_words(self) -> str:
        """How many resamples are behind the effects, in words."""
        numbers = sorted({e.resamples for e in self.effects})
        told = f"{numbers[0]:,} resamples" if numbers else "no resamples"
        return told if len(numbers) < 2 else f"{told}, {numbers[-1]:,} for a judge whose verdicts count above"


def is_split(effects: Iterable[JudgeEffect]) -> bool:
    """Whether judges tell different stories of one change: clear of 0 by some only, or on opposite sides of it.

    Args:
        effects: Of one arm on one axis, by judge.
    """
    return len({(e.delta > 0) if e.interval.excludes_zero else None for e in effects}) > 1


def build_panel(
    observations: pl.DataFrame, *, baseline: str, options: CouplingOptions, effects: Sequence[Effect] = ()
) -> JudgePanel:
    """Set the judges side by side wherever two or more read the same benchmark and span.

    Args:
        observations: In the observation schema, every judge's verdicts.
        baseline: The arm compared with.
        options: Resamples and seed. Effects that are not known yet take at most `MOST_RESAMPLES`.
        effects: What the analysis found with the verdicts that count, to be taken over where they are the judge's own.

    Returns:
        The panel.

    Raises:
        DataError: One judge scored a trial twice.
    """
    keys = [pl.col("axis"), pl.col("benchmark"), pl.col("span").fill_null("answer")]
    named = observations.lazy().filter(pl.col("judge").is_not_null())
    alone = named.group_by(keys).agg(pl.col("judge").n_unique() < 2)
    if alone.select(pl.col("judge").all()).collect().item():
        return JudgePanel((), (), (), ())
    shared = named.filter(pl.col("judge").n_unique().over(keys) > 1).collect()
    judges = shared["judge"].unique(maintain_order=True).to_list()
    found = observations["arm"].drop_nulls().unique(maintain_order=True).to_list()
    arms = (baseline, *(a for a in found if a != baseline))
    own = {judge: tidy_trials(shared.filter(pl.col("judge") == judge))[0] for judge in judges}
    texts = _side_by_side(list(own.values()))
    return JudgePanel(
        rates=tuple(_rates(own, arms)),
        pairs=tuple(_pairs(texts, judges, arms)),
        disagreements=tuple(_disagreements(texts, judges, arms)),
        effects=tuple(_effects(observations, own, _flips(texts, baseline, len(judges)), arms, options, effects)),
    )


def _side_by_side(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return one row a text: `score_0`, `outcome_0` and `good_0` of the first judge, and so on."""
    texts = pl.concat([t.select(*_TEXT, "generation") for t in tables]).group_by(_TEXT).agg(pl.col("generation").max())
    for i, table in enumerate(tables):
        said = table.select(
            *_TEXT,
            pl.col("score").alias(f"score_{i}"),
            pl.col("outcome").alias(f"outcome_{i}"),
            good_side().alias(f"good_{i}"),
        )
        texts = texts.join(said, on=_TEXT, how="left")
    return texts.sort(_TEXT)


def _axis_order(axes: Sequence[str]) -> list[str]:
    return [str(a) for a in Axis if str(a) in axes]


def _rates(own: Mapping[str, pl.DataFrame], arms: tuple[str, ...]) -> list[JudgeRate]:
    rates = []
    for judge, trials in own.items():
        parsed = {
            key: part["parsed"].to_list()
            for key, part in trials.partition_by("arm", "axis", "benchmark", "span", as_dict=True).items()
        }
        for rate in build_rates(build_blocks(trials, arms)):
            readings = parsed[rate.arm, rate.axis, rate.benchmark, rate.span]
            rates.append(
                JudgeRate(
                    judge=judge,
                    arm=rate.arm,
                    axis=rate.axis,
                    benchmark=rate.benchmark,
                    span=rate.span,
                    mean=rate.mean,
                    interval=rate.interval,
                    n_items=rate.n_items,
                    n_missing=rate.n_missing,
                    n_failed=readings.count("failed"),
                    n_retried=readings.count("retried"),
                )
            )
    axes = _axis_order([r.axis for r in rates])
    return sorted(rates, key=lambda r: (axes.index(r.axis), r.benchmark, r.span))


def _pairs(texts: pl.DataFrame, judges: Sequence[str], arms: Sequence[str]) -> Iterator[PairAgreement]:
    for axis in _axis_order(texts["axis"].unique().to_list()):
        of_axis = texts.filter(pl.col("axis") == axis)
        for span in of_axis["span"].unique().sort().to_list():
            rows = of_axis.filter(pl.col("span") == span)
            spoke = [i for i in range(len(judges)) if rows[f"outcome_{i}"].is_not_null().any()]
            for i, j in combinations(spoke, 2):
                both = rows.filter(pl.col(f"good_{i}").is_not_null() & pl.col(f"good_{j}").is_not_null())
                kappa = cohen_kappa(_crossed(both[f"good_{i}"], both[f"good_{j}"]))
                same = both.select("arm", same=pl.col(f"good_{i}") == pl.col(f"good_{j}"))
                alone = rows.filter(
                    pl.col(f"outcome_{i}").is_not_null()
                    & pl.col(f"outcome_{j}").is_not_null()
                    & (pl.col(f"score_{i}").is_null() != pl.col(f"score_{j}").is_null())
                )
                by_arm = dict(same.group_by("arm").agg(pl.col("same").mean()).iter_rows())
                yield PairAgreement(
                    first=judges[i],
                    second=judges[j],
                    axis=axis,
                    span=span,
                    agreement=float(same["same"].sum()) / same.height if same.height else math.nan,
                    kappa=kappa.value,
                    kappa_interval=kappa.interval,
                    n=both.height,
                    n_alone=alone.height,
                    by_arm={arm: by_arm[arm] for arm in arms if arm in by_arm},
                )


def _crossed(first: pl.Series, second: pl.Series) -> NDArray[np.int64]:
    """Count texts by the first judge's side and the second's; shape (2, 2)."""
    pairs = 2 * first.to_numpy().astype(np.int64) + second.to_numpy()
    return np.bincount(pairs, minlength=4).reshape(2, 2)


def _disagreements(texts: pl.DataFrame, judges: Sequence[str], arms: Sequence[str]) -> list[Disagreement]:
    """List the texts on which what judges found differs, or to which only some of those that read them gave a score."""
    outcomes = [pl.col(f"outcome_{i}") for i in range(len(judges))]
    known = pl.concat_list(pl.when(o.is_in([str(m) for m in MISSING])).then(None).otherwise(o) for o in outcomes)
    goods = [pl.col(f"good_{i}") for i in range(len(judges))]
    opposed = pl.any_horizontal(goods).fill_null(False) & ~pl.all_horizontal(goods).fill_null(True)
    places_ = range(len(judges))
    scored = pl.any_horizontal(pl.col(f"score_{i}").is_not_null() for i in places_)
    left = pl.any_horizontal(pl.col(f"outcome_{i}").is_not_null() & pl.col(f"score_{i}").is_null() for i in places_)
    differing = texts.with_columns(opposed.alias("opposed"), (scored & left & ~opposed).alias("unscored")).filter(
        pl.col("opposed") | pl.col("unscored") | (known.list.drop_nulls().list.n_unique() > 1)
    )
    axes = _axis_order(differing["axis"].unique().to_list())
    rows = [
        Disagreement(
            arm=row["arm"],
            axis=row["axis"],
            benchmark=row["benchmark"],
            item=row["item"],
            draw=row["draw"],
            span=row["span"],
            outcomes={judge: row[f"outcome_{i}"] for i, judge in enumerate(judges) if row[f"outcome_{i}"] is not None},
            generation=row["generation"] or "",
            opposed=row["opposed"],
            unscored=row["unscored"],
        )
        for row in differing.iter_rows(named=True)
    ]
    places = {arm: i for i, arm in enumerate(arms)}
    return sorted(
        rows,
        key=lambda d: (
            axes.index(d.axis),
            not d.opposed,
            d.unscored,
            places[d.arm],
            d.benchmark,
            d.span,
            d.item,
            d.draw,
        ),
    )


def _flips(texts: pl.DataFrame, baseline: str, n_judges: int) -> dict[tuple[str, str, int], tuple[int, int]]:
    """Count the draws that cross one half, and those among them that another judge saw both sides of and does not find.

    Returns:
        Both counts by arm, axis and position of the judge.
    """
    answers = texts.filter(pl.col("span") == "answer")
    keys = [name for name in _TEXT if name != "arm"]
    before = answers.filter(pl.col("arm") == baseline).drop("arm")
    pairs = answers.filter(pl.col("arm") != baseline).join(before, on=keys, suffix="_before")
    ways = []
    for i in range(n_judges):
        after, prior = pl.col(f"score_{i}") - _HALF, pl.col(f"score_{i}_before") - _HALF
        ways.append(pl.when(after * prior < 0).then(after.sign()).when((after * prior).is_not_null()).then(0.0))
    pairs = pairs.with_columns(way.alias(f"way_{i}") for i, way in enumerate(ways))
    counts: dict[tuple[str, str, int], tuple[int, int]] = {}
    for i in range(n_judges):
        way = pl.col(f"way_{i}")
        denied = pl.any_horizontal((pl.col(f"way_{j}") != way).fill_null(False) for j in range(n_judges) if j != i)
        flipped = pairs.filter(way != 0).group_by("arm", "axis").agg(pl.len(), denied.sum().alias("alone"))
        counts.update({(arm, axis, i): (n, alone) for arm, axis, n, alone in flipped.iter_rows()})
    return counts


def _effects(
    observations: pl.DataFrame,
    own: Mapping[str, pl.DataFrame],
    flips: Mapping[tuple[str, str, int], tuple[int, int]],
    arms: tuple[str, ...],
    options: CouplingOptions,
    known: Sequence[Effect],
) -> list[JudgeEffect]:
    modest = replace(options, resamples=min(options.resamples, MOST_RESAMPLES))
    answers = observations.filter(pl.col("span").fill_null("answer") == "answer")
    counting = tidy_trials(only_judge(observations, options.judge))[0] if known else None
    effects = []
    for i, (judge, trials) in enumerate(own.items()):
        axes = trials.filter(pl.col("span") == "answer")["axis"].unique().to_list()
        if not axes:
            continue
        counted, _ = tidy_trials(only_judge(answers.filter(pl.col("axis").is_in(axes)), judge))
        same = [] if counting is None else [a for a in axes if _sources(counted, a).equals(_sources(counting, a))]
        found: list[tuple[Effect | Contrast, float, Interval, int]] = [
            (e, e.delta, e.interval, options.resamples) for e in known if e.axis in same
        ]
        blocks = build_blocks(counted.filter(~pl.col("axis").is_in(same)), arms)
        for c in build_contrasts(blocks, baseline=arms[0], options=modest):
            found.append((c, c.change.value, c.change.interval(), modest.resamples))
        for e, delta, interval, resamples in found:
            n_flips, n_alone = flips.get((e.arm, e.axis, i), (0, 0))
            effects.append(
                JudgeEffect(
                    judge=judge,
                    arm=e.arm,
                    axis=e.axis,
                    delta=delta,
                    interval=interval,
                    n_items=e.n_items,
                    n_flips=n_flips,
                    n_alone=n_alone,
                    resamples=resamples,
                )
            )
    order = _axis_order([e.axis for e in effects])
    return sorted(effects, key=lambda e: (order.index(e.axis), arms.index(e.arm)))


def _sources(trials: pl.DataFrame, axis: str) -> pl.DataFrame:
    """Say whose verdict stands for each answer of an axis."""
    return trials.filter((pl.col("axis") == axis) & (pl.col("span") == "answer")).select(*_TEXT, "judge").sort(_TEXT)
