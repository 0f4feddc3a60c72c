from __future__ import annotations

from typing import TYPE_CHECKING

from oldham.benchmarks.base import BENCHMARKS
from oldham.core.outcomes import Axis

if TYPE_CHECKING:
    from command_line import Oldham


def test_benchmarks_are_listed_with_axis_size_and_what_they_were_checked_on(oldham: Oldham) -> None:
    said = [line.split() for line in oldham("list", "benchmarks").out.splitlines()]
    rows = {words[0]: words[1:5] for words in said if len(words) > 4 and words[1] in [*Axis]}
    assert sorted(rows) == BENCHMARKS.names()
    assert rows["alpaca_harmless"] == ["overrefusal", "6,264", "items", "file"]
    assert rows["harmful"] == ["harm", "100", "items", "embedded"]
    assert rows["sorry_bench"] == ["harm", "450", "items", "schema"]
