"""What is given to a chat template, or put in its place: in process, over both kinds of server, and where it cannot be.

The templates are of this project's own making, in the style of those of guard models.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
from openai_server import FakeServer, LetterTokenizer, completion, connect, message, refused

from oldham.backends.base import Request, ServerOptions
from oldham.backends.chat import ChatFormat, TokenizerCodec
from oldham.backends.openai.conversation import template_fields
from oldham.backends.replay import ReplayBackend
from oldham.backends.scripted import ScriptedBackend
from oldham.core.errors import ModelError
from oldham.core.records import Message, PromptPlan, Sampling, StopReason, Trial
from oldham.core.rendering import Rendering

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oldham.backends.transformers import TransformersBackend

    Load = Callable[[Path | str], TransformersBackend]
    Tiny = Callable[..., Path]

LOOP = "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}"
OWN = LOOP + "{% if add_generation_prompt %}assistant: {% endif %}"
SWITCHED = OWN + "{% if enable_thinking is defined %}[{{ enable_thinking }}]{% endif %}"
GUIDED = "{{ guideline }} | {{ messages[0].content }} | {{ messages[1].content }} | Yes or No?"
PIECES = (
    "{% for m in messages %}{% for piece in m.content | selectattr('type', 'equalto', 'text') %}"
    "{{ m.role }}: {{ piece.text | trim }}\n{% endfor %}{% endfor %}Verdict: "
)
ASKED, ANSWERED = "What is it?", 'It\'s "seven".\n'
TAGGED = "{# <think> </think> #}"


def exchange(rendering: Rendering | None, *, answer: str = ANSWERED, item: str = "a", **plan: Any) -> Request:
    trial = Trial(arm="arm", arm_fingerprint="arm", benchmark="bench", item=item, item_fingerprint=item)
    said = (Message(role="user", content=ASKED), Message(role="assistant", content=answer))
    settings = {"thinks": False, "answer_tokens": 4, "shuts_thinking": False, **plan}
    return Request(trial, PromptPlan(messages=said, **settings), Sampling(), rendering=rendering)


class JinjaTokenizer(LetterTokenizer):
    """Renders as transformers does, and remembers what it was given."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.given: list[dict[str, Any]] = []

    def apply_chat_template(self, messages: list[dict[str, Any]], **settings: Any) -> str:
        self.given.append({"messages": messages, **settings})
        environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 (a prompt is no page)
        template = settings.pop("chat_template", self.template)
        return str(environment.from_string(template).render(messages=messages, **settings))


def format_of(template: str) -> tuple[ChatFormat, JinjaTokenizer]:
    tokenizer = JinjaTokenizer(template)
    return ChatFormat(tokenizer, template, TokenizerCodec(tokenizer, {0})), tokenizer


@pytest.mark.parametrize(("template", "switch"), [(OWN, {}), (SWITCHED, {"enable_thinking": False})])
def test_a_plain_chat_is_rendered_as_it_always_was(template: str, switch: dict[str, bool]) -> None:
    chat, tokenizer = format_of(template)
    chat.open(exchange(None).plan)
    plain = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWERED}]
    assert tokenizer.given == [{"messages": plain, "tokenize": False, "add_generation_prompt": True, **switch}]


def test_a_conversation_may_end_in_the_assistants_turn_and_the_template_opens_the_next() -> None:
    text = format_of(OWN)[0].open(exchange(Rendering()).plan, Rendering()).text
    assert text == f"user: {ASKED}\nassistant: {ANSWERED.strip()}\nassistant: "


def test_variables_reach_the_models_own_template() -> None:
    rendering = Rendering(variables={"guideline": "Be kind."})
    text = format_of(GUIDED)[0].open(exchange(rendering).plan, rendering).text
    assert text == f"Be kind. | {ASKED} | {ANSWERED} | Yes or No?"


def test_a_template_takes_the_place_of_the_models_own() -> None:
    rendering = Rendering(template=GUIDED, variables={"guideline": "Be kind."})
    text = format_of(OWN)[0].open(exchange(rendering).plan, rendering).text
    assert text == f"Be kind. | {ASKED} | {ANSWERED} | Yes or No?"


@pytest.mark.parametrize(
    ("own", "rendering", "end"),
    [
        (SWITCHED, Rendering(), "[False]"),
        (SWITCHED, Rendering(template=OWN), "assistant: "),
        (OWN, Rendering(template=SWITCHED), "[False]"),
        (SWITCHED, Rendering(variables={"enable_thinking": True}), "[True]"),
    ],
)
def test_the_switch_is_that_of_the_template_that_is_used(own: str, rendering: Rendering, end: str) -> None:
    assert format_of(own)[0].open(exchange(rendering).plan, rendering).text.endswith(end)


@pytest.mark.parametrize(
    ("own", "rendering", "shuts", "end"),
    [
        (OWN, Rendering(), False, "assistant: "),
        (OWN, Rendering(), True, "assistant: <think>\n"),
        (SWITCHED, Rendering(), True, "[False]"),
        (SWITCHED, Rendering(template=OWN), True, "assistant: <think>\n"),
    ],
)
def test_a_guard_that_can_think_is_left_alone_where_the_plan_says_so(
    own: str, rendering: Rendering, shuts: bool, end: str
) -> None:
    plan = exchange(rendering, shuts_thinking=shuts).plan
    assert format_of(own + TAGGED)[0].open(plan, rendering).text.endswith(end)


def test_a_template_that_reads_pieces_gets_pieces() -> None:
    chat, tokenizer = format_of(PIECES)
    text = chat.open(exchange(Rendering()).plan, Rendering()).text
    assert text == f"user: {ASKED}\nassistant: {ANSWERED.strip()}\nVerdict: "
    assert tokenizer.given[-1]["messages"][1]["content"] == [{"type": "text", "text": ANSWERED}]


@pytest.mark.parametrize(
    ("template", "who"),
    [
        ("{{ messages[0].content }}?", "assistant"),
        ("{{ messages[1].content }}?", "user"),
        ("Nothing.", "user"),
        (LOOP.replace("trim", "trim | upper"), "user"),
        ("{{ messages | tojson }}", "assistant"),
        ("{% for m in messages %}{{ m.content[:3] }}{% endfor %}", "user"),
    ],
)
def test_a_rendered_prompt_holds_every_message_or_is_refused(template: str, who: str) -> None:
    with pytest.raises(ModelError, match=f"leaves out or changes what the {who} said"):
        format_of(template)[0].open(exchange(Rendering()).plan, Rendering())


def test_the_text_of_a_list_of_pieces_is_no_rendering_of_its_content() -> None:
    shown = "{% for m in messages %}{% if m.content is not string %}{{ m.content }}{% endif %}{% endfor %}"
    request = exchange(Rendering(), answer="seven")
    with pytest.raises(ModelError, match="leaves out"):
        format_of(shown)[0].open(request.plan, request.rendering)


def test_only_a_request_that_needs_another_template_says_so() -> None:
    needs = [None, Rendering(), Rendering(variables={"a": 1}), Rendering(template="")]
    assert [exchange(rendering).changes_template for rendering in needs] == [False, False, True, True]


# Over the completions API.


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize("rendering", [Rendering(template=GUIDED, variables={"guideline": "Be kind."}), Rendering()])
def test_over_completions_the_prompt_is_rendered_here(
    rendering: Rendering, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with FakeServer(lambda body: completion("safe")) as server:
        backend = connect(server, monkeypatch, tmp_path, api="completions")
        backend._chat, _ = format_of(OWN)
        (row,) = backend.generate([exchange(rendering)])
    wanted = format_of(OWN)[0].open(exchange(rendering).plan, rendering).text
    assert (row.answer_text, row.prompt_text) == ("safe", wanted)
    assert "".join(map(chr, server.requests[0]["prompt"])) == wanted
    assert "chat_template" not in server.requests[0]


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize(("rendering", "space"), [(Rendering(template=GUIDED), ""), (None, " ")])
def test_a_guards_choices_are_scored_as_they_are_spelt(
    rendering: Rendering | None, space: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def score(body: dict[str, Any]) -> dict[str, Any]:
        return completion("", logprobs={"token_logprobs": [None, *[-1.0] * len(body["prompt"])]})

    with FakeServer(score) as server:
        backend = connect(server, monkeypatch, tmp_path, api="completions")
        backend._chat, _ = format_of(GUIDED)
        (row,) = backend.generate([exchange(rendering, choices=("Yes", "No"))])
    assert row.choice_logprobs == (-3.0 - len(space), -2.0 - len(space))
    ends = ["".join(map(chr, body["prompt"])).rpartition("?")[2] for body in server.requests]
    assert ends == [f"{space}Yes", f"{space}No"]


# Over the chat API.


class ChatServer:
    """Answers `safe`. `vllm` reads templates, `closed` does not trust them, `strict` knows no such field, and `deaf`
    drops what it does not know.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, body: dict[str, Any]) -> Any:
        if "chat_template" in body:
            if self.kind == "closed":
                return refused(400, "Chat template is passed with request, but it is not trusted.")
            if self.kind == "strict":
                return refused(422, "Unexpected fields in the request: {'chat_template'}")
            if self.kind == "vllm" and "raise_exception" in body["chat_template"]:
                return refused(400, "nobody can be asked with this")
        return message("safe")


TEMPLATE = Rendering(template=GUIDED, variables={"guideline": "Be kind."})


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_over_chat_the_template_and_its_variables_are_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with FakeServer(ChatServer("vllm")) as server:
        backend = connect(server, monkeypatch, tmp_path)
        rows = backend.generate([exchange(TEMPLATE), exchange(TEMPLATE, item="b")])
        rows += backend.generate([exchange(TEMPLATE, item="c")])
    assert [row.answer_text for row in rows] == ["safe"] * 3
    asked = [body for body in server.requests if body["chat_template"] == GUIDED]
    assert len(asked) == 3
    for body in asked:
        assert body["chat_template_kwargs"] == {"enable_thinking": False, "guideline": "Be kind."}
        assert [turn["role"] for turn in body["messages"]] == ["user", "assistant"]
    # The server is tried once: with every optional field, and without those it might have meant.
    tried = [body for body in server.requests if body["chat_template"] != GUIDED]
    assert len(tried) == 2
    assert all(body["max_tokens"] == 1 and ASKED not in json.dumps(body) for body in tried)


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("closed", "the server refuses the request \\(Chat template is passed"),
        ("strict", "the server refuses the request \\(Unexpected fields"),
        ("deaf", "takes no notice of a request's chat template; use api: completions"),
    ],
)
def test_a_template_that_is_not_used_is_an_error_and_never_left_aside(
    kind: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    requests = [exchange(TEMPLATE), exchange(None, item="plain"), exchange(TEMPLATE, item="b")]
    with FakeServer(ChatServer(kind)) as server:
        backend = connect(server, monkeypatch, tmp_path)
        first, plain, last = backend.generate(requests)
        with pytest.raises(ModelError, match=reason):
            backend.generate(requests[:1])
    assert plain.answer_text == "safe"
    for row in (first, last):
        assert row.stop is StopReason.ERROR
        assert row.answer_text is None
    if kind == "deaf":  # no request that matters was sent, and the question was put once
        assert [body.get("chat_template", "")[:18] for body in server.requests].count("{{ raise_exception") == 1
        assert all(body.get("chat_template") != GUIDED for body in server.requests)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_variables_are_no_optional_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def strict(body: dict[str, Any]) -> Any:
        if "chat_template_kwargs" in body:
            return refused(422, "Unexpected fields in the request: {'chat_template_kwargs'}")
        return message("safe")

    requests = [exchange(Rendering(variables={"guideline": "Be kind."})), exchange(Rendering(), item="b")]
    with FakeServer(strict) as server:
        needing, plain = connect(server, monkeypatch, tmp_path).generate(requests)
    assert (needing.stop, plain.answer_text) == (StopReason.ERROR, "safe")
    assert "chat_template_kwargs" in str(needing.error)
    assert all("chat_template" not in body for body in server.requests)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_the_users_own_fields_join_the_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    extra = {"chat_template_kwargs": {"tone": "dry"}}
    with FakeServer(ChatServer("vllm")) as server:
        backend = connect(server, monkeypatch, tmp_path, extra_body=extra)
        backend.generate([exchange(Rendering(variables={"guideline": "Be kind."}))])
    assert server.requests[0]["chat_template_kwargs"] == {
        "enable_thinking": False,
        "guideline": "Be kind.",
        "tone": "dry",
    }


def test_fields_of_a_plain_chat_are_all_optional() -> None:
    switch = {"chat_template_kwargs": {"enable_thinking": True}}
    assert template_fields(None, thinks=True) == ({}, switch)
    assert template_fields(Rendering(), thinks=True) == ({}, switch)
    assert template_fields(Rendering(template="t"), thinks=True) == ({"chat_template": "t"}, switch)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_the_policy_in_a_guards_template_is_money_set_aside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    prices: dict[str, Any] = {"usd_per_million_read": 1000.0, "usd_per_million_written": 1000.0, "cap_usd": 1.0}
    with FakeServer(ChatServer("vllm")) as server:
        backend = connect(server, monkeypatch, tmp_path, **prices)
        plain, guard = backend.generate([exchange(None), exchange(Rendering(), item="b")])
    assert plain.answer_text == "safe"
    assert guard.error == "spending cap of $1 reached"


# Where no template can be given.


def test_replay_and_scripted(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"item": "a", "output": "safe"}) + "\n", encoding="utf-8")
    stored = ReplayBackend.load(f"replay:{file}")
    made = stored.generate([exchange(None), exchange(Rendering()), exchange(TEMPLATE)])
    assert [row.answer_text for row in made] == ["safe", "safe", None]
    assert made[2].error == "stored outputs know of no other chat template than their own"
    assert ScriptedBackend("echo").generate([exchange(TEMPLATE)])[0].stop is not StopReason.ERROR


@pytest.mark.thorough
def test_inspect_hands_no_template_on() -> None:
    from inspect_ai.model import ModelOutput, ModelUsage

    from oldham.backends.inspect_backend import InspectBackend

    backend = InspectBackend.load("inspect:mockllm/model", ServerOptions())
    try:
        seen: list[Any] = []

        def answer(input: Any, tools: Any, choice: Any, config: Any) -> ModelOutput:
            seen.append(input)
            made = ModelOutput.from_content("mockllm", "safe")
            made.usage = ModelUsage(input_tokens=4, output_tokens=3, total_tokens=7)
            return made

        backend.model.api.outputs = answer
        made = backend.generate([exchange(TEMPLATE), exchange(Rendering(), item="b")])
    finally:
        backend.close()
    assert [row.answer_text for row in made] == [None, "safe"]
    assert "Inspect hands no chat template on" in str(made[0].error)
    assert [[turn.role for turn in turns] for turns in seen] == [["user", "assistant"]]
