"""What the engine cannot do."""

from __future__ import annotations

from oldham.core.errors import ModelError


class UnsupportedModelError(ModelError):
    """The engine cannot run this kind of model; the slower way still can."""
