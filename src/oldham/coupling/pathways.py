"""Which risk and which defence: every flipped pair gets one label by an ordered table of rules (estimators: pathways).

A label is a reading of outcomes and of what a judge found in a trace. It tells what the texts show, and not what made
the model answer so; a counter-test, such as a format control, says more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from oldham.core.errors import ConfigError, did_you_mean
from oldham.core.outcomes import MISSING, Outcome
from oldham.coupling.attack_results import UNATTACKED
from oldham.coupling.pathway_facts import fits_column, label_pairs, pair_facts, read_facts, told_column
from oldham.coupling.pathway_results import (
    ALL,
    PAIR,
    REASONS,
    Flow,
    Pathways,
    PathwayShare,
    PathwayTable,
    Reason,
)
from oldham.coupling.pathway_rules import NO_FLIP, NO_OUTCOME, UNCLEAR, Rules, Side, read_rules
from oldham.coupling.shares import UNKNOWN
from oldham.coupling.stages import AXES, item_shares

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from oldham.coupling.results import Interval

__all__ = ["PathwayOptions", "PathwayTable", "Pathways", "classify", "classify_attack", "read_rules"]

_SIDES: Final[tuple[Side, ...]] = ("risk", "defence")
_MISSING: Final = tuple(map(str, MISSING))
_FLOW: Final = ("baseline_outcome", "side", "pathway", "new_outcome")


@dataclass(frozen=True, slots=True)
class PathwayOptions:
    """What only whoever asks can tell."""

    axes: tuple[str, ...] = tuple(map(str, AXES))
    """Where to look. The table that ships speaks of harm and privacy."""
    format_controls: Mapping[str, str] = field(default_factory=dict)
    """By arm, another arm that is the same without its format or prefix; empty where nobody ran one."""
    disguises: Collection[str] | None = None
    """Labels of the attacks that hide what is asked for; None takes the word of the table's column `disguised`, where
    studies tell it of this package's attacks. An attack of which nothing is told there may be one or not."""


_DEFAULT: Final = PathwayOptions()


class _Asked(NamedTuple):
    """Both sides of one entry."""

    arm: str
    axis: str
    attack: str | None
    against: str
    before: pl.DataFrame
    after: pl.DataFrame
    control: pl.DataFrame


def classify(
    trials: pl.DataFrame,
    arms: Sequence[str],
    baseline: str,
    rules: Rules | None = None,
    *,
    options: PathwayOptions = _DEFAULT,
) -> PathwayTable:
    """Label the pairs of every arm and the baseline: the same benchmark, item, attack and draw.

    Where a side drew an item once, that draw is paired with every draw of the other side.

    Args:
        trials: One row a trial and span, as `oldham.coupling.pairing.tidy_trials` returns it. An item under an attack
            counts as an item of its own: leave attacked rows out to speak of the items as they are.
        arms: The arms to compare, in the order wanted; the baseline among them is passed over.
        baseline: The arm compared with.
        rules: The table; None for the one that ships.
        options: Where to look, format controls, and which attacks hide what is asked for.

    Returns:
        One entry an axis and arm, none where the arm has no rows. Equal tables give equal numbers, whatever the order
        of their rows.

    Raises:
        ConfigError: A format control, or an arm that is to have one, is not in the table.
    """
    controls = options.format_controls
    _must_be_there("arm", (*controls, *controls.values()), trials["arm"])
    facts = read_facts(trials.filter(pl.col("axis").is_in(options.axes)))
    asked = [
        _Asked(arm, axis, None, baseline, *(_of(rows, arm=a) for a in (baseline, arm, controls.get(arm, ""))))
        for axis, rows in _by_axis(facts, options)
        for arm in arms
        if arm != baseline
    ]
    return _table(asked, rules, options)


def classify_attack(
    trials: pl.DataFrame,
    arm: str,
    attack: str,
    rules: Rules | None = None,
    *,
    options: PathwayOptions = _DEFAULT,
) -> PathwayTable:
    """Label the pairs of one arm without and with an attack: the same benchmark, item and draw.

    Where a side drew an item once, that draw is paired with every draw of the other side: a greedy arm has nothing to
    draw again without an attack, and an attack that draws anew has.

    Args:
        trials: As for `classify`, with the attacked rows and those without an attack.
        arm: The arm.
        attack: The attack's label.
        rules: The table; None for the one that ships.
        options: Where to look, and which attacks hide what is asked for; format controls are not read.

    Returns:
        One entry an axis on which the arm met the attack. Risk is where the attack gets through.

    Raises:
        ConfigError: There is no such arm or attack.
    """
    _must_be_there("arm", (arm,), trials["arm"])
    _must_be_there("attack", (attack,), trials["attack"])
    facts = read_facts(trials.filter(pl.col("arm") == arm))
    asked = []
    for axis, rows in _by_axis(facts, options):
        after = _of(rows, attack=attack)
        free = _of(rows, attack=UNATTACKED).with_columns(pl.lit(attack).alias("attack"))
        # An attack may be meant for some benchmarks only; the other items are not unpaired.
        free = free.join(after.select("benchmark").unique(), on="benchmark", how="semi")
        asked.append(_Asked(arm, axis, attack, UNATTACKED, free, after, rows.clear()))
    return _table(asked, rules, options)


def _must_be_there(what: str, names: Sequence[str], column: pl.Series) -> None:
    found = column.unique().to_list()
    for name in names:
        if name not in found:
            raise ConfigError(f"No observation belongs to the {what} `{name}`.", remedy=did_you_mean(name, found))


def _by_axis(facts: pl.DataFrame, options: PathwayOptions) -> Iterator[tuple[str, pl.DataFrame]]:
    for axis in options.axes:
        yield axis, _of(facts, axis=axis)


def _of(rows: pl.DataFrame, **values: str) -> pl.DataFrame:
    return rows.filter(**values)


def _table(asked: Sequence[_Asked], rules: Rules | None, options: PathwayOptions) -> PathwayTable:
    rules = rules or read_rules()
    entries, shown = [], [pl.DataFrame(schema=PAIR)]
    for one in asked:
        if one.after.is_empty():
            continue
        joined = pair_facts(one.before, one.after, one.control, options.disguises)
        both = joined.drop_nulls(["outcome", "baseline_outcome"])
        pairs = label_pairs(both.filter(~pl.col("baseline_outcome").is_in(_MISSING)), rules)
        entries.append(
            _entry(one, pairs, rules, n_no_baseline=both.height - pairs.height, n_unpaired=joined.height - both.height)
        )
        named = pairs.with_columns(pl.lit(one.against).alias("against"), pl.col("generation").alias("new_generation"))
        shown.append(named.filter(~pl.col("pathway").is_in([NO_FLIP, NO_OUTCOME])).select(*PAIR))
    return PathwayTable(tuple(entries), rules, pl.concat(shown))


def _entry(one: _Asked, pairs: pl.DataFrame, rules: Rules, *, n_no_baseline: int, n_unpaired: int) -> Pathways:
    by_key = _keyed(rules)
    flows = _flows_of(pairs, rules)
    columns = {**by_key, **{f"flow {i}": flow for i, flow in enumerate(flows.values())}}
    marked = pairs.with_columns(holds.alias(key) for key, holds in columns.items())
    shares, intervals, n_items = item_shares(marked, list(columns))
    counts = {key: int(marked[key].sum()) for key in columns}

    def told(key: str, side: Side | None, pathway: str, *, apart: bool = False) -> PathwayShare:
        return PathwayShare(side, pathway, apart, shares[key], intervals[key], counts[key])

    unclear = [told(f"{UNCLEAR} {side}", side, UNCLEAR) for side in _SIDES]
    return Pathways(
        arm=one.arm,
        axis=one.axis,
        attack=one.attack,
        against=one.against,
        shares=(*(_of_rule(marked, at, rules, shares, intervals) for at in range(len(rules.rules))), *unclear),
        risk=told("sum of risk", "risk", ALL),
        defence=told("sum of defence", "defence", ALL),
        no_outcome=told(NO_OUTCOME, None, NO_OUTCOME, apart=True),
        risk_at_most=shares["risk at most"],
        defence_at_most=shares["defence at most"],
        flows=tuple(
            Flow(*key, shares[f"flow {i}"], intervals[f"flow {i}"], counts[f"flow {i}"]) for i, key in enumerate(flows)
        ),
        reasons=_reasons(pairs),
        n_items=n_items,
        n_clusters=pairs.select("benchmark", "cluster").n_unique(),
        n_pairs=pairs.height,
        n_no_baseline=n_no_baseline,
        n_unpaired=n_unpaired,
    )


def _keyed(rules: Rules) -> dict[str, pl.Expr]:
    """Say of labelled pairs what is counted, by key."""
    is_apart = pl.col("pathway").is_in([rule.name for rule in rules.rules if rule.apart])
    flips = {"risk": pl.col("to_bad") & ~is_apart, "defence": pl.col("to_good") & ~is_apart}
    no_side, was_bad = pl.col("new_side") == "none", pl.col("baseline_side") == "bad"
    silent = no_side | (pl.col("answered") == "false")
    return {
        **{rule.name: pl.col("pathway") == rule.name for rule in rules.rules},
        **{f"{UNCLEAR} {side}": (pl.col("pathway") == UNCLEAR) & (pl.col("side") == side) for side in _SIDES},
        **{f"sum of {side}": flips[side] for side in _SIDES},
        NO_OUTCOME: pl.col("pathway") == NO_OUTCOME,
        "risk at most": flips["risk"] | (pl.col("was_harmless") & no_side),
        "defence at most": flips["defence"] | (was_bad & silent),
    }


def _of_rule(
    marked: pl.DataFrame, at: int, rules: Rules, shares: Mapping[str, float], intervals: Mapping[str, Interval]
) -> PathwayShare:
    """Tell the share of the rule at a place, and of how many pairs that came to it nobody can say whether it fits."""
    rule = rules.rules[at]
    earlier = [other.name for other in rules.rules[:at]]
    n_untold = int(marked.filter(~pl.col("pathway").is_in(earlier))[fits_column(rule)].null_count())
    n = int((marked["pathway"] == rule.name).sum())
    share, interval = shares[rule.name], intervals[rule.name]
    if n == 0 and n_untold and not marked[told_column(rule)].any():
        share, interval = math.nan, UNKNOWN
    return PathwayShare(rule.side, rule.name, rule.apart, share, interval, n, n_untold)


def _flows_of(pairs: pl.DataFrame, rules: Rules) -> dict[tuple[str, Side | None, str, str], pl.Expr]:
    """Find the flows among labelled pairs, and which pairs are in each, in the order of outcomes and labels."""
    outcomes = list(map(str, Outcome))
    labels = [*(rule.name for rule in rules.rules), UNCLEAR, NO_OUTCOME, NO_FLIP]
    places: list[Sequence[str | None]] = [outcomes, [*_SIDES, None], labels, outcomes]
    keys = pairs.select(_FLOW).unique().rows()
    return {
        key: pl.all_horizontal(pl.col(name).eq_missing(value) for name, value in zip(_FLOW, key, strict=True))
        for key in sorted(keys, key=lambda key: [place.index(v) for place, v in zip(places, key, strict=True)])
    }


def _reasons(pairs: pl.DataFrame) -> tuple[Reason, ...]:
    counts = {(side, text): n for side, text, n in pairs.group_by("side", "reason").len().iter_rows() if text}
    return tuple(
        Reason(side, text, counts[side, text]) for side in _SIDES for text in REASONS if (side, text) in counts
    )
