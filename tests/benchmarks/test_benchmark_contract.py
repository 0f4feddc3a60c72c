"""Every registered benchmark keeps the contract, whoever wrote it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from recorded import put_recorded

from oldham.benchmarks import BENCHMARKS, balanced_order, load_items
from oldham.core.fingerprint import fingerprint
from oldham.core.records import Item
from oldham.judges.base import JUDGES

# A change here is a change of the benchmark: old results no longer compare with new ones.
PINNED = {
    "arithmetic": "7e8bcb7ba14687cf92dea811252f659c",
    "sums": "1e046b9f0c70e25517461d2b91faf380",
    "harmful": "53c1e16799addf058fe97feac74ec5f3",
    "benign": "cdc58529393506cc947af1746b1bc9f2",
    "false_premise": "893cfa0434f5b4826a4e80eb046a6d7b",
    "private_record": "53fedfa6231c6e47b0fa51fe0c656384",
}


@pytest.fixture(params=BENCHMARKS.names())
def benchmark(request, tmp_path, monkeypatch):
    name = request.param
    cls = BENCHMARKS.get(name)
    folder = os.environ.get("OLDHAM_DATA")
    if cls.info.files and not (folder and all((Path(folder) / file.path).is_file() for file in cls.info.files)):
        put_recorded(name, cls, tmp_path, monkeypatch)
    return name


def test_facts_are_complete(benchmark):
    info = BENCHMARKS.get(benchmark).info
    assert info.licence.strip()
    assert info.citation.strip()
    assert JUDGES.entry(info.judge).name == info.judge
    assert (info.verified == "embedded") == (info.files == ())
    assert getattr(BENCHMARKS.get(benchmark), "name", benchmark) == benchmark


@pytest.mark.parametrize("name", BENCHMARKS.names())
def test_sources_are_pinned(name):
    for file in BENCHMARKS.get(name).info.files:
        assert file.url.startswith("https://")
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        # Without a hash, at least the revision is fixed.
        assert file.sha256 or re.search("/[0-9a-f]{40}/", file.url)


def test_scored_by_likelihood_means_choices_in_every_reference(benchmark):
    cls = BENCHMARKS.get(benchmark)
    for item in cls().items():
        assert bool(item.reference.get("likelihood")) == cls.info.likelihood
        if cls.info.likelihood:
            assert len(item.reference["choices"]) == len(item.reference["labels"]) > 1


def test_items_are_well_formed(benchmark):
    cls = BENCHMARKS.get(benchmark)
    items = cls().items()
    assert len(items) == cls.info.n_items
    assert len({item.id for item in items}) == len(items)
    for item in items:
        assert item.id.startswith(f"{benchmark}-")
        assert (item.benchmark, item.axis) == (benchmark, cls.info.axis)
        assert item.cluster
        assert item.category
        assert item.prompt == item.prompt.strip() != ""
        assert Item.model_validate_json(item.model_dump_json()) == item


def test_prompts_with_their_contexts_are_distinct(benchmark):
    items = BENCHMARKS.get(benchmark)().items()
    assert len({(item.context, item.prompt) for item in items}) == len(items)


def test_two_readings_agree(benchmark):
    cls = BENCHMARKS.get(benchmark)
    assert cls().items() == cls().items()


def test_loading_gives_every_item_in_the_balanced_order(benchmark):
    items = BENCHMARKS.get(benchmark)().items()
    assert load_items(benchmark) == balanced_order(items)
    assert sorted(i.id for i in load_items(benchmark)) == sorted(i.id for i in items)


@pytest.mark.parametrize("name", PINNED)
def test_embedded_items_have_not_changed(name):
    assert fingerprint("benchmark", BENCHMARKS.get(name)().items()) == PINNED[name]
