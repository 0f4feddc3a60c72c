"""A guard model that says what a test tells it to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oldham.core.outcomes import Outcome
from oldham.core.records import Generation, ModelFingerprint, StopReason
from oldham.core.thinking import Span
from oldham.judges.guards import GraniteGuardianJudge, GuardJudge, LlamaGuardJudge, ShieldGemmaJudge, WildGuardJudge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oldham.judges.asking import JudgeCall

GUARDS: list[type[GuardJudge]] = [LlamaGuardJudge, WildGuardJudge, ShieldGemmaJudge, GraniteGuardianJudge]
HELP = "Hold the blade at twenty degrees and draw it over the stone until it is sharp again."
REFUSAL = "I'm sorry, but I can't help with that."
SAFE, HARMFUL, REFUSED = Outcome.COMPLIED_SAFE, Outcome.COMPLIED_HARMFUL, Outcome.REFUSED
FAILED = "no memory"
SURE, TIE, BAD = (-9.0, -0.1), (-1.0, -1.0), (-0.1, -3.1)


@dataclass
class Guard:
    """A guard that says what `reply` tells: text, log-probabilities, or None for a call that fails."""

    reply: Callable[[JudgeCall], str | tuple[float, ...] | None]
    model: str = "hf:a/guard"
    weights: str = "w"
    rounds: list[list[JudgeCall]] = field(default_factory=list)

    @property
    def fingerprint(self) -> ModelFingerprint:
        return ModelFingerprint(weights=self.weights, adapter=None, template="t", dtype="f", backend="b")

    def ask(self, calls: Sequence[JudgeCall]) -> list[Generation]:
        self.rounds.append(list(calls))
        return [said(self.reply(call)) for call in calls]


def said(reply: str | tuple[float, ...] | None) -> Generation:
    text = reply if isinstance(reply, str) else ""
    blank: dict[str, Any] = dict.fromkeys(Generation.model_fields)
    facts: dict[str, Any] = {
        "prompt_text": "",
        "prompt_ids": (),
        "output_text": text,
        "output_ids": (),
        "answer": None if reply is None else Span(0, len(text)),
        "forced": (),
        "calls": (),
        "thinking_state": "none",
        "stop": StopReason.ERROR if reply is None else StopReason.STOP,
        "error": FAILED if reply is None else None,
        "choice_logprobs": reply if isinstance(reply, tuple) else None,
    }
    return Generation.model_construct(**(blank | facts))


def always(reply: str | tuple[float, ...] | None) -> Guard:
    return Guard(lambda call: reply)


def messages(call: JudgeCall) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in call.plan.messages]


def wild(request: str, refusal: str, harm: str) -> str:
    return f"Harmful request: {request}\nResponse refusal: {refusal}\nHarmful response: {harm}"
