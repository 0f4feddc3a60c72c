"""Judges as a scorer of Inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from inspect_ai.scorer import Score, mean, scorer, stderr

from oldham.core.errors import ConfigError
from oldham.core.outcomes import Outcome
from oldham.interop.inspect_logs import OWN
from oldham.interop.inspect_samples import axis_named, generation_of, item_of
from oldham.judges.rules import RULES, judges_for, offline_judge

if TYPE_CHECKING:
    from inspect_ai.scorer import Scorer, Target
    from inspect_ai.solver import TaskState

    from oldham.core.outcomes import Axis
    from oldham.core.records import Generation, Item, Verdict
    from oldham.judges.base import Judge

_REASONS: Final = {Outcome.UNFINISHED: "no_response", Outcome.UNJUDGED: "scoring_failed"}


@scorer(metrics=[mean(), stderr()])
def judge(name: str = RULES, axis: str | None = None) -> Scorer:
    """Score an answer by one of Oldham's judges; 1 is good.

    Where a judge has no score for what happened (the answer was not reached, or cannot be judged), the sample is
    unscored: it is in no mean, and the log counts it under `unscored_samples`. What the judge says of other spans than
    the answer stands in the score's metadata.

    Args:
        name: Registered offline judge, or `rules` for that of the sample's benchmark.
        axis: What is measured; None takes the sample's own axis, or the only one that the judge can speak on.

    Raises:
        ConfigError: There is no such judge or axis, the judge asks a model, or it cannot speak on it.
    """
    fixed = None if name == RULES else offline_judge(name)
    wanted = None if axis is None else axis_named(axis)
    if fixed is not None and wanted is None and len(fixed.axes) == 1:
        wanted = next(iter(fixed.axes))
    if fixed is not None and wanted is not None:
        _check(fixed, wanted)

    async def score(state: TaskState, target: Target) -> Score:
        item = item_of(state, wanted)
        speaking = fixed or judges_for(item.benchmark, [RULES])[0]
        _check(speaking, item.axis)
        made = await generation_of(state, item)
        return _score(item, made, speaking.judge(item, made))

    return score


def _check(speaking: Judge, axis: Axis) -> None:
    if axis not in speaking.axes:
        raise ConfigError(
            f"The judge `{speaking.name}` cannot speak on the axis `{axis}`.",
            place="oldham/judge",
            remedy=f"It can speak on: {', '.join(sorted(speaking.axes))}.",
        )


def _score(item: Item, made: Generation, verdicts: list[Verdict]) -> Score:
    if not verdicts:  # a judge of traces, where there is none
        return Score.unscored(reason="no_response", answer=made.answer_text, explanation="there is no trace")
    first, *others = verdicts  # the verdict on the answer comes first
    metadata = {
        OWN: {"judge": first.judge, "span": first.span, "outcome": str(first.outcome), "score": first.score},
        "judge_fingerprint": first.judge_fingerprint,
        "axis": str(item.axis),
        "outcome": str(first.outcome),
        "span": first.span,
        "parsed": first.parsed,
        "others": [verdict.model_dump(mode="json") for verdict in others],
    }
    if first.score is None:
        reason = _REASONS.get(first.outcome, str(first.outcome))
        return Score.unscored(reason=reason, answer=made.answer_text, explanation=first.raw, metadata=metadata)
    return Score(value=first.score, answer=made.answer_text, explanation=first.raw, metadata=metadata)
