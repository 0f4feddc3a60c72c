"""From a training example to the tokens of its conversation, in the form in which the model is asked later.

A chat template is written for asking. Some leave the trace of an earlier turn out, some open the thinking part in the
prompt, and some render a prompt otherwise once an answer follows it. Training on what such a template gives would
silently train on no trace, or in a form that is never met. So the turn is written here where the template would not
write it as it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from oldham.backends.chat import ChatFormat, TokenizerCodec
from oldham.core.errors import DataError, ModelError, first_line
from oldham.prompts.strategies import user_text

if TYPE_CHECKING:
    from oldham.benchmarks.resources import TrainingExample

Turn = dict[str, str]
"""A message as chat templates take it: `role` and `content`."""

_SWITCH: Final = "enable_thinking"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A conversation as tokens."""

    prompt: tuple[int, ...]
    """What is read: everything up to the assistant's turn, and a thinking part that the prompt opens."""
    completion: tuple[int, ...]
    """What is learnt: the trace in its tags, the answer, and the end of the turn."""


def chat_format(tokenizer: Any) -> ChatFormat:
    """Return how a model is spoken to.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
    """
    template = tokenizer.get_chat_template()
    return ChatFormat(tokenizer, template, TokenizerCodec(tokenizer, [tokenizer.eos_token_id]))


def prompt_of(example: TrainingExample) -> list[Turn]:
    """Return the conversation up to the assistant's turn.

    Args:
        example: A training example.
    """
    return [{"role": "user", "content": user_text(example["prompt"], example.get("context"))}]


def conversation(example: TrainingExample, fmt: ChatFormat, *, rejected: bool = False) -> dict[str, list[Turn]]:
    """Return an example as the conversation it stands for.

    Args:
        example: A training example.
        fmt: How the model is spoken to.
        rejected: Take what should not be said, for preference pairs.

    Returns:
        `prompt` and `completion`, lists of messages. A trace stands before the answer, in the model's thinking tags
        where it has some and as plain text where it has none.

    Raises:
        DataError: The example has no such completion.
    """
    trace, answer = _said(example, rejected=rejected)
    if trace:
        tags = fmt.tags
        opened = f"{tags.open}\n{trace}\n{tags.close}" if tags else trace
        answer = f"{opened}\n\n{answer}"
    return {"prompt": prompt_of(example), "completion": [{"role": "assistant", "content": answer}]}


def encode(example: TrainingExample, fmt: ChatFormat, *, rejected: bool = False) -> Encoded:
    """Return an example's tokens.

    Args:
        example: A training example.
        fmt: How the model is spoken to.
        rejected: Take what should not be said, for preference pairs.

    Raises:
        DataError: The example has no such completion.
        ModelError: The chat template cannot write the conversation.
    """
    prompt, whole = render(example, fmt, rejected=rejected)
    opening, ids = fmt.codec.encode(prompt), fmt.codec.encode(whole)
    start = 0
    # Tokens can merge over the boundary; what the two have in common is what is read.
    while start < min(len(opening), len(ids)) and opening[start] == ids[start]:
        start += 1
    return Encoded(tuple(ids[:start]), tuple(ids[start:]))


def render(example: TrainingExample, fmt: ChatFormat, *, rejected: bool = False) -> tuple[str, str]:
    """Return an example's text.

    Args:
        example: A training example.
        fmt: How the model is spoken to.
        rejected: Take what should not be said, for preference pairs.

    Returns:
        The prompt as the template opens the assistant's turn, and the whole conversation, which begins with it.

    Raises:
        DataError: The example has no such completion.
        ModelError: The chat template cannot write the conversation.
    """
    turns = conversation(example, fmt, rejected=rejected)
    trace, answer = _said(example, rejected=rejected)
    thinks = bool(trace) and fmt.tags is not None
    # As when the model is asked: thinking is switched on for a trace and off without one.
    switch = {_SWITCH: thinks} if _SWITCH in fmt.template else {}
    prompt = _templated(fmt, turns["prompt"], add_generation_prompt=True, **switch)
    opened = fmt.tags is not None and prompt.rstrip().endswith(fmt.tags.open)
    try:
        whole = _templated(fmt, [*turns["prompt"], *turns["completion"]], **switch)
    except ModelError:
        whole = ""  # a template may refuse tags inside an answer
    kept = whole.removeprefix(prompt)
    if whole.startswith(prompt) and trace in kept and answer in kept and not opened:
        return prompt, whole
    return prompt, prompt + _written(fmt, prompt, trace, answer, opened=opened) + _end(fmt, turns, answer)


def _written(fmt: ChatFormat, prompt: str, trace: str, answer: str, *, opened: bool) -> str:
    """Write the assistant's turn by hand, without its end; a thinking part that the prompt opened is closed."""
    tags = fmt.tags
    if tags is None or not (trace or opened):
        return f"{trace}\n\n{answer}" if trace else answer
    start = "" if opened else tags.open
    line = "" if opened and prompt.endswith("\n") else "\n"
    return f"{start}{line}{trace}\n{tags.close}\n\n{answer}"


def _end(fmt: ChatFormat, turns: dict[str, list[Turn]], answer: str) -> str:
    """Return what the template writes after an answer."""
    plain = _templated(fmt, [*turns["prompt"], {"role": "assistant", "content": answer}])
    before, found, end = plain.rpartition(answer.strip())
    if not (before and found):
        raise ModelError("The chat template leaves out or changes what the assistant said.")
    return end


def _templated(fmt: ChatFormat, turns: list[Turn], **settings: Any) -> str:
    try:
        text: str = fmt.tokenizer.apply_chat_template(turns, tokenize=False, **settings)
    except Exception as error:  # whatever the template raises
        raise ModelError(f"The chat template refuses a training example ({first_line(error)}).") from error
    return text


def _said(example: TrainingExample, *, rejected: bool) -> tuple[str, str]:
    said: dict[str, Any] = dict(example)
    names = ("rejected_trace", "rejected") if rejected else ("trace", "completion")
    trace, answer = (said.get(name) for name in names)
    if answer is None:
        raise DataError(
            f"An example of kind `{example['kind']}` has no `{names[1]}`.",
            remedy="A preference pair needs `completion` and `rejected`." if rejected else None,
        )
    return (str(trace).strip() if trace else ""), str(answer)
