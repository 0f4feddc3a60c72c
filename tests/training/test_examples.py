from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from oldham.core.errors import ConfigError, DataError
from oldham.training.examples import build_examples
from oldham.training.methods import DPOSettings, GRPOSettings, SFTSettings

if TYPE_CHECKING:
    from pathlib import Path

    from oldham.benchmarks.resources import TrainingExample

DATA = [{"source": "arithmetic", "n": 200, "kind": "short"}]


def settings(method: Any = SFTSettings, **changes: Any) -> Any:
    base: dict[str, Any] = {"name": "mixed", "model": "scripted:echo", "data": DATA, "batch_size": 8}
    return method.model_validate({**base, **changes})


def mixed(ratio: float, order: str = "mixed", **changes: Any) -> list[TrainingExample]:
    mix = {"source": "reflective_safety_reasoning", "ratio": ratio, "order": order}
    return build_examples(settings(mix=mix, **changes))


def is_safety(example: TrainingExample) -> bool:
    return example["kind"] == "harmful_refusal"


@pytest.mark.parametrize("order", ["mixed", "before", "after"])
def test_no_share_leaves_the_data_exactly_as_they_are(order: str) -> None:
    assert mixed(0.0, order) == build_examples(settings()) == mixed(0.002, order)  # 0.4 examples of 200


@pytest.mark.parametrize("order", ["mixed", "before", "after"])
@pytest.mark.parametrize(("ratio", "n"), [(0.05, 10), (0.1, 20), (0.0025, 1), (0.5, 100), (1.0, 200)])
def test_a_share_replaces_exactly_so_many(ratio: float, n: int, order: str) -> None:
    examples = mixed(ratio, order)
    assert len(examples) == 200
    assert sum(map(is_safety, examples)) == n
    assert len({row["prompt"] for row in examples}) == 200


def test_in_the_mixed_order_all_others_stay_where_they_were() -> None:
    before = build_examples(settings())
    for ratio in (0.05, 0.3):
        changed = [one != other for one, other in zip(before, mixed(ratio), strict=True)]
        assert sum(changed) == ratio * 200
        assert [is_safety(row) for row in mixed(ratio)] == changed


def test_a_larger_share_takes_the_place_of_those_a_smaller_one_did_and_of_more() -> None:
    small, large = mixed(0.05), mixed(0.2)
    assert all(large[place] == row for place, row in enumerate(small) if is_safety(row))
    kept = {row["prompt"] for row in large if not is_safety(row)}
    assert kept < {row["prompt"] for row in small} | kept
    assert kept <= {row["prompt"] for row in small if not is_safety(row)}


@pytest.mark.parametrize("ratio", [0.05, 0.25])
def test_before_and_after_keep_the_order_of_the_rest(ratio: float) -> None:
    n = int(ratio * 200)
    first, last = mixed(ratio, "before"), mixed(ratio, "after")
    among = mixed(ratio)
    assert all(map(is_safety, first[:n]))
    assert all(map(is_safety, last[-n:]))
    assert first[n:] == last[:-n] == [row for row in among if not is_safety(row)]
    assert first[:n] == last[-n:]


def test_the_seed_alone_decides_who_gives_way() -> None:
    assert mixed(0.1, seed=1) == mixed(0.1, seed=1)
    gone = [
        {row["prompt"] for row in build_examples(settings(seed=seed))}
        - {row["prompt"] for row in mixed(0.1, seed=seed)}
        for seed in (0, 1)
    ]
    assert gone[0] != gone[1]


@pytest.mark.parametrize(
    ("mix", "says"),
    [
        ({"source": "short_safety", "ratio": 0.1}, "There is no training source `short_safety`."),
        ({"source": "policy_recall", "ratio": 0.1, "kind": "look_alikes"}, "Did you mean `look_alike`?"),
        ({"source": "direct_refusal", "ratio": 1.0}, "`direct_refusal` has 220 examples, not 300."),
        ({"source": "benign_prompts", "ratio": 0.1}, "has no completion"),
    ],
)
def test_a_mix_that_cannot_be_meant(mix: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_examples(settings(data=[{"source": "arithmetic", "n": 300}], mix=mix))
    assert says in str(caught.value)


def test_methods_that_sample_need_prompts_alone() -> None:
    data = [{"source": "benign_prompts", "n": 8}, {"source": "arithmetic", "n": 8}]
    rows = build_examples(settings(GRPOSettings, data=data))
    assert sum("reference" in row for row in rows) == 8
    with pytest.raises(ConfigError, match="has no completion"):
        build_examples(settings(data=data))


def test_preference_methods_need_pairs() -> None:
    rows = build_examples(settings(DPOSettings, data=[{"source": "safe_over_jailbroken", "n": 20}]))
    assert all(row["rejected"] and row["rejected_trace"] and row["trace"] for row in rows)
    with pytest.raises(ConfigError, match="has no `rejected`, which dpo compares with"):
        build_examples(settings(DPOSettings))
    with pytest.raises(ConfigError, match="has no `rejected`"):
        build_examples(
            settings(
                DPOSettings,
                data=[{"source": "safe_over_jailbroken", "n": 20}],
                mix={"source": "direct_refusal", "ratio": 0.5},
            )
        )


def test_a_file_may_have_every_field(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    row = {
        "prompt": "a",
        "completion": "b",
        "context": "c",
        "kind": "mine",
        "trace": "d",
        "rejected": "e",
        "rejected_trace": "f",
        "reference": {"answer": "42"},
    }
    path.write_text(json.dumps(row) + "\n")
    assert build_examples(settings(DPOSettings, data=[{"file": str(path), "n": 1}])) == [row]
    path.write_text(json.dumps({**row, "reference": "42"}) + "\n")
    with pytest.raises(DataError) as caught:
        build_examples(settings(data=[{"file": str(path), "n": 1}]))
    assert str(caught.value).startswith(f"{path}:1: `reference` is not a JSON object.")


def test_one_kind_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps({"prompt": k, "completion": "b", "kind": k}) + "\n" for k in ("one", "two")))
    rows = build_examples(settings(data=[{"file": str(path), "n": 1, "kind": "two"}]))
    assert [row["prompt"] for row in rows] == ["two"]
    with pytest.raises(ConfigError, match="has no kind `three`"):
        build_examples(settings(data=[{"file": str(path), "n": 1, "kind": "three"}]))
