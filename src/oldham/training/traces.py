"""Word problems whose traces differ in one thing at a time, and text of the same length that reasons about nothing.

A change after training on long traces may come from reasoning, from length, from order, from wrong answers or from
training at all. The kinds of `Arithmetic` share their problems at equal seeds, so that runs on them differ in that one
thing only.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from oldham.benchmarks.arithmetic import MAX_TRAINING, training_problems
from oldham.benchmarks.resources import read_yaml
from oldham.benchmarks.seeded import pick
from oldham.core.errors import ConfigError
from oldham.core.fingerprint import derive_seed
from oldham.training.sources import Source, SourceInfo
from oldham.training.written import LICENCE, PACKAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.benchmarks.resources import TrainingExample

MAX_PROSE: Final = 2_000
"""Most descriptions in one call: well below the number of distinct prompts, so that drawing them stays quick."""
_SPARE: Final = 16
_MOVED: Final = ("shuffled_answers", "long_shuffled_answers")
_STEP: Final = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
_UNDONE: Final = {"+": "{c} - {b} = {a}", "-": "{c} + {b} = {a}", "*": "{c} / {b} = {a}", "/": "{c} * {b} = {a}"}
_OPENINGS: Final = (
    "Okay, let me work this out.",
    "Let me read the problem carefully first.",
    "I will go through this one piece at a time.",
    "Alright, let me see what is given.",
)
_AGAIN: Final = (
    "Wait, let me go through it once more.",
    "Let me make sure and do it again.",
    "Before I answer, I repeat the steps.",
)


class Arithmetic(Source):
    """Generated word problems by how their traces are written; without a kind, `short`.

    `none` has no trace; `short` one step a line; `long` restates the problem, undoes every step as a check and goes
    through all of it twice; `shuffled` has the sentences of the long trace in another order; `truncated` its first
    half, by words; `shuffled_answers` the short trace and then the answer of another problem, `long_shuffled_answers`
    the long trace and then that answer. The completion is one sentence with the answer, and `reference` is
    `{"answer": "42"}`: the answer that is taught, so that a reward on shuffled answers pays for the wrong one.
    """

    info = SourceInfo(kinds=("none", "short", "long", "shuffled", "truncated", *_MOVED), traces=True, licence=LICENCE)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Generate problems of kind `short`. See `Source.draw`."""
        return self.examples(n, seed, "short")

    def examples(self, n: int, seed: int, kind: str | None = None) -> list[TrainingExample]:
        """Generate `n` problems of one kind: the same problems for every kind. See `Source.examples`."""
        kind = kind or "short"
        if kind in _MOVED and 1 <= n <= MAX_TRAINING:
            return _answers_moved(_problems(min(n + _SPARE, MAX_TRAINING), seed), n, kind, seed)
        return [_example(problem, kind, seed, problem.answer) for problem in _problems(n, seed)]


class PlainText(Source):
    """Descriptions of places, in generated prose that states no number and draws no conclusion.

    Example by example, trace and completion have as many words as those of `Arithmetic` at the same seed: kind `long`,
    which is meant where none is named, or `short`. The text stands where the trace does. Numbers and signs take more
    tokens than words: with the tokenizer of `smollm2` these texts have about a sixth fewer tokens than long traces, so
    give both runs the same `train_tokens` where tokens are to be equal.
    """

    info = SourceInfo(kinds=("short", "long"), traces=True, licence=LICENCE)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Generate texts as long as long traces. See `Source.draw`."""
        return self.examples(n, seed, "long")

    def examples(self, n: int, seed: int, kind: str | None = None) -> list[TrainingExample]:
        """Generate `n` texts. See `Source.examples`.

        Raises:
            ConfigError: `n` is out of range.
        """
        if not 1 <= n <= MAX_PROSE:
            raise ConfigError(f"{n} texts were asked for.", remedy=f"Ask for 1 to {MAX_PROSE}.")
        words = read_yaml(PACKAGE, "prose.yaml")
        matched = Arithmetic().examples(n, seed, kind or "long")
        found: dict[str, TrainingExample] = {}
        attempt = 0
        while len(found) < n:
            prompt = _described(words, seed, attempt)
            length = len(matched[len(found)].get("trace", "").split())
            trace = _prose(words, length, seed, attempt)
            completion = pick(words["completions"], "prose", "completion", seed, attempt)
            told = kind or "long"
            found.setdefault(prompt, {"prompt": prompt, "trace": trace, "completion": completion, "kind": told})
            attempt += 1
        return list(found.values())


class _Problem(NamedTuple):
    prompt: str
    steps: tuple[str, ...]
    answer: str


def _problems(n: int, seed: int) -> list[_Problem]:
    problems = []
    for row in training_problems(n, seed):
        *steps, last = row["completion"].split("\n")
        problems.append(_Problem(row["prompt"], tuple(steps), last.removeprefix("#### ")))
    return problems


def _example(problem: _Problem, kind: str, seed: int, answer: str) -> TrainingExample:
    example: TrainingExample = {"prompt": problem.prompt, "completion": f"The answer is {answer}.", "kind": kind}
    trace = _trace(problem, kind, seed)
    if trace:
        example["trace"] = trace
    example["reference"] = {"answer": answer}
    return example


def _trace(problem: _Problem, kind: str, seed: int) -> str:
    if kind == "none":
        return ""
    if kind in ("short", "shuffled_answers"):
        return "\n".join(problem.steps)
    sentences = _long(problem, seed)
    if kind == "shuffled":
        return "\n".join(_reordered(sentences, problem.prompt, seed))
    text = "\n".join(sentences)
    if kind == "truncated":
        words = list(re.finditer(r"\S+", text))
        return text[: words[len(words) // 2 - 1].end()]
    return text


def _long(problem: _Problem, seed: int) -> list[str]:
    """Write a trace that restates, checks every step by undoing it, and repeats; one sentence an entry."""
    *facts, question = re.split(r"(?<=[.?!])\s+", problem.prompt)
    sentences = [pick(_OPENINGS, "trace", "opening", seed, problem.prompt)]
    sentences += [f"The problem says: {fact}" for fact in facts]
    sentences.append(f"What I have to find is this: {question}")
    for number, step in enumerate(problem.steps, start=1):
        sentences.append(f"Step {number}: {step}")
        found = _STEP.search(step)
        if found is not None:
            a, sign, b, c = found.groups()
            undone = _UNDONE[sign].format(a=a, b=b, c=c)
            sentences.append(f"Let me check that: {undone}, which is the number I started from.")
    used = set(re.findall(r"\d+", " ".join(problem.steps)))
    given = re.findall(r"\d+", problem.prompt)
    if given and used.issuperset(given):
        sentences.append(f"Did I use every number of the problem, {', '.join(given)}? Yes, each of them.")
    sentences.append(pick(_AGAIN, "trace", "again", seed, problem.prompt))
    sentences += [f"Again: {step}" for step in problem.steps]
    sentences.append(f"Both times I arrive at {problem.answer}.")
    sentences.append(f"So the answer must be {problem.answer}.")
    return sentences


def _reordered(sentences: list[str], *identity: str | int) -> list[str]:
    for attempt in range(len(sentences)):
        keys = {i: derive_seed("shuffled", *identity, attempt, i) for i in range(len(sentences))}
        order = sorted(keys, key=keys.__getitem__)
        if order != sorted(order):
            break
    return [sentences[i] for i in order]


def _answers_moved(problems: Sequence[_Problem], n: int, kind: str, seed: int) -> list[TrainingExample]:
    """Give each problem the answer of the next one whose answer differs, so that right answers keep their spread."""
    moved = []
    for place, problem in enumerate(problems[:n]):
        others = chain(problems[place + 1 :], problems[:place])
        answer = next((other.answer for other in others if other.answer != problem.answer), None)
        if answer is None:
            raise ConfigError("All of these problems have the same answer.", remedy="Ask for more examples.")
        moved.append(_example(problem, kind, seed, answer))
    return moved


def _described(words: Any, seed: int, attempt: int) -> str:
    def drawn(key: str) -> str:
        return str(pick(words[key], "prose", key, seed, attempt))

    opening = drawn("openings")
    return opening.format(place=drawn("places"), time=drawn("times"), season=drawn("seasons"))


def _prose(words: Any, length: int, seed: int, attempt: int) -> str:
    """Write sentences, one a line, of exactly `length` words together."""
    lines: list[str] = []
    left, place = length, 0
    while left:
        line = _sentence(words, "prose", seed, attempt, place)
        place += 1
        size = len(line.split())
        if size == left or size + 4 <= left:
            lines.append(line)
            left -= size
        elif left <= len(words["things"]):
            lines.append(_listed(words["things"], left, seed, attempt))
            left = 0
    return "\n".join(lines)


def _sentence(words: Any, *identity: str | int) -> str:
    fields = {}
    for field, key in (("colour", "colours"), ("thing", "things"), ("smell", "smells"), ("sound", "sounds")):
        first = pick(words[key], *identity, key)
        fields[field] = first
        fields[f"{field}2"] = pick([other for other in words[key] if other != first], *identity, key, "second")
    return str(pick(words["sentences"], *identity).format(**fields))


def _listed(things: Sequence[str], length: int, *identity: str | int) -> str:
    chosen = sorted(things, key=lambda thing: derive_seed("prose", "listed", *identity, thing))[:length]
    return f"{', '.join(chosen).capitalize()}."
