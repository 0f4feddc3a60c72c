"""The study file: what it may say, and every mistake in it that can be found without looking at a model."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PrivateAttr, ValidationError, field_validator

from oldham.attacks import NONE, AttackSpec
from oldham.attacks.attacker import AttackerOptions
from oldham.backends.base import ServerOptions
from oldham.benchmarks.base import BENCHMARKS
from oldham.core.errors import ConfigError, UnknownNameError, did_you_mean
from oldham.core.explain import explain, with_place
from oldham.core.records import Sampling
from oldham.core.steering import SteeringSpec
from oldham.core.yaml_io import Source, read_yaml
from oldham.judges.rules import RULES
from oldham.prompts.base import PromptOptions
from oldham.prompts.build import normalised
from oldham.studies.arms import Arm, ArmSpec, SkippedCombination, by_vote, impossible
from oldham.studies.attackers import check_attackers
from oldham.studies.attacks import StudyAttack, resolve_attacks
from oldham.studies.checks import check_arms, check_draws, check_judges
from oldham.studies.design import Design, design
from oldham.studies.format_controls import check_only_in_arms, find_controls
from oldham.studies.judging import JudgeSpec
from oldham.studies.steering import reached_from
from oldham.studies.trained import TrainedArms, check_defaults, check_interventions, check_untrained, refuse_in_grid

if TYPE_CHECKING:
    from collections.abc import Iterator


class BenchmarkRequest(NamedTuple):
    """A benchmark and how many of its items are asked."""

    name: str
    n: int | None
    """None asks for all of them."""


class Study(BaseModel):
    """A study: arms compared with a baseline on the same items.

    Load one with `Study.load`, or make one in Python with the study file's keys as arguments.

    Raises:
        ConfigError: The study says something that cannot be meant; the place is the line in the file.
        pydantic.ValidationError: Made in Python with an argument of the wrong name or type.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Names the run directory: letters, digits, dots, dashes and underscores."""
    description: str | None = None
    """What the study asks, for the report."""
    baseline: str
    """The arm every other arm is compared with."""
    arms: dict[str, ArmSpec] = Field(default_factory=dict)
    """Arms by name."""
    defaults: ArmSpec = ArmSpec()
    """Settings of every arm that does not say otherwise."""
    grid: dict[str, list[JsonValue]] = Field(default_factory=dict)
    """A factorial design: values by setting, crossed with each other over the settings all arms share."""
    benchmarks: tuple[str, ...] = Field(min_length=1)
    """What is asked: `NAME`, or `NAME:N` for its first N items."""
    fraction: str = "1"
    """Share of the grid's cells that is run, such as `1/2`: a regular fractional factorial design."""
    servers: dict[str, ServerOptions] = Field(default_factory=dict)
    """How servers are reached and what they may cost, by the name that arms give as `server:`."""
    attackers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")], AttackerOptions] = Field(default_factory=dict)
    """Models that write for attacks, by the name that their knob `attacker` gives."""
    attacks: tuple[AttackSpec, ...] = Field(default=(AttackSpec(attack=NONE),), min_length=1)
    """What an adversary does to the items: `NAME`, `NAME+NAME`, or a mapping with knobs; `none` asks them as they
    are."""
    draws: int = Field(default=1, ge=1, le=1000)
    """Samples of each cell."""
    judges: tuple[JudgeSpec, ...] = Field(default=(JudgeSpec(judge=RULES),), min_length=1)
    """Who scores: `NAME`, `NAME@MODEL` or a mapping; `rules` stands for each benchmark's own."""
    seed: int = Field(default=0, ge=0)
    """Every trial's seed derives from this and the trial's identity."""
    answer_tokens: int = Field(default=256, ge=1)
    """Most tokens an answer may take, where the arm does not say."""

    _source: Source = PrivateAttr(default=Source("study"))
    _arms: tuple[Arm, ...] = PrivateAttr(default=())
    _skipped: tuple[SkippedCombination, ...] = PrivateAttr(default=())
    _design: Design | None = PrivateAttr(default=None)
    _attacks: tuple[StudyAttack, ...] = PrivateAttr(default=())
    _format_controls: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("fraction", mode="before")
    @classmethod
    def _is_a_share(cls, value: object) -> str:
        if re.fullmatch(r"1(/[1-9]\d*)?", str(value), re.ASCII) is None:
            raise ValueError(f"`fraction` is 1, or a share such as 1/2, and not {value!r}")
        return str(value)

    @classmethod
    def load(cls, path: str | Path) -> Study:
        """Read a study file.

        Args:
            path: A YAML file.

        Returns:
            The study, checked as far as it can be without looking at a model.

        Raises:
            ConfigError: The file is not there, is not YAML, or says something that cannot be meant.
        """
        document = read_yaml(Path(path))
        try:
            return cls.model_validate(document.data, context=document.source)
        except ValidationError as error:
            raise explain(
                error,
                document.source,
                top=cls.model_fields,
                inner=ArmSpec.model_fields,
                sections={
                    "attackers": AttackerOptions.model_fields,
                    "servers": ServerOptions.model_fields,
                    "judges": JudgeSpec.model_fields,
                },
            ) from None

    @property
    def source(self) -> Source:
        """Where the study came from, for messages."""
        return self._source

    @property
    def resolved_arms(self) -> tuple[Arm, ...]:
        """The arms with every default filled in: those named first, then those of the grid."""
        return self._arms

    @property
    def resolved_attacks(self) -> tuple[StudyAttack, ...]:
        """The attacks with every knob filled in, a listed value of a knob each its own."""
        return self._attacks

    @property
    def skipped(self) -> tuple[SkippedCombination, ...]:
        """Combinations of the grid that are not run."""
        return self._skipped

    @property
    def baseline_is_greedy(self) -> bool:
        """Whether the baseline decodes greedily, so that a single draw of it has no sampling noise."""
        return any(arm.name == self.baseline and arm.sampling.temperature == 0 for arm in self._arms)

    @property
    def format_controls(self) -> dict[str, str]:
        """By arm, the arm that is the same without its format or prefix; one that has none is left out."""
        return dict(self._format_controls)

    def benchmark_requests(self) -> list[BenchmarkRequest]:
        """Return the benchmarks asked for, taken apart."""
        return [self._request(index, entry) for index, entry in enumerate(self.benchmarks)]

    def to_yaml(self) -> str:
        """Return the study file's text: as it was read, or written anew for a study made in Python."""
        if self._source.text:
            return self._source.text
        return yaml.safe_dump(self.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True)

    @property
    def design(self) -> Design | None:
        """The factorial design of the grid; None without one."""
        return self._design

    def server_of(self, asked: Arm | JudgeSpec) -> ServerOptions | None:
        """Return how an arm's or a judge's model is reached; None where no server is named.

        Args:
            asked: One of `resolved_arms` or of `judges`.
        """
        return None if asked.server is None else self.servers[asked.server]

    def model_post_init(self, context: Any, /) -> None:
        """Fill in the arms and check everything that pydantic cannot; see the class."""
        self._source = context if isinstance(context, Source) else Source("study")
        check_defaults(self.defaults, self._source)
        check_only_in_arms(self.defaults, self.grid, self._source)
        trained = TrainedArms(self._source)
        arms, self._skipped = self._with_grid([arm for name in self.arms for arm in self._named(name, trained)])
        self._arms = tuple(itertools.chain.from_iterable(map(by_vote, arms)))
        if not self.grid and Fraction(self.fraction) != 1:
            raise ConfigError(
                "There is a fraction and no grid to take it of.",
                place=self._source.place("fraction"),
                remedy="Leave it out, or write a `grid:`.",
            )
        check_arms(self)
        check_interventions(self._arms, self._source)
        self._format_controls = find_controls(self)
        self._check_names()
        check_draws(self)

    def _named(self, name: str, trained: TrainedArms) -> Iterator[Arm]:
        """Return an arm, or with `train` one for each dose that the training run kept."""
        settings, path = self.defaults.merged(self.arms[name]), ("arms", name)
        if settings.train is None:
            check_untrained(name, settings, self._source)
            yield self._resolve(name, settings, path)
            return
        for made in trained.of(name, settings):
            own = {"model": made.model, "intervention": made.intervention, "dose": made.dose}
            yield self._resolve(made.name, settings.model_copy(update=own), path)._replace(trained=made.trained)

    def _resolve(self, name: str, settings: ArmSpec, path: tuple[str, ...]) -> Arm:
        if settings.model is None:
            raise ConfigError(
                f"The arm `{name}` has no `model`.",
                place=self._source.place(*path),
                remedy="Give the arm one, or write `defaults: {model: smollm2}` for all arms.",
            )
        said = {field: getattr(settings, field) for field in settings.model_fields_set}
        prompt = {k: v for k, v in said.items() if k in PromptOptions.model_fields}
        return Arm(
            name=name,
            model=settings.model,
            prompt=PromptOptions(**{"answer_tokens": self.answer_tokens} | prompt),
            sampling=Sampling(**{k: v for k, v in said.items() if k in Sampling.model_fields}),
            server=settings.server,
            intervention=settings.intervention,
            dose=None if settings.dose is None else float(settings.dose),
            path=path,
            steering=settings.steering and reached_from(settings.steering, self._source),
            format_control=settings.format_control,
        )

    def _with_grid(self, named: list[Arm]) -> tuple[list[Arm], tuple[SkippedCombination, ...]]:
        arms = list(named)
        places = {_plain(arm): i for i, arm in reversed([*enumerate(arms)])}
        skipped: list[SkippedCombination] = []
        for name, settings, levels in self._combinations():
            arm = self._resolve(name, settings, ("grid",))._replace(factors=levels)
            twin = places.get(_plain(arm))
            reason = impossible(arm)
            if reason is not None:
                skipped.append(SkippedCombination(name, reason))
            elif twin is not None:
                skipped.append(SkippedCombination(name, f"it is the same as `{arms[twin].name}`"))
                if arms[twin].factors is None:  # a named arm stands for the cell that it is
                    arms[twin] = arms[twin]._replace(factors=levels)
            else:
                places[_plain(arm)] = len(arms)
                arms.append(arm)
        return arms, tuple(skipped)

    def _combinations(self) -> Iterator[tuple[str, ArmSpec, dict[str, JsonValue]]]:
        if not self.grid:
            return
        specs = [self.defaults.merged(arm) for arm in self.arms.values()] or [self.defaults]
        shared = {n for n in ArmSpec.model_fields if all(getattr(s, n) == getattr(specs[0], n) for s in specs)}
        # An intervention orders the arms that name it; a grid cell has no place in that order, nor in a training run.
        shared -= {"intervention", "dose", "train", "steps", "format_control"}
        common = ArmSpec(**{name: getattr(specs[0], name) for name in shared & specs[0].model_fields_set})
        checked = {
            (key, index): self._grid_value(key, index, value)
            for key, values in self.grid.items()
            for index, value in enumerate(values)
        }
        self._design = with_place(self._source.place("fraction"), design, self.grid, Fraction(self.fraction))
        for cell in self._design.cells:
            settings = common
            for key, value in cell.items():
                settings = settings.merged(checked[key, self.grid[key].index(value)])
            levels = {key: _level(getattr(settings, key)) for key in self.grid}
            yield "/".join(["grid", *map(_label, levels.values())]), settings, levels

    def _grid_value(self, key: str, index: int, value: JsonValue) -> ArmSpec:
        refuse_in_grid(key, value, self._source)
        if key not in ArmSpec.model_fields:
            raise UnknownNameError(
                f"There is no setting `{key}` to vary in a grid.",
                place=self._source.place("grid", key),
                remedy=did_you_mean(key, ArmSpec.model_fields),
            )
        try:
            return ArmSpec.model_validate({key: value})
        except ValidationError as error:
            path = ("grid", key, index)
            raise explain(error, self._source, top=(), inner=ArmSpec.model_fields, at=path) from None

    def _check_names(self) -> None:
        seen: set[str] = set()
        for index, request in enumerate(self.benchmark_requests()):
            place = self._source.place("benchmarks", index)
            with_place(place, BENCHMARKS.entry, request.name)
            if request.name in seen:
                raise ConfigError(f"The benchmark `{request.name}` is named twice.", place=place, remedy="Keep one.")
            seen.add(request.name)
        check_judges(self)
        check_attackers(self)
        self._attacks = tuple(resolve_attacks(self.attacks, seen, self.attackers, self._source))

    def place_of(self, arm: Arm, key: str) -> str:
        """Name the place that gives an arm one of its settings: its own line, the grid's, or that of `defaults`.

        Args:
            arm: One of `resolved_arms`.
            key: A setting's name.
        """
        own = (*arm.path, key)
        if own not in self._source.lines and ("defaults", key) in self._source.lines:
            own = ("defaults", key)
        return self._source.place(*own)

    def _request(self, index: int, entry: str) -> BenchmarkRequest:
        name, colon, count = entry.partition(":")
        if not colon:
            return BenchmarkRequest(name, None)
        if not (count.isascii() and count.isdigit() and int(count) > 0):
            raise ConfigError(
                f"`{entry}` does not say how many items are asked.",
                place=self._source.place("benchmarks", index),
                remedy=f"Write {name}, or {name}:50 for its first 50 items.",
            )
        return BenchmarkRequest(name, int(count))


def _plain(arm: Arm) -> tuple[object, ...]:
    """Return what decides an arm's generations, without options that its strategy does not read."""
    return arm._replace(prompt=normalised(arm.prompt)).settings


def _level(value: Any) -> JsonValue:
    level: JsonValue = value.label if isinstance(value, SteeringSpec) else value
    return level


def _label(level: JsonValue) -> str:
    return "none" if level is None else str(level).lower() if isinstance(level, bool) else str(level)
