"""The backend for every provider that Inspect knows, over chat."""

from __future__ import annotations

import math
import os
import re
import time
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from oldham.backends.base import Backend, ServerOptions, failed
from oldham.backends.chat_protocol import ChatReply, carry_out, chat_turn
from oldham.backends.openai.errors import RowError
from oldham.backends.openai.spending import Purse, Spending
from oldham.core.errors import ConfigError, MissingDependencyError, ModelError
from oldham.core.fingerprint import fingerprint
from oldham.core.records import ModelFingerprint, StopReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelOutput

    from oldham.backends.base import Request
    from oldham.backends.chat_protocol import ChatCall
    from oldham.core.records import Generation, Message

CODE_VERSION: Final = 1
"""Raised whenever a change to the generation code can change what a model writes."""

EFFORT: Final = "reasoning_effort"
"""The field of `extra_body` that is given to Inspect by its own name, in place of a budget of reasoning tokens."""

_MARKUP: Final = re.compile(r"\[/?(?:bold|blue)\]")
_SEEDS: Final = 2**31
_FILTER: Final = "the provider's content filter stopped the reply"
STOPS: Final = {
    "stop": StopReason.STOP,
    "tool_calls": StopReason.STOP,
    "max_tokens": StopReason.LENGTH,
    "model_length": StopReason.LENGTH,
    "content_filter": StopReason.ERROR,
}
"""What Inspect's stop reasons mean; one that is not named is unknown."""


class InspectBackend(Backend):
    """A model of any provider that Inspect knows: `inspect:PROVIDER/MODEL`.

    Use `load`. Only whole messages are exchanged, see `oldham.backends.chat_protocol`. Reasoning content is the trace,
    and where a provider withholds it, its summary is. A reply that the provider's filter stopped is an `error` row with
    the provider's reason: what it says then is not the model's answer. A plan that leaves it to the model how to reason
    asks for its thinking budget as reasoning tokens, or for `reasoning_effort` where `extra_body` holds that field.

    Works inside a running event loop too, such as a notebook's: the provider's client lives in a loop and a thread of
    its own, from `load` to `close`.

    Args:
        name: `PROVIDER/MODEL`, as Inspect writes it.
        options: How the provider is reached and what it may cost.

    Raises:
        ModelError: The provider cannot be used.
    """

    def __init__(self, name: str, options: ServerOptions) -> None:
        from anyio.from_thread import start_blocking_portal

        # Inspect's own batches of `hf` mix rows of different settings and count their padding.
        self._at_once = 1 if name.startswith("hf/") else options.concurrency
        self._name, self._options = name, options
        self._fingerprint = identity(name, options)
        self._spending, self._payer = Spending(options), f"model `{name}`"
        self._answered = False
        self._resources = ExitStack()
        self._portal = self._resources.enter_context(start_blocking_portal())
        try:
            self.model: Model = self._portal.call(self._make)
        except Exception as error:  # each provider raises what its library raises: no key, no package, no such model
            self._resources.close()
            raise ModelError(
                f"Inspect cannot make the model `{name}` ({one_line(error)}).",
                remedy="See that the provider is one of Inspect's, and that its package and its key are there.",
            ) from error

    @classmethod
    def puts_words(cls, model: str, server: ServerOptions | None = None) -> bool:
        """Never: models are asked over chat. See `Backend.puts_words`."""
        return False

    @classmethod
    def identify(cls, model: str, server: ServerOptions | None = None) -> ModelFingerprint:
        """Identify a model without asking its provider. See `Backend.identify`."""
        return identity(_name(model), _checked(server))

    @classmethod
    def load(cls, model: str, server: ServerOptions | None = None) -> InspectBackend:
        """Make the provider's client; one that runs models in this process loads the weights. See `Backend.load`.

        Raises:
            MissingDependencyError: Inspect is not installed.
        """
        name, options = _name(model), _checked(server)
        if find_spec("inspect_ai") is None:
            raise MissingDependencyError(
                f"`{model}` needs the package `inspect-ai`, which is not installed.",
                remedy="Install it with: pip install 'oldham[inspect]'.",
            )
        return cls(name, options)

    @property
    def fingerprint(self) -> ModelFingerprint:
        """What answers. The address is not part of it: the same name, asked in the same way, is the same model."""
        return self._fingerprint

    @property
    def batch_size(self) -> int:
        """Requests a batch: four for each that the provider takes at a time."""
        return 4 * self._at_once

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Ask for every request at once, as far as `concurrency` allows. See `Backend.generate`.

        A row that the spending cap leaves out is an error row; the next batch, of which nothing could be asked, raises.
        So does a first batch of several rows that all fail for the same reason.
        """
        work = self._portal.start_task_soon(self._all, requests)
        try:
            made: list[Generation] = work.result()
        except BaseException:
            work.cancel()
            raise
        self._raise_if_hopeless({generation.error for generation in made}, len(made))
        return made

    def _raise_if_hopeless(self, errors: set[str | None], rows: int) -> None:
        """Raise where nothing was generated, and nothing would be in the next batch either."""
        self._answered = self._answered or None in errors
        if len(errors) != 1 or None in errors:
            return
        (error,) = errors
        if error == _cap_reached(self._options):
            raise self._spending.reached()
        # A provider that filters one request after another does answer, if only with its filter.
        if not self._answered and rows > 1 and not str(error).startswith(_FILTER):
            raise ModelError(
                f"Every request to `{self._name}` fails alike ({error}).",
                remedy="Check the address, the key and the model's name.",
            )

    def pay_from(self, spending: Spending, who: str) -> None:
        """Share a total and its cap. See `Backend.pay_from`."""
        self._spending, self._payer = spending, who

    def close(self) -> None:
        """Close the provider's client and end its thread."""
        with self._resources:
            self._portal.call(self.model.api.aclose)

    def _make(self) -> Model:
        from inspect_ai.model import GenerateConfig, get_model

        options = self._options
        config = GenerateConfig(
            max_connections=self._at_once,
            attempt_timeout=math.ceil(options.timeout_s),
            max_retries=options.retries,
        )
        # A provider reads its own variable; another one is read only where the user names it.
        key = os.environ.get(options.key_env) if "key_env" in options.model_fields_set else None
        # Not memoised: a client belongs to its event loop, and this one's ends with the backend.
        return get_model(self._name, config=config, base_url=options.url, api_key=key, memoize=False)

    async def _all(self, requests: Sequence[Request]) -> list[Generation]:
        import anyio

        made: dict[int, Generation] = {}
        gate = anyio.Semaphore(self._at_once)

        async def one(place: int, request: Request) -> None:
            async with gate:
                made[place] = await self._one(request)

        async with anyio.create_task_group() as group:
            for place, request in enumerate(requests):
                group.start_soon(one, place, request)
        return [made[place] for place in range(len(requests))]

    async def _one(self, request: Request) -> Generation:
        if request.changes_template:
            return failed(request, self._fingerprint, "Inspect hands no chat template on; write openai:NAME or hf:NAME")
        with Purse(self._spending, request.payer or self._payer) as purse:

            async def ask(call: ChatCall) -> ChatReply:
                return await self._ask(request, call, purse)

            made = await carry_out(chat_turn(request, self._fingerprint), ask)
            priced = self._spending.cost(0, 0) is not None
            return made.model_copy(update={"usd": purse.paid}) if priced else made

    async def _ask(self, request: Request, call: ChatCall, purse: Purse) -> ChatReply:
        # A token is at least one byte, and a template adds its own.
        most = (64 + sum(len(message.content.encode()) + 16 for message in call.messages), call.max_tokens)
        started = time.perf_counter()
        try:
            purse.reserve(*most)
            output = await self.model.generate(chat_messages(call.messages), config=self._config(request, call))
            reply = reply_of(output, call.max_tokens)
        except RowError as error:
            return ChatReply(stop=StopReason.ERROR, error=error.reason)
        except Exception as error:  # whatever the provider's library raises, after every attempt
            return ChatReply(stop=StopReason.ERROR, error=one_line(error), seconds=time.perf_counter() - started)
        counts = (reply.prompt_tokens, reply.output_tokens)
        purse.pay(None if counts[0] is None or counts[1] is None else (counts[0], counts[1]), most)
        return reply

    def _config(self, request: Request, call: ChatCall) -> GenerateConfig:
        from inspect_ai.model import GenerateConfig

        sampling, extra = request.sampling, dict(self._options.extra_body)
        effort = extra.pop(EFFORT, None)
        # `hf` always samples and takes no temperature of 0; the likeliest token alone is the same.
        only_likeliest = sampling.temperature == 0 and self._name.startswith("hf/")
        return GenerateConfig(
            max_tokens=call.max_tokens,
            temperature=None if only_likeliest else sampling.temperature,
            top_p=sampling.top_p if sampling.top_p < 1 else None,
            top_k=1 if only_likeliest else sampling.top_k or None,
            seed=request.seed % _SEEDS,
            reasoning_tokens=call.reasoning_tokens if effort is None else None,
            reasoning_effort=None if call.reasoning_tokens is None else effort,
            extra_body=extra or None,
        )


def identity(name: str, options: ServerOptions) -> ModelFingerprint:
    """Return what is known of a model's identity: its name, and the fields that are added to its requests.

    Args:
        name: `PROVIDER/MODEL`, as Inspect writes it.
        options: How it is reached.
    """
    extra = fingerprint("extra_body", options.extra_body, length=16)
    return ModelFingerprint(
        weights=f"inspect:{name}",
        adapter=None,
        template="provider",
        dtype="provider",
        backend=f"inspect/{CODE_VERSION}/{extra}",
    )


def chat_messages(messages: Iterable[Message]) -> list[ChatMessage]:
    """Return a conversation as Inspect's messages.

    Args:
        messages: In order.
    """
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    kinds = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}
    return [kinds[message.role](content=message.content) for message in messages]


def reply_of(output: ModelOutput, max_tokens: int | None = None) -> ChatReply:
    """Read an output of Inspect.

    Args:
        output: What a model returned.
        max_tokens: Most tokens it could have; None where that is not known.

    Returns:
        A reply with stop `error` where there is no choice, or the provider's filter stopped it.
    """
    if output.empty:
        return ChatReply(stop=StopReason.ERROR, error=output.error or "the provider returned nothing")
    choice, usage = output.choices[0], output.usage
    stop = STOPS.get(choice.stop_reason)
    if stop is None and usage is not None and max_tokens is not None:
        # A model that had tokens left has stopped by itself.
        stop = StopReason.STOP if usage.output_tokens < max_tokens else StopReason.LENGTH
    parts = [] if isinstance(choice.message.content, str) else choice.message.content
    thoughts = [part for part in parts if part.type == "reasoning"]
    seen = [(part.summary or "") if part.redacted else part.reasoning for part in thoughts]
    return ChatReply(
        text=choice.message.text,
        reasoning="\n\n".join(text for text in seen if text),
        hidden=bool(thoughts),
        stop=stop,
        error=_filtered(output) if stop is StopReason.ERROR else None,
        prompt_tokens=None
        if usage is None
        else usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0),
        output_tokens=None if usage is None else usage.output_tokens,
        reasoning_tokens=None if usage is None else usage.reasoning_tokens,
        seconds=output.time,
        usd=None if usage is None else usage.total_cost,
    )


def one_line(error: BaseException) -> str:
    """Return an error in one line of at most 300 characters.

    Args:
        error: Of any kind.
    """
    while error.__cause__ is not None:  # Inspect wraps the provider's error in one that shows the whole request
        error = error.__cause__
    plain = _MARKUP.sub("", str(error))
    return " ".join(plain.split())[:300] or type(error).__name__


def _filtered(output: ModelOutput) -> str:
    details = output.choices[0].stop_details
    said = (details.explanation if details else None) or output.error
    return f"{_FILTER} ({' '.join(said.split())[:200]})" if said else _FILTER


def _cap_reached(options: ServerOptions) -> str | None:
    return None if options.cap_usd is None else f"spending cap of ${options.cap_usd:g} reached"


def _name(model: str) -> str:
    name = model.strip().partition(":")[2].strip()
    provider, _, rest = name.partition("/")
    if not provider or not rest:
        raise ModelError(
            f"`{model}` does not name a provider and a model.",
            remedy="Write inspect:PROVIDER/MODEL, for example inspect:mockllm/model.",
        )
    return name


def _checked(server: ServerOptions | None) -> ServerOptions:
    options = server or ServerOptions()
    if options.api == "completions":
        raise ConfigError("Inspect's providers are asked over chat only.", place="api", remedy="Leave `api` out.")
    if options.cap_usd is not None and None in (options.usd_per_million_read, options.usd_per_million_written):
        raise ConfigError(
            "A spending cap needs both prices.",
            place="cap_usd",
            remedy="Give usd_per_million_read and usd_per_million_written too.",
        )
    return options
