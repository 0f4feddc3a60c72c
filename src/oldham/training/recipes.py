"""Reading a training file: a recipe beneath it, changes from the command line over it, a grid of runs out of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ValidationError

from oldham.core.errors import ConfigError, UnknownNameError, did_you_mean
from oldham.core.explain import explain
from oldham.core.yaml_io import Document, Source, parse_yaml, read_yaml
from oldham.training.config import DataSource, LoraSettings, Mix, PanelSettings
from oldham.training.methods import METHODS, RewardSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from oldham.training.config import TrainingSettings

_SECTIONS: Final[Mapping[str, type]] = {
    "data": DataSource,
    "mix": Mix,
    "lora": LoraSettings,
    "panel": PanelSettings,
    "rewards": RewardSpec,
}
_ABOUT: Final = ("method", "summary")
"""What a recipe says of itself, besides its settings."""
_UNSAFE: Final = frozenset("/\\,=\n")
"""What the name of a folder such as `seed=0,mix.ratio=0.05` cannot hold in a value."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings that somebody published."""

    name: str
    """The name users write."""
    method: str
    """`sft`, `dpo`, `grpo` or `rloo`."""
    summary: str
    """One line for `oldham list recipes`."""
    citation: str
    """Who published the settings."""
    settings: Mapping[str, Any]
    """What a training file may leave out with it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a training file."""

    settings: TrainingSettings
    """Of the class of its method."""
    varied: Mapping[str, Any]
    """The values this run has of what `vary` lists, by dotted key; empty without `vary`."""

    @property
    def folder(self) -> Path:
        """Where it goes under the folder of its method: `NAME`, or `NAME/seed=0,mix.ratio=0.05`."""
        name = Path(self.settings.name)
        return name / ",".join(f"{key}={_plain(value)}" for key, value in self.varied.items()) if self.varied else name


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with Oldham, sorted."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))


def read_recipe(name: str) -> Recipe:
    """Read a recipe.

    Args:
        name: One of `recipe_names`.

    Raises:
        UnknownNameError: There is no such recipe; the remedy names the nearest.
    """
    names = recipe_names()
    if name not in names:
        raise UnknownNameError(f"There is no recipe `{name}`.", remedy=did_you_mean(name, names))
    data = yaml.safe_load(_folder().joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    settings = {key: value for key, value in data.items() if key not in _ABOUT}
    return Recipe(name, data["method"], data["summary"], data["citation"], settings)


def load_runs(method: str, source: str, *, changes: Sequence[str] = (), model: str | None = None) -> tuple[Run, ...]:
    """Read the runs of a training file or of a recipe.

    Args:
        method: `sft`, `dpo`, `grpo` or `rloo`.
        source: A YAML file, or the name of a recipe. A file may name one itself (`recipe: s1`); its own lines go over
            the recipe's, section by section (`lora: {r: 4}` leaves the recipe's `alpha`).
        changes: `key=value` each, over both; the key may be dotted (`mix.ratio`, `data.0.n`), the value is YAML.
        model: The model, over both.

    Returns:
        One run, or with `vary` one for each combination of its values, the last key the fastest.

    Raises:
        ConfigError: The file, the recipe or a change says something that cannot be meant.
    """
    document = _document(source)
    data = _with_recipe(method, document)
    paths = []
    for change in [*changes, *([f"model={model}"] if model else [])]:
        key, value = _change(change)
        data = _changed(data, key, value, "--set")
        paths.append(tuple(key.split(".")))
    vary = data.pop("vary", {})
    place = document.source.place("vary")
    runs = []
    for varied in _combinations(vary, place):
        told = data
        for key, value in varied.items():
            told = _changed(told, key, value, place)
        runs.append(Run(_validated(method, told, document.source, paths), varied))
    return tuple(runs)


def _folder() -> Any:
    return files("oldham.training").joinpath("recipes")


def _document(source: str) -> Document:
    path = Path(source)
    if path.suffix in (".yaml", ".yml") or path.exists() or "/" in source:
        return read_yaml(path)
    if source not in recipe_names():
        raise UnknownNameError(
            f"There is neither a file nor a recipe `{source}`.", remedy=did_you_mean(source, recipe_names())
        )
    return Document({"recipe": source, "name": source}, Source(f"recipe {source}"))


def _with_recipe(method: str, document: Document) -> dict[str, Any]:
    """Return a file's settings, over those of its recipe where it names one."""
    own = {key: value for key, value in document.data.items() if key != "recipe"}
    if "recipe" not in document.data:
        return own
    place = document.source.place("recipe")
    try:
        recipe = read_recipe(str(document.data["recipe"]))
    except UnknownNameError as error:
        error.place = place
        raise
    if recipe.method != method:
        raise ConfigError(
            f"The recipe `{recipe.name}` is for `{recipe.method}`, not for `{method}`.",
            place=place,
            remedy=f"Give the command: oldham train {recipe.method} ...",
        )
    merged = dict(recipe.settings)
    for key, value in own.items():
        beneath = merged.get(key)
        merged[key] = {**beneath, **value} if isinstance(beneath, dict) and isinstance(value, dict) else value
    return merged


def _change(change: str) -> tuple[str, Any]:
    key, found, text = change.partition("=")
    if not found or not key.strip():
        raise ConfigError(f"`{change}` is no change.", place="--set", remedy="Write --set key=value.")
    return key.strip(), parse_yaml(f"value: {text}" if text.strip() else "value:", f"--set {key.strip()}").data["value"]


def _changed(data: Any, key: str, value: Any, place: str) -> Any:
    """Return settings with one value changed, the others shared; a section that is not there is made."""
    head, _, rest = key.partition(".")
    if isinstance(data, list):
        if not head.isdigit() or int(head) >= len(data):
            raise ConfigError(f"There is no entry `{head}` in a list of {len(data)}.", place=place)
        at = int(head)
        return [*data[:at], _changed(data[at], rest, value, place) if rest else value, *data[at + 1 :]]
    if data is not None and not isinstance(data, dict):
        raise ConfigError(f"`{key}` lies inside a setting that has no keys.", place=place)
    beneath = data or {}
    return {**beneath, head: _changed(beneath.get(head), rest, value, place) if rest else value}


def _combinations(vary: Any, place: str) -> Iterator[dict[str, Any]]:
    if not isinstance(vary, dict) or not all(isinstance(values, list) and values for values in vary.values()):
        raise ConfigError("`vary` lists the values of each key.", place=place, remedy="Write vary: {seed: [0, 1, 2]}.")
    for key, values in vary.items():
        if str(key) in ("name", "model", "recipe", "method"):
            raise ConfigError(f"`{key}` cannot be varied.", place=place, remedy="Write a file for each.")
        for value in values:
            if isinstance(value, dict | list) or _UNSAFE & set(_plain(value)):
                raise ConfigError(f"`vary` cannot name a folder after {value!r} of `{key}`.", place=place)
        if len({_plain(value) for value in values}) < len(values):
            raise ConfigError(f"`vary` lists a value of `{key}` twice.", place=place, remedy="Keep one of them.")
    keys = [str(key) for key in vary]
    for values in itertools.product(*vary.values()):
        yield dict(zip(keys, values, strict=True))


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _validated(
    method: str, data: dict[str, Any], source: Source, changed: Sequence[tuple[str, ...]]
) -> TrainingSettings:
    cls = METHODS[method]
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        sections = {key: section.model_fields for key, section in _SECTIONS.items()}  # type: ignore[attr-defined]
        top = [*cls.model_fields, "recipe", "vary"]
        told = explain(error, source, top=top, inner=(), sections=sections)
        where = [tuple(map(str, one["loc"])) for one in error.errors()]
        at = next((path for path in changed if any(path[: len(loc)] == loc[: len(path)] for loc in where if loc)), None)
        if at is not None:
            told.place = f"--set {'.'.join(at)}"
        raise told from None
