from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from simulated_changes import simulate_changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulated_changes import Studies

    Simulate = Callable[..., Studies]


@pytest.fixture(scope="session")
def simulate() -> Simulate:
    """Return a maker of studies with known truth."""
    return simulate_changes
