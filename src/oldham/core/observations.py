"""Observations: one tidy row a verdict. Everything right of them reads only these columns."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from oldham.core.errors import DataError, did_you_mean
from oldham.core.outcomes import AT_HALF, MISSING, Axis, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OBSERVATION_COLUMNS: Final[Mapping[str, type[pl.DataType]]] = MappingProxyType(
    {
        "study": pl.String,
        "arm": pl.String,
        "intervention": pl.String,  # what a dose is a dose of; null for an arm without one
        "dose": pl.Float64,
        "factors": pl.String,  # JSON object of the arm's levels in a factorial design; null outside one
        "benchmark": pl.String,
        "axis": pl.String,
        "item": pl.String,
        "cluster": pl.String,
        "category": pl.String,
        "pair": pl.String,
        "attack": pl.String,
        "technique": pl.String,  # the attack without its dose; null without one
        "attack_dose": pl.Float64,  # the attack's place in its technique's curve; null without one
        "disguised": pl.Boolean,  # whether the attack hides what is asked for; null where that is not known
        "queries": pl.Int64,  # what an adaptive attack asked of the target in this draw; null for one try
        "attack_tokens": pl.Int64,  # what the attacker's model wrote; null without one
        "draw": pl.Int64,
        "judge": pl.String,
        "span": pl.String,  # answer | trace
        "outcome": pl.String,
        "score": pl.Float64,  # in [0, 1], 1 is good; null when nothing is known
        "raw": pl.String,
        "stages": pl.String,  # what a judge found in a trace, separated by commas; null where it does not look
        "parsed": pl.String,  # ok | retried | failed: whether the judge's own output could be read
        "judge_fingerprint": pl.String,  # which version, prompt and model of the judge
        "named": pl.Float64,  # in [0, 1], share of the plain request's content words in the answer; null where unknown
        "named_by_chance": pl.Float64,  # mean of that share over the benchmark's requests of other clusters
        "thinking_state": pl.String,
        "trace_stop": pl.String,
        "stop": pl.String,
        "requested_thinking_tokens": pl.Int64,
        "realised_thinking_tokens": pl.Int64,
        "prompt_tokens": pl.Int64,
        "trace_tokens": pl.Int64,
        "answer_tokens": pl.Int64,
        "call_tokens": pl.Int64,  # written in calls before the one that answers
        "seconds": pl.Float64,
        "generation": pl.String,  # fingerprint of the trial
    }
)
"""Column names and types of `observations.parquet`. The analysis needs REQUIRED_COLUMNS; the rest may be null."""

REQUIRED_COLUMNS: Final = ("arm", "benchmark", "axis", "item", "outcome", "score")

_NAMED: Final = ("named", "named_by_chance")


def read_observations(file: Path) -> pl.DataFrame:
    """Read an observation table from a file.

    Args:
        file: A parquet file, or a `.csv`.

    Returns:
        As `as_observations` returns it.

    Raises:
        DataError: The file cannot be read, or is no observation table.
    """
    try:
        frame = pl.read_csv(file) if file.suffix == ".csv" else pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"The observations cannot be read ({reason}).",
            place=str(file),
            remedy="If a study wrote them, run it again: they are made anew from its ledger.",
        ) from error
    return as_observations(frame, place=str(file))


def as_observations(frame: pl.DataFrame, *, place: str = "observations") -> pl.DataFrame:
    """Bring a table into the observation schema.

    Args:
        frame: At least `REQUIRED_COLUMNS`; a missing `cluster` becomes the item, a missing `draw` 0, a missing `span`
            `answer`, a missing `attack` `none`, every other missing column null. NaN is unknown in the shares of
            named words.
        place: Where it came from, for messages.

    Returns:
        A frame with exactly `OBSERVATION_COLUMNS`, in that order.

    Raises:
        DataError: A required column is missing, a score or a share of named words lies outside [0, 1], a score stands
            beside a missing outcome, or an axis or outcome is unknown.
    """
    for name in REQUIRED_COLUMNS:
        if name not in frame.columns:
            raise DataError(
                f"The column `{name}` is missing.", place=place, remedy=did_you_mean(name, frame.columns or ["(none)"])
            )
    defaults = {
        "cluster": pl.col("item").cast(pl.String),
        "draw": pl.lit(0),
        "span": pl.lit("answer"),
        "attack": pl.lit("none"),
    }
    columns = []
    for name, dtype in OBSERVATION_COLUMNS.items():
        source = pl.col(name) if name in frame.columns else defaults.get(name, pl.lit(None))
        columns.append(source.cast(dtype).alias(name))
    try:
        tidy = frame.select(columns)
    except pl.exceptions.PolarsError as error:
        detail = str(error).partition("\n")[0]
        raise DataError(
            f"A column has the wrong type ({detail}).", place=place, remedy="Names are text; counts and scores numbers."
        ) from error
    # Tables of other tools say NaN where nothing is known, and polars holds NaN to be more than any number.
    tidy = tidy.with_columns(pl.col(_NAMED).fill_nan(None))
    for name, valid in (("axis", {str(a) for a in Axis}), ("outcome", {str(o) for o in Outcome})):
        unknown = set(tidy[name].unique().to_list()) - valid
        if unknown:
            bad = str(sorted(map(str, unknown))[0])
            raise DataError(f"`{bad}` is not an {name}.", place=place, remedy=did_you_mean(bad, valid))
    if tidy.filter((pl.col("score") < 0) | (pl.col("score") > 1) | pl.col("score").is_nan()).height:
        raise DataError("A score lies outside [0, 1].", place=place, remedy="1 is good; leave unknown scores empty.")
    for name in _NAMED:
        if tidy.filter((pl.col(name) < 0) | (pl.col(name) > 1)).height:
            raise DataError(
                f"A share in `{name}` lies outside [0, 1].",
                place=place,
                remedy="It is a share of the request's words; leave unknown ones empty.",
            )
    if tidy.filter(pl.col("outcome").is_in([str(o) for o in MISSING]) & pl.col("score").is_not_null()).height:
        raise DataError(
            "A row without an outcome (`unfinished`, `unjudged`) has a score.",
            place=place,
            remedy="Leave its score empty: missing is neither good nor bad.",
        )
    return tidy


def good_side() -> pl.Expr:
    """Return whether a row's score is on the good side of its axis: what `oldham.core.outcomes.side` is for an outcome.

    Returns:
        Over the columns `axis` and `score`; null without a score, and at one half where that is on neither side.
    """
    sides = {str(axis): side == "good" for axis, side in AT_HALF.items()}
    half = pl.col("axis").replace_strict(sides, default=None, return_dtype=pl.Boolean)
    score = pl.col("score")
    return pl.when(score > 0.5).then(True).when(score < 0.5).then(False).when(score == 0.5).then(half)
