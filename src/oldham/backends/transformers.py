"""The in-process backend: transformers models, with token-level control of trace and answer."""

from __future__ import annotations

import os
import random
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from oldham.backends.base import Backend, failed
from oldham.backends.chat import ChatFormat, TokenizerCodec, recorded
from oldham.backends.turns import Turn
from oldham.backends.weights import CODE_VERSION, chat_template, identify, locate
from oldham.core.errors import ConfigError, MissingDependencyError, ModelError
from oldham.core.records import Generation, ModelFingerprint, StopReason
from oldham.core.thinking import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oldham.backends.base import Request, ServerOptions
    from oldham.backends.chat import Opening
    from oldham.backends.decoding import Row
    from oldham.backends.turns import TurnResult
    from oldham.backends.weights import ModelFiles

_NAME: Final = f"transformers/{CODE_VERSION}"
_SMALL_MODEL: Final = 1_000_000_000


class TransformersBackend(Backend):
    """A causal language model in this process, on the GPU where there is one.

    Use `load`; the constructor is for a model that is in memory already. `OLDHAM_DTYPE` sets the number format and
    `OLDHAM_BATCH` the batch size.

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

    scores_choices = True

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
            from oldham.backends.loading import load_model  # torch: seconds a wrong name need not wait
            from oldham.backends.tokenizers import load_tokenizer

            return cls(load_model(files, known.dtype), load_tokenizer(files.folder), template, known)

    @property
    def fingerprint(self) -> ModelFingerprint:
        """What answers."""
        return self._fingerprint

    @property
    def batch_size(self) -> int:
        """Requests a batch: `$OLDHAM_BATCH`, else 64 for a model under 10⁹ parameters and 8 for a larger one."""
        wish = os.environ.get("OLDHAM_BATCH")
        if not wish:
            return 64 if self.model.num_parameters() < _SMALL_MODEL else 8
        if not wish.isdecimal() or int(wish) < 1:
            raise ConfigError(f"`{wish}` is not a batch size.", place="OLDHAM_BATCH", remedy="Give a number from 1.")
        return int(wish)

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Generate in two phases, token by token. See `Backend.generate`.

        The turn's ending token stays in `output_ids` and is left out of `output_text`. Trace and answer are split where
        the machine closed the one and opened the other; a model that thinks where the answer should be has that split
        off by its markers.
        """
        openings: dict[int, Opening] = {}
        done: dict[int, Generation] = {}
        for place, request in enumerate(requests):
            try:
                openings[place] = self._open(request)
            except Exception as error:  # a template raises whatever its author chose
                done[place] = failed(request, self._fingerprint, _first_line(error))
        order = sorted(openings, key=lambda place: len(openings[place].ids))
        size = self.batch_size
        for start in range(0, len(order), size):
            places = order[start : start + size]
            done |= self._batch([(place, requests[place], openings[place]) for place in places])
        return [done[place] for place in range(len(requests))]

    def close(self) -> None:
        """Free the model's memory."""
        import torch

        self.model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _open(self, request: Request) -> Opening:
        opening = self._chat.open(request.plan, request.rendering)
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        wanted = len(opening.ids) + opening.script.thinking_tokens + opening.script.answer_tokens
        if limit is not None and wanted > limit:
            raise ModelError(f"prompt and budgets take {wanted} tokens, and the model reads {limit}")
        return opening

    def _batch(self, work: list[tuple[int, Request, Opening]]) -> dict[int, Generation]:
        """Generate one batch; where memory runs out, in two halves."""
        from oldham.backends.decoding import decode

        rows = [self._row(request, opening) for _, request, opening in work]
        started = time.perf_counter()
        try:
            decode(self.model, rows, self._pad)
        except (RuntimeError, MemoryError) as error:  # torch reports a lack of memory as either
            if len(work) == 1:
                place, request, _ = work[0]
                return {place: failed(request, self._fingerprint, _first_line(error))}
            middle = len(work) // 2
            halves = self._batch(work[:middle]) | self._batch(work[middle:])
            if all(generation.stop is StopReason.ERROR for generation in halves.values()):
                raise ModelError(f"The model cannot generate ({_first_line(error)}).") from error
            return halves
        elapsed = time.perf_counter() - started
        tokens = [len(row.prompt) + len(row.turn.ids) for row in rows]
        return {
            place: self._record(request, opening, row, elapsed * own / sum(tokens))
            for (place, request, opening), row, own in zip(work, rows, tokens, strict=True)
        }

    @property
    def _pad(self) -> int:
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    def _row(self, request: Request, opening: Opening) -> Row:
        from oldham.backends.decoding import Row

        turn = Turn(opening.script, self._codec)
        stream = random.Random(request.seed)  # noqa: S311 (a draw, not a secret)
        return Row(opening.ids, turn, request.sampling, stream)

    def _record(self, request: Request, opening: Opening, row: Row, seconds: float) -> Generation:
        if row.error is not None:
            return failed(request, self._fingerprint, row.error)
        result = row.turn.result()
        if request.plan.choices:
            return self._likelihoods(request, opening, result, seconds)
        return self._generation(request, opening, result, seconds)

    def _likelihoods(self, request: Request, opening: Opening, result: TurnResult, seconds: float) -> Generation:
        """Score the plan's choices where the answer would begin: after everything but the one token drawn there."""
        from oldham.backends.likelihood import score_choices

        started = time.perf_counter()
        ids = result.ids[:-1]
        text = self._codec.decode(ids)
        # A guard's template asks for a word, and its first token is that word's, without a space.
        space = "" if request.rendering is not None or (opening.text + text)[-1:].isspace() else " "
        choices = [self._codec.encode(space + choice) for choice in request.plan.choices]
        scores = score_choices(self.model, (*opening.ids, *ids), choices, self._pad)
        cut = replace(
            result,
            text=text,
            ids=ids,
            answer=Span(min(result.answer.start, len(text)), len(text)) if result.answer else None,
            answer_tokens=max(0, result.answer_tokens - 1),
            stop=StopReason.STOP,
        )
        generation = self._generation(request, opening, cut, seconds + time.perf_counter() - started)
        return generation.model_copy(update={"choice_logprobs": scores})

    def _generation(self, request: Request, opening: Opening, result: TurnResult, seconds: float) -> Generation:
        return recorded(request, opening, result, self._fingerprint).model_copy(update={"seconds": seconds})


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


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
