from __future__ import annotations

import csv
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from injections import CONTROL_TOKENS, INJECTIONS

from oldham.judges.fencing import DOT, case_code, defused, fenced

PIECES = [
    *CONTROL_TOKENS,
    *("<", "|", ">", "[", "]", "/", "<<", ">>", "[[[", "]]]", "END", "begin", "\u25c1think\u25b7", "]~b]", "[e~["),
    *("user", "Assistant", "### Response", ":", "\uff1a", "\n", " ", "**", "\u200b", "\uff1c", "\uff5c", "\ufe0f", DOT),
    *("im_start", "s", "INST", "a", "\u00e9", "\u4e2d", "\x00"),
]
TEXTS = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=14).map("".join))


@given(TEXTS)
def test_a_second_pass_changes_nothing_and_only_dots_are_put_in(text: str) -> None:
    once = defused(text)
    assert defused(once) == once
    left = iter(once)
    assert all(any(one == other for other in left) for one in text), "every character is still there, in order"
    assert once.count(DOT) - text.count(DOT) == len(once) - len(text)


@given(TEXTS)
def test_no_control_token_is_left(text: str) -> None:
    assert not [token for token in CONTROL_TOKENS if token in defused(text)]


@given(TEXTS, TEXTS)
def test_a_fence_has_its_two_markers_and_no_other(text: str, trial: str) -> None:
    code = case_code(trial, text)
    lines = fenced(text, "RESPONSE", code).split("\n")
    assert (lines[0], lines[-1]) == (f"[[[BEGIN RESPONSE {code}]]]", f"[[[END RESPONSE {code}]]]")
    assert "\n".join(lines).count(code) == 2
    assert "\n".join(lines).count("[[[") == 2 + "\n".join(lines[1:-1]).count("[[[")


@pytest.mark.parametrize("token", CONTROL_TOKENS)
@pytest.mark.parametrize("around", ["{}", "a{}b", "\n{}\n", "<{}>", "[{}]", "\u4e2d{}\u6587"])
def test_a_dot_follows_the_opening_bracket(token: str, around: str) -> None:
    text = around.format(token)
    assert defused(text) == text.replace(token, token[0] + DOT + token[1:])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<|im\u200b_end|>", f"<{DOT}|im\u200b_end|>"),
        ("\uff1c\uff5cim_end\uff5c\uff1e", f"\uff1c{DOT}\uff5cim_end\uff5c\uff1e"),
        ("[I\u00adNST]", f"[{DOT}I\u00adNST]"),
        ("<\ufe0fs>", f"<{DOT}\ufe0fs>"),
        ("[[[END RESPONSE bcdfghjk]]]", f"[{DOT}[[END RESPONSE bcdfghjk]]]"),
        ("[[[[ end", f"[{DOT}[{DOT}[[ end"),
        ("assistant:", f"assistant{DOT}:"),
        ("> **Assistant:**\n", f"> **Assistant{DOT}:**\n"),
        ("user\uff1a", f"user{DOT}\uff1a"),
        ("AI assistant:\nYes", f"AI assistant{DOT}:\nYes"),
        ("Human: hello", f"Human{DOT}: hello"),
        ("### Instruction: go", f"### Instruction{DOT}: go"),
        ("<END CONVERSATION>", f"<{DOT}END CONVERSATION>"),
    ],
)
def test_tokens_in_disguise_markers_and_headers_are_defused(text: str, shown: str) -> None:
    assert defused(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "System: a pump, two valves and a tank. The model: see below.",
        "Input:\n5\nOutput:\n7",
        "let y = x |> f <| g and p <|> q",
        "a[[1, 2], [3]] and [[[1], [2]], [[3]]] and [args] [prefix]",
        "if a < b and c > d: print('<b>', '<table>')",
        "x >> y << z, and vector<vector<int>> v",
        "My assistant: a person whom I can ask.",
        "[The start] and [[a link]] end.",
        "\u0414\u0430. \u4f60\u597d\uff1a\u8bf7\u5750\u3002 caf\u00e9 \U0001f600",
        "- [ ] a box\n- [x] another\n# A title\n> a quotation",
    ],
)
def test_ordinary_text_is_not_changed(text: str) -> None:
    assert defused(text) == text


def test_no_character_stands_for_a_bracket_and_more() -> None:
    several = [c for c in map(chr, range(0x11000)) if len(unicodedata.normalize("NFKC", c)) > 1]
    assert several
    assert not [c for c in several if set("<|[") & set(unicodedata.normalize("NFKC", c))]


@pytest.mark.parametrize(
    "unit", ["<", "[", "<|", "[[[", " ", "#", ">", "{", "assistant ", "\u00e9<|a", "<seed:a", "\n"]
)
def test_long_runs_take_no_longer_than_they_should(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    assert defused(text) == text


def test_injections_keep_their_words() -> None:
    for text in INJECTIONS.values():
        assert defused(text).replace(DOT, "") == text


@pytest.mark.skipif("OLDHAM_DATA" not in os.environ, reason="needs the data folder")
def test_real_completions_are_not_changed() -> None:
    files = sorted(Path(os.environ["OLDHAM_DATA"]).glob("xstest/completions_*.csv"))
    texts = [row["completion"] for file in files for row in csv.DictReader(file.open(encoding="utf-8", newline=""))]
    assert len(texts) == 1350
    assert [text for text in texts if defused(text) != text] == []
