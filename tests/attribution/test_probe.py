from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from oldham.attribution.labelled import Labelled
from oldham.attribution.probe import ProbeOptions, probe
from oldham.attribution.probe_result import ProbeResult
from oldham.core.errors import ConfigError, DataError
from oldham.core.records import ModelFingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUICK = ProbeOptions(shuffles=19, resamples=400, repeats=2)


class Place(NamedTuple):
    """Stands for a point of a model."""

    site: str
    layer: int


class Table(NamedTuple):
    """Stands for the rows of a generation."""

    part: NDArray[np.int64]
    offset: NDArray[np.int64]
    before_answer: NDArray[np.bool_]
    ends_trace: NDArray[np.bool_]


TRACED = Table(  # the end of the prompt, two tokens of the trace, what the answer is predicted from, one token of it
    part=np.array([0, 1, 1, 3, 2]),
    offset=np.array([-1, 0, 16, 9, 0]),
    before_answer=np.array([False, False, False, True, False]),
    ends_trace=np.array([False, False, True, False, False]),
)
DIRECT = Table(np.array([0]), np.array([-1]), np.array([True]), np.array([False]))


@dataclass
class MadeStore:
    """Activations that a test makes up, by generation and layer; each of shape (rows, width)."""

    values: dict[tuple[str, int], NDArray[np.float32]]
    table: dict[str, Table]
    logits: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    folder: Path = Path("made")
    model: ModelFingerprint = field(
        default_factory=lambda: ModelFingerprint(weights="w", adapter=None, template="t", dtype="d", backend="b")
    )

    @property
    def points(self) -> list[Place]:
        return [Place("resid_post", layer) for layer in sorted({layer for _, layer in self.values})]

    def rows(self, generation: str) -> Table:
        return self.table[generation]

    def read(self, generation: str, point: Place) -> NDArray[np.float32]:
        return self.values[generation, point.layer]

    def lens(self, generation: str, point: Place) -> NDArray[np.float32] | None:
        return self.logits.get(generation)


def labelled(labels: NDArray[np.int64], clusters: NDArray[np.int64] | None = None) -> Labelled:
    names = tuple(f"g{n}" for n in range(len(labels)))
    groups = np.arange(len(labels)) if clusters is None else clusters
    return Labelled("arm", names, names, labels, groups, {"incoherent": 2}, ("refusal",))


def direct(rows: dict[int, NDArray[np.float64]], logits: NDArray[np.float64] | None = None) -> Any:
    n = len(next(iter(rows.values())))
    values = {(f"g{i}", layer): some[i : i + 1].astype(np.float32) for layer, some in rows.items() for i in range(n)}
    told = {} if logits is None else {f"g{i}": logits[i : i + 1].astype(np.float32) for i in range(n)}
    return MadeStore(values, {f"g{i}": DIRECT for i in range(n)}, told)


def made(seed: int, n: int = 80, width: int = 32) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.permutation(np.repeat([0, 1], n // 2)), rng.normal(size=(n, width))


def test_a_planted_signal_is_found_in_its_layer() -> None:
    labels, noise = made(0)
    signal = made(1)[1] + 3 * np.outer(labels, np.eye(32)[3] + np.eye(32)[9])
    result = probe(direct({4: noise, 5: signal}), labelled(labels), options=QUICK)
    quiet, loud = result.scores
    assert result.best is loud
    assert (loud.layer, loud.position, loud.n, loud.n_refused) == (5, "prompt_end", 80, 40)
    assert loud.auroc > 0.9
    assert loud.auroc_interval.low > 0.8
    assert loud.accuracy > 0.8 > loud.majority == 0.5
    assert loud.p_value == loud.p_max == 0.05  # none of 19 shuffles
    assert quiet.p_max > 0.05
    assert 0.25 < quiet.auroc < 0.75
    assert abs(loud.null_mean - 0.5) < 0.1
    assert math.isnan(loud.control)


def test_the_control_finds_what_the_words_say() -> None:
    labels, noise = made(2)
    rng = np.random.default_rng(3)
    words = rng.normal(size=(80, 4))
    words[:, 1] += 3 * labels
    said = noise.copy()
    said[:, :4] = words  # activations hold what the logits of the words say, and nothing more
    (score,) = probe(direct({0: said}, words), labelled(labels), options=QUICK).scores
    assert score.control > 0.9
    assert score.gain_interval.low < 0.05
    more = said + 4 * np.outer(labels, np.eye(32)[20])
    silent = rng.normal(size=(80, 4))
    (score,) = probe(direct({0: more}, silent), labelled(labels), options=QUICK).scores
    assert score.auroc > 0.95
    assert score.control < 0.75
    assert score.gain == pytest.approx(score.auroc - score.control)
    assert score.gain_interval.low > 0


def test_prompts_on_both_sides_of_a_split_are_never_allowed() -> None:
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(30), 4)
    labels = rng.permutation(np.repeat([0, 1], 15))[clusters]
    rows = rng.normal(size=(30, 96))[clusters] + 0.01 * rng.normal(size=(120, 96))
    (grouped,) = probe(direct({0: rows}), labelled(labels, clusters), options=QUICK).scores
    (leaking,) = probe(direct({0: rows}), labelled(labels), options=QUICK).scores
    assert leaking.auroc > 0.97
    assert 0.25 < grouped.auroc < 0.75
    assert grouped.p_value > 0.05
    assert grouped.n_clusters == 30


def traced(labels: NDArray[np.int64]) -> Any:
    rng = np.random.default_rng(5)
    values = {}
    for i, label in enumerate(labels):
        some = rng.normal(size=(5, 16))
        some[3] += 3 * label
        some[4] += 9 * label
        values[f"g{i}", 0] = some.astype(np.float32)
    return MadeStore(values, {f"g{i}": TRACED for i in range(len(labels))})


def test_positions_before_the_answer_are_probed_by_default() -> None:
    labels = made(6)[0]
    result = probe(traced(labels), labelled(labels), options=QUICK)
    assert [s.position for s in result.scores] == ["prompt_end", "trace:0", "trace:16", "trace_end", "answer_start"]
    assert result.best.position == "answer_start"
    inside = probe(traced(labels), labelled(labels), options=replace(QUICK, positions=("answer:0",)))
    assert inside.scores[0].auroc > 0.99
    assert "reads the refusal itself" in inside.summary()


def test_generations_without_a_position_are_left_out_of_it() -> None:
    labels = made(7)[0]
    store = traced(labels)
    for i in range(30):
        store.table[f"g{i}"] = DIRECT
        store.values[f"g{i}", 0] = store.values[f"g{i}", 0][:1]
    result = probe(store, labelled(labels), options=replace(QUICK, positions=("prompt_end", "trace:0")))
    assert [(s.n, s.n_refused) for s in result.scores] == [(80, 40), (50, int(labels[30:].sum()))]
    assert result.fits[1].generations == tuple(f"g{i}" for i in range(30, 80))


@pytest.mark.parametrize(
    ("position", "told"),
    [("somewhere", "is not a position"), ("trace:x", "is not a position"), ("trace:7", "is not stored")],
)
def test_positions_that_cannot_be_meant(position: str, told: str) -> None:
    labels = made(8)[0]
    with pytest.raises(ConfigError, match=told):
        probe(traced(labels), labelled(labels), options=replace(QUICK, positions=(position,)))


def test_too_few_of_a_label_is_an_error_of_the_users() -> None:
    labels = np.array([1] + [0] * 30)
    with pytest.raises(DataError, match="Only 1 cluster"):
        probe(direct({0: made(9)[1][:31]}), labelled(labels), options=QUICK)


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"repeats": 0}, {"shuffles": -1}, {"resamples": 10}, {"strength": 0}])
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ProbeOptions(**wrong)


def test_without_shuffles_there_is_no_p_value() -> None:
    labels, noise = made(10)
    (score,) = probe(direct({0: noise}), labelled(labels), options=replace(QUICK, shuffles=0)).scores
    assert math.isnan(score.p_value)
    assert math.isnan(score.p_max)
    assert math.isnan(score.null_95)


def test_equal_seeds_give_equal_results_and_they_are_read_back(tmp_path: Path) -> None:
    labels, noise = made(11)
    store = direct({0: noise, 1: noise + np.outer(labels, np.ones(32))}, noise[:, :3])
    result, again = (probe(store, labelled(labels), options=QUICK) for _ in range(2))
    assert result.scores == again.scores
    result.save(tmp_path / "probe")
    back = ProbeResult.load(tmp_path / "probe")
    assert back.scores == result.scores
    assert back.settings == result.settings
    np.testing.assert_array_equal(back.null, result.null)
    np.testing.assert_array_equal(back.fits[1].weights, result.fits[1].weights)
    assert back.fits[1].generations == result.fits[1].generations
    assert back.summary() == result.summary()
    assert back.to_frame().equals(result.to_frame())


def test_damaged_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        ProbeResult.load(tmp_path)


def test_a_fitted_probe_gives_calibrated_probabilities() -> None:
    labels, noise = made(12)
    rows = noise + 2 * np.outer(labels, np.eye(32)[0])
    result = probe(direct({0: rows}), labelled(labels), options=QUICK)
    told = result.probabilities(0, rows)
    logits = rows.astype(np.float32).astype(float) @ result.fits[0].weights + result.fits[0].bias
    expected = 1 / (1 + np.exp(-logits / result.scores[0].calibration.temperature))
    np.testing.assert_allclose(told, expected, rtol=1e-4)
    assert told[labels == 1].mean() > 0.7 > 0.3 > told[labels == 0].mean()


def test_the_summary_says_what_can_be_believed() -> None:
    labels, noise = made(13)
    worthless = probe(direct({0: noise}), labelled(labels), options=QUICK).summary()
    assert "40 refused and 40 complied, in 80 clusters of prompts, by the judge `refusal`" in worthless
    assert "Without a label: 2 incoherent." in worthless
    assert "No probe is shown to tell refusals better than chance." in worthless
    words = np.random.default_rng(0).normal(size=(80, 2)) + 4 * labels[:, None]
    said = noise.copy()
    said[:, :2] = words
    text = probe(direct({0: said}, words), labelled(labels), options=QUICK).summary()
    assert "may have found the next word" in text or "tells less than" in text


def test_labels_spread_evenly_over_kinds_are_warned_of() -> None:
    kinds = np.repeat(np.arange(10), 6)
    labels = np.tile([0, 1], 30)
    rows = 20 * np.eye(10)[kinds] + 0.1 * np.random.default_rng(0).normal(size=(60, 10))
    result = probe(direct({0: rows}), labelled(labels), options=QUICK)
    assert result.scores[0].auroc < 0.4
    assert "do worse than chance" in result.summary()
