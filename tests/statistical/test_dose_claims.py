"""Doses from scores to claims: do bands hold their truth, and how often is something said when there is nothing?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from dose_studies import draw_study, ladder

from oldham.coupling.dynamics_bands import simultaneous_bands
from oldham.coupling.dynamics_between import controlled, mean_over_seeds, way_back
from oldham.coupling.dynamics_ladders import change_ladder
from oldham.coupling.dynamics_path import build_path, critical_dose
from oldham.coupling.dynamics_results import DoseChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oldham.coupling.dynamics_results import ControlCheck, CriticalDose, DosePath, Hysteresis
    from oldham.coupling.results import Interval

pytestmark = pytest.mark.thorough

DOSES = (10.0, 20.0, 40.0, 80.0)
MARGIN = 0.05


def at_most(share: float, studies: int) -> float:
    """Return a share with three standard errors of the simulation on top."""
    return share + 3 * math.sqrt(share * (1 - share) / studies)


def holds(bands: list[Interval], truth: list[float]) -> bool:
    return all(band.low <= value <= band.high for band, value in zip(bands, truth, strict=True))


def path_of(harm: list[float], reasoning: list[float], **study: Any) -> DosePath:
    sft = ladder("sft", DOSES)
    changes = {a: {"reasoning": x, "harm": y} for a, x, y in zip(sft.arms, reasoning, harm, strict=True)}
    source = draw_study(changes, **study)
    return build_path(change_ladder(sft, source), source)


def judged(harm: list[float], **study: Any) -> tuple[list[Interval], CriticalDose]:
    """Return the bands of one study and what is said of its critical dose, without the rest of its path."""
    sft = ladder("sft", DOSES)
    source = draw_study({a: {"harm": v} for a, v in zip(sft.arms, harm, strict=True)}, resamples=1000, **study)
    estimates = change_ladder(sft, source).estimates("harm")
    bands = simultaneous_bands(estimates)
    rows = [
        DoseChange("harm", arm, d, e.value, e.interval(), band, e.value, e.n_clusters, e.n_clusters, 0, ())
        for arm, d, e, band in zip(sft.arms, DOSES, estimates, bands, strict=True)
    ]
    return bands, critical_dose(rows, estimates, start=0.0, margin=MARGIN)


SHAPES = [
    {"n": 60},
    {"n": 200},
    {"n": 200, "cluster_size": 5},
    {"n": 120, "missing": 0.2},
    {"n": 60, "benchmarks": 2},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bands_hold_all_doses_and_a_loss_of_the_margin_is_not_called_more(shape: Mapping[str, Any]) -> None:
    """The truth lies on the margin at every dose, where a critical dose is named most often without being one."""
    studies, truth = 250, [-MARGIN] * 4
    found = [judged(truth, study=s, **shape) for s in range(studies)]
    assert 1 - np.mean([holds(bands, truth) for bands, _ in found]) <= at_most(0.05, studies)
    assert np.mean([critical.state == "reached" for _, critical in found]) <= at_most(0.025, studies)
    assert np.mean([critical.state == "none" for _, critical in found]) <= at_most(0.025, studies)


def test_bands_hold_a_curve_that_falls() -> None:
    studies, truth = 250, [-0.02, -0.1, -0.2, -0.4]
    found = [judged(truth, study=s) for s in range(studies)]
    held = np.mean([holds(bands, truth) for bands, _ in found])
    assert 1 - at_most(0.05, studies) <= held <= 0.99
    # Dose 10 alone loses less than the margin.
    assert np.mean([critical.dose == DOSES[0] for _, critical in found]) <= at_most(0.025, studies)
    assert np.mean([critical.state == "reached" for _, critical in found]) > 0.99


@pytest.mark.parametrize("n", [60, 200])
def test_where_nothing_changes_nothing_is_said(n: int) -> None:
    studies = 120
    paths = [path_of([0.0] * 4, [0.0] * 4, study=s, n=n) for s in range(studies)]
    trends = [any(t.p_holm < 0.05 and t.interval.excludes_zero for t in p.trends) for p in paths]
    assert np.mean(trends) <= at_most(0.05, studies)
    assert np.mean([p.critical[0].state == "reached" for p in paths]) <= at_most(0.001, studies)
    assert np.mean([not math.isnan(p.free.dose) for p in paths]) <= at_most(0.025, studies)


def test_a_free_range_seldom_holds_a_loss_of_the_margin() -> None:
    """Reasoning rises for sure; from the second dose on harm loses the margin, so that dose 10 is the last free one."""
    studies, rises = 120, [0.3] * 4
    paths = [path_of([0.0, *[-MARGIN] * 3], rises, study=s, n=200) for s in range(studies)]
    assert np.mean([p.free.dose > 10.0 for p in paths]) <= at_most(0.025, studies)


def loop(out: list[tuple[float, float]], back: list[tuple[float, float]], study: int, n: int) -> Hysteresis:
    ways = ladder("sft", range(1, len(out) + 1)), ladder("safe", range(1, len(back) + 1))
    arms = [arm for way in ways for arm in way.arms]
    changes = {a: {"reasoning": x, "harm": y} for a, (x, y) in zip(arms, [*out, *back], strict=True)}
    (found,) = way_back(*ways, draw_study(changes, study=study, n=n, resamples=1000))
    return found


AWAY = [(0.1, -0.15), (0.2, -0.3)]


@pytest.mark.parametrize("n", [60, 200])
@pytest.mark.parametrize(
    ("out", "back"), [(AWAY, [(0.1, -0.15), (0.0, 0.0)]), ([(0.0, 0.0)] * 2, [(0.0, 0.0)] * 2)], ids=["same", "still"]
)
def test_a_way_back_along_the_way_out_is_not_told_apart(
    out: list[tuple[float, float]], back: list[tuple[float, float]], n: int
) -> None:
    studies = 200
    told = [loop(out, back, s, n).interval.excludes_zero for s in range(studies)]
    assert np.mean(told) <= at_most(0.05, studies)


def test_an_area_is_held_by_its_interval() -> None:
    studies, truth = 200, 0.0175  # of (0, 0), (0.1, -0.15), (0.2, -0.3), (0.1, 0.025), (0, 0) by the shoelace formula
    found = [loop(AWAY, [(0.1, 0.025), (0.0, 0.0)], s, 200) for s in range(studies)]
    assert 1 - np.mean([h.interval.low <= truth <= h.interval.high for h in found]) <= at_most(0.05, studies)


def check(loss: float, of_control: float, study: int, *, seeds: int = 1, spread: float = 0.0) -> ControlCheck:
    """Hold an intervention against one control; runs of either differ by `spread` (SD) at the last dose."""
    rng = np.random.default_rng([7, study, seeds])
    doses = DOSES[1:] if seeds == 1 else DOSES[2:]
    runs = {g: [ladder(f"{g}[seed={k}]", doses) for k in range(seeds)] for g in ("sft", "text")}
    changes = {}
    for group, last in (("sft", loss), ("text", of_control)):
        for run in runs[group]:
            end = last + spread * rng.standard_normal()
            changes |= {arm: {"harm": end * (k + 1) / len(doses)} for k, arm in enumerate(run.arms)}
    source = draw_study(changes, study=study, resamples=1000)
    found = {group: [change_ladder(each, source) for each in of] for group, of in runs.items()}
    # With one run the dose is the one that the same data call critical.
    paths = [build_path(each, source) for each in found["sft"]] if seeds == 1 else []
    training = {"text": {"control": "text"}}
    made = controlled(found["sft"], {"text": found["text"]}, paths=paths, training=training, margin=MARGIN)
    (only,) = made.checks
    return only


@pytest.mark.parametrize("both", [0.0, -0.25])
def test_a_loss_that_the_control_shares_seldom_survives_it(both: float) -> None:
    studies = 120
    states = [check(both, both, s).state for s in range(studies)]
    assert states.count("survives") / studies <= at_most(0.025, studies)
    if both == 0:
        assert 1 - states.count("no loss") / studies <= at_most(0.025, studies)


def test_a_loss_that_the_control_does_not_share_is_seldom_explained() -> None:
    studies = 120
    states = [check(-0.25, -0.25 + MARGIN, s).state for s in range(studies)]
    assert states.count("explained") / studies <= at_most(0.025, studies)


def test_runs_that_differ_by_chance_are_no_loss_that_survives() -> None:
    """Of 3 and 3 runs that lose alike on average, each by its own chance: items alone would call a fourth of them."""
    studies = 100
    found = [check(-0.25, -0.25, s, seeds=3, spread=0.1) for s in range(studies)]
    assert np.mean([c.state == "survives" for c in found]) <= at_most(0.025, studies)
    assert np.mean([c.left_interval.high < 0 for c in found]) > 0.1


def test_a_loss_beyond_its_control_in_every_seed_survives() -> None:
    found = [check(-0.45, -0.05, s, seeds=3, spread=0.03) for s in range(40)]
    assert np.mean([c.state == "survives" for c in found]) > 0.9


def test_seeds_that_differ_by_chance_are_no_change() -> None:
    studies, seen = 150, []
    runs = [ladder(f"sft[seed={k}]", (10.0,)) for k in range(3)]
    for s in range(studies):
        chance = 0.1 * np.random.default_rng([8, s]).standard_normal(3)
        source = draw_study({run.arms[0]: {"harm": -e} for run, e in zip(runs, chance, strict=True)}, study=s)
        (mean,) = mean_over_seeds("sft", [change_ladder(run, source) for run in runs]).means
        seen.append(mean.interval.excludes_zero and mean.seed_interval.excludes_zero)
    assert np.mean(seen) <= at_most(0.05, studies)
