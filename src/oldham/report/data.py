"""What a report is made of, read from a run directory."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from oldham.core.errors import ConfigError, DataError
from oldham.core.format_controls import controls_among, told_controls
from oldham.core.ledger import Ledger
from oldham.core.observations import read_observations
from oldham.core.outcomes import Axis
from oldham.coupling import CouplingOptions, couple, unattacked
from oldham.coupling.pairing import only_judge, tidy_trials
from oldham.coupling.stopped import as_stopped, read_stopped
from oldham.judges.cards import cards_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import polars as pl

    from oldham.core.records import Generation
    from oldham.coupling import Coupling, FlipPair
    from oldham.coupling.panel import Disagreement
    from oldham.judges.cards import JudgeCard

FLIPS_PER_CELL: Final = 12
"""Flips shown side by side for an arm on an axis."""
DISAGREEMENTS_PER_AXIS: Final = 12
"""Texts shown on which judges differ."""


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything the report shows."""

    study: Mapping[str, Any]
    """The study file as read."""
    study_text: str
    """The study file as written."""
    manifest: Mapping[str, Any]
    """The run's facts; any key may be absent."""
    baseline: str
    """Name of the baseline arm."""
    arms: tuple[str, ...]
    """Every arm with observations, the baseline first, then in the study's order."""
    observations: pl.DataFrame
    """The observation table."""
    coupling: Coupling
    """What the analysis found."""
    generations: Mapping[str, Generation]
    """The generations of flips and of disagreements by the fingerprint of their trial; those not in the ledger are
    absent."""
    gaps: tuple[str, ...] = ()
    """What the run directory lacked, one sentence each."""
    judge: str | None = None
    """The judge whose verdicts count wherever it spoke; None takes the first of each trial."""
    cards: Mapping[str, JudgeCard] = field(default_factory=dict)
    """What is known of the judges' errors, by label."""

    @property
    def counted(self) -> pl.DataFrame:
        """The verdicts that count: one a trial and span."""
        return tidy_trials(only_judge(self.observations, self.judge))[0]

    @property
    def unattacked(self) -> pl.DataFrame:
        """The verdicts that count on the items as they are; all of a benchmark never asked without an attack."""
        return unattacked(self.counted)

    @property
    def judge_facts(self) -> dict[str, Mapping[str, Any]]:
        """What the manifest says of each judge, by label; empty where it says nothing."""
        facts = self.manifest.get("judge_facts")
        named = facts if isinstance(facts, dict) else {}
        return {str(label): said for label, said in named.items() if isinstance(said, dict)}

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that were measured, in their usual order."""
        seen = set(self.observations["axis"].to_list())
        return tuple(str(a) for a in Axis if str(a) in seen)

    @property
    def flip_cells(self) -> dict[tuple[str, str], list[FlipPair]]:
        """The flipped pairs by arm and axis, safety before reasoning within an arm."""
        cells: dict[tuple[str, str], list[FlipPair]] = {}
        for arm in self.arms:
            for axis in sorted(self.axes, key=lambda a: a == Axis.REASONING):
                pairs = list(self.coupling.flip_pairs.of(arm, axis))
                if pairs:
                    cells[arm, axis] = pairs
        return cells


def shown_disagreements(coupling: Coupling) -> dict[str, list[Disagreement]]:
    """Return the disagreements that the report shows, by axis.

    Args:
        coupling: What the analysis found.

    Returns:
        Opposed judges first, then other names for one side, then texts without one of the scores; in each, arms take
        turns.
    """
    by_axis: dict[str, list[tuple[int, Disagreement]]] = {}
    turns: Counter[tuple[str, bool, bool, str]] = Counter()
    for d in coupling.panel.disagreements:
        kind = (d.axis, d.opposed, d.unscored, d.arm)
        by_axis.setdefault(d.axis, []).append((turns[kind], d))
        turns[kind] += 1
    return {
        axis: [
            d for _, d in sorted(rows, key=lambda r: (not r[1].opposed, r[1].unscored, r[0]))[:DISAGREEMENTS_PER_AXIS]
        ]
        for axis, rows in by_axis.items()
    }


def gather(run_dir: Path, *, judge: str | None = None) -> ReportData:
    """Read a run directory and analyse its observations.

    Args:
        run_dir: With `study.yaml` and `observations.parquet`; `manifest.json` and `ledger.sqlite` may be absent, which
            the report then says. Cards in its folder `cards` come before those of this package.
        judge: Where this judge spoke, only its verdicts count; None takes the first of each trial.

    Returns:
        The report's data.

    Raises:
        OldhamError: A file is absent or cannot be read, the baseline is not among the arms, or no verdict is by the
            judge.
    """
    gaps: list[str] = []
    study_text = _required(run_dir / "study.yaml").read_text(encoding="utf-8")
    study = _mapping(yaml.safe_load, study_text, run_dir / "study.yaml")
    manifest: Mapping[str, Any] = {}
    if (run_dir / "manifest.json").is_file():
        text = (run_dir / "manifest.json").read_text(encoding="utf-8")
        manifest = _mapping(json.loads, text, run_dir / "manifest.json")
    else:
        gaps.append("There is no manifest.json, so the run's facts are incomplete.")
    observations = read_observations(_required(run_dir / "observations.parquet"))
    baseline = study.get("baseline") or manifest.get("baseline")
    if not isinstance(baseline, str):
        raise ConfigError(
            "The study names no baseline.", place=str(run_dir / "study.yaml"), remedy="Add `baseline: ARM`."
        )
    cards = cards_of(run_dir)
    options = CouplingOptions(
        deterministic=_greedy(manifest, baseline),
        judge=judge,
        cards=cards,
        format_controls=controls_among(told_controls(manifest), observations["arm"].unique().to_list()),
    )
    coupling = couple(observations, baseline=baseline, options=options)
    coupling = as_stopped(coupling, observations, read_stopped(manifest), options)
    generations: dict[str, Generation] = {}
    ledger_path = run_dir / "ledger.sqlite"
    if ledger_path.is_file():
        with Ledger(ledger_path, read_only=True) as ledger:
            wanted = {f for p in coupling.flip_pairs for f in (p.baseline_generation, p.arm_generation)}
            wanted |= {d.generation for rows in shown_disagreements(coupling).values() for d in rows}
            generations = {g.trial.fingerprint: g for g in ledger.generations(wanted)}
    else:
        gaps.append("There is no ledger.sqlite, so flips are listed without their texts.")
    return ReportData(
        study=study,
        study_text=study_text,
        manifest=manifest,
        baseline=baseline,
        arms=_arm_order(observations, baseline, [*_keys(study.get("arms")), *_keys(manifest.get("arms"))]),
        observations=observations,
        coupling=coupling,
        generations=generations,
        gaps=tuple(gaps),
        judge=judge,
        cards=cards,
    )


def _required(path: Path) -> Path:
    if not path.is_file():
        raise DataError(
            f"There is no {path.name} here.",
            place=str(path),
            remedy="Run the study to its end first: oldham run STUDY.",
        )
    return path


def _mapping(read: Any, text: str, path: Path) -> Mapping[str, Any]:
    try:
        value = read(text)
    except (ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path.name} cannot be read ({error}).", place=str(path)) from error
    if not isinstance(value, dict):
        raise DataError(f"{path.name} holds no mapping.", place=str(path))
    return value


def _keys(value: object) -> list[str]:
    return [str(k) for k in value] if isinstance(value, dict) else []


def _greedy(manifest: Mapping[str, Any], arm: str) -> bool:
    """Whether the manifest says that an arm was decoded greedily; without a word of it, it was not."""
    settings = (manifest.get("arms") or {}).get(arm)
    return isinstance(settings, dict) and settings.get("temperature") == 0


def _arm_order(observations: pl.DataFrame, baseline: str, named: Iterable[str]) -> tuple[str, ...]:
    seen = observations["arm"].unique(maintain_order=True).to_list()
    return tuple(dict.fromkeys(a for a in [baseline, *named, *seen] if a in seen))
