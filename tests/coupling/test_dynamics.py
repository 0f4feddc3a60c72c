from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from dose_rows import BASE, dose_table, ladder

from oldham.core.errors import ConfigError
from oldham.coupling import CouplingOptions
from oldham.coupling.dynamics import DoseOptions, NoDosesError, dose_dynamics
from oldham.coupling.dynamics_ladders import without_seed

if TYPE_CHECKING:
    from oldham.coupling.dynamics_results import Dynamics

QUICK = CouplingOptions(resamples=1000, permutations=1000)
FALL = [(10, 0.05, 0.0), (20, 0.15, -0.02), (40, 0.25, -0.3), (80, 0.3, -0.5)]


def follow(arms: dict[str, Any], *, n: int = 200, wanted: DoseOptions | None = None, margin: float = 0.05) -> Dynamics:
    options = CouplingOptions(resamples=1000, permutations=1000, margin=margin)
    return dose_dynamics(
        dose_table({**BASE, **arms}, n=n), baseline="base", options=options, wanted=wanted or DoseOptions()
    )


def test_changes_bands_and_the_critical_dose_are_recovered() -> None:
    (path,) = follow(ladder("sft", FALL)).paths
    assert (path.start, path.start_dose, path.doses) == ("base", 0.0, (10.0, 20.0, 40.0, 80.0))
    assert [c.change for c in path.of("harm")] == pytest.approx([0.0, -0.02, -0.3, -0.5])
    assert [c.fitted for c in path.of("reasoning")] == pytest.approx([0.05, 0.15, 0.25, 0.3])
    for c in path.changes:
        assert c.band.low <= c.interval.low <= c.interval.high <= c.band.high
        assert c.n_items == 200
    (critical,) = path.critical
    assert (critical.state, critical.dose) == ("reached", 40.0)
    # By straight lines: from -0.02 at 20 to -0.3 at 40, the loss is 0.05 at 20 + 20 x 0.03 / 0.28.
    assert critical.crossing == pytest.approx(20 + 20 * 0.03 / 0.28)
    assert critical.crossing_interval == (20.0, 40.0)


def test_the_free_range_ends_before_the_loss() -> None:
    found = follow(ladder("sft", FALL))
    free = found.paths[0].free
    assert (free.dose, free.next_dose) == (20.0, 40.0)
    assert [(o.axis, o.failed) for o in free.obstacles] == [("harm", True)]
    assert "The free range goes to dose 20" in found.summary().replace("\n  ", " ")


def test_a_dose_that_only_may_lose_ends_the_free_range_and_says_how_many_items_it_takes() -> None:
    arms = ladder("sft", [(10, 0.3, 0.0), (20, 0.4, -0.04)])
    free = follow(arms, n=100).paths[0].free
    assert (free.dose, free.next_dose) == (10.0, 20.0)
    (obstacle,) = free.obstacles
    assert not obstacle.failed
    assert obstacle.items_needed is not None
    assert obstacle.items_needed > 100


def test_reasoning_that_does_not_rise_leaves_no_free_range() -> None:
    found = follow(ladder("sft", [(10, 0.0, 0.0), (20, 0.0, 0.0)]))
    free = found.paths[0].free
    assert math.isnan(free.dose)
    assert [o.axis for o in free.obstacles] == ["reasoning"]


def test_nothing_changed_claims_nothing() -> None:
    found = follow(ladder("sft", [(10, 0.0, 0.0), (20, 0.0, 0.0), (30, 0.0, 0.0)]), n=400)
    (path,) = found.paths
    (critical,) = path.critical
    assert critical.state == "none"  # of 400 items not one changed: less than 5 points were lost
    assert math.isnan(critical.dose)
    assert math.isinf(critical.crossing)
    assert all(s.kappa is None for s in path.segments)
    assert all(t.p_value == 1.0 and not t.interval.excludes_zero for t in path.trends)
    text = found.summary()
    assert "The critical dose" not in text
    assert "The free range goes" not in text
    assert "significant" not in text


def test_few_items_leave_the_critical_dose_open() -> None:
    found = follow(ladder("sft", [(10, 0.1, -0.1), (20, 0.1, -0.1)]), n=30)
    (critical,) = found.paths[0].critical
    assert critical.state == "open"
    assert critical.items_needed is not None
    assert critical.items_needed > 30
    assert f"About {critical.items_needed} items instead of 30" in found.summary().replace("\n  ", " ")


def test_local_coupling_by_hand() -> None:
    (path,) = follow(ladder("sft", [(10, 0.2, -0.1), (20, 0.4, -0.4), (30, 0.4, -0.5)])).paths
    one, two, three = path.segments
    assert (one.from_dose, one.to_dose) == (0.0, 10.0)
    assert [one.kappa, two.kappa] == pytest.approx([-0.5, -1.5])
    assert two.angle == pytest.approx(math.degrees(math.atan2(-0.3, 0.2)))
    assert two.kappa_interval.low < -1.5 < two.kappa_interval.high < 0
    assert three.kappa is None
    assert three.angle == pytest.approx(-90.0)
    assert path.plane[1].d_safety == pytest.approx(-0.4)


def test_a_trend_has_the_slope_on_ranks() -> None:
    (path,) = follow(ladder("sft", [(1, 0.1, -0.1), (100, 0.2, -0.2), (101, 0.3, -0.3)])).paths
    for trend, slope in zip(path.trends, (0.1, -0.1), strict=True):
        assert trend.per_step == pytest.approx(slope)
        assert trend.interval.excludes_zero
        assert trend.p_holm < 0.01


def test_an_arm_of_dose_0_is_the_start() -> None:
    arms = {"none": ("think", 0.0, 0.1, -0.1), **ladder("think", [(64, 0.3, -0.4)])}
    (path,) = follow(arms).paths
    assert path.start == "none"
    assert [c.change for c in path.changes] == pytest.approx([0.2, -0.3])


def test_a_baseline_with_a_dose_keeps_it_and_lower_doses_are_told() -> None:
    table = dose_table({"base": ("think", 64.0, 0.0, 0.0), **ladder("think", [(32, 0.0, 0.0), (128, 0.2, -0.2)])})
    found = dose_dynamics(table, baseline="base", options=QUICK)
    assert (found.paths[0].start_dose, found.paths[0].doses) == (64.0, (128.0,))
    assert any("`think/32`" in note for note in found.notes)


def test_two_arms_of_one_dose_have_no_path_and_are_told() -> None:
    arms = {"a": ("x", 1.0, 0.0, 0.0), "b": ("x", 1.0, 0.0, 0.0), **ladder("sft", [(5, 0.1, 0.0)])}
    found = follow(arms)
    assert [p.intervention for p in found.paths] == ["sft"]
    assert any("`a` and `b` are the same dose (1) of `x`" in note for note in found.notes)


def test_order_of_rows_is_nothing() -> None:
    table = dose_table({**BASE, **ladder("sft", FALL)}, n=60)
    one = dose_dynamics(table, baseline="base", options=QUICK)
    other = dose_dynamics(table.sample(fraction=1.0, shuffle=True, seed=3), baseline="base", options=QUICK)
    assert one.paths[0].changes == other.paths[0].changes
    assert one.paths[0].segments == other.paths[0].segments
    assert one.paths[0].trends == other.paths[0].trends


def test_an_axis_missing_at_one_dose_is_unknown_there() -> None:
    table = dose_table({**BASE, **ladder("sft", FALL)})
    table = table.filter(~((pl.col("arm") == "sft/20") & (pl.col("axis") == "harm")))
    found = dose_dynamics(table, baseline="base", options=QUICK)
    (path,) = found.paths
    gap = path.of("harm")[1]
    assert (gap.n_items, math.isnan(gap.change), math.isnan(gap.band.low)) == (0, True, True)
    assert math.isnan(path.critical[0].crossing)
    assert path.critical[0].dose == 40.0
    assert path.free.dose == 10.0
    assert "nothing sure is known" in found.summary()


def test_a_way_back_encloses_its_area() -> None:
    out = ladder("sft", [(1, 0.2, -0.2), (2, 0.4, -0.4)])
    # Back at equal reasoning with more safety: (0.4, -0.4) -> (0.2, 0.0) encloses a triangle with the start.
    back = ladder("safe", [(1, 0.4, 0.0), (2, 0.0, 0.0)])
    found = follow({**out, **back}, wanted=DoseOptions(intervention="sft", back="safe"))
    (loop,) = found.hysteresis
    assert follow({**out, **back}, wanted=DoseOptions(back="safe")).hysteresis == (loop,)
    assert (loop.axis, loop.turn) == ("harm", "sft/2")
    assert loop.area == pytest.approx(0.5 * 0.4 * 0.4)
    assert 0 < loop.interval.low < loop.area < loop.interval.high
    assert (loop.left_reasoning, loop.left_safety) == (0.0, 0.0)
    assert "has more refusal of harmful requests than the way out" in found.summary().replace("\n  ", " ")


def test_a_way_back_below_the_way_out_has_a_negative_area_and_the_same_way_none() -> None:
    out = ladder("sft", [(1, 0.4, 0.0), (2, 0.4, -0.4)])
    worse = ladder("safe", [(1, 0.2, -0.5), (2, 0.0, -0.2)])
    same = ladder("same", [(1, 0.4, 0.0), (2, 0.0, 0.0)])
    (loop,) = follow({**out, **worse}, wanted=DoseOptions("sft", "safe")).hysteresis
    assert loop.area < loop.interval.high < 0
    (flat,) = follow({**out, **same}, wanted=DoseOptions("sft", "same")).hysteresis
    assert flat.area == pytest.approx(0.0)
    assert not flat.interval.excludes_zero


def seeds(name: str, harm: list[float], reasoning: float = 0.2) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    for i, last in enumerate(harm):
        arms |= ladder(f"{name}[seed={i}]", [(10, reasoning / 2, last / 2), (20, reasoning, last)])
    return arms


def test_seeds_are_averaged_and_never_pooled() -> None:
    found = follow(seeds("sft", [-0.2, -0.3, -0.4]))
    assert [p.intervention for p in found.paths] == ["sft[seed=0]", "sft[seed=1]", "sft[seed=2]"]
    (group,) = found.replicates
    assert group.name == "sft"
    last = group.means[-1]
    assert (last.axis, last.dose, last.n_seeds) == ("harm", 20.0, 3)
    assert last.change == pytest.approx(-0.3)
    assert last.spread == pytest.approx(0.1)
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert last.seed_interval == pytest.approx((-0.3 - half, -0.3 + half))
    # The same items stand behind every seed, so the mean is no surer than items allow.
    assert last.interval.high - last.interval.low > 0.1
    assert not any("single run" in note for note in found.notes)


def test_two_seeds_have_a_spread_and_no_interval_over_seeds() -> None:
    found = follow(seeds("sft", [-0.2, -0.4]))
    assert math.isnan(found.replicates[0].means[-1].seed_interval.low)
    assert any("it takes 3" in note for note in found.notes)
    assert any("single run" in note for note in follow(ladder("sft", FALL)).notes)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sft", ("sft", None)),
        ("sft[seed=2]", ("sft", "2")),
        ("sft[seed=2,mix.ratio=0.05]", ("sft[mix.ratio=0.05]", "2")),
        ("sft[mix.ratio=0]", ("sft[mix.ratio=0]", None)),
    ],
)
def test_a_seed_is_taken_out_of_a_name(name: str, expected: tuple[str, str | None]) -> None:
    assert without_seed(name) == expected


TRAINING = {"sft": {"control": None}, "prose": {"control": "text"}, "mixed_up": {"control": "shuffled_answers"}}


@pytest.mark.parametrize(("of_control", "state"), [(-0.05, "survives"), (-0.38, "explained"), (-0.34, "open")])
def test_a_claim_is_held_against_its_control(of_control: float, state: str) -> None:
    arms = {**ladder("sft", [(10, 0.1, -0.4)]), **ladder("prose", [(10, 0.0, of_control)])}
    n = 200 if state != "explained" else 800
    found = follow(arms, n=n if state != "open" else 30, wanted=DoseOptions(training=TRAINING))
    (controls,) = found.controls
    assert (controls.intervention, controls.present, controls.n_seeds) == ("sft", ("text",), 1)
    assert (controls.missing, controls.pace) == (("shuffled_answers",), "unknown")
    (check,) = controls.checks
    assert check.state == state
    assert (check.dose, check.kind) == (10.0, "text")
    assert (check.change, check.of_control) == pytest.approx((-0.4, of_control), abs=0.02)
    assert check.left == pytest.approx(check.change - check.of_control)
    text = found.summary().replace("\n  ", " ")
    assert (
        "missing: the same reasoning data with shuffled answers, a matched learning rate, 3 seeds (there is 1)" in text
    )
    assert (
        f"of which the control `prose` (the same steps on text without reasoning) does −{-100 * check.of_control:.1f}"
        in text
    )


SLOW, FAST = {"learning_rate": 1e-4, "batch_size": 8}, {"learning_rate": 1e-3, "batch_size": 8}


@pytest.mark.parametrize(
    ("pace", "expected", "said"),
    [
        (FAST, "matched", "has the same steps on text without reasoning, a matched learning rate;"),
        (SLOW, "differs", "A control was trained at another learning rate, schedule or batch"),
        (None, "unknown", "missing: the same reasoning data with shuffled answers, a matched learning rate"),
    ],
)
def test_a_control_is_at_the_learning_rate_of_what_it_controls(pace: Any, expected: str, said: str) -> None:
    training = {"sft": {"control": None, "pace": FAST}, "prose": {"control": "text", "pace": pace}}
    arms = {**ladder("sft", [(10, 0.1, -0.4)]), **ladder("prose", [(10, 0.0, -0.1)])}
    found = follow(arms, wanted=DoseOptions(training=training))
    assert found.controls[0].pace == expected
    assert said in found.summary().replace("\n  ", " ")


def test_controls_are_averaged_over_seeds_and_a_gain_needs_none() -> None:
    arms = {**seeds("sft", [-0.3, -0.4, -0.5]), **seeds("prose", [-0.1, -0.1, -0.1])}
    (controls,) = follow(arms, wanted=DoseOptions(training=TRAINING)).controls
    assert controls.n_seeds == 3
    at_critical = controls.checks[0]
    assert at_critical.dose == 10.0  # the smallest critical dose, not the largest dose
    assert (at_critical.change, at_critical.of_control) == pytest.approx((-0.2, -0.05))
    assert at_critical.state == "survives"
    safe = {**ladder("sft", [(10, 0.2, 0.0)]), **ladder("prose", [(10, 0.0, 0.0)])}
    (controls,) = follow(safe, wanted=DoseOptions(training=TRAINING)).controls
    assert [c.state for c in controls.checks] == ["no loss"]


def test_a_trained_claim_without_a_control_says_so() -> None:
    found = follow(ladder("sft", FALL), wanted=DoseOptions(training={"sft": {"control": None}}))
    assert "not shown to be that of reasoning" in found.summary().replace("\n  ", " ")
    unknown = follow(ladder("sft", FALL))
    assert unknown.controls == ()
    assert any("no control stands beside it" in note for note in unknown.notes)


def test_one_intervention_is_shown_beside_its_controls() -> None:
    arms = {**ladder("sft", FALL), **ladder("prose", FALL)}
    found = follow(arms, wanted=DoseOptions("sft", training=TRAINING))
    assert [p.intervention for p in found.paths] == ["sft"]
    assert found.controls[0].present == ("text",)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean `sft`"):
        follow(ladder("sft", FALL), wanted=DoseOptions("sftt"))
    with pytest.raises(ConfigError, match="No arm has a dose of `back`"):
        follow(ladder("sft", FALL), wanted=DoseOptions(back="back"))
    with pytest.raises(ConfigError, match="Nothing is there for `sft` to turn back"):
        follow(ladder("sft", FALL), wanted=DoseOptions(back="sft"))
    with pytest.raises(NoDosesError, match="No arm has a dose"):
        follow({"arm": (None, None, 0.1, 0.1)})
    with pytest.raises(ConfigError, match="No observation belongs"):
        dose_dynamics(dose_table(BASE), baseline="bas")


def test_table_and_json_hold_what_was_found() -> None:
    found = follow(ladder("sft", FALL))
    frame = found.to_frame()
    assert frame.height == 8
    assert frame.filter(pl.col("axis") == "harm")["change"].to_list() == pytest.approx([0.0, -0.02, -0.3, -0.5])
    read = json.loads(found.to_json())
    assert read["paths"][0]["critical"][0]["dose"] == 40.0
    none = json.loads(follow(ladder("sft", [(10, 0.0, 0.0)]), n=400).to_json())
    assert none["paths"][0]["critical"][0]["dose"] is None
    assert np.isfinite(read["paths"][0]["changes"][0]["change"])
