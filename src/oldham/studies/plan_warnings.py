"""What a reader of a study's results will object to, known before anything is generated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oldham.backends.base import backend_for
from oldham.benchmarks import BENCHMARKS
from oldham.core.outcomes import SAFETY_AXES, Axis
from oldham.prompts import CLAUSES
from oldham.studies.attacks import attack_warnings, draws_anew

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from oldham.backends.base import ServerOptions
    from oldham.core.records import Item
    from oldham.studies.spec import Study

SMALL_BENCHMARK: Final = 50
"""Below this many items an interval is too wide to tell most effects from none."""


def plan_warnings(
    study: Study, items: Mapping[str, Sequence[Item]], arm_fingerprints: Mapping[str, str]
) -> Iterable[str]:
    """Say what a reader of a study's results will object to, one sentence each.

    Args:
        study: With resolved arms and attacks.
        items: The items asked, by benchmark.
        arm_fingerprints: Identity of each arm's settings by its name.
    """
    for name, asked in items.items():
        if len(asked) < SMALL_BENCHMARK:
            yield f"`{name}` has {len(asked)} items; below {SMALL_BENCHMARK} most effects cannot be told from none."
    axes = {item.axis for asked in items.values() for item in asked}
    if Axis.REASONING not in axes:
        yield "No benchmark is on the axis `reasoning`, so there is nothing to couple safety with."
    if not axes & set(SAFETY_AXES):
        yield "No benchmark is on a safety axis, so there is nothing to couple reasoning with."
    yield from attack_warnings(study, items)
    yield from _single_draws(study)
    yield from _separate_caps(study)
    if len(study.resolved_arms) < 2:
        yield "There is only one arm, so nothing is compared."
    if study.draws == 1 and any(arm.sampling.temperature > 0 for arm in study.resolved_arms):
        yield "Tokens are sampled and there is one draw, so flips cannot be told from sampling noise; write `draws: 2`."
    scored = [name for name in items if BENCHMARKS.get(name).info.likelihood]
    silent = sorted({a.model for a in study.resolved_arms if not backend_for(a.model).scores_choices})
    if scored and silent:
        yield (
            f"`{'`, `'.join(scored)}` is scored by the likelihood of its choices, which `{'`, `'.join(silent)}` does "
            "not tell: nothing will be known there."
        )
    twins: dict[str, str] = {}
    for arm in study.resolved_arms:
        identity = arm_fingerprints[arm.name]
        if identity in twins and arm.vote in (None, "mean"):
            yield f"`{arm.name}` has the same settings as `{twins[identity]}`; they share their generations."
        twins.setdefault(identity, arm.name)
    clauses = {arm.prompt.safety for arm in study.resolved_arms}
    for name in sorted(clause for clause in clauses if clause is not None):
        control = CLAUSES.get(name).neutral
        if control is not None and control not in clauses:
            yield f"No arm tells what `{name}` says from how long it is; `safety: {control}` would."


def _single_draws(study: Study) -> Iterable[str]:
    """Say where a study of several draws makes one, because all would be the same text."""
    greedy = [arm.name for arm in study.resolved_arms if not arm.sampling.temperature]
    anew = [wanted.label for wanted in study.resolved_attacks if draws_anew(wanted.attack)]
    same = [wanted.label for wanted in study.resolved_attacks if wanted.label not in anew]
    if study.draws > 1 and greedy and same:
        yield (
            f"Under `{'`, `'.join(greedy)}`, which decode greedily, `{'`, `'.join(same)}` would give the same text "
            f"{study.draws} times and {'has' if len(same) == 1 else 'have'} one draw; `{'`, `'.join(anew)}` "
            f"{'has' if len(anew) == 1 else 'have'} {study.draws}."
        )


def _separate_caps(study: Study) -> Iterable[str]:
    """Say where the caps of several entries stand for one server, and none of them holds for all of it."""
    used = {arm.server for arm in study.resolved_arms} | {attacker.server for attacker in study.attackers.values()}
    used |= {judge.server for judge in study.judges}
    capped: dict[str, dict[str, ServerOptions]] = {}
    for name, options in study.servers.items():
        if name in used and options.url is not None and options.cap_usd is not None:
            entries = capped.setdefault(options.url.rstrip("/"), {})
            if options not in entries.values():  # entries that say the same are one
                entries[name] = options
    for url, entries in capped.items():
        if len(entries) > 1:
            most = sum(options.cap_usd or 0.0 for options in entries.values())
            yield (
                f"The servers `{'`, `'.join(entries)}` have one address ({url}) and a cap each, and their caps are "
                f"apart: together up to ${most:g}."
            )
