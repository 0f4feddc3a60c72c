"""Which arm is another one without its format or prefix, so that a flip can be told from what the format does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oldham.core.errors import ConfigError, UnknownNameError, did_you_mean
from oldham.prompts.build import normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from oldham.core.yaml_io import Source
    from oldham.studies.arms import Arm, ArmSpec
    from oldham.studies.spec import Study

_KEY: Final = "format_control"
_FREE: Final = "free"
"""The output structure that asks for none."""


def find_controls(study: Study) -> dict[str, str]:
    """Find every arm's format control: the one that its `format_control` names, else the same arm with free structure.

    An arm of a training run, or one reading of several samples, is held against its like: `sft/30` against `plain/30`
    where its setting says `plain`. By itself a control is found only where one arm alone has the same settings but for
    `structure`, and that is `free` in it; whatever else an arm changes may change its reasoning too.

    Args:
        study: With its arms resolved.

    Returns:
        Names by arm; an arm without one is left out.

    Raises:
        ConfigError: The arm named is not there, is the arm itself, or has another model.
    """
    arms = {arm.name: arm for arm in study.resolved_arms}
    found: dict[str, str] = {}
    for arm in study.resolved_arms:
        control = _told(study, arm, arms) if arm.format_control is not None else _without_structure(arm, arms.values())
        if control is not None:
            found[arm.name] = control
    return found


def check_only_in_arms(defaults: ArmSpec, grid: Mapping[str, object], source: Source) -> None:
    """Check that a format control is named by arms alone.

    Args:
        defaults: The study's.
        grid: The study's.
        source: The study.

    Raises:
        ConfigError: The defaults or the grid name one.
    """
    for place in ("defaults", "grid"):
        if getattr(defaults, _KEY) is not None if place == "defaults" else _KEY in grid:
            raise ConfigError(
                f"`{_KEY}` belongs into an arm: under `{place}` arms would be the control of themselves.",
                place=source.place(place, _KEY),
                remedy=f"Write it as `arms: {{NAME: {{{_KEY}: OTHER}}}}`; a grid over `structure` needs no word of it.",
            )


def _told(study: Study, arm: Arm, arms: Mapping[str, Arm]) -> str:
    named = str(arm.format_control)
    alike = f"{named}{arm.name.removeprefix(arm.path[-1])}"
    name = alike if alike in arms else named
    place = study.place_of(arm, _KEY)
    if name not in arms:
        raise UnknownNameError(
            f"The format control `{named}` of the arm `{arm.name}` is not an arm.",
            place=place,
            remedy=did_you_mean(named, arms),
        )
    if name == arm.name:
        raise ConfigError(
            f"The arm `{name}` is named as its own format control.",
            place=place,
            remedy="Name the arm that is the same without its format or prefix.",
        )
    if arms[name].seat != arm.seat:
        raise ConfigError(
            f"The format control `{name}` has the model {arms[name].seat}, and `{arm.name}` has {arm.seat}.",
            place=place,
            remedy="Take an arm of the same model: a control differs in the format or prefix alone.",
        )
    return name


def _without_structure(arm: Arm, arms: Iterable[Arm]) -> str | None:
    if arm.prompt.structure == _FREE:
        return None
    wanted = _same(arm._replace(prompt=arm.prompt.model_copy(update={"structure": _FREE})))
    alike = [other.name for other in arms if _same(other) == wanted]
    return alike[0] if len(alike) == 1 else None


def _same(arm: Arm) -> tuple[object, ...]:
    """Return what two arms have in common that are the same but for their names."""
    return (*arm._replace(prompt=normalised(arm.prompt)).settings, arm.vote)
