from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm, t

from oldham.core.observations import as_observations
from oldham.coupling import CouplingOptions, couple
from oldham.coupling.contrasts import build_contrasts
from oldham.coupling.pairing import Block
from oldham.coupling.pareto import build_pareto, fronts
from oldham.coupling.pareto_field import compare, make_field
from oldham.coupling.pareto_volume import gain_alone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conftest import Table
    from oldham.coupling.contrasts import Contrast
    from oldham.coupling.pareto_results import Pareto

AXES = ("reasoning", "harm", "overrefusal", "truthfulness", "privacy")
FEW = CouplingOptions(resamples=400)


def block(axis: str, scores: dict[str, NDArray[np.float64]], benchmark: str = "b") -> Block:
    """A block of single draws, an item a cluster; NaN is an answer without a score."""
    table = np.array(list(scores.values()))[:, :, None]
    return Block(axis, benchmark, "answer", tuple(scores), table, np.ones(table.shape[:2]), np.arange(table.shape[1]))


def graded(n: int, changes: dict[str, float], *, seed: int = 0, spread: float = 0.1) -> dict[str, NDArray[np.float64]]:
    """Scores with a known mean change of each arm, exactly."""
    rng = np.random.default_rng(seed)
    noise = {arm: rng.normal(0, spread, n) for arm in changes}
    return {"base": np.full(n, 0.5), **{a: 0.5 + c + noise[a] - noise[a].mean() for a, c in changes.items()}}


def contrasts_of(changes: dict[str, tuple[float, ...]], n: int = 80, spread: float = 0.1) -> list[Contrast]:
    axes = AXES[: len(next(iter(changes.values())))]
    blocks = [
        block(axis, graded(n, {arm: c[k] for arm, c in changes.items()}, seed=k, spread=spread))
        for k, axis in enumerate(axes)
    ]
    return build_contrasts(blocks, baseline="base", options=FEW)


def found(changes: dict[str, tuple[float, ...]], n: int = 80, spread: float = 0.1, **options: float) -> Pareto:
    chosen = replace(FEW, **options)
    pareto = build_pareto(contrasts_of(changes, n, spread), baseline="base", options=chosen)
    assert pareto is not None
    return pareto


def brute_force(points: NDArray[np.float64], margin: float) -> list[list[bool]]:
    """Say arm by arm and set by set, by the words of the definition, whether nothing dominates it."""
    free = []
    for i in range(points.shape[1]):
        of_arm = []
        for b in range(points.shape[2]):
            beaten = False
            for j in range(points.shape[1]):
                ahead = [points[k, j, b] - points[k, i, b] for k in range(len(points))]
                beaten |= all(x >= -margin for x in ahead) and any(x > margin for x in ahead)
            of_arm.append(not beaten)
        free.append(of_arm)
    return free


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
def test_fronts_are_what_the_definition_says(margin: float) -> None:
    points = np.random.default_rng(1).normal(0, 0.2, size=(3, 5, 40))
    points[:, 4] = points[:, 3]
    [front] = fronts(points, [margin])
    expected = np.array(brute_force(points, margin))
    assert 0.05 < expected.mean() < 1
    assert front.membership == pytest.approx(expected.mean(axis=1))
    assert (front.membership <= 1 - front.beaten_by.max(axis=1) + 1e-12).all()


def test_equal_arms_do_not_dominate_each_other() -> None:
    points = np.zeros((3, 4, 1))
    points[:, 2] = 1e-15
    assert fronts(points, [0.0])[0].membership == pytest.approx([1, 1, 1, 1])


def test_arms_can_beat_each_other_in_a_circle_within_a_margin() -> None:
    # Each is two steps better than the next on one axis, and never worse by more than one.
    circle = np.array([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0], [1.0, 2.0, 0.0]])[:, :, None]
    inner, exact = fronts(circle, [1.0, 0.0])
    assert inner.membership == pytest.approx([0, 0, 0])
    assert exact.membership == pytest.approx([1, 1, 1])


def test_a_circle_is_told() -> None:
    step = 0.2
    circle = {"a": (0.0, 2 * step, step), "b": (step, 0.0, 2 * step), "c": (2 * step, step, 0.0)}
    shifted = {arm: tuple(c + 0.1 for c in changes) for arm, changes in circle.items()}
    pareto = found(shifted, margin=step + 0.01)
    assert not any(a.in_front for a in pareto.arms)
    assert any("in a circle" in note for note in pareto.notes)


def test_standings_of_clear_cases() -> None:
    pareto = found({"better": (0.3, 0.3), "worse": (-0.3, -0.3), "trade": (0.6, -0.2), "level": (0.0, 0.0)})
    assert {a.arm: a.standing for a in pareto.arms} == {
        "base": "dominated",
        "better": "in front",
        "worse": "dominated",
        "trade": "in front",
        "level": "dominated",
    }
    assert pareto.of("worse").membership == 0
    assert pareto.of("trade").membership == 1
    assert [a.arm for a in pareto.arms if a.in_front] == ["better", "trade"]


def test_arms_that_are_surely_level_are_all_in_front() -> None:
    pareto = found({"a": (0.0, 0.0), "b": (0.01, -0.01)}, n=400, spread=0.05)
    assert [a.standing for a in pareto.arms] == ["in front"] * 3


def test_a_loss_for_nothing_looks_undominated_without_a_margin() -> None:
    # Ten points of harm are lost and the other four axes are level: chance makes it better somewhere 15 times in 16.
    rng = np.random.default_rng(2)
    points = np.zeros((5, 2, 20_000))
    points[:, 1] = rng.normal(0, 0.02, size=(5, 20_000))
    points[1, 1] -= 0.1
    inner, exact = fronts(points, [0.05, 0.0])
    assert exact.membership[1] == pytest.approx(15 / 16, abs=5 * np.sqrt(15) / 16 / np.sqrt(20_000))
    # Better by the margin, 2.5 standard errors, on one of four axes, or behind by less than it on harm: 0.0306.
    at_most = 1 - 0.99379**4 * 0.99379
    assert inner.membership[1] == pytest.approx(at_most, abs=5 * np.sqrt(at_most / 20_000))


def test_gap_regret_and_losses_have_their_closed_forms() -> None:
    pareto = found({"a": (0.3, 0.1), "b": (0.1, 0.2), "c": (0.05, -0.1)})
    c = pareto.of("c")
    # a is ahead of c by 0.25 and 0.2, b by 0.05 and 0.3.
    assert c.gap == pytest.approx(0.2)
    assert c.regret == pytest.approx(0.3)
    assert [(x.axis, x.best, round(x.loss, 9)) for x in c.losses] == [("reasoning", "a", 0.25), ("harm", "b", 0.3)]
    assert pareto.of("a").gap == 0
    assert pareto.of("a").regret == pytest.approx(0.1)
    base = pareto.of("base")
    assert [x.loss for x in base.losses] == pytest.approx([0.3, 0.2])
    assert [x.n_items for x in base.losses] == [80, 80]
    # Raising c by any more than its gap on every axis leaves nothing that dominates it; any less does not.
    for raised, is_free in ((0.201, True), (0.199, False)):
        changes = np.array([[0.3, 0.1], [0.1, 0.2], [0.05 + raised, -0.1 + raised]])
        assert (fronts(changes.T[:, :, None], [0.0])[0].membership[2] == 1) == is_free


def test_every_interval_holds_its_value_and_says_how_many_items() -> None:
    pareto = found({"a": (0.1, -0.2, 0.0), "b": (0.05, 0.0, 0.1), "c": (-0.1, 0.1, 0.05)}, n=40, spread=0.4)
    frame = pareto.to_frame()
    for name in ("gap", "regret", "gain"):
        assert (frame[f"{name}_low"] <= frame[name]).all()
        assert (frame[name] <= frame[f"{name}_high"]).all()
        assert (frame[f"{name}_low"] >= 0).all()
    losses = pareto.loss_frame()
    assert (losses["low"] <= losses["loss"]).all()
    assert (losses["loss"] <= losses["high"]).all()
    assert losses["n_items"].unique().to_list() == [40]
    assert pareto.gain_interval.low <= pareto.gain <= pareto.gain_interval.high


def test_the_gain_is_the_volume_of_the_union() -> None:
    pareto = found({"a": (0.2, -0.5), "b": (-0.5, 0.3)}, n=60, spread=0.01)
    # 1.2 x 0.5 beyond 1 x 0.5, and 0.5 x 1.3 beyond 0.5 x 1.
    assert pareto.gain == pytest.approx(0.2 * 0.5 + 0.3 * 0.5)
    assert pareto.of("a").gain == pytest.approx(0.1)
    assert pareto.of("base").gain == 0


def test_ends_that_the_resamples_cannot_show_are_students() -> None:
    """Ten arms on five axes: 400 resamples have none beyond the ends that hold for all of them."""
    names = [f"a{i}" for i in range(10)]
    contrasts = contrasts_of(dict.fromkeys(names, (0.0,) * 5), n=60)
    found_of = {(c.arm, c.axis): c for c in contrasts}
    leads = compare(make_field(("base", *names), AXES, found_of, margin=0.05, seed=0))
    for k, axis in enumerate(AXES):
        change = found_of["a3", axis].change
        half = t.ppf(1 - 0.025 / 50, 59) * np.sqrt(change.variance)
        assert leads.low_all[0, 4, k] <= change.value - half + 1e-12
        assert -leads.low_all[4, 0, k] >= change.value + half - 1e-12
    assert (leads.low_all <= leads.low_arms + 1e-12).all()
    assert (np.abs(leads.low_all) <= 2).all()


def test_few_clusters_widen_the_upper_end_of_a_gain() -> None:
    contrasts = contrasts_of({"a": (0.3, 0.2)}, n=8)
    pareto = build_pareto(contrasts, baseline="base", options=FEW)
    assert pareto is not None
    drawn = gain_alone(np.column_stack([c.change.cloud for c in contrasts]))
    tail = norm.cdf(-t.ppf(0.975, 7) * np.sqrt(8 / 7))
    assert pareto.of("a").gain_interval.high == pytest.approx(np.quantile(drawn, 1 - tail))
    assert pareto.gain_interval.high == pytest.approx(pareto.of("a").gain_interval.high)


def test_the_margin_is_the_options() -> None:
    changes = {"a": (0.04, 0.0), "b": (-0.04, 0.0)}
    level, split = found(changes, spread=0.01, margin=0.09), found(changes, spread=0.01, margin=0.03)
    assert [a.in_front for a in level.arms] == [True, True, True]
    assert [a.in_front for a in split.arms] == [False, True, False]
    assert level.of("b").in_front_exact is split.of("b").in_front_exact is False


def test_an_arm_that_lacks_an_axis_is_left_out_and_named() -> None:
    scores = graded(40, {"a": 0.1, "b": 0.2})
    gone = {**scores, "b": np.full(40, np.nan)}
    blocks = [block("reasoning", scores), block("harm", gone)]
    pareto = build_pareto(build_contrasts(blocks, baseline="base", options=FEW), baseline="base", options=FEW)
    assert pareto is not None
    assert [a.arm for a in pareto.arms] == ["base", "a"]
    assert pareto.left_out == ("b",)
    assert "`b` is left out of the front: it has no change with a known spread on harm." in pareto.notes
    with pytest.raises(KeyError):
        pareto.of("b")
    # It is better on reasoning than all others, and still beats nobody.
    assert pareto.of("a").losses[0].best == "a"


def test_an_axis_that_nobody_has_is_no_axis() -> None:
    scores = graded(40, {"a": 0.1})
    blocks = [block("reasoning", scores), block("harm", scores), block("privacy", {**scores, "a": np.full(40, np.nan)})]
    pareto = build_pareto(build_contrasts(blocks, baseline="base", options=FEW), baseline="base", options=FEW)
    assert pareto is not None
    assert (pareto.axes, pareto.left_out) == (("reasoning", "harm"), ())


def test_one_axis_has_no_front() -> None:
    contrasts = build_contrasts([block("harm", graded(20, {"a": 0.1}))], baseline="base", options=FEW)
    assert build_pareto(contrasts, baseline="base", options=FEW) is None


def test_without_an_arm_that_has_every_axis_only_the_reasons_are_told() -> None:
    scores = graded(20, {"a": 0.1, "b": 0.1})
    only_a, only_b = ({k: v for k, v in scores.items() if k != other} for other in ("b", "a"))
    blocks = [block("reasoning", only_a), block("harm", only_b)]
    pareto = build_pareto(build_contrasts(blocks, baseline="base", options=FEW), baseline="base", options=FEW)
    assert pareto is not None
    assert (pareto.arms, pareto.left_out) == ((), ("a", "b"))
    assert np.isnan(pareto.gain)
    assert len(pareto.lines()) == 2


def test_missing_answers_and_other_benchmarks_are_told() -> None:
    scores = graded(40, {"a": 0.1, "b": 0.2})
    holes = {**scores, "b": np.where(np.arange(40) < 5, np.nan, scores["b"])}
    other = {"base": scores["base"], "a": scores["a"]}
    blocks = [block("reasoning", scores), block("harm", holes), block("privacy", scores), block("privacy", other, "c")]
    pareto = build_pareto(build_contrasts(blocks, baseline="base", options=FEW), baseline="base", options=FEW)
    assert pareto is not None
    assert any("not all the same on harm (35 to 40)" in note for note in pareto.notes)
    assert any("On privacy the arms were measured on different benchmarks" in note for note in pareto.notes)


def test_two_arms_without_a_difference_are_not_surely_level() -> None:
    # Thirty items that agree in both arms leave up to a tenth that might not.
    gains = np.where(np.arange(30) < 12, 1.0, 0.0)
    scores = {"base": np.zeros(30), "a": gains, "b": gains.copy()}
    contrasts = build_contrasts([block(x, scores) for x in ("reasoning", "harm")], baseline="base", options=FEW)
    pareto = build_pareto(contrasts, baseline="base", options=replace(FEW, margin=0.05))
    assert pareto is not None
    assert pareto.of("a").losses[0].loss == 0
    assert pareto.of("a").losses[0].interval.high == pytest.approx(1 - 0.025 ** (1 / 30), abs=0.02)
    assert pareto.of("a").standing == "undecided"


def test_if_alike_is_the_mean_membership_of_studies_without_a_difference() -> None:
    # The estimates' own noise comes on top of the resamples': the share must know both.
    rng = np.random.default_rng(4)
    arms, studies, error = 3, 400, 0.04
    shares, told = [], []
    for _ in range(studies):
        cloud = rng.normal(0, error, size=(3, arms, 200)) + rng.normal(0, error, size=(3, arms, 1))
        cloud = np.concatenate([np.zeros((3, 1, 200)), cloud], axis=1)
        noise = cloud - cloud.mean(axis=2, keepdims=True)
        shares.append(fronts(cloud, [0.05])[0].membership)
        told.append(fronts(noise + np.roll(noise, 1, axis=2), [0.05])[0].membership)
    spread = np.std(shares, axis=0) / np.sqrt(studies)
    assert np.abs(np.mean(shares, axis=0) - np.mean(told, axis=0)).max() < 5 * spread.max()


def test_numbers_do_not_depend_on_the_order_of_arms() -> None:
    changes = {"a": (0.1, -0.1), "b": (0.0, 0.05), "c": (-0.05, 0.1)}
    contrasts = contrasts_of(changes, n=30, spread=0.3)
    one = build_pareto(contrasts, baseline="base", options=FEW)
    two = build_pareto(contrasts[::-1], baseline="base", options=FEW)
    assert one is not None
    assert two is not None
    first, second = one.to_frame().sort("arm"), two.to_frame().sort("arm")
    for name, kind in first.schema.items():
        if kind == pl.Float64:
            assert second[name].to_list() == pytest.approx(first[name].to_list(), abs=1e-12)
        else:
            assert second[name].to_list() == first[name].to_list()


def test_many_arms_have_no_common_volume_but_all_else() -> None:
    changes = {f"a{i:02d}": (i / 100, -i / 100) for i in range(25)}
    pareto = found(changes, n=20)
    assert np.isnan(pareto.gain)
    assert any("not computed for more than 24 arms" in note for note in pareto.notes)
    assert len(pareto.arms) == 26


def test_sentences_say_no_more_than_the_standing() -> None:
    pareto = found({"better": (0.3, 0.3), "unsure": (0.28, 0.31)}, spread=0.4)
    said = {a.arm: a.finding for a in pareto.arms}
    assert said["base"].startswith("`base` is dominated by `")
    assert "better by more than that on " in said["base"]
    assert said["unsure"].startswith("Whether `unsure` is dominated by more than 5 points is not decided")
    assert "80 items an axis" in said["unsure"]
    assert "significant" not in " ".join(said.values())


def test_couple_has_the_front_and_the_full_summary_tells_it(table: Table) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for axis, good in (("reasoning", 0.9), ("harm", 0.2)):
        arms = {"base": 0.5, "cot": good}
        scores: dict[str, list[float | None]] = {
            a: (rng.random(40) < p).astype(float).tolist() for a, p in arms.items()
        }
        rows.append(table(scores, axis=axis, benchmark=axis))
    coupling = couple(as_observations(pl.concat(rows)), baseline="base", options=FEW)
    assert coupling.pareto is not None
    assert [a.arm for a in coupling.pareto.arms] == ["base", "cot"]
    change = {(e.arm, e.axis): e.delta for e in coupling.effects}
    assert [x.change for x in coupling.pareto.of("cot").losses] == [change["cot", "reasoning"], change["cot", "harm"]]
    full, brief = coupling.summary(full=True), coupling.summary()
    assert "Pareto front" in full
    assert coupling.pareto.arms[1].finding.split(":")[0] in full.replace("\n  ", " ")
    assert "Pareto front" not in brief
    assert max(map(len, full.splitlines())) <= 110
