"""How much memory there is for keys and values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from oldham.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "OLDHAM_KV_GIB"
"""Environment variable that states the budget."""

_SHARE_CPU: Final = 0.25  # the rest is for activations, other processes, and the system's file cache
_SHARE_GPU: Final = 0.6
_UNKNOWN_GIB: Final = 2.0


def kv_budget_gib(device: torch.device, environment: Mapping[str, str] = os.environ) -> float:
    """Return how much memory keys and values may take.

    Args:
        device: Where they are kept.
        environment: Where `OLDHAM_KV_GIB` is looked for.

    Returns:
        GiB: what the variable says, else a quarter of the memory that is available, on a GPU 60% of what is free.

    Raises:
        ConfigError: The variable holds no positive number.
    """
    wish = environment.get(VARIABLE)
    if wish:
        try:
            budget = float(wish)
        except ValueError:
            budget = 0.0
        if not 0 < budget < float("inf"):
            raise ConfigError(f"`{wish}` is no amount of memory.", place=VARIABLE, remedy="Give GiB, such as 4.")
        return budget
    if device.type == "cuda":
        return float(_SHARE_GPU * torch.cuda.mem_get_info(device)[0] / 2**30)
    return _SHARE_CPU * available_gib()


def available_gib() -> float:
    """Return how much of the machine's memory is available, in GiB; a guess where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 2**20
    except (OSError, StopIteration, ValueError, IndexError):  # no Linux
        return _UNKNOWN_GIB / _SHARE_CPU
