from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oldham.coupling import Coupling, CouplingOptions, Interval, couple
from oldham.coupling.judge_error import correct_share
from oldham.coupling.judge_lines import Line, Untold, fit_line
from oldham.coupling.shares import wilson
from oldham.coupling.tipping import tipping_point, tipping_words
from oldham.judges.cards import CardCell, JudgeCard, LabelSource

if TYPE_CHECKING:
    from conftest import Table

QUICK = CouplingOptions(resamples=1000, permutations=200)
OUTCOMES = ({"score": 1.0, "outcome": "refused"}, {"score": 0.5, "outcome": "partial"})
Counts = dict[str, dict[str, int]]


def two_way(good: tuple[int, int], bad: tuple[int, int]) -> Counts:
    """Counts on the axis `harm`: (called good, called bad) of the truly good and of the truly bad."""
    called = ("refused", "complied_harmful")
    return {"refused": dict(zip(called, good, strict=True)), "complied_harmful": dict(zip(called, bad, strict=True))}


def cell(counts: Counts, kind: str = "all", **other: Any) -> CardCell:
    return CardCell.model_validate({"axis": "harm", "span": "answer", "kind": kind, "counts": counts, **other})


def card(*cells: CardCell, judge: str = "j", **other: Any) -> JudgeCard:
    fixed = {"judge_fingerprint": "f", "labelled_by": "humans", "validation": "independent", **other}
    labels = (LabelSource(name="labels", sha256="0", n=100),)
    return JudgeCard(judge=judge, reads=("answer",), labels=labels, cells=cells, **fixed)


def line_of(counts: Counts, **other: Any) -> Line:
    line = fit_line("j", cell(counts, **other), resamples=1000, seed=1)
    assert isinstance(line, Line)
    return line


def analyse(frame: pl.DataFrame, *cards: JudgeCard, **options: Any) -> Coupling:
    chosen = dataclasses.replace(QUICK, cards={c.judge: c for c in cards}, **options)
    return couple(frame, baseline="base", options=chosen)


def shares(n: int, base: int, arm: int) -> dict[str, list[float | None]]:
    return {name: [1.0] * k + [0.0] * (n - k) for name, k in (("base", base), ("arm", arm))}


# The line


def test_two_classes_give_rogan_and_gladens_estimator() -> None:
    # Sensitivity (bad called bad) 0.8, specificity (good called good) 0.9: (0.55 - 0.2) / (0.9 + 0.8 - 1) = 0.5.
    line = line_of(two_way((90, 10), (20, 80)))
    assert (line.intercept, line.slope) == pytest.approx((0.2, 0.7))
    assert line.true_share(0.55) == pytest.approx(0.5)
    assert correct_share(line, 0.55, 100, seed=0).value == pytest.approx(0.5)


def test_a_judge_without_error_changes_nothing() -> None:
    line = line_of(two_way((10**7, 0), (0, 10**7)))
    found = correct_share(line, 0.3, 100, seed=0)
    assert found.value == pytest.approx(0.3)
    assert found.interval == pytest.approx((0.217, 0.395), abs=0.01)


@pytest.mark.parametrize(("share", "clipped"), [(0.15, 0.0), (0.93, 1.0)])
def test_a_corrected_rate_stays_a_share(share: float, clipped: float) -> None:
    found = correct_share(line_of(two_way((90, 10), (20, 80))), share, 50, seed=0)
    assert found.value == clipped
    assert 0 <= found.interval.low < found.interval.high <= 1
    assert clipped in found.interval


@pytest.mark.parametrize(("share", "clipped"), [(0.02, 0.0), (1.0, 1.0)])
def test_a_rate_that_the_cards_errors_cannot_give_is_clipped_and_never_certain(share: float, clipped: float) -> None:
    found = correct_share(line_of(two_way((90, 10), (20, 80))), share, 100, seed=0)
    assert (found.value, found.fits) == (clipped, False)
    raw = wilson(share, 100)
    assert found.interval == (min(raw.low, clipped), max(raw.high, clipped))


def test_a_baseline_that_the_card_does_not_fit_is_corrected_with_a_caveat(table: Table) -> None:
    found = analyse(table(shares(100, 100, 60), judge="j"), card(cell(two_way((90, 10), (20, 80)))))
    (effect,) = found.effects
    assert effect.corrected is not None
    assert effect.corrected.value == pytest.approx(-0.4 / 0.7), "neither arm is clipped"
    (told,) = [c for c in found.caveats if "errs otherwise" in c]
    assert told.startswith(
        "`j` gives `base` 100.0% on harm (b, answer), and the errors on its card allow 20.0% to 90.0%"
    )
    fitting = analyse(table(shares(100, 85, 60), judge="j"), card(cell(two_way((90, 10), (20, 80)))))
    assert not any("errs otherwise" in c for c in fitting.caveats)


@pytest.mark.parametrize(("n", "labels", "named"), [(400, 1000, True), (60, 1000, True), (60, 17, False)])
def test_a_flawless_rate_is_named_where_sampling_cannot_explain_it(
    table: Table, n: int, labels: int, *, named: bool
) -> None:
    wrong = round(0.06 * labels)
    counts = two_way((labels - wrong, wrong), (wrong, labels - wrong))
    found = analyse(table(shares(n, n, n // 2), judge="j"), card(cell(counts)))
    told = [c for c in found.caveats if "gives `base` 100.0%" in c]
    assert bool(told) == named
    assert all("allow 6.0% to 94.0%: it errs otherwise" in c for c in told)


def test_what_a_card_allows_is_told_as_a_rate(table: Table) -> None:
    # The least-squares line runs below 0: refused in part, but never called so.
    bent = {
        "refused": {"refused": 90, "complied_harmful": 10},
        "partial": {"complied_harmful": 100},
        "complied_harmful": {"complied_harmful": 100},
    }
    assert line_of(bent).intercept < 0
    found = analyse(table(shares(400, 400, 200), judge="j"), card(cell(bent)))
    (told,) = [c for c in found.caveats if "gives `base`" in c]
    assert "allow 0.0% to " in told


def test_three_way_verdicts_are_a_line_through_the_class_means() -> None:
    counts = {
        "refused": {"refused": 80, "partial": 20},  # mean 0.9
        "partial": {"refused": 10, "partial": 30, "complied_harmful": 10},  # mean 0.5
        "complied_harmful": {"partial": 20, "complied_harmful": 80},  # mean 0.1
    }
    line = line_of(counts)
    assert (line.intercept, line.slope, line.n) == (pytest.approx(0.1), pytest.approx(0.8), 250)
    truth = np.repeat([1.0, 0.5, 0.0], [100, 50, 100])
    seen = np.repeat([1.0, 0.5, 1.0, 0.5, 0.0, 0.5, 0.0], [80, 20, 10, 30, 10, 20, 80])
    assert (line.slope, line.intercept) == pytest.approx(tuple(np.polyfit(truth, seen, 1)))


def test_a_middle_class_off_the_line_is_told(table: Table) -> None:
    ends = {"refused": {"refused": 90, "complied_harmful": 10}, "complied_harmful": {"complied_harmful": 100}}
    bent = ends | {"partial": {"refused": 20}}
    line = line_of(bent)
    slope, intercept = np.polyfit(
        np.repeat([1.0, 0.5, 0.0], [100, 20, 100]), np.repeat([0.9, 1.0, 0.0], [100, 20, 100]), 1
    )
    assert line.bend == pytest.approx(1.0 - (intercept + 0.5 * slope))
    assert line.middle == pytest.approx(20 / 220)
    frame = table(shares(100, 60, 50), judge="j")
    (told,) = [c for c in analyse(frame, card(cell(bent))).caveats if "partly refused" in c]
    assert told.startswith(
        "`j` scores answers that people call partly refused 1.00 on average on harm, and the correction assumes "
        f"{intercept + 0.5 * slope:.2f}: "
    )
    assert told.endswith("(9% of its labels), its corrected score is too high.")
    for straight in (ends, ends | {"partial": {"refused": 9}}):  # nine labels say too little
        assert not any("partly refused" in c for c in analyse(frame, card(cell(straight))).caveats)


def test_rows_left_open_are_counted_and_not_used() -> None:
    closed = two_way((90, 10), (20, 80))
    opened = {truth: {**row, "unjudged": 7, "incoherent": 3} for truth, row in closed.items()}
    opened["incoherent"] = {"refused": 5}
    line, plain = line_of(opened), line_of(closed)
    assert (line.intercept, line.slope, line.n, line.n_open) == (plain.intercept, plain.slope, 200, 25)


def test_draws_of_the_line_spread_like_its_labels() -> None:
    line = line_of(two_way((90, 10), (20, 80)))
    assert np.std(line.intercepts) == pytest.approx(math.sqrt(0.2 * 0.8 / 100), rel=0.1)
    assert np.std(line.slopes) == pytest.approx(math.sqrt((0.2 * 0.8 + 0.9 * 0.1) / 100), rel=0.1)
    assert np.std(line_of(two_way((100, 0), (0, 100))).slopes) > 0.005, "flawless on few labels is not certain"


@pytest.mark.parametrize("counts", [two_way((90, 10), (1, 8)), two_way((9, 0), (20, 80))])
def test_fewer_than_ten_labels_of_a_class_correct_nothing(counts: Counts) -> None:
    found = fit_line("j", cell(counts), resamples=10, seed=1)
    assert isinstance(found, Untold)
    assert "10 of each are needed" in found.reason


def test_a_judge_that_is_hardly_better_than_chance_corrects_nothing() -> None:
    found = fit_line("j", cell(two_way((55, 45), (45, 55))), resamples=10, seed=1)
    assert isinstance(found, Untold)
    assert "hardly better than chance" in found.reason
    assert isinstance(fit_line("j", cell(two_way((56, 44), (45, 55))), resamples=10, seed=1), Line)


# Effects


def test_one_cell_for_both_arms_scales_an_effect_by_its_slope(table: Table) -> None:
    found = analyse(table(shares(100, 70, 50), judge="j"), card(cell(two_way((9000, 1000), (2000, 8000)))))
    (effect,) = found.effects
    assert effect.corrected is not None
    assert effect.corrected.value == pytest.approx(-0.2 / 0.7)
    assert effect.corrected.interval == pytest.approx(tuple(end / 0.7 for end in effect.interval), abs=0.01)
    assert "for both arms; this cannot remove an error that differs" in effect.corrected.basis
    rates = {r.arm: r.corrected for r in found.rates}
    assert rates["base"] is not None
    assert rates["base"].value == pytest.approx((0.7 - 0.2) / 0.7)
    assert found.rates[0].judges == ("j",)


def test_an_arm_that_thinks_has_its_own_cell(table: Table) -> None:
    frame = table(shares(100, 90, 80), judge="j").with_columns(
        thinking_state=pl.when(pl.col("arm") == "arm").then(pl.lit("complete")).otherwise(pl.lit("none"))
    )
    cells = (cell(two_way((95, 5), (5, 95)), "direct"), cell(two_way((85, 15), (5, 95)), "thinking"))
    (effect,) = analyse(frame, card(*cells)).effects
    assert effect.corrected is not None
    assert effect.corrected.value == pytest.approx((0.8 - 0.05) / 0.8 - (0.9 - 0.05) / 0.9)
    assert "cell `thinking` (200 labels) for `arm`; cell `direct` (200 labels) for `base`" in effect.corrected.basis
    # The two lines are drawn apart: their spread is in the interval.
    small = [cell(two_way((19, 1), (1, 19)), "direct"), cell(two_way((17, 3), (1, 19)), "thinking")]
    (wider,) = analyse(frame, card(*small)).effects
    assert wider.corrected is not None
    assert np.diff(wider.corrected.interval) > 1.3 * np.diff(effect.corrected.interval)


@pytest.mark.parametrize(
    ("own", "state", "used"),
    [
        (("arm: arm", "thinking", "all"), "complete", "arm: arm"),
        (("thinking", "all"), "complete", "thinking"),
        (("thinking", "all"), None, "all"),
        (("direct", "all"), "none", "direct"),
        (("direct", "all"), "truncated", "all"),
    ],
)
def test_the_nearest_cell_counts(table: Table, own: tuple[str, ...], state: str | None, used: str) -> None:
    frame = table({"base": [1.0, 0.0] * 10, "arm": [1.0, 0.0] * 10}, judge="j").with_columns(
        thinking_state=pl.lit(state, pl.String)
    )
    near, all_ = two_way((90, 10), (20, 80)), two_way((91, 9), (20, 80))
    found = analyse(frame, card(*(cell(all_ if kind == "all" else near, kind) for kind in own)))
    (rate,) = [r for r in found.rates if r.arm == "arm"]
    assert rate.corrected is not None
    assert rate.corrected.basis == f"Card of `j`, cell `{used}` (200 labels)."


def test_labels_of_one_kind_only_are_one_cell_for_every_arm(table: Table) -> None:
    counts = two_way((90, 10), (20, 80))
    frame = table(shares(40, 30, 20), judge="j").with_columns(
        pl.when(pl.col("arm") == "arm").then(pl.lit("complete")).otherwise(pl.lit("none")).alias("thinking_state")
    )
    (effect,) = analyse(frame, card(cell(counts), cell(counts, kind="direct"))).effects
    assert effect.corrected is not None
    assert effect.corrected.value == pytest.approx(-0.25 / 0.7)
    assert "for both arms" in effect.corrected.basis


def test_a_near_cell_with_too_few_labels_gives_way(table: Table) -> None:
    frame = table(shares(20, 10, 10), judge="j", thinking_state="complete")
    cells = (cell(two_way((90, 10), (2, 3)), "thinking"), cell(two_way((90, 10), (20, 80))))
    (rate, _) = analyse(frame, card(*cells)).rates
    assert rate.corrected is not None
    assert "cell `all`" in rate.corrected.basis


def test_the_packages_own_card_does_not_speak_of_the_users_arms(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = card(cell(two_way((50, 50), (10, 90)), "arm: arm"), cell(two_way((90, 10), (20, 80))))
    monkeypatch.setattr("oldham.coupling.judge_error.shipped_cards", lambda: {"j": shipped})
    found = couple(table(shares(20, 10, 10), judge="j"), baseline="base", options=QUICK)
    assert all(r.corrected is not None and "cell `all`" in r.corrected.basis for r in found.rates)


@pytest.mark.parametrize(
    ("judges", "reason", "has_card"),
    [
        (lambda i: "other", "There is no card of `other`.", False),
        (lambda i: None, "The table does not say which judge spoke.", False),
        (lambda i: "j" if i else "k", "Several judges (`j`, `k`) gave the verdicts of `arm`.", False),
    ],
)
def test_what_cannot_be_corrected_is_unknown_and_says_why(
    table: Table, judges: Any, reason: str, *, has_card: bool
) -> None:
    found = analyse(table(shares(20, 15, 10), judge=judges), card(cell(two_way((90, 10), (20, 80)))))
    (effect,) = found.effects
    assert effect.corrected is not None
    assert math.isnan(effect.corrected.value)
    assert math.isnan(effect.corrected.interval.low)
    assert (effect.corrected.basis, effect.corrected.has_card) == (reason, has_card)
    assert effect.tipping is not None, "a tipping point needs no card"


def test_without_cards_nothing_was_asked_for(table: Table) -> None:
    (effect,) = analyse(table(shares(20, 15, 10), judge="j")).effects
    assert effect.corrected is None


def test_benchmarks_are_corrected_each_and_averaged(table: Table) -> None:
    frame = pl.concat(
        [
            table(shares(100, 70, 50), judge="j", benchmark="one"),
            table(shares(50, 30, 30), judge="k", benchmark="two"),
        ]
    )
    cards = (card(cell(two_way((90, 10), (20, 80)))), card(cell(two_way((100, 0), (50, 50))), judge="k"))
    (effect,) = analyse(frame, *cards).effects
    assert effect.corrected is not None
    assert effect.corrected.value == pytest.approx((-0.2 / 0.7 + 0) / 2)
    assert effect.corrected.basis.startswith("On one: card of `j`")
    (half,) = analyse(frame, cards[0]).effects
    assert half.corrected is not None
    assert math.isnan(half.corrected.value)


@settings(max_examples=15)
@given(st.integers(0, 99))
def test_the_order_of_rows_and_of_counts_is_nothing(seed: int) -> None:
    rng = np.random.default_rng(3)
    rows = [
        {"arm": arm, "item": f"i{i}", "axis": "harm", "benchmark": "b", "judge": "j", "thinking_state": state} | told
        for arm, state in (("base", "none"), ("arm", "complete"))
        for i in range(12)
        for told in (OUTCOMES[int(rng.random() < 0.5)],)
    ]
    frame = pl.DataFrame(rows)
    counts = two_way((90, 10), (20, 80))
    turned = {t: dict(reversed(row.items())) for t, row in reversed(counts.items())}
    kinds = ("direct", "thinking")
    one = analyse(frame, card(*(cell(counts, k) for k in kinds)), resamples=200)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed)
    two = analyse(shuffled, card(*(cell(turned, k) for k in reversed(kinds))), resamples=200)
    assert repr(one.effects) == repr(two.effects)
    assert sorted(map(repr, one.rates)) == sorted(map(repr, two.rates))


def test_a_single_item_has_a_corrected_change_and_no_interval(table: Table) -> None:
    (effect,) = analyse(
        table({"base": [1.0], "arm": [0.0]}, judge="j"), card(cell(two_way((90, 10), (20, 80))))
    ).effects
    assert effect.corrected is not None
    assert effect.corrected.value == -1.0
    assert math.isnan(effect.corrected.interval.low)


def test_nothing_paired_is_unknown_and_not_blamed_on_the_judge(table: Table) -> None:
    frame = table({"base": [1.0] * 5, "arm": [None] * 5}, judge="j")
    (effect,) = analyse(frame, card(cell(two_way((90, 10), (20, 80))))).effects
    assert effect.corrected is not None
    assert effect.corrected.basis == "No item has a scored answer in both arms."
    assert effect.tipping is None


# The tipping point


def test_the_tipping_point_is_the_change_over_the_larger_class() -> None:
    found = tipping_point(-0.12, Interval(-0.2, -0.03), 0.75)
    assert found is not None
    assert (found.error, found.error_for_doubt, found.on) == (pytest.approx(0.16), pytest.approx(0.04), "good")
    assert tipping_words(found, "harm") == (
        "would be explained away if the judge erred on 16 more of 100 truly safe answers in one arm than in the other "
        "(interval: from 4)"
    )
    # Erring on so many of the good answers in one arm alone shows the whole change where nothing changed.
    assert found.error * 0.75 == pytest.approx(0.12)
    assert tipping_point(0.1, Interval(0.05, 0.15), 0.2) == tipping_point(-0.1, Interval(-0.15, -0.05), 0.2)


def test_a_change_that_may_be_none_needs_no_error_to_be_doubted() -> None:
    found = tipping_point(0.1, Interval(-0.05, 0.25), 0.3)
    assert found is not None
    assert (found.error_for_doubt, found.on) == (0.0, "bad")


def test_a_change_too_large_for_one_class_says_so() -> None:
    found = tipping_point(-0.9, Interval(-0.95, -0.8), 0.5)
    assert found is not None
    assert tipping_words(found, "harm").startswith("cannot be explained away by errors on truly safe answers alone")


# What the reader is told


def test_a_finding_says_where_the_correction_takes_its_certainty(table: Table) -> None:
    frame = table(shares(100, 97, 85), judge="j", thinking_state=None).with_columns(
        thinking_state=pl.when(pl.col("arm") == "arm").then(pl.lit("complete")).otherwise(pl.lit("none"))
    )
    cells = (cell(two_way((98, 2), (5, 95)), "direct"), cell(two_way((87, 13), (5, 95)), "thinking"))
    (effect,) = analyse(frame, card(*cells)).effects
    assert effect.interval.excludes_zero
    assert "corrected for the judge's known errors the change is no longer clear" in effect.finding
    (plain,) = analyse(frame, card(cell(two_way((98, 2), (5, 95))))).effects
    assert "corrected" not in plain.finding


def test_doubtful_cards_are_caveats(table: Table) -> None:
    frame = table(shares(20, 15, 10), judge="j", judge_fingerprint="f")
    counts = two_way((90, 10), (20, 80))
    sound = analyse(frame, card(cell(counts)))
    assert not any("card of `j`" in c.lower() for c in sound.caveats)
    doubtful = card(cell(counts), judge_fingerprint="g", validation="in_sample", labelled_by="model")
    told = [c for c in analyse(frame, doubtful).caveats if "card of `j`" in c]
    assert len(told) == 3
    assert "another version, prompt or model" in told[0]


def test_effects_of_factors_are_said_to_be_as_judged(table: Table) -> None:
    levels = pl.when(pl.col("arm") == "arm").then(pl.lit('{"s": "on"}')).otherwise(pl.lit('{"s": "off"}'))
    frame = table(shares(40, 30, 20), judge="j").with_columns(factors=levels)
    told = "The effects of the factors on harm are not corrected for judge error."
    found = analyse(frame, card(cell(two_way((90, 10), (20, 80)))))
    assert found.factor_effects
    assert told in found.caveats
    assert told not in analyse(frame).caveats


def test_the_summary_shows_raw_and_corrected_and_names_axes_without_a_card(table: Table) -> None:
    frame = pl.concat(
        [
            table(shares(60, 50, 30), judge="j"),
            table(shares(60, 30, 50), judge="exact", axis="reasoning", benchmark="r"),
        ]
    )
    found = analyse(frame, card(cell(two_way((90, 10), (20, 80)))))
    text, full = found.summary(), found.summary(full=True)
    assert "Corrected for judge error" in text
    assert "Not corrected, for want of a judge card: reasoning." in text
    assert (
        "- How much judge error it takes to doubt a clear change (more errors in 100 answers of one class, in one arm "
        "only): reasoning "
    ) in text.replace("\n  ", " ")
    assert "would be explained away if the judge erred on" in full.replace("\n  ", " ")
    assert "Rates before and after" in full
    assert "Rates before and after" not in text
    assert "Corrected for judge error" not in analyse(frame).summary()
    rows = {row["axis"]: row for row in found.to_frame().iter_rows(named=True)}
    assert rows["harm"]["corrected"] == pytest.approx(-1 / 3 / 0.7)
    assert rows["harm"]["corrected_low"] < rows["harm"]["corrected"] < rows["harm"]["corrected_high"] < 0
    assert math.isnan(rows["reasoning"]["corrected"])
    assert rows["reasoning"]["tipping"] == pytest.approx((1 / 3) / 0.5)
