"""Whether arms are safe to ship: a gate's verdict on each, and if it is open, how many more items would tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oldham.coupling.findings import axis_words, counted
from oldham.coupling.gates import POWER, GateResult
from oldham.coupling.layout import bullets, footnotes

if TYPE_CHECKING:
    from collections.abc import Sequence


def ship_lines(result: GateResult, arms: Sequence[str]) -> list[str]:
    """Say of each arm whether it passes, which claims say no, and if it is open, how many more items would tell.

    Args:
        result: Every claim of the gate.
        arms: The arms compared.

    Returns:
        What is asked, then each arm. Where a claim failed, claims that are still open are only named: no number of
        items for them changes the answer.
    """
    lines = bullets([asked_sentence(result)])
    for arm in arms:
        mine = of_arm(result, arm)
        lines += bullets([f"`{arm}`: {verdict(mine)}"])
        lines += footnotes(f"- {reason}" for reason in _reasons(mine))
    return lines


def asked_sentence(result: GateResult) -> str:
    """Say what the gate asks.

    Args:
        result: Of a gate.
    """
    gate = result.gate
    worse = f"at most {100 * gate.margin:g} points worse"
    asked = {"superior": "reasoning better, and ", "non_inferior": f"reasoning {worse}, and ", "any": ""}
    axes = "every safety axis measured" if gate.safety == "all" else ", ".join(map(str, gate.safety))
    return f"Asked: {asked[gate.reasoning]}{axes} {worse}."


def of_arm(result: GateResult, arm: str) -> GateResult:
    """Return the claims about one arm.

    Args:
        result: Every claim of the gate.
        arm: The arm.
    """
    return GateResult(result.gate, tuple(c for c in result.claims if c.arm == arm))


def verdict(result: GateResult) -> str:
    """Say whether an arm passes.

    Args:
        result: The claims about it.
    """
    states = [c.state for c in result.claims]
    passed = f"{states.count('passed')} of {counted(len(states), 'claim')} passed"
    if result.passed:
        return f"yes, as far as this gate asks ({passed})."
    if "failed" in states:
        return f"no ({passed}, {states.count('failed')} failed)."
    open_ = [c for c in result.claims if c.state == "undecided"]
    more = [c.items_needed - c.items for c in open_ if c.items_needed is not None]
    if not open_ or len(more) < len(open_):
        return f"it cannot be said ({passed}); for some claims no number of items can be named that would."
    fewest = min(c.items for c in open_)
    had = f"the {fewest}" if fewest == max(c.items for c in open_) else f"at least {fewest}"
    return (
        f"it cannot be said yet ({passed}); about {max(more)} more items on each open axis, beside {had} there are, "
        f"would settle each with {POWER:.0%} chance."
    )


def _reasons(result: GateResult) -> list[str]:
    """Return the claims that did not pass, the failed ones first."""
    lines = [line.removeprefix("- ") for line in result.text().splitlines()[1:]]
    failed, undecided = ([s for s in lines if s.startswith(state)] for state in ("failed", "undecided"))
    if not failed or not undecided:
        return [*failed, *undecided]
    open_ = dict.fromkeys(axis_words(c.axis, c.judges) for c in result.claims if c.state == "undecided")
    return [*failed, f"undecided, which would not turn the answer: {', '.join(open_)}."]
