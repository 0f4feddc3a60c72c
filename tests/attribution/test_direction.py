from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import planted_refusal as planted
import pytest

from oldham.attribution.selection import Limits
from oldham.core.errors import ConfigError, DataError, ModelError
from oldham.core.steering import SteeringSpec, read_header, steering_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from oldham.attribution.direction import DirectionOptions, DirectionSearch
    from oldham.attribution.search import Subject

pytestmark = pytest.mark.model

THINKING = planted.CHATML.replace("assistant\n{% endif %}", "assistant\n{{ '<think>\n' }}{% endif %}")


@pytest.fixture(scope="module", autouse=True)
def single_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    monkeypatch.setenv("OLDHAM_CACHE", str(tmp_path / "cache"))
    planted.register()
    yield
    planted.unregister()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.build(tmp_path_factory.mktemp("planted") / "model")


@pytest.fixture
def subject(folder: Path) -> Subject:
    from oldham.attribution.search import Subject

    return Subject.load(f"path:{folder}")


def options(**said: Any) -> DirectionOptions:
    from oldham.attribution.direction import DirectionOptions

    return DirectionOptions(**{"harmful": ("planted_harm",), "harmless": ("planted_plain",), **said})


@pytest.fixture(scope="module")
def searched() -> dict[str, DirectionSearch]:
    return {}


@pytest.fixture
def found(subject: Subject, searched: dict[str, DirectionSearch]) -> DirectionSearch:
    from oldham.attribution.search import find_direction

    if "plain" not in searched:
        searched["plain"] = find_direction(subject, options())
    return searched["plain"]


def cosine(vector: Any) -> float:
    import torch

    return float(torch.nn.functional.cosine_similarity(torch.as_tensor(vector), planted.planted_direction(), dim=0))


# What is found


def test_the_planted_direction_is_found(found: DirectionSearch) -> None:
    assert found.direction is not None
    assert cosine(found.direction.vector) > 0.95
    facts = found.facts
    assert [token.text for token in facts.refusal_tokens] == [planted.REFUSAL]
    assert facts.refusal_tokens[0].harmful > 0.7 > 0.2 > facts.refusal_tokens[0].harmless
    assert facts.base_harmful > 1
    assert facts.base_harmless < -1


def test_ablating_it_lowers_refusal_and_adding_it_raises_it(found: DirectionSearch) -> None:
    import numpy as np

    def mean(side: str, way: str) -> float:
        scores = [getattr(score, way) for score in found.facts.test if score.side == side]
        assert len(scores) == {"harmful": 14, "harmless": 12}[side]
        return float(np.mean(scores))

    assert mean("harmful", "ablated") < mean("harmful", "base") - 3
    assert mean("harmful", "subtracted") < mean("harmful", "base") - 3
    assert mean("harmless", "added") > mean("harmless", "base") + 3
    assert "It passes all tests." in found.summary()


def test_every_candidate_s_scores_are_kept(found: DirectionSearch) -> None:
    table = found.to_frame()
    positions = len(found.facts.tail)
    assert table.height == positions * planted.LAYERS == len(found.facts.candidates)
    assert table["chosen"].sum() == 1
    assert found.vectors.shape == (positions, planted.LAYERS, planted.WIDTH)
    first = table.filter(table["layer"] == 0)  # it has not read the request: the template's tokens are all alike
    assert first["norm"].to_list() == [0.0] * positions
    assert first["bypass"].null_count() == first["kl"].null_count() == positions
    known = table.filter(table["layer"] > 0)
    assert known.select("bypass", "induce", "kl").null_count().sum_horizontal().item() == 0
    assert set(known.filter(known["layer"] >= 0.8 * planted.LAYERS)["failed"]) >= {"layer"}


def test_the_template_s_tokens_after_the_text_are_read(found: DirectionSearch) -> None:
    assert "".join(found.facts.tail) == "<|im_end|>\n<|im_start|>assistant\n"


def test_prompts_are_filtered_as_published_and_counted(found: DirectionSearch) -> None:
    from oldham.benchmarks import load_items

    counts = {(c.split, c.side): (c.n, c.n_kept) for c in found.facts.counts}
    assert sum(n for n, _ in counts.values()) == 92
    lacking = {f"planted_harm/planted_harm-{n}" for n in range(40, 48)}
    lacking |= {f"planted_plain/planted_plain-{n}" for n in range(40, 44)}
    used = {split: set(ids) for split, ids in found.facts.splits.items()}
    assert not lacking & (used["train"] | used["validation"])
    assert len(used["train"]) == sum(counts["train", side][1] for side in ("harmful", "harmless"))
    assert counts["test", "harmful"] == (14, 14)
    every = {f"{i.benchmark}/{i.id}" for name in ("planted_harm", "planted_plain") for i in load_items(name)}
    dropped = every - set.union(*used.values())
    assert dropped <= lacking
    assert len(dropped) == sum(n - kept for n, kept in counts.values()) > 0
    assert not used["train"] & used["validation"] and not used["train"] & used["test"]


def test_without_the_filter_all_prompts_are_used(subject: Subject) -> None:
    from oldham.attribution.search import find_direction

    facts = find_direction(subject, options(filtered=False, positions=1)).facts
    assert all(count.n == count.n_kept for count in facts.counts)
    assert facts.tail == ("\n",)


def test_the_same_search_finds_the_same(subject: Subject, found: DirectionSearch) -> None:
    import numpy as np

    from oldham.attribution.search import find_direction

    again, other = find_direction(subject, options()), find_direction(subject, options(seed=1, positions=1))
    assert np.array_equal(again.vectors, found.vectors)
    assert again.facts == found.facts
    assert other.facts.splits != found.facts.splits


def test_a_user_may_name_the_refusal_tokens(subject: Subject) -> None:
    from oldham.attribution.search import find_direction

    facts = find_direction(subject, options(refusal_tokens=("I",), positions=1)).facts
    assert [token.text for token in facts.refusal_tokens] == ["I"]
    with pytest.raises(ConfigError, match="no single token") as caught:
        find_direction(subject, options(refusal_tokens=("I refuse",)))
    assert "Give the first of its tokens: 'I'" in str(caught.value)


# When nothing can be chosen


def test_no_direction_is_forced_on_the_user(subject: Subject) -> None:
    from oldham.attribution.search import find_direction

    none = find_direction(subject, options(limits=Limits(least_induced=99), positions=2))
    assert none.direction is None
    assert "No candidate passes the tests" in none.summary()
    assert "0 have a refusal score of at least 99" in none.summary()
    assert none.to_frame()["bypass"].null_count() == 2  # the first layer's; all others are told
    assert none.facts.test == ()
    relaxed = none.relaxed("induce")
    assert relaxed.direction is not None
    assert relaxed.facts.options.relax == ("induce",)
    assert "It fails induce, which was relaxed." in relaxed.summary()


def test_a_model_that_does_not_refuse_is_told(tmp_path: Path) -> None:
    from oldham.attribution.search import find_direction

    plain = planted.build(tmp_path / "plain", refuses=False)
    with pytest.raises(DataError, match="does not seem to refuse") as caught:
        find_direction(f"path:{plain}", options())
    assert "--refusal-token" in str(caught.value)
    with pytest.raises(DataError, match="train split needs 8 harmful prompts, and the filter leaves 0"):
        find_direction(f"path:{plain}", options(refusal_tokens=("I",)))


def test_too_few_prompts_are_told(subject: Subject) -> None:
    from oldham.attribution.search import find_direction

    with pytest.raises(DataError, match="there are 4 of 4"):
        find_direction(subject, options(n=8))
    with pytest.raises(ConfigError, match="named twice"):
        find_direction(subject, options(harmless=("planted_plain", "planted_plain:3")))
    with pytest.raises(ConfigError, match="does not say how many"):
        find_direction(subject, options(harmless=("planted_plain:x",)))


def test_a_model_elsewhere_is_refused() -> None:
    from oldham.attribution.search import find_direction

    with pytest.raises(ConfigError, match="does not run in this process"):
        find_direction("openai:some", options())


# Thinking models


def test_a_thinking_model_is_read_after_its_closed_trace(tmp_path: Path) -> None:
    from oldham.attribution.first_token import ready
    from oldham.attribution.search import Subject
    from oldham.benchmarks import load_items

    thinking = planted.build(tmp_path / "thinking", template=THINKING, special=("<think>", "</think>"))
    chat = Subject.load(f"path:{thinking}").chat
    prompt = ready(chat, load_items("planted_harm")[0])
    text = chat.codec.decode(prompt.ids)
    assert text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert chat.codec.decode(prompt.ids[-prompt.after :]) == text[text.rindex("<|im_end|>") :]


def test_a_template_that_changes_the_text_is_told(tmp_path: Path) -> None:
    from oldham.attribution.search import Subject, find_direction

    shouting = planted.build(
        tmp_path / "m", template=planted.CHATML.replace("{{ m.content }}", "{{ m.content|upper }}")
    )
    with pytest.raises(ModelError, match="leaves out or changes what the user says"):
        find_direction(Subject.load(f"path:{shouting}"), options())


def test_a_template_without_tokens_after_the_text_is_told(tmp_path: Path) -> None:
    from oldham.attribution.search import Subject, find_direction

    bare = planted.build(tmp_path / "m", template="{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(ModelError, match="no position to read directions at"):
        find_direction(Subject.load(f"path:{bare}"), options())


# Closed forms


def test_the_refusal_score_is_the_log_odds() -> None:
    import torch

    from oldham.attribution.first_token import EPSILON, refusal_score

    p = torch.tensor([[0.2, 0.3, 0.5], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]], dtype=torch.float64)
    scores = refusal_score(p.log(), [0, 1])
    assert scores.dtype == torch.float64
    assert scores[0].item() == pytest.approx(0.0, abs=1e-12)
    assert scores[1].item() == pytest.approx(math.log(EPSILON) - math.log(1 + EPSILON))
    assert scores[2].item() == pytest.approx(math.log(1 + EPSILON) - math.log(EPSILON))
    assert refusal_score(p.log(), [0])[0].item() == pytest.approx(math.log(0.2 / 0.8), abs=1e-6)


def test_the_divergence_is_kullback_and_leibler_s() -> None:
    import torch

    from oldham.attribution.first_token import divergence

    p = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]], dtype=torch.float64)
    q = torch.tensor([[0.9, 0.1, 0.0], [0.25, 0.25, 0.5]], dtype=torch.float64)
    found = divergence(p.log(), q.log())
    assert found[0].item() == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1))
    assert found[1].item() == 0.0
    assert divergence(q.log(), p.log())[0].item() != pytest.approx(found[0].item())


def test_batches_read_what_single_prompts_read(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    import torch

    from oldham.attribution import first_token
    from oldham.benchmarks import load_items
    from oldham.engine.hooks import Point, hooked

    prompts = [first_token.ready(subject.chat, item) for item in load_items("planted_harm")]
    assert len({len(prompt.ids) for prompt in prompts}) > 3  # so that some are padded
    together = first_token.refusal_scores(subject.model, prompts, [40])
    means = first_token.mean_states(subject.model, prompts, 3, planted.LAYERS)
    monkeypatch.setattr(first_token, "_BATCH_TOKENS", 1)
    assert np.allclose(together, first_token.refusal_scores(subject.model, prompts, [40]), atol=1e-4)
    points = [Point("resid_pre", layer) for layer in range(planted.LAYERS)]
    alone = []
    for prompt in prompts:
        with hooked(subject.model, reads=points) as states, torch.no_grad():
            subject.model(torch.tensor([prompt.ids]))
        alone.append(torch.stack([states[point][0, -3:] for point in points], dim=1).double().numpy())
    assert np.allclose(means, np.mean(alone, axis=0), atol=1e-5)


# What is kept


def test_a_direction_comes_back_as_it_was_saved(found: DirectionSearch, tmp_path: Path) -> None:
    import numpy as np

    from oldham.attribution.direction import Direction
    from oldham.engine.steering import load_direction

    assert found.direction is not None
    folder = found.direction.save(tmp_path / "deep" / "dir")
    loaded = Direction.load(folder)
    assert np.array_equal(loaded.vector, found.direction.vector)
    assert loaded.facts == found.facts
    assert loaded.summary() == found.summary()
    assert loaded.to_frame().equals(found.to_frame())
    header = read_header(folder)
    assert header.comes_from(found.facts.fingerprint)
    assert header.layer == loaded.candidate.layer == load_direction(folder).layer
    spec = SteeringSpec(direction=str(folder), mode="add")
    again = loaded.save(tmp_path / "again")
    assert steering_identity(spec, header) == steering_identity(spec, read_header(again))


def test_a_search_is_gone_on_with_and_not_made_again(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from oldham.attribution import search
    from oldham.attribution.direction import DirectionSearch

    strict = {"limits": Limits(least_induced=99), "positions": 1}
    first = search.find_direction(subject, options(**strict))
    loaded = DirectionSearch.load(first.save(tmp_path / "kept"))
    assert np.array_equal(loaded.vectors, first.vectors)
    assert loaded.facts == first.facts
    assert not (tmp_path / "kept" / "direction.safetensors").exists()
    fresh = search.find_direction(subject, options(**strict, relax=("induce",)))

    monkeypatch.setattr(search._Scorer, "score_all", lambda *_: pytest.fail("scored again"))
    again = search.find_direction(subject, options(**strict, relax=("induce",)), known=loaded)
    assert again.facts == fresh.facts
    assert again.direction is not None and again.facts.test
    again.save(tmp_path / "kept")
    assert read_header(tmp_path / "kept").layer == again.direction.candidate.layer
    for other in ({"seed": 5}, {"positions": 2}, {"filtered": False}, {"refusal_tokens": ("I",)}):
        assert not loaded.answers(options(**strict | other), subject.fingerprint, first.facts.items)
    assert loaded.answers(options(**strict), subject.fingerprint, first.facts.items)
    assert not loaded.answers(options(**strict), subject.fingerprint, "other items")
    tuned = subject.fingerprint.model_copy(update={"adapter": "other"})
    assert not loaded.answers(options(**strict), tuned, first.facts.items)
    first.save(tmp_path / "kept")
    assert not (tmp_path / "kept" / "direction.safetensors").exists()  # what was found before is not taken for it


def test_a_folder_that_is_not_whole_is_told(found: DirectionSearch, tmp_path: Path) -> None:
    from oldham.attribution.direction import Direction, write_facts

    assert found.direction is not None
    with pytest.raises(ConfigError, match="There is no direction"):
        Direction.load(write_facts(found.facts, tmp_path / "no-tensor"))
    folder = found.direction.save(tmp_path / "dir")
    (folder / "direction.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        Direction.load(folder)
    (folder / "direction.json").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        Direction.load(folder)


def test_the_command_line_writes_what_a_study_can_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from oldham.cli import main

    def said(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["oldham", "attribute", "direction", f"path:{folder}", *words])
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        return f"{end.value.code}\n{output.out}{output.err}"

    monkeypatch.chdir(tmp_path)
    sets = ("--harmful", "planted_harm", "--harmless", "planted_plain", "--positions", "1", "--seed", "0")
    told = said(*sets, "--out", "mine")
    assert told.startswith("0\n")
    assert "It passes all tests." in told
    assert "steering: {direction: mine, mode: ablate}" in told
    assert read_header("mine").width == planted.WIDTH
    assert '"seed": 0' in (tmp_path / "mine" / "direction.json").read_text()
    assert said(*sets, "--relax", "kkl").startswith("2\n")
    few = said(*sets, "--refusal-token", "Z", "--out", "none", "--no-filter", "--relax", "layer")
    assert few.startswith("2\n") and "No direction was chosen" in few and "The best at bypassing" in few
    assert (tmp_path / "none" / "direction.json").is_file()


# A study


def test_a_study_is_steered(found: DirectionSearch, folder: Path, tmp_path: Path, write: Callable[..., Path]) -> None:
    from oldham.core.ledger import Ledger
    from oldham.studies.run import run

    assert found.direction is not None
    found.direction.save(tmp_path / "mine")
    result = run(write(folder), run_dir=tmp_path / "run", preflight=False)
    assert result.n_missing == 0
    with Ledger(tmp_path / "run" / "ledger.sqlite", read_only=True) as ledger:
        generations = list(ledger.generations(ledger.generation_ids()))
    refused: dict[tuple[str, str], list[bool]] = {}
    for generation in generations:
        key = (generation.trial.arm, generation.trial.benchmark)
        refused.setdefault(key, []).append(generation.output_text.startswith(planted.REFUSAL))
    shares = {key: sum(said) / len(said) for key, said in refused.items()}
    assert shares["direct", "planted_harm"] > 0.7
    assert shares["direct", "planted_plain"] < 0.3
    assert shares["ablated", "planted_harm"] == 0.0
    assert shares["pulled", "planted_harm"] == 0.0
    assert shares["pushed", "planted_plain"] == 1.0
    again = run(write(folder), run_dir=tmp_path / "run", preflight=False)
    assert (again.n_generated, again.n_reused) == (0, result.n_generated)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def study(model: Path) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(
            f"""\
name: steered
baseline: direct
defaults: {{model: "path:{model}", answer_tokens: 3}}
arms:
  direct:
  ablated: {{steering: {{direction: mine, mode: ablate}}}}
  pushed: {{steering: {{direction: mine, mode: add}}}}
  pulled: {{steering: {{direction: mine, mode: add, coefficient: -1}}}}
benchmarks: [planted_harm:10, planted_plain:10]
"""
        )
        return path

    return study
