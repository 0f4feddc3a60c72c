"""Mistakes in a study's arms and judges that pydantic cannot see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oldham.core.errors import ConfigError, UnknownNameError, did_you_mean
from oldham.core.explain import with_place
from oldham.judges.base import JUDGES
from oldham.judges.rules import RULES
from oldham.prompts.base import CLAUSES, DEMONSTRATIONS, STRATEGIES, STRUCTURES
from oldham.prompts.build import unused_options
from oldham.studies.arms import may_think, votes
from oldham.studies.attacks import draws_anew

if TYPE_CHECKING:
    from oldham.core.registry import Registry
    from oldham.studies.arms import Arm
    from oldham.studies.spec import Study


def check_arms(study: Study) -> None:
    """Check every arm.

    Args:
        study: With its arms resolved.

    Raises:
        ConfigError: An arm says something that cannot be meant; the place is the line in the file.
    """
    names = [arm.name for arm in study.resolved_arms]
    if study.baseline not in names:
        raise UnknownNameError(
            f"The baseline `{study.baseline}` is not an arm.",
            place=study.source.place("baseline"),
            remedy=did_you_mean(study.baseline, names) if names else "Write an arm under `arms:`.",
        )
    _check_twice(study)
    for arm in study.resolved_arms:
        _check_names(study, arm)
        _check_thinking(study, arm)
        _check_votes(study, arm)
        if arm.dose is not None and arm.intervention is None:
            raise ConfigError(
                f"The arm `{arm.name}` has a dose and no `intervention` to be a dose of.",
                place=study.place_of(arm, "dose"),
                remedy="Name it, for example `intervention: reasoning_sft`.",
            )


def check_draws(study: Study) -> None:
    """Check that several draws of a cell can differ.

    Args:
        study: With its arms and attacks resolved.

    Raises:
        ConfigError: An arm decodes greedily, and no attack asks it anything else in another draw.
    """
    greedy = [arm for arm in study.resolved_arms if not arm.sampling.temperature]
    if study.draws == 1 or not greedy or any(draws_anew(wanted.attack) for wanted in study.resolved_attacks):
        return
    attacks = [wanted.label for wanted in study.resolved_attacks if wanted.attack.parts]
    same = f", and under `{'`, `'.join(attacks)}` it is asked the same each time" if attacks else ""
    raise ConfigError(
        f"The arm `{greedy[0].name}` decodes greedily (temperature 0){same}, so its {study.draws} draws "
        "would be equal.",
        place=study.source.place("draws"),
        remedy="Write `draws: 1`, or a `temperature` above 0 under `defaults:`.",
    )


def check_judges(study: Study) -> None:
    """Check the names in the list of judges, as far as no judge need be loaded.

    Args:
        study: Any study.

    Raises:
        ConfigError: There is no such judge or server, or `rules` is given a model.
    """
    for index, spec in enumerate(study.judges):
        place = study.source.place("judges", index)
        if spec.judge != RULES:
            with_place(place, JUDGES.entry, spec.judge)
        elif spec.model is not None or spec.server is not None:
            raise ConfigError(
                f"`{RULES}` stands for judges that ask no model.",
                place=place,
                remedy=f"Write {RULES} alone, and the judge that asks the model as an entry of its own.",
            )
        if spec.server is None:
            continue
        if spec.server not in study.servers:
            raise _no_server(study, spec.server, place)
        if spec.model is None:
            raise ConfigError(
                f"The judge `{spec.judge}` has a server, and no model is named for it.",
                place=place,
                remedy="Add `model: openai:NAME`, or leave the server out.",
            )


def _no_server(study: Study, name: str, place: str) -> UnknownNameError:
    remedy = did_you_mean(name, study.servers) if study.servers else "Describe it under `servers:`."
    return UnknownNameError(f"There is no server `{name}`.", place=place, remedy=remedy)


def _check_twice(study: Study) -> None:
    first: dict[str, Arm] = {}
    for arm in study.resolved_arms:
        other = first.setdefault(arm.name, arm)
        if other is not arm:
            # Of an arm of the file and one that is made for a vote or by the grid, the first can be renamed.
            own = next((one for one in (arm, other) if one.path[-1] == arm.name), arm)
            raise ConfigError(
                f"There are two arms `{arm.name}`; votes and grids make arms with such names.",
                place=study.source.place(*own.path),
                remedy="Rename the arm, or take one of the grid's levels out.",
            )


def _check_names(study: Study, arm: Arm) -> None:
    named: tuple[tuple[Registry[Any], str | None, str], ...] = (
        (STRATEGIES, arm.prompt.strategy, "strategy"),
        (CLAUSES, arm.prompt.safety, "safety"),
        (STRUCTURES, arm.prompt.structure, "structure"),
        (DEMONSTRATIONS, arm.prompt.demonstration_source, "demonstration_source"),
    )
    for registry, name, key in named:
        if name is not None:
            with_place(study.place_of(arm, key), registry.entry, name)
    if arm.server is not None and arm.server not in study.servers:
        raise _no_server(study, arm.server, study.place_of(arm, "server"))
    # A grid's own combinations may leave an option unread; they are found to be twins. An arm that says so is mistaken.
    unread = unused_options(arm.prompt) if arm.path[0] == "arms" else []
    said = [name for name in unread if (*arm.path, name) in study.source.lines]
    if said:
        raise ConfigError(
            f"The strategy `{arm.prompt.strategy}` does not read `{said[0]}`.",
            place=study.place_of(arm, said[0]),
            remedy="Leave it out, or take a strategy that reads it.",
        )


def _check_thinking(study: Study, arm: Arm) -> None:
    if not may_think(arm):
        raise ConfigError(
            f"The arm `{arm.name}` has {arm.prompt.thinking_tokens} thinking tokens, "
            f"and its strategy `{arm.prompt.strategy}` does not think.",
            place=study.place_of(arm, "thinking_tokens"),
            remedy="Write `thinking_tokens: 0` in the arm, or take a strategy that thinks.",
        )


def _check_votes(study: Study, arm: Arm) -> None:
    if votes(arm) and not arm.sampling.temperature:
        raise ConfigError(
            f"The arm `{arm.name}` decodes greedily (temperature 0), so its {arm.prompt.samples} samples would be "
            "equal.",
            place=study.place_of(arm, "strategy"),
            remedy="Give it a `temperature` above 0, such as 0.7.",
        )
