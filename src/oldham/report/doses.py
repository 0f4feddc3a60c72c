"""Doses in the report, and as a figure of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oldham.coupling import CouplingOptions
from oldham.coupling.dynamics import DoseOptions, NoDosesError, dose_dynamics
from oldham.coupling.dynamics_claims import (
    controls_sentences,
    critical_sentence,
    crossing_sentence,
    free_sentence,
    trend_sentence,
)
from oldham.coupling.dynamics_lead import group_sentences, groups_of, lead_words
from oldham.report.charts.dose import (
    dose_figure,
    dose_names,
    dose_response,
    drawn_axes,
    drawn_planes,
    phase_plane,
)
from oldham.report.charts.parts import checked_whole, fluid
from oldham.report.saving import save_figure

if TYPE_CHECKING:
    from pathlib import Path

    from oldham.coupling.dynamics_lead import DoseGroup
    from oldham.coupling.dynamics_results import DosePath, Dynamics
    from oldham.report.data import ReportData


@dataclass(frozen=True, slots=True)
class PathView:
    """One intervention in the report."""

    path: DosePath
    found: tuple[str, ...]
    """Critical doses and the free range, as sentences."""
    trends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupView:
    """Ladders that differ in their seed alone, or one alone."""

    name: str
    lead: tuple[str, ...]
    """What they show together, in brief sentences; empty for a ladder alone, which has its own."""
    paths: tuple[PathView, ...]


@dataclass(frozen=True, slots=True)
class DoseView:
    """The report's part on doses."""

    dynamics: Dynamics
    groups: tuple[GroupView, ...]
    words: str
    """What the words of brief sentences mean; empty where there are none."""
    paths: tuple[PathView, ...]
    planes: tuple[str, ...]
    """Safety axes with a phase plane."""
    axes: tuple[str, ...]
    """Axes by the dose."""
    names: tuple[str, ...]
    """Interventions without their seeds; each has charts of its own, on common scales."""
    between: tuple[str, ...]
    """Controls, as sentences."""
    specs: dict[str, dict[str, Any]]
    """The charts' specifications by the names that the template knows: `phase-AXIS` and `dose-AXIS` of the first of
    `names`, `phase-AXIS-2` and so on of the others."""


def dose_view(data: ReportData) -> DoseView | None:
    """Follow every intervention of a run over its doses.

    Args:
        data: The report's data.

    Returns:
        None where no arm has a dose above its start.
    """
    wanted = DoseOptions(training=_training(data.manifest))
    options = CouplingOptions(judge=data.judge)
    try:
        dynamics = dose_dynamics(data.observations, baseline=data.baseline, options=options, wanted=wanted)
    except NoDosesError:
        return None
    axes, planes = tuple(drawn_axes(dynamics)), tuple(drawn_planes(dynamics))
    names = tuple(dose_names(dynamics))
    specs: dict[str, dict[str, Any]] = {}
    with checked_whole():
        for i, name in enumerate(names, 1):
            end = "" if i == 1 else f"-{i}"
            specs |= {f"phase-{a}{end}": fluid(phase_plane(dynamics, a, name)) for a in planes}
            specs |= {f"dose-{a}{end}": fluid(dose_response(dynamics, a, name)) for a in axes}
    between = [s for c in dynamics.controls for s in controls_sentences(c, dynamics)]
    groups = tuple(map(_group, groups_of(dynamics)))
    return DoseView(
        dynamics=dynamics,
        groups=groups,
        words=lead_words(dynamics) if any(g.lead for g in groups) else "",
        paths=tuple(v for g in groups for v in g.paths),
        planes=planes,
        axes=axes,
        names=names,
        between=tuple(between),
        specs=specs,
    )


def _group(group: DoseGroup) -> GroupView:
    lead = group_sentences(group, brief=True) if group.mean else []
    return GroupView(group.name, tuple(lead), tuple(map(_view, group.paths)))


def _view(path: DosePath) -> PathView:
    found = [critical_sentence(c, path) for c in path.critical]
    crossings = [crossing_sentence(c, path) for c in path.critical if c.state != "none"]
    sentences = [*found, *(c for c in crossings if c), free_sentence(path.free, path)]
    return PathView(path, tuple(sentences), tuple(trend_sentence(t, path) for t in path.trends))


def training_facts(run_dir: Path) -> Mapping[str, Any]:
    """Return what a run's manifest says of interventions that are trained.

    Args:
        run_dir: The run directory, or a table without one.

    Returns:
        By intervention; empty where there is no manifest or nothing in it.
    """
    try:
        return _training(json.loads((run_dir / "manifest.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}  # a table without its run, or one whose description is lost: the rows are what is read


def _training(manifest: object) -> Mapping[str, Any]:
    training = manifest.get("training") if isinstance(manifest, Mapping) else None
    return training if isinstance(training, Mapping) else {}


def save_doses(dynamics: Dynamics, path: Path) -> None:
    """Draw doses into a file; a page asks nothing of any other machine.

    Args:
        dynamics: What doses do.
        path: It ends in .png, .svg or .html.

    Raises:
        OldhamError: The file cannot be written.
    """
    save_figure(dose_figure(dynamics), path)
