"""Which language a text is in, as far as stop words and scripts tell, and whether it is language at all.

Everything here is made to miss rather than to raise a false alarm: a text is called wrong only where it is long enough,
clear, and nothing in what was asked explains it. Code, links and names are no evidence.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_WORDS: Final = 12
"""A text with fewer words is never judged by its stop words."""
MIN_LETTERS: Final = 12
"""A text with fewer letters is never judged by its script."""
_MAIN_SCRIPT: Final = 0.7
_CLEAR: Final = 0.2
_ODD: Final = 0.5
_MIXED: Final = 0.3
_MIN_TOKENS: Final = 20
_FEW_STOP_WORDS: Final = 0.03
_LONGEST_PROMPT: Final = 20_000
_MIN_DISTINCT: Final = 3

_STOP_WORDS: Final = {
    language: frozenset(words.split())
    for language, words in (
        (
            "English",
            "the a me so no do of and to in is that it for you with as are this be on not or by from at your can "
            "have an which will "
            "if but they we he his was would i my should there their what when how some could about",
        ),
        (
            "German",
            "der die das und ist nicht ein eine zu mit sich auf für von dem den des im auch es sie ich wir werden wird "
            "haben oder aber wenn sind kann man dass wie nur noch bei aus einen einer einem durch über können",
        ),
        (
            "French",
            "le la les des et est une un du dans pour que qui sur avec pas ne au aux ce cette sont ou il elle "
            "nous vous "
            "je se plus par mais être peut comme ont leur votre vos ces si",
        ),
        (
            "Spanish",
            "el la los las de y en que es un una por con para del al no se su lo como más pero son está este esta "
            "puede si ha muy o sus también cuando sin sobre ser hay yo tu",
        ),
        (
            "Italian",
            "il lo la gli le di e che è un una in per con non del della dei delle nel nella sono si da al alla come "
            "più ma anche questo questa può essere ha o se i suo",
        ),
        (
            "Portuguese",
            "o a os as de e em que é um uma por com para do da dos das no na não se seu sua como mais mas são está "
            "este esta pode ser ou também quando ao você isso",
        ),
    )
}
# Enough of other languages in this script that none of them looks like noise.
_OTHER_STOP_WORDS: Final = (
    "van het een niet dat zijn op och att det som inte på og jeg ikke til av i w nie na się jest to że do bir ve bu da "
    "de için ile yang dan di untuk dengan ini itu tidak và của là không có được la ja on ei se että si nu este în pe "
    "care cu je az egy és hogy nem ang ng sa mga at ay ya wa kwa"
)
_ANY_STOP_WORD: Final = frozenset().union(*_STOP_WORDS.values(), _OTHER_STOP_WORDS.split())
_SCRIPTS: Final = {
    name: re.compile(f"[{letters}]")
    for name, letters in (
        ("Latin", "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"),
        ("Cyrillic", "\u0400-\u052f"),
        ("Greek", "\u0370-\u03ff\u1f00-\u1fff"),
        ("East Asian", "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"),
        ("Hangul", "\u1100-\u11ff\uac00-\ud7af"),
        ("Arabic", "\u0620-\u064a\u066e-\u06d3\u0750-\u077f"),
        ("Hebrew", "\u05d0-\u05ea"),
        ("Devanagari", "\u0904-\u0939\u0958-\u0961"),
        ("Bengali", "\u0985-\u09b9"),
        ("Tamil", "\u0b85-\u0bb9"),
        ("Thai", "\u0e01-\u0e30\u0e32-\u0e33\u0e40-\u0e46"),
        ("Georgian", "\u10a0-\u10ff"),
        ("Armenian", "\u0531-\u0587"),
    )
}
_NOT_LATIN: Final = re.compile("[\u0370-\u1dff\u1f00-\u1fff\u2e80-\ud7ff\uf900-\ufaff]")
_SHOWN: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|https?://\S+|\$[^$\n]+\$|\\\[.*?\\\]|\\\(.*?\\\)", re.DOTALL)
_WORD: Final = re.compile(r"[^\W\d_]+")
# Any of these in what was asked, and an answer in another language may be just what was wanted.
_NAMES_A_LANGUAGE: Final = re.compile(
    r"translat|transliterat|übersetz|tradu[ciz]|翻译|翻訳|перев[её]д|multilingual|bilingual|\blanguages\b"
    r"|\b(?:any|other|another|foreign|native|which|what|same|first|second|official|mother) (?:language|tongue)\b"
    r"|\b(?:english|german|french|spanish|italian|portuguese|russian|ukrainian|chinese|mandarin|cantonese|"
    r"japanese|korean|"
    r"arabic|hebrew|hindi|urdu|bengali|tamil|thai|greek|latin|dutch|polish|czech|turkish|vietnamese|indonesian|swedish|"
    r"norwegian|danish|finnish|romanian|hungarian|persian|farsi|swahili|zulu|welsh|gaelic|esperanto|armenian|georgian|"
    r"deutsch|englisch|französisch|spanisch|français|anglais|allemand|español|inglés|italiano|inglese|"
    r"português|inglês)\b"
    r"|中文|汉语|英语|日本語|英語|한국어|русск|английск|العربية|हिन्दी",
    re.IGNORECASE,
)
# No vowel in a word of four letters, five consonants in a row, a capital in mid-word, or a word of unlikely length.
_ODD_WORD: Final = re.compile(
    r"[b-df-hj-np-tv-xz]{5}|\A[b-df-hj-np-tv-xz]{4,}\Z|\A.*[a-z][A-Z]|\A.{26}|[^\W\d_]\d+[^\W\d_]"
)
_TOKEN: Final = re.compile(r"[^\W_]+")


def language_of(text: str) -> str | None:
    """Return the language of a text in a Latin script, by its stop words.

    Args:
        text: Any text.

    Returns:
        English, German, French, Spanish, Italian or Portuguese; None for any other, a short or an unclear text.
    """
    counts, total = _stop_words(text)
    if total < MIN_WORDS:
        return None
    first, second = sorted(counts, key=counts.__getitem__, reverse=True)[:2]
    clear = counts[first] >= _CLEAR * total and counts[first] >= 1.2 * counts[second] + 2
    # One small word again and again, such as "plus" in a sum, is no French.
    various = len(_STOP_WORDS[first].intersection(_WORD.findall(text.lower()))) >= _MIN_DISTINCT
    return first if clear and various else None


def script_of(text: str) -> str | None:
    """Return the script of most letters of a text.

    Args:
        text: Any text.

    Returns:
        The script's name; Chinese and Japanese are both `East Asian`. None for a short or a mixed text.
    """
    counts = _letters(text)
    total = sum(counts.values())
    first = max(counts, key=counts.__getitem__)
    return first if total >= MIN_LETTERS and counts[first] >= _MAIN_SCRIPT * total else None


def wrong_language(text: str, asked: str) -> str:
    """Say whether a text is in a language or script that nothing in what was asked explains.

    Args:
        text: An answer.
        asked: The rendered prompt and whatever else was put before the model. Every language of at least a part of it
            is fine, and where it names any language, or a translation, nothing is wrong.

    Returns:
        The language or script that is wrong; empty where none is.
    """
    scripts, languages, named = _asked_for(asked[-_LONGEST_PROMPT:])
    if named or not scripts:
        return ""
    # By far the most answers are English, to an English request.
    if text.isascii() and (not languages or ("English" in languages and " the " in text)):
        return "" if "Latin" in scripts else _foreign_script(text, scripts)
    said = _said(text)
    if strange := _foreign_script(text, scripts):
        return strange
    if not languages:
        return ""
    language = language_of(said)
    if language is None or language in languages:
        return ""
    counts, _ = _stop_words(said)
    # Related languages share stop words, and a text may quote another: half as many of a known one excuse it.
    return "" if any(2 * counts[known] >= counts[language] for known in languages) else language


def before_other_script(text: str, asked: str) -> str:
    """Return a text up to where it turns to a script that nothing in what was asked explains.

    Args:
        text: An answer.
        asked: The rendered prompt and whatever else was put before the model.
    """
    scripts, _, _ = _asked_for(asked[-_LONGEST_PROMPT:])
    foreign = [letters.search(text) for name, letters in _SCRIPTS.items() if name not in scripts]
    return text[: min((hit.start() for hit in foreign if hit), default=len(text))].rstrip()


def is_noise(text: str, words: Sequence[str]) -> bool:
    """Say whether a text is random tokens: hardly a known stop word and mostly odd words, or scripts mixed in words.

    Args:
        text: Any text.
        words: Its words in lower case.
    """
    if len(words) < _MIN_TOKENS or sum(map(_ANY_STOP_WORD.__contains__, words)) > _FEW_STOP_WORDS * len(words):
        return False
    tokens = [token for token in _TOKEN.findall(_SHOWN.sub(" ", text)) if not token.isdigit()]
    if len(tokens) < _MIN_TOKENS:
        return False
    odd = {t for t in tokens if not t.isupper() and _ODD_WORD.search(t) is not None}
    if len(odd) > _ODD * len(tokens):
        return True
    mixed = [t for t in tokens if _NOT_LATIN.search(t) is not None and _mixes_scripts(t)]
    return len(mixed) > _MIXED * len(tokens)


def _said(text: str) -> str:
    return _SHOWN.sub(" ", text) if "`" in text or "//" in text or "$" in text or "\\" in text else text


def _foreign_script(text: str, scripts: frozenset[str]) -> str:
    script = script_of(_said(text))
    return "" if script is None or script in scripts else script


@lru_cache(maxsize=2048)
def _asked_for(asked: str) -> tuple[frozenset[str], frozenset[str], bool]:
    """Return the scripts and the languages of a prompt, and whether it names a language."""
    letters = _letters(asked)
    if sum(letters.values()) < MIN_LETTERS:
        return frozenset(), frozenset(), False
    scripts = frozenset(name for name, n in letters.items() if n >= 2)
    words = set(_WORD.findall(asked.lower()))
    distinct = {name: len(words & known) for name, known in _STOP_WORDS.items()}
    first, second = sorted(distinct.values(), reverse=True)[:2]
    # A prompt whose own language is not clear may be in any.
    clear = first >= _MIN_DISTINCT and first > second
    languages = frozenset(name for name, n in distinct.items() if clear and n >= min(_MIN_DISTINCT, first))
    return scripts, languages, _NAMES_A_LANGUAGE.search(asked) is not None


def _stop_words(text: str) -> tuple[dict[str, int], int]:
    words = _WORD.findall(text.lower())
    return {name: sum(map(known.__contains__, words)) for name, known in _STOP_WORDS.items()}, len(words)


def _letters(text: str) -> dict[str, int]:
    if _NOT_LATIN.search(text) is None:
        return {"Latin": len(_SCRIPTS["Latin"].findall(text))}
    return {name: len(letters.findall(text)) for name, letters in _SCRIPTS.items()}


def _mixes_scripts(word: str) -> bool:
    counts = _letters(word)
    # Latin words stand in Chinese, Japanese and Korean text without a space.
    spaced = [name for name, n in counts.items() if n and name not in ("East Asian", "Hangul")]
    return len(spaced) > 1
