from __future__ import annotations

import itertools
import json
import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import t, ttest_1samp
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.anova import AnovaRM

from oldham.coupling import CouplingOptions, couple, factor_frame
from oldham.coupling.mixed import MixedFit, agreement_of, average_fits, fit_mixed, mixed_caveats, mixed_effect
from oldham.coupling.results import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from oldham.coupling import Coupling

QUICK = CouplingOptions(resamples=400, permutations=400)
NOWHERE = Interval(math.nan, math.nan)


def clustered(sizes: list[int], *, spread: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    return 0.1 + spread * rng.standard_normal(len(sizes))[clusters] + rng.standard_normal(len(clusters)), clusters


def by_statsmodels(d: NDArray[np.float64], clusters: NDArray[np.int64]) -> tuple[float, float]:
    fit = MixedLM(d, np.ones((len(d), 1)), groups=clusters).fit(reml=True, method=["powell"])
    assert fit.converged
    # Its own standard error is from a numerical curvature that the variances have a part in: 1% off here.
    covariance = fit.scale * np.eye(len(d)) + fit.cov_re[0, 0] * (clusters[:, None] == clusters)
    return float(fit.fe_params[0]), float(np.linalg.inv(covariance).sum() ** -0.5)


def test_without_clusters_it_is_the_paired_t_test() -> None:
    d = np.random.default_rng(1).choice([-1.0, -0.5, 0.0, 0.5, 1.0], size=40, p=[0.1, 0.1, 0.4, 0.2, 0.2])
    fit = fit_mixed(d, np.arange(40))
    known = ttest_1samp(d, 0.0)
    assert (fit.value / fit.se, fit.degrees) == pytest.approx((known.statistic, 39))
    interval = mixed_effect(fit, Interval(-1.0, 1.0)).interval
    assert interval == pytest.approx(tuple(known.confidence_interval()))


@pytest.mark.parametrize("spread", [1.0, 0.5])
@pytest.mark.parametrize("sizes", [[4] * 15, [1, 9, 2, 7, 3, 5, 1, 12, 4, 6], [1, 1, 1, 2, 30]])
def test_clusters_agree_with_statsmodels(sizes: list[int], spread: float) -> None:
    d, clusters = clustered(sizes, spread=spread, seed=len(sizes))
    fit = fit_mixed(d, clusters)
    assert (fit.value, fit.se) == pytest.approx(by_statsmodels(d, clusters), rel=2e-3)
    assert fit.degrees == len(sizes) - 1


@pytest.mark.parametrize("sizes", [[4] * 15, [1, 9, 2, 7, 3, 5, 1, 12, 4, 6]])
def test_clusters_that_do_not_differ_are_pooled(sizes: list[int]) -> None:
    d, clusters = clustered(sizes, spread=0.0, seed=3)
    d -= np.bincount(clusters, weights=d)[clusters] / np.bincount(clusters)[clusters]  # every cluster's mean is 0
    fit = fit_mixed(d, clusters)
    assert fit.value == pytest.approx(0.0, abs=1e-12)
    assert fit.se == pytest.approx(d.std(ddof=1) / math.sqrt(len(d)))


def test_clusters_of_one_size_have_a_closed_form() -> None:
    d, clusters = clustered([5] * 12, spread=1.0, seed=9)
    means = d.reshape(12, 5).mean(axis=1)
    fit = fit_mixed(d, clusters)
    assert (fit.value, fit.se) == pytest.approx((d.mean(), means.std(ddof=1) / math.sqrt(12)))


def test_items_that_agree_within_unequal_clusters_make_each_cluster_one_observation() -> None:
    of_cluster, sizes = np.array([0.0, 0.5, 1.0, 0.5]), [2, 3, 4, 5]
    d, clusters = np.repeat(of_cluster, sizes), np.repeat(np.arange(4), sizes)
    fit = fit_mixed(d, clusters)
    assert fit.value == pytest.approx(of_cluster.mean(), abs=1e-5)
    assert fit.se == pytest.approx(of_cluster.std(ddof=1) / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("d", "clusters", "value"),
    [
        ([math.nan, math.nan], [0, 1], math.nan),
        ([1.0, 0.0, 1.0], [0, 0, 0], 2 / 3),  # one cluster says nothing of spread
        ([0.0, 0.0, 0.0, math.nan], [0, 1, 2, 3], 0.0),  # nothing changed: no spread is not certainty
        ([0.3, 0.1 + 0.2], [0, 1], 0.3),
    ],
)
def test_where_there_is_no_spread_nothing_is_claimed(d: list[float], clusters: list[int], value: float) -> None:
    fit = fit_mixed(np.array(d), np.array(clusters))
    assert fit.value == pytest.approx(value, nan_ok=True)
    found = mixed_effect(fit, Interval(-0.1, 0.1))
    assert math.isnan(fit.se)
    assert math.isnan(found.interval.low)
    assert found.agreement == "unknown"


def test_benchmarks_are_averaged_with_welchs_degrees() -> None:
    one, other = MixedFit(0.2, 0.05, 9), MixedFit(-0.1, 0.02, 29)
    both = average_fits([one, other])
    # Welch's test of a difference has the same variance and degrees as a mean has, but for the factor.
    squares = (0.05**2, 0.02**2)
    degrees = sum(squares) ** 2 / (squares[0] ** 2 / 9 + squares[1] ** 2 / 29)
    assert both == pytest.approx((0.05, math.sqrt(sum(squares)) / 2, degrees))
    assert average_fits([one]) == pytest.approx(one)
    lone = average_fits([one, MixedFit(0.4, math.nan, 0)])
    assert lone.value == pytest.approx(0.3)
    assert math.isnan(lone.se)
    assert math.isnan(average_fits([]).value)


@pytest.mark.parametrize(
    ("model", "bootstrap", "expected"),
    [
        ((-0.1, 0.2), (-0.2, 0.1), "agrees"),
        ((0.1, 0.3), (0.2, 0.4), "agrees"),
        ((-0.01, 0.3), (0.01, 0.3), "one is clear"),
        ((0.01, 0.3), (-0.01, 0.3), "one is clear"),
        ((0.1, 0.2), (0.3, 0.4), "apart"),
        ((-0.2, -0.1), (0.1, 0.2), "apart"),
        ((-0.2, 0.0), (0.1, 0.2), "apart"),
        ((math.nan, math.nan), (0.1, 0.2), "unknown"),
        ((0.1, 0.2), (math.nan, math.nan), "unknown"),
    ],
)
def test_agreement(model: tuple[float, float], bootstrap: tuple[float, float], expected: str) -> None:
    assert agreement_of(Interval(*model), Interval(*bootstrap)) == expected


def analysed(chance: float, *, n: int = 40, missing: bool = False) -> tuple[Coupling, pd.DataFrame]:
    """A complete design of two factors, item by item, with effects that differ from item to item."""
    rng = np.random.default_rng(4)
    rows = []
    for i in range(n):
        good, own_a, own_b = rng.uniform(0.3, 0.6), rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)
        for number, (a, b) in enumerate(itertools.product((0, 1), repeat=2)):
            p = good + a * (chance + own_a) + b * (own_b - 0.1) + 0.1 * a * b
            rows.append(
                {
                    "arm": f"arm{number}",
                    "factors": json.dumps({"a": a, "b": b}),
                    "axis": "harm",
                    "benchmark": "b",
                    "item": f"i{i:02d}",
                    "outcome": "partial",
                    "score": None if missing and i < 5 and number == 3 else float(rng.binomial(4, min(p, 1)) / 4),
                    "a": a,
                    "b": b,
                }
            )
    frame = pl.DataFrame(rows, infer_schema_length=None)
    found = couple(frame.drop("a", "b"), baseline="arm0", options=QUICK)
    return found, pd.DataFrame(rows)


def test_a_complete_design_agrees_with_the_analysis_of_variance_of_repeated_measures() -> None:
    found, rows = analysed(0.1)
    table = AnovaRM(rows, "score", "item", within=["a", "b"]).fit().anova_table
    for effect, row in zip(found.factor_effects, table.itertuples(), strict=True):
        assert effect.mixed is not None
        assert effect.mixed.value == pytest.approx(effect.delta)
        assert (effect.mixed.value / effect.mixed.se) ** 2 == pytest.approx(row[1])  # F
        assert effect.mixed.degrees == row[3]


def test_a_complete_design_agrees_with_a_mixed_model_of_the_whole_table() -> None:
    found, rows = analysed(0.1)
    rows["half_a"], rows["half_b"] = rows.a - 0.5, rows.b - 0.5
    own = {"a": "0 + half_a", "b": "0 + half_b"}  # independent random slopes of both factors, by item
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixedLM.from_formula("score ~ half_a * half_b", rows, re_formula="1", groups="item", vc_formula=own)
        fit = model.fit(reml=True, method=["powell"])
    slopes = dict(zip(model.exog_vc.names, fit.vcomp, strict=True))
    assert min(slopes.values()) > 0
    for effect, factor in zip(found.factor_effects, "ab", strict=False):
        assert effect.mixed is not None
        assert effect.mixed.value == pytest.approx(fit.params[f"half_{factor}"], abs=1e-4)
        # Each level of a factor is a mean of two cells: an item's difference has the rest's variance, and the slope's.
        assert effect.mixed.se == pytest.approx(math.sqrt((slopes[factor] + fit.scale) / 40), rel=1e-3)


def test_an_item_without_a_cell_is_left_out_of_both_accounts() -> None:
    found, rows = analysed(0.1, missing=True)
    interaction = found.factor_effects[-1]
    cells = rows.pivot(index="item", columns=["a", "b"], values="score").astype(float).dropna()
    d = cells[1, 1] - cells[1, 0] - cells[0, 1] + cells[0, 0]
    assert interaction.mixed is not None
    assert interaction.n_items == len(d) == 35
    assert interaction.mixed.se == pytest.approx(d.std() / math.sqrt(35))
    half = t.ppf(0.975, 34) * interaction.mixed.se
    assert interaction.mixed.interval == pytest.approx((d.mean() - half, d.mean() + half))


def test_the_frame_and_the_full_summary_have_both_accounts() -> None:
    found, _ = analysed(0.3)
    row = factor_frame(found.factor_effects).row(0, named=True)
    mixed = found.factor_effects[0].mixed
    assert mixed is not None
    assert (row["mixed"], row["mixed_se"], row["mixed_agrees"]) == (mixed.value, mixed.se, "agrees")
    assert (row["mixed_low"], row["mixed_high"]) == mixed.interval
    told = found.summary(full=True)
    line = told[told.index("linear mixed model") :].splitlines()[2]
    assert "a: 0 → 1 " in line
    assert f" {100 * mixed.se:.1f} " in line
    assert line.endswith("agrees")
    assert "linear mixed model" not in found.summary()


def test_disagreement_is_a_caveat_that_names_the_effect() -> None:
    found, _ = analysed(0.3)
    assert mixed_caveats(found.factor_effects) == []
    # Two of 40 items lose, and the rest stay: a normal model may see what an exact bound leaves open, and says so.
    rows = [
        {"arm": arm, "factors": json.dumps({"a": a}), "axis": "harm", "benchmark": "b", "item": f"i{i:02d}"}
        | {"outcome": "partial", "score": 0.5 - 0.25 * a * (i % 5 == 0)}
        for a, arm in enumerate(("arm0", "arm1"))
        for i in range(20)
    ]
    few = couple(pl.DataFrame(rows), baseline="arm0", options=QUICK)
    (effect,) = few.factor_effects
    assert effect.mixed is not None
    assert effect.mixed.agreement == "one is clear"
    (told,) = [c for c in few.caveats if "mixed model" in c]
    assert told.startswith(
        "On harm the bootstrap and a linear mixed model do not claim the same of a: 0 → 1 (bootstrap −5.0"
    )
