"""Telling a file's format from its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oldham.core.errors import DataError
from oldham.interop.base import IMPORTERS, Head, Importer, ImportOptions, Source, files_in
from oldham.interop.json_stream import json_stream
from oldham.interop.lines import csv_lines, json_lines, opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any, NoReturn

    from oldham.core.errors import OldhamError

_ZIP: Final = b"PK\x03\x04"
_LOOK_AT: Final = 4096


def importer_for(path: Path, options: ImportOptions) -> Importer:
    """Return the importer of a file.

    Args:
        path: A file, or a folder that one of the formats is kept in.
        options: May name the format, or hold a mapping file, which makes it a table.

    Returns:
        The importer.

    Raises:
        DataError: The file cannot be read, or no format fits.
        UnknownNameError: There is no format of that name.
    """
    if options.format is not None:
        if not path.exists():
            with opened(path):
                pass
        return IMPORTERS.get(options.format)()
    head = read_head(path, _pass_over if options.partial else _raise)
    for entry in IMPORTERS.entries():
        importer = IMPORTERS.get(entry.name)
        if importer.recognises(head):
            return importer()
    if options.mapping is not None and head.kind in ("jsonl", "csv"):
        return IMPORTERS.get("table")()
    if head.kind == "directory":
        return _importer_of_all(path, options)
    found = f" Its keys are {', '.join(head.keys[:12])}." if head.keys else ""
    raise DataError(
        f"The format cannot be told from the content.{found}",
        place=str(path),
        remedy=f"Describe its columns in a mapping file (--map), or name the format (--format): "
        f"{', '.join(IMPORTERS.names())}.",
    )


def _importer_of_all(folder: Path, options: ImportOptions) -> Importer:
    """Return the importer of a folder's files, where they are all of one format.

    Raises:
        DataError: The format of one cannot be told, or there are several formats, or no file.
    """
    files = files_in(folder)
    found: dict[type[Importer], Path] = {}
    why = ""
    for file in files:
        try:
            found.setdefault(type(importer_for(file, options)), file)
        except DataError:
            why = f" The format of {file.name} in it cannot be told."
            break
    if len(found) > 1:
        why = f" Its files are of several formats: {' and '.join(file.name for file in found.values())}."
    if why or not found:
        raise DataError(
            f"This is a directory, not a file.{why}", place=str(folder), remedy="Name the files in it that are meant."
        )
    return importer_for(files[0], options)


def read_head(path: Path, bad: Callable[[OldhamError], None]) -> Head:
    """Read as much of a file as tells its format.

    Args:
        path: A file or a folder.
        bad: Called with what is wrong with a row.

    Returns:
        Its kind and first keys.

    Raises:
        DataError: The file cannot be read, or breaks off before it says anything.
    """
    if path.is_dir():
        return Head(path, "directory")
    with opened(path) as handle:
        start = handle.read(_LOOK_AT)
    suffix = path.suffix.lower()
    if start.startswith(_ZIP) or suffix == ".eval":
        return Head(path, "zip")
    source = Source(path, ImportOptions(), bad)
    if suffix in (".csv", ".tsv"):
        return Head(path, "csv", tuple(next((tuple(line.data) for line in csv_lines(source)), ())))
    if suffix in (".jsonl", ".ndjson") or (suffix != ".json" and start.lstrip().startswith(b"{")):
        return Head(path, "jsonl", next((tuple(line.data) for line in json_lines(source)), ()))
    if suffix == ".json":
        return _json_head(path)
    return Head(path, "text")


def _json_head(path: Path) -> Head:
    with json_stream(path) as stream:
        if stream.opens() == "[":
            raise DataError(
                "This is a JSON list, and no format that is read has one.",
                place=str(path),
                remedy="Write one object a line into a .jsonl file, and give a mapping file for it (--map).",
            )
        keys: list[str] = []
        first: Any = None
        for key in stream.members():
            keys.append(key)
            if stream.opens() == "[":
                # The list may be the whole file; one element is enough to know it.
                first = next(([stream.value()] for _ in stream.elements()), []) if len(keys) == 1 else first
                break
            value = stream.value()
            first = value if len(keys) == 1 else first
        return Head(path, "json", tuple(keys), first)


def _raise(error: OldhamError) -> NoReturn:
    raise error


def _pass_over(error: OldhamError) -> None:
    """Say nothing: reading the file tells it again."""
