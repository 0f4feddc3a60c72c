"""Several models pooled, against a published meta-analysis and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from oldham.core.errors import ConfigError
from oldham.coupling.meta import Study, pool, tau2_reml
from oldham.coupling.meta_models import forest_rows, pooled_sentences, study_of
from oldham.coupling.results import Interval

# Thirteen trials of BCG against tuberculosis (Colditz and others 1994): cases and others, vaccinated and not.
BCG = (
    (4, 119, 11, 128),
    (6, 300, 29, 274),
    (3, 228, 11, 209),
    (62, 13536, 248, 12619),
    (33, 5036, 47, 5761),
    (180, 1361, 372, 1079),
    (8, 2537, 10, 619),
    (505, 87886, 499, 87892),
    (29, 7470, 45, 7232),
    (17, 1699, 65, 1600),
    (186, 50448, 141, 27197),
    (5, 2493, 3, 2338),
    (27, 16886, 29, 17825),
)


def bcg() -> list[Study]:
    return [
        Study(str(i), math.log(a / (a + b) * (c + d) / c), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))
        for i, (a, b, c, d) in enumerate(BCG)
    ]


def test_the_published_analysis_of_the_bcg_trials() -> None:
    # Viechtbauer 2010 (J. Stat. Softw. 36/3) and the documentation of metafor's rma(), method REML, test "knha".
    found = pool(bcg())
    assert found.tau2 == pytest.approx(0.3132, abs=5e-5)
    assert found.tau2_dl == pytest.approx(0.3088, abs=5e-5)
    assert found.value == pytest.approx(-0.7145, abs=5e-5)
    assert found.normal_interval == pytest.approx((-1.0669, -0.3622), abs=1e-4)
    assert found.standard_error == pytest.approx(0.1808, abs=1e-4)
    assert found.q == pytest.approx(152.2330, abs=1e-4)
    assert found.q_p < 1e-4
    assert found.i_squared == pytest.approx(1 - 12 / 152.2330, abs=1e-6)
    assert sum(m.weight for m in found.members) == pytest.approx(1)


def test_statsmodels_agrees_on_dersimonian_and_laird_with_hartung_and_knapp() -> None:
    meta = pytest.importorskip("statsmodels.stats.meta_analysis")
    studies = bcg()
    y, v = np.array([s.value for s in studies]), np.array([s.variance for s in studies])
    theirs, ours = meta.combine_effects(y, v, method_re="chi2", use_t=True), pool(studies, method="dl")
    assert ours.tau2 == pytest.approx(theirs.tau2)
    assert ours.value == pytest.approx(theirs.mean_effect_re)
    assert ours.standard_error == pytest.approx(theirs.sd_eff_w_re_hksj)
    assert ours.q == pytest.approx(theirs.q)
    assert ours.i_squared == pytest.approx(theirs.i2)
    assert [m.weight for m in ours.members] == pytest.approx(list(theirs.weights_rel_re))
    half = t.ppf(0.975, 12) * theirs.sd_eff_w_re_hksj
    assert ours.interval == pytest.approx((theirs.mean_effect_re - half, theirs.mean_effect_re + half))


@pytest.mark.parametrize("seed", range(6))
def test_reml_is_where_its_score_is_zero_or_at_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.5, 6)
    y = rng.normal(0, np.sqrt(v + (0.3 if seed % 2 else 0.0)))
    tau2 = tau2_reml(y, v)

    def score(x: float) -> float:
        """Return y'PPy - tr(P), twice the derivative of the restricted log-likelihood."""
        w = np.diag(1 / (v + x))
        one = np.ones((6, 1))
        p = w - w @ one @ one.T @ w / w.sum()
        return float(y @ p @ p @ y - np.trace(p))

    if tau2 > 0:
        assert score(tau2) == pytest.approx(0, abs=1e-4 * abs(score(tau2 / 2) - score(2 * tau2)))
    else:
        assert score(0.0) <= 0


def test_equal_variances_have_a_closed_form() -> None:
    y = np.array([0.1, 0.5, -0.2, 0.9])
    found = pool([Study(str(i), float(value), 0.02) for i, value in enumerate(y)])
    between = y.var(ddof=1) - 0.02
    assert (found.tau2, found.tau2_dl) == (pytest.approx(between, rel=1e-5), pytest.approx(between))
    assert found.value == pytest.approx(y.mean())
    error = y.std(ddof=1) / 2
    half = t.ppf(0.975, 3) * error
    assert found.interval == pytest.approx((y.mean() - half, y.mean() + half))
    own = between / (between + 0.02)
    assert [m.shrunken for m in found.members] == pytest.approx(list(own * y + (1 - own) * y.mean()), rel=1e-5)
    spread = math.sqrt(own * 0.02 + (1 - own) ** 2 * error**2)
    shown = found.members[0].shrunken_interval
    assert shown.high - shown.low == pytest.approx(2 * t.ppf(0.975, 3) * spread, rel=1e-5)


def test_models_that_agree_are_shrunken_to_one_value() -> None:
    found = pool([Study(n, value, 0.1) for n, value in (("a", 0.10), ("b", 0.11), ("c", 0.12))])
    assert found.tau2 == found.tau2_dl == found.i_squared == 0.0
    assert [m.shrunken for m in found.members] == pytest.approx([0.11] * 3)


def test_another_model_of_many_lies_where_a_normal_of_known_spread_says() -> None:
    k = 3000
    y = np.sqrt(0.05) * norm.ppf((np.arange(k) + 0.5) / k)
    found = pool([Study(str(i), float(value), 0.01) for i, value in enumerate(y)], leave_one_out=False)
    assert found.prediction == pytest.approx((-1.96 * 0.2, 1.96 * 0.2), rel=0.03)
    assert found.left_out == ()


def test_leaving_one_out_is_pooling_the_others() -> None:
    studies = bcg()
    found = pool(studies)
    assert [x.name for x in found.left_out] == [s.name for s in studies]
    others = pool(studies[1:])
    assert found.left_out[0].value == pytest.approx(others.value)
    assert found.left_out[0].interval == pytest.approx(others.interval)


def test_what_is_not_known_is_dropped_and_named() -> None:
    found = pool(
        [Study("a", 0.1, 0.1), Study("b", math.nan, 0.1), Study("c", math.inf, math.nan), Study("d", 0.3, 0.1)]
    )
    assert found.dropped == ("b", "c")
    assert found.value == pytest.approx(0.2)


def test_one_model_and_none_pool_to_nothing_sure() -> None:
    one = pool([Study("a", 0.4, 0.1)])
    assert one.value == 0.4
    assert all(math.isnan(x) for x in (one.interval.low, one.prediction.low, one.tau2, one.q))
    assert math.isnan(pool([]).value)


def test_two_models_have_no_prediction_and_are_said_to_be_few() -> None:
    found = pool([Study("a", -0.4, 0.01, Interval(-0.6, -0.2)), Study("b", -0.402, 0.01, Interval(-0.6, -0.2))])
    assert math.isnan(found.prediction.low)
    assert found.left_out == ()
    said = " ".join(pooled_sentences(found, "κ of harm on reasoning"))
    assert "2 models are very few" in said
    assert "trust the longer interval" in said, "the interval of two models that agree by chance is too short"


def test_sentences_follow_the_interval() -> None:
    clear = pool([study_of(str(i), -0.5 - 0.01 * i, Interval(-0.6, -0.4)) for i in range(6)])
    said = pooled_sentences(clear, "κ of harm on reasoning")
    assert said[0].startswith("κ of harm on reasoning over models is −0.5")
    assert sum(s.startswith("Without `") for s in said) == 6
    assert not any("very few" in s for s in said)
    unclear = pool([study_of(str(i), 0.5 * (-1) ** i, Interval(-0.6, 0.6)) for i in range(6)])
    assert pooled_sentences(unclear, "κ")[0].startswith("No κ clear of 0 over models")
    lone = pool([study_of("a", 0.1, Interval(0.0, 0.2)), study_of("b", -9.0, Interval(-math.inf, math.inf))])
    assert pooled_sentences(lone, "κ") == [
        "κ cannot be pooled: it has two ends in 1 model alone.",
        "Left out for want of a slope with two ends (reasoning moved too little there, nothing moved clearly, or too "
        "little is known): `b`.",
    ]
    nobody = pool([study_of("b", -9.0, Interval(-math.inf, math.inf))])
    assert pooled_sentences(nobody, "κ")[0] == "κ cannot be pooled: it has two ends in no model."


def test_a_forest_of_text_lines_up() -> None:
    lines = forest_rows(
        pool([study_of(n, v, Interval(v - 0.2, v + 0.2)) for n, v in (("a", -0.5), ("b", 0.3), ("c", 0.1))])
    )
    assert [line.split()[0] for line in lines] == ["model", "a", "b", "c", "pooled", "another"]
    at = {line.index("■") for line in lines if "■" in line}
    assert len(at) == 4
    zero = {line.index(mark) for line in lines[1:] for mark in "│┼" if mark in line}
    assert len(zero) == 1


def test_bad_studies_are_told() -> None:
    with pytest.raises(ConfigError, match="same name"):
        pool([Study("a", 0.1, 0.1), Study("a", 0.2, 0.1)])
    with pytest.raises(ConfigError, match="not above 0"):
        pool([Study("a", 0.1, 0.0)])
