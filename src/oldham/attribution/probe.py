"""Refusal probes: can a line through the activations tell, before the answer is written, whether it will be a refusal?

Probes by layer and position, after the refusal cliff (2510.06036, section 3), with what a reader needs to believe one:
cross-validation by clusters of prompts, the null of shuffled labels, and a control that sees nothing but the logits of
refusing and complying words at the same place. A probe that does no better than the control has found the next word.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from oldham.attribution.calibration import calibrate
from oldham.attribution.crossval import (
    auroc,
    fit_probe,
    held_out_logits,
    make_folds,
    resampled_auroc,
    shuffled,
)
from oldham.attribution.probe_result import Fitted, ProbeResult, ProbeScore
from oldham.core.errors import ConfigError, DataError
from oldham.core.fingerprint import derive_seed
from oldham.coupling.bootstrap import resample_means
from oldham.coupling.shares import UNKNOWN
from oldham.engine.token_layout import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from oldham.attribution.crossval import HeldOut
    from oldham.attribution.labelled import Labelled
    from oldham.coupling.bootstrap import Estimate
    from oldham.engine.activations import ActivationStore, Rows
    from oldham.engine.hooks import Point

_COMMON: Final = 0.8
"""A position is probed by default where so large a share of the labelled generations has it."""


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """Settings of `probe`.

    Raises:
        ConfigError: A number lies outside its range.
    """

    folds: int = 5
    """Splits of the clusters, at least 2."""
    repeats: int = 5
    """How often the folds are drawn anew, at least 1; scores are over all of them."""
    shuffles: int = 200
    """Shuffled labels behind the null, at least 0, each with one draw of folds, which makes the null wider than the
    scores and p-values too large rather than too small. The smallest one is 1 / (shuffles + 1)."""
    resamples: int = 10_000
    """Bootstrap resamples of clusters behind the intervals, at least 200."""
    strength: float = 10.0
    """Inverse of the ridge, above 0. With 10, probes of some tens of prompts are about as sure as they should be. See
    `oldham.attribution.crossval.fit_probe`."""
    positions: tuple[str, ...] = ()
    """Such as `prompt_end`, `trace_end`, `answer_start`, `trace:16` or `answer:0`. Empty for every stored position
    before the answer that at least four in five of the generations have."""
    seed: int = 0
    """Makes every number repeatable."""
    watch: Callable[[int, int], None] | None = None
    """Is told how many probes are done, and of how many."""

    def __post_init__(self) -> None:
        for name, fewest in (("folds", 2), ("repeats", 1), ("shuffles", 0), ("resamples", 200)):
            if getattr(self, name) < fewest:
                raise ConfigError(f"`{name}` is {getattr(self, name)}.", remedy=f"Give at least {fewest}.")
        if not self.strength > 0:
            raise ConfigError(f"`strength` is {self.strength}.", remedy="Give a number above 0; 10 is usual.")


_DEFAULT: Final = ProbeOptions()


def probe(
    store: ActivationStore,
    labelled: Labelled,
    *,
    points: Sequence[Point] | None = None,
    options: ProbeOptions = _DEFAULT,
) -> ProbeResult:
    """Fit and test a probe at every point and position.

    Args:
        store: Activations of the labelled generations.
        labelled: What was refused and what was not.
        points: Where in the model; None for every stored point.
        options: Folds, null, intervals, positions.

    Returns:
        One score a point and position, the fitted probes, and what they said of rows they had not seen.

    Raises:
        DataError: Activations are missing, or too few clusters have one of the labels.
        ConfigError: A position is not stored, or its name says nothing.
    """
    rows = {generation: store.rows(generation) for generation in labelled.generations}
    positions = options.positions or _common_positions(rows.values())
    if not positions:
        raise DataError(
            "No stored position before the answer is shared by four in five of the generations.",
            place=str(store.folder),
            remedy="Store prompt_end and answer_start, or name a position.",
        )
    where = store.points if points is None else list(points)
    scores: list[ProbeScore] = []
    fits: list[Fitted] = []
    nulls: list[NDArray[np.float64]] = []
    for position in positions:
        at = {key: row for key, some in rows.items() if (row := _row_at(some, position)) is not None}
        if not at:
            raise ConfigError(
                f"The position `{position}` is not stored.",
                remedy=f"Stored: {', '.join(sorted(_names(rows.values())))}.",
            )
        bench = _Bench(labelled, list(at), options)
        for point in where:
            features = np.stack([store.read(key, point)[row].reshape(-1) for key, row in at.items()])
            lens = [store.lens(key, point) for key in at]
            control = None
            if lens[0] is not None:
                control = np.stack(
                    [table[row] for table, row in zip(lens, at.values(), strict=True) if table is not None]
                )
            score, fitted, null = bench.run(point, position, features.astype(np.float64), control)
            scores.append(score)
            fits.append(fitted)
            nulls.append(null)
            if options.watch is not None:
                options.watch(len(scores), len(positions) * len(where))
    null = np.array(nulls).reshape(len(scores), options.shuffles)
    return ProbeResult.of(scores, fits, null, store=store, labelled=labelled, options=options)


class _Bench:
    """Everything that probes of one position share: rows, folds, and shuffled labels with their folds."""

    def __init__(self, labelled: Labelled, kept: Sequence[str], options: ProbeOptions) -> None:
        # `kept` is in the order of the labelled generations.
        chosen = np.isin(labelled.generations, list(kept))
        self.options = options
        self.kept = tuple(kept)
        self.labels = labelled.labels[chosen]
        self.clusters = np.unique(labelled.clusters[chosen], return_inverse=True)[1]
        self.seed = derive_seed("probe", options.seed) % 2**32
        self.folds = [self._folds(self.labels, repeat) for repeat in range(options.repeats)]
        self.shuffled = []
        for number in range(options.shuffles):
            rng = np.random.default_rng([options.seed, number])
            labels = shuffled(self.labels, self.clusters, rng)
            self.shuffled.append((labels, [self._folds(labels, number % options.repeats)]))

    def run(
        self, point: Point, position: str, features: NDArray[np.float64], control: NDArray[np.float32] | None
    ) -> tuple[ProbeScore, Fitted, NDArray[np.float64]]:
        """Fit and test one probe, its null and its control."""
        held = self._held_out(features, self.labels, self.folds)
        null = np.array([auroc(self._held_out(features, y, f), y) for y, f in self.shuffled])
        ranked = self._resampled(held)
        right_ones = np.where(np.isfinite(held.logits), (held.logits > 0) == (self.labels == 1), np.nan)
        known_rows = np.isfinite(right_ones).any(axis=0)
        shares = np.where(known_rows, np.nansum(right_ones, axis=0), np.nan) / np.maximum(
            1, np.isfinite(right_ones).sum(axis=0)
        )
        (right,) = resample_means(shares[:, None], self.clusters, resamples=self.options.resamples, seed=self.seed)
        control_value, control_interval, gain, gain_interval = math.nan, UNKNOWN, math.nan, UNKNOWN
        if control is not None:
            words = self._resampled(self._held_out(control.astype(np.float64), self.labels, self.folds))
            difference = ranked.minus(words)
            control_value, control_interval = words.value, words.interval()
            gain, gain_interval = difference.value, difference.interval()
        known = null[np.isfinite(null)]
        score = ProbeScore(
            site=point.site,
            layer=point.layer,
            position=position,
            n=len(self.labels),
            n_refused=int(self.labels.sum()),
            n_clusters=int(self.clusters.max()) + 1,
            auroc=ranked.value,
            auroc_interval=ranked.interval(),
            p_value=_p_value(ranked.value, known),
            p_max=math.nan,  # known when all probes are
            null_mean=float(known.mean()) if len(known) else math.nan,
            null_95=float(np.quantile(known, 0.95)) if len(known) else math.nan,
            accuracy=right.value,
            accuracy_interval=right.interval(),
            majority=float(max(self.labels.mean(), 1 - self.labels.mean())),
            control=control_value,
            control_interval=control_interval,
            gain=gain,
            gain_interval=gain_interval,
            calibration=calibrate(held.logits[0], self.labels, held.folds[0]),
        )
        whole = fit_probe(features, self.labels, strength=self.options.strength)
        return score, Fitted(whole.weights, whole.bias, self.kept, held.logits[0]), null

    def _folds(self, labels: NDArray[np.int64], repeat: int) -> NDArray[np.int64]:
        seed = (self.seed + repeat) % 2**32
        return make_folds(labels, self.clusters, folds=self.options.folds, seed=seed)

    def _held_out(
        self, features: NDArray[np.float64], labels: NDArray[np.int64], folds: Sequence[NDArray[np.int64]]
    ) -> HeldOut:
        return held_out_logits(features, labels, folds, strength=self.options.strength)

    def _resampled(self, held: HeldOut) -> Estimate:
        return resampled_auroc(held, self.labels, self.clusters, resamples=self.options.resamples, seed=self.seed)


def _p_value(value: float, null: NDArray[np.float64]) -> float:
    """Return the share of shuffles that do at least as well, the observed labels counted as one of them."""
    if math.isnan(value) or not len(null):
        return math.nan
    return float((1 + (null >= value).sum()) / (1 + len(null)))


def _row_at(rows: Rows, position: str) -> int | None:
    """Return the stored row of a position; None where the generation has none.

    Raises:
        ConfigError: The position's name says nothing.
    """
    name, colon, number = position.partition(":")
    if colon and name in ("trace", "answer") and number.isdecimal():
        found = (rows.part == PARTS.index(name)) & (rows.offset == int(number))
    elif position == "prompt_end":
        found = (rows.part == PARTS.index("prompt")) & (rows.offset == -1)
    elif position == "trace_end":
        found = rows.ends_trace
    elif position == "answer_start":
        found = rows.before_answer
    else:
        raise ConfigError(
            f"`{position}` is not a position.",
            remedy="Write prompt_end, trace_end, answer_start, trace:K or answer:K, K counting tokens from 0.",
        )
    return int(np.flatnonzero(found)[0]) if found.any() else None


def _names(rows: Iterable[Rows]) -> Counter[str]:
    """Count the generations that have each position."""
    names: Counter[str] = Counter()
    for some in rows:
        mine = {"prompt_end"} if (some.part[some.offset == -1] == 0).any() else set()
        mine |= {"trace_end"} if some.ends_trace.any() else set()
        mine |= {"answer_start"} if some.before_answer.any() else set()
        for part in ("trace", "answer"):
            mine |= {f"{part}:{offset}" for offset in some.offset[some.part == PARTS.index(part)]}
        names.update(mine)
    return names


def _common_positions(rows: Collection[Rows]) -> tuple[str, ...]:
    """Return the positions before the answer that most generations have, in the order of the text.

    Where no generation has a trace, the end of the prompt is where the answer starts, and is named once.
    """
    found = _names(rows)
    common = {name for name, n in found.items() if n >= _COMMON * len(rows) and not name.startswith("answer:")}
    if "prompt_end" in common and all((some.offset[some.before_answer] == -1).all() for some in rows):
        common.discard("answer_start")
    order = {"prompt_end": -1, "trace_end": 10**9, "answer_start": 10**9 + 1}
    return tuple(sorted(common, key=lambda name: order.get(name) or int(name.partition(":")[2])))
