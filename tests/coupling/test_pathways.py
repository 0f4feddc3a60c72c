"""Which risk and which defence: shares, sums, flows and text over many pairs."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from pathway_rows import (
    CUSTOM,
    HARM,
    HARMED,
    MASKED,
    REFUSED,
    TYPES,
    Row,
    after,
    before,
    entry,
    found,
    label,
    side,
    trials,
)

from oldham.core.errors import ConfigError
from oldham.core.observations import as_observations
from oldham.core.outcomes import Axis, Outcome, Stage, legal_outcomes, score_of
from oldham.coupling.bootstrap import resample_means
from oldham.coupling.pairing import tidy_trials
from oldham.coupling.pathway_results import REASONS
from oldham.coupling.pathway_rules import Rule, Rules, read_rules
from oldham.coupling.pathways import PathwayOptions, classify, classify_attack
from oldham.coupling.shares import wilson

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oldham.coupling.pathway_results import PathwayTable

ALL_OUTCOMES = sorted(map(str, legal_outcomes(Axis.HARM)))
TRACES: list[Row] = [
    {"thought": False},
    {},
    {"trace": "unjudged"},
    {"trace": "incoherent"},
    {"trace": "refused", "trace_stop": "budget_forced"},
    {"trace": "refused", "thinking_state": "truncated", "trace_stop": "length"},
    {"trace": HARM},
    *(
        {"trace": verdict, "stages": ",".join(stages)}
        for verdict in ("refused", "complied_safe", HARM)
        for n in (0, 1, 2)
        for stages in itertools.combinations(map(str, Stage), n)
    ),
]


def grid() -> list[Row]:
    """Every outcome before and after, with every kind of trace, an item each."""
    rows = []
    cases = itertools.product(ALL_OUTCOMES, ALL_OUTCOMES, TRACES)
    for i, (was, is_now, trace) in enumerate(cases):
        rows += [*before(was, item=f"{i:04d}"), *after(is_now, item=f"{i:04d}", **trace)]
    return rows


@pytest.fixture(scope="module")
def whole() -> tuple[list[Row], PathwayTable]:
    rows = grid()
    return rows, found(rows)


def score(outcome: str) -> float | None:
    return score_of(Axis.HARM, Outcome(outcome))


def test_every_pair_has_exactly_one_label(whole: tuple[list[Row], PathwayTable]) -> None:
    rows, table = whole
    (one,) = table.entries
    n_trials = len(ALL_OUTCOMES) ** 2 * len(TRACES)
    n_missing = 2 * len(ALL_OUTCOMES) * len(TRACES)
    assert (one.n_pairs, one.n_no_baseline, one.n_unpaired) == (n_trials - n_missing, n_missing, 0)
    assert sum(flow.n for flow in one.flows) == one.n_pairs
    assert sum(flow.share for flow in one.flows) == pytest.approx(1)
    assert table.pairs.select("item").is_unique().all()
    labels = {rule.name for rule in table.rules.rules} | {"unclear"}
    assert set(table.pairs["pathway"]) <= labels
    flows = {(f.side, f.pathway): 0 for f in one.flows}
    for flow in one.flows:
        flows[flow.side, flow.pathway] += flow.n
    assert {(s.side, s.pathway): s.n for s in one.shares if s.n} == {k: n for k, n in flows.items() if k[0]}


def test_shares_add_up_to_the_flips_counted_by_hand(whole: tuple[list[Row], PathwayTable]) -> None:
    """Scores alone say what flipped: nothing of rules, traces or labels is used here."""
    rows, table = whole
    (one,) = table.entries
    answers = [row for row in rows if row["span"] == "answer"]
    pairs = [
        (was["outcome"], now["outcome"], now["thinking_state"] != "truncated")
        for was, now in zip(answers[::2], answers[1::2], strict=True)
        if was["outcome"] not in ("unfinished", "unjudged")
    ]
    to_bad = sum(score(was) != 0.0 and score(now) == 0.0 for was, now, _ in pairs)
    to_good = sum(score(was) == 0.0 and (score(now) or 0) >= 0.5 and ended for was, now, ended in pairs)
    assert one.risk.share == pytest.approx(to_bad / len(pairs))
    assert one.defence.share == pytest.approx(to_good / len(pairs))
    for total in (one.risk, one.defence):
        parts = [s for s in one.shares if s.side == total.side and not s.apart]
        assert sum(s.n for s in parts) == total.n
        assert sum(s.share for s in parts if s.n) == pytest.approx(total.share)
    frame = table.to_frame().filter(~pl.col("apart"), pl.col("n") > 0)
    sums = dict(frame.group_by("side").agg(pl.col("share").sum()).iter_rows())
    assert sums == pytest.approx({"risk": to_bad / len(pairs), "defence": to_good / len(pairs)})


def test_only_an_answer_is_ever_a_defence(whole: tuple[list[Row], PathwayTable]) -> None:
    _, table = whole
    defended = table.pairs.filter(pl.col("side") == "defence", pl.col("pathway") != "incapacity")
    assert set(defended["new_outcome"]) == {"refused", "partial", "complied_safe"}
    (one,) = table.entries
    assert one.of("incapacity").apart
    assert one.of("incapacity").n > 0
    n_defended = sum(s.n for s in one.shares if s.side == "defence" and s.pathway != "incapacity")
    assert n_defended == one.defence.n


def test_no_table_of_rules_makes_a_defence_of_silence() -> None:
    rules = Rules(rules=(Rule(name="calm", side="defence", meaning="m", when=({"baseline_side": ("bad",)},)),))
    silent = [after("unfinished"), after("unjudged"), after("incoherent"), after("refused", thinking_state="truncated")]
    for rows in silent:
        one = entry([*HARMED, *rows], rules)
        assert (one.defence.n, one.of("calm").n, one.no_outcome.n) == (0, 0, 1)
        assert one.defence_at_most == 1.0
    assert label([*HARMED, *after("refused")], rules) == "defence calm"
    assert label([*REFUSED, *after("refused")], rules) == "- no_flip"


def test_a_leak_is_counted_apart_and_only_where_the_answer_did_not_flip() -> None:
    one = entry([*REFUSED, *after("refused", trace=HARM)])
    assert (one.of("leak").share, one.of("leak").apart, one.risk.share) == (1.0, True, 0.0)
    assert label([*REFUSED, *after(HARM, trace=HARM)]) == "risk unclear"
    assert label([*HARMED, *after("refused", trace=HARM)]) == "defence correction"
    assert label([*before("refused", thought=True, trace=HARM), *after("refused", trace=HARM)]) == "- no_flip"
    assert label([*REFUSED, *after("refused", trace="refused")]) == "- no_flip"


@pytest.mark.parametrize(
    ("more", "share"), [({}, math.nan), ({"trace": "unjudged"}, math.nan), ({"thought": False}, 0.0)]
)
def test_whether_a_trace_leaked_is_unknown_where_nobody_read_it(more: Row, share: float) -> None:
    assert entry([*REFUSED, *after("refused", **more)]).of("leak").share == pytest.approx(share, nan_ok=True)


def test_a_missing_baseline_has_no_label_and_is_counted() -> None:
    lost = [
        *before("unfinished", item="1"),
        *after(HARM, item="1"),
        *before("unjudged", item="2"),
        *after("refused", item="2"),
        *before("refused", item="3"),
        *after(HARM, item="4"),
    ]
    one = entry([*REFUSED, *after(HARM), *lost])
    assert (one.n_items, one.n_pairs, one.n_no_baseline, one.n_unpaired) == (1, 1, 2, 2)
    assert one.risk.share == 1.0
    alone = entry(lost)
    assert (alone.n_items, alone.flows) == (0, ())
    assert math.isnan(alone.risk.share)
    assert math.isnan(alone.risk.interval.low)


def test_a_good_answer_that_was_lost_is_no_flip_and_bounds_the_risk() -> None:
    rows = [*REFUSED, *after("unfinished"), *before("refused", item="2"), *after("refused", item="2")]
    one = entry(rows)
    assert (one.risk.share, one.no_outcome.share, one.risk_at_most) == (0.0, 0.5, 0.5)
    assert one.defence_at_most == 0.0


def test_draws_are_averaged_within_items() -> None:
    eroded = {"trace": "complied_safe", "stages": ""}
    rows = [
        *before("refused", draw=0),
        *after(HARM, draw=0, **eroded),
        *before("refused", draw=1),
        *after("refused", draw=1, **eroded),
        *before("refused", item="2", draw=0),
        *after("refused", item="2", draw=0, **eroded),
        *before("unfinished", item="2", draw=1),
        *after(HARM, item="2", draw=1, **eroded),
    ]
    one = entry(rows)
    assert one.of("erosion").share == pytest.approx((1 / 2 + 0) / 2)
    assert (one.of("erosion").n, one.n_items, one.n_pairs, one.n_no_baseline) == (1, 2, 3, 1)


def flipped(n: int, of: int, **more: Any) -> list[Row]:
    rows = []
    for i in range(of):
        where = {"item": f"{i:03d}", **{k: v(i) for k, v in more.items()}}
        rows += [*before("refused", **where), *after(HARM if i < n else "refused", trace="refused", **where)]
    return rows


def test_intervals_allow_for_clusters() -> None:
    alone = entry(flipped(20, 50))
    assert tuple(alone.of("cliff").interval) == pytest.approx(tuple(wilson(20 / 50, 50)))
    assert alone.n_clusters == 50
    together = entry(flipped(20, 50, cluster=lambda i: f"c{i // 5}"))
    cliff = together.of("cliff")
    hits = pl.Series([float(i < 20) for i in range(50)])
    clusters = pl.Series([i // 5 for i in range(50)])
    (estimate,) = resample_means(hits.to_numpy()[:, None], clusters.to_numpy(), resamples=0, seed=0)
    assert tuple(cliff.interval) == pytest.approx(tuple(estimate.share_interval(most=50)))
    assert cliff.share == alone.of("cliff").share
    assert cliff.interval.high - cliff.interval.low > 1.5 * (
        alone.of("cliff").interval.high - alone.of("cliff").interval.low
    )


def test_the_order_of_rows_does_not_matter(whole: tuple[list[Row], PathwayTable]) -> None:
    rows, table = whole
    shuffled = pl.DataFrame(rows, schema_overrides=TYPES, infer_schema_length=None).sample(
        fraction=1, shuffle=True, seed=7
    )
    again = classify(tidy_trials(as_observations(shuffled))[0], ["cot"], "base")
    assert again.to_frame().equals(table.to_frame())
    assert again.pairs.equals(table.pairs)
    assert again.flow_frame().equals(table.flow_frame())


def test_arms_and_axes_have_entries_of_their_own() -> None:
    secret: Row = {"axis": "privacy", "benchmark": "p"}
    rows = [
        *REFUSED,
        *after(HARM, trace="refused"),
        *side("plan", "refused"),
        *before("withheld", **secret),
        *after("leaked", **secret, trace="leaked", stages=""),
        *before("correct", axis="reasoning", benchmark="r"),
        *after("incorrect", axis="reasoning", benchmark="r"),
    ]
    table = classify(trials(rows), ["plan", "base", "cot"], "base")
    assert [(e.axis, e.arm) for e in table.entries] == [("harm", "plan"), ("harm", "cot"), ("privacy", "cot")]
    assert [e.risk.n for e in table.entries] == [0, 1, 1]
    assert table.entries[2].of("erosion").n == 1
    frame = table.to_frame()
    assert frame.height == 3 * (len(table.rules.rules) + 2)
    picked = frame.row(
        by_predicate=(pl.col("arm") == "cot") & (pl.col("pathway") == "cliff") & (pl.col("axis") == "harm"), named=True
    )
    assert (picked["share"], picked["n"], picked["n_items"], picked["against"]) == (1.0, 1, 1, "base")


def test_pairs_lead_back_to_both_generations() -> None:
    rows = [*before("refused", generation="g0"), *after(HARM, generation="g1", trace="refused")]
    (pair,) = found(rows).pairs.iter_rows(named=True)
    assert (pair["baseline_generation"], pair["new_generation"]) == ("g0", "g1")
    assert (pair["arm"], pair["against"], pair["side"], pair["pathway"]) == ("cot", "base", "risk", "cliff")
    assert (pair["baseline_outcome"], pair["new_outcome"], pair["reason"]) == ("refused", HARM, None)


def test_the_power_of_an_attack_is_told_within_an_arm() -> None:
    rows = [
        *after("refused", trace="refused"),
        *after(HARM, attack="persona", trace="complied_safe", stages="harm_recognition,rationalisation"),
        *after("refused", item="2"),
        *after("refused", item="2", attack="persona"),
        *after("refused", benchmark="other"),
        *before(HARM),
        *before("refused", attack="base64"),
    ]
    table = classify_attack(trials(rows), "cot", "persona")
    (one,) = table.entries
    assert (one.arm, one.attack, one.against) == ("cot", "persona", "none")
    assert (one.of("rationalisation").share, one.n_items, one.n_unpaired) == (0.5, 2, 0)
    (pair,) = table.pairs.iter_rows(named=True)
    assert (pair["attack"], pair["item"]) == ("persona", "i")
    assert classify_attack(trials(rows), "cot", "base64").entries == ()
    disguised = classify_attack(trials(MASKED + [{**r, "attack": "none"} for r in after(HARM)]), "cot", "base64",
                                options=PathwayOptions(disguises={"base64"}))  # fmt: skip
    assert disguised.entries[0].of("unmasking").n == 1


def test_an_arm_or_attack_that_is_not_there_is_named() -> None:
    rows = trials([*REFUSED, *after(HARM)])
    asks: tuple[Callable[[], object], ...] = (
        lambda: classify(rows, ["cot"], "base", options=PathwayOptions(format_controls={"cot": "plain"})),
        lambda: classify(rows, ["cot"], "base", options=PathwayOptions(format_controls={"cto": "base"})),
        lambda: classify_attack(rows, "cto", "none"),
        lambda: classify_attack(rows, "cot", "persona"),
    )
    assert classify(rows, ["gone"], "base").entries == ()
    assert classify(rows, ["cot"], "gone").entries[0].n_unpaired == 1
    for ask in asks:
        with pytest.raises(ConfigError, match="No observation belongs to the"):
            ask()


def test_a_pair_is_untold_of_no_rule_that_comes_after_its_own() -> None:
    taken = entry([*before("complied_safe"), *after(HARM)])
    assert (taken.of("cliff").n_untold, taken.of("cliff").share) == (0, 0.0)
    untold = entry([*HARMED, *after("refused", thought=False)])
    assert untold.of("correction").n_untold == 1
    assert math.isnan(untold.of("correction").share)


def test_a_cut_trace_is_no_reason_for_an_unclear_defence() -> None:
    (told,) = entry([*HARMED, *after("refused", trace="refused", stages="", trace_stop="budget_forced")]).reasons
    assert (told.side, told.text) == ("defence", REASONS[-1])


def test_what_a_rule_tells_apart_is_in_no_sum() -> None:
    sides = ("risk", "defence")
    rules = Rules(
        rules=tuple(Rule(name=s, side=s, apart=True, meaning="m", when=({"trace": ("unread",)},)) for s in sides)
    )
    rows = [*REFUSED, *after(HARM), *before(HARM, item="2"), *after("refused", item="2")]
    one = entry(rows, rules)
    assert (one.risk.n, one.defence.n, one.of("risk").n, one.of("defence").n) == (0, 0, 2, 0)
    read = entry([{**row, "thinking_state": "none", "trace_tokens": 0} for row in rows], rules)
    assert (read.risk.n, read.defence.n, read.of("risk").n) == (1, 1, 0)


def test_a_table_of_the_users_own_is_used(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(CUSTOM, encoding="utf-8")
    rules = read_rules(file)
    assert [(r.name, r.apart, len(r.when)) for r in rules.rules] == [("slipped", False, 2), ("stuck", True, 1)]
    assert label([*REFUSED, *after(HARM)], rules) == "risk slipped"
    assert label([*REFUSED, *after(HARM, stop="length")], rules) == "risk unclear"
    both = "harm_recognition,harmful_detail,policy_recall"
    assert label([*REFUSED, *after(HARM, trace=HARM, stages=both)], rules) == "risk slipped"
    assert label([*REFUSED, *after(HARM, trace=HARM, stages="harmful_detail")], rules) == "risk unclear"
    assert label([*HARMED, *after(HARM)], rules) == "risk stuck"
    assert entry([*HARMED, *after(HARM)], rules).risk.n == 0
    assert label([*HARMED, *after("unfinished")], rules) == "- no_outcome"


def test_lines_say_what_was_found_and_what_could_not_be_told() -> None:
    rows = [
        *REFUSED,
        *after(HARM, trace="refused"),
        *before("refused", item="2"),
        *after(HARM, item="2"),
        *before(HARM, item="3"),
        *after("unfinished", item="3"),
        *before("unjudged", item="4"),
        *after("refused", item="4"),
        *before("refused", item="5"),
    ]
    lines = found(rows).lines()
    assert lines[0] == "Pathways on harm, `cot` against `base`: % of 3 items"
    cells = [line.split()[:3] for line in lines[2:7]]
    assert cells == [
        ["risk", "cliff", "33.3"],
        ["risk", "unclear", "33.3"],
        ["risk", "all", "66.7"],
        ["defence", "all", "0.0"],
        ["apart", "incapacity", "33.3"],
    ]
    told = " ".join(" ".join(lines[7:]).split())
    assert "Unclear risk: no trace was read (1)." in told
    assert "Not tested: format (needs a format control" in told
    assert "risk at most 66.7% or defence at most 33.3%." in told
    assert "Left out: 1 pair without a baseline outcome, 1 trial that only one side has." in told
