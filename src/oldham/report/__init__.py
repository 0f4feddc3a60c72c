"""The report: one HTML file that opens from disk and asks nothing of any other machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from oldham.core.errors import OldhamError
from oldham.report.data import ReportData, gather
from oldham.report.render import ReportOptions, render_report

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ReportData", "ReportOptions", "gather", "render_report", "write_report"]


def write_report(run_dir: Path, *, reveal: bool = False, judge: str | None = None) -> Path:
    """Write a run's report into its directory, whole or not at all.

    Args:
        run_dir: A directory with `observations.parquet` and `study.yaml`; `manifest.json` and `ledger.sqlite` are used
            where they are there.
        reveal: Show harmful completions instead of their length.
        judge: Where this judge spoke, only its verdicts count; None takes the first of each trial.

    Returns:
        The path: `report.html`, `report-by-JUDGE.html` where a judge was named, and with `-revealed` in its name where
        completions are shown. So neither stands where the plain report is expected.

    Raises:
        OldhamError: The directory holds no study or no observations, cannot be written, or no verdict is by the judge.
    """
    html = render_report(gather(run_dir, judge=judge), ReportOptions(reveal=reveal))
    by = "" if judge is None else "-by-" + re.sub(r"[^A-Za-z0-9._-]+", "-", judge)
    target = run_dir / f"report{by}{'-revealed' if reveal else ''}.html"
    part = run_dir / f".{target.name}.part"
    try:
        part.write_text(html, encoding="utf-8", newline="\n")
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OldhamError(
            f"The report cannot be written ({error.strerror}).",
            place=str(target),
            remedy="Check that the directory is writable and that the disk has room.",
        ) from error
    return target
