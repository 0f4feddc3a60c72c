"""Arms: what a study file may say of one, and what it is with every default filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from oldham.core.errors import ConfigError, DataError, UnknownNameError
from oldham.core.outcomes import Axis
from oldham.core.records import Item, Sampling
from oldham.core.steering import SteeringSpec  # noqa: TC001 (pydantic reads the annotation)
from oldham.prompts.base import STRATEGIES, PromptOptions
from oldham.prompts.build import dry_run
from oldham.studies.trained_runs import TrainedDose  # noqa: TC001 (a named tuple's annotation is read at run time)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import JsonValue

PROBES: Final = tuple(
    Item(
        id=f"probe-{kind}",
        benchmark="probe",
        axis=Axis.REASONING,
        cluster="probe",
        category="probe",
        prompt="{prompt}",
        context=context,
    )
    for kind, context in (("plain", None), ("context", "{context}"))
)
"""Fixed items: what an arm's settings make of them identifies the arm."""

Vote = Literal["mean", "worst", "majority"]
"""How several samples of a cell become one observation; see `oldham.studies.votes`."""


class ArmSpec(PromptOptions, Sampling):
    """The settings of one arm; in `defaults` the settings of every arm that does not say otherwise.

    Its keys are those of `PromptOptions` and `Sampling`, and these. What an arm leaves out is the default's;
    `answer_tokens` is the study's.
    """

    model: str | None = None
    """Model name: `smollm2`, `hf:ORG/NAME`, `path:DIR`, each with an optional `+ADAPTER`; `openai:NAME`,
    `inspect:NAME`, `replay:PATH`."""
    server: str | None = None
    """Name of the entry of `servers:` that says how the model is reached."""
    steering: SteeringSpec | None = None
    """What is done to the model's hidden states while it generates; None for nothing."""
    intervention: str | None = None
    """What `dose` is a dose of; arms with the same intervention form one dose-response curve."""
    dose: float | str | None = Field(default=None, union_mode="left_to_right")
    """The arm's place inside its intervention, such as fine-tuning steps. With `train` it names the setting that the
    runs vary and that is the dose, such as `mix.ratio`; without it the steps are."""
    train: str | None = None
    """Folder of a training run, or of one that varies settings: an arm for each dose that it kept."""
    steps: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Which kept doses of `train` are taken, by step; None for all, and the last one where `dose` names a setting."""
    format_control: str | None = None
    """The arm that is the same without the format or prefix of this one, to tell flips that the format makes; None
    takes the same arm with `structure: free`, where there is one."""

    @field_validator("dose", mode="before")
    @classmethod
    def _a_dose(cls, value: Any) -> Any:
        if value is None or (isinstance(value, float | int | str) and not isinstance(value, bool)):
            return value
        raise ValueError(f"`dose` is a number, or with `train` the name of a setting, and not {value!r}")

    @model_validator(mode="before")
    @classmethod
    def _nothing_said(cls, value: Any) -> Any:
        return {} if value is None else value  # `direct:` alone is an arm with the defaults

    def merged(self, over: ArmSpec) -> ArmSpec:
        """Return these settings with those that `over` says explicitly put over them."""
        return self.model_copy(update={name: getattr(over, name) for name in over.model_fields_set})


class Arm(NamedTuple):
    """An arm with every default filled in."""

    name: str
    model: str
    prompt: PromptOptions
    sampling: Sampling
    server: str | None
    intervention: str | None
    dose: float | None
    path: tuple[str, ...]
    """Where the study says it: `("arms", name)` or `("grid",)`."""
    factors: Mapping[str, JsonValue] | None = None
    """Its level on every factor of the grid; None for an arm outside it."""
    vote: Vote | None = None
    """How the samples of a cell become one observation; None for an arm that does not sample several."""
    steering: SteeringSpec | None = None
    """What is done to the model's hidden states; its path leads from the working directory to the direction."""
    trained: TrainedDose | None = None
    """Which kept dose of which training run its model is; None for an arm that names its model."""
    format_control: str | None = None
    """What the arm says of it; see `oldham.studies.format_controls`. No part of what is generated."""

    @property
    def seat(self) -> str:
        """Who answers: the model, and the server where one is named."""
        return self.model if self.server is None else f"{self.model} on {self.server}"

    @property
    def settings(self) -> tuple[object, ...]:
        """What decides its generations."""
        return (self.model, self.prompt, self.sampling, self.server, self.steering)


class SkippedCombination(NamedTuple):
    """A combination of the grid that is not run, and why."""

    name: str
    reason: str


def by_vote(arm: Arm) -> Iterator[Arm]:
    """Return the arms that one stands for: itself, or one for each way to read several samples.

    They share their generations. On the reasoning axis all of them take the vote; on the safety axes there is no
    canonical vote, so the mean, the worst sample and the majority are all reported.

    Args:
        arm: An arm of the study file or its grid.

    Yields:
        `NAME`, and for a strategy that votes `NAME/worst` and `NAME/majority` too.
    """
    if not votes(arm):
        yield arm
        return
    yield arm._replace(vote="mean")
    yield arm._replace(name=f"{arm.name}/worst", vote="worst", factors=None)
    yield arm._replace(name=f"{arm.name}/majority", vote="majority", factors=None)


def votes(arm: Arm) -> bool:
    """Say whether several samples of a cell make one observation of an arm.

    Args:
        arm: Any arm; one whose strategy does not exist does not vote.
    """
    return arm.prompt.strategy in STRATEGIES.names() and STRATEGIES.get(arm.prompt.strategy).votes


def samples_of(arm: Arm) -> int:
    """Return how many samples make one draw of an arm.

    Args:
        arm: Any arm.
    """
    return 1 if arm.vote is None else arm.prompt.samples


def impossible(arm: Arm) -> str | None:
    """Say why an arm's prompt settings do not go together; None where they do.

    Args:
        arm: Any arm; names that nothing is registered under, and files that are not there, are left to others.
    """
    if not may_think(arm):
        return f"`{arm.prompt.strategy}` does not think"
    try:
        dry_run(PROBES[0], arm.prompt)
    except (UnknownNameError, DataError):
        return None
    except ConfigError as error:
        return error.message.rstrip(".")
    return None


def may_think(arm: Arm) -> bool:
    """Say whether an arm's strategy can use its thinking tokens.

    Args:
        arm: Any arm; one whose strategy does not exist may.
    """
    if not arm.prompt.thinking_tokens or arm.prompt.strategy not in STRATEGIES.names():
        return True
    return STRATEGIES.get(arm.prompt.strategy).thinks
