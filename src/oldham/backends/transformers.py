"""The in-process backend: transformers models, with token-level control of trace and answer."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from oldham.backends.base import Backend, backend_for, failed
from oldham.backends.chat import ChatFormat, TokenizerCodec, recorded
from oldham.backends.turns import Turn
from oldham.backends.weights import CODE_VERSION, chat_template, identify, locate
from oldham.core.errors import ConfigError, MissingDependencyError, ModelError, OldhamError, first_line
from oldham.core.records import Generation, ModelFingerprint, StopReason
from oldham.core.thinking import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from oldham.backends.base import Request, ServerOptions
    from oldham.backends.chat import Opening
    from oldham.backends.turns import TurnResult
    from oldham.backends.weights import ModelFiles
    from oldham.core.steering import SteeringSpec
    from oldham.engine.adapters import AdapterSwitch
    from oldham.engine.batching import BatchCounts, Batcher
    from oldham.engine.passes import PackedModel
    from oldham.engine.rows import Row
    from oldham.engine.static import StaticBatcher

_NAME: Final = f"transformers/{CODE_VERSION}"
_AT_ONCE: Final = 2048
_DEPENDENT: Final = (
    "On this machine a row's numbers may differ in their last bits with what shares its batch, and its text where two "
    "tokens are almost equally likely; so batches are cut from the whole plan."
)
_LONE: Final = (
    "Rows whose prompt and budgets take more than {} tokens are run one by one, which is slower: beyond that, this "
    "model encodes all positions of a pass differently."
)


class TransformersBackend(Backend):
    """A causal language model in this process, on the GPU where there is one.

    Use `load`; the constructor is for a model that is in memory already. `OLDHAM_DTYPE` sets the number format,
    `OLDHAM_BATCH` how many rows are run at a time, and `OLDHAM_KV_GIB` how much memory their keys and values may take.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        tokenizer: Its tokenizer.
        template: The text of its chat template.
        fingerprint: Its identity.
    """

    def __init__(self, model: Any, tokenizer: Any, template: str, fingerprint: ModelFingerprint) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._fingerprint = fingerprint
        self._codec = TokenizerCodec(tokenizer, _ending_tokens(model, tokenizer))
        self._chat = ChatFormat(tokenizer, template, self._codec)
        self.counts: BatchCounts | None = None
        """What was computed and what was shared so far; None before the first request, or in whole batches."""
        self._adapters: AdapterSwitch | None = None
        self._packed: PackedModel | None = None
        self._slow_because: str | None = None

    scores_choices = True
    goes_on = True

    @classmethod
    def identify(cls, model: str, server: ServerOptions | None = None) -> ModelFingerprint:
        """Identify a model without torch. See `Backend.identify`."""
        with _libraries():
            return identify(_located(model), _NAME)

    @classmethod
    def load(cls, model: str, server: ServerOptions | None = None) -> TransformersBackend:
        """Load a model. See `Backend.load`."""
        with _libraries():
            files = _located(model)
            known = identify(files, _NAME)
            template = chat_template(files.folder)
            from oldham.backends.loading import adapter_switch, load_model  # torch: seconds a wrong name need not wait
            from oldham.backends.tokenizers import load_tokenizer

            loaded = load_model(files, known.dtype)
            backend = cls(loaded, load_tokenizer(files.folder), template, known)
            backend._adapters = adapter_switch(loaded, files)
            return backend

    def switch(self, model: str, server: ServerOptions | None = None) -> bool:
        """Become another dose of the same base. See `Backend.switch`."""
        if self._adapters is None or backend_for(model) is not TransformersBackend:
            return False
        with _libraries():
            files = _located(model)
            known = identify(files, _NAME)
            from oldham.backends.loading import switch_adapters

            if known.dtype != self._fingerprint.dtype or not switch_adapters(self._adapters, files):
                return False
        self._fingerprint, self._packed, self._slow_because = known, None, None
        return True

    @property
    def fingerprint(self) -> ModelFingerprint:
        """What answers."""
        return self._fingerprint

    @property
    def batch_size(self) -> int:
        """Most rows at a time: `$OLDHAM_BATCH`, else 64, on a GPU 256; fewer where memory is short."""
        wish = os.environ.get("OLDHAM_BATCH")
        if not wish:
            return 64 if self.model.device.type == "cpu" else 256
        if not wish.isdecimal() or int(wish) < 1:
            raise ConfigError(f"`{wish}` is not a batch size.", place="OLDHAM_BATCH", remedy="Give a number from 1.")
        return int(wish)

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Generate in two phases, token by token. See `Backend.generate`.

        The turn's ending token stays in `output_ids` and is left out of `output_text`. Trace and answer are split where
        the machine closed the one and opened the other; a model that thinks where the answer should be has that split
        off by its markers.
        """
        places: dict[int, list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault(id(request), []).append(place)
        made: dict[int, Generation] = {}

        def done(request: Request, generation: Generation) -> tuple[Request, ...]:
            made[places[id(request)].pop()] = generation
            return ()

        self.answer(requests, done)
        return [made[place] for place in range(len(requests))]

    def answer(self, requests: Iterable[Request], done: Callable[[Request, Generation], Iterable[Request]]) -> None:
        """Generate for a queue of requests, continuously. See `Backend.answer`.

        Where it is `continuous`, a request's tokens depend neither on the order nor on what else is in the queue.
        """
        queue = iter(requests)
        told = _Told(done)
        while part := list(itertools.islice(queue, _AT_ONCE)):
            groups: dict[SteeringSpec | None, list[Request]] = {}
            for request in part:
                groups.setdefault(request.steering, []).append(request)
            for steering, group in groups.items():
                with self.steered(steering):
                    self._answer(group, told)
            if told.n_failed > 1 and not told.good:
                raise ModelError(f"The model cannot generate ({told.reason}).")

    @property
    def continuous(self) -> bool:
        """Whether rows do not depend on each other.

        They are fed side by side, and a sample that was run on this machine before the first request, alone and beside
        other rows, came out the same bit by bit.
        """
        self._pack()
        return self._packed is not None and self._packed.independent

    @property
    def remark(self) -> str | None:
        """Why all or some rows are run the slower way, and whether rows depend on their batch; None for neither."""
        self._pack()
        if self._packed is None:
            return self._slow_because
        steady = self._packed.steady
        longest = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 0
        told = [] if self._packed.independent else [_DEPENDENT]
        if longest > steady + 1:
            told.append(_LONE.format(steady))
        return " ".join(told) or None

    def _answer(self, requests: Sequence[Request], told: _Told) -> None:
        def finished(row: Row) -> list[Row]:
            request, opening = asked.pop(id(row))
            return rows_of(told(request, self._record(request, opening, row)))

        def rows_of(wanted: Iterable[Request]) -> list[Row]:
            rows, waiting = [], deque(wanted)
            while waiting:
                request = waiting.popleft()
                try:
                    opening = self._open(request)
                    row = self._row(request, opening)
                except Exception as error:  # a template raises whatever its author chose
                    waiting.extend(told(request, failed(request, self._fingerprint, first_line(error)), mine=False))
                    continue
                rows.append(row)
                asked[id(row)] = request, opening
            return rows

        asked: dict[int, tuple[Request, Opening]] = {}
        self._batcher().run(rows_of(requests), finished)

    def _batcher(self) -> Batcher | StaticBatcher:
        """Return what runs rows: continuously, or in whole batches where the model cannot be fed rows side by side."""
        from oldham.engine.batching import BatchCounts, Batcher, BatchOptions
        from oldham.engine.memory import kv_budget_gib
        from oldham.engine.static import StaticBatcher

        self._pack()
        if self._packed is None:
            return StaticBatcher(self.model, self._pad, self.batch_size)
        self.counts = self.counts or BatchCounts()
        options = BatchOptions(self.batch_size, kv_budget_gib(self.model.device))
        return Batcher(self._packed, options, self.counts)

    def _pack(self) -> None:
        """Find out, once, whether the model can be fed rows side by side."""
        from oldham.engine.errors import UnsupportedModelError
        from oldham.engine.passes import PackedModel

        if self._packed is None and self._slow_because is None:
            try:
                self._packed = PackedModel(self.model, self._pad)
            except UnsupportedModelError as error:
                self._slow_because = f"The model is run in whole batches, which is slower. {error.message}"

    @contextmanager
    def steered(self, steering: SteeringSpec | None) -> Iterator[None]:
        """Steer the model's forward passes.

        Args:
            steering: What an arm says; None for an arm that is not steered.

        Yields:
            Nothing; afterwards the model is as it was.

        Raises:
            ConfigError: There is no such direction or layer, or the direction's width is not the model's.
            UnsupportedModelError: The model's parts cannot be found.
        """
        if steering is None:
            yield
            return
        from oldham.engine.steering import steered

        with steered(self.model, steering):
            yield

    def close(self) -> None:
        """Free the model's memory."""
        import torch

        self.model = self._adapters = self._packed = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _open(self, request: Request) -> Opening:
        opening = self._chat.open(request.plan, request.rendering)
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        wanted = len(opening.ids) + opening.script.thinking_tokens + opening.script.answer_tokens
        if limit is not None and wanted > limit:
            raise ModelError(f"prompt and budgets take {wanted} tokens, and the model reads {limit}")
        return opening

    @property
    def _pad(self) -> int:
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    def _row(self, request: Request, opening: Opening) -> Row:
        from oldham.engine.rows import Row

        begin = partial(Turn.resumed, opening.script, self._codec, request.kept)
        begin()  # what is kept may not be a beginning of this turn, which is to be told before anything is computed
        ids = (*opening.ids, *request.kept)
        return Row(ids, begin, request.sampling, request.seed, opening.script.most_tokens)

    def _record(self, request: Request, opening: Opening, row: Row) -> Generation:
        if row.error is not None:
            return failed(request, self._fingerprint, row.error)
        assert isinstance(row.turn, Turn)
        result = row.turn.result()
        if request.plan.choices:
            try:
                return self._likelihoods(request, opening, result, row.seconds)
            except Exception as error:  # whatever it is, the other rows of the pass must not be lost
                return failed(request, self._fingerprint, f"the choices cannot be scored: {_unscored(error)}")
        return recorded(request, opening, result, self._fingerprint).model_copy(
            update={"seconds": row.seconds, "near_ties": row.near_ties}
        )

    def _likelihoods(self, request: Request, opening: Opening, result: TurnResult, seconds: float) -> Generation:
        """Score the plan's choices where the answer would begin: after everything but the one token drawn there."""
        started = time.perf_counter()
        ids = result.ids[:-1]
        text = self._codec.decode(ids)
        # A guard's template asks for a word, and its first token is that word's, without a space.
        space = "" if request.rendering is not None or (opening.text + text)[-1:].isspace() else " "
        choices = tuple(tuple(self._codec.encode(space + choice)) for choice in request.plan.choices)
        scores = self._scores((*opening.ids, *ids), choices)
        cut = replace(
            result,
            text=text,
            ids=ids,
            answer=Span(min(result.answer.start, len(text)), len(text)) if result.answer else None,
            answer_tokens=max(0, result.answer_tokens - 1),
            stop=StopReason.STOP,
        )
        spent = seconds + time.perf_counter() - started
        generation = recorded(request, opening, cut, self._fingerprint)
        return generation.model_copy(update={"seconds": spent, "choice_logprobs": scores})

    def _scores(self, read: Sequence[int], choices: Sequence[tuple[int, ...]]) -> tuple[float, ...]:
        from oldham.engine.errors import TooLittleMemoryError
        from oldham.engine.memory import kv_budget_gib
        from oldham.engine.packed import PackedOptions, Probe, read_packed

        probes = [Probe(len(read) - 1, tuple(read[-1:]), tuple(choices))]
        try:
            told = read_packed(self.model, read, probes)
        except TooLittleMemoryError:
            # Only now: in how many passes a text is read moves last bits, and should not be up to the machine.
            told = read_packed(self.model, read, probes, PackedOptions(memory_gib=kv_budget_gib(self.model.device)))
        return tuple(told.readings[0].candidates.tolist())


def _unscored(error: Exception) -> str:
    from oldham.engine.errors import TooLittleMemoryError
    from oldham.engine.memory import VARIABLE

    if isinstance(error, TooLittleMemoryError):
        return f"{error.message} `{VARIABLE}` sets how much is allowed."
    return error.message if isinstance(error, OldhamError) else first_line(error)


class _Told:
    """Hands generations on, and counts whether the model can generate at all.

    Args:
        done: Who is told.
    """

    def __init__(self, done: Callable[[Request, Generation], Iterable[Request]]) -> None:
        self.done = done
        self.good = self.n_failed = 0
        self.reason = ""

    def __call__(self, request: Request, generation: Generation, *, mine: bool = True) -> Iterable[Request]:
        """Tell of one; `mine` is False where it did not come to the model's generating anything."""
        if mine and generation.stop is StopReason.ERROR:
            self.n_failed += 1
            self.reason = generation.error or "no reason given"
        else:
            self.good += 1
        return self.done(request, generation)


@contextmanager
def _libraries() -> Iterator[None]:
    """Name the extra where a model library is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"Running a model needs the package `{error.name}`, which is not installed.",
            remedy="Install it with: pip install 'oldham[local]'.",
        ) from error


def _located(model: str) -> ModelFiles:
    try:
        return locate(model)
    except ModelError as error:
        raise ModelError(error.message, place=error.place or f"model `{model}`", remedy=error.remedy) from error


def _ending_tokens(model: Any, tokenizer: Any) -> set[int]:
    configured = model.generation_config.eos_token_id
    several = configured if isinstance(configured, list) else [configured]
    return {int(token) for token in (*several, tokenizer.eos_token_id) if token is not None}
