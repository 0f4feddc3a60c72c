from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from oldham.core.errors import DataError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oldham.backends.chat import ChatFormat

pytestmark = pytest.mark.model

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
ASKED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
SWITCHED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and not '<think>' in m.content %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""Writes an empty thinking part where thinking is off."""
OPENING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
"""Opens the thinking part in the prompt, and leaves the trace of a turn that is over out."""
REFUSING = (
    "{% set last = messages[-1].content %}{% if '<think>' in last or '</think>' in last %}"
    "{{ raise_exception('no tags') }}{% endif %}" + TURNS + ASKED
)
"""Takes no tags inside an answer."""
REPHRASING = TURNS.replace("{{ m.content }}", "{{ m.content | upper }}") + ASKED

EXAMPLE: Any = {"prompt": "Two and two?", "trace": "Count on.", "completion": "Four", "kind": "x"}
BARE: Any = {"prompt": "Two and two?", "completion": "Four", "kind": "x"}
USER = "<|im_start|>user\nTwo and two?<|im_end|>\n<|im_start|>assistant\n"
END = "<|im_end|>\n"


@pytest.fixture
def spoken(tiny_model: Callable[..., Path]) -> Callable[[str], ChatFormat]:
    from oldham.backends.tokenizers import load_tokenizer
    from oldham.training.rendering import chat_format

    def build(template: str) -> ChatFormat:
        return chat_format(load_tokenizer(tiny_model(template=template)))

    return build


@pytest.mark.parametrize(
    ("template", "example", "prompt", "completion"),
    [
        (TURNS + ASKED, EXAMPLE, USER, f"Count on.\n\nFour{END}"),
        (TURNS + ASKED, BARE, USER, f"Four{END}"),
        (SWITCHED, EXAMPLE, USER, f"<think>\nCount on.\n</think>\n\nFour{END}"),
        (SWITCHED, BARE, f"{USER}<think>\n\n</think>\n\n", f"Four{END}"),
        (OPENING, EXAMPLE, f"{USER}<think>\n", f"Count on.\n</think>\n\nFour{END}"),
        (OPENING, BARE, f"{USER}<think>\n", f"\n</think>\n\nFour{END}"),
        (REFUSING, EXAMPLE, USER, f"<think>\nCount on.\n</think>\n\nFour{END}"),
    ],
)
def test_what_is_learnt_is_the_trace_the_answer_and_the_end(
    spoken: Callable[[str], ChatFormat], template: str, example: Any, prompt: str, completion: str
) -> None:
    from oldham.training.rendering import encode, render

    fmt = spoken(template)
    assert render(example, fmt) == (prompt, prompt + completion)
    encoded = encode(example, fmt)
    assert fmt.codec.decode(encoded.prompt) + fmt.codec.decode(encoded.completion) == prompt + completion


@pytest.mark.parametrize("example", [EXAMPLE, BARE])
@pytest.mark.parametrize("template", [SWITCHED, OPENING, REFUSING])
def test_a_model_is_trained_as_it_is_asked(spoken: Callable[[str], ChatFormat], template: str, example: Any) -> None:
    """What is read before the answer or the trace is what a study would have the model read there."""
    from oldham.core.outcomes import Axis
    from oldham.core.records import Item
    from oldham.prompts import PromptOptions, build_plan
    from oldham.training.rendering import render

    fmt = spoken(template)
    item = Item(id="1", benchmark="b", axis=Axis.REASONING, cluster="1", category="c", prompt=example["prompt"])
    thinks = "trace" in example
    options = PromptOptions(strategy="thinking", thinking_tokens=8) if thinks else PromptOptions()
    opening = fmt.open(build_plan(item, options))
    close = opening.script.bridge if opening.script.thinks and not thinks else ""
    _, whole = render(example, fmt)
    asked = opening.text + close
    if template == REFUSING and not thinks:
        asked = USER  # tags its template does not know of are only opened to be closed
    assert whole.startswith(asked)


def test_the_rejected_half_of_a_pair(spoken: Callable[[str], ChatFormat]) -> None:
    from oldham.training.rendering import render

    fmt = spoken(OPENING)
    pair = {**EXAMPLE, "rejected": "Five", "rejected_trace": "Guess."}
    assert render(pair, fmt, rejected=True)[1] == f"{USER}<think>\nGuess.\n</think>\n\nFive{END}"
    with pytest.raises(DataError, match="has no `rejected`"):
        render(EXAMPLE, fmt, rejected=True)


def test_a_template_that_changes_the_answer_is_refused(spoken: Callable[[str], ChatFormat]) -> None:
    from oldham.training.rendering import render

    with pytest.raises(ModelError, match="leaves out or changes"):
        render(EXAMPLE, spoken(REPHRASING))


def test_without_traces_tokens_are_those_of_the_library(spoken: Callable[[str], ChatFormat]) -> None:
    from trl.data_utils import _tokenize

    from oldham.training.rendering import conversation, encode

    fmt = spoken(TURNS + ASKED)
    turns = conversation({**BARE, "context": "A sum."}, fmt)
    ours = encode({**BARE, "context": "A sum."}, fmt)
    asked = _tokenize(fmt.tokenizer, turns["prompt"], add_generation_prompt=True)["input_ids"]
    whole = _tokenize(fmt.tokenizer, turns["prompt"] + turns["completion"])["input_ids"]
    assert list(ours.prompt) == asked
    assert [*ours.prompt, *ours.completion] == whole
