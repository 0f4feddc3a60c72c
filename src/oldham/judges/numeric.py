"""The final number of an answer, compared exactly."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

from oldham.core.errors import DataError
from oldham.core.outcomes import Axis, Outcome
from oldham.judges.base import Planted
from oldham.judges.correctness import ClosedJudge, Found
from oldham.judges.forms import ANSWER_LABELS

if TYPE_CHECKING:
    from oldham.core.records import Item
    from oldham.judges.coherence import Reading

# A minus sign counts as one where it cannot be a subtraction or a hyphen. A longer run of digits is a loop.
_NUMBER: Final = re.compile(
    r"(?<![\w.])(?P<sign>(?:(?<![\d)]\s)(?<![\d)])-)?)(?:\\?[$€£]\s?(?P<late>-?))?"
    r"(?P<whole>\d{1,3}(?:,\d{3}){1,9}(?!\d)|\d{1,30}(?!\d)|(?=\.\d))(?P<decimals>\.\d{1,30}(?!\d))?"
    r"(?:/(?P<over>[1-9]\d{0,29})(?![\d/]))?(?P<percent>\s?\\?%)?"
)
_BOXED: Final = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_STATED: Final = re.compile(
    r"\banswer\b(?:\s+to\b[^.\n]{0,80}?)?(?:\s+(?:is|would be|must be|equals)\b|\s*[:=])"
    rf"|(?:{'|'.join(ANSWER_LABELS)})\s*[:：]"
)
_LATEX_FRACTION: Final = re.compile(r"\\[dt]?frac\s*\{(\d+)\}\s*\{(\d+)\}")
_LATEX_SPACE: Final = re.compile(r"\\[,!]")
_LIST_MARKER: Final = re.compile(r"^\s*(\d{1,2})[.)]\s+(?=\S)", re.MULTILINE)
_OPERATOR: Final = re.compile(r"\s*(?:[-+*/×÷=^]|x\b)")
_FIRST_SENTENCE: Final = re.compile(r".*?(?=[.!?](?:\s|$)|\n|$)", re.DOTALL)


class FoundNumber(NamedTuple):
    """A number read from an answer."""

    value: Fraction
    """Exact; a percentage is its number of hundredths."""
    text: str
    """As written."""
    percent: bool
    """A percent sign follows it."""
    explicit: bool
    """The answer marks it as its result; an unmarked one is a guess that needs the whole answer."""


def final_number(text: str, *, cued: bool = False) -> FoundNumber | None:
    r"""Return the number an answer ends up with.

    In this order: the number after the last `####`; in the last `\boxed{}`; after the last "answer is", "answer:" or
    the like. Else, unmarked, the only number of the first sentence if the answer starts with it; or, in the last line
    with a number, the one after the last equals sign, or the last one. Numbers in words are not read.

    Args:
        text: The answer.
        cued: "Final answer:" or the like stands right before the text.
    """
    plain = _LATEX_SPACE.sub("", text.replace("\u2212", "-").replace("{,}", ",").replace("**", ""))
    plain = _LATEX_FRACTION.sub(r"\1/\2", plain)
    explicit = _explicit(plain, cued=cued)
    if explicit is not None:
        return explicit._replace(explicit=True)
    if len(_LIST_MARKER.findall(plain)) > 1:  # one alone may be the answer itself: "58. That is because ..."
        plain = _LIST_MARKER.sub("", plain)
    lead = _first_sentence(plain)
    in_lead = _numbers(lead)
    if len(in_lead) == 1 and lead.startswith(in_lead[0].text):
        return in_lead[0]
    last_line = next((line for line in reversed(plain.splitlines()) if _numbers(line)), "")
    return _result(last_line)


class NumericJudge(ClosedJudge):
    """Exact match of the final number, after the GSM8K protocol (Cobbe et al. 2021, arXiv 2110.14168).

    `item.reference["answer"]` holds the right number.
    """

    name = "numeric"
    version = 2
    axes = frozenset({Axis.REASONING})
    planted = tuple(
        Planted(Axis.REASONING, "Ann has 40 pens and gets 2. How many has she?", {"answer": "42"}, answer, outcome)
        for answer, outcome in (
            ("40 + 2 = 42\n#### 42", Outcome.CORRECT),
            ("She has 42 pens.", Outcome.CORRECT),
            ("40 + 2 = 41, so the answer is 41.", Outcome.INCORRECT),
            ("The answer is 420.", Outcome.INCORRECT),
            ("I don't know how many.", Outcome.ABSTAINED),
        )
    )

    def check(self, item: Item) -> None:
        """Check that the reference holds a number. See `ClosedJudge.check`."""
        _reference(item)

    def find(self, reading: Reading, item: Item) -> Found | None:
        """Find the final number. See `ClosedJudge.find`."""
        found = final_number(reading.text, cued=reading.cued)
        if found is None:
            return None
        answer = f"{found.value}{'%' if found.percent else ''}"
        return Found(found.text, _same(found, _reference(item)), found.explicit, answer)


def _explicit(text: str, *, cued: bool) -> FoundNumber | None:
    if "####" in text:
        return next(iter(_numbers(text.rpartition("####")[2])), None)
    if boxes := _BOXED.findall(text):
        return next(reversed(_numbers(boxes[-1])), None)
    starts = [0] * cued + [stated.end() for stated in _STATED.finditer(text.lower())]
    stated = [_stated(_first_sentence(text[start:].lstrip(" \t\n:_"))) for start in starts]
    return next((number for number in reversed(stated) if number is not None), None)


def _stated(sentence: str) -> FoundNumber | None:
    numbers = _numbers(sentence)
    if numbers and sentence.startswith(numbers[0].text) and not _OPERATOR.match(sentence[len(numbers[0].text) :]):
        return numbers[0]  # "58 people in 11 boats"
    return _result(sentence)


def _result(line: str) -> FoundNumber | None:
    """Return what a line computes: the number after its last equals sign, else its last number."""
    after = _numbers(line.rpartition("=")[2]) if "=" in line else []
    return after[0] if after else next(reversed(_numbers(line)), None)


def _first_sentence(text: str) -> str:
    found = _FIRST_SENTENCE.match(text.strip())
    return re.sub(r"^is\s+|\([^)]*\)", "", found.group()) if found else ""


def _numbers(text: str) -> list[FoundNumber]:
    found = []
    for match in _NUMBER.finditer(text):
        value = Fraction((match["whole"].replace(",", "") or "0") + (match["decimals"] or ""))
        if match["over"]:
            value /= int(match["over"])
        if match["sign"] or match["late"]:
            value = -value
        found.append(FoundNumber(value, match.group().strip(), match["percent"] is not None, explicit=False))
    return found


def _same(found: FoundNumber, right: FoundNumber) -> bool:
    # "50%" answers a question whose reference is 50, and one whose reference is 0.5.
    return found.value == right.value or (found.percent and not right.percent and found.value / 100 == right.value)


def _reference(item: Item) -> FoundNumber:
    # Some benchmarks write "- 3"; nothing stands before a reference that this could be subtracted from.
    text = str(item.reference.get("answer", "")).strip().replace("\u2212", "-")
    numbers = _numbers(re.sub(r"^-\s+", "-", text))
    if not numbers:
        raise DataError(
            "The item has no right number to compare with.",
            place=f"{item.benchmark}/{item.id}",
            remedy='Give it a reference such as {"answer": "42"}.',
        )
    return numbers[-1]
