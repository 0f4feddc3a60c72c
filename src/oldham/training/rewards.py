"""What a sample earns: the contract of a reward, the registry of all of them, and the form in which TRL calls them.

Answers are read as a study reads them, by the same judges, so that what is paid for is what is measured.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from oldham.core.errors import ConfigError
from oldham.core.fingerprint import derive_seed
from oldham.core.registry import Registry
from oldham.training.rendering import chat_format
from oldham.training.samples import asking, read_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from oldham.backends.chat import ChatFormat
    from oldham.benchmarks.resources import TrainingExample
    from oldham.training.methods import OnlineSettings, RewardSpec
    from oldham.training.samples import Sample

_UNTRACKED: Final = re.compile(r"[^\w.:/ -]")
"""What some trackers refuse in the name of a metric."""


class Reward(ABC):
    """Pays for samples.

    Args:
        spec: What the training file says of it.
        fmt: How the model is spoken to.

    Raises:
        ConfigError: It can never pay for this model, or the file says something it does not take.
    """

    takes_target: ClassVar[bool] = False
    """It needs `target`."""
    takes_argument: ClassVar[str] = ""
    """What stands behind a colon after its name, such as `NAME`; empty for nothing."""

    def __init__(self, spec: RewardSpec, fmt: ChatFormat) -> None:
        name, _, self.argument = spec.reward.partition(":")
        if bool(self.argument) != bool(self.takes_argument):
            form = f"{name}:{self.takes_argument}" if self.takes_argument else name
            raise ConfigError(f"`{spec.reward}` names no reward.", remedy=f"Write `{form}`.")
        if (spec.target is not None) != self.takes_target:
            says = "needs" if self.takes_target else "takes no"
            raise ConfigError(f"The reward `{name}` {says} `target`.", remedy=f"Write {{reward: {_form(self, name)}}}.")
        self.spec, self.fmt = spec, fmt

    def applies(self, example: TrainingExample) -> bool:
        """Say whether it can pay for samples of an example; by default for all.

        Args:
            example: A training example.
        """
        return True

    def check(self, examples: Sequence[TrainingExample]) -> None:
        """Refuse examples that it applies to and cannot judge, before anything is sampled.

        Args:
            examples: Those that it applies to.

        Raises:
            OldhamError: One cannot be judged.
        """
        return None

    @abstractmethod
    def score(self, samples: Sequence[Sample]) -> list[float | None]:
        """Pay for samples.

        Args:
            samples: Samples of examples that it applies to.

        Returns:
            One number a sample, in [0, 1]; None where nothing can be said, which pays neither way.
        """


REWARDS: Registry[Reward] = Registry("reward", Reward)  # type: ignore[type-abstract]

for _name, _target, _summary, _citation in (
    ("correct", "Correct", "1 for the right answer, 0 for any other and for none.", "after arXiv 2501.12948"),
    ("format", "Format", "1 for a trace in the model's thinking tags, then an answer.", "after arXiv 2501.12948"),
    ("length", "Length", "1 at `target` tokens, falling to 0 at none and at twice as many.", "after arXiv 2503.04697"),
    ("judge", "Judged", "`judge:NAME`, a registered judge's score of the answer.", "see `oldham list judges`"),
):
    REWARDS.register(_name, f"oldham.training.reward_kinds:{_target}", summary=_summary, citation=_citation)


class RewardFunction:
    """A reward as TRL calls it.

    Args:
        reward: What pays.
        endings: Tokens that end a turn.
    """

    def __init__(self, reward: Reward, endings: Iterable[int]) -> None:
        self.reward, self.endings = reward, frozenset(endings)
        self.__name__ = _UNTRACKED.sub("_", reward.spec.reward)

    def __call__(
        self,
        *,
        prompts: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        example: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """Pay for completions.

        Args:
            prompts: Rendered prompts.
            completion_ids: What was written for each.
            example: The training example of each, as JSON.
            log_metric: Is told the share of samples with a reward, among those that the reward applies to.

        Returns:
            One number a completion, None where the reward does not apply or nothing can be said.
        """
        rows = [json.loads(text) for text in example]
        places = [place for place, row in enumerate(rows) if self.reward.applies(row)]
        samples = [
            read_sample(rows[place], prompts[place], completion_ids[place], self.reward.fmt, self.endings)
            for place in places
        ]
        paid: dict[int, float | None] = dict(zip(places, self.reward.score(samples), strict=True))
        if log_metric is not None and places:
            judged = sum(score is not None for score in paid.values())
            log_metric(f"rewards/{self.__name__}/judged", judged / len(places))
        return [paid.get(place) for place in range(len(rows))]


class RewardFunctions(NamedTuple):
    """The rewards of a run."""

    functions: list[RewardFunction]
    """As TRL takes them."""
    weights: list[float]
    """Of each."""

    def total(self, paid: Sequence[float | None]) -> float:
        """Return what a sample earns.

        Args:
            paid: What each reward pays.

        Returns:
            The weighted sum of those that pay, NaN where none does.
        """
        known = [weight * pay for weight, pay in zip(self.weights, paid, strict=True) if pay is not None]
        return sum(known) if known else math.nan


def reward_functions(settings: OnlineSettings, tokenizer: Any, *, endings: Iterable[int] = ()) -> RewardFunctions:
    """Return the rewards of a run.

    Args:
        settings: The run's settings.
        tokenizer: The model's tokenizer.
        endings: Tokens that end a turn, besides the tokenizer's own.

    Raises:
        UnknownNameError: There is no such reward or judge; the remedy names the nearest.
        ConfigError: A reward can never pay for this model, or is not set as it should be.
    """
    fmt = chat_format(tokenizer)
    ends = {*endings, int(tokenizer.eos_token_id)}
    rewards = [REWARDS.get(spec.reward.partition(":")[0])(spec, fmt) for spec in settings.rewards]
    return RewardFunctions(
        [RewardFunction(reward, ends) for reward in rewards], [spec.weight for spec in settings.rewards]
    )


def check_rewards(rewards: RewardFunctions, examples: Sequence[TrainingExample]) -> None:
    """Refuse examples that no reward can judge.

    Args:
        rewards: The run's rewards.
        examples: The training set.

    Raises:
        ConfigError: No reward applies to an example, or a reward applies to none.
        OldhamError: A reward cannot judge an example that it applies to.
    """
    for function in rewards.functions:
        held = [example for example in examples if function.reward.applies(example)]
        if not held:
            raise ConfigError(
                f"The reward `{function.reward.spec.reward}` applies to none of the examples.",
                remedy='Take examples with a `reference`, such as {"answer": "42"}, or leave the reward out.',
            )
        function.reward.check(held)
    bare = next((row for row in examples if not any(f.reward.applies(row) for f in rewards.functions)), None)
    if bare is not None:
        raise ConfigError(
            f"No reward can judge an example of kind `{bare['kind']}`.",
            remedy="Add a reward for it, such as `judge:refusal` for harmful requests, or leave such examples out.",
        )


def sample_rewards(
    settings: OnlineSettings, examples: Sequence[TrainingExample], model: Any, tokenizer: Any, n_prompts: int
) -> tuple[list[list[float]], list[list[bool]]]:
    """Sample a few prompts as training will, and pay for them; for a look before training.

    Args:
        settings: The run's settings.
        examples: The training set.
        model: The model before training; it is left as it was found.
        tokenizer: Its tokenizer.
        n_prompts: How many prompts, from the first.

    Returns:
        For each prompt what its `settings.samples` samples earn, NaN where no reward could be paid; and for each
        whether it was clipped, having reached `sample_tokens`.

    Raises:
        ConfigError: A reward can never pay, or a prompt is too long.
        ModelError: The model cannot generate.
    """
    from oldham.training.trainers.sampling import Sampler, SamplingOptions  # torch

    asked = list(examples[:n_prompts])
    options = SamplingOptions.of(settings, model, tokenizer)
    rewards = reward_functions(settings, tokenizer, endings=options.endings)
    fmt = chat_format(tokenizer)
    prompts = [asking(example, fmt) for example in asked for _ in range(settings.samples)]
    seeds = [derive_seed("samples before training", settings.seed, place) for place in range(len(prompts))]
    written = Sampler(model, options).draw([fmt.codec.encode(prompt) for prompt in prompts], seeds)
    rows = [json.dumps(example) for example in asked for _ in range(settings.samples)]
    paid = [function(prompts=prompts, completion_ids=written, example=rows) for function in rewards.functions]
    totals = [rewards.total(pays) for pays in zip(*paid, strict=True)]
    clipped = [ids[-1] not in options.endings for ids in written]
    starts = range(0, len(totals), settings.samples)
    return (
        [totals[start : start + settings.samples] for start in starts],
        [clipped[start : start + settings.samples] for start in starts],
    )


def _form(reward: Reward, name: str) -> str:
    return f"{name}, target: 100" if reward.takes_target else name
