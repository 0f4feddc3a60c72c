"""`oldham judges`: measure a judge on labelled texts, and read its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oldham.cli.console import err, out
from oldham.cli.server import CapUsd, Concurrency, KeyEnv, Tokenizer, Url, UsdRead, UsdWritten, server_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from oldham.core.outcomes import Axis
    from oldham.core.records import ReadSpan
    from oldham.interop.evaluating import EvaluateOptions, Watch
    from oldham.interop.labels import Labels
    from oldham.judges.base import Judge
    from oldham.judges.cards import JudgeCard, LabelledBy

app = typer.Typer(help="Measure judges on labelled texts, and read their cards.", no_args_is_help=True)


@app.callback()
def _judges() -> None:
    """Measure judges on labelled texts, and read their cards."""


@app.command("evaluate")
def evaluate_judge(
    name: Annotated[str, typer.Argument(metavar="NAME[@MODEL]", help="The judge, and the model it asks.")],
    labels: Annotated[
        list[str],
        typer.Option("--labels", help="A file of labelled texts, or a run; give it again for more of them."),
    ],
    mapping: Annotated[str | None, typer.Option("--map", help="A YAML file that says what the columns mean.")] = None,
    truth: Annotated[
        str | None, typer.Option("--truth", help="Whose word is the truth; by default human_final or label.")
    ] = None,
    span: Annotated[str | None, typer.Option("--span", help="answer or trace: the part that was labelled.")] = None,
    axis: Annotated[
        str | None, typer.Option("--axis", help="reasoning, harm, overrefusal, truthfulness or privacy.")
    ] = None,
    labelled_by: Annotated[
        str | None, typer.Option("--labelled-by", help="humans, model or construction: who said what is true.")
    ] = None,
    into: Annotated[
        str | None, typer.Option("--into", help="A run that the card is for: its comparisons and reports then use it.")
    ] = None,
    out_file: Annotated[str | None, typer.Option("--out", help="The card's file; by default cards/NAME.json.")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show texts to harmful requests too.")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Keep what can be read of damaged files.")] = False,
    url: Url = None,
    key_env: KeyEnv = None,
    tokenizer: Tokenizer = None,
    concurrency: Concurrency = None,
    usd_read: UsdRead = None,
    usd_written: UsdWritten = None,
    cap_usd: CapUsd = None,
) -> None:
    """Measure a judge on labelled texts, print where it errs, and write its card."""
    from oldham.interop import read_mapping
    from oldham.interop.evaluating import EvaluateOptions
    from oldham.interop.labels import LabelOptions, read_labels
    from oldham.studies.judging import JudgeSpec, make_judge

    server = server_of(
        "oldham judges evaluate",
        url=url,
        key_env=key_env,
        tokenizer=tokenizer,
        concurrency=concurrency,
        usd_per_million_read=usd_read,
        usd_per_million_written=usd_written,
        cap_usd=cap_usd,
    )
    judge = make_judge(JudgeSpec.parse(name), server)
    path = _target(judge.label, into, out_file)
    options = LabelOptions(
        mapping=None if mapping is None else read_mapping(Path(mapping)),
        axis=_axis(axis),
        truth=truth,
        span=_span(span) or (None if "answer" in judge.spans else "trace"),
        judge=judge.label,
        partial=partial,
    )
    found = read_labels([Path(file) for file in labels], options)
    how = EvaluateOptions(labelled_by=_labelled_by(labelled_by), keep=path)
    _measure(judge, found, how, path, reveal=reveal)


def _measure(judge: Judge, found: Labels, how: EvaluateOptions, path: Path, *, reveal: bool) -> None:
    """Measure a judge, print what was found and write its card."""
    from oldham.interop.evaluating import evaluate, write_card
    from oldham.interop.evaluation_text import describe
    from oldham.studies.judging import graders_of

    try:
        with _progress(judge.label) as watch:
            evaluated = evaluate(judge, found, how, watch)
    finally:
        for grader in graders_of([judge]):
            grader.close()
    out.print(describe(evaluated, reveal=reveal), soft_wrap=True)
    write_card(evaluated.card, path)
    for note in evaluated.notes:
        err.print(f"Warning: {note}", soft_wrap=True)
    out.print(f"Written: {path}", soft_wrap=True)


@app.command("card")
def card(
    name: Annotated[str, typer.Argument(metavar="NAME[@MODEL]", help="The judge, or a card's file.")],
    run: Annotated[str | None, typer.Option("--run", help="A run with cards of its own.")] = None,
) -> None:
    """Print what is known of a judge's errors."""
    from oldham.coupling.card_text import describe_card

    for number, found in enumerate(_found(name, run)):
        out.print(("\n" if number else "") + describe_card(found), soft_wrap=True)


def _found(name: str, run: str | None) -> Sequence[JudgeCard]:
    """Return a judge's cards: the run's, those of the folder `cards` here, or the package's."""
    from oldham.core.errors import DataError, UnknownNameError, did_you_mean
    from oldham.judges.base import JUDGES
    from oldham.judges.cards import cards_of, read_card

    if name.endswith(".json"):
        return [read_card(Path(name))]
    cards = cards_of(_run_dir(run) if run else Path())
    found = [card for label, card in cards.items() if label == name or label.startswith(f"{name}@")]
    bare = name.partition("@")[0]
    if not found and bare not in JUDGES.names():
        raise UnknownNameError(f"There is no judge `{bare}`.", remedy=did_you_mean(bare, JUDGES.names()))
    if not found:
        raise DataError(
            f"There is no card of `{name}` yet.", remedy=f"Measure it: oldham judges evaluate {name} --labels FILE."
        )
    return found


def _target(label: str, into: str | None, out_file: str | None) -> Path:
    from oldham.core.errors import ConfigError
    from oldham.interop.evaluating import card_name
    from oldham.judges.cards import FOLDER

    if into is not None and out_file is not None:
        raise ConfigError("Both --into and --out are given.", remedy="Give one of them.")
    if out_file is not None:
        return Path(out_file)
    return (_run_dir(into) if into else Path()) / FOLDER / card_name(label)


def _run_dir(path: str) -> Path:
    from oldham.core.errors import DataError

    if not any((Path(path) / name).is_file() for name in ("ledger.sqlite", "observations.parquet")):
        raise DataError("There is no run directory here.", place=path, remedy="Give one, such as runs/NAME.")
    return Path(path)


def _axis(name: str | None) -> Axis | None:
    from oldham.core.outcomes import Axis

    named = _one_of(name, [str(axis) for axis in Axis], "axis")
    return None if named is None else Axis(named)


def _span(name: str | None) -> ReadSpan | None:
    known: dict[str, ReadSpan] = {"answer": "answer", "trace": "trace"}
    named = _one_of(name, list(known), "part")
    return None if named is None else known[named]


def _labelled_by(name: str | None) -> LabelledBy | None:
    known: dict[str, LabelledBy] = {"humans": "humans", "model": "model", "construction": "construction"}
    named = _one_of(name, list(known), "such source of labels")
    return None if named is None else known[named]


def _one_of(name: str | None, valid: Sequence[str], kind: str) -> str | None:
    from oldham.core.errors import UnknownNameError, did_you_mean

    if name is not None and name not in valid:
        raise UnknownNameError(f"There is no {kind} `{name}`.", remedy=did_you_mean(name, valid))
    return name


def _progress(label: str) -> AbstractContextManager[Watch]:
    """Show a bar on the terminal."""
    from contextlib import contextmanager

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    @contextmanager
    def shown() -> Iterator[Watch]:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        with Progress(
            *columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal
        ) as bars:
            task = bars.add_task(label, total=None)

            class Bar:
                def judged(self, done: int, total: int) -> None:
                    bars.update(task, completed=done, total=total)

            yield Bar()

    return shown()
