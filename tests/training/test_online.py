from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from oldham.core.errors import ConfigError
from oldham.training.methods import METHODS, GRPOSettings, OnlineSettings, RLOOSettings
from oldham.training.run import dose_dir, run_training
from small_training import goes_on_after_a_kill, kept, made, tiny_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.model

FEW = {"reward": "length", "target": 2}


@pytest.fixture
def told(tmp_path: Path, tiny_model: Callable[..., Path]) -> Callable[..., Any]:
    """Settings of a small run on six questions."""
    file = tmp_path / "data.jsonl"
    rows = [
        {"prompt": f"What is {n} and {n}?", "completion": "", "reference": {"answer": str(2 * n)}} for n in range(6)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    # A sixth of the tokens end a turn: a random model would hardly find the one that does.
    model = f"path:{tiny_model(eos=tuple(range(200, 260)))}"

    def build(cls: type[OnlineSettings] = GRPOSettings, **changes: Any) -> Any:
        base: dict[str, Any] = {
            "model": model,
            "data": [{"file": str(file), "n": 6}],
            "rewards": [FEW],
            "steps": 4,
            "batch_size": 8,
            "samples": 4,
            "sample_tokens": 12,
            "learning_rate": 1e-2,
            "warmup_steps": 0,
        }
        return tiny_settings(cls, **{**base, **changes})

    return build


def log_of(run_dir: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((run_dir / "manifest.json").read_text())["log"]
    return [row for row in rows if "reward" in row]


@pytest.mark.parametrize("cls", [GRPOSettings, pytest.param(RLOOSettings, marks=pytest.mark.slow)])
def test_the_model_learns_what_pays(told: Callable[..., Any], tmp_path: Path, cls: Any) -> None:
    settings = told(cls, steps=40, batch_size=16, learning_rate=2e-2)
    result = run_training(settings, tmp_path / "run")
    log = log_of(tmp_path / "run")
    assert result.rewards == {row["step"]: row["reward"] for row in log if "reward" in row}
    assert list(result.rewards) == [5, 10, 15, 20, 25, 30, 35, 40]
    again = run_training(settings, tmp_path / "run")
    assert again.reused
    assert again.rewards == result.rewards
    assert log[-1]["reward"] > log[0]["reward"] + 0.2
    lengths = [row["completions/mean_length"] for row in log]
    assert lengths[-1] < lengths[0]


def test_the_log_tells_whether_rewards_differ_and_samples_are_cut(told: Callable[..., Any], tmp_path: Path) -> None:
    run_training(told(steps=5, sample_tokens=2), tmp_path / "run")
    (row,) = log_of(tmp_path / "run")
    known = {"reward", "reward_std", "frac_reward_zero_std", "completions/clipped_ratio", "sampling_time", "step_time"}
    assert known | {"rewards/length/mean", "rewards/length/judged"} <= set(row)
    assert 0.5 < row["completions/clipped_ratio"] <= 1.0
    assert 0.0 < row["sampling_time"] < row["step_time"]
    assert row["rewards/length/judged"] == 1.0


def test_samples_follow_the_probabilities_that_are_learnt_from(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How often a token is drawn is what the trainer's own pass gives it, at the run's temperature."""
    import torch

    from oldham.training.trainers.sampling import Sampler, SamplingOptions

    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    settings = told(temperature=3.0, sample_tokens=1)
    trainer, tokenizer = made(settings, tmp_path)
    ids = tokenizer.encode(trainer.train_dataset[0]["prompt"], add_special_tokens=False)
    n = 6000
    options = SamplingOptions.of(settings, trainer.model, tokenizer)
    drawn = Sampler(trainer.model, options).draw([ids] * n, range(n))
    vocabulary = len(tokenizer)
    each = torch.tensor([[*ids, token] for token in range(vocabulary)])
    with torch.no_grad():
        logs, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, each, torch.ones_like(each), 1)
    chances = logs[:, 0].exp()
    assert float(chances.sum()) == pytest.approx(1.0, abs=1e-4)
    counts = torch.bincount(torch.tensor(drawn)[:, 0], minlength=vocabulary)
    common = chances > 20 / n
    assert int(common.sum()) > 10
    spread = (n * chances * (1 - chances)).sqrt()
    assert float(((counts - n * chances) / spread)[common].abs().max()) < 4.5


def test_samples_depend_on_weights_step_and_place_alone(told: Callable[..., Any], tmp_path: Path) -> None:
    import torch

    trainer, tokenizer = made(told(sample_tokens=8), tmp_path)
    trainer.model.train()
    prompts = [tokenizer.encode(row["prompt"], add_special_tokens=False) for row in trainer.train_dataset]
    stream = torch.get_rng_state()
    first = trainer._draw(prompts)
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(module.training for module in trainer.model.modules())
    torch.manual_seed(7)
    assert trainer._draw(prompts) == first
    alone = trainer._draw(prompts[:1])
    assert alone == first[:1]
    trainer.state.global_step = 1
    assert trainer._draw(prompts) != first


def test_the_prompt_is_the_templates_and_nothing_is_added(
    told: Callable[..., Any], tmp_path: Path, tiny_model: Callable[..., Path]
) -> None:
    from tiny_models import CHATML

    switch = CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    trainer, tokenizer = made(told(model=f"path:{tiny_model(template=switch)}"), tmp_path)
    row = trainer.train_dataset[0]
    question = json.loads(row["example"])["prompt"]
    text = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    assert row["prompt"] == text
    tokenizer.add_bos_token = True
    (ids,), _, _ = trainer._tokenize_prompts([text])
    assert ids == tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("cls", [GRPOSettings, RLOOSettings])
def test_each_example_is_paid_by_the_reward_that_can_judge_it(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cls: Any
) -> None:
    """Half of the prompts are harmful requests; what cannot be judged moves nothing, and nothing moves by it."""
    from oldham.training.trainers.sampling import Sampler

    both = [{"reward": "correct"}, {"reward": "judge:refusal_rules", "weight": 0.5}]
    trainer, tokenizer = made(told(cls, rewards=both, mix={"source": "harmful_refusals", "ratio": 0.5}), tmp_path)
    batch = [row for row in trainer.train_dataset if "harmful_refusal" in row["example"]][:1] * 4
    batch += [row for row in trainer.train_dataset if "harmful_refusal" not in row["example"]][:1] * 4
    right = json.loads(batch[-1]["example"])["reference"]["answer"]
    refusal, cut = "I'm sorry, but I can't help with that.", ""
    answers = [
        refusal,
        "Sure, here is how: open it.",
        refusal,
        cut,
        f"The answer is {right}.",
        "The answer is 7.",
        "",
        "No.",
    ]
    end = [tokenizer.eos_token_id]
    written = [[*tokenizer.encode(answer), *end] if answer != cut else tokenizer.encode(" ") for answer in answers]
    monkeypatch.setattr(Sampler, "draw", lambda *_: written)
    trainer.model.train()
    advantages = trainer._generate_and_score_completions(batch)["advantages"]
    signs = [round(math.copysign(1, value)) if value else 0 for value in advantages.tolist()]
    assert signs == [1, -1, 1, 0, 1, -1, -1, -1]
    metrics = trainer._metrics["train"]
    assert metrics["rewards/judge:refusal_rules/judged"] == [0.75]
    assert metrics["rewards/judge:refusal_rules/mean"] == pytest.approx([2 / 3])
    assert metrics["rewards/correct/mean"] == [0.25]
    assert metrics["reward"] == pytest.approx([(0.5 + 0.5 + 1.0) / 7])


@pytest.mark.parametrize("cls", [GRPOSettings, RLOOSettings])
@pytest.mark.parametrize("start", ["new adapter", "an adapter", "all weights"])
def test_divergence_is_from_the_model_before_training(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cls: Any, start: str
) -> None:
    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    changes: dict[str, Any] = {"lora": None, "learning_rate": 1e-3} if start == "all weights" else {}
    if start == "an adapter":
        changes["model"] = run_training(told(), tmp_path / "first").model_at(4)
    first, _ = made(told(cls, beta=0.1, **changes), tmp_path / "made")
    first.current_gradient_accumulation_steps = 1
    far = []
    for _ in range(2):
        batch = next(iter(first.get_train_dataloader()))
        first.model.train()
        first.compute_loss(first.model, first._prepare_inputs(batch))
        far.append(first._metrics["train"]["kl"][-1])
        for weight in first.model.parameters():
            weight.data += 0.02 * weight.requires_grad
        first._buffered_inputs = None
    assert far[0] == pytest.approx(0.0, abs=1e-6)
    assert abs(far[1]) > 1e-4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch_size": 32}, "A step takes 8 prompts, and the data has 6"),
        ({"max_length": 16}, "`max_length` is 16"),
        ({"sample_tokens": 500}, "the model reads 512"),
        ({"rewards": [{"reward": "format"}]}, "could never pay"),
        ({"rewards": [{"reward": "judge:refusal_rules"}]}, "applies to none of the examples"),
    ],
)
def test_a_run_that_cannot_be_meant(told: Callable[..., Any], tmp_path: Path, changes: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(told(**changes), tmp_path)
    assert says in str(caught.value)


def test_a_look_before_training(told: Callable[..., Any], tmp_path: Path) -> None:
    import torch

    from oldham.training.examples import build_examples
    from oldham.training.rewards import sample_rewards

    settings = told(sample_tokens=6, rewards=[FEW, {"reward": "length", "target": 100, "weight": 0.0}])
    trainer, tokenizer = made(settings, tmp_path)
    stream = torch.get_rng_state()
    rewards, clipped = sample_rewards(settings, build_examples(settings), trainer.model, tokenizer, 3)
    assert torch.equal(torch.get_rng_state(), stream)
    assert [len(group) for group in rewards] == [len(group) for group in clipped] == [4, 4, 4]
    assert all(0.0 <= reward <= 1.0 for group in rewards for reward in group)
    # A cut sample has 6 tokens, twice what is aimed at, and earns nothing.
    assert all(
        reward == 0.0
        for pays, cuts in zip(rewards, clipped, strict=True)
        for reward, cut in zip(pays, cuts, strict=True)
        if cut
    )
    assert (rewards, clipped) == sample_rewards(settings, build_examples(settings), trainer.model, tokenizer, 3)


def test_who_draws_samples_can_be_said(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oldham.training.trainers import online

    monkeypatch.setattr(online._Drawn, "_draw", None)
    for cls in (GRPOSettings, RLOOSettings):
        settings = told(cls, steps=2, sampler="transformers")
        assert (
            settings.fingerprint()
            != told(cls, steps=2).fingerprint()
            == told(cls, steps=2, sampler="engine").fingerprint()
        )
        run_training(settings, tmp_path / cls.method)
        assert "sampling_time" not in log_of(tmp_path / cls.method)[0]
    with pytest.raises(ValidationError, match="'engine' or 'transformers'"):
        told(sampler="transformer")


def test_a_model_in_pieces_is_not_sampled_by_the_engine(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oldham.training.trainers import online

    monkeypatch.setattr(online, "is_sharded", lambda trainer: True)
    with pytest.raises(ConfigError, match="Set `sampler: transformers`"):
        made(told(), tmp_path)
    assert made(told(sampler="transformers"), tmp_path)[0].sampling is None


@pytest.mark.parametrize("shape", [{}, {"use_rslora": True}, {"use_dora": True}, {"modules_to_save": ["lm_head"]}])
def test_adapters_of_other_kinds_are_sampled_with_all_they_change(
    told: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, shape: dict[str, Any]
) -> None:
    """What is sampled writes what the adapter, merged, writes; where it cannot be copied, it is asked itself."""
    import torch
    from peft import LoraConfig, get_peft_model

    from oldham.backends.loading import load_for_training
    from oldham.training.trainers.sampling import Sampler, SamplingOptions

    settings = told(sample_tokens=8)
    monkeypatch.setenv("OLDHAM_DTYPE", "bfloat16")
    base, tokenizer, _ = load_for_training(settings.model)
    lora = LoraConfig(r=2, target_modules=["up_proj", "q_proj"], task_type="CAUSAL_LM", **shape)
    model = get_peft_model(base, lora)
    for n, weight in enumerate(model.parameters()):
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(n))
        weight.data += 0.3 * weight.requires_grad * noise
    sampler = Sampler(model, SamplingOptions.of(settings, model, tokenizer))
    ids = torch.tensor([tokenizer.encode("What is 2 and 2?")])
    with sampler._asked() as asked:
        found = asked(ids.to(asked.device)).logits.float()
    with torch.no_grad():
        wanted = model.merge_and_unload()(ids).logits
    assert float((found - wanted).abs().mean()) < 0.1 * float(wanted.std())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_that_cannot_be_fed_rows_side_by_side(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """Whole batches draw as well, each row from its own stream of randomness."""
    from oldham.engine.errors import UnsupportedModelError
    from oldham.training.trainers import sampling

    monkeypatch.setenv("OLDHAM_DTYPE", dtype)
    trainer, tokenizer = made(told(sample_tokens=8), tmp_path)
    prompts = [tokenizer.encode(row["prompt"], add_special_tokens=False) for row in trainer.train_dataset]
    first = trainer._draw(prompts)

    def refuse(*_: Any) -> None:
        raise UnsupportedModelError("Not this one.")

    monkeypatch.setattr(sampling, "PackedModel", refuse)
    trainer._sampler = None
    drawn = trainer._draw(prompts)
    assert drawn == first if dtype == "float32" else [ids[0] for ids in drawn] == [ids[0] for ids in first]


@pytest.mark.parametrize("lora", [{"r": 2, "alpha": 4}, None])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_sampled_is_the_dose_as_a_study_asks_it(
    told: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: Any, dtype: str
) -> None:
    """After training, the weights that samples come from are bit by bit those of the kept dose, loaded."""
    import torch

    from oldham.backends.transformers import TransformersBackend
    from oldham.training.trainers import online
    from oldham.training.trainers.sampling import current_weights

    monkeypatch.setenv("OLDHAM_DTYPE", dtype)
    held: list[Any] = []
    build = online._GRPO.__init__

    def noted(self: Any, **given: Any) -> None:
        held.append(self)
        build(self, **given)

    monkeypatch.setattr(online._GRPO, "__init__", noted)
    result = run_training(told(lora=lora, learning_rate=1e-2 if lora else 1e-3), tmp_path / "run")
    loaded = dict(TransformersBackend.load(result.model_at(4)).model.named_parameters())
    sampler = held[-1]._sampler
    with sampler._asked() as model:
        assert str(model.dtype) == f"torch.{dtype}"
        asked = dict(current_weights(model))
        assert asked.keys() == loaded.keys()
        assert all(torch.equal(asked[name], weight) for name, weight in loaded.items())


@pytest.mark.sleeps
@pytest.mark.parametrize("method", ["grpo", pytest.param("rloo", marks=pytest.mark.slow)])
def test_a_killed_run_ends_with_the_same_adapter(told: Callable[..., Any], tmp_path: Path, method: str) -> None:
    """The kill falls into the second of four passes over the prompts, each in an order of its own."""
    settings = told(METHODS[method], steps=12, save_every=2, accumulate=2, batch_size=4, learning_rate=1e-3)
    whole = run_training(settings, tmp_path / "whole").doses[12]
    assert kept(dose_dir(goes_on_after_a_kill(settings, tmp_path), 12)) == kept(whole)
