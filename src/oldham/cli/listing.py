"""`oldham list`: what can be named in a study file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from oldham.cli.console import out

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from oldham.core.registry import Registry

_CHECKED_ON: Final = (
    "embedded: comes with the package. file: its loader was checked on the real file. schema: its loader was checked "
    "on the published columns, with rows made up for the check."
)


class _Row(NamedTuple):
    name: str
    summary: str
    source: str
    facts: str = ""


def list_kind(
    kind: Annotated[
        str,
        typer.Argument(
            help="benchmarks, strategies, clauses, structures, demonstrations, judges, models, backends, importers, "
            "attacks, sources, rewards or recipes."
        ),
    ],
) -> None:
    """Print the registered names of a kind, with one line and a source each."""
    from oldham.core.errors import UnknownNameError, did_you_mean

    kinds = _kinds()
    if kind not in kinds:
        raise UnknownNameError(f"There is no kind `{kind}`.", remedy=did_you_mean(kind, kinds))
    rows = list(kinds[kind])
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        named = f"{row.name:{width}}  {row.facts}".rstrip()
        out.print(named, style="bold" if out.is_terminal else "", soft_wrap=True)
        out.print(f"    {row.summary} ({row.source})", soft_wrap=True)
    if kind in ("benchmarks", "sources"):
        out.print(_CHECKED_ON, soft_wrap=True)


def _kinds() -> Mapping[str, Iterable[_Row]]:
    from oldham.attacks import ATTACKS
    from oldham.backends.base import BACKENDS
    from oldham.backends.weights import aliases, describe_alias
    from oldham.benchmarks.base import BENCHMARKS
    from oldham.interop import IMPORTERS
    from oldham.judges.base import JUDGES
    from oldham.prompts.base import CLAUSES, DEMONSTRATIONS, STRATEGIES, STRUCTURES
    from oldham.training.recipes import read_recipe, recipe_names
    from oldham.training.rewards import REWARDS
    from oldham.training.sources import SOURCES

    names = sorted(aliases(), key=lambda name: (len(name), name))
    return {
        "attacks": [
            _Row("none", "The item as it is.", "-"),
            *(row._replace(facts=_passport(row.name)) for row in _rows(ATTACKS)),
        ],
        "backends": _rows(BACKENDS),
        "benchmarks": (row._replace(facts=_facts(row.name)) for row in _rows(BENCHMARKS)),
        "clauses": _rows(CLAUSES),
        "demonstrations": _rows(DEMONSTRATIONS),
        "importers": _rows(IMPORTERS),
        "judges": (row._replace(facts=_measured(row.name)) for row in _rows(JUDGES)),
        "models": [_Row(name, *describe_alias(name)) for name in names],
        "recipes": [
            _Row(recipe.name, recipe.summary, recipe.citation, recipe.method)
            for recipe in map(read_recipe, recipe_names())
        ],
        "rewards": _rows(REWARDS),
        "sources": (row._replace(facts=_training(row.name)) for row in _rows(SOURCES)),
        "strategies": _rows(STRATEGIES),
        "structures": _rows(STRUCTURES),
    }


def _facts(name: str) -> str:
    """Tell a benchmark's axis, its size and what its loader was checked on."""
    from oldham.benchmarks.base import BENCHMARKS

    info = BENCHMARKS.get(name).info
    return f"{info.axis:12}  {info.n_items:6,} items  {info.verified}"


def _training(name: str) -> str:
    """Tell what a training source has, under which licence, its kinds, and what its loader was checked on."""
    from oldham.training.sources import SOURCES

    info = SOURCES.get(name).info
    size = "generated" if info.n_examples is None else f"{info.n_examples:,} examples"
    parts = ("traces" if info.traces else "", "pairs" if info.pairs else "", info.licence, info.verified)
    kinds = f"kinds {', '.join(info.kinds)}" if len(info.kinds) > 1 else ""
    return "; ".join(part for part in (size, *parts, kinds) if part)


def _passport(name: str) -> str:
    """Tell what an attack touches, what it needs and what can be set, with units."""
    from oldham.attacks import ATTACKS

    cls = ATTACKS.get(name)
    knobs = [
        f"{key}={field.default} {field.json_schema_extra['unit']}"  # type: ignore[index]
        for key, field in cls.knobs_type.model_fields.items()
    ]
    needs = f"needs {', '.join(sorted(cls.needs))}" if cls.needs else ""
    dose = f"dose {cls.dose}" if cls.dose else ""
    return "; ".join(part for part in (cls.surface, cls.budget, needs, ", ".join(knobs), dose) if part)


def _measured(name: str) -> str:
    """Tell on what a judge's errors were measured."""
    from oldham.coupling.card_text import in_brief
    from oldham.judges.cards import shipped_cards

    return in_brief(card for label, card in shipped_cards().items() if label.partition("@")[0] == name)


def _rows(registry: Registry[Any]) -> list[_Row]:
    return [_Row(entry.name, entry.summary, entry.citation) for entry in registry.entries()]
