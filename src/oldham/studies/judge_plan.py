"""Who will judge what, and what those judges will take that ask a model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oldham.core.errors import ConfigError, EmptyLedgerError
from oldham.core.explain import with_place
from oldham.core.ledger import Ledger
from oldham.core.records import Generation, ModelFingerprint, StopReason
from oldham.core.thinking import Span, ThinkingState
from oldham.judges.asking import ModelJudge
from oldham.judges.rules import RULES, judges_for
from oldham.studies.added import FILE, read_added
from oldham.studies.judging import Grader, Graders, make_judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set
    from pathlib import Path

    from oldham.judges.base import Judge
    from oldham.studies.plan import PlannedTrial
    from oldham.studies.spec import Study

_SAMPLE: Final = 20
"""Trials of a benchmark whose prompts are made to see how long a judge's prompts are."""
_CHARS_PER_TOKEN: Final = 4
_TRY: Final = re.compile(r"(?:try|turn) \d+")
_TRACE: Final = "I read the request and think about what it asks for."
_ANSWER: Final = "This is what I have to say about it."
_NOBODY: Final = ModelFingerprint(weights="", adapter=None, template="", dtype="", backend="stub")


@dataclass(frozen=True, slots=True)
class JudgeWork:
    """What a judge that asks a model will ask."""

    judge: str
    """Its label."""
    calls: int
    """Questions, the retries of unreadable replies left out; most where an attack asks of every try."""
    prompt_tokens: int
    """Estimated tokens to read, if every answer and trace is as long as its limit."""
    most_tokens: int
    """Most tokens to write."""
    usd: float
    """What it costs at most on a server whose prices are known; 0 without."""


def judges_of(study: Study, run_dir: Path, benchmarks: Iterable[str]) -> dict[str, list[Judge]]:
    """Return who scores each benchmark: the study's judges, and those that were added to the run.

    Args:
        study: The study.
        run_dir: Where the run is kept; it need not be there.
        benchmarks: The study's benchmarks.

    Returns:
        By benchmark; judges that ask one model share its `Grader`.

    Raises:
        ConfigError: A judge or its model cannot be had, or none is left for a benchmark.
        DataError: The list of added judges cannot be read.
    """
    graders, path = Graders(), run_dir / FILE
    own: list[str | Judge] = [
        RULES
        if spec.judge == RULES
        else with_place(
            study.source.place("judges", i), lambda one: make_judge(one, study.server_of(one), graders=graders), spec
        )
        for i, spec in enumerate(study.judges)
    ]
    _check_twice(study, own)
    labels = {judge if isinstance(judge, str) else judge.label for judge in own}
    added = [(a, a.spec) for a in read_added(run_dir) if a.spec.label not in labels]
    made = [
        (a.first, with_place(str(path), lambda one, server: make_judge(one, server, graders=graders), spec, a.server))
        for a, spec in added
    ]
    everyone = [*(j for first, j in made if first), *own, *(j for first, j in made if not first)]
    return {name: with_place(study.source.place("judges"), judges_for, name, everyone) for name in benchmarks}


def estimate_judging(
    judges: Mapping[str, Sequence[Judge]], trials: Iterable[PlannedTrial], stored: Set[str], ledger: Path
) -> tuple[JudgeWork, ...]:
    """Estimate what the judges that ask a model will ask, without loading one.

    Args:
        judges: By benchmark.
        trials: The study's distinct trials.
        stored: Those among them that are generated: an attack that looks has asked its judge about them.
        ledger: The run's ledger; it need not be there.

    Returns:
        One entry for each such judge, also where it has nothing left to ask.

    Raises:
        LedgerError: The ledger is damaged.
    """
    asking = {j.label: j for some in judges.values() for j in some if isinstance(j, ModelJudge)}
    if not asking:
        return ()
    done = _judged(asking.values(), ledger)
    by_benchmark: dict[str, list[PlannedTrial]] = {}
    for planned in trials:
        by_benchmark.setdefault(planned.item.benchmark, []).append(planned)
    return tuple(
        _work(
            judge,
            [
                [p for p in by_benchmark[name] if p.trial.fingerprint not in done[label]]
                for name, some in judges.items()
                if label in {j.label for j in some}
            ],
            stored,
        )
        for label, judge in asking.items()
    )


def check_graders(
    study: Study, run_dir: Path, judges: Mapping[str, Sequence[Judge]], judging: Iterable[JudgeWork]
) -> None:
    """Check that the models can be reached, as they are described, of the judges that have something left to ask.

    Args:
        study: The study.
        run_dir: Where the run is kept.
        judges: By benchmark.
        judging: What is left.

    Raises:
        ConfigError: One of them cannot.
    """
    asking = {work.judge for work in judging if work.calls}
    lines = {spec.label: study.source.place("judges", index) for index, spec in enumerate(study.judges)}
    for judge in {j.label: j for some in judges.values() for j in some}.values():
        if judge.label in asking and isinstance(judge, ModelJudge) and isinstance(judge.asker, Grader):
            with_place(lines.get(judge.label, str(run_dir / FILE)), judge.asker.check)


def _check_twice(study: Study, own: Sequence[str | Judge]) -> None:
    first: dict[str, Judge] = {}
    for index, judge in enumerate(own):
        if isinstance(judge, str):
            continue
        other = first.setdefault(judge.label, judge)
        if other.fingerprint != judge.fingerprint:
            raise ConfigError(
                f"There are two judges `{judge.label}` on servers that speak to the model differently.",
                place=study.source.place("judges", index),
                remedy="Keep one of them.",
            )


def _judged(judges: Iterable[Judge], path: Path) -> dict[str, set[str]]:
    try:
        ledger = Ledger(path, read_only=True) if path.is_file() else None
    except EmptyLedgerError:
        ledger = None
    if ledger is None:
        return {judge.label: set() for judge in judges}
    with ledger:
        return {judge.label: ledger.judged_ids(judge.fingerprint) for judge in judges}


def _work(judge: ModelJudge, groups: Sequence[Sequence[PlannedTrial]], stored: Set[str]) -> JudgeWork:
    calls = read = 0
    for trials in groups:
        sample = [_asked(judge, p) for p in trials[:: max(1, len(trials) // _SAMPLE)]]
        # What an arm's budget leaves to say differs more than the questions do, so only the frame is sampled.
        frames = [frame for asked in sample for of_span in asked.values() for frame in of_span]
        frame = sum(frames) // len(frames) if frames else 0
        # A guard may ask several questions about one text.
        each = {span: max([1, *(len(asked.get(span, ())) for asked in sample)]) for span in judge.spans}
        for planned in trials:
            limits = {"answer": planned.prompt.answer_tokens, "trace": planned.prompt.thinking_tokens}
            spans = [span for span in judge.spans if span == "answer" or planned.prompt.thinks]
            times = 1 + (0 if planned.trial.fingerprint in stored else _looks(judge, planned))
            calls += times * sum(each[span] for span in spans)
            read += times * sum(each[span] * (frame + limits[span]) for span in spans)
    written = calls * judge.answer_tokens
    server = judge.asker.server if isinstance(judge.asker, Grader) else None
    prices = (0.0, 0.0) if server is None else (server.usd_per_million_read, server.usd_per_million_written)
    usd = (read * (prices[0] or 0.0) + written * (prices[1] or 0.0)) / 1_000_000
    return JudgeWork(judge.label, calls, read, written, usd)


def _looks(judge: ModelJudge, planned: PlannedTrial) -> int:
    """Return of how many tries at most an attack asks a judge before the trial is judged like any other."""
    if planned.judge is not judge or "judge" not in planned.attack.needs:
        return 0
    return sum(_TRY.fullmatch(call.label) is not None for call in planned.rehearsal.calls)


def _asked(judge: ModelJudge, planned: PlannedTrial) -> dict[str, list[int]]:
    """Return by span, for each question, the tokens of what the judge is shown beside the text it reads."""
    shown = {"answer": len(_ANSWER), "trace": len(_TRACE)}
    sizes: dict[str, list[int]] = {}
    for call in judge.calls(planned.item, _stub(planned)):
        size = sum(len(m.content) for m in call.plan.messages) - shown[call.span]
        sizes.setdefault(call.span, []).append(max(0, size) // _CHARS_PER_TOKEN)
    return sizes


def _stub(planned: PlannedTrial) -> Generation:
    trace = _TRACE if planned.prompt.thinks else ""
    return Generation(
        trial=planned.trial,
        prompt_text=planned.item.prompt,
        prompt_ids=(),
        output_text=trace + _ANSWER,
        output_ids=(),
        trace=Span(0, len(trace)) if trace else None,
        answer=Span(len(trace), len(trace) + len(_ANSWER)),
        thinking_state=ThinkingState.COMPLETE if trace else ThinkingState.NONE,
        trace_stop=StopReason.STOP if trace else None,
        stop=StopReason.STOP,
        requested_thinking_tokens=None,
        realised_thinking_tokens=None,
        prompt_tokens=None,
        trace_tokens=None,
        answer_tokens=None,
        model=_NOBODY,
        sampling=planned.arm.sampling,
        seed=None,
        seconds=None,
    )
