"""Choosing one direction among candidates by three tests (Arditi et al. 2024, arXiv 2406.11717, appendix C)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from pydantic import Field

from oldham.core.records import Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

Test: TypeAlias = Literal["induce", "kl", "layer"]
"""What a candidate must pass, beside being the best at bypassing refusal."""

TESTS: Final[tuple[Test, ...]] = get_args(Test)
"""All of them."""


class Candidate(Record):
    """One difference in means and what it does on the validation prompts."""

    position: int = Field(lt=0)
    """Token it was read at, counted from the end of the rendered prompt: -1 is the last."""
    layer: int = Field(ge=0)
    """Layer at whose input it was read, counted from 0."""
    norm: float = Field(ge=0)
    """Its length. 0 where the two means are equal, as at the input of the first layer, which has not read the request;
    nothing is known of such a candidate."""
    bypass: float | None = None
    """Mean refusal score of harmful prompts while it is ablated; the lower, the better it bypasses refusal."""
    induce: float | None = None
    """Mean refusal score of harmless prompts while it is added."""
    kl: float | None = None
    """Mean KL(as it is || ablated), in nats, of the first answer token's distribution on harmless prompts."""


class Limits(Record):
    """What the tests ask for; the published values by default."""

    least_induced: float = 0.0
    """`induce`: the least mean refusal score on harmless prompts while the direction is added."""
    most_kl: float = Field(default=0.1, ge=0)
    """`kl`: the largest mean divergence on harmless prompts while it is ablated."""
    layer_share: float = Field(default=0.8, gt=0, le=1)
    """`layer`: it must be read below this share of the layers, so that it is no direction of single output tokens."""


def failed_tests(candidate: Candidate, limits: Limits, n_layers: int) -> tuple[Test, ...]:
    """Return the tests that a candidate does not pass; one of which nothing is known passes none.

    Args:
        candidate: Any candidate.
        limits: What the tests ask for.
        n_layers: How many layers the model has.
    """
    if candidate.bypass is None or candidate.induce is None or candidate.kl is None:
        return TESTS
    passed: dict[Test, bool] = {
        "induce": candidate.induce >= limits.least_induced,
        "kl": candidate.kl <= limits.most_kl,
        "layer": candidate.layer < limits.layer_share * n_layers,
    }
    return tuple(test for test, well in passed.items() if not well)


def choose(
    candidates: Iterable[Candidate], limits: Limits, n_layers: int, relaxed: Collection[Test] = ()
) -> Candidate | None:
    """Return the candidate that bypasses refusal best among those that pass the tests.

    Args:
        candidates: Any number.
        limits: What the tests ask for.
        n_layers: How many layers the model has.
        relaxed: Tests that need not be passed.

    Returns:
        The one of the lowest `bypass`; of equals the one of the earliest layer, then of the earliest position. None
        where none passes.
    """
    passing = [c for c in candidates if c.bypass is not None and set(failed_tests(c, limits, n_layers)) <= set(relaxed)]
    return min(passing, key=lambda c: (c.bypass, c.layer, c.position), default=None)


def why_none(candidates: Sequence[Candidate], limits: Limits, n_layers: int, relaxed: Collection[Test] = ()) -> str:
    """Say in one sentence why no candidate was chosen.

    Args:
        candidates: Those that none was chosen of.
        limits: What the tests ask for.
        n_layers: How many layers the model has.
        relaxed: Tests that needed not be passed.
    """
    known = [c for c in candidates if c.bypass is not None]
    if not known:
        return "No candidate has a length: the means of harmful and harmless prompts are equal everywhere."
    asked = {
        "induce": f"a refusal score of at least {limits.least_induced:g} on harmless prompts when added",
        "kl": f"a divergence of at most {limits.most_kl:g} nats on harmless prompts when ablated",
        "layer": f"a layer below {limits.layer_share:g} of {n_layers}",
    }
    told = ", ".join(
        f"{sum(test not in failed_tests(c, limits, n_layers) for c in known)} have {asked[test]}"
        for test in TESTS
        if test not in relaxed
    )
    return f"No candidate passes the tests: of {len(known)}, {told}, and none has all."
