"""The attacks of a study: the ladder that every arm meets, and where a rung has no place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from oldham.attacks.suffix import Suffix
from oldham.backends.base import ModelSpec, backend_for
from oldham.benchmarks.base import BENCHMARKS
from oldham.core.errors import ConfigError, UnknownNameError, did_you_mean
from oldham.core.explain import with_place
from oldham.core.fingerprint import derive_seed
from oldham.core.outcomes import Axis
from oldham.judges.asking import ModelJudge
from oldham.judges.base import JUDGES
from oldham.judges.rules import RULES
from oldham.prompts.base import PromptOptions
from oldham.prompts.build import dry_run, rehearse
from oldham.studies.arms import PROBES
from oldham.studies.attackers import attackers_of, meet_attackers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from oldham.attacks.attacker import AttackerOptions
    from oldham.attacks.compose import Composed
    from oldham.attacks.spec import AttackSpec
    from oldham.core.records import Item, PromptPlan
    from oldham.core.yaml_io import Source
    from oldham.studies.arms import Arm
    from oldham.studies.spec import Study


_SEARCHED: Final = frozenset({Axis.HARM, Axis.PRIVACY})
"""Where searches look for a success."""
_SEEDS: Final = 8
"""Attempts that are compared to see whether an attack draws anything."""


class StudyAttack(NamedTuple):
    """An attack with every knob filled in, and the items it is used on."""

    attack: Composed
    """What is done; without parts the items as they are."""
    only: tuple[str, ...] = ()
    """Axes and benchmarks; empty for all."""
    place: str = ""
    """Where the study names it."""

    @property
    def label(self) -> str:
        """Its name in trials and tables."""
        return self.attack.label

    def meets(self, item: Item) -> bool:
        """Say whether it is used on an item.

        Args:
            item: One of the study's.
        """
        # A search wants an answer that the judge calls bad: only where that is harm is it an attack.
        searched = "judge" not in self.attack.needs or item.axis in _SEARCHED
        return searched and self.is_for(item) and self.attack.meets(item)

    def is_for(self, item: Item) -> bool:
        """Say whether the study means it for an item.

        Args:
            item: One of the study's.
        """
        return not self.only or item.benchmark in self.only or str(item.axis) in self.only


def resolve_attacks(
    entries: Sequence[AttackSpec], benchmarks: Iterable[str], attackers: Mapping[str, AttackerOptions], source: Source
) -> list[StudyAttack]:
    """Take the entries of a study file apart.

    Args:
        entries: As the file has them.
        benchmarks: Names of the study's benchmarks.
        attackers: The models that attacks may ask, by name.
        source: The file, for messages.

    Raises:
        UnknownNameError: There is no such attack, knob, axis, benchmark or attacker.
        ConfigError: A knob has a value that it cannot have, two attacks have one label, or nobody says whom one asks.
    """
    valid = [*map(str, Axis), *benchmarks]
    resolved: dict[str, StudyAttack] = {}
    for index, entry in enumerate(entries):
        place = source.place("attacks", index)
        for where in entry.only:
            if where not in valid:
                raise UnknownNameError(
                    f"There is no axis and no benchmark `{where}`.",
                    place=source.place("attacks", index, "only"),
                    remedy=did_you_mean(where, valid),
                )
        for attack in with_place(place, entry.attacks, Path(source.name).parent if source.lines else None):
            if attack.label in resolved:
                raise _twice(resolved[attack.label].attack, attack, place)
            with_place(place, meet_attackers, attack, attackers)
            resolved[attack.label] = StudyAttack(attack, entry.only, place)
    return list(resolved.values())


def _twice(known: Composed, attack: Composed, place: str) -> ConfigError:
    """Say that two attacks have one label: they are the same, or their strings lie in two folders of one name."""
    strings = [part for each in (known, attack) for part in each.parts if isinstance(part, Suffix)]
    if len({part.folder for part in strings}) > 1:
        folders = " and ".join(f"`{part.folder}`" for part in strings)
        return ConfigError(
            f"The strings of {folders} would both be told as `{attack.label}`.",
            place=place,
            remedy="Give one of the folders another name.",
        )
    return ConfigError(f"The attack `{attack.label}` is there twice.", place=place, remedy="Keep one.")


def check_attacks(study: Study, items: Iterable[Item]) -> None:
    """Check that attacks have all they need for the items they are used on.

    Args:
        study: With resolved attacks.
        items: All of the study's.

    Raises:
        ConfigError: An attack lacks something for an item, such as a string that was to be optimised for it.
    """
    known = tuple(items)
    for wanted in study.resolved_attacks:
        mine = [item for item in known if wanted.is_for(item)]
        with_place(study.source.place("attacks"), wanted.attack.check, mine)


def check_words(study: Study, items: Mapping[str, Sequence[Item]]) -> None:
    """Check that the arms' models can be asked what attacks ask.

    Words can be put at the start of a trace or an answer only where the prompt is the caller's own, and stored outputs
    answer no wording that an attacker has just found.

    Args:
        study: With resolved arms and attacks.
        items: The items asked, by benchmark.

    Raises:
        ConfigError: An attack begins what a model writes that is asked over chat, or searches on stored outputs.
    """
    searching = [wanted for wanted in study.resolved_attacks if attackers_of(wanted.attack)]
    stored = [arm for arm in study.resolved_arms if ModelSpec.parse(arm.model).scheme == "replay"]
    if searching and stored:
        raise ConfigError(
            f"`{searching[0].label}` writes new wordings, and `{stored[0].name}` has stored outputs alone.",
            place=searching[0].place,
            remedy="Leave the attack out, or ask a model.",
        )
    needing = [wanted for wanted in study.resolved_attacks if wanted.attack.surfaces & {"trace", "answer"}]
    for arm in study.resolved_arms if needing else ():
        puts = with_place(
            study.place_of(arm, "model"), backend_for(arm.model).puts_words, arm.model, study.server_of(arm)
        )
        for wanted in () if puts else needing:
            if None in _places(wanted, arm, items).values():
                raise ConfigError(
                    f"`{wanted.label}` begins or closes what the model of `{arm.name}` writes, and that is asked over "
                    "chat, where nobody can.",
                    place=wanted.place,
                    remedy="Leave the attack out, or ask the model by `api: completions` or in process.",
                )


def attack_seed(attack: Composed, item: Item, study_seed: int, draw: int) -> int:
    """Return what decides the draws of an attack: the same for every arm, so that arms meet the same attempt.

    Args:
        attack: What is done.
        item: What is asked.
        study_seed: The study's seed.
        draw: Which sample of the cell; attacks without randomness make the same attempt in all.
    """
    return derive_seed("attack", attack.label, item.fingerprint, study_seed, draw if attack.random else 0)


def draws_anew(attack: Composed) -> bool:
    """Say whether what an attack asks differs from draw to draw, so that even a greedy arm may reply otherwise.

    Args:
        attack: What is done. One that draws nothing with its knobs, such as a template of a fixed number, does not; one
            whose attacker samples its wordings does.
    """
    first: list[PromptPlan] = []
    for seed in range(_SEEDS if attack.random else 0):
        calls = [
            call
            for probe in PROBES
            for call in rehearse(probe, attack.program(probe, PromptOptions(), seed=seed)).calls
        ]
        shown = [call.plan for call in calls]
        if any(call.to is not None and call.to.sampling.temperature > 0 for call in calls) or shown != (first or shown):
            return True
        first = shown
    return False


def attack_warnings(study: Study, items: Mapping[str, Sequence[Item]]) -> Iterable[str]:
    """Say what a reader of an attacked study will object to, and where an attack has no place.

    Args:
        study: With resolved arms and attacks.
        items: The items asked, by benchmark.
    """
    attacks = study.resolved_attacks
    if not any(attack.attack.parts for attack in attacks):
        return
    if all(attack.attack.parts for attack in attacks):
        yield "The items are never asked without an attack, so an attack's power cannot be told; add `none`."
    reading = (spec for spec in study.judges if spec.judge == RULES or "answer" in JUDGES.get(spec.judge).spans)
    first = next(reading, study.judges[0])
    looking = [wanted.label for wanted in attacks if {"attacker", "judge"} <= wanted.attack.needs]
    if looking and (first.judge == RULES or not issubclass(JUDGES.get(first.judge), ModelJudge)):
        yield (
            f"`{'`, `'.join(looking)}` stop at what `{first.judge}` calls a success, and it does not read whether the "
            "request was carried out; let a judge that asks a model come first."
        )
    if looking and {BENCHMARKS.get(asked.name).info.axis for asked in study.benchmark_requests()} - _SEARCHED:
        yield f"`{'`, `'.join(looking)}` search for harm, and are left out on the other axes."
    benchmarks = {asked.name: str(BENCHMARKS.get(asked.name).info.axis) for asked in study.benchmark_requests()}
    for wanted in attacks:
        if wanted.only and not {*benchmarks, *benchmarks.values()} & {*wanted.only}:
            yield f"`{wanted.label}` meets none of the items: no benchmark is on `{'`, `'.join(wanted.only)}`."
        yield from _left_out(study, wanted, items)


def _left_out(study: Study, wanted: StudyAttack, items: Mapping[str, Sequence[Item]]) -> Iterable[str]:
    """Say where an attack has no place, and why: in some arms, and there perhaps on some benchmarks alone."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for arm in study.resolved_arms:
        found = _places(wanted, arm, items)
        for why in dict.fromkeys(why for why in found.values() if why is not None):
            there = [name for name, told in found.items() if told == why]
            where = "" if len(there) == len(found) else f"on `{'`, `'.join(there)}` "
            reasons.setdefault((where, why), []).append(f"`{arm.name}`")
    for (where, why), arms in reasons.items():
        yield f"`{wanted.label}` is left out {where}under {', '.join(arms)}: {why}."


def _places(wanted: StudyAttack, arm: Arm, items: Mapping[str, Sequence[Item]]) -> dict[str, str | None]:
    """Return, for each benchmark that an attack meets, why it has no place there in an arm; None where it has one.

    An arm asks all items of a benchmark in one way, so one of them tells.
    """
    met = {name: next(filter(wanted.meets, asked), None) for name, asked in items.items()}
    return {
        name: wanted.attack.inapplicable(dry_run(item, arm.prompt).answering)
        for name, item in met.items()
        if item is not None
    }
