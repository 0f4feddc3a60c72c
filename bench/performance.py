"""Measure everything, and write docs/performance.md from what was measured.

    make bench                                    # about an hour on two cores; nothing else should run
    python bench/performance.py --only packed     # one part; the others keep what is on the page

The page is made of parts; each stands between two comments with its name, and running a part replaces it alone.
"""

from __future__ import annotations

import argparse
import datetime
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import adapters
import generation
import packed
import passes
import study
from timing import machine

import coupling
import training

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE: Final = Path(__file__).parent.parent / "docs" / "performance.md"


def _generation() -> str:
    return "\n\n".join(generation.show(generation.measure(mixed=mixed)) for mixed in (False, True))


def _packed() -> str:
    return "\n\n".join(packed.show(packed.measure(packed.Bench(dtype=kind))) for kind in ("float32", "bfloat16"))


def _adapters() -> str:
    return adapters.show(adapters.measure())


def _passes() -> str:
    return passes.show(passes.measure())


def _study() -> str:
    return study.show(study.measure())


def _training() -> str:
    return training.show(training.measure())


def _coupling() -> str:
    return coupling.show(coupling.measure())


PARTS: Final[dict[str, Callable[[], str]]] = {
    "generation": _generation,
    "passes": _passes,
    "packed": _packed,
    "study": _study,
    "adapters": _adapters,
    "training": _training,
    "coupling": _coupling,
}


def on(facts: dict[str, Any]) -> str:
    """Return one line on what a part ran on and when."""
    where = facts["gpu"] or f"{facts['cpu']}, {facts['threads']} threads"
    versions = f"torch {facts['torch']}, transformers {facts['transformers']}"
    return f"{where}; {versions}; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; load {facts['load_before']:.2f}"


def write(name: str, text: str, facts: dict[str, Any]) -> None:
    """Put a part in its place on the page."""
    page = PAGE.read_text(encoding="utf-8")
    place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not place.search(page):
        raise SystemExit(f"{PAGE} has no place for `{name}`")
    made = f"```text\n{on(facts)}\n\n{text}\n```\n"
    PAGE.write_text(place.sub(lambda m: m[1] + made + m[2], page), encoding="utf-8")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    for name in parser.parse_args().only:
        facts = machine()
        text = PARTS[name]()
        print(text, flush=True)
        write(name, text, facts)


if __name__ == "__main__":
    main()
