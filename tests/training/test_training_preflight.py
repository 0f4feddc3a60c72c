from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oldham.core.errors import ConfigError, DataError
from oldham.training.methods import DPOSettings, GRPOSettings, SFTSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from oldham.training.preflight import Preflight

pytestmark = pytest.mark.model

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
ASKED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
THINKING = TURNS + ASKED + "{# <think></think> #}"
OPENING = TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}{# </think> #}"
ENDLESS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% if not loop.last %}<|im_end|>\n{% endif %}"
    "{% endfor %}" + ASKED
)
"""Does not end the turn of the assistant."""

PLAIN: list[Any] = [
    {"prompt": f"Question {n}?", "completion": f"It is {n} apples.", "rejected": f"Never {n}.", "kind": "x"}
    for n in range(12)
]
TRACED: list[Any] = [{**row, "trace": f"Count to {n}, and stop."} for n, row in enumerate(PLAIN)]
PANEL = {"every": 2}


@pytest.fixture
def told(tiny_model: Callable[..., Path]) -> Callable[..., Any]:
    def build(cls: type[Any] = SFTSettings, *, template: str = THINKING, **changes: Any) -> Any:
        base: dict[str, Any] = {
            "name": "tiny",
            "model": f"path:{tiny_model(template=template)}",
            "data": [{"source": "premises", "n": 12}],
            "steps": 2,
            "batch_size": 2,
            "max_length": 96,
            "panel": PANEL,
            "lora": {"r": 2, "alpha": 4},
        }
        return cls.model_validate({**base, **changes})

    return build


def checked(settings: Any, examples: list[Any], run_dir: Path, spoil: Callable[[Any], Any] | None = None) -> Preflight:
    """Check a run whose rows are changed after they were made, where `spoil` does."""
    from oldham.training.preflight import preflight
    from oldham.training.trainers import make_trainer

    trainer, tokenizer = make_trainer(settings, run_dir, examples)
    if spoil is not None:
        trainer.train_dataset = trainer.train_dataset.map(spoil)
    return preflight(settings, examples, trainer.model, tokenizer, tokenizer.get_chat_template(), trainer=trainer)


def refused(*given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        checked(*given)
    assert caught.value.remedy
    return str(caught.value)


def test_an_example_is_shown_with_what_carries_loss(told: Callable[..., Any], tmp_path: Path) -> None:
    found = checked(told(), TRACED, tmp_path)
    assert found.warnings == ()
    prompt = "<|im_start|>user\nQuestion 0?<|im_end|>\n<|im_start|>assistant\n"
    learnt = "<think>\nCount to 0, and stop.\n</think>\n\nIt is 0 apples.<|im_end|>\n"
    assert found.shown == f"An example, with what carries loss marked:\n{prompt}⟦{learnt}⟧"


def test_a_trace_that_the_prompt_opens(told: Callable[..., Any], tmp_path: Path) -> None:
    found = checked(told(template=OPENING), TRACED, tmp_path)
    assert "<|im_start|>assistant\n<think>\n⟦Count to 0" in found.shown


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("loss_on", ["completion", "all"])
@pytest.mark.parametrize("template", [THINKING, OPENING, TURNS + ASKED])
def test_sound_rows_pass(told: Callable[..., Any], tmp_path: Path, packing: bool, loss_on: str, template: str) -> None:
    settings = told(template=template, packing=packing, loss_on=loss_on, max_length=192)
    found = checked(settings, [*TRACED[:6], *PLAIN[6:]], tmp_path)
    assert "It is" in found.shown and "Count to" in found.shown
    assert ("⟦<|im_start|>user" in found.shown) == (loss_on == "all" and not packing)


def test_a_tokenizer_may_compose_characters(told: Callable[..., Any], tmp_path: Path) -> None:
    settings = told()
    path = Path(settings.model.removeprefix("path:")) / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    path.write_text(json.dumps({**tokenizer, "normalizer": {"type": "NFC"}}))
    accented: list[Any] = [
        {**row, "prompt": f"cafe\u0301 {n}", "completion": "re\u0301"} for n, row in enumerate(PLAIN)
    ]
    assert "caf\u00e9 0" in checked(settings, accented, tmp_path).shown


def test_sound_pairs_pass(told: Callable[..., Any], tmp_path: Path) -> None:
    found = checked(told(DPOSettings), TRACED, tmp_path)
    assert found.warnings == ()
    assert "⟦<think>\nCount to 0" in found.shown


def without_loss(text: str, tokenizer: Any, *, before: bool = False) -> Callable[[Any], Any]:
    """Return what takes the loss from the token that completes a text; with `before` from all before it too."""

    def spoil(row: Any) -> Any:
        ids, labels = row["input_ids"], list(row["labels"])
        last = next(n for n in range(len(ids)) if text in tokenizer.decode(ids[: n + 1]))
        labels[0 if before else last : last + 1] = [-100] * (last + 1 if before else 1)
        return {"labels": labels}

    return spoil


@pytest.fixture
def tokenizer(told: Callable[..., Any]) -> Any:
    from oldham.backends.loading import load_for_training

    return load_for_training(told().model)[1]


def test_loss_on_the_prompt_is_found(told: Callable[..., Any], tmp_path: Path) -> None:
    def all_of_it(row: Any) -> Any:
        return {"labels": row["input_ids"]}

    def one_more(row: Any) -> Any:
        first = next(place for place, label in enumerate(row["labels"]) if label != -100)
        return {"labels": [*row["labels"][: first - 2], *row["input_ids"][first - 2 :]]}

    assert "The prompt carries loss, from '<|im_start|>userQuestion" in refused(told(), PLAIN, tmp_path, all_of_it)
    assert "The prompt carries loss" in refused(told(), PLAIN, tmp_path / "more", one_more)


def test_a_completion_without_loss_is_found(told: Callable[..., Any], tmp_path: Path, tokenizer: Any) -> None:
    def none(row: Any) -> Any:
        return {"labels": [-100] * len(row["labels"])}

    def later(row: Any) -> Any:
        first = next(place for place, label in enumerate(row["labels"]) if label != -100)
        return {"labels": [-100] * (first + 1) + row["labels"][first + 1 :]}

    assert "No token carries loss." in refused(told(), PLAIN, tmp_path / "none", none)
    assert "Not all of the answer carries loss: 'It is" in refused(told(), PLAIN, tmp_path / "later", later)
    in_trace = without_loss("Count to", tokenizer)
    assert "Not all of the trace carries loss: 'Count" in refused(told(), TRACED, tmp_path / "trace", in_trace)
    tag = without_loss("<think>", tokenizer, before=True)
    assert "of what is learnt carries no loss: '<think>'" in refused(told(), TRACED, tmp_path / "tag", tag)
    close = without_loss("</", tokenizer)
    assert "between others with loss carry none: '/'" in refused(told(), TRACED, tmp_path / "close", close)


def test_a_trace_that_was_left_out_is_found(told: Callable[..., Any], tmp_path: Path) -> None:
    from oldham.training.preflight import preflight
    from oldham.training.trainers import make_trainer

    settings = told()
    trainer, tokenizer = make_trainer(settings, tmp_path, PLAIN)
    with pytest.raises(ConfigError, match="Not all of the trace carries loss: 'Count to 0"):
        preflight(settings, TRACED, trainer.model, tokenizer, tokenizer.get_chat_template(), trainer=trainer)


def test_several_traces_to_one_answer_are_told_apart(told: Callable[..., Any], tmp_path: Path) -> None:
    same: list[Any] = [{**PLAIN[0], "trace": f"I try {n}."} for n in range(4)]
    found = checked(told(), [PLAIN[0], *same], tmp_path)
    assert "I try 0." in found.shown


def test_an_end_of_turn_without_loss_is_found(told: Callable[..., Any], tmp_path: Path) -> None:
    def spoil(row: Any) -> Any:
        return {"labels": [*row["labels"][:-2], -100, -100]}

    assert "The token that ends the turn carries no loss" in refused(told(), PLAIN, tmp_path, spoil)


def test_a_template_that_never_ends_the_turn_is_found(told: Callable[..., Any], tmp_path: Path) -> None:
    assert "would not learn to stop" in refused(told(template=ENDLESS), PLAIN, tmp_path)


def test_a_side_of_a_pair_without_its_end_is_found(told: Callable[..., Any], tmp_path: Path) -> None:
    def spoil(row: Any) -> Any:
        return {"rejected_ids": row["rejected_ids"][:-2]}

    says = refused(told(DPOSettings), PLAIN, tmp_path, spoil)
    assert "The token that ends the turn carries no loss" in says
    assert "⟦Never 0.⟧" in says


@pytest.mark.parametrize("cls", [SFTSettings, DPOSettings])
def test_examples_that_are_cut(told: Callable[..., Any], tmp_path: Path, cls: type[Any]) -> None:
    long: list[Any] = [{**row, "completion": row["completion"] * 20, "rejected": "No." * 60} for row in PLAIN]
    says = refused(told(cls), long, tmp_path)
    assert says.startswith("max_length: 12 of 12 examples are cut at 96 tokens")
    assert "Raise `max_length`; the longest takes" in says
    assert "7 of 12" in refused(told(cls), [*PLAIN[:5], *long[:7]], tmp_path / "most")
    found = checked(told(cls), [*PLAIN[:6], *long[:6]], tmp_path / "some")
    assert found.warnings[0].startswith("6 of 12 examples are cut at 96 tokens.")


def test_rows_that_hold_no_example_are_told(told: Callable[..., Any], tmp_path: Path) -> None:
    def spoil(row: Any) -> Any:
        return {"input_ids": [row["input_ids"][0]] * len(row["input_ids"])}

    assert "None of the first 12 rows holds an example whole." in refused(told(), PLAIN, tmp_path, spoil)


def test_what_need_not_be_wrong_is_said(told: Callable[..., Any], tmp_path: Path) -> None:
    bare = checked(told(template=TURNS + ASKED, panel=None), TRACED, tmp_path / "bare")
    assert [warning.partition(",")[0] for warning in bare.warnings] == [
        "The model has no thinking tags",
        "Without a panel it is not known whether the model has safety to lose and reasoning to gain.",
    ]
    some = checked(told(), [*TRACED[:4], *PLAIN[4:]], tmp_path / "some")
    assert some.warnings == ("8 of 12 examples have no trace; they teach to answer without one.",)


def test_without_a_trainer_the_mask_is_not_checked_and_that_is_said(told: Callable[..., Any], tokenizer: Any) -> None:
    from oldham.training.preflight import preflight

    found = preflight(told(), PLAIN, None, tokenizer, tokenizer.get_chat_template())
    assert found.warnings == ("Which tokens carry loss was not checked.",)


QUESTIONS: list[Any] = [
    {"prompt": f"What is {n} and {n}?", "kind": "sum", "reference": {"answer": str(2 * n)}} for n in range(6)
]


def test_samples_of_a_model(told: Callable[..., Any], tmp_path: Path) -> None:
    """A tiny random model writes texts of unlike length, and no right answer."""
    length = {"rewards": [{"reward": "length", "target": 80}], "samples": 4, "batch_size": 4, "sample_tokens": 160}
    found = checked(told(GRPOSettings, **length), QUESTIONS, tmp_path)
    assert found.shown.endswith("What is 0 and 0?<|im_end|>\n<|im_start|>assistant\n⟦(what the model samples)⟧")
    never = told(GRPOSettings, samples=4, batch_size=4, sample_tokens=160)
    says = refused(never, QUESTIONS, tmp_path / "never")
    assert "In none of 4 sampled groups do rewards differ, all of them 0" in says


@pytest.mark.parametrize(
    ("rewards", "clipped", "says"),
    [
        ([[0.0, 0.0], [0.0, 0.0]], [[True, True], [True, True]], "All 4 sampled completions were cut at 128 tokens"),
        ([[1.0, 1.0], [0.0, 0.0]], [[False] * 2] * 2, "In none of 2 sampled groups do rewards differ, though"),
        ([[1.0, float("nan")], [0.0, 0.0]], [[False] * 2] * 2, "In none of 2 sampled groups"),
        ([[1.0, 1.0], [1.0, 1.0]], [[False] * 2] * 2, "all of them 1,"),
        ([[float("nan")] * 2] * 2, [[False] * 2] * 2, "No reward could be given"),
    ],
)
def test_samples_that_teach_nothing(
    told: Callable[..., Any], tokenizer: Any, monkeypatch: pytest.MonkeyPatch, rewards: Any, clipped: Any, says: str
) -> None:
    from oldham.training import preflight as module

    monkeypatch.setattr(module, "sample_rewards", lambda *_: (rewards, clipped))
    with pytest.raises((ConfigError, DataError)) as caught:
        module.preflight(told(GRPOSettings, batch_size=8), QUESTIONS, None, tokenizer, tokenizer.get_chat_template())
    assert says in str(caught.value)
    assert caught.value.remedy


def test_samples_that_teach_little(told: Callable[..., Any], tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from oldham.training import preflight as module

    flags = [[True, True], [True, False]]
    monkeypatch.setattr(module, "sample_rewards", lambda *_: ([[0.0, 1.0], [0.0, 0.0]], flags))
    found = module.preflight(
        told(GRPOSettings, batch_size=8), QUESTIONS, None, tokenizer, tokenizer.get_chat_template()
    )
    assert found.warnings == (
        "3 of 4 sampled completions were cut at 128 tokens.",
        "In 1 of 2 sampled groups rewards do not differ; such groups teach nothing.",
    )


def test_a_base_with_nothing_to_lose_or_to_gain(told: Callable[..., Any]) -> None:
    from oldham.training.preflight import check_start

    settings = told()
    fine = {"panel/harm": 0.8, "panel/overrefusal": 0.9, "panel/reasoning": 0.4, "panel/harm_change": 0.0}
    assert check_start(fine, settings, PLAIN) == ()
    with pytest.raises(ConfigError, match="scores 10 of 100 on harm, so it cannot lose more than the margin of 10"):
        check_start({**fine, "panel/harm": 0.1}, settings, PLAIN)
    with pytest.raises(ConfigError, match="scores 95 of 100 on reasoning, so it has nothing to gain"):
        check_start({**fine, "panel/reasoning": 0.95}, settings, PLAIN)
    assert len(check_start({**fine, "panel/privacy": 0.05}, settings, PLAIN)) == 1
    assert check_start({}, settings, PLAIN) == ()  # what was not measured is not at a floor
    refusals: list[Any] = [{**PLAIN[0], "kind": "harmful_refusal"}]
    assert check_start({**fine, "panel/harm": 0.0}, settings, refusals) == ()


def test_marks_become_colour() -> None:
    from oldham.training.masks import coloured, in_marks

    text = coloured(f"read {in_marks('learnt ⟦x⟧')} end")
    assert text.plain == "read learnt [[x]] end"
    assert [(text.plain[span.start : span.end], span.style) for span in text.spans] == [("learnt [[x]]", "bold green")]


def test_a_long_stretch_is_shortened() -> None:
    from oldham.training.masks import in_marks

    told = in_marks("a" * 500 + "b" * 500)
    assert told == f"⟦{'a' * 300} [... 400 characters ...] {'b' * 300}⟧"
