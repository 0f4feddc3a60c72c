from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oldham.benchmarks import BENCHMARKS, balanced_order, load_items
from oldham.benchmarks.embedded import Harmful
from oldham.core.errors import ConfigError, DataError, UnknownNameError
from oldham.core.outcomes import Axis
from oldham.core.records import Item

EMBEDDED = ["arithmetic", "sums", "harmful", "benign", "false_premise", "private_record"]


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_smaller_subset_is_a_prefix_of_a_larger_one(name):
    whole = load_items(name)
    for n in (1, 7, 30, 60, len(whole)):
        assert load_items(name, n) == whole[:n]


@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize("n", [5, 24, 60])
def test_subsets_are_balanced_over_categories(name, n):
    counts = Counter(i.category for i in load_items(name, n))
    sizes = [counts.get(c, 0) for c in {i.category for i in load_items(name)}]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("name", "clusters"), [("arithmetic", 60), ("private_record", 36)])
def test_every_cluster_comes_once_before_any_comes_twice(name, clusters):
    assert len({i.cluster for i in load_items(name, clusters)}) == clusters


@pytest.mark.parametrize("n", [1, 13, 60, 100])
def test_benign_subset_mirrors_the_harmful_subset(n):
    assert [i.pair for i in load_items("benign", n)] == [i.id for i in load_items("harmful", n)]


@given(st.permutations(Harmful().items()))
def test_the_order_does_not_depend_on_the_order_of_the_file(items):
    assert balanced_order(items) == load_items("harmful")


def test_the_order_is_not_the_order_of_the_file():
    first = [i.id for i in load_items("harmful", 10)]
    assert len({i.rpartition("-")[2] for i in first}) > 1


@pytest.mark.parametrize("n", [0, -3, 101])
def test_asking_for_what_does_not_exist_names_the_maximum(n):
    with pytest.raises(ConfigError, match="100 items.* 1 to 100"):
        load_items("harmful", n)


def test_unknown_benchmark_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean `harmful`"):
        load_items("harmfull")


@pytest.mark.parametrize("ids", [("a",), ("a", "a")])
def test_items_that_do_not_match_the_stated_count_are_an_error(ids, monkeypatch):
    def item(name):
        return Item(id=name, benchmark="harmful", axis=Axis.HARM, cluster=name, category="c", prompt="p")

    cls = BENCHMARKS.get("harmful")
    monkeypatch.setattr(cls, "info", cls.info.model_copy(update={"n_items": 2}))
    monkeypatch.setattr(cls, "items", lambda self: tuple(item(i) for i in ids))
    with pytest.raises(DataError, match="should have 2 items"):
        load_items("harmful")
