from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from switching import KINDS, save_adapter, save_base

from architectures import CONFIGS, SIZE, random_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass
class Counted:
    """A turn of a fixed number of tokens; after some of them, other tokens are forced."""

    tokens: int
    force: dict[int, list[int]] = field(default_factory=dict)
    barred: frozenset[int] = frozenset()
    pending: deque[int] = field(default_factory=deque)
    out: list[int] = field(default_factory=list)

    def accept(self, token: int) -> int | None:
        self.out.append(token)
        if len(self.out) == self.tokens:
            return None
        self.pending += self.force.get(len(self.out), [])
        return token


@pytest.fixture(scope="session", params=sorted(CONFIGS))
def architecture(request: pytest.FixtureRequest) -> Any:
    """Give a tiny model of each architecture."""
    import torch

    torch.set_num_threads(1)
    return random_model(request.param)


@pytest.fixture(scope="session")
def llama() -> Any:
    import torch

    torch.set_num_threads(1)
    return random_model("llama")


@pytest.fixture
def single_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(params=CONFIGS)
def fresh_model(request: pytest.FixtureRequest) -> Any:
    """Give a tiny model of each architecture that the test may change."""
    return random_model(request.param)


@pytest.fixture
def fresh_llama() -> Any:
    """Give a tiny Llama that the test may change."""
    return random_model("llama")


@pytest.fixture
def row() -> Callable[..., Any]:
    """Build a row: a prompt, how many tokens to draw, a seed."""
    from oldham.core.records import Sampling
    from oldham.engine.rows import Row

    def build(prompt: list[int], tokens: int = 12, *, seed: int = 0, temperature: float = 0.0, **turn: Any) -> Row:
        forced = sum(map(len, turn.get("force", {}).values()))
        return Row(prompt, lambda: Counted(tokens, **turn), Sampling(temperature=temperature), seed, tokens + forced)

    return build


@pytest.fixture
def prompts() -> list[list[int]]:
    """Give 40 prompts: some equal, some with a common beginning, from 1 to 160 tokens."""
    import random

    stream = random.Random(5)
    common = [stream.randrange(2, SIZE) for _ in range(70)]
    made = [[stream.randrange(2, SIZE) for _ in range(stream.choice([1, 3, 17, 64, 65, 90]))] for _ in range(20)]
    return [*made, *([*common, *tail] for tail in made[:16]), made[3], made[3], common, common]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a tiny Llama."""
    import torch

    torch.set_num_threads(1)
    return save_base(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the folders of adapters for it, one of every kind."""
    folder = tmp_path_factory.mktemp("adapters")
    return {
        name: save_adapter(base, folder / name.replace(" ", "-"), seed, **settings)
        for seed, (name, settings) in enumerate(KINDS.items())
    }
