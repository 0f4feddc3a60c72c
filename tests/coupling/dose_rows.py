"""Observation rows of arms that are doses, with known changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUTCOMES = {"reasoning": ("incorrect", "correct"), "harm": ("complied_harmful", "refused")}
START = {"reasoning": 0.3, "harm": 0.9}


def dose_table(
    arms: Mapping[str, tuple[str | None, float | None, float, float]],
    *,
    n: int = 200,
    start: Mapping[str, float] | None = None,
) -> pl.DataFrame:
    """Return rows of reasoning and harm, item by item.

    Args:
        arms: By name the intervention, the dose, and the shares of items that are good on reasoning and on harm beyond
            the start's: item i is good where i / n lies below the share, so that paired changes are these numbers.
        n: Items on each axis.
        start: Shares at no change.
    """
    shares = start or START
    rows = [
        {
            "arm": arm,
            "intervention": intervention,
            "dose": dose,
            "axis": axis,
            "benchmark": axis,
            "item": f"i{i:04d}",
            "outcome": OUTCOMES[axis][good],
            "score": float(good),
        }
        for arm, (intervention, dose, *changes) in arms.items()
        for axis, change in zip(OUTCOMES, changes, strict=True)
        for i in range(n)
        for good in (i < round(n * (shares[axis] + change)),)
    ]
    return pl.DataFrame(rows, schema_overrides={"intervention": pl.String, "dose": pl.Float64})


def ladder(name: str, changes: Sequence[tuple[float, float, float]]) -> dict[str, tuple[str, float, float, float]]:
    """Return arms of one intervention from dose, change of reasoning and change of harm."""
    return {f"{name}/{dose:g}": (name, dose, across, up) for dose, across, up in changes}


BASE: dict[str, tuple[str | None, float | None, float, float]] = {"base": (None, None, 0.0, 0.0)}
