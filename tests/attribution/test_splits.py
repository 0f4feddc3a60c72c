from __future__ import annotations

from collections import Counter

from oldham.attribution.splits import split_by_cluster
from oldham.benchmarks import load_items
from oldham.core.outcomes import Axis
from oldham.core.records import Item


def item(benchmark: str, number: int, cluster: int, pair: str | None = None) -> Item:
    return Item(
        id=f"{benchmark}{number}",
        benchmark=benchmark,
        axis=Axis.HARM,
        cluster=str(cluster),
        category="c",
        prompt="p",
        pair=pair,
    )


def test_each_split_has_its_share_of_both_kinds() -> None:
    harmful, benign, facts = load_items("harmful"), load_items("benign"), load_items("false_premise")
    dealt = split_by_cluster(harmful, [*benign, *facts], 42)
    shares = {
        name: Counter(split for key, split in dealt.items() if key.startswith(f"{name}/"))
        for name in ("harmful", "benign", "false_premise")
    }
    assert shares["harmful"] == shares["benign"] == {"train": 50, "validation": 25, "test": 25}
    assert shares["false_premise"] == {"train": 33, "validation": 16, "test": 17}


def test_a_mirrored_item_goes_where_its_twin_goes() -> None:
    harmful, benign = load_items("harmful"), load_items("benign")
    dealt = split_by_cluster(harmful, benign, 42)
    assert all(dealt[f"benign/{twin.id}"] == dealt[f"harmful/{twin.pair}"] for twin in benign)


def test_a_cluster_is_in_one_split_and_clusters_of_two_benchmarks_are_two() -> None:
    harmful = [item("a", n, n // 5) for n in range(40)]
    harmless = [item("b", n, n // 5) for n in range(40)]
    dealt = split_by_cluster(harmful, harmless, 0)
    for name, items in (("a", harmful), ("b", harmless)):
        of = {
            one.cluster: {dealt[f"{name}/{other.id}"] for other in items if other.cluster == one.cluster}
            for one in items
        }
        assert all(len(splits) == 1 for splits in of.values())
        assert Counter(dealt[f"{name}/{one.id}"] for one in items) == {"train": 20, "validation": 10, "test": 10}
    assert any(dealt[f"a/a{n}"] != dealt[f"b/b{n}"] for n in range(40))


def test_the_seed_decides_and_the_order_does_not() -> None:
    harmful, benign = load_items("harmful"), load_items("benign")
    first = split_by_cluster(harmful, benign, 1)
    assert split_by_cluster(harmful[::-1], benign[::-1], 1) == first
    assert split_by_cluster(harmful, benign, 2) != first
