"""What the C library does with freed memory while a model trains on a CPU."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_TOP_PAD: Final = -2
_MMAP_MAX: Final = -4
"""Parameters of glibc's `mallopt`, from malloc.h."""
_LARGEST: Final = 2**31 - 1
_PAD: Final = 256 * 2**20
"""Bytes to ask the system for beyond what is needed now."""


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed for the next step, for as long as the process lives.

    By default a large block goes back to the system when it is freed and comes anew, page by page, in the next step. A
    step of a small model on a CPU allocates several blocks as large as batch times vocabulary, and a third of its time
    goes into those pages. Nothing that is computed changes; the process keeps its largest size.

    Returns:
        Whether it was done; False on another C library.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _LARGEST), (_TOP_PAD, _PAD))
    # musl has the symbol and does nothing; it answers 0.
    return all(mallopt(parameter, value) == 1 for parameter, value in wanted)
