"""From the judge names of a study to the judges of a benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oldham.benchmarks.base import BENCHMARKS
from oldham.core.errors import ConfigError
from oldham.core.outcomes import Axis
from oldham.judges.asking import ModelJudge
from oldham.judges.base import JUDGES, Judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RULES: Final = "rules"
"""The name that stands for each benchmark's own judge, and on the axis harm for the offline judge of traces too."""

_TRACE_JUDGE: Final = "trace_stages"


def judges_for(benchmark: str, judges: Sequence[str | Judge]) -> list[Judge]:
    """Return the judges that score a benchmark.

    Args:
        benchmark: A registered benchmark.
        judges: Registered offline judges by name, `rules` for the benchmark's own, or judges that are ready.

    Returns:
        At least one judge, in the order given, each once; of what `rules` stands for, the benchmark's own comes first.
        A judge that cannot speak on the benchmark's axis is left out, for a study gives one list for all of them.

    Raises:
        UnknownNameError: There is no such benchmark or judge; the remedy names the nearest.
        ConfigError: No judge is left, or one that asks a model is given by its name alone.
    """
    info = BENCHMARKS.get(benchmark).info
    ready: dict[str, Judge] = {}
    for judge in _ready(judges, info.judge, info.axis):
        ready.setdefault(judge.label, judge)
    speaking = [judge for judge in ready.values() if info.axis in judge.axes]
    if not speaking:
        names = ", ".join(f"`{judge if isinstance(judge, str) else judge.label}`" for judge in judges)
        raise ConfigError(
            f"None of the judges {names} can score `{benchmark}`, which is on the axis `{info.axis}`.",
            place="judges",
            remedy=f"Add `{RULES}` (here: `{info.judge}`).",
        )
    return speaking


def offline_judge(name: str) -> Judge:
    """Return a judge that asks no model.

    Args:
        name: Its registered name.

    Raises:
        UnknownNameError: There is no such judge; the remedy names the nearest.
        ConfigError: It asks a model.
    """
    kind = JUDGES.get(name)
    if issubclass(kind, ModelJudge):
        example = f"hf:{kind.base_model}" if "/" in kind.base_model else "openai:NAME"
        raise ConfigError(
            f"The judge `{name}` asks a model, and none is named.",
            remedy=f"Write {name}@MODEL, for example {name}@{example}.",
        )
    return kind()


def _ready(judges: Sequence[str | Judge], own: str, axis: Axis) -> Iterator[Judge]:
    for judge in judges:
        if isinstance(judge, Judge):
            yield judge
        elif judge != RULES:
            yield offline_judge(judge)
        else:
            yield offline_judge(own)
            # Only arms that think get a verdict of it, for it reads traces alone.
            if axis is Axis.HARM:
                yield offline_judge(_TRACE_JUDGE)
