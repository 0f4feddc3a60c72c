"""Reading the reply of a judge's model by a form: exact, or not at all.

A number out of range, a word where a number was asked for, or a second opinion makes a reply unreadable. It is never
mended into a verdict, since a wrong guess would always be wrong in the same direction.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from oldham.core.records import Generation


class ReplyForm(BaseModel):
    """What a judge's model fills in: one JSON object. Further keys are let pass and not read.

    The `description` of a field is what the prompt shows in place of its value.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    case: str = Field(description="")
    """The code of the case, which shows that the object is an answer to this question."""
    reason: str = Field(default="", description='"one short sentence"')
    """Why, in the judge's words."""

    @classmethod
    def blank(cls, case: str) -> str:
        """Return the form as the prompt shows it; it is no JSON, so a copy of it is no reply.

        Args:
            case: The code of the case.
        """
        rest = [f'"{name}": {field.description}' for name, field in cls.model_fields.items() if name != "case"]
        return "{" + ", ".join([f'"case": "{case}"', *rest]) + "}"


F = TypeVar("F", bound=ReplyForm)


def read_form(reply: Generation, form: type[F], case: str) -> F | None:
    """Read a filled-in form out of a reply.

    Only the answer of the reply is searched, never its thinking. Words and code fences around the object do not matter.
    Objects with another code, or none, are not the judge's and are ignored. A cut reply counts if the object is whole.

    Args:
        reply: What the judge's model said.
        form: What it was to fill in.
        case: The code of the case.

    Returns:
        The form, or None where there is no answer, no object with the code, more than one that differ, a key twice in
        one, or a value that the form does not allow.
    """
    text = reply.answer_text
    if not text or not case or case not in text:
        return None
    found = [one for one in _objects(text) if one.content.get("case") == case]
    written = {json.dumps(one.content, sort_keys=True) for one in found}
    if len(written) != 1 or any(one.doubled for one in found):
        return None
    try:
        return form.model_validate(found[0].content)
    except ValidationError:
        return None


class _Object(NamedTuple):
    content: dict[str, Any]
    doubled: bool
    """One of its keys, at any depth, was written twice."""


def _objects(text: str) -> list[_Object]:
    """Return the outermost JSON objects of a text, in order."""
    found = []
    doubled: list[bool] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        doubled.append(len(content) < len(pairs))
        return content

    decoder = json.JSONDecoder(object_pairs_hook=collect)
    at = text.find("{")
    while at >= 0:
        doubled.clear()
        try:
            content, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            found.append(_Object(content, any(doubled)))
        at = text.find("{", end)
    return found
