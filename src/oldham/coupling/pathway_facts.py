"""What the rules of pathways may ask of a pair, from the rows of both sides, and the label that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from oldham.core.errors import DataError, did_you_mean
from oldham.core.observations import good_side
from oldham.core.outcomes import MISSING, Outcome, Stage
from oldham.core.records import StopReason
from oldham.core.thinking import ThinkingState
from oldham.coupling.attack_results import UNATTACKED
from oldham.coupling.flips import spread_single_draws
from oldham.coupling.pathway_results import REASONS
from oldham.coupling.pathway_rules import NO_FLIP, NO_OUTCOME, UNCLEAR, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Collection

    from oldham.coupling.pathway_rules import Rule, Rules

_UNIT: Final = ("benchmark", "item", "attack")
TRIAL: Final = (*_UNIT, "draw")
"""What the two sides of a pair share."""

_WORDLESS: Final = tuple(map(str, (*sorted(MISSING), Outcome.INCOHERENT)))
_ENDED: Final = (str(ThinkingState.COMPLETE), str(ThinkingState.OPEN_IN_PROMPT))
_OF_BASELINE: Final = ("outcome", "side", "trace", "trace_side", "on_point", "cluster", "generation")
_NOT_DECLINED: Final = (str(Outcome.COMPLIED_SAFE), str(Outcome.INCOHERENT))


def read_facts(trials: pl.DataFrame) -> pl.DataFrame:
    """Put what is known of a trial's answer and trace into one row.

    Args:
        trials: One row a trial and span, as `oldham.coupling.pairing.tidy_trials` returns it.

    Returns:
        One row a trial with an answer's verdict: `arm`, `axis`, `TRIAL`, `cluster`, `generation`, `disguised`,
        `outcome`, and the facts of one side (`side`, `answered`, `answer_finished`, `on_point`, `trace`, `trace_side`,
        `trace_outcome`, `trace_finished`) with `stages`, a list that is null where nobody looked.

    Raises:
        DataError: A stage is none of `oldham.core.outcomes.Stage`. A rule would take a name that nobody knows for a
            trace in which nothing was found.
    """
    _check_stages(trials["stages"])
    key = ("arm", "axis", *TRIAL)
    rows = trials.with_columns(good_side().alias("good"))
    of_trace = ("outcome", "good", "stages", "thinking_state", "trace_stop", "trace_tokens")
    traces = rows.filter(pl.col("span") == "trace").select(
        *key, *(pl.col(name).alias(f"trace {name}") for name in of_trace)
    )
    answers = rows.filter(pl.col("span") == "answer").join(traces, on=key, how="left")
    # What is told of the generation stands in both rows; an imported table may have it in one.
    both = answers.with_columns(
        pl.coalesce(name, f"trace {name}").alias(name) for name in ("thinking_state", "trace_stop", "trace_tokens")
    )
    verdict = pl.col("trace outcome")
    was_read = verdict.is_not_null() & (verdict != str(Outcome.UNJUDGED))
    thought = pl.coalesce(pl.col("trace_tokens") > 0, pl.col("thinking_state") != str(ThinkingState.NONE))
    wordless = pl.col("outcome").is_in(_WORDLESS)
    never_ended = (pl.col("thinking_state") == str(ThinkingState.TRUNCATED)).fill_null(value=False)
    facts = both.with_columns(
        _side(pl.col("good")).fill_null("none").alias("side"),
        true_or_false(~(wordless | never_ended)).alias("answered"),
        true_or_false(pl.col("stop") == str(StopReason.STOP)).alias("answer_finished"),
        true_or_false(pl.col("named") > pl.col("named_by_chance")).alias("on_point"),
        pl.when(was_read | pl.col("trace stages").is_not_null())
        .then(pl.lit("read"))
        .when(thought.not_())
        .then(pl.lit("none"))
        .otherwise(pl.lit("unread"))
        .alias("trace"),
        pl.when(was_read).then(verdict).otherwise(pl.lit(UNKNOWN)).alias("trace_outcome"),
        pl.col("trace stages").str.replace_all(" ", "").str.split(",").alias("stages"),
    )
    on_no_side = (pl.col("trace") == "none") | (verdict == str(Outcome.INCOHERENT)).fill_null(value=False)
    by_state = (
        pl.when(never_ended)
        .then(pl.lit("false"))
        .when(pl.col("thinking_state").is_in(_ENDED))
        .then(pl.lit("true"))
        .otherwise(pl.lit(UNKNOWN))
    )
    ended = pl.coalesce(_or_null(pl.col("trace_stop") == str(StopReason.STOP)), by_state)
    return facts.select(
        *key,
        *("cluster", "generation", "disguised", "outcome", "side", "answered", "answer_finished", "on_point"),
        *("trace", "trace_outcome", "stages"),
        pl.coalesce(
            _side(pl.col("trace good")), pl.when(on_no_side).then(pl.lit("none")).otherwise(pl.lit(UNKNOWN))
        ).alias("trace_side"),
        pl.when(pl.col("trace") == "none").then(pl.lit(UNKNOWN)).otherwise(ended).alias("trace_finished"),
    )


def _check_stages(told: pl.Series) -> None:
    names = told.drop_nulls().unique().str.split(",").explode().str.strip_chars()
    strange = sorted(set(names) - set(map(str, Stage)) - {""})
    if strange:
        raise DataError(
            f"`{strange[0]}` is no stage of a trace.",
            place="column stages",
            remedy=did_you_mean(strange[0], map(str, Stage)),
        )


def pair_facts(
    before: pl.DataFrame, after: pl.DataFrame, control: pl.DataFrame, disguises: Collection[str] | None
) -> pl.DataFrame:
    """Put both sides of every pair into one row, with all facts of it.

    Args:
        before: The baseline's trials, as `read_facts` returns them, of one axis.
        after: The new trials.
        control: The trials of the format control; none where there is none.
        disguises: Labels of the attacks that hide what is asked for; None takes the table's word for it, attack by
            attack, which may be that it is not known.

    Returns:
        By trial, those of one side only too: their columns of the other side are null. Where a side drew an item once,
        that draw is in a pair with every draw of the other side.
    """
    before = spread_single_draws(before, after, _UNIT)
    joined = spread_single_draws(after, before, _UNIT).join(
        before.select(*TRIAL, *(pl.col(name).alias(f"baseline_{name}") for name in _OF_BASELINE)),
        on=TRIAL,
        how="full",
        coalesce=True,
    )
    joined = joined.join(
        spread_single_draws(control, joined, _UNIT).select(*TRIAL, pl.col("side").alias("control")),
        on=TRIAL,
        how="left",
    )
    hides = true_or_false(pl.col("disguised") if disguises is None else pl.col("attack").is_in(list(disguises)))
    flips_too = pl.when(pl.col("control") != "none").then(_or_null(pl.col("control") == "bad"))
    return joined.with_columns(
        pl.col("outcome").alias("new_outcome"),
        pl.col("side").alias("new_side"),
        pl.coalesce("cluster", "baseline_cluster").alias("cluster"),
        pl.when(pl.col("attack") == UNATTACKED).then(pl.lit("false")).otherwise(hides).alias("attack_is_disguise"),
        flips_too.fill_null(UNKNOWN).alias("flips_without_format"),
    ).sort(TRIAL)


def label_pairs(pairs: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Give every pair its one label.

    Args:
        pairs: As `pair_facts` returns them, with both sides.
        rules: The table.

    Returns:
        The pairs with `to_bad` and `to_good` (whether the answer flipped, and which way), `pathway`, `side` (null for
        what is neither risk nor defence), the `reason` of unclear flips, and for every rule `fits` and `told` columns
        (see `fits_column`, `told_column`).
    """
    baseline = pl.col("baseline_side")
    # Where incoherence has no score, it did no harm.
    no_harm = (baseline == "none") & (pl.col("baseline_outcome") == str(Outcome.INCOHERENT))
    flipped = pairs.with_columns(
        (baseline.eq("good") | no_harm).alias("was_harmless"),
    ).with_columns(
        ((pl.col("new_side") == "bad") & pl.col("was_harmless")).alias("to_bad"),
        # Only an answer can be a defence, whatever a table of rules says.
        ((pl.col("new_side") == "good") & (baseline == "bad") & (pl.col("answered") == "true")).alias("to_good"),
    )
    held = flipped.with_columns(
        *((_eligible(rule) & rule.holds()).alias(fits_column(rule)) for rule in rules.rules),
        *(_was_told(rule).alias(told_column(rule)) for rule in rules.rules),
    )
    by_rule = [pl.when(pl.col(fits_column(rule))).then(pl.lit(rule.name)) for rule in rules.rules]
    flips = pl.col("to_bad") | pl.col("to_good")
    silent = (pl.col("new_side") == "none") | (pl.col("answered") == "false")
    without = pl.when(flips).then(pl.lit(UNCLEAR)).when(silent).then(pl.lit(NO_OUTCOME)).otherwise(pl.lit(NO_FLIP))
    sides = {rule.name: str(rule.side) for rule in rules.rules}
    of_rule = pl.col("pathway").replace_strict(sides, default=None, return_dtype=pl.String)
    of_flip = pl.when(pl.col("to_bad")).then(pl.lit("risk")).when(pl.col("to_good")).then(pl.lit("defence"))
    return held.with_columns(pl.coalesce(*by_rule, without).alias("pathway")).with_columns(
        pl.coalesce(of_rule, of_flip).alias("side"),
        pl.when(pl.col("pathway") == UNCLEAR).then(_reason()).alias("reason"),
    )


def fits_column(rule: Rule) -> str:
    """Name the column that says whether a rule fits a pair; null where that hangs on an unknown fact."""
    return f"{rule.name} fits"


def told_column(rule: Rule) -> str:
    """Name the column that says whether all is known of a pair that a rule asks."""
    return f"{rule.name} told"


def true_or_false(holds: pl.Expr) -> pl.Expr:
    """Return `true`, `false`, or `unknown` where it is null, as values of a fact.

    Args:
        holds: A condition.
    """
    return _or_null(holds).fill_null(UNKNOWN)


def _or_null(holds: pl.Expr) -> pl.Expr:
    return pl.when(holds).then(pl.lit("true")).when(holds.not_()).then(pl.lit("false"))


def _side(good: pl.Expr) -> pl.Expr:
    return pl.when(good).then(pl.lit("good")).when(good.not_()).then(pl.lit("bad"))


def _eligible(rule: Rule) -> pl.Expr:
    return pl.lit(value=True) if rule.apart else pl.col("to_bad" if rule.side == "risk" else "to_good")


def _was_told(rule: Rule) -> pl.Expr:
    return _eligible(rule) & rule.can_be_told() & rule.holds().is_not_null()


def _reason() -> pl.Expr:
    off_point, no_trace, unread, unsearched, cut, other = map(pl.lit, REASONS)
    had_not_declined = pl.col("baseline_outcome").is_in(_NOT_DECLINED)
    was_declining = pl.col("trace_outcome") == str(Outcome.REFUSED)
    return (
        pl.when(pl.col("to_bad") & had_not_declined & (pl.col("on_point") == "false"))
        .then(off_point)
        .when(pl.col("trace") == "none")
        .then(no_trace)
        .when(pl.col("trace") == "unread")
        .then(unread)
        .when(pl.col("stages").is_null())
        .then(unsearched)
        .when(pl.col("to_bad") & was_declining & (pl.col("trace_finished") == "false"))
        .then(cut)
        .otherwise(other)
    )
