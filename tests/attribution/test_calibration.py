from __future__ import annotations

import math

import numpy as np
import pytest

from oldham.attribution.calibration import TEMPERATURES, calibrate, fit_temperature, quality


def rows(logit: float, right: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Say a logit or its opposite, with so many right and so many wrong, half of each label."""
    logits = np.tile([logit] * right + [-logit] * wrong, 2)
    logits[right + wrong :] *= -1
    return logits, np.repeat([1, 0], right + wrong)


@pytest.mark.parametrize("logit", [0.3, 2.0, 8.0])
def test_the_temperature_brings_probabilities_to_the_share_that_is_right(logit: float) -> None:
    logits, labels = rows(logit, 4, 1)  # 80% right: ln 4 would be the logit to say
    assert math.isclose(fit_temperature(logits, labels), logit / math.log(4), rel_tol=1e-3)


def test_a_probe_without_an_error_asks_for_the_coldest() -> None:
    assert math.isclose(fit_temperature(*rows(1.0, 5, 0)), TEMPERATURES[0], rel_tol=0.05)


def test_without_both_labels_there_is_no_temperature() -> None:
    assert math.isnan(fit_temperature(np.array([1.0, 2.0]), np.array([1, 1])))
    assert math.isnan(fit_temperature(np.zeros(2), np.array([1, 0])))


def test_quality_in_closed_form() -> None:
    logits, labels = rows(math.log(4), 40, 10)
    good = quality(logits, labels)
    assert math.isclose(good.brier, 0.8 * 0.04 + 0.2 * 0.64)
    assert math.isclose(good.nll, -0.8 * math.log(0.8) - 0.2 * math.log(0.2))
    coin = quality(np.zeros(10), np.tile([0, 1], 5))
    assert (coin.ece, coin.brier) == (0.0, 0.25)
    assert math.isclose(coin.nll, math.log(2))
    sure = quality(np.full(20, 50.0), np.tile([0, 1], 10))
    assert math.isclose(sure.ece, 0.5)


def test_nothing_known_is_nothing() -> None:
    assert all(math.isnan(value) for value in quality(np.array([np.nan]), np.array([1])))


def test_calibration_is_judged_on_rows_it_was_not_fitted_on() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000) * 1.5
    labels = (rng.random(4000) < 1 / (1 + np.exp(-truth))).astype(np.int64)
    found = calibrate(6 * truth, labels, np.arange(4000) % 5)
    assert math.isclose(found.temperature, 6.0, rel_tol=0.1)
    assert found.after.ece < 0.03 < 0.1 < found.before.ece
    assert found.after.nll < found.before.nll
    assert found.after.brier < found.before.brier
    # One fold's labels are turned round: its own temperature is fitted on the others and so does not see that.
    turned = np.where(np.arange(4000) % 5 == 0, 1 - labels, labels)
    others = fit_temperature(6 * truth[np.arange(4000) % 5 != 0], turned[np.arange(4000) % 5 != 0])
    assert math.isclose(others, 6.0, rel_tol=0.1)
    assert calibrate(6 * truth, turned, np.arange(4000) % 5).temperature > 8
