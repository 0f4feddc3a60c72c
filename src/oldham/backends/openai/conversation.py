"""Rows over the chat API: the server keeps the template, so nothing can be put into the model's mouth.

What is said, and what becomes of the replies, is in `oldham.backends.chat_protocol`; here is how a server is asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from oldham.backends.chat_protocol import ChatReply, beyond_chat, carry_out, chat_turn
from oldham.backends.openai.errors import NoAnswerError, RowError
from oldham.backends.openai.session import Ask, Usage, first_choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from oldham.backends.base import Request
    from oldham.backends.chat_protocol import ChatCall
    from oldham.backends.openai.session import Talk
    from oldham.core.records import Generation, ModelFingerprint
    from oldham.core.rendering import Rendering

_POLICY_TOKENS: Final = 2_048


async def converse(
    talk: Talk, request: Request, model: ModelFingerprint, count: Callable[[str], int] | None
) -> Generation:
    """Generate one row over the chat API.

    Args:
        talk: The row's conversation with the server.
        request: The row.
        model: What answers.
        count: Counts a text's tokens, None where the tokenizer is not known.

    Raises:
        RowError: The server has no answer, or the chat API cannot do what the plan asks for.
        ModelError: There will be no answer to any row.
    """
    if unable := beyond_chat(request.plan):
        raise RowError("unable", f"the chat API cannot {unable}; use api: completions with a tokenizer")
    if request.rendering is not None and request.rendering.template is not None and await talk.ignores_templates():
        reason = "the server takes no notice of a request's chat template; use api: completions with a tokenizer"
        raise RowError("unable", reason)

    async def ask(call: ChatCall) -> ChatReply:
        messages = tuple({"role": message.role, "content": message.content} for message in call.messages)
        needed, optional = template_fields(request.rendering, thinks=call.thinks)
        asked = Ask(messages=messages, limit=call.max_tokens, fields=needed, optional=optional)
        if request.rendering is not None:  # a guard's template holds a whole policy
            asked = replace(asked, template_tokens=_POLICY_TOKENS + len(str(needed).encode()))
        if call.then_tokens:  # a row that cannot be paid to its end is not begun
            talk.purse.reserve(2 * asked.most_read + asked.limit, asked.limit + call.then_tokens)
        return await talk.ask(asked, _read)

    made = await carry_out(chat_turn(request, model, count), ask)
    return made.model_copy(update={"usd": talk.purse.paid})


def template_fields(rendering: Rendering | None, *, thinks: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is sent for the chat template, by the names that vLLM gave these fields.

    vLLM takes `chat_template` only when started with `--trust-request-chat-template`, and refuses it otherwise; SGLang
    and llama.cpp take `chat_template_kwargs` alone. A server that takes no notice of `chat_template_kwargs` cannot be
    told apart. llama.cpp goes on with a last turn of the assistant, in place of reading it, unless it was started with
    `--no-prefill-assistant`.

    Args:
        rendering: What the template is given, or what takes its place; None for a plain chat.
        thinks: A trace is wanted.

    Returns:
        Fields without which the request is another one, and fields that it can do without.
    """
    switch: dict[str, Any] = {"enable_thinking": thinks}
    if rendering is None:
        return {}, {"chat_template_kwargs": switch}
    needed: dict[str, Any] = {} if rendering.template is None else {"chat_template": rendering.template}
    if not rendering.variables:
        return needed, {"chat_template_kwargs": switch}
    return needed | {"chat_template_kwargs": switch | rendering.variables}, {}


def _read(answer: dict[str, Any]) -> ChatReply:
    choice, stop = first_choice(answer)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise NoAnswerError("the answer holds no message")
    fields = [message.get(name) for name in ("reasoning_content", "reasoning")]
    reasoning = max((text for text in fields if isinstance(text, str)), key=len, default="")
    said = [message.get(name) for name in ("content", "refusal")]
    content = next((text for text in said if isinstance(text, str)), None)
    usage = Usage.of(answer)
    if content is None and not reasoning and not usage.thought:
        raise NoAnswerError("the answer holds neither content nor reasoning")
    reply = ChatReply(
        text=content or "",
        reasoning=reasoning,
        summary=True,  # the protocol does not tell whether it is one
        stop=stop,
        prompt_tokens=usage.read,
        output_tokens=usage.written_with_thought,
        reasoning_tokens=usage.thought,
    )
    return reply if reply.answers else replace(reply, text="")  # all of it was thinking
