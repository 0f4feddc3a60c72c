"""Small text classifiers that ship as one JSON file: normalised sentences, named features, hashed n-grams, a softmax.

An answer is read as plain sentences: lower case, straight quotes, no markdown, no code, no quotations, and contractions
written out. What is only the dress of a text therefore never reaches a feature. The weights are plain numbers in JSON,
and n-grams are kept as checksums, so a model file holds no text that it was fitted on and nothing that could run.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

from oldham.core.errors import DataError
from oldham.core.fingerprint import fingerprint
from oldham.judges.coherence import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable

_BEGINNING: Final = 800
"""Characters by which a language is told."""

FORMAT: Final = 1
"""The format of the model file that this version reads."""

_CODE: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_BLOCK_QUOTE: Final = re.compile(r"(?m)^[ \t]*>.*$")
_BULLET: Final = re.compile(r"(?m)^[ \t]*[*•+][ \t]+")
_MARKDOWN: Final = re.compile(r"\*+|(?<!\w)_{1,3}|_{1,3}(?!\w)|(?m:^[ \t]*#+[ \t]*)")
# Each begins with the mark itself: a pattern that begins with a look at the character before it is tried everywhere.
_DOUBLE_QUOTED: Final = re.compile(r"\"[^\"\n]{1,600}\"")
_SINGLE_QUOTED: Final = re.compile(r"'(?<!\w')(?:[^'\n]|(?<=\w)'(?=\w)){1,600}'(?!\w)")
_BREAK: Final = re.compile(r"(?<=[a-z)…\"'][.!?])\s+|\n+")
_STRAIGHT: Final = {0x2018: "'", 0x2019: "'", 0x02BC: "'", 0x201C: '"', 0x201D: '"', 0x2013: "-", 0x2014: "-"}
_CONTRACTED: Final = re.compile(
    r"\b(?:(?P<cannot>can(?: not|'?t)\b)|(?P<wont>won'?t\b)|(?P<verb>do|does|did|is|are|was|were|would|could|should|"
    r"have|has|had|must)n'?t\b|(?P<am>i'?m\b)|(?P<be>it|that|this|there|here|what|he|she|who|how|where)'s\b|"
    r"(?P<would>i|you|he|she|it|we|they|that)'d\b|(?P<ise>(?:apolog|author|emphas|prioriti|summar)i)s(?=e|ing)|"
    r"(?P<fulfil>fulfil\b))|'(?P<end>ll|ve|re)\b"
)
_WRITTEN: Final = {
    "cannot": "cannot",
    "wont": "will not",
    "verb": "{} not",
    "am": "i am",
    "be": "{} is",
    "would": "{} would",
    "ise": "{}z",
    "fulfil": "fulfill",
}
_ENDINGS: Final = {"ll": " will", "ve": " have", "re": " are"}
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_ENGLISH: Final = frozenset(
    {
        *("the", "a", "an", "of", "to", "and", "or", "is", "are", "was", "on", "i", "you", "it"),
        *("we", "they", "for", "that", "this", "not", "can", "will", "with", "be", "as", "at", "by", "from"),
        *("have", "your", "my", "but"),
    }
)
# The commonest words of German, French, Spanish, Italian and Portuguese that are no English words.
_OTHER: Final = frozenset(
    {
        *("der", "das", "und", "ist", "nicht", "ich", "sie", "ein", "eine", "zu", "mit", "den", "dem", "es"),
        *("für", "auf", "je", "ne", "pas", "vous", "les", "des", "est", "une", "dans", "que", "qui", "le"),
        *("la", "el", "los", "las", "lo", "un", "una", "por", "con", "para", "del", "como", "puedo", "il"),
        *("di", "che", "non", "sono", "gli", "os", "uma", "não", "em", "mas", "eu", "de"),
    }
)
_FEW: Final = 3
_TOKEN: Final = re.compile(r"[^\W\d_]+|…|\d+|[?!:]")


def plain_sentences(text: str) -> list[str]:
    """Return what a text says as plain lower-case sentences, in order.

    Code, quotations and block quotes become "…": they are shown and not said. A text that is one quotation from end to
    end is what is said; one that is all code says nothing. Bullets become "- ", and a line is a sentence of its own.

    Args:
        text: Any text.
    """
    plain = unicodedata.normalize("NFKC", visible(text)).translate(_STRAIGHT).lower()
    plain = _CODE.sub("…", plain) if "`" in plain else plain  # a text that is all code says nothing
    unquoted = spoken(plain)
    plain = unquoted if any(c.isalnum() for c in unquoted) else re.sub(r"(?m)^[> \t]+", "", plain).strip("\"' \n")
    plain = written_out(_MARKDOWN.sub("", _BULLET.sub("- ", plain)) if any(c in plain for c in "*_#•+") else plain)
    return [" ".join(part.split()) for part in _BREAK.split(plain) if any(c.isalnum() for c in part)]


def spoken(text: str) -> str:
    """Return a text with "…" in place of code and quotations, and without block quotes.

    Args:
        text: A text with straight quotes.
    """
    for mark, pattern, instead in (
        ("`", _CODE, "…"),
        (">", _BLOCK_QUOTE, ""),
        ('"', _DOUBLE_QUOTED, "…"),
        ("'", _SINGLE_QUOTED, "…"),
    ):
        if mark in text:
            text = pattern.sub(instead, text)
    return text


def in_english(text: str) -> bool:
    """Say whether a text is, or could be, English, by its script and its commonest words.

    A text is not if most of its letters are not Latin and it has fewer than three of the commonest English words, or if
    at least three words are among the commonest of German, French, Spanish, Italian or Portuguese and they are more
    than the English ones. A list of names is in any language. The first 800 characters are looked at.

    Args:
        text: Any text.
    """
    words = _LETTERS.findall(unicodedata.normalize("NFKC", _CODE.sub(" ", visible(text)[:_BEGINNING])).lower())
    english = sum(word in _ENGLISH for word in words)
    letters = "".join(words)
    if english < _FEW and sum(letter < "\u0250" for letter in letters) < len(letters) / 2:
        return False
    other = sum(word in _OTHER for word in words)
    return other < _FEW or other <= english


def written_out(text: str) -> str:
    """Return a lower-case text with its contractions written out, "cannot" as one word, in American spelling.

    Args:
        text: A text with straight quotes.
    """
    return _CONTRACTED.sub(_written, text)


def _written(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    return _ENDINGS[match["end"]] if kind == "end" else _WRITTEN[kind].format(match[kind])


def ngrams(sentences: Sequence[str], *, longest: int, place: str = "") -> Iterator[str]:
    """Yield the word n-grams of sentences; none reaches over the end of a sentence.

    Args:
        sentences: Plain sentences.
        longest: The most words in an n-gram, at least 1.
        place: Put before each n-gram, to tell the same words in different places apart.
    """
    for sentence in sentences:
        words = ["^", *("0" if word.isdigit() else word for word in _TOKEN.findall(sentence)), "$"]
        for size in range(1, longest + 1):
            for start in range(len(words) - size + 1):
                yield f"{place}{' '.join(words[start : start + size])}"


def hashed(gram: str) -> str:
    """Return the name under which a model file keeps an n-gram: "#" and eight hexadecimal digits, the same everywhere.

    Args:
        gram: An n-gram.
    """
    return f"#{zlib.crc32(gram.encode()):08x}"


class Prediction(NamedTuple):
    """What a model says of one text."""

    probabilities: dict[str, float]
    """One for each class, in the order of the model's classes; they sum to 1."""
    contributions: dict[str, dict[str, float]]
    """For each class and each present feature, its weight times its value."""


@dataclass(frozen=True)
class TextModel:
    """A multinomial logistic regression over named features."""

    classes: tuple[str, ...]
    """The classes; the weights of one of them may all be 0."""
    intercepts: tuple[float, ...]
    """One for each class."""
    weights: Mapping[str, tuple[float, ...]]
    """For each feature, one weight for each class. A feature of the text without weights counts nothing."""

    @cached_property
    def identity(self) -> str:
        """Fingerprint of all of it."""
        return fingerprint("text model", [self.classes, self.intercepts, dict(self.weights)])

    def predict(self, features: Mapping[str, float]) -> Prediction:
        """Return the probability of each class, and what it is made of.

        Args:
            features: Values by name; absent means 0. An n-gram's name is `hashed` of it.
        """
        sums = list(self.intercepts)
        parts: dict[str, dict[str, float]] = {name: {} for name in self.classes}
        for name, value in features.items():
            row = self.weights.get(name)
            if row is None or not value:
                continue
            for place, (kind, weight) in enumerate(zip(self.classes, row, strict=True)):
                sums[place] += weight * value
                parts[kind][name] = weight * value
        return Prediction(dict(zip(self.classes, softmax(sums), strict=True)), parts)


def softmax(sums: Sequence[float]) -> list[float]:
    """Return probabilities that are proportional to the exponentials of sums.

    Args:
        sums: At least one finite number.
    """
    top = max(sums)
    powers = [math.exp(value - top) for value in sums]
    total = sum(powers)
    return [power / total for power in powers]


@cache
def shipped_model(name: str) -> TextModel:
    """Return a model of this package.

    Args:
        name: The judge that it is for.

    Raises:
        DataError: The file is missing or damaged.
    """
    return load_model(resources.files("oldham.judges") / "models" / f"{name}.json")


def load_model(path: Traversable) -> TextModel:
    """Read a model file.

    Args:
        path: A JSON object with `format`, `classes`, `intercepts` and `weights`; other keys are for readers.

    Raises:
        DataError: The file is missing or no such object.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise ValueError(f"its format is {stored['format']}")
        classes = tuple(str(name) for name in stored["classes"])
        intercepts = tuple(float(value) for value in stored["intercepts"])
        weights = {str(name): tuple(float(value) for value in row) for name, row in stored["weights"].items()}
        if not classes or any(len(row) != len(classes) for row in (intercepts, *weights.values())):
            raise ValueError("its rows do not have one number for each class")
        if not all(math.isfinite(value) for row in (intercepts, *weights.values()) for value in row):
            raise ValueError("not all of its weights are finite")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"The model file `{path.name}` cannot be read: {error}.",
            place=str(path),
            remedy="Install the package again, or fit the model again.",
        ) from error
    return TextModel(classes, intercepts, weights)
