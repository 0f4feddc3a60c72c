"""Studies in which nothing changed, and what an account of one claims.

A **claim** is a sentence, or a sign that stands for one, that says that an arm, factor or dose did something, and that
does not take it back in the same place: a finding of a change without "does not confirm it" or a correction that undoes
it; a gate's line "passed: better"; flips of an arm that no caveat puts down to sampling or to the judge; an effect of a
factor confirmed within its family; a trend, critical dose or free range over doses.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import numpy as np
import polars as pl
from scipy.stats import binom

from oldham.core.observations import as_observations
from oldham.coupling import CouplingOptions, Gate, couple, judge_gate
from oldham.coupling.caveats import missing_gaps, uncorrected_factors
from oldham.coupling.cells import read_cells
from oldham.coupling.contrasts import build_contrasts
from oldham.coupling.dynamics import dose_dynamics
from oldham.coupling.effects import build_effects
from oldham.coupling.factors import build_factor_effects
from oldham.coupling.flip_caveats import chance_flips, judged_flips
from oldham.coupling.flips import build_flips
from oldham.coupling.judge_error import Corrections
from oldham.coupling.pairing import build_blocks, tidy_trials
from oldham.coupling.rates import build_rates
from oldham.judges.cards import CardCell, JudgeCard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from oldham.coupling import Coupling, Effect, FactorEffect, Flips, GateResult, Rate
    from oldham.coupling.dynamics_results import Dynamics

ARMS: Final = ("base", "a", "b", "ab")
AXES: Final = {"reasoning": 60, "harm": 60, "overrefusal": 40}
OUTCOMES: Final = {
    "reasoning": ("incorrect", "correct"),
    "harm": ("complied_harmful", "refused"),
    "overrefusal": ("refused", "complied_safe"),
}
FACTORS: Final = {arm: json.dumps({"strategy": int("a" in arm[:1]), "safety": int("b" in arm[-1:])}) for arm in ARMS}
JUDGE: Final = "reader"
STAGES: Final = ("", "harm_recognition", "policy_recall", "harm_recognition,rationalisation", "harmful_detail")
OPTIONS: Final = CouplingOptions(resamples=1000, permutations=400, cards={})
LEVEL: Final = 0.05
UNDONE: Final = "does not confirm it"


class Panel(NamedTuple):
    """Judges side by side; here there is one."""

    effects: tuple[()]


class Parts(NamedTuple):
    """The part of a coupling that decides what is claimed, by the same names."""

    arms: tuple[str, ...]
    axes: tuple[str, ...]
    effects: Sequence[Effect]
    flips: Sequence[Flips]
    factor_effects: Sequence[FactorEffect]
    rates: Sequence[Rate]
    caveats: Sequence[str]
    panel: Panel
    baseline: str
    gate: GateResult | None


class Account(NamedTuple):
    """All that is said of one study."""

    coupling: Coupling
    gate: GateResult
    doses: Dynamics

    @property
    def text(self) -> str:
        """What a reader of the terminal sees, folded lines joined."""
        parts = (self.coupling.summary(full=True), self.gate.text(), self.doses.summary(full=True))
        return " ".join("\n".join(parts).split())


def chances(axis: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return each item's chance of a good answer: mostly near 0 or 1, as items are."""
    return rng.beta(0.6, 0.4, AXES[axis])


def rows_of(axis: str, good: NDArray[np.bool_], missing: NDArray[np.bool_] | None = None) -> pl.DataFrame:
    """Return the rows of one axis.

    Args:
        axis: The axis.
        good: Shape (arms, items, draws): the verdicts.
        missing: The same shape: answers that were cut, without an outcome or score.
    """
    arm, item, draw = (index.ravel() for index in np.indices(good.shape))
    cut = np.zeros(good.size, dtype=bool) if missing is None else missing.ravel()
    bad_or_good = np.array(OUTCOMES[axis])[good.ravel().astype(int)]
    return pl.DataFrame(
        {
            "arm": np.array(ARMS)[arm],
            "factors": np.array([FACTORS[name] for name in ARMS])[arm],
            "intervention": np.where(arm == 0, "", "budget"),
            "dose": arm.astype(float),
            "axis": np.full(good.size, axis),
            "benchmark": np.full(good.size, axis),
            "item": np.char.add("i", item.astype(str)),
            "cluster": np.char.add("c", (item // (2 if axis == "harm" else 1)).astype(str)),
            "draw": draw,
            "judge": np.full(good.size, JUDGE),
            "judge_fingerprint": np.full(good.size, "f"),
            "span": np.full(good.size, "answer"),
            "outcome": np.where(cut, "unfinished", bad_or_good),
            "score": np.where(cut, np.nan, good.ravel().astype(float)),
            "thinking_state": np.where(arm == 0, "none", "complete"),
            "trace_tokens": np.where(arm == 0, 0, 40),
            "stop": np.where(cut, "length", "stop"),
        }
    ).with_columns(
        pl.col("score").fill_nan(None),
        pl.col("intervention").replace("", None),
        pl.when(pl.col("arm") == "base").then(None).otherwise("dose").alias("dose"),
    )


def with_traces(answers: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Add what a judge found in the traces on harm: stages that say nothing of the answer."""
    traces = answers.filter(pl.col("axis") == "harm", pl.col("arm") != "base").with_columns(
        span=pl.lit("trace"), judge=pl.lit("tracer"), score=pl.lit(1.0), outcome=pl.lit("refused")
    )
    stages = pl.Series("stages", rng.choice(STAGES, traces.height))
    return pl.concat([answers.with_columns(stages=pl.lit(None, pl.String)), traces.with_columns(stages)])


def account(rows: pl.DataFrame, options: CouplingOptions = OPTIONS) -> Account:
    """Analyse a study as the command line does."""
    found = couple(rows, baseline="base", options=options)
    return Account(found, judge_gate(found, Gate()), dose_dynamics(rows, baseline="base", options=options))


def card_of(rates: Mapping[str, tuple[float, float]], labels: int, rng: np.random.Generator) -> JudgeCard:
    """Draw a judge card: for each kind of output the chance that a good answer, and that a bad one, is called good."""
    cells = []
    for axis, (bad, good) in OUTCOMES.items():
        counts = {}
        for kind, (of_good, of_bad) in rates.items():
            hits = {name: int(rng.binomial(labels // 2, p)) for name, p in ((good, of_good), (bad, of_bad))}
            counts[kind] = {name: {good: n, bad: labels // 2 - n} for name, n in hits.items()}
            cells.append(
                CardCell.model_validate({"axis": axis, "span": "answer", "kind": kind, "counts": counts[kind]})
            )
        summed: dict[str, Counter[str]] = {good: Counter(), bad: Counter()}
        for of_kind in counts.values():
            for name in summed:
                summed[name].update(of_kind[name])
        cells.append(CardCell.model_validate({"axis": axis, "span": "answer", "kind": "all", "counts": summed}))
    return JudgeCard.model_validate(
        {
            "judge": JUDGE,
            "judge_fingerprint": "f",
            "reads": ("answer",),
            "labelled_by": "humans",
            "labels": (),
            "validation": "independent",
            "cells": cells,
        }
    )


def parts(rows: pl.DataFrame, options: CouplingOptions = OPTIONS) -> Parts:
    """Make the decisions that the sentences follow, and leave out what decides nothing: a tenth of the work."""
    trials, _ = tidy_trials(as_observations(rows))
    blocks = [b for b in build_blocks(trials, ARMS) if b.span == "answer"]
    corrections = Corrections(trials, options)
    contrasts = build_contrasts(blocks, baseline="base", options=options, corrections=corrections)
    effects = build_effects(contrasts, baseline="base", options=options)
    flips = build_flips(contrasts)
    factors = build_factor_effects(blocks, read_cells(trials, ARMS), options=options)
    rates = build_rates(blocks)
    told = [
        *missing_gaps(rates, baseline="base"),
        *chance_flips(flips),
        *judged_flips(contrasts),
        *uncorrected_factors(factors, effects),
    ]
    found = Parts(ARMS[1:], tuple(AXES), effects, flips, factors, rates, told, Panel(()), "base", None)
    return found._replace(gate=judge_gate(cast("Coupling", found), Gate()))


def claims(found: Coupling | Parts, gate: GateResult) -> set[tuple[str, str]]:
    """Return the claims of an account as (kind, family); a family is what Holm's allowance is made within."""
    made: set[tuple[str, str]] = set()
    for e in found.effects:
        head, _, corrected = e.finding.partition("; corrected for the judge")
        says = any(f" points {word} under" in head for word in ("higher", "lower"))
        if says and UNDONE not in head and not corrected:
            made.add(("effect", e.axis))
        if (
            any(f"the change is {word} (" in corrected for word in ("clear", "the other way"))
            and UNDONE not in corrected
        ):
            made.add(("corrected effect", e.axis))
    made |= {("gate passes an arm", "") for c in gate.claims if c.rule == "superior" and c.state == "passed"}
    made |= {
        ("gate fails an arm", "")
        for c in gate.claims
        if c.rule == "non_inferior" and c.state == "failed" and "Corrected for" not in c.note
    }
    made |= {("gate passes", "")} if gate.passed else set()
    caveats = list(found.caveats)
    for f in found.flips:
        by_chance = "".join(c for c in caveats if c.startswith(f"On {f.axis} these flips"))
        by_judge = any(c.startswith(f"Flips and pathways on {f.axis} are as judged") for c in caveats)
        for side, share in (("risk", f.risk), ("defence", f.defence)):
            if share > 0 and f"{side} of `{f.arm}`" not in by_chance and not by_judge:
                made.add(("flips", f.axis))
    for effect in found.factor_effects:
        undone = any("The effects of the factors on" in c and effect.axis in c for c in caveats)
        if effect.p_holm < LEVEL and not undone:
            made.add(("main effect" if effect.with_factor is None else "interaction", effect.axis))
    return made


def dose_claims(doses: Dynamics) -> set[tuple[str, str]]:
    """Return what is claimed of doses as (kind, family)."""
    text = " ".join(doses.summary(full=True).split())
    said = {
        "The critical dose for": "critical dose",
        "The free range goes": "free range",
        "at higher doses, the": "trend",
    }
    return {(kind, "") for words, kind in said.items() if words in text}


def most(studies: int, level: float = LEVEL) -> float:
    """Return the most studies of so many that may make a claim of this level: the 99.9% point of the binomial."""
    return float(binom.ppf(0.999, studies, level))
