"""Judges by the names that users write, and the models that some of them ask."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, model_validator

from oldham.backends.base import Request, ServerOptions, backend_for, failed
from oldham.backends.openai.spending import Spending
from oldham.core.errors import ConfigError, ModelError
from oldham.core.fingerprint import fingerprint
from oldham.core.records import Record, Sampling, StopReason, Trial
from oldham.judges.asking import ModelJudge
from oldham.judges.base import JUDGES
from oldham.judges.rules import offline_judge
from oldham.studies.costs import Bill

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.backends.base import Backend
    from oldham.core.records import Generation, ModelFingerprint
    from oldham.judges.asking import JudgeCall
    from oldham.judges.base import Judge

_BATCHES_AT_ONCE: Final = 2
"""Batches of a judge's model between two writes to the ledger: a kill loses what was asked since the last one."""


class JudgeSpec(Record):
    """A judge as a study file or a command names it: `NAME`, `NAME@MODEL`, or a mapping with these keys."""

    judge: str = Field(min_length=1)
    """Its registered name; in a study file also `rules`."""
    model: str | None = None
    """The model it asks, named as in an arm; None for a judge that asks none."""
    server: str | None = None
    """Name of the study's server that answers for the model."""

    @classmethod
    def parse(cls, text: str) -> JudgeSpec:
        """Take `NAME` or `NAME@MODEL` apart.

        Args:
            text: What the user wrote; a model's name may hold further `@`.

        Raises:
            ConfigError: A part is empty.
        """
        try:
            return cls(**_parts(text))
        except ValueError as error:
            raise ConfigError(
                f"`{text}` names no judge.", remedy="Write NAME, or NAME@MODEL for one that asks a model."
            ) from error

    @property
    def label(self) -> str:
        """What the judge's verdicts will be called."""
        return self.judge if self.model is None else f"{self.judge}@{self.model}"

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return _parts(value) if isinstance(value, str) else value


class Grader:
    """A model that judges ask: an `Asker`. It is loaded by the first question and kept until `close`.

    Decoding is greedy. A question is a trial of its own, whose identity is the prompt, the trial that is judged, the
    span, and which attempt it is.

    Args:
        model: Its name as in a study file.
        server: How it is reached; None for a model that needs no server.
    """

    def __init__(self, model: str, server: ServerOptions | None = None) -> None:
        self._model, self._server = model, server
        self._backend: Backend | None = None
        self._answered = False
        self._trouble: ModelError | None = None
        self.bill = Bill()
        """What it was asked so far."""
        self.spending = None if server is None else Spending(server)
        """What is spent on its server; a run puts the total here that other models of the server share."""

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    @property
    def server(self) -> ServerOptions | None:
        """How it is reached."""
        return self._server

    @property
    def usd(self) -> float:
        """What its replies cost so far, on a server whose prices are known."""
        return self.bill.usd or 0.0

    @cached_property
    def fingerprint(self) -> ModelFingerprint:
        """The model's identity, known without loading it."""
        return backend_for(self._model).identify(self._model, self._server)

    @property
    def is_remote(self) -> bool:
        """Whether a server answers, so that loading the model takes no memory here."""
        return backend_for(self._model).remote

    def check(self) -> None:
        """See `Backend.check`."""
        backend_for(self._model).check(self._model, self._server)

    @property
    def rows_at_once(self) -> int:
        """How many generations are best judged between two writes; loads the model."""
        return _BATCHES_AT_ONCE * self._loaded().batch_size

    def ask(self, calls: Sequence[JudgeCall]) -> list[Generation]:
        """Carry calls out, in batches of similar length. See `Asker.ask`.

        Replies may have been paid for, so what fails after some came is error rows, the retries of those replies among
        them, and the next call raises.

        Raises:
            ModelError: The model cannot be loaded, or nothing can be asked.
        """
        if self._trouble is not None and not all(call.attempt for call in calls):
            raise self._trouble
        if not calls:
            return []
        backend = self._loaded()
        requests = [_request(call, self.fingerprint) for call in calls]
        order = sorted(range(len(calls)), key=lambda place: -sum(len(m.content) for m in calls[place].plan.messages))
        replies: dict[int, Generation] = {}
        for start in range(0, len(order), backend.batch_size):
            places = order[start : start + backend.batch_size]
            replies |= zip(places, self._generate(backend, [requests[place] for place in places]), strict=True)
        return [replies[place] for place in range(len(calls))]

    def close(self) -> None:
        """Free the model's memory; the next question loads it again."""
        if self._backend is not None:
            self._backend.close()
        self._backend, self._answered, self._trouble = None, False, None

    def _loaded(self) -> Backend:
        if self._backend is None:
            self._backend = backend_for(self._model).load(self._model, self._server)
            if self.spending is not None:  # which outlives the backend, so that the cap is not counted anew
                self._backend.pay_from(self.spending, f"judges' model `{self._model}`")
            if self._backend.fingerprint != self.fingerprint:
                self.close()
                raise ModelError(
                    f"The model `{self._model}` changed while it was loaded.", remedy="Give the command again."
                )
        return self._backend

    def _generate(self, backend: Backend, requests: Sequence[Request]) -> list[Generation]:
        if self._trouble is not None:
            return [failed(request, self.fingerprint, self._trouble.message) for request in requests]
        try:
            replies = backend.generate(requests)
        except ModelError as error:
            if not self._answered:
                raise
            self._trouble = error
            return [failed(request, self.fingerprint, error.message) for request in requests]
        self._answered = self._answered or any(reply.stop is not StopReason.ERROR for reply in replies)
        for reply in replies:
            self.bill.add(reply)
        return replies


class Graders:
    """The models of several judges, each there once, so that judges of one model load it once."""

    def __init__(self) -> None:
        self._known: list[Grader] = []

    def of(self, model: str, server: ServerOptions | None) -> Grader:
        """Return the grader of a model on a server.

        Args:
            model: Its name.
            server: How it is reached.
        """
        for grader in self._known:
            if (grader.model, grader.server) == (model, server):
                return grader
        made = Grader(model, server)
        made.spending = next((g.spending for g in self._known if g.server == server), made.spending)
        self._known.append(made)
        return made


def with_model(spec: JudgeSpec, model: str | None) -> JudgeSpec:
    """Give a model to a judge that asks one and names none.

    Args:
        spec: Any judge.
        model: The model's name; None for none.

    Raises:
        UnknownNameError: There is no such judge.
    """
    if model is None or spec.model is not None or not issubclass(JUDGES.get(spec.judge), ModelJudge):
        return spec
    return spec.model_copy(update={"model": model})


def make_judge(spec: JudgeSpec, server: ServerOptions | None = None, *, graders: Graders | None = None) -> Judge:
    """Return a judge that is ready: one that asks a model, with its model, or an offline one.

    Args:
        spec: Its name and its model's.
        server: How the model is reached.
        graders: Where judges that are made one after the other find the model they share.

    Raises:
        UnknownNameError: There is no such judge; the remedy names the nearest.
        ConfigError: It asks a model and none is named, or asks none and one is; or the model cannot tell how likely the
            words are that it asks about.
        ModelError: There is no such model.
    """
    kind = JUDGES.get(spec.judge)
    if not issubclass(kind, ModelJudge):
        if spec.model is not None:
            raise ConfigError(
                f"The judge `{spec.judge}` asks no model, and `{spec.model}` is named for it.",
                remedy=f"Write {spec.judge} alone.",
            )
        return offline_judge(spec.judge)
    if spec.model is None:
        return offline_judge(spec.judge)  # which says what to write
    if kind.choices and not backend_for(spec.model).scores_choices:
        raise ConfigError(
            f"The judge `{spec.judge}` asks how likely given words are, and `{spec.model}` cannot tell.",
            remedy=f"Take a model in process or of a server of completions, such as {spec.judge}@hf:{kind.base_model}.",
        )
    judge = kind((graders or Graders()).of(spec.model, server))
    assert judge.fingerprint  # a model that does not exist is told now, and not when it is first asked
    return judge


def graders_of(judges: Iterable[Judge]) -> list[Grader]:
    """Return the models that judges ask, each once, in the order of the judges.

    Args:
        judges: Any judges.
    """
    found = [j.asker for j in judges if isinstance(j, ModelJudge) and isinstance(j.asker, Grader)]
    return list({id(grader): grader for grader in found}.values())


def _parts(text: str) -> dict[str, str | None]:
    name, at, model = (part.strip() for part in text.partition("@"))
    if not name or (at and not model):
        raise ValueError(f"`{text}` names no judge; write NAME, or NAME@MODEL for one that asks a model")
    return {"judge": name, "model": model or None}


def _request(call: JudgeCall, model: ModelFingerprint) -> Request:
    trial = Trial(
        arm="judge",
        arm_fingerprint=fingerprint("judge call", [call.plan, call.rendering, model.fingerprint]),
        benchmark="judging",
        item=f"{call.about}/{call.span}",
        item_fingerprint=call.about,
        draw=call.attempt,
    )
    return Request(trial, call.plan, Sampling(), rendering=call.rendering)
