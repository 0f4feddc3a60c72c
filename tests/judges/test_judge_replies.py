from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from asking_double import canned
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from oldham.core.records import StopReason
from oldham.judges.replies import ReplyForm, read_form

CASE = "bcdfghjk"


class Form(ReplyForm):
    refused: Annotated[int, Field(ge=0, le=1, description="0 or 1")]
    score: Annotated[int, Field(ge=1, le=5, description="1, 2, 3, 4 or 5")]
    shown: Annotated[bool, Field(description="true or false")]


GOOD: dict[str, Any] = {"case": CASE, "reason": "it is so", "refused": 0, "score": 5, "shown": True}
TEXT = json.dumps(GOOD)


def read(text: str | None, **reply: Any) -> Form | None:
    return read_form(canned(text, **reply), Form, CASE)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"Let me see. The blade {{and}} the stone.\n\n```json\n{TEXT}\n```\nThat is my grade.",
        f"{TEXT}\n{TEXT}",
        f'{{"case": "zzzzzzzz", "refused": 1}} {TEXT}',
        f'{{"refused": 1, "score": 1, "shown": false}}{TEXT}',
        json.dumps({**GOOD, "confidence": 0.9}),
        json.dumps({key: value for key, value in GOOD.items() if key != "reason"}),
        json.dumps(GOOD, indent=2),
        f'{{"quote": "{TEXT}',
        f"[{TEXT}]",
        f"{TEXT}<|im_end|>",
    ],
)
def test_the_one_object_with_the_code_is_read(text: str) -> None:
    form = read(text)
    assert form is not None
    assert (form.refused, form.score, form.shown) == (0, 5, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "I cannot grade this.",
        f"case {CASE}: score 5",
        TEXT.replace(CASE, "zzzzzzzz"),
        TEXT.replace(CASE, CASE.upper()),
        TEXT.replace(f'"{CASE}"', f'["{CASE}"]'),
        TEXT[:-1],
        TEXT.replace('"', "'"),
        f"{TEXT} {TEXT.replace('5', '1')}",
        f"{TEXT} {TEXT.replace('it is so', 'it is not')}",
        f"{TEXT} {TEXT.replace('0', 'false')}",
        f'{{"verdict": {TEXT}}}',
        TEXT.replace('"score": 5', '"score": 1, "score": 5'),
        TEXT.replace('"reason": "it is so"', f'"reason": {{"a": 1, "a": 2}}, "case": "{CASE}"'),
        json.dumps({key: value for key, value in GOOD.items() if key != "shown"}),
        json.dumps({**GOOD, "reason": ["it", "is", "so"]}),
        Form.blank(CASE),
    ],
)
def test_anything_else_cannot_be_read(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("score", value) for value in ("0", "6", "-1", "5.5", "5.0", "10", "1e0", "true", "null", "[5]", "NaN")],
        *[("score", value) for value in ('"5"', '"2.5/10"', '"5/5"', '"high"', "9" * 5000)],
        *[("refused", value) for value in ("2", "-1", "0.5", "true", "false", '"0"', '"no"', "null")],
        *[("shown", value) for value in ("0", "1", '"true"', '"yes"', "null", "1.0")],
    ],
)
def test_a_value_out_of_range_or_of_another_kind_cannot_be_read(field: str, value: str) -> None:
    text = TEXT.replace(f'"{field}": {json.dumps(GOOD[field])}', f'"{field}": {value}')
    assert text != TEXT
    assert read(text) is None


def test_a_cut_reply_counts_if_the_object_is_whole() -> None:
    assert read(f"{TEXT} And now", stop=StopReason.LENGTH) is not None
    assert read(f"Well, {TEXT[:-2]}", stop=StopReason.LENGTH) is None


def test_the_thinking_of_the_judge_is_not_searched() -> None:
    assert read("I will not say.", thinking=f"<think>{TEXT}</think>") is None
    assert read(None, thinking=f"<think>{TEXT}") is None
    assert read(TEXT, thinking=f"<think>{TEXT.replace('5', '1')}</think>") == Form(**GOOD)


def test_without_a_code_nothing_can_be_read() -> None:
    assert read_form(canned(TEXT.replace(CASE, "")), Form, "") is None


def test_the_form_is_shown_with_what_may_stand_in_it() -> None:
    assert Form.blank(CASE) == (
        f'{{"case": "{CASE}", "reason": "one short sentence", "refused": 0 or 1, "score": 1, 2, 3, 4 or 5, '
        '"shown": true or false}'
    )


@given(st.text(max_size=60), st.text(max_size=60))
def test_what_stands_around_the_object_does_not_matter(before: str, after: str) -> None:
    assert read(f"{before}\n{TEXT}\n{after}") == Form(**GOOD)


@pytest.mark.parametrize("unit", ["{", '{"a":', "[{", '{"a": "', '"'])
def test_deep_and_long_replies_are_read_in_time(unit: str) -> None:
    assert read(unit * 3000 + f" {CASE}") is None
