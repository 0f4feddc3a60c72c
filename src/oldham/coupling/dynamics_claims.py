"""What is said of doses, in sentences: each with what it rests on, and what would settle it where it is open."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.coupling.dynamics_ladders import without_seed
from oldham.coupling.dynamics_results import ENOUGH_SEEDS
from oldham.coupling.findings import axis_words, counted, is_or_are, points, points_interval
from oldham.coupling.gates import POWER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oldham.coupling.dynamics_results import (
        ControlCheck,
        Controls,
        CriticalDose,
        DoseChange,
        DosePath,
        Dynamics,
        FreeRange,
        Hysteresis,
        Obstacle,
        Replicates,
        Trend,
    )

_KINDS: Final = {
    "text": "the same steps on text without reasoning",
    "shuffled_answers": "the same reasoning data with shuffled answers",
}
_MATCHED: Final = "a matched learning rate"


def critical_sentence(critical: CriticalDose, path: DosePath) -> str:
    """Say which dose is the first to lose more than the margin, or what is open.

    Args:
        critical: Of one safety axis.
        path: The path it belongs to.
    """
    what, _ = _subject(critical.axis, path)
    margin = f"{100 * critical.margin:g} points"
    changes = {c.dose: c for c in path.of(critical.axis)}
    together = f"95% band over the {len(changes)} doses together" if len(changes) > 1 else "95% interval"
    if critical.state == "unknown":
        return f"Nothing sure can be said of {what}: too few items have a scored answer at the start and at a dose."
    if critical.state == "reached":
        c = changes[critical.dose]
        said = (
            f"The critical dose for {what} is {critical.dose:g}: the smallest whose loss is sure to exceed {margin} "
            f"({points(c.change)} points, {together} {points_interval(c.band)}; {counted(c.n_items, 'item')})."
        )
        doubt = [x for x in changes.values() if x.dose < critical.dose and x.band.low <= -critical.margin]
        if doubt:
            worst = min(doubt, key=lambda x: x.band.low)
            said += f" At dose {worst.dose:g} the loss may already be {points(-worst.band.low).lstrip('+')} points."
        return said + _unknown_doses(changes.values(), below=critical.dose)
    if critical.state == "none":
        worst = min(changes.values(), key=lambda x: x.band.low)
        return (
            f"There is no critical dose for {what} up to {path.doses[-1]:g}: the loss is less than {margin} at every "
            f"dose (lower end of the {together}: {points(worst.band.low)})."
        )
    lowest = min((c for c in changes.values() if not math.isnan(c.band.low)), key=lambda x: x.band.low)
    # Where the known doses lose less than the margin, it is an unknown one that leaves it open.
    settle = (
        ""
        if math.isnan(critical.open_dose)
        else _settle(critical.items_needed, changes[critical.open_dose].n_items, f"dose {critical.open_dose:g}")
    )
    return (
        f"No dose is sure to lose more than {margin} of {what}; at dose {lowest.dose:g} the change may be anything "
        f"from {points(lowest.band.low)} to {points(lowest.band.high)} ({together}).{settle}"
        f"{_unknown_doses(changes.values())}"
    )


def _unknown_doses(changes: Iterable[DoseChange], *, below: float = math.inf) -> str:
    """Name the doses of which nothing sure is known; nothing where there is none."""
    unknown = [f"{c.dose:g}" for c in changes if math.isnan(c.band.low) and c.dose < below]
    if not unknown:
        return ""
    doses = f"dose{'s' if len(unknown) > 1 else ''} {' and '.join(unknown)}"
    return f" At {doses} nothing sure is known: too few items have a scored answer there and at the start."


def crossing_sentence(critical: CriticalDose, path: DosePath) -> str:
    """Say where a curve that can only fall passes the margin; nothing where it may be anywhere.

    Args:
        critical: Of one safety axis.
        path: The path it belongs to.
    """
    low, high = critical.crossing_interval
    if math.isnan(low) or (low == path.start_dose and math.isinf(high)):
        return ""
    what, _ = _subject(critical.axis, path)
    if math.isinf(low):
        where = f"above the last dose, {path.doses[-1]:g}, or not at all"
    elif math.isinf(high):
        where = f"above dose {low:g}, or not at all"
    else:
        line = f"; {critical.crossing:.3g} by a straight line" if math.isfinite(critical.crossing) else ""
        where = f"between dose {low:g} and dose {high:g}{line}"
    said = (
        f"If {what} can only fall with the dose, the loss reaches {100 * critical.margin:g} points {where} (95% "
        "confidence)."
    )
    rises = [s for s in path.segments if s.axis == critical.axis and s.safety_interval.low > 0]
    if rises:
        r = rises[0]
        said += (
            f" But from dose {r.from_dose:g} to {r.to_dose:g} the score rises by {points(r.d_safety).lstrip('+')} "
            f"({points_interval(r.safety_interval)}), which speaks against only falling."
        )
    return said


def free_sentence(free: FreeRange, path: DosePath) -> str:
    """Say how far the dose goes for free, and what ends it.

    Args:
        free: The free range.
        path: The path it belongs to.
    """
    if free.unmeasured:
        return f"There is no free range to speak of, since {' and '.join(free.unmeasured)} was not measured."
    margin = f"{100 * free.margin:g} points"
    ends = " ".join(_obstacle(o, free.margin, path) for o in free.obstacles)
    if math.isnan(free.dose):
        return f"There is no dose of which it is sure that reasoning rises and no safety axis loses {margin}. {ends}"
    at = next(c for c in path.of("reasoning") if c.dose == free.dose)
    said = (
        f"The free range goes to dose {free.dose:g}: reasoning is higher there ({points(at.change)} points, 95% band "
        f"{points_interval(at.band)}), and up to it every safety axis measured loses less than {margin}."
    )
    return f"{said} {ends}".rstrip()


def _obstacle(obstacle: Obstacle, margin: float, path: DosePath) -> str:
    what, are = _subject(obstacle.axis, path)
    if math.isnan(obstacle.interval.low):
        return f"At dose {obstacle.dose:g} nothing sure is known of {what}."
    kind = "95% band" if obstacle.axis == "reasoning" else "95% interval"
    span = f"{points(obstacle.change)}, {kind} {points_interval(obstacle.interval)}"
    if obstacle.axis == "reasoning":
        return (
            f"At dose {obstacle.dose:g} {what} {are} not shown to rise ({span})."
            f"{_settle(obstacle.items_needed, obstacle.items, 'it')}"
        )
    if obstacle.failed:
        return f"At dose {obstacle.dose:g} {what} {are} more than {100 * margin:g} points lower ({span})."
    return (
        f"At dose {obstacle.dose:g} {what} may be more than {100 * margin:g} points lower ({span})."
        f"{_settle(obstacle.items_needed, obstacle.items, 'it')}"
    )


def trend_sentence(trend: Trend, path: DosePath) -> str:
    """Say whether an axis moves with the dose.

    Args:
        trend: Of one axis.
        path: The path it belongs to.
    """
    what, _ = _subject(trend.axis, path)
    slope = (
        f"{points(trend.per_step)} points from one dose to the next, 95% interval {points_interval(trend.interval)}; "
        f"{counted(trend.n_items, 'item')}"
    )
    p = "p < 0.001" if trend.p_holm < 0.001 else f"p = {trend.p_holm:.3f}"
    if trend.p_holm < 0.05 and trend.interval.excludes_zero:
        way = "higher" if trend.per_step > 0 else "lower"
        return f"{_capital(what)}: {way} at higher doses, the start included ({slope}; {p} over the axes together)."
    if trend.p_holm < 0.05 or trend.interval.excludes_zero:
        return f"{_capital(what)}: interval and test do not agree on a trend ({slope}; {p} over the axes together)."
    return f"{_capital(what)}: no trend is shown ({slope}).{_settle(trend.items_needed, trend.n_items, 'its sign')}"


def seeds_sentences(replicates: Replicates) -> list[str]:
    """Say what the seeds agree on.

    Args:
        replicates: Training runs that differ in their seed alone.
    """
    said = []
    for axis in dict.fromkeys(m.axis for m in replicates.means):
        last = [m for m in replicates.means if m.axis == axis][-1]
        what = axis_words(axis)
        if last.n_seeds < ENOUGH_SEEDS:
            said.append(f"At dose {last.dose:g} the seeds differ by {100 * last.spread:.1f} points (SD) on {what}.")
        elif last.seed_interval.excludes_zero and last.interval.excludes_zero:
            way = "higher" if last.change > 0 else "lower"
            said.append(f"At dose {last.dose:g} {what} {is_or_are(what)} {way} over items and over seeds.")
        elif last.interval.excludes_zero:
            said.append(
                f"At dose {last.dose:g} the change of {what} is clear of 0 over items and not over seeds: these runs "
                "moved, another seed need not."
            )
        else:
            said.append(f"At dose {last.dose:g} no change of {what} is shown over items.")
    return said


def hysteresis_sentence(hysteresis: Hysteresis, dynamics: Dynamics) -> str:
    """Say whether the way back keeps more or less safety than the way out.

    Args:
        hysteresis: Of one safety axis.
        dynamics: What it belongs to.
    """
    path = next(p for p in dynamics.paths if p.intervention == hysteresis.out)
    what, _ = _subject(hysteresis.axis, path)
    ways = f"`{hysteresis.out}` out to `{hysteresis.turn}` and `{hysteresis.back}` back"
    area = f"signed area {area_words(hysteresis.area)}, 95% interval {area_words(hysteresis.interval.low)} to "
    area += f"{area_words(hysteresis.interval.high)} squared points"
    end = (
        f"At the end of the way back {what} stands at {points(hysteresis.left_safety)} points of its start "
        f"({points_interval(hysteresis.left_safety_interval)}), reasoning at {points(hysteresis.left_reasoning)} "
        f"({points_interval(hysteresis.left_reasoning_interval)})."
    )
    if not hysteresis.interval.excludes_zero:
        settle = _settle(hysteresis.items_needed, hysteresis.n_items, "the sign of the area")
        return f"{ways}: on {what} the two ways are not told apart ({area}).{settle} {end}"
    if not hysteresis.turn_reasoning_interval.excludes_zero:
        turned = f"{points(hysteresis.turn_reasoning)}, {points_interval(hysteresis.turn_reasoning_interval)}"
        way = "counter-clockwise" if hysteresis.area > 0 else "clockwise"
        return (
            f"{ways}: the two ways differ, {way} ({area}), but reasoning at the turn is not clear of its start "
            f"({turned}), so which has more {what} at equal reasoning is open. {end}"
        )
    more = "more" if (hysteresis.area > 0) == (hysteresis.turn_reasoning > 0) else "less"
    return f"{ways}: at equal reasoning the way back has {more} {what} than the way out ({area}). {end}"


def controls_sentences(controls: Controls, dynamics: Dynamics) -> list[str]:
    """Say which controls a claim has, which are missing, and whether it survives them.

    Args:
        controls: Of one intervention.
        dynamics: What it belongs to.
    """
    said = [has_sentence(controls), *unchecked_sentences(controls)]
    return said + [_check(check, dynamics) for check in controls.checks if check.state != "no loss"]


def has_sentence(controls: Controls, *, also: Sequence[str] = ()) -> str:
    """Say which controls a claim has and which are missing.

    Args:
        controls: Of one intervention.
        also: Other interventions of which the same can be said.
    """
    has = [kind_words(kind) for kind in controls.present]
    lacks = [kind_words(kind) for kind in controls.missing]
    (has if controls.pace == "matched" else lacks).append(_MATCHED)
    if controls.n_seeds < ENOUGH_SEEDS:
        lacks.append(f"{ENOUGH_SEEDS} seeds (there {'is' if controls.n_seeds == 1 else 'are'} {controls.n_seeds})")
    else:
        has.append(f"{controls.n_seeds} seeds")
    if controls.present and controls.control_seeds < ENOUGH_SEEDS:
        lacks.append(f"{ENOUGH_SEEDS} seeds of every control (the fewest: {controls.control_seeds})")
    missing = f"missing: {_listed(lacks)}" if lacks else "none is missing"
    names = " and ".join(f"`{name}`" for name in (controls.intervention, *also))
    said = f"{names} {'have' if also else 'has'} {_listed(has)}; {missing}."
    if controls.pace == "differs":
        said += " A control was trained at another learning rate, schedule or batch, so it controls for little."
    if not controls.present:
        said += " Without a control a loss is that of training, and not shown to be that of reasoning."
    return said


def unchecked_sentences(controls: Controls) -> list[str]:
    """Name the losses that no control could be held against.

    Args:
        controls: Of one intervention.
    """
    return [
        f"No loss on {axis} is held against the control `{control}`: there is no dose at which both have scored "
        "answers on the same benchmarks."
        for control, axis in controls.unchecked
    ]


def kind_words(kind: str) -> str:
    """Say what a control is.

    Args:
        kind: As the training facts name it.
    """
    return _KINDS.get(kind, kind)


def _check(check: ControlCheck, dynamics: Dynamics) -> str:
    path = next(p for p in dynamics.paths if without_seed(p.intervention)[0] == check.intervention)
    what, _ = _subject(check.axis, path)
    kind = kind_words(check.kind)
    said = (
        f"At dose {check.dose:g} {what} changes by {points(check.change)} points under `{check.intervention}`, of "
        f"which the control `{check.control}` ({kind}) does {points(check.of_control)} "
        f"({points_interval(check.of_control_interval)})"
    )
    left = f"{points(check.left)} points are left, 95% band {points_interval(check.left_interval)}"
    if not math.isnan(check.seed_interval.low):
        left += f" over items, 95% interval {points_interval(check.seed_interval)} over seeds"
    if check.state == "survives":
        return f"{said}: {left}, so the loss survives this control."
    if check.state == "explained":
        little = "no loss" if check.left_interval.low >= 0 else f"less than {100 * dynamics.margin:g} points"
        return f"{said}: {left}, {little}, so the control explains the loss."
    if check.hangs_on_seeds:
        return f"{said}: {left}, so it is open whether the loss survives: other seeds may give another answer."
    settle = _settle(check.items_needed, check.n_items, "it")
    return f"{said}: {left}, so it is open whether the loss survives.{settle}"


def _subject(axis: str, path: DosePath) -> tuple[str, str]:
    judges = {label for c in path.of(axis) for label in c.judges}
    what = axis_words(axis, judges)
    return what, is_or_are(what)


def _settle(needed: int | None, items: int, what: str) -> str:
    if needed is None:
        return f" No number of items can be named that would settle {what}."
    return f" About {needed} items instead of {items} would settle {what} with {POWER:.0%} chance."


def area_words(value: float) -> str:
    """Write a signed area in squared points, such as `+120`; `unknown` for NaN.

    Args:
        value: In squared scores.
    """
    if math.isnan(value):
        return "unknown"
    return f"{10_000 * value + 0.0:+.0f}".replace("-", "−")


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "none"


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
