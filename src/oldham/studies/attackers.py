"""The attackers of a study: which attack asks whom, who they are, what they will take, and who answers for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oldham.attacks.adaptive import SHOWN_CHARS
from oldham.attacks.attacker import AskingAttack, Attacker
from oldham.backends.base import backend_for
from oldham.backends.routing import Router
from oldham.core.errors import ConfigError, ModelError, UnknownNameError, did_you_mean
from oldham.core.explain import with_place
from oldham.core.fingerprint import fingerprint
from oldham.core.records import ModelFingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from oldham.attacks.attacker import AttackerOptions
    from oldham.attacks.compose import Composed
    from oldham.backends.base import Backend, ServerOptions
    from oldham.core.records import PromptPlan
    from oldham.judges.base import Judge
    from oldham.studies.arms import Arm
    from oldham.studies.costs import Costs
    from oldham.studies.plan import Plan, PlannedTrial
    from oldham.studies.spec import Study

_CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class AttackerWork:
    """What an attacker will be asked."""

    name: str
    """Its name in the study."""
    model: str
    """Its model's name."""
    calls: int
    """Most questions; an attack that succeeds early asks fewer."""
    prompt_tokens: int
    """Estimated tokens to read, if its replies and the arm's are as long as they may be; chat template left out."""
    most_tokens: int
    """Most tokens to write: no more for an item than the attack's `attacker_tokens`."""
    usd: float
    """What it costs at most on a server whose prices are known; 0 without."""


def meet_attackers(attack: Composed, attackers: Mapping[str, AttackerOptions]) -> None:
    """Tell each part of an attack that asks an attacker whom it asks.

    Args:
        attack: Made anew for this study.
        attackers: The study's.

    Raises:
        UnknownNameError: There is no attacker of the name that a knob gives.
        ConfigError: There is none at all, or several and no knob says which.
    """
    for part in attack.parts:
        if not isinstance(part, AskingAttack):
            continue
        name = part.knobs.attacker
        if not attackers:
            raise ConfigError(
                f"The attack `{part.name}` asks an attacker model, and the study names none.",
                remedy="Name one: `attackers: {NAME: {model: MODEL}}`.",
            )
        if name and name not in attackers:
            raise UnknownNameError(f"There is no attacker `{name}`.", remedy=did_you_mean(name, attackers))
        if not name and len(attackers) > 1:
            raise ConfigError(
                f"The study has {len(attackers)} attackers, and `{part.name}` does not say which it asks.",
                remedy=f"Add `attacker: NAME`, one of: {', '.join(attackers)}.",
            )
        chosen = name or next(iter(attackers))
        part.attacker = Attacker(chosen, attackers[chosen].temperature, attackers[chosen].tokens)


def attackers_of(attack: Composed) -> tuple[str, ...]:
    """Return the names of the attackers that an attack asks; none for most.

    Args:
        attack: One of a study's.
    """
    return tuple(part.attacker.name for part in attack.parts if isinstance(part, AskingAttack))


def check_attackers(study: Study) -> None:
    """Check that every attacker's server is there.

    Args:
        study: Any study.

    Raises:
        UnknownNameError: One is not.
    """
    for name, options in study.attackers.items():
        if options.server is not None and options.server not in study.servers:
            raise UnknownNameError(
                f"There is no server `{options.server}`.",
                place=study.source.place("attackers", name, "server"),
                remedy=did_you_mean(options.server, study.servers)
                if study.servers
                else "Describe it under `servers:`.",
            )


def identify_attackers(study: Study) -> dict[str, ModelFingerprint]:
    """Return the identity of every attacker that some attack asks, by name; none is loaded.

    Args:
        study: With resolved attacks.

    Raises:
        ModelError: There is no such model.
    """

    def identify(model: str, server: ServerOptions | None) -> ModelFingerprint:
        return backend_for(model).identify(model, server)

    return {
        name: with_place(study.source.place("attackers", name, "model"), identify, options.model, _server(study, name))
        for name, options in study.attackers.items()
        if name in {one for wanted in study.resolved_attacks for one in attackers_of(wanted.attack)}
    }


def attack_identity(attack: Composed, attackers: Mapping[str, ModelFingerprint], judge: Judge | None) -> str | None:
    """Return the identity of what an attack does: attackers' models, and the judge that ends a search, included.

    Args:
        attack: One of a study's; without parts it has no identity.
        attackers: Identities by name.
        judge: Who says whether a try succeeded; None where nobody does.
    """
    asked = [attackers[name].fingerprint for name in attackers_of(attack)]
    told = judge.fingerprint if judge is not None and "judge" in attack.needs else None
    if not asked and told is None:
        return attack.fingerprint
    return fingerprint("asking attack", [attack.fingerprint, asked, told])


def attackers_told(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return what the manifest says of the attackers, by name.

    Args:
        plan: The plan.
    """
    return {
        name: {**plan.study.attackers[name].model_dump(mode="json"), "identity": identity.model_dump(mode="json")}
        for name, identity in plan.attackers.items()
    }


def stored_attackers(manifest: Mapping[str, Any]) -> dict[str, ModelFingerprint]:
    """Return the identities of attackers that a manifest wrote down.

    Args:
        manifest: One of a run; those of runs without attackers need not speak of any.

    Raises:
        KeyError: It does not say who one is.
        pydantic.ValidationError: What it says is no identity.
    """
    told = manifest.get("attackers", {})
    return {name: ModelFingerprint.model_validate(one["identity"]) for name, one in told.items()}


def check_reachable(study: Study, trials: Iterable[PlannedTrial]) -> None:
    """Check that every attacker that is still to be asked can be reached as it is described.

    Args:
        study: The study.
        trials: Those that are left.

    Raises:
        ConfigError: One cannot.
    """
    for name in {name for planned in trials for name in attackers_of(planned.attack)}:
        model = study.attackers[name].model
        place = study.source.place("attackers", name, "model")
        with_place(place, backend_for(model).check, model, _server(study, name))


def estimate_attackers(study: Study, trials: Iterable[PlannedTrial]) -> tuple[AttackerWork, ...]:
    """Estimate what the attackers will be asked at most.

    Args:
        study: The study.
        trials: Those that are left.
    """
    asked: dict[str, list[int]] = {}
    for planned in trials:
        for part in planned.attack.parts:
            plans = [call.plan for call in planned.rehearsal.calls if call.to is not None]
            if plans and isinstance(part, AskingAttack):
                told = asked.setdefault(part.attacker.name, [0, 0, 0])
                told[0] += len(plans)
                shown = min(planned.prompt.answer_tokens, SHOWN_CHARS // _CHARS_PER_TOKEN)
                told[1] += sum(_most_read(plan, place, part.attacker.tokens, shown) for place, plan in enumerate(plans))
                told[2] += min(sum(plan.answer_tokens for plan in plans), part.knobs.attacker_tokens)
    work = []
    for name, (count, read, written) in asked.items():
        server = _server(study, name)
        prices = (0.0, 0.0) if server is None else (server.usd_per_million_read, server.usd_per_million_written)
        usd = (read * (prices[0] or 0.0) + written * (prices[1] or 0.0)) / 1_000_000
        work.append(AttackerWork(name, study.attackers[name].model, count, read, written, usd))
    return tuple(work)


def _most_read(plan: PromptPlan, place: int, written: int, shown: int) -> int:
    """Return how many tokens a question to an attacker may have, where what it quotes is as long as it may be.

    Args:
        plan: The question, as it is rehearsed.
        place: How many questions the attack asks before it: all but the first quote something the attacker wrote.
        written: Most tokens of a reply of the attacker.
        shown: Most tokens of a reply of the arm's model that the attacker is shown.
    """
    size = sum(len(message.content) for message in plan.messages) // _CHARS_PER_TOKEN
    own = sum(message.role == "assistant" for message in plan.messages)
    return size + max(own, min(place, 1)) * written + own * shown


class Attackers:
    """The attackers' models of a run, each loaded when it is first needed and kept until `close`.

    Args:
        plan: The plan.
        costs: Where each is told the total that it counts towards.
        check: Is called with an attacker's name and what loads it, before the first batch that may ask it.
    """

    def __init__(self, plan: Plan, costs: Costs, check: Callable[[str, Callable[[], Backend]], None]) -> None:
        self._plan, self._costs, self._check = plan, costs, check
        self._loaded: dict[str, Backend] = {}

    def beside(self, backend: Backend, arm: Arm, trials: Sequence[PlannedTrial]) -> Backend:
        """Return who answers for an arm's model and for the attackers that its trials ask.

        Args:
            backend: The arm's model. An attacker that is the same model on the same server shares it.
            arm: The arm.
            trials: What is to be generated.

        Raises:
            ModelError: An attacker cannot be had, or does not answer.
        """
        names = sorted({name for planned in trials for name in attackers_of(planned.attack)})
        if not names:
            return backend
        answering = {name: self._answering(name, backend, arm) for name in names}
        for name, load in answering.items():
            self._check(name, load)
        return Router(backend, answering)

    def close(self) -> None:
        """Free the models' memory."""
        for backend in self._loaded.values():
            backend.close()
        self._loaded.clear()

    def _answering(self, name: str, backend: Backend, arm: Arm) -> Callable[[], Backend]:
        options = self._plan.study.attackers[name]
        if (options.model, options.server) == (arm.model, arm.server):
            return lambda: backend
        return lambda: self._load(name)

    def _load(self, name: str) -> Backend:
        if name not in self._loaded:
            self._loaded[name] = load_attacker(self._plan, name)
            self._costs.share(self._loaded[name], f"attacker `{name}`", _server(self._plan.study, name))
        return self._loaded[name]


def load_attacker(plan: Plan, name: str) -> Backend:
    """Load an attacker's model.

    Args:
        plan: The plan.
        name: The attacker's.

    Raises:
        ModelError: It cannot be loaded, or is another one than was planned with.
    """
    model = plan.study.attackers[name].model
    backend = backend_for(model).load(model, _server(plan.study, name))
    if backend.fingerprint != plan.attackers[name]:
        backend.close()
        raise ModelError(f"The model `{model}` changed while it was loaded.", remedy="Give the command again.")
    return backend


def _server(study: Study, name: str) -> ServerOptions | None:
    server = study.attackers[name].server
    return None if server is None else study.servers[server]
