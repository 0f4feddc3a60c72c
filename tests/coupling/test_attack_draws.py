"""Arms that answer once where an attack draws anew: pairs of one draw and several."""

from __future__ import annotations

import pytest
from pathway_rows import HARM, Row, after, before, side, trials

from oldham.coupling.flip_pairs import list_flip_pairs
from oldham.coupling.pathways import PathwayOptions, classify, classify_attack

GREEDY: list[Row] = [
    *(row for i in range(20) for row in side("cot", "refused", item=f"i{i:02d}", attack="none")),
    *(
        row
        for i in range(20)
        for draw in range(4)
        for row in side(
            "cot", HARM if draw < 2 and i < 10 else "refused", item=f"i{i:02d}", attack="persuasion", draw=draw
        )
    ),
]
"""20 items asked once without an attack and in 4 draws under one, of which half break 10 items."""


def test_the_one_draw_without_an_attack_is_beside_every_draw_under_it() -> None:
    (entry,) = classify_attack(trials(GREEDY), "cot", "persuasion").entries
    assert (entry.n_pairs, entry.n_unpaired, entry.n_no_baseline, entry.n_items) == (80, 0, 0, 20)
    assert (entry.risk.n, entry.risk.share) == (20, 0.25)
    assert entry.risk.interval.high - entry.risk.interval.low > 0.2  # 20 items, not 80


@pytest.mark.parametrize("several_before", [True, False])
def test_the_one_draw_of_an_arm_is_beside_every_draw_of_the_other(several_before: bool) -> None:
    many, one = (before, after) if several_before else (after, before)
    rows = [
        *one("refused"),
        *(row for draw, said in enumerate(["refused", HARM, HARM]) for row in many(said, draw=draw)),
    ]
    (entry,) = classify(trials(rows), ["cot"], "base").entries
    assert (entry.n_pairs, entry.n_unpaired) == (3, 0)
    assert (entry.risk.n, entry.defence.n) == ((0, 2) if several_before else (2, 0))
    pairs = list_flip_pairs(trials(rows), baseline="base", arms=["cot"])
    kind = "defence" if several_before else "risk"
    assert [(p.kind, p.draw) for p in pairs] == [(kind, 1), (kind, 2)]


def test_single_draws_are_a_pair_whatever_their_numbers() -> None:
    rows = [*before("refused", draw=0), *after(HARM, draw=3)]
    (entry,) = classify(trials(rows), ["cot"], "base").entries
    assert (entry.n_pairs, entry.n_unpaired, entry.risk.n) == (1, 0, 1)
    (pair,) = list_flip_pairs(trials(rows), baseline="base", arms=["cot"])
    assert (pair.kind, pair.draw) == ("risk", 3)


def test_several_draws_on_both_sides_stay_with_their_numbers() -> None:
    rows = [row for draw in (0, 1) for row in before("refused", draw=draw)]
    rows += [row for draw in (1, 2, 3) for row in after(HARM, draw=draw)]
    (entry,) = classify(trials(rows), ["cot"], "base").entries
    assert (entry.n_pairs, entry.n_unpaired) == (1, 3)
    assert [p.draw for p in list_flip_pairs(trials(rows), baseline="base", arms=["cot"])] == [1]


def test_an_item_that_one_side_lacks_stays_unpaired() -> None:
    rows = [*before("refused", item="a"), *after(HARM, item="a"), *before("refused", item="b")]
    (entry,) = classify(trials(rows), ["cot"], "base").entries
    assert (entry.n_pairs, entry.n_unpaired) == (1, 1)


def test_a_draw_without_a_score_does_not_make_the_other_the_only_one() -> None:
    rows = [*before("refused", draw=0), *before("unfinished", draw=1)]
    rows += [row for draw in (0, 1) for row in after(HARM, draw=draw)]
    assert [p.draw for p in list_flip_pairs(trials(rows), baseline="base", arms=["cot"])] == [0]


@pytest.mark.parametrize(("control", "pathway"), [("refused", "format"), (HARM, "unclear")])
def test_the_one_draw_of_a_format_control_is_beside_every_pair(control: str, pathway: str) -> None:
    rows = [*before("refused"), *(row for draw in range(3) for row in after(HARM, draw=draw)), *side("plain", control)]
    options = PathwayOptions(format_controls={"cot": "plain"})
    (entry,) = classify(trials(rows), ["cot"], "base", options=options).entries
    assert entry.of(pathway, "risk").n == 3
    assert not any(share.n_untold for share in entry.shares if share.pathway == "format")
