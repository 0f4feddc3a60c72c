"""The contracts of the factors a prompt is made of, and their registries.

A prompt is a point in a product of factors: a reasoning strategy, a safety clause and its position, demonstrations, an
output structure, a system prompt and the language of the scaffold. Each is a component of its own, so that one can be
varied while the others stay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from oldham.core.records import Generation, PromptPlan, Record
from oldham.core.registry import Registry

if TYPE_CHECKING:
    from oldham.core.records import Item, Message, Sampling

Position = Literal["system", "before", "after", "around", "trace"]
"""Where a safety clause stands: in the system prompt, before, after or around the request, or opening the trace."""


class PromptOptions(Record):
    """The prompt side of an arm: its level on every factor."""

    strategy: str = "direct"
    """Registered reasoning strategy."""
    safety: str | None = None
    """Registered safety clause, None without one."""
    safety_position: Position | None = None
    """Where the clause stands; None takes its published place."""
    thinking_tokens: int | None = Field(default=None, ge=0)
    """Thinking budget; None takes the strategy's own, 0 closes the trace at once."""
    answer_tokens: int = Field(default=256, ge=1)
    """Most tokens an answer may take."""
    demonstrations: int = Field(default=4, ge=0, le=64)
    """How many worked examples a few-shot strategy shows."""
    demonstration_source: str = "arithmetic"
    """Registered source of worked examples."""
    demonstration_order: int = Field(default=0, ge=0)
    """0 shows the examples in their source's order; any other number is the seed of a shuffle."""
    rationale: bool = True
    """Whether worked examples show their reasoning, or the answer alone."""
    system: str | None = None
    """System prompt; None leaves the chat template's own."""
    structure: str = "free"
    """Registered output structure."""
    language: str = "en"
    """Language of the scaffold (ISO 639-1); the item itself is never translated."""
    samples: int = Field(default=5, ge=2, le=64)
    """How many traces self-consistency samples."""
    breadth: int = Field(default=3, ge=2, le=8)
    """How many thoughts a tree of thoughts compares at each depth."""
    depth: int = Field(default=2, ge=1, le=8)
    """How many thoughts deep a tree of thoughts goes, and into how many parts least-to-most cuts at most."""
    rounds: int = Field(default=1, ge=1, le=8)
    """How often an answer is refined, or a closed trace is opened again."""


class OtherModel(NamedTuple):
    """A model that is not the arm's and that a call is put to."""

    name: str
    """Its name among the study's attackers."""
    sampling: Sampling
    """How its tokens are drawn."""
    seed: int
    """With the call's label it decides the draws. It is the attack's and not the trial's, so that every arm meets the
    same writing where the same is asked."""
    remark: Callable[[Generation], str] | None = None
    """Says in a word what became of its reply, which the label of the call then carries: `attacker 2 (refused)`; an
    empty word for nothing worth saying."""


class Call(NamedTuple):
    """One call of a strategy of several calls, or of an attack."""

    label: str
    """What it is for, unique within the program: `draft`, `feedback 1`."""
    plan: PromptPlan
    """What to say and how to think."""
    answers: bool = False
    """Whether it begins the turn that answers, as a first piece of its trace does; such a call is asked for the output
    structure too, which the others are not."""
    to: OtherModel | None = None
    """Who is asked; None for the arm's model."""
    canned: str | None = None
    """What a dry run takes for its reply; None for the usual one."""


Program = Generator[list[Call], list[Generation], PromptPlan | Generation]
"""A strategy, or an attack on an arm, as a small program: it yields the calls it needs next, is sent their generations
in the same order, and returns the plan of the call that answers. It draws no random numbers and reads nothing else but
what a judge says of them, so that the same generations always lead to the same calls. A plan with a `trace_prefix` goes
on with the trace of the latest call; it is sent a generation in which trace and token counts cover all pieces so far.

An attack of several tries returns one of the generations that it was sent: that try is the answer, and nothing more is
asked."""


class Strategy(ABC):
    """A way of asking for reasoning. It treats every axis alike, so that only the way of reasoning differs.

    A strategy of one call implements `plan`; one of several also overrides `program`.
    """

    name: ClassVar[str]
    """The registered name."""
    thinks: ClassVar[bool]
    """Whether a trace with room to reason comes before the answer; an empty or ready-made one gives none."""
    default_thinking_tokens: ClassVar[int]
    """The thinking budget when the arm names none; 0 for a strategy that does not think."""
    uses: ClassVar[frozenset[str]] = frozenset()
    """Options it reads beside the budgets, such as `demonstrations`; an arm may not set others of its kind."""
    votes: ClassVar[bool] = False
    """Whether `samples` generations of a cell make one answer; see `oldham.studies.votes`."""

    @abstractmethod
    def plan(self, item: Item, options: PromptOptions) -> PromptPlan:
        """Wrap an item.

        Args:
            item: What is asked.
            options: The arm's prompt settings.

        Returns:
            Messages and trace settings of the call that answers, or of the first call of several. Clause, structure and
            system prompt are not applied yet; budgets that it does not set are filled in later.
        """

    def program(self, item: Item, options: PromptOptions) -> Program:
        """Return the calls this strategy makes; by default the one of `plan`.

        Args:
            item: What is asked.
            options: The arm's prompt settings.
        """
        yield from ()
        return self.plan(item, options)


class SafetyClause(ABC):
    """A safety instruction around the user's request."""

    name: ClassVar[str]
    """The registered name."""
    positions: ClassVar[tuple[Position, ...]]
    """Where it can stand, its published place first."""
    neutral: ClassVar[str | None]
    """Registered name of the neutral clause of the same length and form that tells its content from its length; None
    for a neutral clause itself."""

    @abstractmethod
    def apply(self, plan: PromptPlan, position: Position, language: str = "en") -> PromptPlan:
        """Return the plan with the clause in it; the reasoning side stays as it is.

        Args:
            plan: What a strategy made of an item, the system prompt in it.
            position: One of `positions`.
            language: Language of the clause.
        """

    def opening(self, item: Item, language: str = "en") -> Message | None:
        """Return what the user says in a turn of its own before the request, None for a clause of one turn.

        The model's reply becomes part of the conversation that the strategy goes on with.

        Args:
            item: What is asked.
            language: Language of the clause.
        """
        return None


class Structure(ABC):
    """A form the output is asked to have."""

    name: ClassVar[str]
    """The registered name."""

    @abstractmethod
    def apply(self, plan: PromptPlan, language: str = "en") -> PromptPlan:
        """Return the plan with the form asked for.

        Args:
            plan: What a strategy made of an item.
            language: Language of the instruction.
        """

    @abstractmethod
    def example(self, rationale: str, answer: str, language: str = "en") -> str:
        """Return a worked example's reply in this form, so that examples end like the answer that is asked for.

        Args:
            rationale: The reasoning; empty to show the answer alone.
            answer: The bare answer.
            language: Language of the scaffold.
        """


class Demonstration(NamedTuple):
    """A question, the reasoning to its answer, and the answer."""

    question: str
    """As a user would ask it."""
    rationale: str
    """The reasoning, in words."""
    answer: str
    """The bare answer."""


class DemonstrationSource(ABC):
    """Worked examples to choose from."""

    name: ClassVar[str]
    """The registered name."""

    @abstractmethod
    def examples(self) -> tuple[Demonstration, ...]:
        """Return every example, always in the same order; the first k are shown.

        Raises:
            DataError: A file it reads is missing or changed.
        """


STRATEGIES: Registry[Strategy] = Registry("strategy", Strategy)  # type: ignore[type-abstract]
CLAUSES: Registry[SafetyClause] = Registry("clause", SafetyClause)  # type: ignore[type-abstract]
STRUCTURES: Registry[Structure] = Registry("structure", Structure)  # type: ignore[type-abstract]
DEMONSTRATIONS: Registry[DemonstrationSource] = Registry("demonstration", DemonstrationSource)  # type: ignore[type-abstract]
