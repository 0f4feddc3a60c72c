"""The check of an attacker: whether its model answers at all, asked as attacks ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oldham._version import __version__
from oldham.backends.base import Request
from oldham.core.errors import ModelError
from oldham.core.fingerprint import fingerprint
from oldham.core.records import Message, PromptPlan, Sampling, StopReason, Trial
from oldham.studies.preflight_kept import VERSION, Checked
from oldham.studies.preflight_probes import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from oldham.backends.base import Backend
    from oldham.studies.plan import Plan

_QUESTION: Final = "Which city is the capital of France? Answer in one sentence."
_CHECK: Final = "attacker"


def check_attacker(work: Plan, name: str, load: Callable[[], Backend]) -> Checked:
    """Ask an attacker's model one harmless question, with the temperature and the token limit of the attacker.

    An attacker that says nothing leaves every attack that asks it without a wording, and such attacks would look weak.

    Args:
        work: The plan.
        name: The attacker's.
        load: Returns its model, loaded.

    Raises:
        ModelError: The model cannot be loaded, or nothing can be asked.
    """
    subject = attacker_subject(work, name)
    if work.attackers[name].backend.partition("/")[0] == "scripted":
        note = Finding(check=_CHECK, severity="note", sentence="Not checked: answers follow rules.")
        return Checked(subject=subject, findings=(note,))
    try:
        [reply] = load().generate([_asked(work, name)])
    except ModelError as error:
        told = f"The attacker `{name}` cannot be asked: {error.message}"
        raise ModelError(told, place=error.place, remedy=error.remedy) from error
    limit = work.study.attackers[name].tokens
    if reply.stop is StopReason.ERROR:
        said = f"The attacker `{name}` failed at a harmless question ({reply.error or 'no reason given'})."
        finding = Finding(check=_CHECK, severity="stop", sentence=said, fix="Mend its server, or name another model.")
    elif not (reply.answer_text or "").strip():
        said = f"The attacker `{name}` answered a harmless question with nothing, in {limit} tokens."
        fix = "Give it more `tokens` if it thinks before it answers, or name another model."
        finding = Finding(check=_CHECK, severity="stop", sentence=said, fix=fix)
    else:
        finding = Finding(check=_CHECK, severity="ok", sentence=f"`{name}` answers a harmless question.")
    return Checked(subject=subject, findings=(finding,))


def attacker_subject(work: Plan, name: str) -> str:
    """Return what an attacker is called in findings: its model, its server where it has one, and its name.

    Args:
        work: The plan.
        name: The attacker's.
    """
    options = work.study.attackers[name]
    seat = options.model if options.server is None else f"{options.model} on {options.server}"
    return f"{seat} as attacker {name}"


def attacker_key(work: Plan, name: str) -> str:
    """Return the identity of the check of an attacker.

    Args:
        work: The plan.
        name: The attacker's.
    """
    asked = [work.attackers[name], work.study.attackers[name]]
    return fingerprint("preflight attacker", [VERSION, __version__, name, *asked])


def _asked(work: Plan, name: str) -> Request:
    options = work.study.attackers[name]
    message = Message(role="user", content=_QUESTION)
    plan = PromptPlan(messages=(message,), thinks=False, answer_tokens=options.tokens)
    trial = Trial(
        arm="preflight",
        arm_fingerprint=f"preflight attacker {name}",
        benchmark="preflight",
        item=_QUESTION,
        item_fingerprint=fingerprint("preflight question", _QUESTION),
    )
    return Request(trial, plan, Sampling(temperature=options.temperature), to=name, attacker_seed=0)
