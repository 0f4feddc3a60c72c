"""Results as JSON: what is unknown or infinite is null, which JSON has no number for."""

from __future__ import annotations

import json
import math
from typing import Any


def write_json(value: Any, *, by_name: bool = False) -> str:
    """Return a result as JSON text.

    Args:
        value: Dictionaries, lists, tuples, texts and numbers; `dataclasses.asdict` makes such of a result.
        by_name: Named tuples, such as intervals, by the names of their fields; else they are lists.

    Returns:
        Indented; NaN and infinity are null.
    """
    return json.dumps(_plain(value, by_name), ensure_ascii=False, allow_nan=False, indent=1)


def _plain(value: Any, by_name: bool) -> Any:  # noqa: FBT001 (private, and passed on)
    if by_name and isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): _plain(inner, by_name) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, by_name) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
