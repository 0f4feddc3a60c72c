"""Writing a run as logs of Inspect, one an arm and benchmark."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, Any, Final

from oldham._version import __version__
from oldham.benchmarks.base import BENCHMARKS
from oldham.core.errors import MissingDependencyError, OldhamError
from oldham.core.fingerprint import fingerprint
from oldham.core.records import StopReason
from oldham.interop.exporting import tell
from oldham.interop.importing import written
from oldham.interop.inspect_logs import OWN
from oldham.interop.items import read_items
from oldham.studies.manifest import now

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import polars as pl
    from inspect_ai.log import EvalLog, EvalResults, EvalSample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score

    from oldham.core.records import Item
    from oldham.interop.exporting import Told
    from oldham.interop.items import Items

_STOPS: Final = {
    None: "unknown",
    StopReason.STOP: "stop",
    StopReason.LENGTH: "max_tokens",
    StopReason.BUDGET_FORCED: "stop",
    StopReason.ERROR: "unknown",
}
_OWN_FACTS: Final = (
    *("stop", "trace_stop", "error", "requested_thinking_tokens", "realised_thinking_tokens"),
    *("prompt_tokens", "trace_tokens", "answer_tokens", "seconds", "usd"),
)
"""Facts that are kept beside the log's own fields, which have no place for all of them."""


def write_logs(run_dir: Path, observations: pl.DataFrame, folder: Path, *, reveal: bool) -> list[Path]:
    """Write a run as logs that `inspect view` opens and `oldham import` reads back.

    Args:
        run_dir: The run directory.
        observations: Its observation table.
        folder: Where the logs go; made when it is not there.
        reveal: Whether harmful completions are written. Logs without them cannot be imported again.

    Returns:
        The files.

    Raises:
        MissingDependencyError: inspect-ai is not installed.
        LedgerError: There is no ledger, or the folder cannot be written.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ImportError as error:
        raise MissingDependencyError(
            f"Writing logs of Inspect needs the package inspect-ai ({error}).",
            remedy="Install it: pip install 'oldham[inspect]'.",
        ) from error
    items = _items(run_dir, observations)
    groups: dict[tuple[str, str], list[Told]] = {}
    for told in tell(run_dir, observations, reveal=reveal):
        groups.setdefault((told.arm, told.generation.trial.benchmark), []).append(told)
    with written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        paths: list[Path] = []
        for (arm, benchmark), some in groups.items():
            path = _free(folder, f"{_plain(benchmark)}_{_plain(arm)}", paths)
            write_eval_log(_log(arm, benchmark, some, items), str(path), format="eval")
            paths.append(path)
    return paths


def _items(run_dir: Path, observations: pl.DataFrame) -> Items:
    """Return the run's items, from its own file or from the registered benchmarks; those of neither are absent."""
    items = read_items(run_dir)
    for name in observations["benchmark"].unique().to_list():
        try:
            known = BENCHMARKS.get(name)().items() if name in BENCHMARKS.names() else ()
        except OldhamError:
            continue  # its file is not here
        for item in known:
            items.add(item)
    return items


def _log(arm: str, benchmark: str, told: list[Told], items: Items) -> EvalLog:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSpec, EvalStats

    made = [_sample(one, _item(one, items)) for one in told]
    samples = [sample for sample, _ in made]
    created = now()
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=created,
            task=benchmark,
            task_id=fingerprint("exported task", [arm, benchmark], length=22),
            run_id=fingerprint("exported run", [one.generation.trial.fingerprint for one in told], length=22),
            dataset=EvalDataset(
                name=benchmark,
                samples=len({s.id for s in samples}),
                sample_ids=list(dict.fromkeys(s.id for s in samples)),
            ),
            model=arm,
            config=EvalConfig(epochs=max(sample.epoch for sample in samples)),
            packages={"oldham": __version__},
            metadata={OWN: {"arm": arm, "benchmark": benchmark, "withheld": any(withheld for _, withheld in made)}},
        ),
        results=_results(samples),
        stats=EvalStats(started_at=created, completed_at=created),
        samples=samples,
    )


def _item(told: Told, items: Items) -> Item | None:
    """Return what was asked for, unless the benchmark asks something else by that name by now."""
    trial = told.generation.trial
    item = items.get(trial.benchmark, trial.item)
    return item if item is not None and item.fingerprint == trial.item_fingerprint else None


def _sample(told: Told, item: Item | None) -> tuple[EvalSample, bool]:
    """Make a sample; say also whether a text of it was withheld."""
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessageUser

    generation, trial = told.generation, told.generation.trial
    own: dict[str, Any] = {
        "item": trial.item,
        "attack": trial.attack,
        "axis": told.axis,
        "cluster": told.cluster,
        "category": told.category,
        "generation": trial.fingerprint,
        "thinking_state": str(generation.thinking_state),
        "facts": {
            **{name: getattr(generation, name) for name in _OWN_FACTS},
            "sampling": None if generation.sampling is None else generation.sampling.model_dump(mode="json"),
        },
    }
    calls, calls_withheld = told.calls()
    if calls:
        own["calls"] = [call.model_dump(mode="json") for call in calls]
    if item is not None:
        own |= {"prompt": item.prompt, "context": item.context, "reference": item.reference}
    output, withheld = _output(told)
    prompt, prompt_withheld = told.prompt()
    request = ChatMessageUser(content=prompt)
    sample = EvalSample(
        id=trial.item if trial.attack == "none" else f"{trial.item} [{trial.attack}]",
        epoch=told.draw + 1,
        input=[request],
        target="",
        messages=[request, output.message],
        output=output,
        scores=_scores(told),
        metadata={OWN: own},
    )
    return sample, withheld or calls_withheld or prompt_withheld


def _output(told: Told) -> tuple[ModelOutput, bool]:
    from inspect_ai.model import (
        ChatCompletionChoice,
        ChatMessageAssistant,
        ContentReasoning,
        ContentText,
        ModelOutput,
        ModelUsage,
    )

    generation = told.generation
    (trace, trace_withheld), (answer, answer_withheld) = told.part("trace"), told.part("answer")
    content: list[ContentReasoning | ContentText] = []
    if trace is not None:
        content.append(ContentReasoning(reasoning=trace))
    if answer is not None:
        content.append(ContentText(text=answer))
    usage = None
    if generation.prompt_tokens is not None and generation.answer_tokens is not None:
        written = generation.answer_tokens + (generation.trace_tokens or 0)
        usage = ModelUsage(
            input_tokens=generation.prompt_tokens,
            output_tokens=written,
            total_tokens=generation.prompt_tokens + written,
            reasoning_tokens=generation.trace_tokens,
        )
    choice = ChatCompletionChoice.model_validate(
        {
            "message": ChatMessageAssistant(content=list(content), model=told.arm, source="generate"),
            "stop_reason": _STOPS[generation.stop],
        }
    )
    output = ModelOutput(model=told.arm, choices=[choice], usage=usage, time=generation.seconds, error=generation.error)
    return output, trace_withheld or answer_withheld


def _scores(told: Told) -> dict[str, Score]:
    from inspect_ai.scorer import Score

    scores = {}
    for verdict in told.verdicts:
        own = {name: verdict[name] for name in ("judge", "span", "outcome", "score")}
        name = verdict["judge"] if verdict["span"] == "answer" else f"{verdict['judge']} ({verdict['span']})"
        scores[name] = Score(
            value=math.nan if verdict["score"] is None else verdict["score"],
            answer=verdict["outcome"],
            explanation=told.raw(verdict),
            metadata={OWN: own},
        )
    return scores


def _results(samples: Iterable[EvalSample]) -> EvalResults:
    from inspect_ai.log import EvalMetric, EvalResults, EvalScore

    values: dict[str, list[float]] = {}
    total = 0
    for sample in samples:
        total += 1
        for name, score in (sample.scores or {}).items():
            value = score.as_float()
            values.setdefault(name, [])
            if not math.isnan(value):
                values[name].append(value)
    scores = [
        EvalScore(
            name=name,
            scorer=name,
            scored_samples=len(known),
            unscored_samples=total - len(known),
            metrics={"mean": EvalMetric(name="mean", value=sum(known) / len(known) if known else math.nan)},
        )
        for name, known in values.items()
    ]
    return EvalResults(total_samples=total, completed_samples=total, scores=scores)


def _free(folder: Path, stem: str, taken: list[Path]) -> Path:
    """Return a file that no other of these logs has: two names may differ only in signs that a file's cannot hold."""
    numbers = itertools.count(2)
    path = folder / f"{stem}.eval"
    while path in taken:
        path = folder / f"{stem}-{next(numbers)}.eval"
    return path


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
