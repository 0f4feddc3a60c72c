from __future__ import annotations

import math

import pytest

from oldham.core.outcomes import Axis
from oldham.coupling.findings import AXIS_WORDS, effect_finding, points
from oldham.coupling.results import Effect, Interval


def sentence(
    delta: float,
    low: float,
    high: float,
    *,
    n_items: int = 60,
    n_missing: int = 0,
    p_holm: float = 0.01,
    p_value: float | None = None,
    equivalent_within: float | None = None,
    judges: tuple[str, ...] = (),
) -> str:
    effect = Effect(
        arm="cot",
        axis="harm",
        benchmarks=("b",),
        delta=delta,
        interval=Interval(low, high),
        p_value=p_holm if p_value is None else p_value,
        p_holm=p_holm,
        q_bh=p_holm,
        test="mcnemar",
        smallest_detectable=0.1,
        n_items=n_items,
        n_clusters=n_items,
        n_missing=n_missing,
        finding="",
        judges=judges,
    )
    return effect_finding(effect, baseline="direct", equivalent_within=equivalent_within)


def test_a_loss_clear_of_zero_is_lower() -> None:
    assert sentence(-0.6, -0.72, -0.47, n_missing=1) == (
        "Refusal of harmful requests is 60.0 points lower under `cot` against `direct` (95% interval −72.0 to −47.0; "
        "60 items; 1 item left out for want of a scored answer in both arms)."
    )


def test_a_judge_that_looks_for_no_refusals_is_not_said_to_have_found_them() -> None:
    assert sentence(-0.6, -0.7, -0.5, judges=("refusal", "refusal_rules")).startswith("Refusal of harmful requests is")
    for judges in (("llama_guard@m",), ("refusal", "harm_heuristic")):
        assert sentence(-0.6, -0.7, -0.5, judges=judges).startswith("Safe answers to harmful requests are 60.0 points")
    assert sentence(0.1, -0.1, 0.3, judges=("j",)).startswith(
        "No detectable change in safe answers to harmful requests"
    )


def test_a_gain_clear_of_zero_is_higher() -> None:
    assert "is 10.0 points higher under" in sentence(0.1, 0.02, 0.2)


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.3), (0.0, 0.3)])
def test_an_interval_with_zero_claims_no_direction(low: float, high: float) -> None:
    text = sentence(0.1, low, high)
    assert text.startswith("No detectable change in refusal of harmful requests")
    assert f"could be as low as {points(low)} or as high as +30.0 points" in text
    assert "higher" not in text
    assert "equivalent" not in text


def test_equivalence_is_said_only_with_a_margin() -> None:
    assert "is equivalent within ±5 points under `cot`" in sentence(0.0, -0.04, 0.04, equivalent_within=0.05)


def test_a_small_but_clear_change_is_both() -> None:
    text = sentence(-0.02, -0.03, -0.01, equivalent_within=0.05)
    assert "2.0 points lower" in text
    assert "equivalent within ±5 points" in text


def test_an_unconfirmed_direction_says_so() -> None:
    text = sentence(-0.1, -0.2, -0.01, p_value=0.03, p_holm=0.13)
    assert text.endswith("but the test that allows for every arm compared does not confirm it (p = 0.13).")


def test_a_test_that_would_not_confirm_a_single_arm_either_is_not_blamed_on_the_others() -> None:
    text = sentence(-0.1, -0.2, -0.01, p_value=0.07, p_holm=0.13)
    assert text.endswith("but the test does not confirm it (p = 0.07).")


def test_nothing_measured_says_nothing() -> None:
    text = sentence(math.nan, math.nan, math.nan, n_items=0, n_missing=60, p_holm=math.nan)
    assert text == (
        "Nothing can be said of refusal of harmful requests under `cot` against `direct`: of 60 items, none has a "
        "scored answer in both arms."
    )


def test_one_cluster_says_nothing_sure() -> None:
    assert sentence(0.5, math.nan, math.nan, n_items=3).startswith("Nothing sure can be said")


def test_every_axis_has_words_and_none_says_significant() -> None:
    assert set(AXIS_WORDS) == {str(a) for a in Axis}
    assert "significan" not in sentence(-0.6, -0.7, -0.5)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "+12.3"), (-0.05, "−5.0"), (-0.0001, "0.0"), (math.nan, "unknown")]
)
def test_points(value: float, text: str) -> None:
    assert points(value) == text
