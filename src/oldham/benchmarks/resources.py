"""Reading the data files that ship with the package, and the shape of a training example."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import yaml

if TYPE_CHECKING:
    from pydantic import JsonValue


class TrainingExample(TypedDict):
    """One example of a training source."""

    prompt: str
    """The user's request."""
    completion: NotRequired[str]
    """What the assistant should say; absent where the model's own answer is to be used."""
    context: NotRequired[str]
    """Text the request is about, shown before it."""
    kind: str
    """What the example teaches, such as `harmful_refusal`."""
    trace: NotRequired[str]
    """Reasoning that comes before the completion, without tags."""
    rejected: NotRequired[str]
    """What the assistant should not say, for preference methods."""
    rejected_trace: NotRequired[str]
    """Reasoning that comes before `rejected`."""
    reference: NotRequired[dict[str, JsonValue]]
    """What a reward compares an answer with, in the form of a benchmark item's reference: `{"answer": "42"}`."""


@cache
def read_yaml(package: str, name: str) -> Any:
    """Read a YAML file from a package's `data` folder.

    Args:
        package: Dotted name of the package, such as `oldham.benchmarks`.
        name: The file's name.

    Returns:
        Its content. It is cached and shared, so a caller must not change it.
    """
    text = files(package).joinpath("data", name).read_text(encoding="utf-8")
    return yaml.safe_load(text)
