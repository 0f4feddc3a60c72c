"""What can be known to be wrong before the first step: a mask, a cut, a reward that never differs, a base at a floor.

None of these raises an error in training: the loss falls, and the run is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from oldham.backends.chat import ChatFormat, TokenizerCodec
from oldham.core.errors import ConfigError, DataError
from oldham.core.outcomes import SAFETY_AXES, Axis
from oldham.training.masks import Learnt, conversations, example_of, in_marks, marked, mask_problem
from oldham.training.methods import DPOSettings, OnlineSettings, SFTSettings
from oldham.training.rendering import encode
from oldham.training.rewards import sample_rewards
from oldham.training.samples import asking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from oldham.benchmarks.resources import TrainingExample
    from oldham.training.config import TrainingSettings

_LOOKED_AT: Final = 200
"""Examples whose length is counted; all of 100,000 would take minutes."""
_MOST_CUT: Final = 0.5
_ROWS: Final = 64
"""Rows of the training set that are searched for examples that are there whole."""
_CHECKED: Final = 8
"""Conversations whose mask is checked."""
_GROUPS: Final = 4
"""Prompts that are sampled before the first step."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What the checks before training found."""

    shown: str
    """An example as the model reads it, with what carries loss in `⟦...⟧`; `masks.coloured` makes colour of it."""
    warnings: tuple[str, ...]
    """What need not be wrong, a sentence each."""


def preflight(
    settings: TrainingSettings,
    examples: Sequence[TrainingExample],
    model: Any,
    tokenizer: Any,
    template: str,
    *,
    trainer: Any = None,
) -> Preflight:
    """Check a run before its first step.

    Methods that learn from their own samples sample a few groups, which draws random numbers.

    Args:
        settings: Of the class of its method.
        examples: The training set.
        model: The model as it will be trained.
        tokenizer: Its tokenizer.
        template: Its chat template.
        trainer: Whose rows show which tokens carry loss; None where there is none yet, and they are not checked.

    Returns:
        An example, and what need not be wrong.

    Raises:
        ConfigError: More than half of the examples or all samples are cut, the loss does not cover what it should, or
            rewards do not differ within any group.
        DataError: No sample could be given a reward.
        ModelError: The chat template cannot write an example.
    """
    fmt = ChatFormat(tokenizer, template, TokenizerCodec(tokenizer, [tokenizer.eos_token_id]))
    warnings: list[str] = []
    if isinstance(settings, OnlineSettings):
        warnings += _sampled(settings, examples, model, tokenizer)
        shown = _headed(asking(examples[0], fmt) + in_marks("(what the model samples)"))
    else:
        warnings += _traces(examples, fmt)
        warnings += _cut(settings, examples, fmt)
        if trainer is None:
            shown = ""
            warnings.append("Which tokens carry loss was not checked.")
        else:
            ends = _ends_of_turn(model, tokenizer)
            shown = _headed(marked(_checked_masks(settings, examples, fmt, trainer, ends), fmt))
    if settings.panel is None:
        warnings.append("Without a panel it is not known whether the model has safety to lose and reasoning to gain.")
    return Preflight(shown, tuple(warnings))


def check_start(
    metrics: Mapping[str, float], settings: TrainingSettings, examples: Sequence[TrainingExample]
) -> tuple[str, ...]:
    """Check from the panel before the first step that the run can show anything.

    A model that refuses nothing cannot lose its refusals, whatever it is trained on. Training that teaches refusals may
    begin there.

    Args:
        metrics: What the panel read at step 0: `panel/AXIS`, mean scores in [0, 1].
        settings: With a panel.
        examples: The training set.

    Returns:
        What need not be wrong, a sentence each.

    Raises:
        ConfigError: Nothing of the axis harm can be lost, or nothing of reasoning gained.
    """
    teaches_refusal = any("refusal" in example["kind"] or "harmful" in example["kind"] for example in examples)
    if settings.panel is None or teaches_refusal:
        return ()
    margin = settings.panel.margin
    told = []
    for axis in SAFETY_AXES:
        score = metrics.get(f"panel/{axis}", math.nan)
        if score > margin or math.isnan(score):
            continue
        sentence = (
            f"Before training the model scores {100 * score:.0f} of 100 on {axis}, so it cannot lose more than the "
            f"margin of {100 * margin:g}"
        )
        if axis is Axis.HARM:
            raise ConfigError(
                f"{sentence}.",
                place="panel",
                remedy="Begin with a model that refuses, such as smollm2-aligned; or leave `panel` out.",
            )
        told.append(f"{sentence}.")
    reasoning = metrics.get(f"panel/{Axis.REASONING}", math.nan)
    if reasoning >= 1 - margin:
        raise ConfigError(
            f"Before training the model scores {100 * reasoning:.0f} of 100 on reasoning, so it has nothing to gain.",
            place="panel",
            remedy="Ask harder items in `panel.benchmarks`; or leave `panel` out.",
        )
    return tuple(told)


def _headed(text: str) -> str:
    return f"An example, with what carries loss marked:\n{text}"


def _traces(examples: Sequence[TrainingExample], fmt: ChatFormat) -> Iterator[str]:
    traced = sum(bool(example.get("trace")) for example in examples)
    if traced and fmt.tags is None:
        yield "The model has no thinking tags, so traces are trained as plain text before the answer."
    if 0 < traced < len(examples) and fmt.tags is not None:
        yield f"{len(examples) - traced} of {len(examples)} examples have no trace; they teach to answer without one."


def _cut(settings: TrainingSettings, examples: Sequence[TrainingExample], fmt: ChatFormat) -> Iterator[str]:
    """Count the examples that are longer than `max_length`, evenly from the top to the end."""
    looked_at = [examples[number] for number in _spread(len(examples))]
    lengths = []
    for example in looked_at:
        sides = (False, True) if isinstance(settings, DPOSettings) else (False,)
        said = [encode(example, fmt, rejected=side) for side in sides]
        lengths.append(max(len(one.prompt) + len(one.completion) for one in said))
    cut = sum(length > settings.max_length for length in lengths)
    share = f"{cut} of {len(lengths)} examples" + (" looked at" if len(lengths) < len(examples) else "")
    remedy = f"Raise `max_length`; the longest takes {max(lengths)} tokens. Or take shorter examples."
    if cut > _MOST_CUT * len(lengths):
        raise ConfigError(
            f"{share} are cut at {settings.max_length} tokens, so that they end without an end.",
            place="max_length",
            remedy=remedy,
        )
    if cut:
        yield f"{share} are cut at {settings.max_length} tokens. {remedy}"


def _spread(n: int) -> list[int]:
    return sorted({i * n // _LOOKED_AT for i in range(_LOOKED_AT)} if n > _LOOKED_AT else range(n))


def _checked_masks(
    settings: TrainingSettings,
    examples: Sequence[TrainingExample],
    fmt: ChatFormat,
    trainer: Any,
    ends: frozenset[int],
) -> Learnt:
    """Check the loss of a few conversations; return one to show, with a trace where there is one."""
    whole = isinstance(settings, SFTSettings) and settings.loss_on == "all"
    is_packed = isinstance(settings, SFTSettings) and settings.packing  # which puts them into another order
    examples = examples if is_packed else examples[: 4 * _ROWS]
    checked: list[tuple[bool, Learnt]] = []
    for learnt in conversations(trainer, _ROWS):
        is_cut = len(learnt.ids) >= settings.max_length
        example = None if is_cut else example_of(learnt, examples, fmt)
        if example is None:
            continue
        problem = mask_problem(learnt, example, fmt, ends=ends, whole=whole)
        if problem is not None:
            raise ConfigError(
                problem,
                place=f"an example of kind `{example['kind']}`",
                remedy=f"The trainer reads, what carries loss marked: {marked(learnt, fmt)}",
            )
        checked.append((bool(example.get("trace")) and not learnt.rejected, learnt))
        if len(checked) == _CHECKED:
            break
    if not checked:
        raise ConfigError(
            f"None of the first {min(_ROWS, len(trainer.train_dataset))} rows holds an example whole.",
            remedy="Raise `max_length`, or check that the chat template leaves requests and answers as they are.",
        )
    return max(checked, key=lambda one: one[0])[1]


def _ends_of_turn(model: Any, tokenizer: Any) -> frozenset[int]:
    told = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    more = told if isinstance(told, list) else [told]
    return frozenset(token for token in (tokenizer.eos_token_id, *more) if token is not None)


def _sampled(
    settings: OnlineSettings, examples: Sequence[TrainingExample], model: Any, tokenizer: Any
) -> Iterator[str]:
    """Sample a few groups and check that there is something to learn from."""
    rewards, clipped = sample_rewards(settings, examples, model, tokenizer, _GROUPS)
    flags = [bool(flag) for group in clipped for flag in group]
    if flags and all(flags):
        raise ConfigError(
            f"All {len(flags)} sampled completions were cut at {settings.sample_tokens} tokens, so none has an answer.",
            place="sample_tokens",
            remedy="Raise `sample_tokens`.",
        )
    if 2 * sum(flags) > len(flags):
        yield f"{sum(flags)} of {len(flags)} sampled completions were cut at {settings.sample_tokens} tokens."
    earned = [[float(one) for one in group if one is not None and not math.isnan(one)] for group in rewards]
    every = [one for group in earned for one in group]
    if not every:
        raise DataError(
            "No reward could be given to any of the sampled completions.",
            place="rewards",
            remedy="Check that the examples have the `reference` that the rewards compare with.",
        )
    flat = sum(max(group) == min(group) for group in earned if group) + sum(not group for group in earned)
    if flat == len(earned):
        alike = f"all of them {every[0]:g}" if min(every) == max(every) else "though not between groups"
        raise ConfigError(
            f"In none of {len(earned)} sampled groups do rewards differ, {alike}, so there is nothing to learn from.",
            place="rewards",
            remedy="Take prompts that the model sometimes gets right, more `samples`, or a higher `temperature`.",
        )
    if 2 * flat >= len(earned):
        yield f"In {flat} of {len(earned)} sampled groups rewards do not differ; such groups teach nothing."
