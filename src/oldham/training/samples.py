"""What a model writes for a training example, in the form in which judges read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oldham.core.errors import ModelError, first_line
from oldham.core.fingerprint import fingerprint
from oldham.core.records import Generation, Item, ModelFingerprint, StopReason, Trial
from oldham.core.thinking import ThinkSplit, split_thinking
from oldham.training.rendering import prompt_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.backends.chat import ChatFormat
    from oldham.benchmarks.resources import TrainingExample
    from oldham.core.outcomes import Axis

_SWITCH: Final = "enable_thinking"
_POLICY: Final = ModelFingerprint(weights="in training", adapter=None, template="", dtype="", backend="training")


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model wrote for an example."""

    example: TrainingExample
    """What was asked."""
    prompt: str
    """The rendered prompt."""
    text: str
    """Everything after the prompt, special tokens kept; the token that ended the turn is left out."""
    tokens: int
    """Tokens of `text`."""
    ended: bool
    """The model ended its turn; False where it reached the limit."""
    split: ThinkSplit
    """Trace and answer of `text`."""

    def item(self, axis: Axis) -> Item:
        """Return the example as judges take it.

        Args:
            axis: What the judge is to speak on.
        """
        return item_of(self.example, axis)

    def generation(self, item: Item) -> Generation:
        """Return the sample as judges take it.

        Args:
            item: As from `item`.
        """
        split, stop = self.split, StopReason.STOP if self.ended else StopReason.LENGTH
        return Generation(
            trial=Trial(
                arm="training",
                arm_fingerprint=fingerprint("sample", self.text),
                benchmark=item.benchmark,
                item=item.id,
                item_fingerprint=item.fingerprint,
            ),
            prompt_text=self.prompt,
            prompt_ids=(),
            output_text=self.text,
            output_ids=(),
            trace=split.trace,
            answer=split.answer,
            thinking_state=split.state,
            trace_stop=None if split.trace is None else stop if split.answer is None else StopReason.STOP,
            stop=stop,
            requested_thinking_tokens=None,
            realised_thinking_tokens=None,
            prompt_tokens=None,
            trace_tokens=None,
            answer_tokens=None,
            model=_POLICY,
            sampling=None,
            seed=None,
            seconds=None,
        )


def asking(example: TrainingExample, fmt: ChatFormat) -> str:
    """Return the rendered prompt that samples follow; thinking is switched on where the template has a switch.

    Args:
        example: A training example.
        fmt: How the model is spoken to.

    Raises:
        ModelError: The chat template refuses it.
    """
    switch = {_SWITCH: True} if _SWITCH in fmt.template else {}
    try:
        text: str = fmt.tokenizer.apply_chat_template(
            prompt_of(example), tokenize=False, add_generation_prompt=True, **switch
        )
    except Exception as error:  # whatever the template raises
        raise ModelError(f"The chat template refuses a training example ({first_line(error)}).") from error
    return text


def opens_thinking(prompt: str, fmt: ChatFormat) -> bool:
    """Say whether a rendered prompt ends in the model's opening thinking tag.

    Args:
        prompt: A rendered prompt.
        fmt: How the model is spoken to.
    """
    return fmt.tags is not None and prompt.rstrip().endswith(fmt.tags.open)


def read_sample(
    example: TrainingExample, prompt: str, ids: Sequence[int], fmt: ChatFormat, endings: frozenset[int]
) -> Sample:
    """Read what was written for an example.

    Args:
        example: What was asked.
        prompt: The rendered prompt.
        ids: The tokens that were written, the one that ended the turn included.
        fmt: How the model is spoken to.
        endings: Tokens that end a turn.
    """
    ended = bool(ids) and ids[-1] in endings
    kept = ids[:-1] if ended else ids
    text = fmt.codec.decode(kept)
    split = split_thinking(text, opened_in_prompt=opens_thinking(prompt, fmt), tags=fmt.tags)
    return Sample(example, prompt, text, len(kept), ended, split)


def item_of(example: TrainingExample, axis: Axis, key: str | None = None) -> Item:
    """Return an example as judges take it.

    Args:
        example: A training example.
        axis: What the judge is to speak on.
        key: Its id; by default the example's fingerprint.
    """
    key = fingerprint("example", dict(example)) if key is None else key
    return Item(
        id=key,
        benchmark="training",
        axis=axis,
        cluster=key,
        category=example["kind"],
        prompt=example["prompt"],
        context=example.get("context"),
        reference=dict(example.get("reference") or {}),
    )
