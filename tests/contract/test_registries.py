"""What holds for every plugin, whoever wrote it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oldham.attacks import ATTACKS
from oldham.backends.base import BACKENDS
from oldham.benchmarks.base import BENCHMARKS
from oldham.core.outcomes import Axis
from oldham.core.records import Item, ModelFingerprint
from oldham.interop import IMPORTERS
from oldham.judges.asking import ModelJudge
from oldham.judges.base import JUDGES
from oldham.prompts.base import CLAUSES, DEMONSTRATIONS, STRATEGIES, STRUCTURES, PromptOptions
from oldham.training.rewards import REWARDS
from oldham.training.sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oldham.core.records import Generation
    from oldham.judges.asking import JudgeCall

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "plugins.md"
REGISTRIES = (
    BENCHMARKS,
    STRATEGIES,
    CLAUSES,
    STRUCTURES,
    DEMONSTRATIONS,
    ATTACKS,
    JUDGES,
    BACKENDS,
    IMPORTERS,
    SOURCES,
    REWARDS,
)
PLUGINS = [
    pytest.param(
        registry, name, id=f"{registry.kind}-{name}", marks=[pytest.mark.model] if registry is BACKENDS else []
    )
    for registry in REGISTRIES
    for name in registry.names()
]
EMBEDDED = [name for name in BENCHMARKS.names() if BENCHMARKS.get(name).info.file is None]


def test_every_kind_has_a_plugin() -> None:
    assert all(registry.names() for registry in REGISTRIES)
    assert len({registry.kind for registry in REGISTRIES}) == len(REGISTRIES)


@pytest.mark.parametrize(("registry", "name"), PLUGINS)
def test_a_plugin_is_what_it_is_registered_as(registry: Any, name: str) -> None:
    plugin = registry.get(name)
    assert issubclass(plugin, registry.base)
    assert not inspect.isabstract(plugin)
    assert plugin.__doc__
    assert getattr(plugin, "name", name) == name


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_names_summaries_and_citations_fit_a_table(registry: Any) -> None:
    for entry in registry.entries():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", entry.name)
        assert entry.summary.endswith((".", '."'))
        for line in (entry.summary, entry.citation):
            assert line == line.strip()
            assert "\n" not in line
            assert 3 < len(line) <= 100


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_the_reference_page_lists_every_plugin_and_no_other(registry: Any) -> None:
    section = re.search(rf"^## .*\(`{registry.kind}`\)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.S)
    assert section, f"docs/reference/plugins.md has no section for the kind `{registry.kind}`"
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \| (.*) \|$", section[1], re.M)
    assert sorted(rows) == [(entry.name, entry.summary, entry.citation) for entry in registry.entries()]


@pytest.mark.parametrize("name", BENCHMARKS.names())
def test_the_rules_for_a_benchmark_can_judge_its_axis(name: str) -> None:
    info = BENCHMARKS.get(name).info
    assert info.axis in JUDGES.get(info.judge).axes
    assert info.licence
    assert info.citation
    assert (info.file is None) == (info.verified == "embedded")


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_benchmark_has_the_items_it_declares(name: str) -> None:
    benchmark = BENCHMARKS.get(name)()
    items = benchmark.items()
    assert len(items) == benchmark.info.n_items
    assert len({item.id for item in items}) == len(items)
    assert {(item.benchmark, item.axis) for item in items} == {(name, benchmark.info.axis)}
    assert [item.fingerprint for item in items] == [item.fingerprint for item in BENCHMARKS.get(name)().items()]


def an_item(axis: Axis) -> Item:
    return Item(
        id="1", benchmark="b", axis=axis, cluster="c", category="k", prompt="How are you?", context="A passage."
    )


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_a_strategy_shows_the_item_last_and_treats_every_axis_alike(name: str) -> None:
    strategy = STRATEGIES.get(name)()
    plans = [strategy.plan(an_item(axis), PromptOptions(strategy=name)) for axis in Axis]
    assert all(plan == plans[0] for plan in plans)
    assert plans[0].messages[-1].role == "user"
    assert "A passage." in plans[0].messages[-1].content
    assert "How are you?" in plans[0].messages[-1].content
    assert strategy.thinks == bool(strategy.default_thinking_tokens)


@pytest.mark.parametrize("name", CLAUSES.names())
@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_a_clause_keeps_the_request_and_the_reasoning_side(name: str, strategy: str) -> None:
    plan = STRATEGIES.get(strategy)().plan(an_item(Axis.HARM), PromptOptions(strategy=strategy))
    clause = CLAUSES.get(name)()
    for position in clause.positions:
        safe = clause.apply(plan, position)
        assert (safe != plan) == (position != "trace" or plan.thinks)
        assert plan.messages[-1].content in safe.messages[-1].content
        assert safe.trace_open.endswith(plan.trace_open)
        same = {"messages": (), "trace_open": ""}
        assert safe.model_copy(update=same) == plan.model_copy(update=same)


@pytest.mark.parametrize("name", STRUCTURES.names())
@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_a_structure_keeps_the_request_and_whether_a_trace_comes_first(name: str, strategy: str) -> None:
    plan = STRATEGIES.get(strategy)().plan(an_item(Axis.HARM), PromptOptions(strategy=strategy))
    formed = STRUCTURES.get(name)().apply(plan)
    assert formed.messages[-1].content.startswith(plan.messages[-1].content)
    assert bool(formed.answer_open) == bool(plan.answer_open)
    assert bool(formed.trace_open) == bool(plan.trace_open)
    assert (formed.thinks, formed.thinking_tokens) == (plan.thinks, plan.thinking_tokens)


@pytest.mark.parametrize("name", [name for name in DEMONSTRATIONS.names() if name != "gsm8k_train"])
def test_demonstrations_are_different_and_always_in_the_same_order(name: str) -> None:
    examples = DEMONSTRATIONS.get(name)().examples()
    assert len({example.question for example in examples}) == len(examples) > 0
    assert all(example.rationale and example.answer for example in examples)
    assert examples == DEMONSTRATIONS.get(name)().examples()


class Nobody:
    """A model that no judge gets round to asking."""

    model = "nobody"
    fingerprint = ModelFingerprint(weights="", adapter=None, template="", dtype="", backend="")

    def ask(self, calls: Sequence[JudgeCall]) -> list[Generation]:
        raise AssertionError("nothing is asked here")


@pytest.mark.parametrize("name", JUDGES.names())
def test_a_judge_has_an_identity_and_reads_the_answer_first(name: str) -> None:
    kind = JUDGES.get(name)
    judge, same = (kind(Nobody()) if issubclass(kind, ModelJudge) else kind() for _ in range(2))
    assert judge.fingerprint == same.fingerprint
    assert judge.spans[0] == "answer" or judge.spans == ("trace",)
    assert judge.axes


def test_the_benchmarks_page_says_what_each_loader_declares() -> None:
    page = (PAGE.parent / "benchmarks.md").read_text("utf-8")
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| (\w+) \| ([\d,]+) \| (\w+) \| (\w+) \|", page, re.M)}
    infos = {name: BENCHMARKS.get(name).info for name in BENCHMARKS.names()}
    assert rows == {name: (str(i.axis), f"{i.n_items:,}", i.judge, i.verified) for name, i in infos.items()}
    assert all(file.url in page and (file.sha256 or "")[:12] in page for i in infos.values() for file in i.files)
