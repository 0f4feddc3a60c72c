from __future__ import annotations

import pytest

from oldham.attribution.selection import Candidate, Limits, Test, choose, failed_tests, why_none

LIMITS = Limits()


def candidate(
    layer: int, bypass: float | None, induce: float | None, kl: float | None, position: int = -1
) -> Candidate:
    return Candidate(position=position, layer=layer, norm=1.0, bypass=bypass, induce=induce, kl=kl)


TABLE = (
    candidate(9, -9.0, 5.0, 0.01),  # too late: layer 8 of 10 is the first that is
    candidate(8, -8.0, 5.0, 0.01),
    candidate(4, -7.0, 5.0, 0.11),  # changes harmless answers
    candidate(3, -6.0, -0.01, 0.01),  # does not induce refusal
    candidate(7, -5.0, 0.0, 0.1),  # just passes all
    candidate(2, -4.0, 5.0, 0.01),
    Candidate(position=-1, layer=0, norm=0.0),
)


def test_the_best_at_bypassing_that_passes_is_chosen() -> None:
    assert choose(TABLE, LIMITS, 10) == TABLE[4]
    assert [failed_tests(c, LIMITS, 10) for c in TABLE] == [
        ("layer",),
        ("layer",),
        ("kl",),
        ("induce",),
        (),
        (),
        ("induce", "kl", "layer"),
    ]


@pytest.mark.parametrize(
    ("relaxed", "place"), [(("kl",), 2), (("induce",), 3), (("kl", "induce"), 2), (("layer",), 0), (("layer", "kl"), 0)]
)
def test_a_relaxed_test_need_not_be_passed(relaxed: tuple[Test, ...], place: int) -> None:
    assert choose(TABLE, LIMITS, 10, relaxed) == TABLE[place]


def test_the_limits_are_the_user_s() -> None:
    assert choose(TABLE, Limits(most_kl=0.2), 10) == TABLE[2]
    assert choose(TABLE, Limits(least_induced=-1), 10) == TABLE[3]
    assert choose(TABLE, Limits(layer_share=0.3), 10) == TABLE[5]


def test_of_equals_the_earliest_is_taken() -> None:
    equal = [candidate(3, -1, 1, 0), candidate(2, -1, 1, 0, -1), candidate(2, -1, 1, 0, -2)]
    assert choose(equal, LIMITS, 10) == choose(equal[::-1], LIMITS, 10) == equal[2]


def test_what_is_not_known_is_never_chosen() -> None:
    unknown = [Candidate(position=-1, layer=0, norm=0.0), candidate(1, None, 1.0, 0.0)]
    assert choose(unknown, LIMITS, 10, ("induce", "kl", "layer")) is None
    assert "means of harmful and harmless prompts are equal" in why_none(unknown, LIMITS, 10)


def test_none_says_why() -> None:
    told = why_none(TABLE[:4], LIMITS, 10)
    assert choose(TABLE[:4], LIMITS, 10) is None
    assert told == (
        "No candidate passes the tests: of 4, 3 have a refusal score of at least 0 on harmless prompts when added, 3 "
        "have a divergence of at most 0.1 nats on harmless prompts when ablated, 2 have a layer below 0.8 of 10, and "
        "none has all."
    )
    assert "divergence" not in why_none(TABLE[:2], LIMITS, 10, ("kl",))
