"""Guards that hold for every test: no network, no left-over plugins, no sleeping, no torch in the first ring."""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from oldham.backends.base import BACKENDS
from oldham.benchmarks.base import BENCHMARKS
from oldham.interop import IMPORTERS
from oldham.judges.base import JUDGES
from oldham.prompts.base import CLAUSES, DEMONSTRATIONS, STRATEGIES, STRUCTURES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["pytester", "command_line", "tiny_models"]

# pytest-socket guards this process; these keep the hub's clients in child processes offline too.
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1")

# A slow machine is no failure, and a failing example must fail for the next person as well.
settings.register_profile("oldham", deadline=None, derandomize=True)
settings.load_profile("oldham")

# A shell starts background jobs deaf to Ctrl-C, and a test that sends one would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
REGISTRIES = (BACKENDS, BENCHMARKS, CLAUSES, DEMONSTRATIONS, IMPORTERS, JUDGES, STRATEGIES, STRUCTURES)
HEAVY_RINGS = ("model", "slow")


def in_first_ring(item: pytest.Item) -> bool:
    return not any(item.get_closest_marker(ring) for ring in HEAVY_RINGS)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def opens_the_network(item: pytest.Item) -> bool:
    hosts = [host for mark in item.iter_markers("allow_hosts") for host in mark.args[0]]
    return item.get_closest_marker("enable_socket") is not None or not all(map(is_loopback, hosts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if refused := [item.nodeid for item in items if opens_the_network(item)]:
        raise pytest.UsageError(f"tests may open sockets to this machine only (allow_hosts): {', '.join(refused)}")


def pytest_collection_finish(session: pytest.Session) -> None:
    if "torch" in sys.modules and session.items and all(map(in_first_ring, session.items)):
        raise pytest.UsageError("a test module imports torch on collection; import it inside the test or a fixture")


@pytest.fixture(autouse=True)
def _registries_stay_as_they_are() -> Iterator[None]:
    before = {registry: {name: registry.entry(name) for name in registry.names()} for registry in REGISTRIES}
    yield
    changed = [registry.kind for registry, entries in before.items() if registry._entries != entries]
    for registry, entries in before.items():
        registry._entries = dict(entries)
    if changed:
        pytest.fail(f"this test changed the registries: {', '.join(changed)}; register in a `Registry` of its own")


@pytest.fixture(autouse=True)
def _first_ring_loads_no_torch(request: pytest.FixtureRequest) -> Iterator[None]:
    before = "torch" in sys.modules
    yield
    if not before and "torch" in sys.modules and in_first_ring(request.node):
        pytest.fail("this test imported torch; mark it `model`")


@pytest.fixture(autouse=True)
def _first_ring_does_not_sleep(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not in_first_ring(request.node) or request.node.get_closest_marker("sleeps"):
        return
    real_sleep = time.sleep

    def sleep(seconds: float) -> None:
        caller = sys._getframe(1)  # libraries may wait (subprocess does); tests and the code under test may not
        is_ours = caller.f_globals.get("__name__", "").split(".")[0] == "oldham"
        if is_ours or TESTS in Path(caller.f_code.co_filename).parents:
            pytest.fail(f"time.sleep({seconds}) in a fast test; wait for a condition, or mark it `sleeps`")
        real_sleep(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
