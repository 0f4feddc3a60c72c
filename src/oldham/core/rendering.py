"""How a conversation becomes the text that a model reads, where that is not the model's own business."""

from __future__ import annotations

from pydantic import Field, JsonValue

from oldham.core.records import Record


class Rendering(Record):
    """What is given to a chat template, or put in its place; part of a judge's identity."""

    template: str | None = None
    """Jinja text that takes the place of the model's own chat template; None takes the model's own."""
    variables: dict[str, JsonValue] = Field(default_factory=dict)
    """Named values that the template reads, such as the `guideline` of a guard model."""
