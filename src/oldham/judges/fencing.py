"""Showing a judge's model a text that is to be judged, so that the text cannot speak for itself.

Two dangers are met. A text can hold what a tokenizer reads as a control token, such as the end of a turn, and so leave
the place it was put in. Or it can hold what a model takes for the end of the text, followed by a verdict. Against the
first, whatever looks like control is defused; against the second, the text stands between markers with a case code
that its author could not know, and a reply counts only with that code.

Defusing puts a middle dot after the opening bracket: `<|im_end|>` becomes `<·|im_end|>`. A visible character is chosen
because tokenizers may drop invisible ones before they look for special tokens, and because a person who reads what a
judge was shown should see that something was done. Of the visible ones, the middle dot is in every vocabulary by its
bytes, no normal form of Unicode changes it, and it is part of no control token.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

from oldham.core.fingerprint import fingerprint

DOT: Final = "\u00b7"
"""What is put after an opening bracket."""
CASE_LETTERS: Final = 8
"""Letters of a case code: 32 bits."""
# Letters without vowels: a code is never a number in a reply, and never a word.
_LETTERS: Final = dict(zip("0123456789abcdef", "bcdfghjklmnpqrst", strict=True))

# In angle brackets without a bar: special tokens of published tokenizers, and frames of published judge prompts. HTML
# tags that some tokenizers hold too (`<table>`, `<video>`) are ordinary text and left alone.
_TAGS: Final = (
    r"s|bos|eos|pad|unk|mask(?::\d+)?|cls|sep|sop|eop|eod|eot|eom|start_of_turn|end_of_turn|start_of_image|"
    r"end_of_image|image_soft_token|think|thinking|thought|reasoning|tool_calls?|tool_response|fim_[a-z]+|repo_name|"
    r"reponame|file_sep|filename|gh_stars|empty_output|commit_(?:before|msg|after)|issue_(?:start|comment|closed)|"
    r"jupyter_[a-z_]+|unused_?\d+|extra_id_\d+|reserved_\d+|special_\d+|seed:\w+|"
    r"(?:begin|end)\x20(?:of\x20)?(?:conversation|unsafe\x20content\x20categories|safety\x20policy)"
)
# In square brackets and in capitals, for `[args]` and `[prefix]` are ordinary in a manual.
_NAMES: Final = (
    r"INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|CALL_ID|ARGS|MODEL_SETTINGS|THINK|"
    r"PREFIX|MIDDLE|SUFFIX|IMG|IMG_BREAK|IMG_END|AUDIO|BEGIN_AUDIO|CLS|SEP|PAD|UNK|MASK|[gs]MASK|BOS|EOS|EOT|"
    r"UNUSED(?:_TOKEN_)?\d+|unused\d+|control_\d+"
)
_CONTROL: Final = re.compile(
    rf"""
      <(?=\|[^\s<>|{DOT}]{{1,60}}\|?> | [^\s<>|{DOT}]{{1,60}}\|>)        # <|im_end|>, <|turn>, <turn|>
    | <(?=/?(?:{_TAGS})/?>)                                     # </s>, <start_of_turn>, <think>
    | <(?=<[ ]?/?[ ]?sys[ ]?>>)                                 # <<SYS>>
    | \[(?=\|[^\s\[\]|{DOT}]{{1,60}}\|\])                            # [|assistant|]
    | \[(?=/?(?:(?-i:{_NAMES})|inst)\])                         # [/INST]
    | \[(?=\[\[\W{{0,8}}(?:begin|end|start|stop)(?![a-z]))     # a marker as `fenced` writes it
    | ◁(?=/?think▷)
    | >(?=>[a-z]{{4,20}}<<)                                     # >>QUESTION<<
    | \](?=~!?b[\]\[] | <\]) | \[(?=e~\[)                       # ]~b], ]<], [e~[
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SPEAKER: Final = (
    r"(?:system|developer|user|human|assistant|model|bot|chatbot|agent|tool|ai)"
    r"(?: (?:user|assistant|model|question|request|prompt|message|input|response|reply|answer|turn))?"
)
# A line that is a role's header and nothing else, and headers that open a turn in formats without control tokens.
_HEADER: Final = re.compile(
    rf"(?im:^[ \t>#*]*{_SPEAKER}[*]*(?P<alone>[ \t]*:)(?=[ \t*]*$))"
    rf"|(?im:^[ \t]*\#{{2,}}[ \t]*(?:{_SPEAKER}|instruction|input|response)(?P<hashed>[ \t]*:))"
    r"|(?m:^[ \t]*(?:USER|ASSISTANT|SYSTEM|Human|Assistant)(?P<named>[ \t]*:))"
)
_ODD: Final = re.compile(r"[^\t\n\r -~]")
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0") | {chr(c) for c in range(0xFE00, 0xFE10)}


def case_code(trial: str, *texts: str) -> str:
    """Return the code of a case: eight consonants that appear in none of its texts.

    It follows from the trial and from the texts, so it is the same on every run, and it cannot be written by whoever
    wrote one of the texts, for another text has another code.

    Args:
        trial: Fingerprint of the trial that is judged.
        *texts: Everything that will be shown between markers.
    """
    attempt = 0
    while True:
        digits = fingerprint("judge case", [trial, attempt, *texts], length=CASE_LETTERS)
        code = "".join(_LETTERS[digit] for digit in digits)
        if not any(code in text.lower() for text in texts):
            return code
        attempt += 1


def fenced(text: str, label: str, case: str) -> str:
    """Return a text between two marker lines, with whatever looks like control in it defused.

    Args:
        text: Any text.
        label: What it is, such as `RESPONSE`.
        case: The code of the case, see `case_code`. A copy of it in the text is broken by a middle dot.

    Returns:
        The opening marker, the text and the closing marker, a line each.
    """
    inner = re.sub(f"(?={re.escape(case)})(.)", rf"\1{DOT}", defused(text))
    return f"[[[BEGIN {label} {case}]]]\n{inner}\n[[[END {label} {case}]]]"


def defused(text: str) -> str:
    """Return a text in which nothing is read as a control token of a chat template.

    A middle dot goes after the opening bracket of special tokens of published tokenizers, of thinking markers and of
    look-alikes of this module's markers, and before the colon of a line such as `assistant:`. Full-width letters and
    invisible characters between the letters do not hide a token. Text without any of these is returned unchanged, and
    a second pass changes nothing. It is a list of known forms: a special token of another shape passes.

    Args:
        text: Any text.
    """
    plain, places = (text, None) if _ODD.search(text) is None else _skeleton(text)
    cuts = {match.end() for match in _CONTROL.finditer(plain)}
    if ":" in plain:
        cuts.update(match.start(match.lastgroup or 0) for match in _HEADER.finditer(plain))
    if not cuts:
        return text
    # The dot touches the character before it, whatever invisible ones follow in the text.
    spots = sorted(cut if places is None else places[cut - 1] + 1 for cut in cuts)
    pieces = [text[start:end] for start, end in zip([0, *spots], [*spots, len(text)], strict=True)]
    return DOT.join(pieces)


def _skeleton(text: str) -> tuple[str, list[int]]:
    """Return a text in compatibility form without invisible characters, and where each character comes from."""
    shown = [(_plain(character), place) for place, character in enumerate(text)]
    return "".join(plain for plain, _ in shown), [place for plain, place in shown for _ in plain]


@cache
def _plain(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cf" or (kind == "Cc" and not character.isspace()) or character in _INVISIBLE:
        return ""
    normal = unicodedata.normalize("NFKC", character)
    # A character that stands for several is a symbol of its own and no bracket or letter of a token.
    return normal if len(normal) == 1 else character
