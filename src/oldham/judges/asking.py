"""Judges that ask a model: what they ask, how a reply is read, and what becomes of one that cannot be read.

A judge knows no backend. It is given an `Asker`, which carries its calls out, so that the same judge runs in process,
over a server, or in a test on canned replies.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from oldham.core.fingerprint import fingerprint
from oldham.core.outcomes import Outcome
from oldham.core.records import StopReason
from oldham.judges.base import Judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.core.records import Generation, Item, ModelFingerprint, PromptPlan, ReadSpan, Verdict
    from oldham.core.rendering import Rendering

REMINDER: Final = "Reply in the form asked for, and with nothing else."
"""What a retry adds."""
RAW_CHARS: Final = 2_000
"""Characters of a judge's reply that a verdict keeps."""


@dataclass(frozen=True, slots=True)
class JudgeCall:
    """One question to the judge's model."""

    span: ReadSpan
    """The part of the generation that the reply will be about."""
    plan: PromptPlan
    """What is asked."""
    about: str
    """Fingerprint of the trial whose generation is judged; seeds the reply."""
    rendering: Rendering | None = None
    """What the model's chat template is given, or what takes its place; None for a plain chat."""
    attempt: int = 0
    """0, or 1 for the retry after a reply that could not be read."""
    case: str = ""
    """The code that a reply must carry; empty for a judge whose form has none."""


class Asker(Protocol):
    """A model that can be asked."""

    @property
    def model(self) -> str:
        """The model's name as in a study file."""
        ...

    @property
    def fingerprint(self) -> ModelFingerprint:
        """The model's identity; known without loading it."""
        ...

    def ask(self, calls: Sequence[JudgeCall]) -> list[Generation]:
        """Carry calls out.

        Args:
            calls: Any number.

        Returns:
            One reply a call, in the same order; a call that failed has stop reason `error`.

        Raises:
            ModelError: Nothing can be asked at all.
        """
        ...


class ModelJudge(Judge):
    """A judge that asks a model.

    A reply that does not fit the schema is asked for once more; then the verdict is `unjudged` and `parsed` is
    `failed`: never good, never bad. A call that failed (no server, no memory) gives no verdict at all, so that the next
    run asks again.

    Args:
        asker: The model.
    """

    base_model: ClassVar[str] = ""
    """The model that the published judge uses; empty where the rubric leaves it open."""
    answer_tokens: ClassVar[int] = 256
    """Most tokens of a reply."""
    choices: ClassVar[tuple[str, ...]] = ()
    """Words whose likelihood is asked for in place of a reply, which not every backend can tell; empty for a reply."""

    def __init__(self, asker: Asker) -> None:
        self.asker = asker

    @property
    def label(self) -> str:
        """Its name and its model's."""
        return f"{self.name}@{self.asker.model}"

    @cached_property
    def prompt_hash(self) -> str:
        """Identity of the prompt, without the model: the calls for two fixed generations."""
        return fingerprint("judge prompt", self.sample_calls())

    def settings(self) -> dict[str, object]:
        """Its model and its prompt. See `Judge.settings`."""
        return {"model": self.asker.fingerprint.fingerprint, "prompt": self.prompt_hash}

    @abstractmethod
    def sample_calls(self) -> list[object]:
        """Return what it asks of fixed texts, as plain values: equal exactly when its prompts are equal."""

    @abstractmethod
    def settled(self, item: Item, generation: Generation) -> list[Verdict]:
        """Return the verdicts that need no model: on failed, missing and incoherent parts.

        Args:
            item: What was asked.
            generation: What came back.
        """

    @abstractmethod
    def calls(self, item: Item, generation: Generation) -> list[JudgeCall]:
        """Return what is to be asked; none for a part that is settled.

        Args:
            item: What was asked.
            generation: What came back.
        """

    @abstractmethod
    def read(self, item: Item, generation: Generation, call: JudgeCall, reply: Generation) -> Verdict | None:
        """Read a reply.

        Args:
            item: What was asked.
            generation: What came back, and is judged.
            call: What the judge's model was asked.
            reply: What it said.

        Returns:
            The verdict, or None where the reply cannot be read.
        """

    def again(self, call: JudgeCall, reply: Generation) -> JudgeCall:
        """Return the retry of a call whose reply could not be read: the same, with a word about the form.

        Args:
            call: The first call.
            reply: What was said to it; not shown to the model again, for it may hold what it was to judge.
        """
        *before, last = call.plan.messages
        messages = (*before, last.around(after=REMINDER, origin="structure"))
        return replace(call, plan=call.plan.model_copy(update={"messages": messages}), attempt=call.attempt + 1)

    def judge(self, item: Item, generation: Generation) -> list[Verdict]:
        """Judge one generation. See `Judge.judge`."""
        return self.judge_all([(item, generation)])[0]

    def judge_all(self, rows: Sequence[tuple[Item, Generation]]) -> list[list[Verdict]]:
        """Judge several generations with two rounds of questions at most. See `Judge.judge_all`."""
        verdicts = [self.settled(item, generation) for item, generation in rows]
        open_ = [(place, call) for place, (item, gen) in enumerate(rows) for call in self.calls(item, gen)]
        for attempt in (0, 1):
            if not open_:
                break
            replies = self.asker.ask([call for _, call in open_])
            unread = []
            for (place, call), reply in zip(open_, replies, strict=True):
                if reply.stop is StopReason.ERROR:
                    continue
                item, generation = rows[place]
                verdict = self.read(item, generation, call, reply)
                if verdict is not None:
                    update = {"parsed": "retried"} if attempt else {}
                    verdicts[place].append(verdict.model_copy(update=update))
                elif attempt:
                    verdicts[place].append(self._unread(item, generation, call, reply))
                else:
                    unread.append((place, self.again(call, reply)))
            open_ = unread
        return verdicts

    def _unread(self, item: Item, generation: Generation, call: JudgeCall, reply: Generation) -> Verdict:
        raw = f"could not be read: {reply.output_text[:RAW_CHARS]}"
        return self.verdict(item, generation, Outcome.UNJUDGED, span=call.span, raw=raw, parsed="failed")
