"""Carrying out programs of several calls over any backend.

All programs go forward together: what a program asks next joins the queue of the backend as soon as its earlier calls
are answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oldham.backends.base import Request, failed
from oldham.core.counts import total
from oldham.core.errors import ModelError
from oldham.core.records import EarlierCall, Generation, StopReason
from oldham.core.thinking import Span, ThinkingState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from oldham.backends.base import Backend
    from oldham.core.records import ModelFingerprint, PromptPlan, Sampling, Trial
    from oldham.core.steering import SteeringSpec
    from oldham.prompts.base import Call, Program


@dataclass(frozen=True, slots=True)
class ProgramRequest:
    """One trial, ready to be carried out."""

    trial: Trial
    """What it is for; carries the seed."""
    program: Callable[[], Program]
    """Starts the trial's program anew."""
    sampling: Sampling
    """How to draw tokens, in every call of the arm's model."""
    steering: SteeringSpec | None = None
    """What is done to the hidden states of the arm's model in every call; None for nothing."""


def generate(backend: Backend, requests: Sequence[ProgramRequest]) -> list[Generation]:
    """Carry out programs, and return when all have ended.

    Args:
        backend: Who answers.
        requests: Any number; programs of different lengths are fine.

    Returns:
        One generation for each request, in the same order; see `carry_out`.

    Raises:
        ModelError: Nothing can be generated any more, and no program had come to its end.
    """
    made: dict[int, Generation] = {}
    carry_out(backend, requests, made.__setitem__)
    return [made[place] for place in range(len(requests))]


def carry_out(
    backend: Backend,
    requests: Sequence[ProgramRequest],
    done: Callable[[int, Generation], None],
    heard: Callable[[Request, Generation], None] | None = None,
) -> None:
    """Carry out programs, and tell of each as soon as it has ended.

    Args:
        backend: Who answers.
        requests: Any number; programs of different lengths are fine.
        done: Called with each request's place in `requests` and its generation: that of the call that answers, with
            the other calls in `calls`. A program one of whose calls failed, or whose judge could not be asked, ends
            there, with stop reason `error`.
        heard: Called with each single request and its generation, whoever was asked and whatever becomes of its
            program.

    Raises:
        ModelError: Nothing can be generated any more, and no program had come to its end. Where some had, the others
            end with stop reason `error`.
    """
    fleet = _Fleet(requests, done, heard)
    try:
        backend.answer(fleet.start(), fleet.answered)
    except ModelError as error:
        if not any(fleet.ended.values()):
            raise
        fleet.fail_rest(backend.fingerprint, error.message)


class _Fleet:
    """Programs that go forward together; see `carry_out`."""

    def __init__(
        self,
        requests: Sequence[ProgramRequest],
        done: Callable[[int, Generation], None],
        heard: Callable[[Request, Generation], None] | None,
    ) -> None:
        self._requests, self._done, self._heard = requests, done, heard
        self._threads: dict[int, Thread] = {}
        self._asked: dict[int, tuple[int, int]] = {}
        self._answers: dict[int, dict[int, Generation]] = {}
        self.ended: dict[int, bool] = {}
        """By place, for each program that has ended, whether it came to something."""

    def start(self) -> Iterator[Request]:
        # A program starts when the backend has room for it, and is forgotten when it has ended: a queue may be long.
        for place, request in enumerate(self._requests):
            self._threads[place] = Thread(request)
            yield from self._pending(place)

    def answered(self, request: Request, generation: Generation) -> list[Request]:
        if self._heard is not None:
            self._heard(request, generation)
        place, call = self._asked.pop(id(request))
        thread, got = self._threads[place], self._answers[place]
        got[call] = generation
        if len(got) < len(thread.pending):
            return []
        thread.accept([got[n] for n in range(len(got))])
        if thread.result is None:
            return self._pending(place)
        self._end(place, thread.result)
        return []

    def fail_rest(self, model: ModelFingerprint, reason: str) -> None:
        """End every program that has not ended."""
        for place, request in enumerate(self._requests):
            if place not in self.ended:
                thread = self._threads[place] = self._threads.get(place) or Thread(request)
                thread.fail(model, reason)
                assert thread.result is not None
                self._end(place, thread.result)

    def _pending(self, place: int) -> list[Request]:
        self._answers[place] = {}
        calls = list(self._threads[place].pending)
        self._asked.update({id(call): (place, n) for n, call in enumerate(calls)})
        return calls

    def _end(self, place: int, result: Generation) -> None:
        self.ended[place] = result.stop is not StopReason.ERROR
        del self._threads[place]
        self._answers.pop(place, None)
        self._done(place, result)


class Thread:
    """One program on its way; knows nothing of who answers, so that any driver can push it.

    Args:
        request: What to carry out.
    """

    def __init__(self, request: ProgramRequest) -> None:
        self.request = request
        self.result: Generation | None = None
        """The trial's generation, once the program has ended."""
        self.pending: list[Request] = []
        """What is to be asked next; empty once the program has ended."""
        self._program = request.program()
        self._calls: list[tuple[EarlierCall, Generation]] = []
        self._seconds: list[float | None] = []
        self._usd: list[float | None] = []
        self._near_ties: list[int | None] = []
        self._waiting: list[Call] = []
        self._latest: Generation | None = None
        self._answers = False
        self._advance(None)

    def accept(self, generations: Sequence[Generation]) -> None:
        """Take the generations of `pending`, in its order.

        Args:
            generations: As many as were pending.
        """
        joined = [_joined(self._latest, asked.plan, new) for asked, new in zip(self.pending, generations, strict=True)]
        broken = next((g for g in joined if g.stop is StopReason.ERROR), None)
        if broken is not None or self._answers:
            if self._answers and self.pending[0].plan.trace_prefix and self._calls:
                self._calls.pop()
            self.pending = []
            self.result = self._with_calls(broken or joined[0])
            return
        for call, generation in zip(self._waiting, joined, strict=True):
            if call.plan.trace_prefix and self._calls:
                self._calls.pop()  # this call went on with it and holds all of its trace
            self._calls.append((_earlier(call, generation), generation))
            self._seconds.append(generation.seconds)
            self._usd.append(generation.usd)
            if call.to is None:
                self._near_ties.append(generation.near_ties)
        self._latest = joined[-1]
        self._advance(joined)

    def fail(self, model: ModelFingerprint, reason: str) -> None:
        """End the program without an answer.

        Args:
            model: Who was asked.
            reason: Why there is none, in one line.
        """
        self.result = self._with_calls(failed(self.pending[0], model, reason))
        self.pending = []

    def _advance(self, replies: list[Generation] | None) -> None:
        request = self.request
        try:
            self._waiting = next(self._program) if replies is None else self._program.send(replies)
        except StopIteration as done:
            if isinstance(done.value, Generation):
                self.pending = []
                self.result = self._chosen(done.value)
                return
            plan: PromptPlan = done.value
            self._answers = True
            self.pending = [Request(request.trial, plan, request.sampling, steering=request.steering)]
            return
        except ModelError as error:  # the judge that an attack looks at
            if replies is None:
                raise
            self.fail(replies[-1].model, error.message)
            return
        self.pending = [self._asked(call) for call in self._waiting]

    def _asked(self, call: Call) -> Request:
        request = self.request
        if call.to is not None:
            asked = call.to
            return Request(
                request.trial, call.plan, asked.sampling, call.label, to=asked.name, attacker_seed=asked.seed
            )
        return Request(request.trial, call.plan, request.sampling, call.label, steering=request.steering)

    def _chosen(self, answer: Generation) -> Generation:
        """Return one of the generations that were made as the trial's, with all others beside it."""
        others = tuple(call for call, generation in self._calls if generation is not answer)
        assert len(others) == len(self._calls) - 1, "a program answers with a generation that it was sent"
        return answer.model_copy(update={"calls": others, **self._totals()})

    def _with_calls(self, last: Generation) -> Generation:
        if not self._seconds:
            return last
        return last.model_copy(
            update={
                "calls": tuple(call for call, _ in self._calls),
                **self._totals(last),
            }
        )

    def _totals(self, *last: Generation) -> dict[str, Any]:
        return {
            "seconds": total([*self._seconds, *(one.seconds for one in last)]),
            "usd": total([*self._usd, *(one.usd for one in last)]),
            "near_ties": total([*self._near_ties, *(one.near_ties for one in last)]),
        }


def _earlier(call: Call, generation: Generation) -> EarlierCall:
    remark = call.to.remark(generation) if call.to is not None and call.to.remark is not None else ""
    return EarlierCall(
        label=f"{call.label} ({remark})" if remark else call.label,
        by=None if call.to is None else call.to.name,
        prompt_text=generation.prompt_text,
        output_text=generation.output_text,
        trace=generation.trace,
        answer=generation.answer,
        stop=generation.stop,
        prompt_tokens=generation.prompt_tokens,
        output_tokens=total((generation.trace_tokens, generation.answer_tokens)),
    )


def _joined(earlier: Generation | None, plan: PromptPlan, new: Generation) -> Generation:
    """Put the trace that a call went on with back where it belongs: into the trace, and out of the prompt."""
    prefix = plan.trace_prefix
    if not prefix or new.stop is StopReason.ERROR or earlier is None or earlier.trace_text is None:
        return new
    shift = len(prefix)
    written = len(earlier.trace_text)
    forced = [span for span in earlier.forced if span.end <= written]
    if written < shift:  # the word that opened the trace again
        forced.append(Span(written, shift))
    forced += [Span(span.start + shift, span.end + shift) for span in new.forced]
    trace_end = (new.trace.end if new.trace else 0) + shift
    update: dict[str, Any] = {
        "prompt_text": new.prompt_text.removesuffix(prefix),
        "prompt_ids": earlier.prompt_ids,
        "output_text": prefix + new.output_text,
        "output_ids": _written_ids(earlier, new),
        "trace": Span(0, trace_end),
        "answer": Span(new.answer.start + shift, new.answer.end + shift) if new.answer else None,
        "forced": tuple(forced),
        "thinking_state": new.thinking_state if new.thinking_state != ThinkingState.NONE else earlier.thinking_state,
        "requested_thinking_tokens": earlier.requested_thinking_tokens,
        "realised_thinking_tokens": total((earlier.realised_thinking_tokens, new.realised_thinking_tokens)),
        "trace_tokens": total((earlier.trace_tokens, new.trace_tokens)),
        "prompt_tokens": earlier.prompt_tokens,
    }
    if plan.thinking_tokens == 0:
        update["trace_stop"] = earlier.trace_stop  # nothing was added, so it ended as it had ended
    return new.model_copy(update=update)


def _written_ids(earlier: Generation, new: Generation) -> tuple[int, ...]:
    """Return the joined output as token ids, as the model read and wrote them; empty where they do not line up."""
    start = len(earlier.prompt_ids)
    if not start or new.prompt_ids[:start] != earlier.prompt_ids:
        return ()
    return (*new.prompt_ids[start:], *new.output_ids)
