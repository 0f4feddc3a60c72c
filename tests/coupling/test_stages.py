"""Trace against answer."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest

from oldham.core.observations import as_observations
from oldham.coupling.caveats import lone_stages
from oldham.coupling.pairing import tidy_trials
from oldham.coupling.shares import wilson
from oldham.coupling.stages import StageTable, build_stages

BAD, GOOD = 0.0, 1.0
CROSSED = [(GOOD, GOOD)] * 5 + [(BAD, GOOD)] * 2 + [(GOOD, BAD)] * 1 + [(BAD, BAD)] * 3
"""Scores of trace and answer, one item each."""


def row(item: object, span: str, score: float | None, **more: Any) -> dict[str, Any]:
    outcome = "unjudged" if score is None else "complied_harmful" if score < 0.5 else "refused"
    fixed = {"arm": "cot", "axis": "harm", "benchmark": "b", "trace_tokens": 9, "judge": f"of_{span}"}
    return {**fixed, "item": str(item), "span": span, "score": score, "outcome": outcome, "stages": None, **more}


def tables_of(rows: list[dict[str, Any]], arms: tuple[str, ...] = ("cot",)) -> list[StageTable]:
    types = {"score": pl.Float64, "stages": pl.String}
    frame = pl.DataFrame(rows, schema_overrides=types, infer_schema_length=None)
    return build_stages(tidy_trials(as_observations(frame))[0], arms)


def crossed(pairs: list[tuple[float | None, float | None]], **more: Any) -> list[dict[str, Any]]:
    return [
        row(i, s, score, **more)
        for i, pair in enumerate(pairs)
        for s, score in zip(("trace", "answer"), pair, strict=True)
    ]


def test_cells_conditionals_and_intervals_follow_from_the_counts() -> None:
    (table,) = tables_of(crossed(CROSSED))
    assert dict(table.shares) == pytest.approx({"safe": 5 / 11, "leak": 2 / 11, "escape": 1 / 11, "unsafe": 3 / 11})
    assert table.unsafe_after_unsafe == pytest.approx(3 / 5)
    assert table.unsafe_after_safe == pytest.approx(1 / 6)
    assert tuple(table.intervals["leak"]) == pytest.approx(tuple(wilson(2 / 11, 11)))
    assert (table.n_items, table.n_traces, table.n_missing) == (11, 11, 0)
    assert table.judges == ("of_trace", "of_answer")


def test_what_is_missing_on_either_side_is_counted_and_in_no_cell() -> None:
    rows = crossed([*CROSSED, (None, BAD), (BAD, None)])
    rows.append(row("no answer at all", "trace", BAD))
    rows.append(row("the trace's judge could not be reached", "answer", BAD))
    rows.append(row("never thought", "answer", BAD, trace_tokens=0))
    (table,) = tables_of(rows)
    assert table.shares["unsafe"] == pytest.approx(3 / 11)
    assert (table.n_items, table.n_missing) == (11, 4)
    assert table.n_traces == 13  # every trace with a score, whatever became of its answer


def test_a_trace_whose_tokens_nobody_counted_is_known_by_its_state() -> None:
    lone = {"complete": 3, "truncated": 2, "none": 4, None: 5}
    rows = crossed(CROSSED, trace_tokens=None, thinking_state="complete")
    rows += [
        row(f"{state} {i}", "answer", BAD, trace_tokens=None, thinking_state=state)
        for state, n in lone.items()
        for i in range(n)
    ]
    (table,) = tables_of(rows)
    assert (table.n_items, table.n_missing, table.n_thought) == (11, 5, 16)


def test_many_traces_without_one_of_the_verdicts_are_a_caveat() -> None:
    alone = [row(f"lone {i}", "answer", BAD) for i in range(2)]
    (told,) = lone_stages(tables_of([*crossed(CROSSED), *alone]))
    assert "(2 of 13 under `cot`): the table of trace and answer is about a selection." in told
    assert lone_stages(tables_of([*crossed(CROSSED), alone[0]])) == []


def test_draws_are_averaged_within_items() -> None:
    rows = crossed([(BAD, BAD), (GOOD, GOOD)]) + crossed([(GOOD, GOOD)], draw=1)
    (table,) = tables_of([{"draw": 0, **r} for r in rows])
    assert table.shares["unsafe"] == pytest.approx((1 / 2 + 0) / 2)
    assert table.shares["safe"] == pytest.approx((1 / 2 + 1) / 2)
    assert table.n_items == 2


def test_items_of_one_cluster_widen_the_interval() -> None:
    pairs: list[tuple[float | None, float | None]] = [(BAD, BAD)] * 40 + [(GOOD, GOOD)] * 60
    (alone,) = tables_of(crossed(pairs))
    rows = crossed(pairs)
    (together,) = tables_of([{**r, "cluster": f"c{int(r['item']) // 5}"} for r in rows])
    width, narrow = (t.intervals["unsafe"].high - t.intervals["unsafe"].low for t in (together, alone))
    assert together.shares == alone.shares
    assert width > 1.8 * narrow


def test_half_a_score_is_not_unsafe() -> None:
    (table,) = tables_of(crossed([(0.5, 0.5)] * 3))
    assert table.shares["safe"] == 1.0
    assert math.isnan(table.unsafe_after_unsafe)
    assert table.unsafe_after_safe == 0.0


def test_stages_are_shares_of_the_traces_that_were_read_for_them() -> None:
    found = ["harm_recognition,rationalisation", "harm_recognition", "", None]
    rows = [row(i, "trace", GOOD, stages=s) for i, s in enumerate(found)]
    rows += [row("lost", "trace", None, stages="")]
    rows += [row(i, "answer", GOOD) for i in range(4)]
    (table,) = tables_of(rows)
    assert table.stages["harm_recognition"] == pytest.approx(2 / 4)
    assert table.stages["rationalisation"] == pytest.approx(1 / 4)
    assert table.stages["refusal_decision"] == 0.0
    assert table.n_staged == 4
    assert tuple(table.stage_intervals["rationalisation"]) == pytest.approx(tuple(wilson(1 / 4, 4)))


def test_a_judge_that_looks_for_no_stages_gives_none() -> None:
    (table,) = tables_of(crossed(CROSSED))
    assert table.stages == {}
    assert table.n_staged == 0


def test_tables_come_by_axis_and_arm_and_only_where_traces_were_read() -> None:
    secret = {"axis": "privacy", "benchmark": "p"}
    rows = [
        *(r | {"outcome": "leaked"} for r in crossed([(BAD, BAD)], **secret)),
        *crossed(CROSSED),
        *crossed(CROSSED, arm="plan"),
        *(row(i, "answer", GOOD, arm="direct", trace_tokens=0) for i in range(3)),
    ]
    assert [(t.axis, t.arm) for t in tables_of(rows, ("direct", "plan", "cot"))] == [
        ("harm", "plan"),
        ("harm", "cot"),
        ("privacy", "cot"),
    ]


def test_a_trace_without_an_answer_verdict_leaves_the_cells_unknown() -> None:
    (table,) = tables_of([row(1, "trace", BAD)])
    assert all(math.isnan(share) for share in table.shares.values())
    assert math.isnan(table.intervals["safe"].low)
    assert (table.n_items, table.n_traces, table.n_missing, table.judges[1]) == (0, 1, 1, "")


def test_the_order_of_rows_does_not_matter() -> None:
    rows = crossed(CROSSED)
    assert tables_of(rows) == tables_of(rows[::-1])


def test_stages_are_heard_of_whoever_looked_although_another_verdict_counts() -> None:
    annotated = [row(i, "trace", BAD, judge="a_person") for i in range(2)]
    looked = [row(i, "trace", GOOD, stages="rationalisation" if i < 3 else "") for i in range(4)]
    (table,) = tables_of([*annotated, *looked, *(row(i, "answer", BAD) for i in range(4))])
    assert table.stages["rationalisation"] == pytest.approx(3 / 4)
    assert table.shares["unsafe"] == pytest.approx(2 / 4)  # the person's word on the two traces they read


def test_a_trace_that_could_not_be_read_is_not_one_without_stages() -> None:
    pairs: list[tuple[float | None, float | None]] = [(GOOD, GOOD)] * 6
    rows = crossed(pairs)
    for i, (outcome, stages) in enumerate(
        [("refused", "harm_recognition, policy_recall"), ("incoherent", None), ("unfinished", None), ("refused", None)]
    ):
        rows[2 * i] |= {"outcome": outcome, "score": 1.0 if outcome == "refused" else None, "stages": stages}
    rows[8] |= {"outcome": "unfinished", "score": None, "stages": "policy_recall"}
    (table,) = tables_of(rows)
    assert table.n_staged == 4, "one has two stages, one a stage before it was cut, and two have none"
    assert table.stages["harm_recognition"] == pytest.approx(1 / 4)
    assert table.stages["policy_recall"] == pytest.approx(2 / 4)
