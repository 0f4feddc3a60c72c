from __future__ import annotations

import pytest

from oldham.core.counts import total


@pytest.mark.parametrize(
    ("values", "sum_"), [((), 0), ((3, 4), 7), ((0.5, 2), 2.5), ((3, None), None), ((None, 3), None), ((0, 0), 0)]
)
def test_what_is_unknown_in_one_is_unknown_in_the_sum(values: tuple[float | None, ...], sum_: float | None) -> None:
    assert total(iter(values)) == sum_
