"""Steering as a setting: what an arm may say of it, and what a direction's file says of itself. No torch.

A direction is a folder with `direction.safetensors` and `direction.json`, or such a safetensors file alone. The file's
header is JSON behind eight bytes of length, so planning reads it without a tensor library.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, model_validator

from oldham.core.errors import ConfigError, did_you_mean
from oldham.core.records import Record

if TYPE_CHECKING:
    from oldham.core.records import ModelFingerprint

TENSOR: Final = "direction"
"""Name of the tensor in a direction's file: float32, shape (width,), not normalised."""
FILE_NAME: Final = "direction.safetensors"
"""Name of the tensor's file in a direction's folder."""
FACTS_NAME: Final = "direction.json"
"""Name of the file beside it that says how the direction was found."""

_VERSION: Final = 1
"""Raised whenever a change to the steering code can change what a steered model writes."""
_MAX_HEADER: Final = 100_000_000  # what the format itself allows


class SteeringSpec(Record):
    """What is done to a model's hidden states while it generates (Arditi et al. 2024, arXiv 2406.11717, 2.4)."""

    direction: str
    """Folder or `.safetensors` file of a direction."""
    mode: Literal["ablate", "add"]
    """`ablate` takes the component along the direction out of every layer's input, attention output and MLP output;
    `add` adds `coefficient` times the direction, as long as it is, to the input of one layer, at every position."""
    coefficient: float = Field(default=1.0, allow_inf_nan=False)
    """Multiple that is added; 1 is the difference of the means itself, negative takes it away."""
    layer: int | None = Field(default=None, ge=0)
    """Where it is added, counted from 0; None takes the layer that the direction was read at."""
    allow_other_model: bool = False
    """Use a direction that was read from another model of the same width, such as the model before a fine-tuning."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        unknown = [key for key in value if key not in cls.model_fields] if isinstance(value, dict) else []
        if unknown:
            remedy = did_you_mean(str(unknown[0]), cls.model_fields).rstrip(".")
            raise ValueError(f"there is no key `{unknown[0]}` in `steering`. {remedy}")
        return value

    @model_validator(mode="after")
    def _reads_what_is_said(self) -> SteeringSpec:
        if self.mode == "ablate" and (self.coefficient != 1.0 or self.layer is not None):
            raise ValueError(
                "`mode: ablate` takes the whole component out at every layer, so it reads neither `coefficient` nor "
                "`layer`; leave them out, or write `mode: add`"
            )
        return self

    @property
    def label(self) -> str:
        """A short name, such as `add:-1:refusal`, for arms of a grid and for tables."""
        path = Path(self.direction)
        name = (
            path.parent.name if path.name == FILE_NAME and path.parent.name else path.name.removesuffix(".safetensors")
        )
        if self.mode == "ablate":
            return f"ablate:{name}"
        at = "" if self.layer is None else f"@{self.layer}"
        return f"add:{self.coefficient:g}:{name}{at}"


@dataclass(frozen=True, slots=True)
class DirectionHeader:
    """What a direction's file says of itself."""

    path: Path
    """The safetensors file."""
    content: str
    """Hash of the tensor: format, shape and bytes. A file that was moved or described anew has the same."""
    width: int
    """Length of the vector: width of the residual stream it belongs to."""
    layer: int | None
    """Layer at whose input it was read, counted from 0; None where the file does not say."""
    weights: str | None
    """Hash of the weights of the model it was read from; None where the file does not say."""
    adapter: str | None
    """Hash of that model's adapter; None without one."""

    def comes_from(self, model: ModelFingerprint) -> bool:
        """Say whether it was read from this model; number format, template and backend may differ.

        Args:
            model: Any model's identity.
        """
        return (self.weights, self.adapter) == (model.weights, model.adapter)


def direction_file(direction: str | Path) -> Path:
    """Return the safetensors file of a direction.

    Args:
        direction: A direction's folder, or the file itself.

    Raises:
        ConfigError: There is no such folder or file.
    """
    path = Path(direction).expanduser()
    if path.is_dir():
        path = path / FILE_NAME
    if not path.is_file():
        raise ConfigError(
            f"There is no direction `{direction}`.",
            remedy="Give the folder that `oldham attribute direction MODEL --out FOLDER` wrote.",
        )
    return path


def read_header(direction: str | Path) -> DirectionHeader:
    """Read what a direction's file says of itself, and hash its tensor.

    Args:
        direction: A direction's folder, or the file itself.

    Raises:
        ConfigError: There is no such direction, or the file holds none.
    """
    path = direction_file(direction)
    try:
        raw = path.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        if len(raw) < 8 or size > min(_MAX_HEADER, len(raw) - 8):
            raise ValueError("it is cut off, or no safetensors file")
        header = json.loads(raw[8 : 8 + size])
        tensor, said = header[TENSOR], header.get("__metadata__") or {}
        start, end = (8 + size + int(offset) for offset in tensor["data_offsets"])
        shape, kind = [int(n) for n in tensor["shape"]], str(tensor["dtype"])
        if len(shape) != 1 or kind != "F32" or end - start != 4 * shape[0] or end > len(raw):
            raise ValueError(f"`{TENSOR}` is {kind} of shape {shape}, and a direction is F32 of shape [width]")
        layer = int(said["layer"]) if said.get("layer") else None
    except KeyError as error:
        raise _no_direction(path, f"it has no tensor {error}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _no_direction(path, str(error)) from error
    digest = hashlib.sha256(f"{kind} {shape}\n".encode() + raw[start:end]).hexdigest()
    return DirectionHeader(path, digest, shape[0], layer, said.get("weights") or None, said.get("adapter") or None)


def steering_identity(spec: SteeringSpec, header: DirectionHeader) -> dict[str, Any]:
    """Return what decides what steering does, for an arm's fingerprint: the tensor's content and not where it is.

    Args:
        spec: What the arm says.
        header: Its direction.

    Raises:
        ConfigError: Nobody says at which layer the direction is to be added.
    """
    return {
        "version": _VERSION,
        "mode": spec.mode,
        "direction": header.content,
        "coefficient": spec.coefficient,
        "layer": layer_of(spec, header.layer) if spec.mode == "add" else None,
    }


def layer_of(spec: SteeringSpec, read_at: int | None) -> int:
    """Return the layer at whose input a direction is added, counted from 0.

    Args:
        spec: What the arm says; its own layer comes first.
        read_at: The layer that the direction was read at, None where it is not known.

    Raises:
        ConfigError: Neither says a layer.
    """
    layer = read_at if spec.layer is None else spec.layer
    if layer is None:
        raise ConfigError(
            f"The direction `{spec.direction}` does not say which layer it was read at.",
            remedy="Write `layer: N` in `steering`, counted from 0.",
        )
    return layer


def _no_direction(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"`{path}` holds no direction ({reason}).",
        remedy="Give the folder that `oldham attribute direction MODEL --out FOLDER` wrote.",
    )
