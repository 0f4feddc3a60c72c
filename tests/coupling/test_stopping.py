from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from oldham.core.errors import ConfigError, DataError
from oldham.core.rounds import Look, Planned
from oldham.coupling import CouplingOptions, Gate, couple, judge_gate
from oldham.coupling.stopped import as_stopped, read_stopped
from oldham.coupling.stopping import GateUmpire, StopRule
from oldham.coupling.stopping_rows import Rows
from oldham.judges.cards import CardCell, JudgeCard, LabelSource

if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = CouplingOptions(resamples=500, permutations=200, cards={})
LOOK = Look(1, 60)


def rows(
    axis: str, arms: dict[str, Sequence[float | None]], benchmark: str = "", clusters: Sequence[str] | None = None
) -> pl.DataFrame:
    """One row a score; None is an answer without one."""
    made = [
        {"arm": arm, "axis": axis, "benchmark": benchmark or axis, "item": f"i{i}", "judge": "j", "score": score}
        | {"cluster": clusters[i] if clusters else f"i{i}", "outcome": _outcome(axis, score)}
        for arm, scores in arms.items()
        for i, score in enumerate(scores)
    ]
    return pl.DataFrame(made, infer_schema_length=None)


def _outcome(axis: str, score: float | None) -> str:
    names = {"reasoning": ("incorrect", "correct"), "harm": ("complied_harmful", "refused")}[axis]
    return "unjudged" if score is None else names[round(score)]


def planned(reasoning: int = 200, harm: int = 200) -> dict[str, Planned]:
    return {
        "reasoning": Planned("reasoning", reasoning, reasoning, 1),
        "harm": Planned("harm", harm, harm, 1),
    }


def study(gained: int, lost: int, n: int = 60, arm: str = "arm") -> pl.DataFrame:
    reasoning = {"base": [0.0] * n, arm: [1.0] * gained + [0.0] * (n - gained)}
    return pl.concat(
        [rows("reasoning", reasoning), rows("harm", {"base": [1.0] * n, arm: [0.0] * lost + [1.0] * (n - lost)})]
    )


def umpire(gate: Gate | None = None, **rule: Any) -> GateUmpire:
    return GateUmpire(gate or Gate(), baseline="base", options=OPTIONS, rule=StopRule(**rule))


def settle(judge: GateUmpire, frame: pl.DataFrame, sizes: dict[str, Planned] | None = None) -> set[tuple[str, str]]:
    sizes = sizes or planned()
    arms = set(frame["arm"]) - {"base"}
    running = {(arm, p.axis) for arm in arms for p in sizes.values()} - {
        cell for cell, read in judge.readings.items() if read.state != "open"
    }
    return set(judge.settle(frame, look=LOOK, planned=sizes, running=running))


def test_a_clear_gain_passes_early_and_the_other_axis_goes_on() -> None:
    judge = umpire()
    assert settle(judge, study(gained=30, lost=0)) == {("arm", "reasoning")}
    assert judge.readings["arm", "reasoning"].state == "passed"
    assert judge.readings["arm", "harm"].state == "open"


def test_a_clear_loss_fails_and_ends_the_arm() -> None:
    judge = umpire()
    assert settle(judge, study(gained=5, lost=30)) == {("arm", "reasoning"), ("arm", "harm")}
    assert judge.readings["arm", "harm"].state == "failed"
    assert judge.readings["arm", "reasoning"].state == "not_read"
    assert "failed: refusal of harmful requests" in "\n".join(judge.told())


def test_no_loss_passes_once_there_are_enough_items() -> None:
    # Each item that stays multiplies the boldest bets by up to 1 + 0.05 / 0.95: log(200) takes over 103 of them.
    few, many = study(gained=60, lost=0), study(gained=140, lost=0, n=140)
    assert settle(umpire(), few) == {("arm", "reasoning")}
    assert settle(umpire(), many) == {("arm", "reasoning"), ("arm", "harm")}


def test_with_all_items_asked_the_gates_own_rule_reads() -> None:
    frame = study(gained=30, lost=1)
    judge = umpire()
    assert settle(judge, frame, planned(60, 60)) == {("arm", "reasoning"), ("arm", "harm")}
    read = judge.readings["arm", "harm"]
    interval = Rows(frame, "base", OPTIONS).contrasts["arm", "harm"].change.interval(0.96)
    assert read.at_end
    assert read.state == ("passed" if interval.low > -0.05 else "undecided") == "undecided"


def test_a_hopeless_claim_is_given_up_but_not_failed_and_not_too_soon() -> None:
    even = rows("reasoning", {"base": [0.0, 1.0] * 30, "arm": [1.0, 0.0] * 30})
    frame = pl.concat([even, rows("harm", {"base": [1.0] * 60, "arm": [1.0] * 60})])
    judge = umpire()
    assert settle(judge, frame, planned(80, 80)) == {("arm", "reasoning"), ("arm", "harm")}
    assert judge.readings["arm", "reasoning"].state == "given_up"
    assert settle(umpire(), frame, planned(1000, 1000)) == set()
    assert settle(umpire(hopeless=0.0), frame, planned(80, 80)) == set()


def test_missing_scores_are_no_pairs_and_are_told() -> None:
    reasoning = {"base": [0.0] * 60, "arm": [1.0] * 20 + [None] * 25 + [0.0] * 15}
    frame = pl.concat([rows("reasoning", reasoning), rows("harm", {"base": [1.0] * 60, "arm": [1.0] * 60})])
    judge = umpire()
    settle(judge, frame)
    read = judge.readings["arm", "reasoning"]
    assert (read.state, read.items, read.missing, read.if_missing) == ("passed", 35, 25, True)
    harder = {"base": [0.0] * 30 + [1.0] * 30, "arm": [1.0] * 30 + [None] * 30}
    judge = umpire()
    settle(judge, pl.concat([rows("reasoning", harder), frame.filter(pl.col("axis") == "harm")]))
    assert judge.readings["arm", "reasoning"].if_missing is False
    assert "would still be open if the missing ones spoke against it" in "\n".join(judge.told())


def test_an_axis_without_any_pair_is_never_settled_early() -> None:
    nothing = rows("harm", {"base": [None] * 60, "arm": [1.0] * 60})
    judge = umpire()
    frame = pl.concat([study(gained=30, lost=0).filter(pl.col("axis") == "reasoning"), nothing])
    assert settle(judge, frame) == {("arm", "reasoning")}
    assert (judge.readings["arm", "harm"].state, judge.readings["arm", "harm"].items) == ("open", 0)
    judge = umpire()
    settle(judge, frame, planned(60, 60))
    assert judge.readings["arm", "harm"].state == "undecided"


def test_a_second_benchmark_without_scores_leaves_the_axis_open() -> None:
    frame = pl.concat(
        [
            study(gained=60, lost=0),
            rows("reasoning", {"base": [None] * 20, "arm": [None] * 20}, benchmark="other"),
        ]
    )
    sizes = {**planned(), "other": Planned("reasoning", 20, 20, 1)}
    judge = umpire()
    assert ("arm", "reasoning") not in settle(judge, frame, sizes)


def test_arms_are_read_apart_and_share_a_level_only_where_asked() -> None:
    frame = pl.concat([study(gained=10, lost=0), study(gained=10, lost=0, arm="b").filter(pl.col("arm") != "base")])
    each, together = umpire(), umpire(all_arms=True)
    assert settle(each, frame) == {("arm", "reasoning"), ("b", "reasoning")}
    assert settle(together, frame) == set()
    assert StopRule(all_arms=True).over(4) == StopRule(early=0.00125, end=0.005, all_arms=True)


def test_missing_scores_at_the_end_are_held_against_the_gates_own_rule() -> None:
    # 9 of 200 gain: the interval at 96% is clear of 0, betting far from it. One missing loss does not undo that.
    for lost, holds in ((1, True), (8, False)):
        scores = [1.0] * 9 + [0.0] * (191 - lost) + [None] * lost
        frame = pl.concat(
            [rows("reasoning", {"base": [0.0] * 200, "arm": scores}), study(0, 0, 200).filter(axis="harm")]
        )
        frame = frame.with_columns(
            pl.when((pl.col("arm") == "base") & (pl.col("item").str.slice(1).cast(int) >= 200 - lost))
            .then(1.0 if lost == 8 else pl.col("score"))
            .otherwise("score")
            .alias("score")
        )
        judge = umpire()
        settle(judge, frame, planned(200, 200))
        read = judge.readings["arm", "reasoning"]
        assert (read.state, read.missing, read.at_end, read.if_missing) == ("passed", lost, True, holds)


def test_an_unknown_spread_is_no_ground_to_give_up() -> None:
    # The second benchmark has shown one of its clusters, so nothing is known of how its mean varies.
    lone = rows("harm", {"base": [1.0] * 5, "arm": [0.0] * 5}, benchmark="other", clusters=["c"] * 5)
    judge = umpire()
    settle(judge, pl.concat([study(gained=5, lost=0), lone]), {**planned(), "other": Planned("harm", 20, 4, 5)})
    assert judge.readings["arm", "harm"].state == "open"


def test_a_second_study_is_not_told_with_the_first() -> None:
    judge = umpire()
    settle(judge, study(gained=30, lost=0))
    judge.check(["reasoning", "harm"])
    settle(judge, study(gained=30, lost=0, arm="other"))
    assert {arm for arm, _ in judge.readings} == {"other"}


def test_decisions_do_not_hang_on_the_order_of_rows() -> None:
    frame = study(gained=30, lost=3)
    one, other = umpire(), umpire()
    settle(one, frame)
    settle(other, frame.sample(fraction=1.0, shuffle=True, seed=3))
    assert one.readings == other.readings


def test_a_gate_that_no_arm_could_pass_is_refused() -> None:
    with pytest.raises(ConfigError, match="`privacy`"):
        umpire(Gate(safety=("privacy",))).check(["reasoning", "harm"])
    with pytest.raises(ConfigError, match="a safety axis"):
        umpire().check(["reasoning"])
    with pytest.raises(ConfigError, match="corrected for judge error"):
        umpire(Gate(corrected="true"))
    umpire().check(["reasoning", "harm"])


def test_the_simulated_rule_is_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "statistical"))
    from simulated_rounds import Design, against, draw, evidence

    design = Design(0.0, 200, StopRule())
    sizes = [60, 100, 140]
    found = []
    for counts in draw(0.2, 0.12, sizes, 12, seed=5).reshape(-1, 3):
        change = np.repeat([1.0, 0.0, -1.0], counts)
        frame = rows("reasoning", {"base": list((change < 1) * 1.0), "arm": list((change >= 0) * 1.0)})
        frame = pl.concat([frame, rows("harm", {"base": [1.0], "arm": [1.0]})])
        judge = umpire()
        settle(judge, frame, planned(200, 10_000))
        found.append((judge.readings["arm", "reasoning"].state, counts))
    for state, counts in found:
        if evidence(counts, 0.0) >= math.log(200):
            assert state == "passed"
        elif against(counts, 0.0) >= math.log(400):
            assert state == "failed"
        else:
            given_up = design.chances(counts) < 0.05 and counts.sum() >= 60
            assert state == ("given_up" if given_up else "open")
    assert len({state for state, _ in found}) == 3


def manifest(judge: GateUmpire, sizes: dict[str, Planned]) -> dict[str, Any]:
    stopped = [{"arm": a, "axis": x, "look": 1} for a, x in judge.readings]
    return {"sequential": {**judge.facts(), "planned": {k: p._asdict() for k, p in sizes.items()}, "stopped": stopped}}


def test_effects_of_a_stopped_arm_have_the_interval_of_the_sequence() -> None:
    frame, judge = study(gained=30, lost=0), umpire()
    settle(judge, frame)
    plain = couple(frame, baseline="base", options=OPTIONS)
    found = as_stopped(plain, frame, read_stopped(manifest(judge, planned())), OPTIONS)
    for before, after in zip(plain.effects, found.effects, strict=True):
        assert after.delta == before.delta
        assert after.interval.low < before.interval.low
        assert after.interval.high > before.interval.high
        assert after.test == "betting"
    reasoning, harm = found.effects
    assert reasoning.interval.excludes_zero
    assert reasoning.p_value <= reasoning.p_holm < 0.05
    assert harm.p_value == 1.0
    assert "with an interval that allows for it" in reasoning.finding
    assert "stopped by its own results" in found.caveats[0]


def test_items_that_only_the_baseline_was_asked_are_not_missing() -> None:
    frame = study(gained=30, lost=0).filter((pl.col("arm") == "base") | (pl.col("item").str.slice(1).cast(int) < 40))
    judge = umpire()
    settle(judge, frame)
    found = as_stopped(
        couple(frame, baseline="base", options=OPTIONS), frame, read_stopped(manifest(judge, planned())), OPTIONS
    )
    assert [(e.n_items, e.n_missing) for e in found.effects] == [(40, 0), (40, 0)]


def test_effects_with_all_items_have_the_interval_that_is_left_for_the_end() -> None:
    frame, judge, sizes = study(gained=30, lost=8), umpire(), planned(60, 60)
    settle(judge, frame, sizes)
    plain = couple(frame, baseline="base", options=OPTIONS)
    found = as_stopped(plain, frame, read_stopped(manifest(judge, sizes)), OPTIONS)
    contrasts = Rows(frame, "base", OPTIONS).contrasts
    for before, after in zip(plain.effects, found.effects, strict=True):
        assert after.interval == contrasts[after.arm, after.axis].change.interval(0.96)
        assert after.p_value == pytest.approx(min(1.0, before.p_value * 0.05 / 0.04))
        assert after.test == before.test


@pytest.mark.parametrize(("all_arms", "level"), [(False, "96%"), (True, "98%")])
def test_the_caveat_names_the_level_of_the_intervals(all_arms: bool, level: str) -> None:
    frame = pl.concat([study(30, 8), study(30, 8, arm="b").filter(pl.col("arm") != "base")])
    judge, sizes = umpire(all_arms=all_arms), planned(60, 60)
    settle(judge, frame, sizes)
    plain = couple(frame, baseline="base", options=OPTIONS)
    found = as_stopped(plain, frame, read_stopped(manifest(judge, sizes)), OPTIONS)
    contrasts = Rows(frame, "base", OPTIONS).contrasts
    effect = found.effects[0]
    expected = contrasts[effect.arm, effect.axis].change.interval(0.98 if all_arms else 0.96)
    assert effect.interval == expected
    assert f"effects have intervals at {level}" in found.caveats[0]


def test_an_axis_without_a_pair_does_not_pass_for_all_items_asked() -> None:
    frame, judge = rows("harm", {"base": [None] * 60, "arm": [1.0] * 60}), umpire(Gate(reasoning="any"))
    sizes = {"harm": planned()["harm"]}
    settle(judge, frame, sizes)
    plain = couple(frame, baseline="base", options=OPTIONS)
    found = as_stopped(plain, frame, read_stopped(manifest(judge, sizes)), OPTIONS)
    assert "1 of 1 effects rest on fewer items" in found.caveats[0]


def test_a_corrected_change_of_a_stopped_run_has_no_interval_and_everybody_says_so() -> None:
    counts = {
        "refused": {"refused": 95, "complied_harmful": 5},
        "complied_harmful": {"refused": 5, "complied_harmful": 95},
    }
    cell = CardCell.model_validate({"axis": "harm", "span": "answer", "counts": counts})
    card = JudgeCard(
        judge="j",
        judge_fingerprint="f",
        reads=("answer",),
        labelled_by="humans",
        labels=(LabelSource(name="labels", sha256="0", n=200),),
        validation="independent",
        cells=(cell,),
    )
    frame, judge = study(gained=30, lost=12), umpire()
    options = CouplingOptions(resamples=500, permutations=200, cards={"j": card})
    settle(judge, frame)
    plain = couple(frame, baseline="base", options=options)
    found = as_stopped(plain, frame, read_stopped(manifest(judge, planned())), options)
    harm = found.effects[1].corrected
    assert harm is not None
    assert not math.isnan(harm.value)
    assert math.isnan(harm.interval.low)
    assert math.isnan(harm.p_holm)
    why = "No interval is known for a change that is corrected for judge error"
    assert why in found.caveats[0]
    for text in (found.summary(), found.summary(full=True), judge_gate(found, Gate()).text()):
        assert why in " ".join(text.split())
    corrected = [c for c in judge_gate(found, Gate()).claims if c.corrected]
    assert [(c.state, c.items_needed) for c in corrected] == [("undecided", None)]


def test_items_named_for_a_stopped_run_are_those_of_a_study_asked_at_once() -> None:
    frame, judge = study(gained=30, lost=2), umpire()
    settle(judge, frame)
    plain = couple(frame, baseline="base", options=OPTIONS)
    found = as_stopped(plain, frame, read_stopped(manifest(judge, planned())), OPTIONS)
    (claim,) = [c for c in judge_gate(found, Gate()).claims if c.axis == "harm"]
    variance = Rows(frame, "base", OPTIONS).contrasts["arm", "harm"].change.variance
    z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
    assert claim.items_needed == pytest.approx(60 * variance * (z / (0.05 - 2 / 60)) ** 2, rel=0.03)


def test_a_run_that_asked_everything_is_left_alone_and_a_broken_manifest_is_told() -> None:
    found = couple(study(gained=3, lost=3), baseline="base", options=OPTIONS)
    assert as_stopped(found, study(gained=3, lost=3), read_stopped({}), OPTIONS) is found
    with pytest.raises(DataError, match="asked in rounds"):
        read_stopped({"sequential": {"gate": {}}})
    with pytest.raises(DataError, match="asked in rounds"):
        read_stopped({"sequential": {"gate": {}, "rule": {}, "planned": [], "claims": [], "stopped": []}})
