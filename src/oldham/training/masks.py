"""Which tokens carry loss: read from what the trainer is really given, and held against what an example should teach.

A chat template that leaves traces out, a mask that is shifted, or an end of turn without loss all train without an
error. Each is looked for in the collated rows themselves, not in the code that is meant to make them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from oldham.prompts.strategies import user_text
from oldham.training.rendering import render

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from rich.text import Text

    from oldham.backends.chat import ChatFormat
    from oldham.benchmarks.resources import TrainingExample

_OPEN, _CLOSE = "⟦", "⟧"
_SHOWN: Final = 300
"""Characters that are shown at either end of a long stretch."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A conversation as the trainer reads it."""

    ids: tuple[int, ...]
    """Its tokens."""
    loss: tuple[bool, ...]
    """Which of them carry loss; for a preference pair, which are compared."""
    rejected: bool = False
    """It is what should not be said."""


def conversations(trainer: Any, rows: int) -> Iterator[Learnt]:
    """Read conversations from what the trainer's collator makes of its rows.

    Args:
        trainer: TRL's trainer for supervised or preference training.
        rows: At most so many rows of the training set are looked at.

    Yields:
        One for an example, several for a packed row, and what is chosen and what is rejected for a pair.
    """
    for row in trainer.train_dataset.select(range(min(rows, len(trainer.train_dataset)))):
        batch = trainer.data_collator([row])
        is_pair = "completion_mask" in batch
        masks = batch["completion_mask"] != 0 if is_pair else batch["labels"] != -100
        for number, (ids, mask) in enumerate(zip(batch["input_ids"].tolist(), masks.tolist(), strict=True)):
            length = int(batch["attention_mask"][number].sum()) if "attention_mask" in batch else len(ids)
            ends = [0]
            for size in row.get("seq_lengths") or [length]:
                ends.append(ends[-1] + size)
            for start, end in pairwise(ends):
                yield Learnt(tuple(ids[start:end]), tuple(mask[start:end]), rejected=is_pair and number == 1)


def example_of(learnt: Learnt, examples: Sequence[TrainingExample], fmt: ChatFormat) -> TrainingExample | None:
    """Return the example that a conversation was made of.

    Args:
        learnt: The conversation.
        examples: The training set.
        fmt: How the model is spoken to.

    Returns:
        Of those whose request and answer both stand in it, as several samples of one answer may, the one whose trace
        does; None where there is none.
    """
    text = _squeezed(fmt.codec.decode(learnt.ids))
    names = ("rejected", "rejected_trace") if learnt.rejected else ("completion", "trace")
    found: list[tuple[int, TrainingExample]] = []
    for example in examples:
        answer, trace = (_squeezed(str(example.get(name) or "")) for name in names)
        asked = _squeezed(user_text(example["prompt"], example.get("context")))
        if answer and answer in text and asked in text:
            found.append((len(trace) if trace in text else -1, example))
    return max(found, key=itemgetter(0))[1] if found else None


def mask_problem(
    learnt: Learnt, example: TrainingExample, fmt: ChatFormat, *, ends: Collection[int], whole: bool
) -> str | None:
    """Say what is wrong with a conversation's loss.

    Args:
        learnt: The conversation.
        example: What it was made of.
        fmt: How the model is spoken to.
        ends: Tokens that end a turn.
        whole: The prompt is to carry loss too.

    Returns:
        One sentence; None where trace, answer and the end of the turn carry loss, and the prompt does not.
    """
    decode = fmt.codec.decode
    taught = [token for token, carries in zip(learnt.ids, learnt.loss, strict=True) if carries]
    if not taught:
        return "No token carries loss."
    text = _squeezed(decode(taught))
    names = ("rejected_trace", "rejected") if learnt.rejected else ("trace", "completion")
    for name, what in zip(names, ("trace", "answer"), strict=True):
        said = example.get(name)
        if isinstance(said, str) and _squeezed(said) not in text:
            return f"Not all of the {what} carries loss: {_shortened(said.strip())!r}."
    if not set(taught) & set(ends):
        return "The token that ends the turn carries no loss, so the model would not learn to stop."
    first = 1 if whole else learnt.loss.index(True)  # a packed row's first tokens have nothing to be foretold from
    rest = zip(learnt.ids[first:], learnt.loss[first:], strict=True)
    left_out = [token for token, carries in rest if not carries]
    if left_out:
        return f"Some tokens between others with loss carry none: {_shortened(decode(left_out))!r}."
    return None if whole else _boundary_problem(learnt, example, fmt)


def marked(learnt: Learnt, fmt: ChatFormat) -> str:
    """Write a conversation with what carries loss in marks.

    Args:
        learnt: The conversation.
        fmt: How the model is spoken to.

    Returns:
        Its text, `⟦...⟧` around every stretch that carries loss; the middle of a long stretch is left out.
    """
    pieces = []
    for carries, stretch in groupby(zip(learnt.loss, learnt.ids, strict=True), key=itemgetter(0)):
        text = fmt.codec.decode([token for _, token in stretch])
        pieces.append(in_marks(text) if carries else _shortened(_unmarked(text)))
    return "".join(pieces)


def in_marks(text: str) -> str:
    """Put a stretch that carries loss into marks.

    Args:
        text: The stretch.
    """
    return f"{_OPEN}{_shortened(_unmarked(text))}{_CLOSE}"


def coloured(text: str) -> Text:
    """Turn marks into colour, for a terminal.

    Args:
        text: As `marked` writes it; text without marks stays as it is.
    """
    from rich.text import Text

    shown = Text()
    for number, piece in enumerate(re.split(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}", text)):
        shown.append(piece, style="bold green" if number % 2 else "")
    return shown


def _boundary_problem(learnt: Learnt, example: TrainingExample, fmt: ChatFormat) -> str | None:
    """Say where loss begins before the prompt ends or after it."""
    first = learnt.loss.index(True)
    prompt = _squeezed(render(example, fmt, rejected=learnt.rejected)[0])
    before = _squeezed(fmt.codec.decode(learnt.ids[:first]))
    if len(before) > len(prompt):
        return f"The beginning of what is learnt carries no loss: {_shortened(before[len(prompt) :])!r}."
    left = prompt[len(before) :]
    # The prompt's last characters may be in one token with the answer's first ones.
    if left and len(left) >= len(_squeezed(fmt.codec.decode(learnt.ids[first : first + 1]))):
        return f"The prompt carries loss, from {_shortened(left)!r} on."
    return None


def _squeezed(text: str) -> str:
    """Return a text without what tokenizers and templates change: white space, and how characters are composed."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def _shortened(text: str) -> str:
    if len(text) <= 2 * _SHOWN + 40:
        return text
    return f"{text[:_SHOWN]} [... {len(text) - 2 * _SHOWN:,} characters ...] {text[-_SHOWN:]}"


def _unmarked(text: str) -> str:
    return text.replace(_OPEN, "[[").replace(_CLOSE, "]]")
