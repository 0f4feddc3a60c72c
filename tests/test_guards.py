"""The guards of conftest.py do refuse what they are there to refuse."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

pytestmark = pytest.mark.thorough

CONFTEST = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")
INI = """
[pytest]
addopts = --strict-markers --disable-socket --allow-unix-socket
markers =
  model: second ring
  slow: third ring
  sleeps: waits
"""


@pytest.fixture
def guarded(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(command_line="", tiny_models="")  # the plugins the real conftest names
    pytester.makeini(INI)
    # A torch that costs nothing: the guard looks at the name.
    pytester.mkdir("torch").joinpath("__init__.py").write_text("", encoding="utf-8")
    pytester.syspathinsert()
    return pytester


def test_guards_refuse_and_mend(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        dedent("""
        import os, socket, time, urllib.request
        import pytest
        from oldham.judges.base import JUDGES

        N_JUDGES = len(JUDGES.names())

        def test_opens_a_socket():
            with pytest.raises(Exception, match="socket"):
                socket.socket(socket.AF_INET, socket.SOCK_STREAM)

        def test_asks_a_server():
            with pytest.raises(Exception, match="socket"):
                urllib.request.urlopen("http://127.0.0.1:9/")

        def test_is_offline_for_the_hub():
            assert os.environ["HF_HUB_OFFLINE"] == "1"

        @pytest.mark.sleeps
        def test_may_sleep():
            time.sleep(0)

        @pytest.mark.model
        def test_ring_two_may_sleep():
            time.sleep(0)

        def test_sleeps():
            time.sleep(0)

        def test_imports_torch():
            import torch

        def test_takes_a_plugin_out():
            JUDGES._entries.pop(JUDGES.names()[0])

        def test_finds_it_again_and_puts_one_in():
            assert len(JUDGES.names()) == N_JUDGES
            JUDGES.register("mine", "a:b", summary="s", citation="c")

        def test_finds_what_was_there():
            assert len(JUDGES.names()) == N_JUDGES
        """)
    )
    result = guarded.runpytest_subprocess("-rfE")
    result.assert_outcomes(passed=9, failed=1, errors=3, warnings=result.parseoutcomes().get("warnings", 0))
    result.stdout.fnmatch_lines_random(
        [
            "FAILED *::test_sleeps *",
            "ERROR *::test_imports_torch *",
            "ERROR *::test_takes_a_plugin_out *",
            "ERROR *::test_finds_it_again_and_puts_one_in *",
        ]
    )


def test_no_mark_opens_the_network(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        dedent("""
        import pytest

        @pytest.mark.allow_hosts(["127.0.0.1", "::1", "localhost"])
        def test_here(): pass

        @pytest.mark.enable_socket
        def test_anywhere(): pass

        @pytest.mark.allow_hosts(["127.0.0.1", "93.184.216.34"])
        def test_an_address(): pass

        @pytest.mark.allow_hosts(["example.org"])
        def test_a_name(): pass
        """)
    )
    refusal = guarded.runpytest_subprocess().stderr.str()
    assert "this machine only" in refusal
    assert [name in refusal for name in ("test_here", "test_anywhere", "test_an_address", "test_a_name")] == [
        False,
        True,
        True,
        True,
    ]


def test_a_module_that_imports_torch_cannot_be_in_the_first_ring(guarded: pytest.Pytester) -> None:
    guarded.makepyfile("import torch\ndef test_it(): pass")
    guarded.runpytest_subprocess().stderr.fnmatch_lines(["*imports torch on collection*"])
