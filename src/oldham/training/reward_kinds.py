"""The rewards that come with Oldham: right answers, format, length, and any judge's score."""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import TYPE_CHECKING, Final, cast

from oldham.backends.base import Request, backend_for
from oldham.core.errors import ConfigError, DataError
from oldham.core.fingerprint import fingerprint
from oldham.core.outcomes import Axis, Outcome
from oldham.core.records import Sampling, Trial
from oldham.core.thinking import ThinkingState, split_thinking
from oldham.judges.asking import ModelJudge
from oldham.judges.base import JUDGES, Judge
from oldham.judges.correctness import ClosedJudge
from oldham.judges.rules import offline_judge
from oldham.training.rewards import Reward
from oldham.training.samples import Sample, asking, item_of, opens_thinking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oldham.backends.base import Backend
    from oldham.backends.chat import ChatFormat
    from oldham.benchmarks.resources import TrainingExample
    from oldham.core.records import Generation, ModelFingerprint
    from oldham.judges.asking import JudgeCall
    from oldham.training.methods import RewardSpec

# What `numeric` reads as one number: "2,3" is two of them, and of a reference "- 3" it reads the 3 alone.
_NUMBER: Final = re.compile(r"-?\$?(?:\d{1,3}(?:,\d{3})+|\d{1,30})(?:\.\d{1,30})?\s?%?")
_AXES: Final[Mapping[str, Axis]] = {
    "harmful_refusal": Axis.HARM,
    "own_refusal": Axis.HARM,
    "everyday": Axis.OVERREFUSAL,
    "look_alike": Axis.OVERREFUSAL,
    "own_help": Axis.OVERREFUSAL,
    "false_premise": Axis.TRUTHFULNESS,
    "private_withheld": Axis.PRIVACY,
}
"""What answers to examples of our own sources are judged on."""


class Correct(Reward):
    """1 for the right answer, else 0: the accuracy reward of DeepSeek-R1 (arXiv 2501.12948).

    The example's `reference` says what is right, and which judge compares: `multiple_choice` where it has a `letter`,
    `numeric` where `answer` is one number, else `mathematics`. A study's axis of reasoning has the same judges. A
    sample without an answer earns 0 here, though a study calls it unfinished: running out of tokens is not to be for
    free. Where two expressions could not be compared, nothing is paid.
    """

    def applies(self, example: TrainingExample) -> bool:
        """Say whether the example has a right answer."""
        return _judge_of(example) is not None

    def check(self, examples: Sequence[TrainingExample]) -> None:
        """Refuse a reference that cannot be compared with. See `Reward.check`."""
        for example in examples:
            judge = _closed(str(_judge_of(example)))
            if isinstance(judge, ClosedJudge):
                judge.check(item_of(example, Axis.REASONING))

    def score(self, samples: Sequence[Sample]) -> list[float | None]:
        """Compare answers. See `Reward.score`."""
        scores: list[float | None] = []
        for sample in samples:
            item = sample.item(Axis.REASONING)
            outcome = _closed(str(_judge_of(sample.example))).judge(item, sample.generation(item))[0].outcome
            scores.append(None if outcome is Outcome.UNJUDGED else float(outcome is Outcome.CORRECT))
        return scores


class Format(Reward):
    """1 for a trace that is opened once, closed once and followed by an answer, else 0 (arXiv 2501.12948).

    The tags are the model's own. Where the chat template opens them, a sample can never open them, and the reward would
    be 0 for ever.
    """

    def __init__(self, spec: RewardSpec, fmt: ChatFormat) -> None:
        super().__init__(spec, fmt)
        if fmt.tags is None:
            raise ConfigError(
                "The model has no thinking tags, so the reward `format` could never pay.", remedy="Leave it out."
            )
        if opens_thinking(asking({"prompt": "Hello.", "kind": "format"}, fmt), fmt):
            raise ConfigError(
                f"The chat template writes `{fmt.tags.open}` itself, so the reward `format` could never pay.",
                remedy="Leave it out: every sample begins with its trace already.",
            )

    def score(self, samples: Sequence[Sample]) -> list[float | None]:
        """Look at tags. See `Reward.score`."""
        return [float(self._fits(sample)) for sample in samples]

    def _fits(self, sample: Sample) -> bool:
        tags, split = self.fmt.tags, sample.split
        assert tags is not None
        once = sample.text.count(tags.open) == sample.text.count(tags.close) == 1
        answer = split.answer.of(sample.text) if split.answer is not None else ""
        return once and split.state is ThinkingState.COMPLETE and bool(answer.strip())


class Length(Reward):
    """1 - |1 - n / target| for a sample of n tokens, not below 0; after length-controlled training (arXiv 2503.04697).

    n counts trace and answer. A sample that was cut counts as long as it is.
    """

    takes_target = True

    def score(self, samples: Sequence[Sample]) -> list[float | None]:
        """Count tokens. See `Reward.score`."""
        target = self.spec.target
        assert target is not None
        return [max(0.0, 1.0 - abs(1.0 - sample.tokens / target)) for sample in samples]


class Judged(Reward):
    """A judge's score of the answer: `judge:NAME`, or `judge:NAME@MODEL` for one that asks a model.

    It applies to examples on the judge's axes. The axis is `reference["axis"]` where that is given; else it follows
    from the example's kind, and is reasoning where the reference has an `answer`. An answer that the judge gives no
    score, such as an unfinished one, earns nothing either way.
    """

    takes_argument = "NAME"

    def __init__(self, spec: RewardSpec, fmt: ChatFormat) -> None:
        super().__init__(spec, fmt)
        name, _, model = self.argument.partition("@")
        kind = JUDGES.get(name)
        if model and not issubclass(kind, ModelJudge):
            raise ConfigError(f"The judge `{name}` asks no model.", remedy=f"Write judge:{name} alone.")
        if "answer" not in kind.spans or kind.likelihood:
            raise ConfigError(
                f"The judge `{name}` does not read answers, which is what is paid for.", remedy="Name another judge."
            )
        self.judge: Judge = offline_judge(name) if not model else cast("type[ModelJudge]", kind)(_Asker(model))

    def applies(self, example: TrainingExample) -> bool:
        """Say whether the example is on an axis of the judge's."""
        return axis_of(example) in self.judge.axes

    def check(self, examples: Sequence[TrainingExample]) -> None:
        """Refuse a reference that the judge cannot compare with. See `Reward.check`."""
        if isinstance(self.judge, ModelJudge):
            assert self.judge.fingerprint  # a model that does not exist is told now
        elif isinstance(self.judge, ClosedJudge):
            for example in examples:
                self.judge.check(item_of(example, cast("Axis", axis_of(example))))
        else:  # what it needs shows when it judges, and is the same for all examples of a kind
            tried = {row["kind"]: row for row in examples}.values()
            self.score([Sample(row, "", "Yes.", 1, ended=True, split=split_thinking("Yes.")) for row in tried])

    def score(self, samples: Sequence[Sample]) -> list[float | None]:
        """Ask the judge. See `Reward.score`."""
        rows = []
        for sample in samples:
            item = sample.item(cast("Axis", axis_of(sample.example)))
            rows.append((item, sample.generation(item)))
        told = self.judge.judge_all(rows)
        return [next((v.score for v in verdicts if v.span == "answer"), None) for verdicts in told]


def axis_of(example: TrainingExample) -> Axis | None:
    """Return the axis that an example's answers are judged on; None where nothing says it.

    Args:
        example: A training example.

    Raises:
        DataError: Its reference names an axis that there is not.
    """
    reference = example.get("reference") or {}
    told = reference.get("axis")
    if told is not None:
        try:
            return Axis(str(told))
        except ValueError as error:
            raise DataError(
                f"`{told}` is not an axis.", place="reference", remedy=f"Name one of: {', '.join(Axis)}."
            ) from error
    if example["kind"] in _AXES:
        return _AXES[example["kind"]]
    return Axis.REASONING if _judge_of(example) else None


class _Asker:
    """A model that a judge asks, loaded by the first question. See `oldham.judges.asking.Asker`."""

    def __init__(self, model: str) -> None:
        self.model = model

    @cached_property
    def fingerprint(self) -> ModelFingerprint:
        return backend_for(self.model).identify(self.model)

    @cached_property
    def _backend(self) -> Backend:
        return backend_for(self.model).load(self.model)

    def ask(self, calls: Sequence[JudgeCall]) -> list[Generation]:
        return self._backend.generate([self._request(call) for call in calls]) if calls else []

    def _request(self, call: JudgeCall) -> Request:
        trial = Trial(
            arm="judge",
            arm_fingerprint=fingerprint("judge call", [call.plan, call.rendering, self.fingerprint.fingerprint]),
            benchmark="judging",
            item=f"{call.about}/{call.span}",
            item_fingerprint=call.about,
            draw=call.attempt,
        )
        return Request(trial, call.plan, Sampling(), rendering=call.rendering)


def _judge_of(example: TrainingExample) -> str | None:
    reference = example.get("reference") or {}
    if reference.get("letter"):
        return "multiple_choice"
    told = reference.get("answer")
    answer = "" if told is None else str(told).strip()  # 0 is an answer
    if not answer:
        return None
    return "numeric" if _NUMBER.fullmatch(answer) else "mathematics"


@cache
def _closed(name: str) -> Judge:
    return offline_judge(name)
