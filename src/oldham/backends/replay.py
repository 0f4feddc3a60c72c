"""The backend that gives back stored outputs: for tests, dry runs, and for judging what is there already.

`replay:PATH` takes a run directory, or a JSONL file with one output a line; `replay:PATH:ARM` takes one of several
arms. An output is found by benchmark, item, attack and draw. What is not stored becomes an `error` row, and nothing is
made up.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import Field, ValidationError, model_validator

from oldham.backends.base import Backend, failed
from oldham.backends.chat_protocol import JOINT
from oldham.core.errors import DataError, ModelError, did_you_mean
from oldham.core.fingerprint import fingerprint
from oldham.core.ledger import Ledger
from oldham.core.records import EarlierCall, Generation, ModelFingerprint, Record, StopReason
from oldham.core.thinking import Span, ThinkingState, split_thinking

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from oldham.backends.base import Request, ServerOptions

_LEDGER: Final = "ledger.sqlite"


class StoredRow(Record):
    """A line of a JSONL file. What it does not say is not known."""

    item: str
    """The item's id."""
    benchmark: str | None = None
    """The item's benchmark; None where the ids alone tell items apart."""
    attack: str = "none"
    """Name of the attack."""
    draw: int = Field(default=0, ge=0)
    """Which sample of the cell."""
    arm: str | None = None
    """The arm; None in a file with a single one."""
    output: str | None = None
    """Everything that was written, thinking tags and all."""
    opened_in_prompt: bool = False
    """The prompt has opened the trace, so `output` starts inside it."""
    trace: str | None = None
    """The trace, where it is stored apart from the answer."""
    answer: str | None = None
    """The answer, where it is stored apart from the trace; None when none was reached."""
    error: str | None = None
    """Why there is no output."""
    prompt: str = ""
    """The rendered prompt."""
    stop: StopReason | None = None
    trace_stop: StopReason | None = None
    requested_thinking_tokens: int | None = Field(default=None, ge=0)
    realised_thinking_tokens: int | None = Field(default=None, ge=0)
    prompt_tokens: int | None = Field(default=None, ge=0)
    trace_tokens: int | None = Field(default=None, ge=0)
    answer_tokens: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)
    usd: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_kind_of_output(self) -> Self:
        kinds = [self.output is not None, self.trace is not None or self.answer is not None, self.error is not None]
        if sum(kinds) != 1:
            raise ValueError("a row holds either `output`, or `trace` and `answer`, or `error`")
        if (self.stop is StopReason.ERROR) != (self.error is not None):
            raise ValueError("a row has `stop` = `error` exactly where `error` says why")
        return self

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        number = {"item": str(value["item"])} if isinstance(value.get("item"), int) else {}
        return value | number | ({"stop": "error"} if value.get("error") is not None else {})

    def facts(self) -> dict[str, Any]:
        """Return what is known of the generation, by the names of its fields."""
        told = {name: getattr(self, name) for name in StoredRow.model_fields.keys() & Generation.model_fields.keys()}
        if self.output is not None:
            split = split_thinking(self.output, opened_in_prompt=self.opened_in_prompt)
            told |= {"output_text": self.output, "thinking_state": split.state}
            told |= {"trace": split.trace, "answer": split.answer}
        else:
            told |= self._joined()
        return told | {"prompt_text": self.prompt}

    def _joined(self) -> dict[str, Any]:
        """Return the text and the spans of a trace and an answer that are stored apart."""
        before, after = self.trace or "", self.answer or ""
        joint = JOINT if self.trace is not None and self.answer is not None else ""
        text, start = before + joint + after, len(before + joint)
        state = ThinkingState.COMPLETE if self.trace is not None else ThinkingState.NONE
        return {
            "output_text": text,
            "trace": None if self.trace is None else Span(0, len(before)),
            "answer": None if self.answer is None else Span(start, len(text)),
            "forced": (Span(len(before), start),) if joint else (),
            "thinking_state": ThinkingState.TRUNCATED if self.trace is not None and self.answer is None else state,
        }


class _Cell(NamedTuple):
    benchmark: str | None
    item: str
    attack: str
    draw: int


class _Stored(NamedTuple):
    """One output and where it stands."""

    content: StoredRow | Generation
    place: str


class ReplayBackend(Backend):
    """Gives back stored outputs: `replay:PATH` or `replay:PATH:ARM`.

    Text, spans and known facts stay as they were stored. Its identity is that of the stored rows, so that a run over
    other rows is another run. A strategy of several calls finds the earlier ones by their labels, where a run stored
    them; one that goes on with its own trace does not, for its calls are stored as one.

    Args:
        path: A run directory or a JSONL file.
        arm: One of its arms; None where there is only one.

    Raises:
        ModelError: There is no such file or arm, or several arms and none is named.
        DataError: A row cannot be read, or stands there twice.
    """

    def __init__(self, path: Path, arm: str | None = None) -> None:
        self._path = path
        self._rows, content = _read(path, arm, _state(path))
        self._fingerprint = ModelFingerprint(
            weights=content, adapter=None, template="stored", dtype="stored", backend="replay/1"
        )

    @classmethod
    def identify(cls, model: str, server: ServerOptions | None = None) -> ModelFingerprint:
        """Identify the stored rows. See `Backend.identify`."""
        return cls.load(model).fingerprint

    @classmethod
    def load(cls, model: str, server: ServerOptions | None = None) -> ReplayBackend:
        """Read the stored rows. See `Backend.load`."""
        path, arm = _place(model)
        return cls(path, arm)

    @property
    def fingerprint(self) -> ModelFingerprint:
        """The stored rows' identity."""
        return self._fingerprint

    @property
    def batch_size(self) -> int:
        """Requests a batch."""
        return 256

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Look every request up. See `Backend.generate`."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Generation:
        trial = request.trial
        if request.changes_template:
            return failed(request, self._fingerprint, "stored outputs know of no other chat template than their own")
        cell = _Cell(trial.benchmark, trial.item, trial.attack, trial.draw)
        stored = self._rows.get(cell) or self._rows.get(cell._replace(benchmark=None))
        if stored is None:
            named = f"item `{cell.item}` of `{cell.benchmark}` with attack `{cell.attack}`, draw {cell.draw}"
            return failed(request, self._fingerprint, f"{self._path} holds no output for {named}")
        content = stored.content
        if isinstance(content, StoredRow):
            if request.call:
                return failed(request, self._fingerprint, f"{stored.place} holds no call `{request.call}`")
            return self._row(request, **content.facts())
        if content.trial.item_fingerprint != trial.item_fingerprint:
            return failed(request, self._fingerprint, f"the output in {stored.place} is to another text of this item")
        if not request.call:
            return content.model_copy(update={"trial": trial, "model": self._fingerprint})
        call = next((call for call in content.calls if call.label == request.call), None)
        if call is None:
            return failed(request, self._fingerprint, f"{stored.place} holds no call `{request.call}`")
        return self._earlier(request, call)

    def _earlier(self, request: Request, call: EarlierCall) -> Generation:
        state = ThinkingState.NONE if call.trace is None else ThinkingState.COMPLETE
        return self._row(
            request,
            prompt_text=call.prompt_text,
            output_text=call.output_text,
            trace=call.trace,
            answer=call.answer,
            thinking_state=ThinkingState.TRUNCATED if call.answer is None else state,
            stop=call.stop,
            prompt_tokens=call.prompt_tokens,
            answer_tokens=call.output_tokens if call.trace is None else None,
            trace_tokens=0 if call.trace is None else None,
        )

    def _row(self, request: Request, **facts: Any) -> Generation:
        names = ("trace_stop", "stop", "requested_thinking_tokens", "realised_thinking_tokens", "prompt_tokens")
        unknown = dict.fromkeys((*names, "trace_tokens", "answer_tokens", "sampling", "seed", "seconds"))
        texts = {"prompt_text": "", "prompt_ids": (), "output_ids": ()}
        known = {"trial": request.trial, "model": self._fingerprint, **unknown, **texts, **facts}
        return Generation(**known)


def _place(model: str) -> tuple[Path, str | None]:
    """Take `replay:PATH[:ARM]` apart; a path may hold colons, so the whole is tried first."""
    text = model.strip().partition(":")[2]
    whole = Path(text).expanduser()
    before, _, arm = text.rpartition(":")
    if whole.exists() or not before or not Path(before).expanduser().exists():
        return whole, None
    return Path(before).expanduser(), arm


def _state(path: Path) -> tuple[tuple[int, int], ...]:
    """Return what changes when a file, or a ledger and its log, is written to."""
    files = (path,) if path.is_file() else (path / _LEDGER, path / f"{_LEDGER}-wal")
    states = [file.stat() for file in files if file.is_file()]
    return tuple((state.st_mtime_ns, state.st_size) for state in states)


@lru_cache(maxsize=8)
def _read(path: Path, arm: str | None, state: tuple[tuple[int, int], ...]) -> tuple[dict[_Cell, _Stored], str]:
    """Read one arm's rows; return them by cell, and the hash of their content.

    What was read is remembered for as long as `state` stays the same.
    """
    if not path.exists():
        raise ModelError("There are no stored outputs here.", place=str(path), remedy="Check the path.")
    by_arm: dict[str | None, list[tuple[_Cell, _Stored]]] = {}
    for row_arm, cell, stored in _ledger_rows(path) if path.is_dir() else _file_rows(path):
        by_arm.setdefault(row_arm, []).append((cell, stored))
    rows: dict[_Cell, _Stored] = {}
    for cell, stored in by_arm[_chosen(path, arm, by_arm)]:
        if cell in rows:
            raise DataError(
                f"Item `{cell.item}` (attack `{cell.attack}`, draw {cell.draw}) stands here twice in one arm.",
                place=stored.place,
                remedy=f"Keep one of the two; the other is {rows[cell].place}."
                if path.is_file()
                else "The study was changed between its runs: run it again in a new folder (--out), and replay that.",
            )
        rows[cell] = stored
    content = sorted(fingerprint("stored", [list(c), row.content.model_dump_json()]) for c, row in rows.items())
    return rows, fingerprint("replay", content, length=64)


def _chosen(path: Path, arm: str | None, by_arm: dict[str | None, Any]) -> str | None:
    names = sorted(name for name in by_arm if name is not None)
    if not by_arm:
        raise DataError("There are no stored outputs in here.", place=str(path), remedy="Name another run or file.")
    if arm is not None and arm not in by_arm:
        raise ModelError(
            f"There is no arm `{arm}` in here.",
            place=str(path),
            remedy=did_you_mean(arm, names) if names else f"Its rows name no arm; write replay:{path}.",
        )
    if arm is None and len(by_arm) > 1:
        unnamed = " and rows without one" if None in by_arm else ""
        raise ModelError(
            f"There are several arms in here: {', '.join(names)}{unnamed}.",
            place=str(path),
            remedy=f"Name one: replay:{path}:{names[0]}.",
        )
    return next(iter(by_arm)) if arm is None else arm


def _ledger_rows(path: Path) -> Iterator[tuple[str | None, _Cell, _Stored]]:
    file = path / _LEDGER
    with Ledger(file, read_only=True) as ledger:
        for made in ledger.generations():
            trial = made.trial
            cell = _Cell(trial.benchmark, trial.item, trial.attack, trial.draw)
            yield trial.arm, cell, _Stored(made, f"{file}: {trial.fingerprint}")


def _file_rows(path: Path) -> Iterator[tuple[str | None, _Cell, _Stored]]:
    with path.open(encoding="utf-8-sig") as lines:
        number = 0
        try:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    row = _parsed(line, f"{path}:{number}")
                    cell = _Cell(row.benchmark, row.item, row.attack, row.draw)
                    yield row.arm, cell, _Stored(row, f"{path}:{number}")
        except UnicodeDecodeError as error:
            raise DataError(
                "This is not UTF-8 text.", place=f"{path}:{number + 1}", remedy="Save the file as UTF-8."
            ) from error


def _parsed(line: str, place: str) -> StoredRow:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError("This line is no JSON.", place=place, remedy="Give one object `{...}` a line.") from error
    if not isinstance(value, dict):
        raise DataError("This line holds no JSON object.", place=place, remedy="Give one object `{...}` a line.")
    try:
        return StoredRow.model_validate(value)
    except ValidationError as error:
        raise _explained(error, place) from error


def _explained(error: ValidationError, place: str) -> DataError:
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return DataError(f"A row has no field `{key}`.", place=place, remedy=did_you_mean(key, StoredRow.model_fields))
    if first["type"] == "value_error":
        said = str(first["ctx"]["error"])
        return DataError(f"{said[0].upper()}{said[1:]}.", place=place)
    if first["type"] == "missing":
        return DataError(f"The row has no `{key}`.", place=place, remedy=f'Add "{key}": ... to it.')
    return DataError(f"`{key}` is not right: {first['msg'].lower()}.", place=place, remedy="Mend the line.")
