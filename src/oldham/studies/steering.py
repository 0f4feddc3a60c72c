"""Steered arms: where their directions are, whether they fit the model, and what identifies them. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from oldham.backends.base import ModelSpec
from oldham.core.errors import ConfigError
from oldham.core.steering import layer_of, read_header, steering_identity

if TYPE_CHECKING:
    from oldham.core.records import ModelFingerprint
    from oldham.core.steering import DirectionHeader, SteeringSpec
    from oldham.core.yaml_io import Source
    from oldham.studies.arms import Arm

_STEERABLE: Final = ("alias", "hf", "path")


class _Shape(NamedTuple):
    """A model's size, as its configuration says it; None where it does not."""

    width: int | None
    layers: int | None


def reached_from(spec: SteeringSpec, source: Source) -> SteeringSpec:
    """Return a study's steering with a path that leads to the direction from the working directory.

    Args:
        spec: As the study says it.
        source: The study. A relative path is looked for in the study file's folder first, and else taken as it is.
    """
    path = Path(spec.direction).expanduser()
    beside = Path(source.name).parent / path
    if path.is_absolute() or not source.lines or not beside.exists():
        return spec
    return spec.model_copy(update={"direction": str(beside)})


def steering_of(arm: Arm, model: ModelFingerprint) -> dict[str, Any] | None:
    """Check that an arm can be steered as it says, and return what identifies its steering.

    Args:
        arm: Any arm.
        model: Identity of its model.

    Returns:
        Mode, coefficient, layer and the content of the direction; None for an arm without steering.

    Raises:
        ConfigError: The model does not run in this process; there is no such direction; or it does not fit the model.
    """
    if arm.steering is None:
        return None
    if ModelSpec.parse(arm.model).scheme not in _STEERABLE:
        raise ConfigError(
            f"`{arm.model}` cannot be steered: that needs the model's hidden states, and it does not run in this "
            "process.",
            remedy="Name the model as hf:ORG/NAME or path:DIR, or leave `steering` out.",
        )
    header = read_header(arm.steering.direction)
    if not header.comes_from(model) and not arm.steering.allow_other_model:
        whose = "does not say which model it was read from" if header.weights is None else "is of another model"
        raise ConfigError(
            f"The direction `{arm.steering.direction}` {whose}, and `{arm.model}` may use other directions.",
            remedy=f"Find the model's own with `oldham attribute direction {arm.model}`, or write "
            "`allow_other_model: true` in `steering` to use this one.",
        )
    _check_fit(arm, arm.steering, header)
    return steering_identity(arm.steering, header)


def steering_facts(spec: SteeringSpec | None) -> dict[str, Any]:
    """Return what the manifest says of an arm's steering, so that a later command finds the direction and knows it.

    Args:
        spec: The arm's, its path leading from the working directory; None for an arm without steering.

    Returns:
        `steering`, the settings with an absolute path, and `steering_identity`, as `steering_identity` returns it; both
        None without steering.

    Raises:
        ConfigError: There is no such direction.
    """
    if spec is None:
        return {"steering": None, "steering_identity": None}
    header = read_header(spec.direction)
    absolute = spec.model_copy(update={"direction": str(Path(spec.direction).expanduser().absolute())})
    return {"steering": absolute.model_dump(mode="json"), "steering_identity": steering_identity(spec, header)}


def _check_fit(arm: Arm, spec: SteeringSpec, header: DirectionHeader) -> None:
    shape = _shape(arm.model)
    if shape.width is not None and header.width != shape.width:
        raise ConfigError(
            f"The direction `{spec.direction}` has {header.width} numbers, and the hidden states of `{arm.model}` have "
            f"{shape.width}.",
            remedy=f"Find the model's own with `oldham attribute direction {arm.model}`.",
        )
    if spec.mode == "add" and shape.layers is not None and layer_of(spec, header.layer) >= shape.layers:
        raise ConfigError(
            f"`{arm.model}` has {shape.layers} layers, and no layer {layer_of(spec, header.layer)}.",
            remedy=f"Write `layer: N` in `steering`, N from 0 to {shape.layers - 1}.",
        )


def _shape(model: str) -> _Shape:
    """Read a model's size from its configuration; a configuration without it is left to the loaded model to check."""
    from oldham.backends.weights import locate

    config = json.loads((locate(model).folder / "config.json").read_text(encoding="utf-8"))
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    return _Shape(_number(text.get("hidden_size")), _number(text.get("num_hidden_layers")))


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
