"""Controllable prompt design: reasoning strategies, demonstrations, budgets and safety clauses."""

from oldham.prompts import levels as _levels  # noqa: F401 (registers the levels)
from oldham.prompts.base import (
    CLAUSES,
    DEMONSTRATIONS,
    STRATEGIES,
    STRUCTURES,
    PromptOptions,
    SafetyClause,
    Strategy,
)
from oldham.prompts.build import build_plan, build_program, dry_run, rehearse

__all__ = [
    "CLAUSES",
    "DEMONSTRATIONS",
    "STRATEGIES",
    "STRUCTURES",
    "PromptOptions",
    "SafetyClause",
    "Strategy",
    "build_plan",
    "build_program",
    "dry_run",
    "rehearse",
]
