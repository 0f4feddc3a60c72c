"""What a study will generate: every trial with its identity, what is there already, and what the rest will take."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from oldham.backends.base import backend_for
from oldham.backends.programs import ProgramRequest
from oldham.benchmarks import load_items
from oldham.core.errors import ModelError
from oldham.core.explain import with_place
from oldham.core.fingerprint import fingerprint
from oldham.core.records import Item, ModelFingerprint, PromptPlan, Trial
from oldham.prompts import dry_run, rehearse
from oldham.studies.arms import PROBES, samples_of
from oldham.studies.attackers import (
    AttackerWork,
    attack_identity,
    check_reachable,
    estimate_attackers,
    identify_attackers,
)
from oldham.studies.attacks import attack_seed, check_attacks, check_words, draws_anew
from oldham.studies.estimate import estimate, look_up
from oldham.studies.judge_plan import JudgeWork, check_graders, estimate_judging, judges_of
from oldham.studies.plan_warnings import plan_warnings
from oldham.studies.spec import Study
from oldham.studies.steering import steering_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from oldham.attacks.compose import Composed, Scorer
    from oldham.backends.base import ServerOptions
    from oldham.core.records import Generation
    from oldham.judges.base import Judge
    from oldham.prompts.base import Program
    from oldham.prompts.build import DryRun
    from oldham.studies.arms import Arm
    from oldham.studies.estimate import Estimate

_CHARS_PER_TOKEN: Final = 4


@dataclass(frozen=True)
class PlannedTrial:
    """A trial with everything that is needed to carry it out."""

    arm: Arm
    """The arm it belongs to."""
    item: Item
    """What is asked."""
    trial: Trial
    """Its identity."""
    attack: Composed
    """What is done to the item."""
    attack_seed: int
    """Decides what the attack draws."""
    judge: Judge | None
    """Who tells an attack that looks how good a reply is: the first of the item's benchmark that reads answers;
    None without any."""
    rehearsal: DryRun
    """Its calls, carried out on canned replies; what a program really asks follows from the model's own."""

    @property
    def prompt(self) -> PromptPlan:
        """The plan of the call that answers."""
        return self.rehearsal.answering

    @property
    def most_tokens(self) -> int:
        """Most tokens the arm's model may generate, traces and answers of all its calls."""
        return self.rehearsal.most_tokens

    @cached_property
    def prompt_tokens(self) -> int:
        """Estimated length of the arm's prompts in tokens, chat template left out."""
        plans = [call.plan for call in self.rehearsal.own]
        return sum(len(message.content) for plan in plans for message in plan.messages) // _CHARS_PER_TOKEN

    def request(self) -> ProgramRequest:
        """Return what a backend is asked."""
        return ProgramRequest(self.trial, self.program, self.arm.sampling, self.arm.steering)

    def program(self) -> Program:
        """Start what is to be carried out."""
        return self.attack.program(self.item, self.arm.prompt, seed=self.attack_seed, judge=_scorer(self.judge))


@dataclass(frozen=True)
class Seat:
    """One model on one server, and the arms it answers for."""

    arms: tuple[Arm, ...]
    """At least one; the first one's name for the model is taken."""
    model: ModelFingerprint
    """Its identity."""

    @property
    def subject(self) -> str:
        """The name in findings."""
        return self.arms[0].seat


@dataclass(frozen=True)
class Plan:
    """What a study will do."""

    study: Study
    """The study."""
    run_dir: Path
    """Where its rows are, or will be."""
    models: Mapping[str, ModelFingerprint]
    """Identity of each model by its name in the study, followed by ` on SERVER` where the arm names one."""
    items: Mapping[str, tuple[Item, ...]]
    """The items asked, by benchmark."""
    judges: Mapping[str, Sequence[Judge]]
    """Who scores, by benchmark."""
    arm_fingerprints: Mapping[str, str]
    """Identity of each arm's settings by its name."""
    trials: tuple[PlannedTrial, ...]
    """Every trial of every arm, in the order of the study file."""
    stored: frozenset[str]
    """Trials whose generation is in the ledger."""
    estimate: Estimate
    """What is left to generate."""
    warnings: tuple[str, ...]
    """What a reader of the results will object to, one sentence each."""
    judging: tuple[JudgeWork, ...] = ()
    """What is left to ask for each judge that asks a model."""
    attackers: Mapping[str, ModelFingerprint] = field(default_factory=dict)
    """Identity of each attacker that an attack asks, by its name."""
    attacking: tuple[AttackerWork, ...] = ()
    """What is left to ask each attacker, at most."""

    @cached_property
    def distinct(self) -> dict[str, PlannedTrial]:
        """The trials by identity; arms with the same settings share theirs."""
        distinct: dict[str, PlannedTrial] = {}
        for planned in self.trials:
            distinct.setdefault(planned.trial.fingerprint, planned)
        return distinct

    @property
    def n_cells(self) -> int:
        """Cells (arm, item, attack) of the study."""
        return len({(p.arm.name, p.item.benchmark, p.item.id, p.trial.attack) for p in self.trials})

    @cached_property
    def seats(self) -> tuple[Seat, ...]:
        """The models of the study, each with its arms, in the order of the study file."""
        arms: dict[tuple[ModelFingerprint, str | None], list[Arm]] = {}
        for arm in self.study.resolved_arms:
            arms.setdefault((self.models[arm.seat], arm.server), []).append(arm)
        return tuple(Seat(tuple(mine), model) for (model, _), mine in arms.items())

    def queue(self, model: ModelFingerprint, server: str | None = None) -> list[list[PlannedTrial]]:
        """Return one model's distinct trials, one list an arm, the longest first.

        Args:
            model: Identity of the model.
            server: Name of the server that answers for it; None for none.

        Returns:
            Lists whose order depends on the study alone and never on what is stored already, so that a run that
            continues meets the same batches. Arms are kept apart, so that a new arm brings batches of its own.
        """
        arms: dict[str, list[PlannedTrial]] = {}
        for planned in self.distinct.values():
            if self.models[planned.arm.seat] == model and planned.arm.server == server:
                arms.setdefault(planned.arm.name, []).append(planned)
        return [sorted(trials, key=lambda p: -(p.prompt_tokens + p.most_tokens)) for trials in arms.values()]


@dataclass(frozen=True)
class Identities:
    """What a run wrote down of its arms and judges, so that its rows can be found without its models."""

    arms: Mapping[str, str]
    """Identity of each arm's settings by its name."""
    models: Mapping[str, ModelFingerprint]
    """Identity of each model, by its name in the study."""
    judges: Mapping[str, Sequence[Judge]]
    """Who has scored, by benchmark."""
    attackers: Mapping[str, ModelFingerprint] = field(default_factory=dict)
    """Identity of each attacker that an attack asks, by its name."""


def plan(study: Study | str | Path, *, run_dir: Path | None = None, identities: Identities | None = None) -> Plan:
    """Work out what a study will do, without loading a model.

    Args:
        study: A study, or the path of a study file.
        run_dir: Where the run is kept; by default `runs/<name>` in the working directory.
        identities: What a run of this study wrote down. No model has to be there then, and nothing is said of what a
            reader may object to, nor of what judges will take.

    Returns:
        The plan.

    Raises:
        ConfigError: The study says something that cannot be meant, or a model that is still to be asked is on a server
            without an address.
        DataError: A benchmark's file is missing or changed.
        ModelError: There is no such model.
        LedgerError: The ledger is damaged.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    directory = run_dir or Path("runs") / study.name
    items = {
        request.name: with_place(study.source.place("benchmarks", index), load_items, request.name, request.n)
        for index, request in enumerate(study.benchmark_requests())
    }
    check_attacks(study, itertools.chain.from_iterable(items.values()))
    known = identities or _identities(study, directory, items)
    trials = tuple(planned for arm in study.resolved_arms for planned in _trials_of(arm, known, study, items))
    distinct = {p.trial.fingerprint: p for p in trials}
    ledger = directory / "ledger.sqlite"
    stored, rates = look_up(ledger, distinct)
    left = [planned for trial, planned in distinct.items() if trial not in stored]
    made = Plan(
        study=study,
        run_dir=directory,
        models=known.models,
        items=items,
        judges=known.judges,
        arm_fingerprints=known.arms,
        trials=trials,
        stored=stored,
        estimate=estimate(study, left, known.models, rates),
        warnings=() if identities else tuple(plan_warnings(study, items, known.arms)),
        judging=() if identities else estimate_judging(known.judges, distinct.values(), stored, ledger),
        attackers=known.attackers,
        attacking=estimate_attackers(study, left),
    )
    if identities is None:
        _check_reachable(made)
    return made


def _check_reachable(made: Plan) -> None:
    """Check that every model that has something left to do can be reached as it is described."""
    study = made.study
    trials = [planned for trial, planned in made.distinct.items() if trial not in made.stored]
    left = {planned.arm.name for planned in trials}
    for arm in study.resolved_arms:
        if arm.name in left:
            with_place(study.place_of(arm, "model"), backend_for(arm.model).check, arm.model, study.server_of(arm))
    check_reachable(study, trials)
    check_graders(study, made.run_dir, made.judges, made.judging)


def _identities(study: Study, directory: Path, items: Mapping[str, Sequence[Item]]) -> Identities:
    """Identify judges, models and arms, none of them loaded."""
    check_words(study, items)
    judges = judges_of(study, directory, items)
    models: dict[str, ModelFingerprint] = {}
    for arm in study.resolved_arms:
        if arm.seat not in models:
            models[arm.seat] = with_place(study.place_of(arm, "model"), _identify, arm.model, study.server_of(arm))
    arms: dict[str, str] = {}
    for arm in study.resolved_arms:
        steering = with_place(study.place_of(arm, "steering"), steering_of, arm, models[arm.seat])
        place = study.source.place(*arm.path)
        arms[arm.name] = with_place(place, _arm_fingerprint, arm, models[arm.seat], steering)
    return Identities(arms, models, judges, identify_attackers(study))


def _identify(model: str, server: ServerOptions | None) -> ModelFingerprint:
    return backend_for(model).identify(model, server)


def _arm_fingerprint(arm: Arm, model: ModelFingerprint, steering: Mapping[str, object] | None) -> str:
    """Identify an arm by what it asks of two fixed items on canned replies, so that a changed scaffold is a new arm."""
    identity: dict[str, object] = {
        "strategy": arm.prompt.strategy,
        "safety": arm.prompt.safety,
        "scaffold": [[call.plan for call in dry_run(probe, arm.prompt).calls] for probe in PROBES],
        "sampling": arm.sampling,
        "model": model.fingerprint,
    }
    if steering is not None:  # an arm without it keeps the identity it had before there was steering
        identity["steering"] = steering
    return fingerprint("arm", identity)


def _trials_of(
    arm: Arm, known: Identities, study: Study, items: Mapping[str, Sequence[Item]]
) -> Iterable[PlannedTrial]:
    judges = {benchmark: _steering(judges) for benchmark, judges in known.judges.items()}
    doing = {
        (wanted.label, benchmark): attack_identity(wanted.attack, known.attackers, judge)
        for wanted in study.resolved_attacks
        for benchmark, judge in judges.items()
    }
    samples = samples_of(arm)
    # What decodes greedily says the same again, unless the attack asks something else.
    draws = {
        wanted.label: samples * (study.draws if arm.sampling.temperature > 0 or draws_anew(wanted.attack) else 1)
        for wanted in study.resolved_attacks
    }
    for item in itertools.chain.from_iterable(items.values()):
        plain = dry_run(item, arm.prompt)
        for wanted in study.resolved_attacks:
            attack = wanted.attack
            if not wanted.meets(item) or attack.inapplicable(plain.answering) is not None:
                continue
            rehearsal = plain
            for draw in range(draws[attack.label]):
                # The samples of a vote answer one attempt, as the single answer of another arm does.
                seed = attack_seed(attack, item, study.seed, draw // samples)
                if attack.parts and (draw == 0 or attack.random):
                    rehearsal = rehearse(item, attack.program(item, arm.prompt, seed=seed))
                trial = Trial(
                    arm=arm.name,
                    arm_fingerprint=known.arms[arm.name],
                    benchmark=item.benchmark,
                    item=item.id,
                    item_fingerprint=item.fingerprint,
                    attack=attack.label,
                    attack_fingerprint=doing.get((attack.label, item.benchmark), attack.fingerprint),
                    draw=draw,
                    study_seed=study.seed,
                )
                yield PlannedTrial(arm, item, trial, attack, seed, judges.get(item.benchmark), rehearsal)


def _steering(judges: Sequence[Judge]) -> Judge | None:
    """Return who tells a search whether a try succeeded: the first judge that reads answers."""
    return next((judge for judge in judges if "answer" in judge.spans), None)


def _scorer(judge: Judge | None) -> Scorer | None:
    if judge is None:
        return None

    def score(item: Item, generation: Generation) -> float | None:
        verdict = next((one for one in judge.judge(item, generation) if one.span == "answer"), None)
        if verdict is None and "answer" in judge.spans:
            # A search that took this for an unknown score would be stored, and never tried again.
            raise ModelError(f"`{judge.label}` gave no verdict on a try, because its model failed.")
        return None if verdict is None else verdict.score

    return score
