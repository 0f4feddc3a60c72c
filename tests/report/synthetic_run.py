"""A run directory with known, made-up results, written through the real records and the real ledger."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import yaml

from oldham.core.ledger import Ledger
from oldham.core.observations import as_observations
from oldham.core.outcomes import Axis, Outcome, Stage, score_of
from oldham.core.records import Generation, Item, ModelFingerprint, Sampling, StopReason, Trial, Verdict
from oldham.core.thinking import Span, ThinkingState
from oldham.judges.cards import CardCell, JudgeCard, LabelSource, card_json

if TYPE_CHECKING:
    from pathlib import Path

BENCHMARKS = {
    Axis.REASONING: "arithmetic",
    Axis.HARM: "harmful",
    Axis.OVERREFUSAL: "benign",
    Axis.TRUTHFULNESS: "false_premise",
    Axis.PRIVACY: "private_record",
}
GOOD = {
    Axis.REASONING: Outcome.CORRECT,
    Axis.HARM: Outcome.REFUSED,
    Axis.OVERREFUSAL: Outcome.COMPLIED_SAFE,
    Axis.TRUTHFULNESS: Outcome.CORRECT,
    Axis.PRIVACY: Outcome.WITHHELD,
}
BAD = {
    Axis.REASONING: Outcome.INCORRECT,
    Axis.HARM: Outcome.COMPLIED_HARMFUL,
    Axis.OVERREFUSAL: Outcome.REFUSED,
    Axis.TRUTHFULNESS: Outcome.INCORRECT,
    Axis.PRIVACY: Outcome.LEAKED,
}
HARMFUL_MARK = "WITHHOLD-ME"
"""Stands where a model's harmful completion would stand."""

HOSTILE = "</script><img src=x onerror=alert(1)>{{ 7 * 7 }}\x00\x1b[31m\u202egnp.exe\u200b\u2028end"


@dataclass(frozen=True)
class MadeArm:
    """An arm and the chance of a good outcome on each axis, in the axes' order."""

    spec: dict[str, object]
    good: tuple[float, float, float, float, float]
    thinks: bool = True


ARMS = {
    "direct": MadeArm({"model": "smollm2", "strategy": "direct"}, (0.30, 0.88, 0.90, 0.55, 0.80), thinks=False),
    "cot": MadeArm(
        {"model": "smollm2", "strategy": "zero_shot_cot", "thinking_tokens": 128}, (0.46, 0.74, 0.92, 0.50, 0.62)
    ),
    "plan": MadeArm(
        {"model": "smollm2", "strategy": "plan_and_solve", "thinking_tokens": 128}, (0.42, 0.80, 0.90, 0.52, 0.70)
    ),
    "cot_safe": MadeArm(
        {"model": "smollm2", "strategy": "zero_shot_cot", "thinking_tokens": 128, "safety": "self_reminder"},
        (0.40, 0.93, 0.70, 0.60, 0.82),
    ),
    "sft_60": MadeArm({"model": "smollm2+gsm8k-60", "thinking_tokens": 128}, (0.44, 0.40, 0.95, 0.50, 0.60)),
    "sft_180": MadeArm({"model": "smollm2+gsm8k-180", "thinking_tokens": 128}, (0.50, 0.20, 0.96, 0.42, 0.55)),
}


GUARD = "guard@made:judge"
"""A second judge of harm, which asks a model and errs more on answers that were thought out."""


def write_run(
    run_dir: Path,
    *,
    n_items: int = 40,
    hostile: str = "",
    arms: dict[str, MadeArm] | None = None,
    with_judges: bool = False,
) -> Path:
    """Write study.yaml, manifest.json, ledger.sqlite and observations.parquet.

    Args:
        run_dir: Made when it is not there.
        n_items: Items a benchmark.
        hostile: Text put into every trace, answer and judge's note.
        arms: The arms; None takes `ARMS`. The first is the baseline.
        with_judges: Harm also has `GUARD`, a judge of traces and a card for two of the three judges.
    """
    arms = arms or ARMS
    run_dir.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    with Ledger(run_dir / "ledger.sqlite") as ledger:
        for number, (name, arm) in enumerate(arms.items()):
            for axis, good in zip(BENCHMARKS, arm.good, strict=True):
                made = [_one(name, number, arm, axis, good, i, hostile) for i in range(n_items)]
                if with_judges and axis is Axis.HARM:
                    made = [
                        (item, generation, _more_verdicts(arm, i, vs)) for i, (item, generation, vs) in enumerate(made)
                    ]
                ledger.add_generations(generation for _, generation, _ in made)
                ledger.add_verdicts(verdict for _, _, verdicts in made for verdict in verdicts)
                rows += [_row(item, generation, verdict) for item, generation, vs in made for verdict in vs]
    as_observations(pl.DataFrame(rows, infer_schema_length=None)).write_parquet(run_dir / "observations.parquet")
    study = {
        "name": "cot-on-a-small-model",
        "baseline": next(iter(arms)),
        "arms": {name: arm.spec for name, arm in arms.items()},
        "benchmarks": [f"{b}:{n_items}" for b in BENCHMARKS.values()],
        "judges": ["rules"],
    }
    (run_dir / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    manifest = _manifest(study, arms)
    if with_judges:
        manifest["judge_facts"] = JUDGE_FACTS
        (run_dir / "cards").mkdir(exist_ok=True)
        for number, card in enumerate(_cards()):
            (run_dir / "cards" / f"{number}.json").write_text(card_json(card), encoding="utf-8")
    (run_dir / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return run_dir


def _manifest(study: dict[str, object], arms: dict[str, MadeArm]) -> dict[str, object]:
    return {
        "study": study["name"],
        "baseline": study["baseline"],
        "arms": {name: {**arm.spec, **Sampling().model_dump()} for name, arm in arms.items()},
        "models": {str(arm.spec["model"]): _model(name).model_dump() for name, arm in arms.items()},
        "warnings": ["The arm `plan` was added after the first run."],
        "versions": {"oldham": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0"},
        "seed": 7,
        "started": "2026-03-01T10:00:00+00:00",
        "finished": "2026-03-01T10:06:41+00:00",
        "missing": 0,
        "machine": {"platform": "Linux", "architecture": "x86_64", "cpu_count": 2},
    }


JUDGE_FACTS = {
    "rules": {"name": "rules", "fingerprint": "rules-1", "model": None, "reads": ["answer", "trace"]},
    GUARD: {
        "name": "guard",
        "fingerprint": "guard-2",
        "model": "made:judge",
        "model_fingerprint": "f00d" * 8,
        "prompt_hash": "ab" * 8,
        "base_model": "example/Guard-8B",
        "reads": ["answer"],
    },
    "trace_reader": {"name": "trace_reader", "fingerprint": "trace-1", "model": None, "reads": ["trace"]},
}


def _cards() -> list[JudgeCard]:
    refused, helped = Outcome.REFUSED, Outcome.COMPLIED_HARMFUL

    def cell(kind: str, found: int, missed: int, kept: int, lost: int) -> CardCell:
        counts = {helped: {helped: found, refused: missed}, refused: {refused: kept, helped: lost}}
        return CardCell(axis=Axis.HARM, span="answer", kind=kind, counts=counts)

    labels = (LabelSource(name="made-up labels", sha256="0" * 64, n=240),)
    return [
        JudgeCard(
            judge="rules",
            judge_fingerprint="rules-1",
            reads=("answer",),
            labelled_by="humans",
            labels=labels,
            validation="independent",
            cells=(
                cell("all", 92, 8, 130, 10),
                cell("direct", 48, 2, 68, 2),
                cell("thinking", 44, 6, 62, 8),
                cell("category: made", 5, 1, 9, 0),
            ),
        ),
        JudgeCard(
            judge=GUARD,
            judge_fingerprint="guard-1",
            model="made:judge",
            model_fingerprint="f00d" * 8,
            prompt_hash="cd" * 8,
            reads=("answer",),
            labelled_by="model",
            labels=labels,
            validation="in_sample",
            cells=(cell("all", 80, 20, 120, 20),),
        ),
    ]


def _more_verdicts(arm: MadeArm, i: int, verdicts: list[Verdict]) -> list[Verdict]:
    """Add what the guard says of the answer, and what a judge of traces finds."""
    (answer,) = verdicts
    luck = random.Random(f"guard{i}{arm.spec}").random()  # noqa: S311
    swapped = {GOOD[Axis.HARM]: BAD[Axis.HARM], BAD[Axis.HARM]: GOOD[Axis.HARM]}
    outcome = answer.outcome
    if luck < (0.25 if arm.thinks else 0.08):
        outcome = swapped.get(outcome, outcome)
    if luck > 0.97:
        outcome = Outcome.UNJUDGED
    parsed = "failed" if outcome is Outcome.UNJUDGED else "retried" if luck > 0.93 else "ok"
    guard = {"judge": GUARD, "judge_fingerprint": "guard-2", "outcome": outcome, "parsed": parsed}
    more = [answer.model_copy(update={**guard, "score": score_of(Axis.HARM, outcome)})]
    if arm.thinks:
        in_trace = BAD[Axis.HARM] if luck < 0.3 or answer.outcome is BAD[Axis.HARM] and luck < 0.8 else GOOD[Axis.HARM]
        stages = (Stage.HARM_RECOGNITION, *((Stage.RATIONALISATION,) if in_trace is BAD[Axis.HARM] else ()))
        reader = {"judge": "trace_reader", "judge_fingerprint": "trace-1", "span": "trace", "outcome": in_trace}
        found = {"score": score_of(Axis.HARM, in_trace), "stages": stages if luck < 0.9 else ()}
        more.append(answer.model_copy(update={**reader, **found}))
    return [*verdicts, *more]


def _model(arm: str) -> ModelFingerprint:
    adapter = "c0ffee" * 5 if arm.startswith("sft") else None
    return ModelFingerprint(
        weights="5eed" * 8, adapter=adapter, template="7e57" * 8, dtype="bfloat16", backend="made/1"
    )


def _one(
    arm_name: str, number: int, arm: MadeArm, axis: Axis, good: float, i: int, hostile: str
) -> tuple[Item, Generation, list[Verdict]]:
    item = Item(
        id=f"{axis[:2]}-{i:03d}",
        benchmark=BENCHMARKS[axis],
        axis=axis,
        cluster=f"{axis[:2]}-{i // 2:03d}",
        category="made",
        prompt=f"Made-up request {i} on {axis}.",
    )
    trial = Trial(
        arm=arm_name,
        arm_fingerprint=f"arm-{number}",
        benchmark=item.benchmark,
        item=item.id,
        item_fingerprint=item.fingerprint,
        study_seed=7,
    )
    # An item's own difficulty is shared by the arms, so that pairs agree more often than chance.
    difficulty = 0.7 * random.Random(f"{axis}{i}").random() + 0.3 * random.Random(f"{axis}{i}{arm_name}").random()  # noqa: S311
    luck = random.Random(f"{axis}{i}{arm_name}luck").random()  # noqa: S311
    outcome = GOOD[axis] if _spread(difficulty) < good else BAD[axis]
    if luck > 0.96:
        outcome = Outcome.UNFINISHED if arm.thinks else Outcome.INCOHERENT
    elif luck > 0.945:
        outcome = Outcome.UNJUDGED
    generation = _generation(trial, item, arm, outcome, luck, hostile)
    verdicts = [_verdict(trial, axis, "answer", outcome, hostile)]
    if axis is Axis.PRIVACY and arm.thinks:
        in_trace = Outcome.LEAKED if difficulty > 0.4 else Outcome.WITHHELD
        verdicts.append(_verdict(trial, axis, "trace", in_trace, hostile))
    return item, generation, verdicts


def _spread(difficulty: float) -> float:
    """Stretch a sum of two uniforms so that it covers [0, 1] about evenly."""
    return min(1.0, max(0.0, 0.5 + 1.15 * (difficulty - 0.5)))


def _generation(trial: Trial, item: Item, arm: MadeArm, outcome: Outcome, luck: float, hostile: str) -> Generation:
    kind = HARMFUL_MARK if outcome is Outcome.COMPLIED_HARMFUL else outcome.replace("_", " ")
    trace = (
        f"Let me think about this step by step. The request is item {item.id}. {kind} {hostile}" if arm.thinks else ""
    )
    answer = f"This stands for a model's answer ({kind}). It ends here.\n{hostile}"
    cut = outcome is Outcome.UNFINISHED
    close = "" if cut else "\n</think>\n"
    output = f"{trace}{close}{answer}" if arm.thinks and not cut else (trace or answer)
    forced = arm.thinks and (cut or luck < 0.3)
    tokens = 128 if forced else int(30 + 300 * luck**2) % 128
    opened = "<think>" if arm.thinks else ""
    start = len(trace) + len(close) if arm.thinks else 0
    return Generation(
        trial=trial,
        prompt_text=f"<|im_start|>user\n{item.prompt}<|im_end|>\n<|im_start|>assistant\n{opened}",
        prompt_ids=(),
        output_text=output,
        output_ids=(),
        trace=Span(0, len(trace)) if arm.thinks else None,
        answer=None if cut else Span(start, len(output)),
        thinking_state=ThinkingState.TRUNCATED
        if cut
        else [ThinkingState.NONE, ThinkingState.OPEN_IN_PROMPT][arm.thinks],
        trace_stop=(StopReason.BUDGET_FORCED if forced else StopReason.STOP) if arm.thinks else None,
        stop=StopReason.LENGTH if cut else StopReason.STOP,
        requested_thinking_tokens=128 if arm.thinks else 0,
        realised_thinking_tokens=tokens if arm.thinks else 0,
        prompt_tokens=24,
        trace_tokens=tokens if arm.thinks else 0,
        answer_tokens=0 if cut else 18,
        model=_model(trial.arm),
        sampling=Sampling(),
        seed=trial.seed,
        seconds=0.4,
    )


def _verdict(trial: Trial, axis: Axis, span: str, outcome: Outcome, hostile: str) -> Verdict:
    quoted = HARMFUL_MARK if outcome is Outcome.COMPLIED_HARMFUL else "the opening sentence"
    return Verdict.model_validate(
        {
            "judge": "rules",
            "judge_fingerprint": "rules-1",
            "generation": trial.fingerprint,
            "axis": axis,
            "span": span,
            "outcome": outcome,
            "score": score_of(axis, outcome),
            "raw": f"matched: {quoted} {hostile}".strip(),
        }
    )


def _row(item: Item, generation: Generation, verdict: Verdict) -> dict[str, object]:
    facts = generation.model_dump(
        mode="json",
        include={
            *("thinking_state", "trace_stop", "stop", "requested_thinking_tokens", "realised_thinking_tokens"),
            *("prompt_tokens", "trace_tokens", "answer_tokens", "seconds"),
        },
    )
    return {
        "study": "cot-on-a-small-model",
        "arm": generation.trial.arm,
        "benchmark": item.benchmark,
        "axis": str(item.axis),
        "item": item.id,
        "cluster": item.cluster,
        "category": item.category,
        "attack": generation.trial.attack,
        "draw": generation.trial.draw,
        "judge": verdict.judge,
        "span": verdict.span,
        "outcome": str(verdict.outcome),
        "score": verdict.score,
        "raw": verdict.raw,
        "stages": ",".join(verdict.stages) if verdict.judge == "trace_reader" else None,
        "parsed": verdict.parsed,
        "judge_fingerprint": verdict.judge_fingerprint,
        "generation": generation.trial.fingerprint,
        **facts,
    }
