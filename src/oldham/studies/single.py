"""One run or table with all its arms, and what its model is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oldham.core.errors import ConfigError
from oldham.studies.observations import comparable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oldham.studies.observations import Comparison


def single_run(reference: str, baseline: str | None = None) -> Comparison:
    """Read a run or a table with its baseline first.

    Args:
        reference: A run directory, or a parquet or CSV file; `PATH:ARM` names the baseline.
        baseline: The baseline's name; None takes the reference's, the run's own, or the only arm's.

    Returns:
        The observations, the baseline's name, and the judges' cards.

    Raises:
        DataError: A table or a judge card cannot be read.
        UnknownNameError: There is no such arm, or nothing says which arm is the baseline.
        ConfigError: Two baselines are named.
    """
    path = path_of(reference)
    if baseline is None:
        return comparable(reference, str(path))
    named = "" if Path(reference).exists() else reference.partition(":")[2]
    if named and named != baseline:
        raise ConfigError(
            f"Both `{named}` and `{baseline}` are named as the baseline.", place=reference, remedy="Name one of them."
        )
    return comparable(f"{path}:{baseline}", str(path))


def path_of(reference: str) -> Path:
    """Return the path in a reference, without the arm.

    Args:
        reference: `PATH` or `PATH:ARM`.
    """
    path = Path(reference)
    return Path(reference.partition(":")[0]) if not path.exists() and ":" in reference else path


def baseline_weights(path: Path, baseline: str) -> str | None:
    """Say which weights a run's baseline has, so that two runs of one model are not taken for two models.

    Args:
        path: The run.
        baseline: Its baseline.

    Returns:
        A fingerprint; None for a table without a run, or a model that tells none.
    """
    try:
        manifest: Any = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    arm = _part(_part(manifest, "arms"), baseline)
    model = _part(_part(manifest, "models"), str(arm.get("model")))
    weights = model.get("weights")
    return f"{weights} {model.get('adapter')}" if weights else None


def _part(value: Any, name: str) -> Mapping[str, Any]:
    part = value.get(name) if isinstance(value, dict) else None
    return part if isinstance(part, dict) else {}


def models_read(references: Sequence[str]) -> dict[str, str]:
    """Name every run.

    Args:
        references: Of the runs.

    Returns:
        References by name: the last part of the path, or all of it where two runs end alike.

    Raises:
        ConfigError: One run is named twice.
    """
    paths = [path_of(r) for r in references]
    if len({p.resolve() for p in paths}) < len(paths):
        raise ConfigError("One run is named twice.", remedy="Name each run once: a run is one model.")
    ends = [p.resolve().name for p in paths]
    return {
        end if ends.count(end) == 1 else str(path): reference
        for end, path, reference in zip(ends, paths, references, strict=True)
    }


def same_models(references: Mapping[str, str], baselines: Mapping[str, str]) -> list[str]:
    """Name the runs whose baselines have the same weights.

    Args:
        references: By name.
        baselines: Each run's baseline, by name.

    Returns:
        A sentence for each group.
    """
    groups: dict[str, list[str]] = {}
    for name, reference in references.items():
        weights = baseline_weights(path_of(reference), baselines[name])
        if weights:
            groups.setdefault(weights, []).append(f"`{name}`")
    return [
        f"{', '.join(names)} have a baseline of the same weights: they are not {len(names)} models, and pooling counts "
        "them as if they were."
        for names in groups.values()
        if len(names) > 1
    ]
