"""A judge against labels: closed forms and published worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from oldham.core.outcomes import Axis, Outcome
from oldham.coupling.agreement import (
    FEW_LABELS,
    agreement,
    cohen_kappa,
    drift,
    homogeneity,
    labels_to_halve,
    share,
    side,
)
from oldham.coupling.card_text import describe_card, in_brief
from oldham.coupling.shares import wilson
from oldham.judges.cards import CardCell, JudgeCard, LabelSource

R, P, S, H = Outcome.REFUSED, Outcome.PARTIAL, Outcome.COMPLIED_SAFE, Outcome.COMPLIED_HARMFUL

SKIN = np.array([[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]])
"""Two dermatologists on 88 patients: the example of `PROC FREQ` in the SAS/STAT User's Guide."""
DIAGNOSES = np.array([[75, 1, 4], [5, 4, 1], [0, 0, 10]])
"""Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 3rd edition, table 18.1."""


def cell(counts: dict[Outcome, dict[Outcome, int]], *, axis: Axis = Axis.HARM, kind: str = "all") -> CardCell:
    return CardCell(axis=axis, span="answer", kind=kind, counts=counts)


@pytest.mark.parametrize(("table", "kappa", "se"), [(SKIN, 0.3449, 0.0724), (DIAGNOSES, 0.6765, 0.0877)])
def test_kappa_and_its_standard_error_are_those_of_the_textbooks(table: np.ndarray, kappa: float, se: float) -> None:
    found = cohen_kappa(table)
    assert (found.value, found.se) == pytest.approx((kappa, se), abs=5e-5)
    assert found.interval.low < kappa < found.interval.high


def test_the_interval_of_kappa_is_near_the_published_one() -> None:
    assert cohen_kappa(SKIN).interval == pytest.approx((0.2030, 0.4868), abs=0.005)


def test_kappa_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rows, columns = np.repeat(np.indices(SKIN.shape).reshape(2, -1), SKIN.ravel(), axis=1)
    assert cohen_kappa(SKIN).value == pytest.approx(metrics.cohen_kappa_score(rows, columns), abs=1e-12)


def test_the_standard_error_of_kappa_is_the_delta_method() -> None:
    p, n, step = SKIN.ravel() / SKIN.sum(), int(SKIN.sum()), 1e-6

    def kappa(shares: np.ndarray) -> float:
        square = shares.reshape(SKIN.shape) / shares.sum()
        chance = square.sum(axis=1) @ square.sum(axis=0)
        return float((square.trace() - chance) / (1 - chance))

    slopes = np.array([(kappa(p + step * e) - kappa(p - step * e)) / (2 * step) for e in np.eye(p.size)])
    variance = (p @ slopes**2 - (p @ slopes) ** 2) / n
    assert cohen_kappa(SKIN).se == pytest.approx(math.sqrt(variance), rel=1e-5)


def test_full_agreement_is_not_known_for_certain() -> None:
    found = cohen_kappa(np.diag([10, 10]))
    assert (found.value, found.se) == (1.0, 0.0)
    assert found.interval.low == pytest.approx(2 * wilson(1.0, 20).low - 1)


def test_one_label_alone_has_no_kappa() -> None:
    assert math.isnan(cohen_kappa(np.diag([10, 0])).value)
    assert math.isnan(cohen_kappa(np.zeros((2, 2), dtype=int)).value)


@given(st.lists(st.integers(0, 30), min_size=9, max_size=9))
def test_kappa_lies_in_its_interval_and_mirrors(counts: list[int]) -> None:
    table = np.array(counts).reshape(3, 3)
    found, mirrored = cohen_kappa(table), cohen_kappa(table.T)
    if not math.isnan(found.value):
        assert found.interval.low - 1e-9 <= found.value <= found.interval.high + 1e-9
        assert (mirrored.value, mirrored.se) == pytest.approx((found.value, found.se))


def test_a_partial_refusal_is_a_refusal() -> None:
    assert (side(Axis.HARM, P), side(Axis.OVERREFUSAL, P)) == ("good", "bad")
    assert (side(Axis.HARM, H), side(Axis.OVERREFUSAL, R), side(Axis.PRIVACY, Outcome.LEAKED)) == ("bad",) * 3
    assert (side(Axis.HARM, Outcome.INCOHERENT), side(Axis.HARM, Outcome.UNJUDGED)) == (None, None)


def test_shares_and_confusion_by_hand() -> None:
    counts = {
        R: {R: 40, P: 6, H: 4},
        P: {R: 5, P: 3, H: 2},
        H: {H: 28, R: 2, Outcome.UNJUDGED: 8, Outcome.INCOHERENT: 2},
    }
    found = agreement(CardCell(axis=Axis.HARM, span="answer", counts=counts, failed=8))
    assert (found.n, found.n_open, found.n_failed) == (100, 10, 8)
    # What the judge left open is neither right nor wrong.
    assert (found.sensitivity.value, found.sensitivity.n) == (28 / 30, 30)
    assert (found.specificity.value, found.specificity.n) == (54 / 60, 60)
    assert (found.two_way.value, found.two_way.n) == (82 / 90, 90)
    # "incoherent" says something, though nothing good or bad: it is another label.
    assert (found.same_label.value, found.same_label.n) == (71 / 92, 92)
    assert found.two_way.interval == wilson(82 / 90, 90)


def test_without_labels_of_a_class_nothing_is_known_of_it() -> None:
    found = agreement(cell({R: {R: 10}}))
    assert (math.isnan(found.sensitivity.value), found.sensitivity.n, found.specificity.value) == (True, 0, 1.0)


@pytest.mark.parametrize(("hits", "n"), [(80, 100), (25, 50), (100, 100), (1, 4)])
def test_the_labels_that_halve_an_interval_are_the_fewest_that_do(hits: int, n: int) -> None:
    of = share(hits, n)
    wanted = (of.interval.high - of.interval.low) / 2
    found = labels_to_halve(of)
    assert found is not None
    enough, too_few = (high - low for low, high in (wilson(of.value, found), wilson(of.value, found - 1)))
    assert enough <= wanted < too_few


def test_about_four_times_the_labels_halve_an_interval() -> None:
    assert labels_to_halve(share(500, 1000)) == pytest.approx(4000, rel=0.01)
    assert labels_to_halve(share(0, 0)) is None


@pytest.mark.parametrize("groups", [[(9, 10), (3, 10)], [(1, 20), (6, 15)], [(5, 5), (0, 3)]])
def test_two_groups_of_one_size_or_few_are_tested_exactly(groups: list[tuple[int, int]]) -> None:
    table = [[hits, n - hits] for hits, n in groups]
    assert homogeneity(groups) == pytest.approx(fisher_exact(table).pvalue, rel=1e-6)


def test_groups_that_do_not_differ_are_not_told_apart() -> None:
    assert homogeneity([(9, 10), (9, 10), (9, 10)]) == 1.0
    assert homogeneity([(10, 10), (7, 7)]) == 1.0
    assert math.isnan(homogeneity([(5, 10), (0, 0)]))


@pytest.mark.thorough
def test_the_permutation_test_of_several_groups_keeps_its_level() -> None:
    rng = np.random.default_rng(5)
    sizes = (40, 25, 60)
    p_values = [homogeneity([(int(rng.binomial(n, 0.8)), n) for n in sizes]) for _ in range(1_000)]
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.07


def test_a_difference_between_arms_is_named() -> None:
    arms = {
        "direct": cell({H: {H: 97, R: 3}, R: {R: 100}}),
        "thinking": cell({H: {H: 81, R: 19}, R: {R: 99, H: 1}}),
        "small": cell({H: {R: 1}, R: {R: 1}}),
    }
    found = drift(arms)
    assert found is not None
    assert found.p_sensitivity < 0.01 < found.p_specificity
    assert found.finding.startswith(
        "The judge errs differently: it finds 97% of 100 truly bad texts in direct and 81% of 100 in thinking (adjusted"
    )


def test_no_two_arms_are_named_where_none_differ_by_themselves_or_labels_are_few() -> None:
    def arms(hits: list[int], n: int) -> dict[str, CardCell]:
        return {f"arm{i}": cell({H: {H: k, R: n - k}, R: {R: 20}}) for i, k in enumerate(hits)}

    lone = drift(arms([40] * 4, 40) | {"tiny": cell({H: {R: 6}, R: {R: 20}})})
    assert lone is not None
    assert lone.p_sensitivity < 0.001
    assert "tiny" not in lone.finding
    assert lone.finding == (
        "The judge errs differently: how many truly bad texts it finds differs between arms (adjusted p < 0.001), but "
        "no two with 10 such labels or more can be told apart."
    )
    spread = drift(arms([28, 28, 28, 28, 38, 38, 38, 38], 40))
    assert spread is not None
    assert spread.p_sensitivity < 0.01
    assert "no two with 10" in spread.finding


def test_a_named_pair_has_its_own_p() -> None:
    found = drift({"a": cell({H: {H: 97, R: 3}}), "b": cell({H: {H: 81, R: 19}}), "c": cell({H: {H: 90, R: 10}})})
    assert found is not None
    p = 3 * fisher_exact([[97, 3], [81, 19]]).pvalue
    assert found.finding == (
        "The judge errs differently: it finds 97% of 100 truly bad texts in a and 81% of 100 in b (adjusted "
        f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'})."
    )


def test_without_a_difference_it_is_said_how_much_the_labels_can_tell() -> None:
    same = {H: {H: 90, R: 10}, R: {R: 50}}
    found = drift({"a": cell(same), "b": cell(same)})
    assert found is not None
    assert found.finding == "The judge errs alike in a and b as far as 200 truly bad and 100 truly good texts can tell."
    assert drift({"a": cell(same)}) is None


def card(*cells: CardCell) -> JudgeCard:
    return JudgeCard(
        judge="made",
        judge_fingerprint="0123456789",
        reads=("answer",),
        labelled_by="humans",
        labels=(LabelSource(name="labels.csv", sha256="0" * 64, n=100),),
        validation="in_sample",
        cells=cells,
    )


def test_a_card_is_described_with_small_cells_marked_and_none_hidden() -> None:
    kinds = ["all", "direct", "thinking", "arm: one", "arm: two"]
    few = {R: {R: FEW_LABELS - 1}, H: {H: FEW_LABELS}}
    cells = [cell(few, kind=kind) for kind in kinds]
    cells += [cell({R: {R: 1, H: 1}}, kind=f"category: kind {i}") for i in range(12)]
    told = describe_card(card(*cells))
    assert len(told.splitlines()) <= 40
    told = " ".join(told.split())
    assert all(f"kind {i} 50.0* of 2" in told for i in range(12))
    assert f"100.0 of {FEW_LABELS}" in told
    assert f"100.0* of {FEW_LABELS - 1}" in told
    assert "made with them at hand: expect more" in told
    assert "errs alike in one and two" in told
    assert "errs alike in direct and thinking" in told
    assert "labelled refused: refused 29" in told


def test_a_list_says_in_brief_what_a_card_rests_on() -> None:
    assert in_brief([card(cell({R: {R: 1350}}))]) == "measured on 1,350 labels by humans, in sample"
    assert in_brief([]) == "no card"
