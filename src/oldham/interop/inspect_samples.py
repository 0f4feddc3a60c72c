"""Items and generations in the samples of an Inspect task, in the form in which logs are imported and exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from inspect_ai.dataset import Sample

from oldham.backends.base import Request, ServerOptions
from oldham.backends.chat_protocol import carry_out, chat_turn
from oldham.backends.inspect_backend import identity, reply_of
from oldham.core.errors import ConfigError, did_you_mean
from oldham.core.outcomes import Axis
from oldham.core.records import Generation, Item, PromptPlan, Sampling, Trial
from oldham.interop.inspect_logs import OWN
from oldham.prompts.strategies import user_text

if TYPE_CHECKING:
    from inspect_ai.solver import TaskState

    from oldham.backends.chat_protocol import ChatCall, ChatReply
    from oldham.core.records import ModelFingerprint

_RECORD: Final = "record"
"""Where a sample keeps its whole generation."""
_FACTS: Final = (
    *("stop", "trace_stop", "error", "prompt_text", "requested_thinking_tokens", "realised_thinking_tokens"),
    *("prompt_tokens", "trace_tokens", "answer_tokens", "seconds", "usd"),
)


def sample_of(item: Item) -> Sample:
    """Return an item as a sample: the request as input, and all the rest in its metadata.

    Args:
        item: Any item.
    """
    own = {name: value for name, value in item.model_dump(mode="json").items() if name != "id"}
    return Sample(
        id=item.id,
        input=user_text(item.prompt, item.context),
        target=str(item.reference.get("answer", "")),
        metadata={OWN: own | {"item": item.id}, "cluster": item.cluster, "category": item.category},
    )


def item_of(state: TaskState, axis: Axis | None = None) -> Item:
    """Return the item that a sample stands for.

    A sample that was not made by `sample_of` gives its request, and from its metadata `benchmark`, `cluster`,
    `category` and `reference`; without a reference the target is the right answer.

    Args:
        state: The sample's state.
        axis: The axis of every item; None takes the sample's own.

    Raises:
        ConfigError: Nothing says which axis the sample is on.
    """
    metadata = state.metadata
    own = dict(_own(state))
    found = axis or own.get("axis") or metadata.get("axis")
    if found is None:
        raise ConfigError(
            "Nothing says on which axis this sample is.",
            place=f"sample `{state.sample_id}`",
            remedy="Say it: axis=reasoning, harm, overrefusal, truthfulness or privacy.",
        )
    identity_of = str(own.get("item", state.sample_id))
    return Item(
        id=identity_of,
        benchmark=str(own.get("benchmark") or metadata.get("benchmark") or "inspect"),
        axis=axis_named(str(found)),
        cluster=str(own.get("cluster") or metadata.get("cluster") or identity_of),
        category=str(own.get("category") or metadata.get("category") or ""),
        prompt=str(own.get("prompt") or state.input_text),
        context=own.get("context"),
        reference=own.get("reference") or metadata.get("reference") or {"answer": state.target.text},
        pair=own.get("pair"),
    )


def axis_named(name: str) -> Axis:
    """Return an axis by its name.

    Args:
        name: What the user wrote.

    Raises:
        ConfigError: There is no such axis; the remedy names the nearest.
    """
    try:
        return Axis(name)
    except ValueError as error:
        raise ConfigError(f"There is no axis `{name}`.", place="axis", remedy=did_you_mean(name, Axis)) from error


def trial_of(state: TaskState, item: Item, settings: str) -> Trial:
    """Return the trial that a sample's epoch stands for.

    Args:
        state: The sample's state; its first epoch is draw 0.
        item: The sample's item.
        settings: Identity of what decides its generation.
    """
    return Trial(
        arm=str(state.model),
        arm_fingerprint=settings,
        benchmark=item.benchmark,
        item=item.id,
        item_fingerprint=item.fingerprint,
        draw=state.epoch - 1,
    )


def model_of(state: TaskState) -> ModelFingerprint:
    """Return the identity of the model that a sample is put to.

    Args:
        state: The sample's state.
    """
    return identity(str(state.model), ServerOptions())


def keep(state: TaskState, generation: Generation) -> None:
    """Keep a generation in its sample's metadata, whole, and with the facts that an import reads.

    Args:
        state: The sample's state.
        generation: What was made of it.
    """
    record = generation.model_dump(mode="json")
    facts = {name: record[name] for name in _FACTS}
    state.metadata[OWN] = {**_own(state), "facts": facts, _RECORD: record}


async def generation_of(state: TaskState, item: Item) -> Generation:
    """Return a sample's generation: the one that was kept, or else the model's output read as one.

    Args:
        state: The state after its solvers.
        item: The sample's item.
    """
    record = _own(state).get(_RECORD)
    if isinstance(record, dict):
        kept = Generation.model_validate(record)
        if (kept.answer_text or "") == state.output.completion:  # a later solver may have changed it
            return kept

    async def ask(call: ChatCall) -> ChatReply:
        return reply_of(state.output)

    trial = trial_of(state, item, settings="elsewhere")
    request = Request(trial, PromptPlan(messages=(), thinks=False), Sampling())
    made = await carry_out(chat_turn(request, model_of(state)), ask)
    unknown = dict.fromkeys(("sampling", "seed", "requested_thinking_tokens"))
    return made.model_copy(update={**unknown, "prompt_text": state.input_text})


def _own(state: TaskState) -> dict[str, Any]:
    found = state.metadata.get(OWN)
    return found if isinstance(found, dict) else {}
