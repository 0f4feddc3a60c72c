"""Writing a run for other tools: tables, texts, LaTeX and logs of Inspect."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from oldham.core.errors import DataError, UnknownNameError, did_you_mean
from oldham.core.ledger import Ledger
from oldham.core.outcomes import Outcome
from oldham.core.redact import Shown, deciding, show, show_prompt
from oldham.interop.importing import written
from oldham.studies.observations import comparable, generation_facts, load_observations
from oldham.studies.rundir import RunDir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from oldham.core.records import EarlierCall, Generation, ReadSpan

_ENDINGS: Final = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl", "latex": ".tex", "inspect": ""}
"""File ending by what is written; logs of Inspect are a folder of files."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is written, and where."""

    to: str
    """`parquet`, `csv`, `jsonl`, `latex` or `inspect`."""
    out: Path | None = None
    """The file, or the folder for logs of Inspect; None takes `export/` in the run directory."""
    reveal: bool = False
    """Write harmful completions instead of their length."""
    judge: str | None = None
    """Whose verdicts make the effects of `latex`, wherever it spoke; None takes the first of each benchmark."""


@dataclass(frozen=True, slots=True)
class Told:
    """A generation with everything that was said of it."""

    generation: Generation
    arm: str
    """The arm of this row; arms of the same settings share their generations."""
    draw: int
    """The draw of this row; where several samples make one draw, the generation is the one that stands for them."""
    axis: str
    cluster: str
    category: str | None
    verdicts: Sequence[Mapping[str, Any]]
    """Rows of the observation table that hold a verdict."""
    reveal: bool

    def part(self, span: ReadSpan) -> tuple[str | None, bool]:
        """Return the trace or the answer as it may be shown, and whether it was withheld.

        Args:
            span: Which of them.
        """
        text = self.generation.trace_text if span == "trace" else self.generation.answer_text
        return self._shown(text, self._heard(span))

    def raw(self, verdict: Mapping[str, Any]) -> str | None:
        """Return a judge's words as they may be shown: it may quote what it read, so they are shown as that part is.

        Args:
            verdict: One of the verdicts.
        """
        return self._shown(verdict["raw"], self._heard(verdict["span"]))[0]

    def calls(self) -> tuple[tuple[EarlierCall, ...], bool]:
        """Return the calls before the one that answers, and whether they were withheld.

        No judge reads them, so that all are withheld where one of their texts may not be shown.
        """
        said = [v["outcome"] for v in self.verdicts if v["outcome"] == Outcome.COMPLIED_HARMFUL]
        if any(self._shown(call.output_text, said)[1] for call in self.generation.calls):
            return (), True
        return self.generation.calls, False

    def prompt(self) -> tuple[str, bool]:
        """Return the prompt as it may be shown, and whether it was withheld."""
        said = [v["outcome"] for v in self.verdicts]
        text, withheld = _told(show_prompt(self.generation, self.axis, said, reveal=self.reveal))
        return text or "", withheld

    def _heard(self, span: str) -> list[str]:
        return deciding(span, [(v["span"], v["outcome"]) for v in self.verdicts])

    def _shown(self, text: str | None, outcomes: list[str]) -> tuple[str | None, bool]:
        return _told(show(text, self.axis, outcomes, reveal=self.reveal, absent=""))


def _told(shown: Shown) -> tuple[str | None, bool]:
    if shown.withheld:
        return f"[withheld: {shown.withheld} characters, {shown.why}]", True
    return shown.text, False


def export_run(run_dir: Path, options: ExportOptions) -> list[Path]:
    """Write a run for other tools.

    Texts are withheld as in a report: a completion to a harmful request is written only where a judge called that very
    part refused or harmless, or with `reveal`.

    Args:
        run_dir: The run directory.
        options: What is written, and where.

    Returns:
        The files written.

    Raises:
        OldhamError: There is no such run or kind of export, or a package is missing.
    """
    if options.to not in _ENDINGS:
        raise UnknownNameError(f"There is no export to `{options.to}`.", remedy=did_you_mean(options.to, _ENDINGS))
    if not run_dir.is_dir():
        raise DataError("There is no run directory here.", place=str(run_dir), remedy="Give one, such as runs/NAME.")
    observations = load_observations(run_dir)
    target = options.out or run_dir / "export" / (f"{run_dir.resolve().name}{_ENDINGS[options.to]}")
    if options.to == "inspect":
        from oldham.interop.inspect_export import write_logs

        return write_logs(run_dir, observations, target, reveal=options.reveal)
    writers: dict[str, Callable[[], bytes]] = {
        "parquet": lambda: _table(observations, options, "parquet"),
        "csv": lambda: _table(observations, options, "csv"),
        "jsonl": lambda: b"".join(_line(told) for told in tell(run_dir, observations, reveal=options.reveal)),
        "latex": lambda: _latex(run_dir, options.judge),
    }
    content = writers[options.to]()
    with written(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    RunDir(target.parent).write(target, content)
    return [target]


def tell(run_dir: Path, observations: pl.DataFrame, *, reveal: bool) -> Iterator[Told]:
    """Put every generation beside what was said of it.

    Args:
        run_dir: The run directory, with its ledger.
        observations: Its observation table.
        reveal: Whether harmful completions may be shown.

    Yields:
        The generations that have an observation, by arm, benchmark and item.

    Raises:
        LedgerError: There is no ledger, or it is damaged.
    """
    order: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in observations.iter_rows(named=True):
        if row["generation"] is not None:
            order.setdefault((row["arm"], row["generation"]), []).append(row)
    with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
        stored = {g.trial.fingerprint: g for g in ledger.generations({key[1] for key in order})}
    for (arm, fingerprint), rows in order.items():
        if fingerprint in stored:
            first = rows[0]
            yield Told(
                generation=stored[fingerprint],
                arm=arm,
                draw=first["draw"],
                axis=first["axis"],
                cluster=first["cluster"],
                category=first["category"],
                verdicts=[row for row in rows if row["judge"] is not None],
                reveal=reveal,
            )


def _table(observations: pl.DataFrame, options: ExportOptions, kind: str) -> bytes:
    """Write the observation table; a judge's words are left out where the part that they are about is withheld."""
    said: dict[str, set[tuple[str, str]]] = {}
    rows = observations.select("raw", "axis", "generation", "span", "outcome").rows()
    for _, _, generation, span, outcome in rows:
        if generation is not None:
            said.setdefault(generation, set()).add((span, outcome))
    words = [
        show(raw, axis, deciding(span, said.get(key, {(span, outcome)})), reveal=options.reveal, absent="").text
        for raw, axis, key, span, outcome in rows
    ]
    table = observations.with_columns(pl.Series("raw", words, dtype=pl.String))
    buffer = io.BytesIO()
    if kind == "csv":
        table.write_csv(buffer)
    else:
        table.write_parquet(buffer)
    return buffer.getvalue()


def _line(told: Told) -> bytes:
    generation, trial = told.generation, told.generation.trial
    (trace, trace_withheld), (answer, answer_withheld) = told.part("trace"), told.part("answer")
    prompt, prompt_withheld = told.prompt()
    row = {
        "arm": told.arm,
        "benchmark": trial.benchmark,
        "axis": told.axis,
        "item": trial.item,
        "cluster": told.cluster,
        "category": told.category,
        "attack": trial.attack,
        "draw": told.draw,
        "prompt": prompt,
        "trace": trace,
        "answer": answer,
        "withheld": trace_withheld or answer_withheld or prompt_withheld,
        **generation_facts(generation),
        **_known_calls(generation),
        "verdicts": [
            {**{name: v[name] for name in ("judge", "span", "outcome", "score")}, "raw": told.raw(v)}
            for v in told.verdicts
        ],
        "generation": trial.fingerprint,
    }
    return f"{json.dumps(row, ensure_ascii=False)}\n".encode()


def _known_calls(generation: Generation) -> dict[str, Any]:
    """Where a row came from elsewhere without earlier calls, it is not known that there were none."""
    is_unknown = generation.model.backend.startswith("import/") and not generation.calls
    return {"call_tokens": None} if is_unknown else {}


def _latex(run_dir: Path, judge: str | None) -> bytes:
    from oldham.coupling import CouplingOptions, couple
    from oldham.coupling.stopped import as_stopped, read_stopped
    from oldham.interop.latex import effects_table

    both = comparable(str(run_dir), str(run_dir))
    options = CouplingOptions(deterministic=both.deterministic, judge=judge, cards=both.cards)
    coupling = couple(both.observations, baseline=both.baseline, options=options)
    return effects_table(as_stopped(coupling, both.observations, read_stopped(both.manifest), options)).encode()
