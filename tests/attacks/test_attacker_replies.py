"""What is read out of an attacker's reply, and what is put into its instructions."""

from __future__ import annotations

import pytest

from oldham.attacks.attacker import filled, prompt_in, refused


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ('{"improvement": "x", "prompt": "a b"}', "a b"),
        ('Sure:\n```json\n{"prompt": "a\n \\"b\\" {c}"}\n```', 'a\n "b" {c}'),
        ('{"improvement": "x", "prompt": "cut off he', "cut off he"),
        ('{"improvement": "it\'s {bad", "prompt": "ok", }', "ok"),
        ('{"prompt": ""}', None),
        ('{"prompt": 3}', None),
        ('{"improvement": "x"}', None),
        ("1. First part\n2. Second part", None),
        ("", None),
        ("}{", None),
        ('{"prompt": "\\ud83d\\ude00 日本"}', "😀 日本"),
        ('["prompt"]', None),
    ],
)
def test_replies_are_read_leniently(text: str, prompt: str | None) -> None:
    assert prompt_in(text) == prompt


def test_refusals_are_told_by_published_phrases() -> None:
    assert refused("I’m sorry, no.")
    assert refused("Well, I CANNOT do that.")
    assert not refused("Here it is.")


def test_braces_of_a_value_stay() -> None:
    assert filled('{a} {"prompt": "x"} {b} {c}', a="{b}", b="2") == '{b} {"prompt": "x"} 2 {c}'
