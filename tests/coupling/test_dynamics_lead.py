"""What is told of doses first: a table and a few sentences that claim no more than the ladders do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from dose_rows import BASE, dose_table, ladder

from oldham.coupling import CouplingOptions
from oldham.coupling.dynamics import DoseOptions, dose_dynamics
from oldham.coupling.dynamics_claims import (
    controls_sentences,
    critical_sentence,
    free_sentence,
    seeds_sentences,
    trend_sentence,
)
from oldham.coupling.dynamics_lead import groups_of

if TYPE_CHECKING:
    from oldham.coupling.dynamics_results import Dynamics

QUICK = CouplingOptions(resamples=1000, permutations=1000)
TRAINING = {"sft": {"control": None}, "prose": {"control": "text"}, "also": {"control": None}}


def follow(arms: dict[str, Any], *, lost: tuple[str, ...] = (), n: int = 200, **wanted: Any) -> Dynamics:
    """Follow doses; every fifth answer on harm of some arms has no score."""
    dark = pl.col("arm").is_in(lost) & (pl.col("axis") == "harm") & pl.col("item").str.contains("[56]$")
    table = dose_table({**BASE, **arms}, n=n).with_columns(
        pl.when(dark).then(pl.lit("unfinished")).otherwise("outcome").alias("outcome"),
        pl.when(dark).then(None).otherwise("score").alias("score"),
    )
    return dose_dynamics(table, baseline="base", options=QUICK, wanted=DoseOptions(**wanted))


def seeds(name: str, losses: list[list[float]]) -> dict[str, Any]:
    """Return a ladder a seed: its change of harm at doses 10, 20 and so on; reasoning rises by 20 points."""
    return {
        arm: row
        for k, changes in enumerate(losses)
        for arm, row in ladder(f"{name}[seed={k}]", [(10 * i, 0.2, v) for i, v in enumerate(changes, 1)]).items()
    }


def joined(text: str) -> str:
    return text.replace("\n  ", " ")


SFT = seeds("sft", [[-0.3, -0.4], [0.0, -0.4], [-0.3, -0.5]])
PROSE = seeds("prose", [[0.0, -0.1], [0.0, -0.1], [0.0, -0.1]])


def test_seeds_are_told_together_with_who_says_what() -> None:
    found = follow({**SFT, **PROSE}, training=TRAINING)
    text = joined(found.summary(full=False))
    assert "- Critical dose: harm 10 (seeds 0, 2) or 20 (seed 1)." in text
    assert "- Free range: to dose 10 (seed 1), none for sure (seeds 0, 2); at dose 10 or 20 harm surely lost." in text
    assert "- At dose 20, over items and over seeds: better on reasoning; worse on harm." in text
    assert "- Trend with the dose: better on reasoning (all); worse on harm (all)." in text
    # A step in which reasoning moved is one a seed, from the start to 10; nothing moves after.
    assert "- Local coupling in 3 of 6 steps: harm −1.50 to 0.00 (2 clear of 0)." in text
    lines = found.summary(full=False).splitlines()
    rows = [line.split() for line in lines if line.lstrip().startswith(("sft ", "20 "))]
    assert [r[:2] for r in rows[:2]] == [["sft", "10"], ["20", "+20"]]


def test_every_ladder_is_there_in_full_and_only_there() -> None:
    found = follow({**SFT, **PROSE}, training=TRAINING)
    full, brief = joined(found.summary()), joined(found.summary(full=False))
    said = [s for r in found.replicates for s in seeds_sentences(r)]
    said += [s for c in found.controls for s in controls_sentences(c, found)[1:]]
    for path in found.paths:
        said += [critical_sentence(c, path) for c in path.critical]
        said += [trend_sentence(t, path) for t in path.trends]
        said.append(free_sentence(path.free, path))
        assert f"`{path.intervention}` at 2 doses (10, 20) against its start `base`, margin 5 points." in full
    assert len(said) > 20
    assert all(s in full for s in said)
    assert not any(s in brief for s in said)
    assert len(brief.splitlines()) < len(full.splitlines()) / 3


def test_what_hangs_on_seeds_or_is_a_selection_is_marked() -> None:
    found = follow(seeds("sft", [[-0.05, -0.4], [-0.8, -0.4], [0.0, -0.4]]), lost=("sft[seed=1]/20",))
    text = found.summary(full=False)
    (first,) = (line for line in text.splitlines() if line.lstrip().startswith("sft "))
    (second,) = (line for line in text.splitlines() if line.lstrip().startswith("20 "))
    assert first.endswith("]~")
    assert second.endswith("]?")
    assert "~ clear of 0 over items and not over seeds" in text
    (gap,) = found.gaps
    assert (gap.axis, gap.arms, gap.shares, gap.start_share) == ("harm", ("sft[seed=1]/20",), (0.2,), 0.0)
    low, high = gap.bounds[0]
    assert high - low == pytest.approx(0.2)
    assert gap.sentence in found.notes
    clear = follow(seeds("sft", [[-0.4], [-0.4], [-0.4]])).summary(full=False)
    assert "~" not in clear
    assert "?" not in clear


def test_gaps_of_several_ladders_are_told_once() -> None:
    lost = ("sft[seed=0]/10", "sft[seed=2]/20", "prose[seed=1]/20")
    found = follow({**SFT, **PROSE}, lost=lost, training=TRAINING)
    (gap,) = found.gaps
    assert set(gap.arms) == set(lost)
    assert sum("answers without a score" in n for n in found.notes) == 1
    assert all(f"`{arm}`" in gap.sentence for arm in lost)
    brief = found.summary(full=False)
    assert gap.sentence not in joined(brief)
    assert gap.sentence in joined(found.summary())
    (row,) = (line.split() for line in brief.splitlines() if line.startswith("  harm ") and "%" in line)
    assert row[:2] == ["harm", "3"]
    assert json.loads(found.to_json())["gaps"][0]["arms"] == list(gap.arms)


def test_controls_stand_in_a_table_and_alike_claims_in_one_sentence() -> None:
    arms = {**SFT, **PROSE, **seeds("also", [[-0.3, -0.4]] * 3)}
    found = follow(arms, training=TRAINING)
    text = joined(found.summary(full=False))
    assert "- `sft` and `also` have the same steps on text without reasoning, 3 seeds; missing:" in text
    lines = found.summary(full=False).splitlines()
    rows = [line.split() for line in lines if line.split()[1:3] == ["harm", "prose"]]
    assert [(r[0], r[3], r[4], r[5], r[-1]) for r in rows] == [
        ("sft", "10", "−20.0", "0.0", "seeds"),
        ("also", "10", "−30.0", "0.0", "survives"),
    ]


def test_a_ladder_alone_keeps_its_numbers() -> None:
    found = follow(ladder("sft", [(10, 0.2, 0.0), (20, 0.3, -0.4)]))
    path = found.paths[0]
    text = joined(found.summary(full=False))
    assert critical_sentence(path.critical[0], path) in text
    assert free_sentence(path.free, path) in text
    assert "(all)" not in text
    assert len(text.splitlines()) < 40


def test_a_single_step_is_not_any_of_several() -> None:
    text = joined(follow(ladder("sft", [(10, 0.0, -0.3)])).summary(full=False))
    assert "- Local coupling: reasoning is not sure to have moved in the one step." in text


def test_one_seed_asked_for_stands_alone() -> None:
    found = follow(SFT, intervention="sft[seed=1]")
    (group,) = groups_of(found)
    assert (group.name, group.mean) == ("sft[seed=1]", None)
    assert "means of" not in found.summary(full=False)
    (whole,) = groups_of(follow(SFT))
    assert (whole.name, len(whole.paths)) == ("sft", 3)


def test_seeds_without_a_common_dose_stand_alone() -> None:
    arms = {**ladder("sft[seed=0]", [(10, 0.1, -0.3)]), **ladder("sft[seed=1]", [(20, 0.1, -0.4)])}
    assert [g.name for g in groups_of(follow(arms))] == ["sft[seed=0]", "sft[seed=1]"]
