"""What every measurement says: what it ran on, and medians with their extremes."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Timing:
    """Seconds: the median and the extremes of several times."""

    median: float
    low: float
    high: float
    n: int
    """How often it was timed."""

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Sum up some times."""
        return cls(median(seconds), min(seconds), max(seconds), len(seconds))

    def __str__(self) -> str:
        return f"{self.median:8.2f} ({self.low:.2f} to {self.high:.2f}, n={self.n})"


def machine() -> dict[str, Any]:
    """Say what this runs on."""
    import torch
    import transformers

    return {
        "cpu": _cpu(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "load_before": os.getloadavg()[0],
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{named[0]}, {len(named)} cores" if named else platform.processor()
