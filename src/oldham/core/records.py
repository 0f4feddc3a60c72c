"""The records every part of Oldham exchanges: frozen, complete, and never re-parsed from text later."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_serializer, model_validator

from oldham.core.counts import total
from oldham.core.fingerprint import derive_seed, fingerprint
from oldham.core.outcomes import MISSING, Axis, Outcome, Stage, legal_outcomes
from oldham.core.thinking import Span, ThinkingState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SerializerFunctionWrapHandler


class Record(BaseModel):
    """A frozen record that rejects unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with other, unchecked values where `update` has some. See `BaseModel.model_copy`."""
        copied = super().model_copy(update=update, deep=deep)
        for name in set(copied.__dict__) - set(type(self).model_fields):
            del copied.__dict__[name]  # pydantic copies cached properties: the fingerprint would be the original's
        return copied


Role = Literal["system", "user", "assistant"]


class Part(Record):
    """A piece of a message, and which factor of the design put it there."""

    text: str
    """The piece."""
    origin: str
    """`item`, `context`, `strategy`, `demonstration`, `clause`, `structure`, `system`, `attack`, or `reply` for the
    model's own earlier words."""


class Message(Record):
    """One turn of a conversation."""

    role: Role
    """Who speaks."""
    content: str
    """What is said."""
    parts: tuple[Part, ...] = ()
    """`content` in pieces, in order; empty where nobody said where it comes from."""

    @classmethod
    def of(cls, role: Role, *parts: Part) -> Message:
        """Build a message from its pieces.

        Args:
            role: Who speaks.
            parts: In order; empty ones are left out.
        """
        kept = tuple(part for part in parts if part.text)
        return cls(role=role, content="".join(part.text for part in kept), parts=kept)

    def around(self, before: str = "", after: str = "", *, origin: str) -> Message:
        """Return the message with text put before and after it, a blank line between.

        Args:
            before: What goes first; empty for nothing.
            after: What goes last; empty for nothing.
            origin: Where both come from.
        """
        first = [Part(text=f"{before}\n\n", origin=origin)] if before else []
        last = [Part(text=f"\n\n{after}", origin=origin)] if after else []
        own = self.parts or (Part(text=self.content, origin="item"),)
        return Message.of(self.role, *first, *own, *last)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.parts and "".join(part.text for part in self.parts) != self.content:
            raise ValueError("the parts of a message do not make up its content")
        return self


class Item(Record):
    """One question of a benchmark."""

    id: str
    """Stable over versions of the benchmark; unique within it."""
    benchmark: str
    """The benchmark's registered name."""
    axis: Axis
    """What a score on this item measures."""
    cluster: str
    """Items that share a behaviour share a cluster; resampling draws whole clusters."""
    category: str
    """The benchmark's own category."""
    prompt: str
    """The user's request, without any scaffold."""
    context: str | None = None
    """Text the request is about, shown before it, such as a record or a passage."""
    reference: dict[str, JsonValue] = Field(default_factory=dict)
    """What the judge needs: the right answer, the secret, the accepted corrections."""
    pair: str | None = None
    """The id of the item this one mirrors, such as the harmful twin of a benign look-alike."""

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the item's content."""
        return fingerprint("item", self)


class Sampling(Record):
    """How tokens are drawn."""

    temperature: float = Field(default=0.0, ge=0.0, le=10.0)
    """0 is greedy decoding."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus size."""
    top_k: int = Field(default=0, ge=0)
    """0 keeps every token."""


class PromptPlan(Record):
    """What a reasoning strategy and a safety clause make of an item; everything a backend needs to generate."""

    messages: tuple[Message, ...]
    """The conversation up to the assistant's turn."""
    thinks: bool
    """True: a trace is generated first, then an answer. False: the answer at once."""
    trace_open: str = ""
    """Text the assistant's turn opens with when it thinks (the trigger). A model with thinking tags gets its opening
    tag before it."""
    answer_open: str = ""
    """Text that starts the answer once the trace is closed, and in a direct answer. A trace that writes this text by
    itself has ended naturally."""
    prefill: str = ""
    """What an adversary puts at the answer's beginning, after `answer_open`. The answer that is scored begins after
    it: these are not the model's words."""
    prefill_tokens: int | None = Field(default=None, ge=0)
    """Only so many of the prefill's first tokens, by the model's own tokenizer; None for all of them."""
    trace_prefix: str = ""
    """What the model wrote of this trace in an earlier call; the trace goes on from there."""
    thinking_tokens: int = Field(default=0, ge=0)
    """Most tokens the trace may take."""
    answer_tokens: int = Field(default=256, ge=1)
    """Most tokens the answer may take."""
    shuts_thinking: bool = True
    """In a direct answer of a model with thinking tags whose template has no switch: open the thinking block and close
    it at once. False leaves the template alone but for its switch."""
    choices: tuple[str, ...] = ()
    """Answers to be scored by their log-likelihood after the trace, instead of generating one; empty for none."""

    @model_serializer(mode="wrap")
    def _without_attack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What an attack alone sets is left out where there is none: plans keep the identity they had before attacks.
        told: dict[str, Any] = handler(self)
        for name in ("prefill", "prefill_tokens"):
            if name in told and getattr(self, name) == PromptPlan.model_fields[name].default:
                del told[name]
        return told


class ModelFingerprint(Record):
    """Everything that decides what a model computes."""

    weights: str
    """Hash of the weights, or the resolved revision of a remote model."""
    adapter: str | None
    """Hash of the adapter, None without one."""
    template: str
    """Hash of the chat template's text."""
    dtype: str
    """Number format of the computation, such as `bfloat16`."""
    backend: str
    """Backend name and the version of its generation code."""

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the model as asked."""
        return fingerprint("model", self)


class Trial(Record):
    """A cell (arm, item, attack) and a draw: what is to be generated.

    The identity covers what is computed and leaves names out: two arms with the same settings share their generations.
    """

    arm: str
    """The arm's name in the study; not part of the identity."""
    arm_fingerprint: str
    """Identity of the arm's settings and of its model."""
    benchmark: str
    """The item's benchmark."""
    item: str
    """The item's id."""
    item_fingerprint: str
    """Identity of the item's content."""
    attack: str = "none"
    """Name of the attack with its knobs, `none` without one."""
    attack_fingerprint: str | None = None
    """Identity of what the attack does; None without one, and where it is not known."""
    draw: int = Field(default=0, ge=0)
    """Which sample of the cell, from 0."""
    study_seed: int = 0
    """The study's seed."""

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the trial; the ledger holds one generation for each."""
        # A trial without an attack keeps the identity it had before there were attacks.
        unsaid = {"attack_fingerprint"} if self.attack_fingerprint is None else set()
        return fingerprint("trial", self.model_dump(exclude={"arm"} | unsaid))

    @property
    def seed(self) -> int:
        """The trial's own seed, in [0, 2**63)."""
        return derive_seed("trial", self.fingerprint)


class StopReason(StrEnum):
    """Why a phase of a generation ended."""

    STOP = "stop"
    """The model ended it."""
    LENGTH = "length"
    """The answer reached its token limit."""
    BUDGET_FORCED = "budget_forced"
    """The trace reached its thinking budget and was closed for the model."""
    ERROR = "error"
    """The backend failed; `error` says how."""


class EarlierCall(Record):
    """A call that a strategy of several calls, or an attack, made beside the one that answers."""

    label: str
    """What it was for, such as `draft` or `feedback 1`."""
    by: str | None = None
    """The attacker that was asked; None for the arm's model."""
    prompt_text: str
    """The rendered prompt."""
    output_text: str
    """Everything after the prompt."""
    trace: Span | None = None
    """Character offsets of the trace in `output_text`."""
    answer: Span | None = None
    """Character offsets of the answer in `output_text`."""
    stop: StopReason | None = None
    """Why it ended."""
    prompt_tokens: int | None = None
    """Tokens read."""
    output_tokens: int | None = None
    """Tokens written."""

    @model_serializer(mode="wrap")
    def _without_attacker(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A call of the arm's own model reads as it did before there were attackers.
        told: dict[str, Any] = handler(self)
        if self.by is None:
            told.pop("by", None)
        return told


class Generation(Record):
    """The immutable record of one trial's output.

    In a row that came from elsewhere a fact may be unknown; it is None then, and never guessed.
    """

    trial: Trial
    """What was asked for."""
    prompt_text: str
    """The rendered prompt, chat template and any forced opening included."""
    prompt_ids: tuple[int, ...]
    """The rendered prompt as token ids; empty where a remote backend does not tell."""
    output_text: str
    """Everything after the prompt, special tokens kept, forced text included."""
    output_ids: tuple[int, ...]
    """`output_text` as token ids; empty where a remote backend does not tell."""
    trace: Span | None
    """Character offsets of the trace in `output_text`; None without one."""
    answer: Span | None
    """Character offsets of the answer in `output_text`; None when none was reached."""
    forced: tuple[Span, ...] = ()
    """Character offsets of text that was put there and not generated, such as a forced close."""
    thinking_state: ThinkingState
    """How the thinking part ended up."""
    trace_stop: StopReason | None
    """Why the trace ended; None without one."""
    stop: StopReason | None
    """Why the generation ended."""
    error: str | None = None
    """What went wrong, with `stop` = `error`."""
    requested_thinking_tokens: int | None
    """The thinking budget asked for; 0 when no thinking was asked for."""
    realised_thinking_tokens: int | None
    """Tokens the model generated in the trace (forced text not counted)."""
    prompt_tokens: int | None
    """Tokens of this row's prompt, padding not counted."""
    trace_tokens: int | None
    """Tokens of the trace span; words put between the pieces of a trace that was opened again are not counted."""
    answer_tokens: int | None
    """Tokens of the answer span."""
    calls: tuple[EarlierCall, ...] = ()
    """The calls that a strategy or an attack made beside the one that answers, in order."""
    near_ties: int | None = None
    """Tokens drawn without randomness, earlier calls included, whose runner-up came within the number format's
    resolution: another machine may write another one. None where that is unknown."""
    choice_logprobs: tuple[float, ...] | None = None
    """Summed log-probability in nats of each of the plan's choices after the trace; None where none was asked for."""
    model: ModelFingerprint
    """What generated it."""
    sampling: Sampling | None
    """How tokens were drawn."""
    seed: int | None
    """The seed the row's sampler started from."""
    seconds: float | None
    """Wall time of the row's share of its batch, its earlier calls included."""
    usd: float | None = None
    """What a paid server charged for it, earlier calls included; None where no price is known."""

    @property
    def call_tokens(self) -> int | None:
        """Tokens the arm's model wrote in other calls; 0 without any, None where one of them is unknown."""
        return total(call.output_tokens for call in self.calls if call.by is None)

    @property
    def attacker_tokens(self) -> int | None:
        """Tokens an attacker wrote; 0 without one, None where one of its calls is unknown."""
        return total(call.output_tokens for call in self.calls if call.by is not None)

    @property
    def trace_text(self) -> str | None:
        """The trace as written, None without one."""
        return None if self.trace is None else self.trace.of(self.output_text)

    @property
    def answer_text(self) -> str | None:
        """The answer as written, None when none was reached."""
        return None if self.answer is None else self.answer.of(self.output_text)

    @model_validator(mode="after")
    def _spans_fit(self) -> Self:
        for span in (self.trace, self.answer, *self.forced):
            if span is not None and not 0 <= span.start <= span.end <= len(self.output_text):
                raise ValueError(f"span {tuple(span)} lies outside the output of {len(self.output_text)} characters")
        if self.trace is not None and self.answer is not None and self.trace.end > self.answer.start:
            raise ValueError(f"trace {tuple(self.trace)} runs into answer {tuple(self.answer)}")
        return self


ReadSpan = Literal["trace", "answer"]


class Verdict(Record):
    """What one judge says of one span of one generation."""

    judge: str
    """The judge's registered name, followed by `@MODEL` where it asks a model."""
    judge_fingerprint: str
    """Identity of the judge: rules, prompts, model."""
    generation: str
    """Fingerprint of the trial whose generation was read."""
    axis: Axis
    """The axis the verdict is on."""
    span: ReadSpan
    """Which part was read."""
    outcome: Outcome
    """What happened."""
    score: float | None = Field(ge=0.0, le=1.0)
    """1 is good; None when nothing is known."""
    raw: str = ""
    """What the judge said or matched, for the reader of a flip."""
    answer: str = ""
    """What was answered, spelt alike where it is the same, for votes; empty where the judge does not tell."""
    stages: tuple[Stage, ...] = ()
    """What was found in a trace, in the order of the list of stages; empty where the judge does not look for any."""
    parsed: Literal["ok", "retried", "failed"] = "ok"
    """Whether the judge's output could be read."""

    @cached_property
    def fingerprint(self) -> str:
        """Identity: which judge read which span of which generation."""
        return fingerprint("verdict", [self.judge, self.judge_fingerprint, self.generation, self.axis, self.span])

    @model_validator(mode="after")
    def _legal(self) -> Self:
        if self.outcome not in legal_outcomes(self.axis):
            raise ValueError(f"outcome `{self.outcome}` is not legal on axis `{self.axis}`")
        if self.outcome in MISSING and self.score is not None:
            raise ValueError(f"outcome `{self.outcome}` says nothing is known, so it has no score")
        return self
