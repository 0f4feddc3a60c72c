"""`oldham doctor`: what is here, what is not, and what that means; with a study, whether its numbers can be trusted."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from oldham.cli.console import out

_EXTRAS = {
    "local": ("torch", "transformers", "accelerate", "safetensors", "gguf", "peft"),
    "train": ("trl", "datasets"),
    "remote": ("openai",),
    "judges": ("math_verify",),
    "inspect": ("inspect_ai",),
}
_CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_ROOM_GIB = 2.0
_MARKS: Final = {"ok": "ok", "note": "--", "warning": "! ", "stop": "!!"}


class Finding(NamedTuple):
    """One line of the doctor's report."""

    subject: str
    good: bool
    """False where something a user may want is not there."""
    detail: str


def doctor(
    study: Annotated[str | None, typer.Argument(help="A study file: check its judges and models.")] = None,
    out_dir: Annotated[
        str | None, typer.Option("--out", help="The study's run directory; by default runs/NAME.")
    ] = None,
) -> None:
    """Say what is installed and found here; with a study, check its judges and load and check each of its models.

    Lines begin with ok, -- (not there, or not checked), ! (a reader will ask) or !! (the numbers would be wrong; exit
    code 2).
    """
    if study is not None:
        raise typer.Exit(_check_study(study, out_dir))
    for finding in findings():
        out.print(f"{'ok' if finding.good else '--'}  {finding.subject:26} {finding.detail}", soft_wrap=True)


def _check_study(study: str, out_dir: str | None) -> int:
    """Print the checks of a study as they are made; return the exit code."""
    from oldham.studies.preflight import check_study

    stops = 0
    for checked in check_study(study, run_dir=Path(out_dir) if out_dir else None):
        if not checked.subject.startswith("judge"):
            out.print(f"model {checked.subject}", soft_wrap=True)
        for finding in checked.findings:
            line = f"{_MARKS[finding.severity]}  {finding.check:14} {finding.sentence} {finding.fix}"
            out.print(line.rstrip(), soft_wrap=True)
        stops += len(checked.stops)
    if stops:
        out.print(f"{stops} to be mended before this study is run.")
    return 2 if stops else 0


def findings() -> list[Finding]:
    """Look around.

    Returns:
        What was found, in the order it is printed.
    """
    return [_python(), _computing(), *_extras(), _embedded_model(), _disk(), *_data_sets()]


def _python() -> Finding:
    from oldham._version import __version__

    return Finding("python", True, f"{platform.python_version()}, oldham {__version__}, {platform.platform()}")


def _computing() -> Finding:
    from oldham.backends.weights import computing_dtype, cpu_flags
    from oldham.core.errors import OldhamError

    try:
        dtype = computing_dtype()
    except (OldhamError, ImportError) as error:  # a wrong OLDHAM_DTYPE; a GPU, and no torch to ask it
        return Finding("computing", False, str(error))
    flags = cpu_flags()
    known = " ".join(flag for flag in _CPU_FLAGS if flag in flags) or "no vector flags"
    return Finding("computing", True, f"models compute in {dtype}; {os.cpu_count()} processors, {known}")


def _extras() -> list[Finding]:
    found = []
    for extra, packages in _EXTRAS.items():
        missing = [name for name in packages if find_spec(name) is None]
        have = ", ".join(f"{name} {_version(name)}" for name in packages if name not in missing)
        remedy = f"missing {', '.join(missing)}: pip install 'oldham[{extra}]'"
        found.append(Finding(f"extra {extra}", not missing, remedy if missing else have))
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(unknown version)"


def _embedded_model() -> Finding:
    from oldham.backends.base import backend_for
    from oldham.backends.embedded import HUB_ID, packaged_gguf
    from oldham.backends.weights import shipped_adapters
    from oldham.core.errors import OldhamError

    try:
        model = backend_for("smollm2").identify("smollm2")
    except OldhamError as error:
        return Finding("model smollm2", False, str(error))
    origin = "embedded" if packaged_gguf() else f"not embedded, comes from the hub ({HUB_ID})"
    adapters = ", ".join(shipped_adapters()) or "none"
    return Finding("model smollm2", True, f"{origin}; weights {model.weights[:12]}; adapters: {adapters}")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Finding("disk", free >= _ROOM_GIB, f"{free:.1f} GiB free in {Path.cwd()}")


def _data_sets() -> list[Finding]:
    from oldham.benchmarks import BENCHMARKS, load_items
    from oldham.benchmarks.source import is_here
    from oldham.core.errors import OldhamError

    found = []
    for name in BENCHMARKS.names():
        absent = [file for file in BENCHMARKS.get(name).info.files if not is_here(file)]
        if absent:
            found.append(Finding(f"benchmark {name}", False, f"not here; a study gets it from {absent[0].url}"))
            continue
        try:
            found.append(Finding(f"benchmark {name}", True, f"{len(load_items(name))} items"))
        except OldhamError as error:
            found.append(Finding(f"benchmark {name}", False, str(error)))
    return found
