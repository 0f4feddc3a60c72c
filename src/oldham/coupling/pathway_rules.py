"""The table that gives a flipped pair its label: what its rules may ask, and how it is read (estimators: pathways)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self, TypeAlias

import polars as pl
from pydantic import Field, ValidationError, field_validator, model_validator

from oldham.core.errors import ConfigError, did_you_mean
from oldham.core.explain import explain
from oldham.core.outcomes import Axis, Outcome, Stage
from oldham.core.records import Record
from oldham.core.yaml_io import KeyPath, Source, parse_yaml, read_yaml

if TYPE_CHECKING:
    from pathlib import Path

Side: TypeAlias = Literal["risk", "defence"]
Conditions: TypeAlias = dict[str, tuple[str, ...]]
"""Values by fact; all must hold."""

UNCLEAR: Final = "unclear"
"""The label of a flip that no rule fits."""
NO_FLIP: Final = "no_flip"
"""The label of a pair whose answers are on one side."""
NO_OUTCOME: Final = "no_outcome"
"""The label of a pair whose new answer is on no side, where no rule fits."""
UNKNOWN: Final = "unknown"
"""The value of a fact that nobody told."""

_FILE: Final = "pathway_rules.yaml"
_SIDES: Final = ("good", "bad", "none")
_TOLD: Final = ("true", "false")
_OPEN: Final = (*_TOLD, UNKNOWN)
_OUTCOMES: Final = tuple(map(str, Outcome))
_STAGES: Final = tuple(map(str, Stage))

FACTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "axis": tuple(map(str, Axis)),
        "baseline_outcome": _OUTCOMES,
        "new_outcome": _OUTCOMES,
        "baseline_side": _SIDES,
        "new_side": _SIDES,
        "answered": _TOLD,
        "answer_finished": _OPEN,
        "on_point": _OPEN,
        "trace": ("none", "read", "unread"),
        "trace_side": (*_SIDES, UNKNOWN),
        "trace_outcome": (*_OUTCOMES, UNKNOWN),
        "trace_finished": _OPEN,
        "stages_any": _STAGES,
        "stages_all": _STAGES,
        "stages_none": _STAGES,
        "baseline_trace": ("none", "read", "unread"),
        "baseline_trace_side": (*_SIDES, UNKNOWN),
        "baseline_on_point": _OPEN,
        "attack_is_disguise": _OPEN,
        "flips_without_format": _OPEN,
    }
)
"""What a rule may ask of a pair, and the values it may ask for; the file that ships says what each is."""


class Rule(Record):
    """One line of the table."""

    name: str = Field(pattern=r"^[A-Za-z][\w.-]*$")
    """The pathway's name."""
    side: Side
    """`risk` is about answers that went to the bad side, `defence` about those that came from it."""
    apart: bool = False
    """Whether it is about any pair, and in no sum."""
    meaning: str = Field(min_length=1)
    """One sentence."""
    needs: str = ""
    """What a study must add before it can hold; empty where a judge of traces is enough."""
    when: tuple[Conditions, ...] = Field(min_length=1)
    """It fits where one of these sets of conditions holds."""

    @field_validator("when", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return [
            {str(fact): _values(asked) for fact, asked in one.items()} if isinstance(one, Mapping) else one
            for one in _alternatives(value)
        ]

    @model_validator(mode="after")
    def _can_be_meant(self) -> Self:
        if self.name in (UNCLEAR, NO_FLIP, NO_OUTCOME):
            raise ValueError(_reserved(self.name))
        for conditions in self.when:
            if not conditions:
                raise ValueError(f"the rule `{self.name}` has no condition")
            for fact, values in conditions.items():
                problem = _problem(fact, values)
                if problem:
                    raise ValueError(f"{problem.message.rstrip('.')} ({problem.remedy.rstrip('.')})")
        return self

    def holds(self) -> pl.Expr:
        """Return whether its conditions hold, over a column for each fact and `stages`, a list.

        Returns:
            True, false, or null where that hangs on a fact that is unknown.
        """
        return pl.any_horizontal(
            pl.all_horizontal(_condition(fact, values) for fact, values in conditions.items())
            for conditions in self.when
        )

    def can_be_told(self) -> pl.Expr:
        """Return whether every fact that may be unknown is known, for one of its sets of conditions."""
        return pl.any_horizontal(
            pl.all_horizontal(pl.lit(value=True), *(_is_known(fact, values) for fact, values in conditions.items()))
            for conditions in self.when
        )


class Rules(Record):
    """The whole table."""

    rules: tuple[Rule, ...] = Field(min_length=1)
    """In the order in which they are tried."""

    @model_validator(mode="after")
    def _differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"there are two rules `{twice}`; give one rule a list of conditions")
        return self


def read_rules(path: Path | None = None) -> Rules:
    """Read a table of rules.

    Args:
        path: A YAML file with a list `rules`; None for the one that ships.

    Raises:
        ConfigError: It cannot be read, or a key, fact or value in it cannot be meant; with its line.
    """
    if path is None:
        document = parse_yaml(files(__package__).joinpath(_FILE).read_text(encoding="utf-8"), _FILE)
    else:
        document = read_yaml(path)
    listed = document.data.get("rules")
    if isinstance(listed, list):
        _check(listed, document.source)
    try:
        return Rules.model_validate(document.data)
    except ValidationError as error:
        raise explain(error, document.source, top=Rules.model_fields, inner=Rule.model_fields) from error


class _Problem(NamedTuple):
    message: str
    remedy: str


def _check(listed: Sequence[Any], source: Source) -> None:
    """Refuse what cannot be meant, with its own line; what has the wrong shape is left to the records."""
    seen: set[str] = set()
    for index, rule in enumerate(listed):
        if not isinstance(rule, Mapping):
            continue
        name = str(rule.get("name"))
        here: KeyPath = ("rules", index, "name")
        if name in (UNCLEAR, NO_FLIP, NO_OUTCOME):
            raise ConfigError(f"{_reserved(name)}.", place=source.place(*here), remedy="Rename the rule.")
        if name in seen:
            remedy = "Give one rule a list of conditions under `when`."
            raise ConfigError(f"There are two rules `{name}`.", place=source.place(*here), remedy=remedy)
        seen.add(name)
        asked = rule.get("when")
        for at, conditions in enumerate(_alternatives(asked)):
            path: KeyPath = ("rules", index, "when", at) if isinstance(asked, list) else ("rules", index, "when")
            if isinstance(conditions, Mapping):
                _check_conditions(conditions, name, source, path)


def _check_conditions(conditions: Mapping[Any, Any], rule: str, source: Source, path: KeyPath) -> None:
    if not conditions:
        remedy = "Name a fact and the values that it may have."
        raise ConfigError(f"The rule `{rule}` has no condition.", place=source.place(*path), remedy=remedy)
    for fact, asked in conditions.items():
        problem = _problem(str(fact), _values(asked))
        if problem:
            raise ConfigError(problem.message, place=source.place(*path, str(fact)), remedy=problem.remedy)


def _problem(fact: str, values: Sequence[str]) -> _Problem | None:
    if fact not in FACTS:
        return _Problem(f"There is no fact `{fact}`.", did_you_mean(fact, FACTS))
    if not values:
        return _Problem(f"`{fact}` asks for nothing.", "Give one value, or a list of values.")
    unknown = next((value for value in values if value not in FACTS[fact]), None)
    if unknown is None:
        return None
    return _Problem(f"`{fact}` knows no `{unknown}`.", did_you_mean(unknown, FACTS[fact]))


def _reserved(name: str) -> str:
    return f"`{name}` is what a pair without a rule is called"


def _alternatives(asked: object) -> Iterable[object]:
    return asked if isinstance(asked, list | tuple) else [asked]


def _values(asked: object) -> tuple[str, ...]:
    """Let one value stand for a list of one, and YAML's `true` and `false` be values."""
    listed = asked if isinstance(asked, list | tuple) else [asked]
    return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in listed)


def _condition(fact: str, values: Sequence[str]) -> pl.Expr:
    if fact.startswith("stages_"):
        found = [pl.col("stages").list.contains(value) for value in values]
        if fact == "stages_all":
            return pl.all_horizontal(found)
        some = pl.any_horizontal(found)
        return some if fact == "stages_any" else some.not_()
    fits = pl.col(fact).is_in(values)
    return pl.when(_is_known(fact, values)).then(fits)


def _is_known(fact: str, values: Sequence[str]) -> pl.Expr:
    if fact.startswith("stages_"):
        return pl.col("stages").is_not_null()
    return pl.lit(value=True) if UNKNOWN in values else pl.col(fact) != UNKNOWN
