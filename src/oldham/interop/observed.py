"""The observation table of an imported run, made of its ledger and its items."""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from oldham.core.fingerprint import fingerprint
from oldham.core.observations import OBSERVATION_COLUMNS, as_observations
from oldham.core.outcomes import Outcome
from oldham.judges.base import JUDGES
from oldham.studies.observations import generation_facts, stages_told, trial_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from oldham.core.ledger import Ledger
    from oldham.core.records import Verdict
    from oldham.interop.items import Items
    from oldham.judges.base import Judge

_BATCH: Final = 20_000
_JUDGE: Final = ("benchmark", "judge", "judge_fingerprint")
_SAID: Final = (
    *("generation", "judge", "span", "outcome", "score", "raw"),
    *("stages", "parsed", "judge_fingerprint"),
)


def imported_observations(
    ledger: Ledger,
    *,
    study: str,
    items: Items,
    arms: Sequence[str],
    judges: Mapping[str, Mapping[str, str]],
) -> pl.DataFrame:
    """Derive the observation table of an imported run.

    Args:
        ledger: Its rows.
        study: The run's name.
        items: Its items.
        arms: Its arms, in the order wanted.
        judges: Fingerprints of its judges by benchmark and name, the most trusted first. Verdicts of another version
            of one of them are left out.

    Returns:
        One row a verdict, by arm, item, draw and judge. A generation no judge read has one row that is `unjudged`, and
        so has each answer that a judge of this package lacks.

    Raises:
        LedgerError: A row is damaged.
    """
    generations = _generations(ledger, study=study, items=items, arms=arms)
    verdicts = _frame(_said(v) for v in ledger.verdicts())
    if verdicts.is_empty():
        verdicts = pl.DataFrame(schema={name: OBSERVATION_COLUMNS[name] for name in _SAID})
    ranked = [
        (benchmark, judge, identity, rank)
        for benchmark, names in judges.items()
        for rank, (judge, identity) in enumerate(names.items())
    ]
    ranks = pl.DataFrame(
        ranked,
        schema=dict(zip((*_JUDGE, "judge_order"), (pl.String, pl.String, pl.String, pl.Int64), strict=True)),
        orient="row",
    )
    said = generations.join(verdicts, on="generation", how="inner", maintain_order="left").join(
        ranks, on=_JUDGE, how="inner", maintain_order="left"
    )
    unread = generations.join(said.select("generation").unique(), on="generation", how="anti", maintain_order="left")
    lacking = [_lacking(generations, said, rank) for rank in ranks.iter_rows(named=True)]
    table = pl.concat([said, unread, *(rows for rows in lacking if rows is not None)], how="diagonal_relaxed")
    return as_observations(
        _with_unjudged(table).sort("arm_order", "item_order", "attack", "draw", "judge_order", "span", nulls_last=True)
    )


def _lacking(generations: pl.DataFrame, said: pl.DataFrame, rank: Mapping[str, Any]) -> pl.DataFrame | None:
    """Return `unjudged` rows for the answers that a judge of this package has not judged, though it can."""
    kind = own_judge(rank["judge"], rank["judge_fingerprint"])
    if kind is None or "answer" not in kind.spans:
        return None
    mine = said.filter((pl.col("judge") == rank["judge"]) & (pl.col("span") == "answer"))
    able = generations.filter(
        (pl.col("benchmark") == rank["benchmark"]) & pl.col("axis").is_in([str(axis) for axis in kind.axes])
    )
    return able.join(mine.select("generation"), on="generation", how="anti", maintain_order="left").with_columns(
        *(pl.lit(rank[name]).alias(name) for name in ("judge", "judge_fingerprint", "judge_order")),
        pl.lit("answer").alias("span"),
        pl.lit(str(Outcome.UNJUDGED)).alias("outcome"),
    )


def own_judge(label: str, identity: str) -> type[Judge] | None:
    """Return the class of a judge of an imported run; None for one whose verdicts came with the files.

    Args:
        label: Its label.
        identity: Its fingerprint.
    """
    name = label.partition("@")[0]
    if identity == imported_identity(label) or name not in JUDGES.names():
        return None
    return JUDGES.get(name)


@cache
def imported_identity(label: str) -> str:
    """Return the fingerprint of a judge of which a file tells the name alone.

    Args:
        label: Its name in the file.
    """
    return fingerprint("imported judge", label)


def _generations(ledger: Ledger, *, study: str, items: Items, arms: Sequence[str]) -> pl.DataFrame:
    """Return one row a generation, with its arm's and its item's place in the order wanted."""
    order = {name: i for i, name in enumerate(arms)}
    places = {key: i for i, key in enumerate(items.keys())}
    return _frame(
        {
            **trial_columns(study, g.trial, item),
            **generation_facts(g),
            "call_tokens": g.call_tokens if g.calls else None,  # without calls it is not known that there were none
            "arm_order": order[g.trial.arm],
            "item_order": places[g.trial.benchmark, g.trial.item],
        }
        for g in ledger.generations()
        # An import that was killed half-way may have left rows that nothing else knows of yet.
        if g.trial.arm in order and (item := items.get(g.trial.benchmark, g.trial.item))
    )


def _with_unjudged(table: pl.DataFrame) -> pl.DataFrame:
    """Keep the verdicts, and add a row that is `unjudged` for each generation whose answer no judge read."""
    # What was said of the trace alone leaves the answer unjudged.
    unread = table.filter((pl.col("span") == "answer").any().over("generation").not_().fill_null(True)).unique(
        "generation", keep="first", maintain_order=True
    )
    said = table.filter(pl.col("span").is_not_null())
    judged = [name for name in _SAID if name != "generation"]
    blank = unread.with_columns(pl.lit(None).alias(name) for name in judged).with_columns(
        pl.lit("answer").alias("span"), pl.lit(str(Outcome.UNJUDGED)).alias("outcome"), pl.lit(-1).alias("judge_order")
    )
    return pl.concat([said, blank], how="diagonal_relaxed")


def _frame(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Make one table of many rows without holding them all as objects."""
    schema: dict[str, Any] = {
        **OBSERVATION_COLUMNS,
        "arm_order": pl.Int64,
        "item_order": pl.Int64,
        "judge_order": pl.Int64,
    }
    frames = []
    for some in _batches(rows):
        frames.append(pl.DataFrame(some, schema={name: schema[name] for name in some[0]}))
    return pl.concat(frames) if frames else pl.DataFrame()


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(rows)
    while some := list(itertools.islice(remaining, _BATCH)):
        yield some


def _said(verdict: Verdict) -> dict[str, Any]:
    kind = own_judge(verdict.judge, verdict.judge_fingerprint)
    return {
        "generation": verdict.generation,
        "judge": verdict.judge,
        "span": str(verdict.span),
        "outcome": str(verdict.outcome),
        "score": verdict.score,
        "raw": verdict.raw,
        "stages": stages_told(verdict, looks=kind is not None and "answer" not in kind.spans),
        "parsed": verdict.parsed,
        "judge_fingerprint": verdict.judge_fingerprint,
    }
