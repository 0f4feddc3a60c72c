"""Carrying a plan out where only whole messages can be exchanged, and nothing can be put into a model's mouth.

A scaffold that cues the answer is carried out in the two stages of Kojima et al. 2022 (arXiv 2205.11916), section 3:
the request and `trace_open` give the trace; the same, the trace as the assistant's turn and `answer_open` as the user's
give the answer. Where the model reasons by itself, its own reasoning is the trace, and the second stage is left out if
the first reply has come to its answer.

Nothing here talks to anybody: a turn is a generator that yields calls and is sent replies, so that any driver, awaiting
or not, can carry it out.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from oldham.core.counts import total
from oldham.core.records import Generation, Message, Part, StopReason
from oldham.core.thinking import Span, ThinkingState, split_thinking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from oldham.backends.base import Request
    from oldham.core.records import ModelFingerprint, PromptPlan

JOINT: Final = "\n\n"
"""Stands between trace and answer in the stored text; forced, for the model did not write it."""


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One request."""

    messages: tuple[Message, ...]
    """The conversation; the last turn is the user's, or the assistant's where that is to be judged."""
    max_tokens: int
    """Most tokens of the reply, reasoning included."""
    thinks: bool = False
    """A trace is wanted in the reply, so that a switch for the model's own reasoning may stand on."""
    reasoning_tokens: int | None = None
    """Most tokens of reasoning to ask for, where the plan leaves it to the model how to reason; None asks for none."""
    then_tokens: int = 0
    """Most tokens of the call for the answer that may follow this one; 0 where none does."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What came back. What a server does not tell is None."""

    text: str = ""
    """The message."""
    reasoning: str = ""
    """Reasoning that came apart from the message."""
    summary: bool = False
    """`reasoning` may be a summary, so that `reasoning_tokens` does not count its tokens."""
    hidden: bool = False
    """There was reasoning of which the provider shows nothing."""
    stop: StopReason | None = StopReason.STOP
    """`stop`, `length` or `error`; None where it is not known."""
    error: str | None = None
    """What went wrong, with `stop` = `error`."""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    """Tokens written, reasoning included."""
    reasoning_tokens: int | None = None
    """Tokens of reasoning among them."""
    seconds: float | None = None
    usd: float | None = None

    @property
    def apart(self) -> bool:
        """Whether the model reasoned apart from its message."""
        return bool(self.reasoning or self.hidden or self.reasoning_tokens)

    @property
    def answers(self) -> bool:
        """Whether there is an answer; a reply that is all reasoning has none."""
        return bool(self.text.strip()) or not self.apart

    @property
    def answer_tokens(self) -> int | None:
        """Tokens of the message; None where that is not known, or where the message holds thinking too."""
        thought = self.reasoning_tokens if self.apart else 0
        if self.output_tokens is None or thought is None or split_thinking(self.text).trace is not None:
            return None
        rest = self.output_tokens - thought
        return rest if rest >= 0 else None


ChatTurn = Generator[ChatCall, ChatReply, Generation]
"""One plan on its way."""


async def carry_out(turn: ChatTurn, ask: Callable[[ChatCall], Awaitable[ChatReply]]) -> Generation:
    """Carry a turn out.

    Args:
        turn: A fresh one.
        ask: Sends a call and returns the reply.
    """
    try:
        call = next(turn)
        while True:
            call = turn.send(await ask(call))
    except StopIteration as done:
        generation: Generation = done.value
        return generation


def chat_turn(request: Request, model: ModelFingerprint, count: Callable[[str], int] | None = None) -> ChatTurn:
    """Return the calls that carry a request out, and then its generation.

    Args:
        request: What to generate. What cannot be done over chat becomes an `error` row: to score given answers, to go
            on with a trace, to begin a direct answer, to take words put at the start of the answer, and to close a
            trace without a cue for the answer.
        model: Who is asked.
        count: Counts a text's tokens; None leaves unknown what the replies do not tell.
    """
    return _Turn(request, model, count).run()


@dataclass(slots=True)
class _Sheet:
    """The output as it is written down."""

    text: str = ""
    trace: Span | None = None
    answer: Span | None = None
    forced: tuple[Span, ...] = ()
    state: ThinkingState = ThinkingState.NONE

    def add(self, text: str) -> Span:
        start = len(self.text)
        self.text += text
        return Span(start, len(self.text))

    def add_reply(self, reply: ChatReply, cue: str = "") -> None:
        """Write down a reply; everything up to its last closing marker belongs to the trace."""
        had_trace = self.trace is not None
        if reply.reasoning:
            if had_trace:
                self.forced += (self.add(JOINT),)
            self.trace = Span(0, self.add(reply.reasoning).end)
        split = split_thinking(reply.text)
        if not reply.answers:
            self.state = ThinkingState.TRUNCATED
        elif reply.reasoning:
            self.state = ThinkingState.COMPLETE
        elif not had_trace:
            self.state = split.state
        if (had_trace or reply.reasoning) and (split.trace or (had_trace and reply.reasoning)):
            self.state = ThinkingState.MALFORMED
        if not reply.answers:
            return
        opening = cue if split.trace is None and not reply.text.lstrip().startswith(cue) else ""
        if self.trace is not None:
            put_in = self.add(JOINT + opening + (" " if opening else ""))
            self.forced += (put_in,)
        shift = self.add(reply.text).start
        if split.trace is None:
            self.answer = Span(shift - len(opening) - 1 if opening else shift, len(self.text))
            return
        self.trace = Span(0 if self.trace else shift + split.trace.start, shift + split.trace.end)
        self.answer = split.answer and Span(shift + split.answer.start, shift + split.answer.end)


class _Turn:
    def __init__(self, request: Request, model: ModelFingerprint, count: Callable[[str], int] | None) -> None:
        self.request, self.plan, self.model, self.count = request, request.plan, model, count
        self.messages = self.plan.messages
        if self.plan.thinks and self.plan.trace_open:
            self.messages = _with_words(self.messages, self.plan.trace_open)
        self.replies: list[ChatReply] = []
        self.trace_stop: StopReason | None = None
        self.trace_tokens: int | None = None

    def run(self) -> ChatTurn:
        plan = self.plan
        if unable := beyond_chat(plan):
            return self._failed(f"a model that is asked over chat cannot {unable}")
        if plan.thinks and plan.answer_open:
            if not plan.thinking_tokens:
                return (yield from self._answer(""))
            return (yield from self._in_stages())
        budget = plan.thinking_tokens if plan.thinks else 0
        limit = budget + plan.answer_tokens
        reply = yield from self._ask(ChatCall(self.messages, limit, plan.thinks, reasoning_tokens=budget or None))
        return self._whole(reply)

    def _in_stages(self) -> ChatTurn:
        plan = self.plan
        call = ChatCall(self.messages, plan.thinking_tokens, thinks=True, then_tokens=plan.answer_tokens)
        reply = yield from self._ask(call)
        own = reply.apart or split_thinking(reply.text).trace is not None
        cut = reply.stop is StopReason.LENGTH  # where it is not known, nothing says that it was cut
        if reply.stop is StopReason.ERROR or (own and not cut and reply.answers):
            return self._whole(reply)
        written = "\n\n".join(part for part in (reply.reasoning, reply.text) if part)
        at = -1 if own else written.find(plan.answer_open)
        if at >= 0 and not cut:
            self.trace_stop = StopReason.STOP
            spans = Span(0, at), Span(at, len(written))
            return self._record(_Sheet(written, *spans, state=ThinkingState.OPEN_IN_PROMPT), reply, None)
        if at >= 0:  # cut off within its answer
            written, self.trace_stop = written[:at], StopReason.STOP
        else:
            self.trace_stop = StopReason.BUDGET_FORCED if cut else reply.stop
            self.trace_tokens = None if own else reply.output_tokens
        return (yield from self._answer(written))

    def _answer(self, trace: str) -> ChatTurn:
        """Ask for the answer after a trace."""
        plan = self.plan
        if not self.replies:
            self.trace_stop = StopReason.BUDGET_FORCED
        if not trace:
            self.trace_tokens = 0
        if trace.strip():
            thought = Message.of("assistant", Part(text=trace, origin="reply"))
            cue = Message.of("user", Part(text=plan.answer_open, origin="strategy"))
            messages = (*self.messages, thought, cue)
        else:
            messages = _with_words(self.messages, plan.answer_open)
        reply = yield from self._ask(ChatCall(messages, plan.answer_tokens))
        if reply.stop is StopReason.ERROR:
            return self._failed(reply.error)
        sheet = _Sheet(trace, Span(0, len(trace)), state=ThinkingState.OPEN_IN_PROMPT)
        sheet.add_reply(reply, plan.answer_open)
        if sheet.state is ThinkingState.MALFORMED:
            self.trace_tokens = None
        return self._record(sheet, reply, reply.answer_tokens)

    def _ask(self, call: ChatCall) -> Generator[ChatCall, ChatReply, ChatReply]:
        reply = yield call
        self.replies.append(reply)
        return reply

    def _whole(self, reply: ChatReply) -> Generation:
        """Make the row of a reply that holds everything."""
        if reply.stop is StopReason.ERROR:
            return self._failed(reply.error)
        sheet = _Sheet()
        sheet.add_reply(reply)
        if sheet.trace is not None:
            self.trace_stop = reply.stop if sheet.answer is None else StopReason.STOP
        if reply.reasoning and not reply.summary and split_thinking(reply.text).trace is None:
            self.trace_tokens = reply.reasoning_tokens  # with thinking in the message too, they are not all of it
        return self._record(sheet, reply, reply.answer_tokens)

    def _record(self, sheet: _Sheet, last: ChatReply, answer_tokens: int | None) -> Generation:
        """Make the row; the answer's tokens as the last reply tells them serve where nothing counts them here."""
        first, trace_tokens = self.replies[0], self.trace_tokens
        if trace_tokens is None:
            trace_tokens = self._tokens_of(sheet, sheet.trace)
        if sheet.answer is None or self.count is not None:
            answer_tokens = self._tokens_of(sheet, sheet.answer)
        thought = None if first.hidden else trace_tokens  # what nobody shows is in no trace
        return self._row(
            output_text=sheet.text,
            trace=sheet.trace,
            answer=sheet.answer,
            forced=sheet.forced,
            thinking_state=sheet.state,
            trace_stop=self.trace_stop,
            stop=last.stop,
            realised_thinking_tokens=first.reasoning_tokens or thought,
            prompt_tokens=first.prompt_tokens,
            trace_tokens=trace_tokens,
            answer_tokens=answer_tokens,
        )

    def _tokens_of(self, sheet: _Sheet, span: Span | None) -> int | None:
        text = "" if span is None else span.of(sheet.text)
        if not text:
            return 0
        return None if self.count is None else self.count(text)

    def _failed(self, error: str | None) -> Generation:
        unknown = ("realised_thinking_tokens", "prompt_tokens", "trace_tokens", "answer_tokens")
        return self._row(
            output_text="",
            trace=None,
            answer=None,
            thinking_state=ThinkingState.NONE,
            trace_stop=None,
            stop=StopReason.ERROR,
            error=error or "no reason given",
            **dict.fromkeys(unknown),
        )

    def _row(self, **facts: Any) -> Generation:
        request = self.request
        return Generation(
            trial=request.trial,
            prompt_text="\n".join(f"{message.role}: {message.content}" for message in self.messages),
            prompt_ids=(),
            output_ids=(),
            requested_thinking_tokens=self.plan.thinking_tokens if self.plan.thinks else 0,
            model=self.model,
            sampling=request.sampling,
            seed=request.seed,
            seconds=total(reply.seconds for reply in self.replies),
            usd=total(reply.usd for reply in self.replies),
            **facts,
        )


def beyond_chat(plan: PromptPlan) -> str | None:
    """Say what a plan asks for that cannot be done over chat; None where all of it can.

    Args:
        plan: What to say and how to think.
    """
    asked = {
        "score given answers": bool(plan.choices),
        "go on with a trace": bool(plan.trace_prefix),
        "begin a direct answer": bool(plan.answer_open) and not plan.thinks,
        "take words put at the start of its answer": bool(plan.prefill) and plan.prefill_tokens != 0,
        "close a trace without a cue for the answer": plan.thinks and bool(plan.trace_open) and not plan.answer_open,
        "shut its thinking block": plan.thinks and not plan.thinking_tokens and not plan.answer_open,
    }
    return next((what for what, is_asked in asked.items() if is_asked), None)


def _with_words(messages: tuple[Message, ...], words: str) -> tuple[Message, ...]:
    return (*messages[:-1], messages[-1].around(after=words, origin="strategy"))
