"""The training methods and their own settings; the command says which."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from oldham.core.records import Record
from oldham.training.config import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class SFTSettings(TrainingSettings):
    """Supervised fine-tuning on completions."""

    method: ClassVar[str] = "sft"
    packing: bool = False
    """Fill rows of `max_length` tokens with several examples; attention does not cross from one to the next."""
    loss_on: Literal["completion", "all"] = "completion"
    """Which tokens carry loss; `all` takes the prompt's too."""
    train_tokens: int | None = Field(default=None, ge=1)
    """Take examples, in training order, only until they hold so many tokens with loss, and train on those for as many
    steps as one pass takes: what makes short and long traces comparable. None takes all for `steps`."""

    @model_validator(mode="after")
    def _order_survives(self) -> SFTSettings:
        if self.packing and self.mix is not None and self.mix.order != "mixed":
            raise ValueError("packing sorts examples by length, so `mix.order` can only be `mixed` with it")
        if self.train_tokens is not None and self.mix is not None and self.mix.order != "mixed":
            raise ValueError(
                "`train_tokens` takes the first examples alone, so `mix.order` can only be `mixed` with it"
            )
        return self

    @property
    def _known_steps(self) -> int | None:
        return self.steps if self.train_tokens is None else None


class DPOSettings(TrainingSettings):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).

    Its examples have `rejected`: what the model should not say.
    """

    method: ClassVar[str] = "dpo"
    learning_rate: float = Field(default=5e-6, gt=0.0)
    """Peak learning rate."""
    beta: float = Field(default=0.1, gt=0.0)
    """How far the policy may go from the reference."""
    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    """Which loss."""


class RewardSpec(Record):
    """One reward and its weight."""

    model_config = ConfigDict(allow_inf_nan=False)
    reward: str
    """A registered reward, see `oldham list rewards`: `correct`, `format`, `length`, or `judge:NAME`."""
    weight: float = 1.0
    """What it is multiplied by before rewards are summed."""
    target: int | None = Field(default=None, ge=1)
    """Tokens that `length` aims at."""


class OnlineSettings(TrainingSettings):
    """What methods that learn from their own samples share."""

    rewards: tuple[RewardSpec, ...] = (RewardSpec(reward="correct"),)
    """What a sample earns."""
    samples: int = Field(default=8, ge=2)
    """Samples of each prompt. `batch_size` counts samples, and is a multiple of this."""
    sample_tokens: int = Field(default=128, ge=1)
    """Most tokens of a sample."""
    temperature: float = Field(default=1.0, gt=0.0)
    """Sampling temperature."""
    beta: float = Field(default=0.0, ge=0.0)
    """Weight of the divergence from the reference."""
    mask_truncated: bool = False
    """Take no gradient from samples that reached `sample_tokens`."""
    sampler: Literal["engine", "transformers"] = "engine"
    """Who draws samples: Oldham's engine, or `transformers` for TRL's own way."""

    @model_validator(mode="after")
    def _whole_groups(self) -> OnlineSettings:
        if self.batch_size % self.samples:
            raise ValueError(f"`batch_size` counts samples and must be a multiple of `samples` ({self.samples})")
        return self


class GRPOSettings(OnlineSettings):
    """Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300)."""

    method: ClassVar[str] = "grpo"
    learning_rate: float = Field(default=1e-5, gt=0.0)
    """Peak learning rate."""
    epsilon: float = Field(default=0.2, gt=0.0)
    """Clipping of the ratio."""
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"] = "dapo"
    """How token losses are averaged; `dapo` is the mean over tokens (arXiv 2503.14476)."""
    scale: Literal["group", "batch", "none"] = "group"
    """What advantages are divided by."""


class RLOOSettings(OnlineSettings):
    """REINFORCE leave-one-out (Ahmadian et al. 2024, arXiv 2402.14740)."""

    method: ClassVar[str] = "rloo"
    learning_rate: float = Field(default=1e-5, gt=0.0)
    """Peak learning rate."""


METHODS: Final[Mapping[str, type[TrainingSettings]]] = {
    settings.method: settings for settings in (SFTSettings, DPOSettings, GRPOSettings, RLOOSettings)
}
"""The settings of each method by the command's name for it."""
