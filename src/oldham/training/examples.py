"""The training set: its parts gathered, own answers generated, shuffled by the seed, safety data mixed in."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, NamedTuple

from oldham.core.errors import ConfigError, DataError, did_you_mean
from oldham.core.fingerprint import derive_seed
from oldham.training.methods import DPOSettings, OnlineSettings
from oldham.training.own import own_answers
from oldham.training.sources import SOURCES, OwnSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oldham.benchmarks.resources import TrainingExample
    from oldham.training.config import DataSource, Mix, TrainingSettings


def build_examples(settings: TrainingSettings, *, note: Callable[[str], None] | None = None) -> list[TrainingExample]:
    """Gather a run's training examples.

    `mix` replaces a share of `data`. Which examples give way follows from the run's seed, and a larger share takes the
    place of those that a smaller one did and of more, so that doses are nested. With order `mixed` each safety example
    stands exactly where another stood, and all others stay where they were.

    Args:
        settings: The run's settings.
        note: Is told what a reader should know of the data, such as how many own answers were thrown away.

    Returns:
        Examples in training order, as many as `data` has. All have a `completion`, but for methods that sample their
        own; all have `rejected` for preference methods.

    Raises:
        ConfigError: A source is unknown or has fewer examples than asked for, or its examples do not fit the method.
        DataError: A file is missing or malformed.
    """
    tell = note or (lambda _: None)
    if settings.mix is not None:
        _source(settings.mix.source)  # a misspelt name is told before anything is generated
    examples: list[TrainingExample] = []
    for source in settings.data:
        part = _gather(source, settings.model, tell)
        examples += own_answers(settings.model, part, source.answer_tokens) if source.answers == "own" else part
    _check(examples, settings, remedy="Set `answers: own` on its source, so that the model answers it first.")
    random.Random(settings.seed).shuffle(examples)  # noqa: S311 (an order, not a secret)
    return examples if settings.mix is None else _mixed(examples, settings.mix, settings, tell)


class _Wanted(NamedTuple):
    name: str
    n: int
    seed: int
    kind: str | None
    answer_tokens: int = 64


def _gather(source: DataSource, model: str, tell: Callable[[str], None]) -> list[TrainingExample]:
    if source.file is None:
        wanted = _Wanted(str(source.source), source.n, source.seed, source.kind, source.answer_tokens)
        return _taken(wanted, model, tell)
    rows = _read_file(source.file)
    if source.kind is not None:
        _check_kind(str(source.file), source.kind, {row["kind"] for row in rows})
        rows = [row for row in rows if row["kind"] == source.kind]
    return _first(rows, source.n, str(source.file))


def _taken(wanted: _Wanted, model: str, tell: Callable[[str], None]) -> list[TrainingExample]:
    source = _source(wanted.name)
    if wanted.kind is not None and source.info.kinds:
        _check_kind(wanted.name, wanted.kind, source.info.kinds)
    if not isinstance(source, OwnSource):
        return _first(source.examples(wanted.n, wanted.seed, wanted.kind), wanted.n, wanted.name)
    answered = source.answered(model, wanted.n, wanted.kind, answer_tokens=wanted.answer_tokens)
    tell(f"{wanted.name}: {answered.told}")
    if len(answered.examples) < wanted.n:
        raise ConfigError(
            f"`{wanted.name}` has {len(answered.examples)} examples, not {wanted.n}. {answered.told}",
            remedy="Ask for fewer, for one kind alone, or for answers of a model that refuses more.",
        )
    return answered.examples


def _source(name: str) -> Any:
    if name not in SOURCES.names():
        raise ConfigError(f"There is no training source `{name}`.", remedy=did_you_mean(name, SOURCES.names()))
    return SOURCES.get(name)()


def _check_kind(name: str, kind: str, kinds: Any) -> None:
    if kind not in kinds:
        raise ConfigError(f"`{name}` has no kind `{kind}`.", remedy=did_you_mean(kind, kinds))


def _first(rows: list[TrainingExample], n: int, name: str) -> list[TrainingExample]:
    if len(rows) < n:
        raise ConfigError(f"`{name}` has {len(rows)} examples, not {n}.", remedy="Ask for fewer.")
    return rows[:n]


def _check(examples: list[TrainingExample], settings: TrainingSettings, *, remedy: str) -> None:
    """Say which example does not fit the method; one that learns from its own samples needs prompts alone."""
    if isinstance(settings, OnlineSettings):
        return
    bare = next((row for row in examples if "completion" not in row), None)
    if bare is not None:
        raise ConfigError(f"An example of kind `{bare['kind']}` has no completion.", remedy=remedy)
    lonely = next((row for row in examples if "rejected" not in row), None)
    if lonely is not None and isinstance(settings, DPOSettings):
        raise ConfigError(
            f"An example of kind `{lonely['kind']}` has no `rejected`, which {settings.method} compares with.",
            remedy="Take a source of pairs, such as `safe_over_jailbroken`, or a file with `rejected` on each line.",
        )


def _mixed(
    examples: list[TrainingExample], mix: Mix, settings: TrainingSettings, tell: Callable[[str], None]
) -> list[TrainingExample]:
    share = int(mix.ratio * len(examples) + 0.5)
    if share == 0:
        return examples
    safety = _taken(_Wanted(mix.source, share, mix.seed, mix.kind), settings.model, tell)
    _check(safety, settings, remedy="Name another source in `mix`, or take it into `data` with `answers: own`.")
    places = list(range(len(examples)))
    random.Random(derive_seed("mix", settings.seed)).shuffle(places)  # noqa: S311 (an order, not a secret)
    replaced = dict(zip(places, safety, strict=False))
    if mix.order == "mixed":
        return [replaced.get(place, example) for place, example in enumerate(examples)]
    kept = [example for place, example in enumerate(examples) if place not in replaced]
    shuffled = [replaced[place] for place in sorted(replaced)]
    return shuffled + kept if mix.order == "before" else kept + shuffled


def _read_file(path: Path) -> list[TrainingExample]:
    try:
        # Not `splitlines`, which also parts lines at characters that JSON leaves as they are, such as U+2028.
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError("The training file is not UTF-8 text.", place=str(path)) from error
    except OSError as error:
        raise DataError(f"The training file cannot be read ({error.strerror}).", place=str(path)) from error
    return [_read_line(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]


def _read_line(line: str, place: str) -> TrainingExample:
    try:
        row = json.loads(line)
        example: TrainingExample = {
            "prompt": _text(row["prompt"], "prompt", place),
            "kind": _text(row.get("kind", "file"), "kind", place),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            "This line is not a training example.",
            place=place,
            remedy='Write {"prompt": "...", "completion": "..."} on each line.',
        ) from error
    for key in ("completion", "context", "trace", "rejected", "rejected_trace"):
        if row.get(key) is not None:
            example[key] = _text(row[key], key, place)
    reference = row.get("reference")
    if reference is None:
        return example
    if not isinstance(reference, dict):
        raise DataError("`reference` is not a JSON object.", place=place, remedy='Write {"answer": "42"}, for example.')
    example["reference"] = reference
    return example


def _text(value: Any, key: str, place: str) -> str:
    """Take a text or a number; the text of anything else, such as a list of messages, is not what was meant."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"`{key}` is not a text.", place=place, remedy='Write {"prompt": "...", "completion": "..."}.')
    return str(value)
