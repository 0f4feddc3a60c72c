"""The backend for OpenAI-compatible servers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from oldham.backends.base import Backend, failed
from oldham.backends.chat_formats import chat_format
from oldham.backends.openai.completions import CompletionsRow
from oldham.backends.openai.conversation import converse
from oldham.backends.openai.errors import RowError
from oldham.backends.openai.names import ServedModel
from oldham.backends.openai.session import Manners, Session, Talk
from oldham.backends.openai.spending import Purse, Spending
from oldham.core.errors import MissingDependencyError, ModelError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from oldham.backends.base import Request, ServerOptions
    from oldham.backends.chat import ChatFormat
    from oldham.core.records import Generation, ModelFingerprint

T = TypeVar("T")

_BLINK_S: Final = 0.1


class _Row(NamedTuple):
    """What became of a request."""

    outcome: Generation | Exception
    seconds: float = 0.0
    """How long it took; 0 where nothing came of it."""
    usd: float | None = None
    """What was paid where nothing came of it; None for nothing, and where it is not known."""


class OpenAIBackend(Backend):
    """A model behind a server, asked by many requests at a time.

    Use `load`. With the completions API a turn goes as it goes in process, token for token as far as the server allows;
    with the chat API the server keeps the template, and the two stages of Kojima et al. 2022 (arXiv 2205.11916) stand
    in for what would be put into the model's mouth.

    Args:
        model: What is asked.
        url: The server's base address.
        key: The server's key.
        chat: How the model is spoken to; None where the tokenizer is not known.
    """

    def __init__(self, model: ServedModel, url: str, key: str, chat: ChatFormat | None) -> None:
        self._model, self._url, self._key, self._chat = model, url, key, chat
        self._fingerprint = model.fingerprint
        self._spending, self._payer = Spending(model.options), f"model `{model.name}`"
        self._manners = Manners()
        self._taken: frozenset[str] = frozenset()

    scores_choices = True
    remote = True

    @classmethod
    def check(cls, model: str, server: ServerOptions | None = None) -> None:
        """Look for the server's address. See `Backend.check`."""
        ServedModel.parse(model, server).address()

    @classmethod
    def puts_words(cls, model: str, server: ServerOptions | None = None) -> bool:
        """Only with the completions API. See `Backend.puts_words`."""
        return ServedModel.parse(model, server).api == "completions"

    @classmethod
    def identify(cls, model: str, server: ServerOptions | None = None) -> ModelFingerprint:
        """Identify a model without asking its server. See `Backend.identify`."""
        return ServedModel.parse(model, server).fingerprint

    @classmethod
    def load(cls, model: str, server: ServerOptions | None = None) -> OpenAIBackend:
        """Find the address, the key and the tokenizer; the server is asked by `generate`. See `Backend.load`."""
        try:
            import openai  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                "Asking a server needs the package `openai`, which is not installed.",
                remedy="Install it with: pip install 'oldham[remote]'.",
            ) from error
        served = ServedModel.parse(model, server)
        url, key, tokenizer = served.address(), served.key(), served.options.tokenizer
        return cls(served, url, key, None if tokenizer is None else chat_format(tokenizer))

    @property
    def fingerprint(self) -> ModelFingerprint:
        """What answers."""
        return self._fingerprint

    @property
    def batch_size(self) -> int:
        """Requests a batch: four for each that the server takes at a time."""
        return 4 * self._model.options.concurrency

    @property
    def spent_usd(self) -> float:
        """US dollars spent so far, by the prices given; 0 without them."""
        return self._spending.spent

    def pay_from(self, spending: Spending, who: str) -> None:
        """Share a total and its cap. See `Backend.pay_from`."""
        self._spending, self._payer = spending, who

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Ask the server for every request at once, as far as `concurrency` allows. See `Backend.generate`.

        A row that the spending cap leaves out is an error row; the next batch, of which nothing could be asked, raises.
        """
        started = time.perf_counter()
        rows = _run(self._generate(requests))
        self._raise_if_hopeless([row.outcome for row in rows])
        wall, busy = time.perf_counter() - started, sum(row.seconds for row in rows) or 1.0
        return [
            self._failed(request, row.outcome, row.usd)
            if isinstance(row.outcome, Exception)
            else row.outcome.model_copy(update={"seconds": wall * row.seconds / busy})
            for request, row in zip(requests, rows, strict=True)
        ]

    async def _generate(self, requests: Sequence[Request]) -> list[_Row]:
        from oldham.backends.openai.server import Server

        gate = asyncio.Semaphore(self._model.options.concurrency)
        async with Server(self._url, self._key, self._model.options) as server:
            session = Session(server, self._model, self._spending, self._manners, self._taken)

            async def guarded(request: Request) -> _Row:
                async with gate:
                    return await self._row(session, request)

            first = 0 if session.taken else 1  # what the server takes is found out once, not by every row
            results = await _until_hopeless([guarded(request) for request in requests[:first]])
            results += await _until_hopeless([guarded(request) for request in requests[first:]], results)
            self._manners, self._taken = session.manners, session.taken
        hopeless = next((result for result in results if isinstance(result, ModelError)), None)
        return [_outcome(result, hopeless) for result in results]

    async def _row(self, session: Session, request: Request) -> _Row:
        started = time.perf_counter()
        with Purse(session.spending, request.payer or self._payer) as purse:
            try:
                made = await self._converse(Talk(session, request, purse), request)
            except RowError as error:
                return _Row(error, usd=purse.paid or None)
            return _Row(made, time.perf_counter() - started)

    async def _converse(self, talk: Talk, request: Request) -> Generation:
        if self._model.api == "completions" and self._chat is not None:
            return await CompletionsRow(talk, request, self._chat).generate(self._fingerprint)
        codec = None if self._chat is None else self._chat.codec
        count = None if codec is None else lambda text: len(codec.encode(text))
        return await converse(talk, request, self._fingerprint, count)

    def _raise_if_hopeless(self, outcomes: Sequence[Generation | Exception]) -> None:
        """Raise where nothing was generated, and nothing would be in the next batch either."""
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if len(errors) < len(outcomes) or not errors:
            return
        for error in errors:
            if isinstance(error, ModelError):
                raise error
        kinds = {error.kind: error for error in errors if isinstance(error, RowError)}
        if set(kinds) == {"cap"}:
            raise self._spending.reached()
        if "unreachable" in kinds:
            raise ModelError("The server cannot be reached.", place=self._url, remedy="Start it, or check the address.")
        if kinds.keys() <= {"refused", "unable"}:
            reason = next(iter(kinds.values())).reason
            raise ModelError(f"Nothing can be generated: {reason}.", place=self._url)

    def _failed(self, request: Request, error: Exception, usd: float | None) -> Generation:
        reason = error.reason if isinstance(error, RowError) else str(error)
        return failed(request, self._fingerprint, reason).model_copy(update={"usd": usd})


async def _until_hopeless(
    work: Sequence[Coroutine[Any, Any, T]], before: Sequence[T | BaseException] = ()
) -> list[T | BaseException]:
    """Return what each coroutine returned or raised; once one meets an error of the whole run, the rest are stopped."""
    tasks = [asyncio.create_task(part) for part in work]
    waiting = set() if any(isinstance(result, ModelError) for result in before) else set(tasks)
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if any(isinstance(task.exception(), ModelError) for task in done):
                break
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    return results


def _outcome(result: _Row | BaseException, hopeless: ModelError | None) -> _Row:
    if isinstance(result, _Row):
        return result
    if isinstance(result, asyncio.CancelledError) and hopeless is not None:
        return _Row(RowError("failed", f"not asked: {hopeless.message}"))
    if isinstance(result, ModelError):
        return _Row(result)
    raise result


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; inside a running event loop, such as a notebook's, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return _run_beside(work)


def _run_beside(work: Coroutine[Any, Any, T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []
    started = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = []

    async def main() -> T:
        task = asyncio.ensure_future(work)
        loops.append((asyncio.get_running_loop(), task))
        started.set()
        return await task

    def body() -> None:
        try:
            results.append(asyncio.run(main()))
        except BaseException as error:  # handed to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=body, name="oldham-openai")
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_BLINK_S)  # a wait without an end would not see Ctrl-C everywhere
    except KeyboardInterrupt:
        started.wait()
        loop, task = loops[0]
        with contextlib.suppress(RuntimeError):  # the loop may have come to its end by itself
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if errors:
        raise errors[0]
    return results[0]
