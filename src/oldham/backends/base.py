"""The backend contract, its registry, and the model names users write."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, JsonValue

from oldham.core.errors import ConfigError
from oldham.core.fingerprint import derive_seed
from oldham.core.records import Generation, Record, StopReason
from oldham.core.registry import Registry
from oldham.core.thinking import ThinkingState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from oldham.backends.chat import ChatFormat
    from oldham.backends.openai.spending import Spending
    from oldham.core.records import ModelFingerprint, PromptPlan, Sampling, Trial
    from oldham.core.rendering import Rendering
    from oldham.core.steering import SteeringSpec


@dataclass(frozen=True, slots=True)
class Request:
    """One trial, ready to be generated."""

    trial: Trial
    """What it is for; carries the seed."""
    plan: PromptPlan
    """What to say and how to think."""
    sampling: Sampling
    """How to draw tokens."""
    call: str = ""
    """Which call of a strategy of several calls it is; empty for the one that answers."""
    to: str | None = None
    """Which of the study's attackers is asked; None for the arm's model. It decides who answers and who pays."""
    attacker_seed: int | None = None
    """Where an attacker's stream of randomness starts, the same for every arm; None for the trial's own."""
    rendering: Rendering | None = None
    """What the chat template is given, or what takes its place. With one, all of the conversation must stand in the
    rendered prompt, and the conversation may end in a turn of the assistant, which is then read and not gone on with.
    None for a plain chat."""
    steering: SteeringSpec | None = None
    """What is done to the model's hidden states meanwhile; None for nothing."""
    kept: tuple[int, ...] = ()
    """The first tokens of the output, which are there already; only for backends that `goes_on`."""

    @property
    def changes_template(self) -> bool:
        """Whether the model's own chat template, as it is, would not do."""
        return self.rendering is not None and bool(self.rendering.template is not None or self.rendering.variables)

    @property
    def payer(self) -> str | None:
        """Who pays where that is not the model's usual payer: the attacker that is asked."""
        return None if self.to is None else f"attacker `{self.to}`"

    @property
    def seed(self) -> int:
        """The call's own seed, in [0, 2**63): the trial's for the call that answers, an attacker's for its calls."""
        if self.attacker_seed is not None:
            return derive_seed("attacker", self.attacker_seed, self.call)
        return derive_seed("call", self.trial.fingerprint, self.call) if self.call else self.trial.seed


class ServerOptions(Record):
    """How a server is reached and what it may cost; only `api`, `tokenizer` and `extra_body` change what is asked."""

    url: str | None = None
    """Base address, such as `http://127.0.0.1:8000/v1`."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; keys never stand in a study."""
    api: Literal["auto", "completions", "chat"] = "auto"
    """`completions` sends the exact prompt and needs `tokenizer`; `chat` leaves the template to the server; `auto` is
    the first where `tokenizer` is given."""
    tokenizer: str | None = None
    """Model whose tokenizer and chat template the server uses: `smollm2`, `hf:ORG/NAME` or `path:DIR`."""
    concurrency: int = Field(default=8, ge=1, le=512)
    """Most requests at a time."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Seconds before a request is given up and tried again."""
    retries: int = Field(default=5, ge=0, le=20)
    """How often a request is tried again after 429, 5xx, a timeout, a cut connection or an answer that is none."""
    usd_per_million_read: float | None = Field(default=None, ge=0)
    """Price of a million prompt tokens."""
    usd_per_million_written: float | None = Field(default=None, ge=0)
    """Price of a million generated tokens."""
    cap_usd: float | None = Field(default=None, gt=0)
    """A run stops before it spends more than this through one entry of `servers:`, counted anew by each run; needs both
    prices. The models of arms, attackers and judges and the checks before the first batch all count towards it. Entries
    that are alike in everything are one; others of the same `url` have caps of their own."""
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    """Fields added to every request, such as `chat_template_kwargs`; part of the model's identity."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model name, taken apart: `[backend:]name[+adapter]`.

    `smollm2` and `smollm2-aligned` are aliases; `hf:ORG/NAME` is a hub id, `path:DIR` a local folder, and `+adapter`
    adds a LoRA adapter from a local folder (or a shipped one by name). After `openai:`, `inspect:` and `replay:`
    everything is the name, for a served name or a path may hold `+` and `:`.
    """

    scheme: str
    """`alias`, `hf`, `path`, or another backend's registered name."""
    name: str
    """What follows the scheme."""
    adapter: str | None
    """Folder or name of the adapter."""

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """Take a model name apart.

        Args:
            text: What the user wrote.

        Raises:
            ConfigError: The name is empty or has an empty part.
        """
        if text.strip().startswith(("openai:", "inspect:", "replay:")):
            head, plus, adapter = text.strip(), "", ""
        else:
            head, plus, adapter = text.strip().partition("+")
        scheme, colon, name = head.partition(":")
        if not colon:
            scheme, name = "alias", head
        if not name.strip() or not scheme.strip() or (plus and not adapter.strip()):
            raise ConfigError(
                f"`{text}` is not a model name.",
                remedy="Write smollm2, hf:ORG/NAME or path:DIR, each with an optional +ADAPTER.",
            )
        return cls(scheme.strip(), name.strip(), adapter.strip() or None)


class Backend(ABC):
    """Generates for one model."""

    scores_choices: ClassVar[bool] = False
    """Whether it can tell how likely given answers are; where it cannot, such requests become error rows."""
    goes_on: ClassVar[bool] = False
    """Whether it can go on after output tokens that are there already."""
    remote: ClassVar[bool] = False
    """Whether a server answers, so that loading takes no memory here."""

    @classmethod
    def check(cls, model: str, server: ServerOptions | None = None) -> None:
        """Raise what can be known to be wrong before anything is loaded or asked; by default nothing.

        `identify` does not need to know how a model is reached, since a finished run is read without its server;
        whoever is about to ask it calls this first.

        Args:
            model: A model name as in a study file.
            server: How to reach it.

        Raises:
            ConfigError: It cannot be reached as it is described.
        """
        return None

    @classmethod
    def puts_words(cls, model: str, server: ServerOptions | None = None) -> bool:
        """Say whether words can be put at the start of an answer, as the attacks do that need `prefill`.

        Args:
            model: A model name as in a study file.
            server: How to reach it.

        Raises:
            ConfigError: The name or the server's options cannot be meant.
        """
        return True

    @classmethod
    @abstractmethod
    def identify(cls, model: str, server: ServerOptions | None = None) -> ModelFingerprint:
        """Return a model's fingerprint without loading its weights into memory.

        Planning and the instant second run need identity only.

        Args:
            model: A model name as in a study file.
            server: How to reach it, for a backend that asks a server; others take no notice.

        Raises:
            ModelError: There is no such model.
        """

    @classmethod
    @abstractmethod
    def load(cls, model: str, server: ServerOptions | None = None) -> Backend:
        """Load a model.

        Args:
            model: A model name as in a study file.
            server: How to reach it, for a backend that asks a server; others take no notice.

        Raises:
            ModelError: There is no such model, or it cannot be loaded.
        """

    @property
    @abstractmethod
    def fingerprint(self) -> ModelFingerprint:
        """What answers; equal to `identify` of the same name."""

    @property
    @abstractmethod
    def batch_size(self) -> int:
        """How many requests `generate` takes best in one call."""

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Generate one batch, in two phases where the plan thinks.

        Args:
            requests: Any number of requests; mixed plans are fine.

        Returns:
            One generation for each request, in the same order. A row that fails is a generation with stop reason
            `error`; the others are unaffected.

        Raises:
            ModelError: Nothing can be generated at all.
        """

    def pay_from(self, spending: Spending, who: str) -> None:
        """Count what is spent towards a total that other models of the server share, and keep to its cap.

        By default nothing, for what costs nothing.

        Args:
            spending: The total.
            who: Who pays, but for what an attacker is asked; see `Request.payer`.
        """
        return None

    def switch(self, model: str, server: ServerOptions | None = None) -> bool:
        """Become another model without loading; False where that cannot be done.

        After True, `fingerprint` is the other model's, and what is generated is what it would generate freshly loaded.
        After False, nothing has changed.

        Args:
            model: A model name as in a study file.
            server: How to reach it, for a backend that asks a server; others take no notice.

        Raises:
            ModelError: There is no such model.
        """
        return False

    def answer(self, requests: Iterable[Request], done: Callable[[Request, Generation], Iterable[Request]]) -> None:
        """Generate for a whole queue of requests, in whatever order is fastest.

        Args:
            requests: What to generate.
            done: Called with each request and its generation as soon as there is one; returns requests that are to
                follow. A row that failed is a generation with stop reason `error`.

        Raises:
            ModelError: Nothing can be generated any more; what was generated before has been given to `done`.
        """
        waiting = deque(requests)
        while waiting:
            batch = [waiting.popleft() for _ in range(min(self.batch_size, len(waiting)))]
            for request, generation in zip(batch, self.generate(batch), strict=True):
                waiting.extend(done(request, generation))

    @property
    def continuous(self) -> bool:
        """Whether rows come one by one and do not depend on what else is generated.

        A run may then ask for any part of what is planned and store any part of what came.
        """
        return False

    @property
    def remark(self) -> str | None:
        """What a user should know about how this model is run, in one sentence; None where there is nothing."""
        return None

    def close(self) -> None:
        """Free the model's memory."""
        return None


BACKENDS: Registry[Backend] = Registry("backend", Backend)  # type: ignore[type-abstract]

BACKENDS.register(
    "transformers",
    "oldham.backends.transformers:TransformersBackend",
    summary="In process, on the CPU or a GPU, with token-level control of trace and answer.",
    citation="https://github.com/huggingface/transformers",
)
BACKENDS.register(
    "openai",
    "oldham.backends.openai.backend:OpenAIBackend",
    summary="Any OpenAI-compatible server: vLLM, SGLang, llama.cpp, transformers serve, hosted models.",
    citation="https://platform.openai.com/docs/api-reference",
)
BACKENDS.register(
    "inspect",
    "oldham.backends.inspect_backend:InspectBackend",
    summary="Any provider that Inspect knows, over chat.",
    citation="UK AI Security Institute, inspect.aisi.org.uk",
)
BACKENDS.register(
    "replay",
    "oldham.backends.replay:ReplayBackend",
    summary="Stored outputs of a run or a JSONL file, by benchmark, item, attack and draw.",
    citation="this project",
)
BACKENDS.register(
    "scripted",
    "oldham.backends.scripted:ScriptedBackend",
    summary="Answers by rule, without a model: for tests, dry runs and demonstrations of the pipeline.",
    citation="this project",
)


def backend_for(model: str) -> type[Backend]:
    """Return the backend class that answers for a model name.

    Args:
        model: A model name as in a study file; `alias`, `hf` and `path` belong to `transformers`, any other scheme is
            a registered backend's name.

    Raises:
        ConfigError: The name cannot be taken apart, or its scheme is unknown.
    """
    scheme = ModelSpec.parse(model).scheme
    return BACKENDS.get("transformers" if scheme in ("alias", "hf", "path") else scheme)


def failed(request: Request, model: ModelFingerprint, reason: str) -> Generation:
    """Return the generation of a request that came to nothing.

    Args:
        request: What was asked.
        model: Who was asked.
        reason: Why nothing came of it, in one line.
    """
    return Generation(
        trial=request.trial,
        prompt_text="",
        prompt_ids=(),
        output_text="",
        output_ids=(),
        trace=None,
        answer=None,
        thinking_state=ThinkingState.NONE,
        trace_stop=None,
        stop=StopReason.ERROR,
        error=reason,
        requested_thinking_tokens=request.plan.thinking_tokens if request.plan.thinks else 0,
        realised_thinking_tokens=None,
        prompt_tokens=None,
        trace_tokens=None,
        answer_tokens=None,
        model=model,
        sampling=request.sampling,
        seed=request.seed,
        seconds=None,
    )


def chat_format_of(model: str, server: ServerOptions | None = None) -> ChatFormat | None:
    """Return how a model is spoken to, without loading it; None where only its server knows.

    Args:
        model: A model name as in a study file.
        server: How it is reached, None without a server.

    Raises:
        ModelError: There is no such model, or its tokenizer cannot be loaded.
    """
    own = ModelSpec.parse(model).scheme in ("alias", "hf", "path")
    theirs = None if server is None or server.api == "chat" else server.tokenizer
    name = model if own else theirs
    if name is None:
        return None
    from oldham.backends.chat_formats import chat_format  # transformers: seconds that other backends need not wait

    return chat_format(name)
