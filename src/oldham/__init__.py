"""Oldham: what making a language model reason better does to its safety.

The names here are loaded when they are first used, so that importing the package loads neither torch nor polars.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from oldham._version import __version__

if TYPE_CHECKING:
    from oldham.coupling import couple
    from oldham.interop.rejudge import judge
    from oldham.studies.plan import plan
    from oldham.studies.run import run
    from oldham.studies.spec import Study

_WHERE = {
    "Study": "oldham.studies.spec",
    "couple": "oldham.coupling",
    "judge": "oldham.interop.rejudge",
    "plan": "oldham.studies.plan",
    "run": "oldham.studies.run",
}

__all__ = ["Study", "__version__", "couple", "judge", "plan", "run"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module `oldham` has no attribute `{name}`")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
