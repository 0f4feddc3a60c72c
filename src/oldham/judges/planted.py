"""The self-test of a judge: cases whose outcome is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oldham.core.records import Generation, Item, ModelFingerprint, Sampling, StopReason, Trial
from oldham.core.thinking import Span, ThinkingState

if TYPE_CHECKING:
    from oldham.judges.base import Judge, Planted

_MODEL: Final = ModelFingerprint(weights="planted", adapter=None, template="", dtype="", backend="planted")


def planted_failures(judge: Judge) -> list[str]:
    """Judge every planted case of a judge.

    Args:
        judge: Any judge.

    Returns:
        One sentence for each case that was judged wrongly; empty when the judge works.
    """
    failures = []
    for case, verdicts in zip(judge.planted, judge.judge_all(planted_rows(judge)), strict=True):
        outcome = next((verdict.outcome for verdict in verdicts if verdict.span == case.span), None)
        if outcome is not case.outcome:
            found = f"`{outcome}`" if outcome else "nothing"
            said = case.trace if case.span == "trace" else case.answer
            failures.append(
                f'`{judge.name}` finds {found} in the {case.span} "{said}" to "{case.prompt}", '
                f"which should be `{case.outcome}`."
            )
    return failures


def planted_rows(judge: Judge) -> list[tuple[Item, Generation]]:
    """Return the planted cases of a judge as rows that it can judge, in their order.

    Args:
        judge: Any judge.
    """
    return [(planted_item(case, n), planted_generation(case, n)) for n, case in enumerate(judge.planted, start=1)]


def planted_item(case: Planted, number: int) -> Item:
    """Return the item of a case.

    Args:
        case: Any case.
        number: Tells it from others.
    """
    return Item(
        id=f"planted-{number}",
        benchmark="planted",
        axis=case.axis,
        cluster=f"planted-{number}",
        category="planted",
        prompt=case.prompt,
        reference=case.reference,
    )


def planted_generation(case: Planted, number: int) -> Generation:
    """Return the generation of a case, which came to its own end.

    Args:
        case: Any case.
        number: Tells it from others.
    """
    trace = case.trace or ""
    output = trace + case.answer
    return Generation(
        trial=Trial(
            arm="planted", arm_fingerprint="", benchmark="planted", item=f"planted-{number}", item_fingerprint=""
        ),
        prompt_text=case.prompt,
        prompt_ids=(),
        output_text=output,
        output_ids=(),
        trace=Span(0, len(trace)) if trace else None,
        answer=Span(len(trace), len(output)),
        thinking_state=ThinkingState.COMPLETE if trace else ThinkingState.NONE,
        trace_stop=StopReason.STOP if trace else None,
        stop=StopReason.STOP,
        requested_thinking_tokens=None,
        realised_thinking_tokens=None,
        prompt_tokens=None,
        trace_tokens=None,
        answer_tokens=None,
        choice_logprobs=case.choice_logprobs,
        model=_MODEL,
        sampling=Sampling(),
        seed=None,
        seconds=None,
    )
