"""Methods that learn from their own samples: GRPO and RLOO with TRL's trainers, on samples of the project's engine."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import datasets
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.trainer.utils import RepeatSampler, add_fused_lm_head

from oldham.backends.chat import TokenizerCodec
from oldham.backends.tokenizers import quiet
from oldham.core.errors import ConfigError
from oldham.core.fingerprint import derive_seed
from oldham.training.live import is_sharded
from oldham.training.methods import GRPOSettings, RLOOSettings
from oldham.training.rendering import chat_format
from oldham.training.rewards import check_rewards, reward_functions
from oldham.training.samples import asking
from oldham.training.trainers.common import common_arguments, in_order, load_trainable
from oldham.training.trainers.sampling import Sampler, SamplingOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from oldham.benchmarks.resources import TrainingExample
    from oldham.training.methods import OnlineSettings
    from oldham.training.rewards import RewardFunctions


def make_trainer(
    settings: OnlineSettings, run_dir: Path, examples: list[TrainingExample], callbacks: Sequence[Any] = ()
) -> tuple[Any, Any]:
    """Set a trainer up.

    With `beta`, the reference is the model before training, as in `dpo.make_trainer`.

    Args:
        settings: The run's settings.
        run_dir: The run's directory.
        examples: The training set, in order; rewards find what is right in each `reference`.
        callbacks: transformers callbacks.

    Returns:
        TRL's trainer and the tokenizer. `train_dataset` has `prompt`, rendered, and `example`, as JSON.

    Raises:
        ConfigError: A reward can never pay, no reward can judge an example, a prompt is too long, there are fewer
            prompts than a step takes, or the engine is to sample from a model that is spread over several devices.
        ModelError: The chat template refuses an example.
    """
    model, tokenizer, adapter = load_trainable(settings)
    options = SamplingOptions.of(settings, model, tokenizer)
    rewards = reward_functions(settings, tokenizer, endings=options.endings)
    check_rewards(rewards, examples)
    rows = _rows(settings, examples, tokenizer, model)
    whole = adapter is None and settings.lora is None
    datasets.disable_progress_bars()
    with quiet():
        arguments = _arguments(settings, run_dir, rewards, beta=0.0 if whole else settings.beta)
        kind = _GRPO if isinstance(settings, GRPOSettings) else _RLOO
        trainer = kind(
            model=model,
            reward_funcs=list(rewards.functions),
            args=arguments,
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=list(callbacks),
            peft_config=adapter,
        )
        if whole and settings.beta:
            _add_reference(trainer, settings)
    need = arguments.generation_batch_size // settings.samples
    if len(rows) < need:
        raise ConfigError(
            f"A step takes {need} prompts, and the data has {len(rows)}.",
            remedy="Take more examples, a smaller `batch_size`, or more `samples` of each.",
        )
    if settings.sampler == "engine":
        if is_sharded(trainer):
            raise ConfigError(
                "The engine samples from a model that is whole on one device, and this launch spreads it over several.",
                place="sampler",
                remedy="Set `sampler: transformers`, or launch without FSDP and ZeRO-3.",
            )
        trainer.sampling = options
    return trainer, tokenizer


class _Drawn:
    """What TRL's trainers do otherwise here: who draws samples, from which tokens, and in which order prompts come."""

    sampling: SamplingOptions | None = None
    """None for TRL's own way."""
    _sampler: Sampler | None = None

    def _tokenize_prompts(self: Any, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        # The template has written its special tokens already; TRL would add them once more.
        codec = TokenizerCodec(self._tokenizer, ())
        return [codec.encode(prompt) for prompt in prompts], None, {}

    def _draw(self: Any, prompt_ids: list[list[int]]) -> list[list[int]]:
        started = time.perf_counter()
        first = self.accelerator.process_index * len(prompt_ids)
        seeds = [
            derive_seed("sample", self.args.seed, self.state.global_step, first + place)
            for place in range(len(prompt_ids))
        ]
        if self._sampler is None:
            self._sampler = Sampler(self.accelerator.unwrap_model(self.model), self.sampling)
        drawn: list[list[int]] = self._sampler.draw(prompt_ids, seeds)
        self._metrics["train"]["sampling_time"].append(time.perf_counter() - started)
        return drawn

    def _get_train_sampler(self: Any, dataset: Any = None) -> Any:
        return _ByEpoch(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
        )


class _ByEpoch(RepeatSampler):
    """TRL's order of prompts, drawn anew for each epoch from its number: a resumed run starts in the midst of one."""

    def set_epoch(self, epoch: int) -> None:
        """Go to the order of an epoch, counted from 0."""
        if self.shuffle:
            self.generator.manual_seed(derive_seed("order", self.seed, epoch))


class _GRPO(_Drawn, GRPOTrainer):
    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> tuple[list[list[int]], None]:
        if self.sampling is None:
            told: tuple[list[list[int]], None] = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            return told
        return self._draw(prompt_ids), None


class _RLOO(_Drawn, RLOOTrainer):
    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> list[list[int]]:
        if self.sampling is None:
            told: list[list[int]] = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            return told
        return self._draw(prompt_ids)


def _arguments(settings: OnlineSettings, run_dir: Path, rewards: RewardFunctions, *, beta: float) -> Any:
    told = {
        **common_arguments(settings, run_dir / "checkpoints"),
        "num_generations": settings.samples,
        "max_completion_length": settings.sample_tokens,
        "temperature": settings.temperature,
        "beta": beta,
        "mask_truncated_completions": settings.mask_truncated,
        "reward_weights": rewards.weights,
        "shuffle_dataset": not in_order(settings),
    }
    if isinstance(settings, GRPOSettings):
        return GRPOConfig(**told, epsilon=settings.epsilon, loss_type=settings.loss, scale_rewards=settings.scale)
    assert isinstance(settings, RLOOSettings)
    return RLOOConfig(**told)


def _rows(
    settings: OnlineSettings, examples: list[TrainingExample], tokenizer: Any, model: Any
) -> list[dict[str, str]]:
    fmt = chat_format(tokenizer)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    rows = []
    for example in examples:
        prompt = asking(example, fmt)
        length = len(fmt.codec.encode(prompt))
        if length > settings.max_length:
            raise ConfigError(
                f"A prompt has {length} tokens, and `max_length` is {settings.max_length}.",
                remedy="Raise `max_length`, or leave such examples out: a prompt cannot be cut.",
            )
        if limit is not None and length + settings.sample_tokens > limit:
            raise ConfigError(
                f"A prompt and its sample can take {length + settings.sample_tokens} tokens, and the model reads "
                f"{limit}.",
                remedy="Lower `sample_tokens`, or leave such examples out.",
            )
        rows.append({"prompt": prompt, "example": json.dumps(example, ensure_ascii=False)})
    return rows


def _add_reference(trainer: Any, settings: OnlineSettings) -> None:
    """Give the trainer the model before training; it would look for one on the hub, by the model's name."""
    reference, _, _ = load_trainable(settings)
    reference.requires_grad_(requires_grad=False).eval()
    add_fused_lm_head(reference, temperature=settings.temperature)
    trainer.ref_model = trainer.accelerator.prepare_model(reference, evaluation_mode=True)
    trainer.beta = trainer.args.beta = settings.beta
