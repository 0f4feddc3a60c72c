"""From the ledger's rows to the observation table, and from files back to it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from oldham.attacks.attacker import AskingAttack
from oldham.attacks.base import Encoder
from oldham.attacks.spec import attack_of
from oldham.core.errors import DataError, OldhamError, UnknownNameError, did_you_mean
from oldham.core.format_controls import controls_among, told_controls
from oldham.core.observations import as_observations, read_observations
from oldham.core.outcomes import MISSING, Outcome
from oldham.core.records import StopReason
from oldham.judges.cards import ARM, cards_of, shipped_cards
from oldham.judges.point import Requests
from oldham.studies.arms import samples_of
from oldham.studies.votes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from oldham.attacks import Composed
    from oldham.core.ledger import Ledger
    from oldham.core.records import Generation, Item, Trial, Verdict
    from oldham.judges.base import Judge
    from oldham.judges.cards import JudgeCard
    from oldham.studies.plan import Plan, PlannedTrial

_FACTS: Final = (
    "thinking_state",
    "trace_stop",
    "stop",
    "requested_thinking_tokens",
    "realised_thinking_tokens",
    "prompt_tokens",
    "trace_tokens",
    "answer_tokens",
    "call_tokens",
    "seconds",
)

_TRY: Final = re.compile(r"(?:try|turn|neighbour)(?: \d+)?")
"""What attacks call an earlier question to the target."""
_NOT_READ: Final = MISSING | {Outcome.INCOHERENT}


def build_observations(plan: Plan, ledger: Ledger) -> pl.DataFrame:
    """Derive the observation table from the ledger.

    Args:
        plan: What was to be done.
        ledger: What was done.

    Returns:
        One row for each trial, judge and span, in the plan's order, then one for all samples of each draw of a strategy
        that votes. For a judge that reads answers, a trial that has no generation or no verdict is there with outcome
        `unjudged`, no score, and the reason if it is known; a judge that reads traces alone has rows where one is.

    Raises:
        LedgerError: A row is damaged.
    """
    requests = {benchmark: Requests(items) for benchmark, items in plan.items.items()}
    facts = {
        g.trial.fingerprint: {
            **generation_facts(g),
            **_attack_facts(plan.distinct[g.trial.fingerprint].attack, g),
            **_named(requests[g.trial.benchmark], g),
        }
        for g in ledger.generations(plan.distinct)
    }
    verdicts: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in ledger.verdicts():
        verdicts.setdefault((verdict.generation, verdict.judge_fingerprint), []).append(verdict)
    for fingerprint, reason in ledger.failures().items():
        facts.setdefault(fingerprint, {"stop": str(StopReason.ERROR), "raw": f"generation failed: {reason}"})
    rows = [
        {**_identity(plan, planned), **facts.get(planned.trial.fingerprint, {}), **judged}
        for planned in plan.trials
        for judge in plan.judges[planned.item.benchmark]
        for judged in _judged(judge, verdicts.get((planned.trial.fingerprint, judge.fingerprint), []))
    ]
    return as_observations(pl.DataFrame(_voted(plan, rows), infer_schema_length=None))


def _named(requests: Requests, generation: Generation) -> dict[str, float]:
    """Return how much of its request an answer names; nothing where that is unknown."""
    named = requests.named_in(generation)
    return {} if named is None else {"named": named.own, "named_by_chance": named.by_chance}


def _voted(plan: Plan, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make one row of the samples that make one draw."""
    votes = {arm.name: (arm.vote, samples_of(arm)) for arm in plan.study.resolved_arms}
    single: list[dict[str, Any]] = []
    several: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        vote, samples = votes[row["arm"]]
        if vote is None:
            single.append(row)
            continue
        row = {**row, "draw": row["draw"] // samples}
        key = tuple(row[name] for name in ("arm", "benchmark", "item", "attack", "draw", "judge", "span"))
        several.setdefault(key, []).append(row)
    for key, rows_of_draw in several.items():  # nothing is known of a trace that a failed sample does not have
        lacking = votes[key[0]][1] - len(rows_of_draw)
        nothing = dict.fromkeys(("score", "raw", "stages", "parsed"))
        unknown = {**rows_of_draw[0], **nothing, "outcome": str(Outcome.UNJUDGED), "answer": ""}
        rows_of_draw += [unknown] * lacking
    return [*single, *(counted(samples, votes[key[0]][0] or "mean") for key, samples in several.items())]


def _identity(plan: Plan, planned: PlannedTrial) -> dict[str, Any]:
    arm = planned.arm
    return {
        **trial_columns(plan.study.name, planned.trial, planned.item),
        "technique": planned.attack.technique if planned.attack.parts else None,
        "attack_dose": planned.attack.dose_value,
        "disguised": _hides(planned.attack),
        "arm": arm.name,  # arms that share a generation share its trial, and each has a row
        "intervention": arm.intervention,
        "dose": arm.dose,
        "factors": None if arm.factors is None else json.dumps(dict(arm.factors)),
    }


def trial_columns(study: str, trial: Trial, item: Item) -> dict[str, Any]:
    """Return what the observation table says of a trial, by column.

    Args:
        study: The study's name.
        trial: What was asked for.
        item: What was asked.
    """
    return {
        "study": study,
        "arm": trial.arm,
        "benchmark": trial.benchmark,
        "axis": str(item.axis),
        "item": trial.item,
        "cluster": item.cluster,
        "category": item.category,
        "pair": item.pair,
        "attack": trial.attack,
        "disguised": _disguised(trial.attack),
        "draw": trial.draw,
        "generation": trial.fingerprint,
    }


@cache
def _disguised(label: str) -> bool | None:
    """Say whether an attack hides what is asked for, by its label; None for a label that is none of this package's."""
    try:
        return _hides(attack_of(label))
    except (OldhamError, OSError):
        return None


def _hides(attack: Composed) -> bool:
    """Say whether one of an attack's parts writes the request in another way; a dose of 0 leaves it as it is."""
    return any(isinstance(part, Encoder) and part.dose_value != 0 for part in attack.parts)


def generation_facts(generation: Generation) -> dict[str, Any]:
    """Return what the observation table keeps of a generation, by column; None where it is unknown.

    Args:
        generation: A record of the ledger.
    """
    values = {name: getattr(generation, name) for name in _FACTS}
    return {name: str(v) if isinstance(v, str) else v for name, v in values.items()}


def _attack_facts(attack: Composed, generation: Generation) -> dict[str, Any]:
    """Return how often an attack that reacts has asked the target, and what its attacker wrote."""
    if not any(part.reacts for part in attack.parts):
        return {}
    tries = sum(call.by is None and _TRY.fullmatch(call.label) is not None for call in generation.calls)
    asks = any(isinstance(part, AskingAttack) for part in attack.parts)
    return {"queries": tries + 1, "attack_tokens": generation.attacker_tokens if asks else None}


def stages_told(verdict: Verdict, *, looks: bool) -> str | None:
    """Return what the observation table says of the stages of a trace.

    Args:
        verdict: On any span.
        looks: Whether its judge looks for stages.

    Returns:
        Their names with commas between; empty where none was found, None where nobody looked or nothing was readable.
    """
    if verdict.stages:
        return ",".join(map(str, verdict.stages))
    return "" if looks and verdict.span == "trace" and verdict.outcome not in _NOT_READ else None


def _judged(judge: Judge, verdicts: Sequence[Verdict]) -> Iterator[dict[str, Any]]:
    who = {"judge": judge.label, "judge_fingerprint": judge.fingerprint}
    looks = "answer" not in judge.spans
    for verdict in sorted(verdicts, key=lambda v: v.span):
        yield {
            **who,
            "span": verdict.span,
            "outcome": str(verdict.outcome),
            "score": verdict.score,
            "raw": verdict.raw,
            "stages": stages_told(verdict, looks=looks),
            "parsed": verdict.parsed,
            "answer": verdict.answer,  # no column: only votes look at it
        }
    if "answer" in judge.spans and not any(verdict.span == "answer" for verdict in verdicts):
        yield {**who, "span": "answer", "outcome": str(Outcome.UNJUDGED), "score": None}


def load_observations(path: Path) -> pl.DataFrame:
    """Read an observation table.

    Args:
        path: A run directory, or a `.parquet` or `.csv` file with the observation columns.

    Returns:
        The table in the observation schema.

    Raises:
        DataError: There is no such table, or it cannot be read.
    """
    file = path / "observations.parquet" if path.is_dir() else path
    if not file.is_file():
        remedy = (
            "Run the study first: oldham run." if path.is_dir() else "Give a run directory, or a parquet or CSV file."
        )
        raise DataError("There are no observations here.", place=str(path), remedy=remedy)
    return read_observations(file)


class Comparison(NamedTuple):
    """What is to be compared."""

    observations: pl.DataFrame
    """The rows of the baseline and of every arm compared with it."""
    baseline: str
    """The baseline's name among the arms."""
    deterministic: bool
    """Whether the baseline is known to have been decoded greedily."""
    cards: Mapping[str, JudgeCard]
    """What is known of the judges' errors: the package's cards, and before them those of the runs."""
    format_controls: Mapping[str, str]
    """By arm, the arm in the table that is the same without its format or prefix, as the runs' studies tell it."""
    manifest: Mapping[str, Any]
    """What the baseline's run tells of itself, or else the other run, where one of them was asked in rounds."""


def comparable(reference: str, other: str) -> Comparison:
    """Put what two references name into one table.

    Args:
        reference: `PATH` or `PATH:ARM`, the baseline. A path alone stands for its only arm, or for a run's baseline.
        other: `PATH` or `PATH:ARM`, what is compared with it. A path alone stands for all its arms.

    Returns:
        The observations of both. Where both have an arm of the baseline's name, the other's is renamed after its path.

    Raises:
        DataError: A table or a judge card cannot be read.
        UnknownNameError: There is no such arm, or the reference leaves open which arm is meant.
    """
    left, arm, path = _split(reference)
    manifest = _manifest(path)
    baseline = arm or _baseline(left, manifest, reference)
    right, other_arm, other_path = _split(other)
    right = right if other_arm is None else _only(right, other_arm, other_path)
    if path.resolve() == other_path.resolve():
        right = right.filter(pl.col("arm") != baseline)
    else:
        renamed = pl.lit(f"{baseline} ({other_path})")
        right = right.with_columns(pl.when(pl.col("arm") == baseline).then(renamed).otherwise("arm").alias("arm"))
    if right.is_empty():
        raise UnknownNameError(
            f"`{baseline}` would be compared with itself.", place=other, remedy="Name another arm, as PATH:ARM."
        )
    told = _rounds_told(manifest, _manifest(other_path))
    temperature = manifest.get("arms", {}).get(baseline, {}).get("temperature")
    table = pl.concat([_only(left, baseline, path), right])
    controls = told_controls(_manifest(other_path))
    if path.resolve() != other_path.resolve():
        new = {baseline: f"{baseline} ({other_path})"}
        controls = {new.get(arm, arm): new.get(control, control) for arm, control in controls.items()}
    there = controls_among(controls, table["arm"].unique().to_list())
    return Comparison(table, baseline, temperature == 0, _cards(path, other_path, baseline), there, told)


def _rounds_told(first: Mapping[str, Any], second: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the manifest that tells of rounds; of two, the first with the larger plan of every benchmark.

    A run that asked all of a small plan must not pass for one that came to the end of the other's larger plan.
    """
    if "sequential" not in first or "sequential" not in second:
        return first if "sequential" in first else second
    try:
        mine, other = first["sequential"]["planned"], second["sequential"]["planned"]
        more = {name: p for name, p in other.items() if name not in mine or p["items"] > mine[name]["items"]}
        largest = {n: max(p["largest"] for p in (mine.get(n), other.get(n)) if p) for n in (*mine, *other)}
        planned = {name: {**p, "largest": largest[name]} for name, p in {**mine, **more}.items()}
    except (AttributeError, KeyError, TypeError):
        return first  # whoever reads it says that it cannot be read
    return {**first, "sequential": {**first["sequential"], "planned": planned}}


def _cards(path: Path, other_path: Path, baseline: str) -> Mapping[str, JudgeCard]:
    """Put the cards of two runs together: the first run's before the second's, and of each its own arms only."""
    first, second, shipped = cards_of(path), cards_of(other_path), shipped_cards()
    if path.resolve() == other_path.resolve():
        return first
    cards = {}
    for label in {**first, **second}:
        here, there = (None if c.get(label) == shipped.get(label) else c.get(label) for c in (first, second))
        card = here or there
        if card is None:
            cards[label] = shipped[label]
            continue
        own = f"{ARM}{baseline}"
        cells = [c for c in card.cells if not c.kind.startswith(ARM)]
        cells += [c for c in here.cells if c.kind == own] if here else []
        cells += [c for c in there.cells if c.kind.startswith(ARM) and c.kind != own] if there else []
        cards[label] = card.model_copy(update={"cells": tuple(cells)})
    return cards


def _split(reference: str) -> tuple[pl.DataFrame, str | None, Path]:
    path = Path(reference)
    if not path.exists() and ":" in reference:
        head, _, arm = reference.partition(":")
        return load_observations(Path(head)), arm, Path(head)
    return load_observations(path), None, path


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a table without its run, or one whose description is lost: the rows are what is compared
    return manifest if isinstance(manifest, dict) else {}


def _baseline(frame: pl.DataFrame, manifest: Mapping[str, Any], reference: str) -> str:
    arms = frame["arm"].unique().sort().to_list()
    if len(arms) == 1:
        return str(arms[0])
    if manifest.get("baseline") in arms:
        return str(manifest["baseline"])
    raise UnknownNameError(
        f"This table has {len(arms)} arms, and one of them must be the baseline.",
        place=reference,
        remedy=f"Write {reference}:ARM. Arms: {', '.join(arms)}.",
    )


def _only(frame: pl.DataFrame, arm: str, path: Path) -> pl.DataFrame:
    found = frame.filter(pl.col("arm") == arm)
    if found.is_empty():
        raise UnknownNameError(
            f"There is no arm `{arm}` here.", place=str(path), remedy=did_you_mean(arm, frame["arm"].unique())
        )
    return found
