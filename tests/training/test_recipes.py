from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from oldham.core.errors import ConfigError, UnknownNameError
from oldham.training.methods import METHODS, SFTSettings
from oldham.training.recipes import load_runs, read_recipe, recipe_names
from oldham.training.sources import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

FILE = "name: mine\nmodel: smollm2\ndata: [{source: premises, n: 8}]\nsteps: 6\n"


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_settings_its_authors_and_known_data(name: str) -> None:
    recipe = read_recipe(name)
    (run,) = load_runs(recipe.method, name, model="smollm2")
    assert type(run.settings) is METHODS[recipe.method]
    assert run.settings.citation is not None and "arXiv" in run.settings.citation
    assert run.settings.name == name
    assert not {"model", "name"} & set(recipe.settings)
    for part in run.settings.data:
        has = SOURCES.get(str(part.source)).info.n_examples
        assert has is None or part.n <= has


# Epochs that authors told, by recipe; the rest follows from examples and batches.
EPOCHS = {
    "s1": 5,
    "star1": 5,
    "direct_refusal": 5,
    "lora_direct_refusal": 10,
    "open_thoughts": 3,
    "safechain": 3,
    "gsm8k_sft": 1,
    "dpo_safe_trace": 4,
}


@pytest.mark.parametrize("name", EPOCHS)
def test_steps_are_whole_epochs(name: str) -> None:
    (run,) = load_runs(read_recipe(name).method, name, model="smollm2")
    told = run.settings
    an_epoch = -(-sum(part.n for part in told.data) // (told.batch_size * told.accumulate))
    assert told.steps == EPOCHS[name] * an_epoch


def test_published_numbers_are_those_of_the_sources() -> None:
    (s1,) = load_runs("sft", "s1", model="smollm2")
    told = s1.settings
    assert isinstance(told, SFTSettings)
    assert (told.learning_rate, told.schedule, told.weight_decay, told.adam_beta2) == (1e-5, "cosine", 1e-4, 0.95)
    assert (told.steps, told.batch_size * told.accumulate, told.max_length, told.lora) == (315, 16, 32768, None)
    (rank_1,) = load_runs("sft", "lora_direct_refusal", model="smollm2")
    lora = rank_1.settings.lora
    assert lora is not None
    assert (lora.r, lora.alpha, lora.dropout, lora.target_modules, lora.layers) == (1, 16, 0.05, ("up_proj",), (16, 31))


def test_a_file_goes_over_its_recipe_section_by_section(file: Any) -> None:
    (run,) = load_runs("sft", file("recipe: lora_direct_refusal\nname: mine\nmodel: smollm2\nlora: {layers: [10, 19]}"))
    assert run.settings.lora is not None
    assert (run.settings.lora.r, run.settings.lora.layers) == (1, (10, 19))
    assert run.settings.learning_rate == 5e-5
    assert run.settings.citation == read_recipe("lora_direct_refusal").citation


def test_changes_go_over_everything(file: Any) -> None:
    changes = ["steps=9", "lora.r=2", "data.0.n=4", "panel={every: 3}", "control=text"]
    (run,) = load_runs("sft", file(FILE), changes=changes, model="smollm2-aligned")
    told = run.settings
    assert (told.steps, told.data[0].n, told.model, told.control) == (9, 4, "smollm2-aligned", "text")
    assert told.lora is not None and (told.lora.r, told.lora.alpha) == (2, 16)
    assert told.panel is not None and told.panel.every == 3
    (whole,) = load_runs("sft", file(FILE), changes=["lora=null"])
    assert whole.settings.lora is None


def test_a_grid_is_a_run_for_each_combination(file: Any) -> None:
    mix = "mix: {source: harmful_refusals, ratio: 0}\n"
    runs = load_runs("sft", file(f"{FILE}{mix}vary: {{seed: [0, 1], mix.ratio: [0, 0.05]}}\n"))
    assert [str(run.folder) for run in runs] == [
        f"mine/seed={seed},mix.ratio={ratio}" for seed in (0, 1) for ratio in ("0", "0.05")
    ]
    assert [(run.settings.seed, run.settings.mix.ratio) for run in runs if run.settings.mix] == [
        (0, 0.0),
        (0, 0.05),
        (1, 0.0),
        (1, 0.05),
    ]
    assert len({run.settings.fingerprint() for run in runs}) == 4


@pytest.mark.parametrize(
    ("text", "changes", "place", "says"),
    [
        (FILE + "stepz: 3\n", [], "mine.yaml:5", "There is no key `stepz`"),
        (FILE + "lora: {rank: 3}\n", [], "mine.yaml:5", "There is no key `rank` in `lora`"),
        (FILE + "recipe: s2\n", [], "mine.yaml:5", "There is no recipe `s2`"),
        (FILE + "recipe: dpo_safe_trace\n", [], "mine.yaml:5", "is for `dpo`, not for `sft`"),
        (FILE + "vary: {seed: 3}\n", [], "mine.yaml:5", "`vary` lists the values"),
        (FILE + "vary: {seed: [1, 1]}\n", [], "mine.yaml:5", "twice"),
        (FILE + "vary: {data: [[{source: premises, n: 3}]]}\n", [], "mine.yaml:5", "cannot name a folder"),
        (FILE + "vary: {name: [a, b]}\n", [], "mine.yaml:5", "cannot be varied"),
        (FILE, ["steps"], "--set", "is no change"),
        (FILE, ["steps=many"], "--set steps", "`steps` should"),
        (FILE, ["lora.rank=2"], "--set lora.rank", "There is no key `rank`"),
        (FILE, ["data.3.n=2"], "--set", "no entry `3` in a list of 1"),
        (FILE, ["steps.n=2"], "--set", "has no keys"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(
    file: Any, text: str, changes: list[str], place: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_runs("sft", file(text), changes=changes)
    assert str(caught.value.place).endswith(place)
    assert says in caught.value.message


def test_neither_a_file_nor_a_recipe() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean `star1`"):
        load_runs("sft", "star2")
    with pytest.raises(ConfigError, match="There is no `model`"):
        load_runs("sft", "star1")


def test_recipes_are_listed_with_their_sources() -> None:
    from oldham.cli import app

    printed = CliRunner().invoke(app, ["list", "recipes"]).output
    assert all(name in printed for name in recipe_names())
    assert "arXiv 2501.19393" in printed
