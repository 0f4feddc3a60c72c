"""What is learnt about a server while it is asked, and one row's conversation with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from oldham.backends.openai.errors import NoAnswerError, RowError
from oldham.core.errors import ModelError
from oldham.core.records import StopReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from oldham.backends.base import Request
    from oldham.backends.openai.names import Api, ServedModel
    from oldham.backends.openai.server import Server
    from oldham.backends.openai.spending import Purse, Spending
    from oldham.core.records import Sampling

T = TypeVar("T")

_SEEDS: Final = 2**31
_UNUSABLE: Final = "{{ raise_exception('nobody can be asked with this') }}"
_STOPS: Final = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn"), StopReason.STOP),
    "length": StopReason.LENGTH,
}


@dataclass(frozen=True, slots=True)
class Manners:
    """What a server takes. It starts with everything, and gives way where the server refuses a first request."""

    dropped: frozenset[str] = frozenset()
    """Optional fields that it does not know."""
    takes_ids: bool = True
    """A prompt may be token ids."""
    limit_field: str = "max_tokens"
    """What the length limit is called."""
    tells_stop: bool = True
    """It says whether a text or the turn's end stopped it."""
    ignores_templates: bool | None = None
    """It answers without a look at a request's chat template; None until that was tried."""

    def giving_way(self, refusal: str, sent: frozenset[str], *, with_ids: bool) -> Manners | None:
        """Return manners that may please a server that refused a request.

        Args:
            refusal: What the server said.
            sent: Optional fields of the request that it has never taken so far.
            with_ids: The request's prompt was token ids, and it has never taken these either.

        Returns:
            The next thing to try, None when there is nothing left.
        """
        named = frozenset(name for name in sent if re.search(rf"\b{name}\b", refusal))
        if self.limit_field == "max_tokens" and "max_completion_tokens" in refusal:
            return replace(self, limit_field="max_completion_tokens")
        if named:
            return replace(self, dropped=self.dropped | named)
        if with_ids and "prompt" in refusal:
            return replace(self, takes_ids=False)
        if sent:
            return replace(self, dropped=self.dropped | sent)
        return replace(self, takes_ids=False) if with_ids else None

    def joined(self, other: Manners) -> Manners:
        """Return manners that give way in everything in which either of the two does.

        Args:
            other: What another row has found out meanwhile.
        """
        return Manners(
            self.dropped | other.dropped,
            self.takes_ids and other.takes_ids,
            max(self.limit_field, other.limit_field, key=len),
            self.tells_stop and other.tells_stop,
            self.ignores_templates if other.ignores_templates is None else other.ignores_templates,
        )


@dataclass(slots=True)
class Session:
    """A server being asked by many rows."""

    server: Server
    model: ServedModel
    spending: Spending
    manners: Manners
    taken: frozenset[str]
    """Every field of requests that were answered; empty before the first one."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer, as the server says."""

    read: int | None
    written: int | None
    thought: int | None
    total: int | None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Usage:
        """Read the counts of an answer; what is not there is None.

        Args:
            answer: A parsed answer.
        """
        usage = answer.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        details = usage.get("completion_tokens_details")
        details = details if isinstance(details, dict) else {}
        fields = usage.get("prompt_tokens"), usage.get("completion_tokens"), details.get("reasoning_tokens")
        told = (*fields, usage.get("total_tokens"))
        return cls(*(value if isinstance(value, int) else None for value in told))

    @property
    def both(self) -> tuple[int, int] | None:
        """Tokens read and written, reasoning included; None where one of them is not known."""
        written = self.written_with_thought
        return None if self.read is None or written is None else (self.read, written)

    @property
    def written_with_thought(self) -> int | None:
        """Tokens written, reasoning included.

        Some servers count reasoning among the completion's tokens and some beside them; the total tells which.
        """
        if not self.thought:
            return self.written
        return None if self.total is None or self.read is None else self.total - self.read


@dataclass(frozen=True, slots=True)
class Ask:
    """One request before it is fitted to the server's manners."""

    text: str = ""
    """Prompt, for completions."""
    ids: tuple[int, ...] = ()
    """The same as tokens."""
    messages: tuple[dict[str, str], ...] = ()
    """Conversation, for chat."""
    template_tokens: int = 64
    """Most tokens that the chat template adds, beside those around each message."""
    limit: int = 0
    """Most tokens to generate."""
    stop: str = ""
    """Text that ends the generation, where the server then says so; empty for none."""
    fields: Mapping[str, Any] | None = None
    """Fields that this request needs; a server that does not know them refuses the row."""
    optional: Mapping[str, Any] | None = None
    """Fields that it can do without."""

    @property
    def most_read(self) -> int:
        """Most tokens the prompt can have: a token is at least one byte."""
        if self.ids:
            return len(self.ids) + 1
        return self.template_tokens + sum(len(message["content"].encode()) + 16 for message in self.messages)


class Talk:
    """One row's conversation with the server.

    Args:
        session: The server.
        request: The row.
        purse: The row's money.
    """

    def __init__(self, session: Session, request: Request, purse: Purse) -> None:
        self._session, self._request, self.purse = session, request, purse
        self.manners = session.manners

    async def ask(self, ask: Ask, read: Callable[[dict[str, Any]], T]) -> T:
        """Ask the server, giving way on what it does not know as long as nothing has been answered.

        Args:
            ask: The request.
            read: Takes the answer apart; raises `NoAnswerError` for one that is none.

        Raises:
            RowError: There is no answer to this request.
            ModelError: There will be none to any other either.
        """
        session = self._session
        api: Api = "chat" if ask.messages else "completions"
        most = (ask.most_read, ask.limit)
        self.purse.reserve(*most)
        self.manners = session.manners

        def take(answer: dict[str, Any]) -> T:
            self.purse.pay(Usage.of(answer).both, most)
            try:
                return read(answer)
            except NoAnswerError:
                self.purse.reserve(*most)  # it is paid for all the same, and will be asked for again
                raise

        while True:
            body = self._body(ask)
            try:
                answer = await session.server.ask(api, body, take)
            except RowError as error:
                if error.kind != "refused" or not self._give_way(ask, body, error.detail):
                    raise
                continue
            session.manners = session.manners.joined(self.manners)
            session.taken |= {*body, *(["ids"] if isinstance(body.get("prompt"), list) else [])}
            return answer

    def _give_way(self, ask: Ask, body: Mapping[str, Any], refusal: str) -> bool:
        session = self._session
        new = body.keys() - session.taken - session.model.options.extra_body.keys()
        with_ids = isinstance(body.get("prompt"), list) and "ids" not in session.taken
        manners = self.manners.giving_way(refusal, frozenset(self._optional(ask)) & new, with_ids=with_ids)
        if manners is None:
            return False
        self.manners = manners
        return True

    async def ignores_templates(self) -> bool:
        """Say whether the server answers without a look at a request's chat template; tried once, for one token.

        Many servers drop a field that they do not know without a word. One that reads the template cannot answer a
        request whose template raises an error.

        Raises:
            RowError: The server cannot be asked.
            ModelError: There will be no answer to any row.
        """
        if self._session.manners.ignores_templates is None:
            question = ({"role": "user", "content": "Hello."},)
            try:
                await self.ask(Ask(messages=question, limit=1, fields={"chat_template": _UNUSABLE}), first_choice)
                ignores = True
            except RowError as error:
                if error.kind != "refused":
                    raise
                ignores = False
            self._session.manners = replace(self._session.manners, ignores_templates=ignores)
        return bool(self._session.manners.ignores_templates)

    def tells_no_stop(self) -> None:
        """Remember that the server does not say what stopped it."""
        self._session.manners = self.manners = replace(self._session.manners, tells_stop=False)

    def _optional(self, ask: Ask) -> dict[str, Any]:
        """Return the fields that make every server draw alike, whatever its defaults are."""
        fields = {
            "seed": self._request.seed % _SEEDS,
            "top_p": self._request.sampling.top_p,
            "top_k": self._request.sampling.top_k or -1,
            "min_p": 0.0,
            "frequency_penalty": 0.0,  # `transformers serve` makes its repetition penalty of this
            "presence_penalty": 0.0,
            "repetition_penalty": 1.0,  # vLLM, SGLang
            "repeat_penalty": 1.0,  # llama.cpp
        }
        return fields | dict(ask.optional or {})

    def _body(self, ask: Ask) -> dict[str, Any]:
        sampling, manners, model = self._request.sampling, self.manners, self._session.model
        _check_sampling(sampling, manners.dropped, model.name)
        body: dict[str, Any] = {"model": model.name, "temperature": sampling.temperature}
        if ask.messages:
            body |= {"messages": list(ask.messages), manners.limit_field: ask.limit}
        else:
            body |= {"prompt": list(ask.ids) if manners.takes_ids else ask.text, "max_tokens": ask.limit}
        if ask.stop:
            body["stop"] = [ask.stop]
        body |= {key: value for key, value in self._optional(ask).items() if key not in manners.dropped}
        body |= ask.fields or {}
        return body | _merged(model.options.extra_body, body)


def _check_sampling(sampling: Sampling, dropped: frozenset[str], model: str) -> None:
    wanted = {"top_p": sampling.top_p < 1, "top_k": sampling.top_k > 0}
    if sampling.temperature > 0 and (missing := [name for name in sorted(dropped) if wanted.get(name)]):
        raise ModelError(
            f"The server of `{model}` takes no `{missing[0]}`.",
            remedy="Leave it out of the study, or ask another server.",
        )


def _merged(extra: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user's fields; objects are merged, so that `chat_template_kwargs` keeps what it does not name."""
    return {
        key: {**body[key], **value} if isinstance(value, dict) and isinstance(body.get(key), dict) else value
        for key, value in extra.items()
    }


def first_choice(answer: Mapping[str, Any]) -> tuple[dict[str, Any], StopReason | None]:
    """Return an answer's first choice and why it ended: `stop`, `length`, or None for a reason that is not known.

    Args:
        answer: A parsed answer.

    Raises:
        NoAnswerError: There is no choice, or it has no text and ended for a reason that is not known.
        RowError: The provider's filter ended it.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise NoAnswerError("the answer holds no choices")
    reason = str(choices[0].get("finish_reason"))
    if reason == "content_filter":
        raise RowError("failed", "the provider's content filter cut the answer")
    stop = _STOPS.get(reason)
    if stop is None and not _has_text(choices[0]):
        raise NoAnswerError(f"the answer ended for the reason `{reason}`")
    return choices[0], stop


def _has_text(choice: Mapping[str, Any]) -> bool:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    return isinstance(text, str) and bool(text.strip())
