"""Completions that the model under training writes itself, so that its manner of helping or refusing is kept."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple

from oldham.backends.base import Request, backend_for
from oldham.backends.chat import native_tags
from oldham.core.errors import ConfigError, ModelError
from oldham.core.fingerprint import fingerprint
from oldham.core.outcomes import Axis, Outcome
from oldham.core.records import Sampling, StopReason, Trial
from oldham.judges.rules import offline_judge
from oldham.prompts import PromptOptions, build_plan
from oldham.training.reward_kinds import axis_of
from oldham.training.samples import item_of
from oldham.training.sources import Answered, OwnSource, SourceInfo
from oldham.training.written import LICENCE, benign_prompts, harmful_refusals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oldham.backends.base import Backend
    from oldham.benchmarks.resources import TrainingExample
    from oldham.core.records import Generation, Item
    from oldham.judges.base import Judge

SAFETY_INSTRUCTION: Final = (
    "If the request below could hurt somebody, notice the risk and refuse it clearly, in one or two sentences. "
    "If it is harmless, help as well as you can."
)
"""Stands before each prompt while the model answers, and not in the training example; after RealSafe-R1."""
THINKING_TOKENS: Final = 1024
"""Most tokens of a trace of a model that thinks; an answer after a longer one is thrown away."""
_JUDGE: Final = "refusal_rules"
_TRACE_JUDGE: Final = "trace_stages"


def own_answers(model: str, examples: list[TrainingExample], answer_tokens: int) -> list[TrainingExample]:
    """Let a model answer by itself, greedily.

    Args:
        model: A model name as in a study file.
        examples: Prompts, perhaps with context; completions are replaced, and traces that led to them are left out.
        answer_tokens: Most tokens of an answer. One that reaches them is kept as far as it goes.

    Returns:
        The examples with the answers; those with an empty one are left out.

    Raises:
        ConfigError: An example asks for harm or for a secret, where whatever the model says would be learnt.
        ModelError: There is no such model, or it cannot generate.
    """
    risky = next((example for example in examples if _needs_judging(example)), None)
    if risky is not None:
        raise ConfigError(
            f"Own answers to requests of kind `{risky['kind']}` could be harmful, and nothing would sift them.",
            remedy="Leave `answers` out, or take the source `own_safe`, which keeps refusals alone.",
        )
    answered: list[TrainingExample] = []
    options = PromptOptions(answer_tokens=answer_tokens)
    with closing(backend_for(model).load(model)) as backend:
        items = [item_of(example, Axis.OVERREFUSAL, str(number)) for number, example in enumerate(examples)]
        for place, generation in enumerate(_generated(backend, items, options)):
            if generation.stop is StopReason.ERROR:
                raise ModelError(f"The model could not answer a training example ({generation.error}).")
            text = (generation.answer_text or "").strip()
            if text:
                own: TrainingExample = {**examples[place], "completion": text}
                own.pop("trace", None)
                answered.append(own)
    return answered


class OwnSafe(OwnSource):
    """The model's own refusals and helpful answers, written under a safety instruction and filtered by a judge.

    After ThinkSafe (arXiv 2601.23143) and RealSafe-R1 (arXiv 2504.10081), whose instruction is paraphrased. Half of the
    examples are refusals of harmful requests (`own_refusal`) and half are answers to benign ones (`own_help`); where a
    kind is named, all of them are. The trace of a model that thinks is kept, unless it may work out harmful help before
    a refusal: rules read it (`trace_stages`, a heuristic), and one that they cannot read is thrown away too. Greedy, so
    that the same model gives the same data.

    Args:
        judge: Registered offline judge that can tell refusing from helping.
    """

    info = SourceInfo(kinds=("own_refusal", "own_help"), licence=LICENCE, n_examples=440)

    def __init__(self, judge: str = _JUDGE) -> None:
        self.judge = judge

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Return the prompts, harmful and benign in turn, without completions. See `Source.draw`."""
        pairs = zip(_prompts("own_refusal"), _prompts("own_help"), strict=True)
        return [example for pair in pairs for example in pair]

    def answered(self, model: str, n: int, kind: str | None = None, *, answer_tokens: int = 64) -> Answered:
        """Answer prompts until enough answers are fit. See `OwnSource.answered`.

        Raises:
            ConfigError: The judge cannot tell refusing from helping.
        """
        judge = offline_judge(self.judge)
        if not judge.axes >= {Axis.HARM, Axis.OVERREFUSAL}:
            raise ConfigError(
                f"The judge `{self.judge}` cannot tell refusing from helping.", remedy=f"Take `{_JUDGE}`."
            )
        wanted = {"own_refusal": (n + 1) // 2, "own_help": n // 2} if kind is None else {kind: n}
        with closing(backend_for(model).load(model)) as backend:
            asked = [_fit(backend, judge, name, most, answer_tokens) for name, most in wanted.items() if most]
        turns = chain.from_iterable(zip_longest(*(one.kept for one in asked)))
        examples = [example for example in turns if example is not None]
        return Answered(examples, " ".join(one.told() for one in asked))


class _Asked(NamedTuple):
    kind: str
    kept: list[TrainingExample]
    lost: Counter[str]

    def told(self) -> str:
        """Say what was kept and what was thrown away."""
        kept, lost = len(self.kept), self.lost.total()
        what = "refusals of harmful requests" if self.kind == "own_refusal" else "answers to benign requests"
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(self.lost.items()))
        return f"Of {kept + lost} own {what}, {kept} were kept and {lost} thrown away{f' ({why})' if why else ''}."


def _fit(backend: Backend, judge: Judge, kind: str, most: int, answer_tokens: int) -> _Asked:
    """Ask until `most` answers are what they should be, or no prompt is left."""
    axis, good = (Axis.HARM, Outcome.REFUSED) if kind == "own_refusal" else (Axis.OVERREFUSAL, Outcome.COMPLIED_SAFE)
    prompts = _prompts(kind)
    items = [item_of(example, axis, f"{kind}-{number}") for number, example in enumerate(prompts)]
    asked = _Asked(kind, [], Counter())
    for place, generation in enumerate(_generated(backend, items, _options(backend, answer_tokens), instructed=True)):
        verdict = judge.judge(items[place], generation)[0]
        if generation.trace_stop is StopReason.BUDGET_FORCED:
            asked.lost["with a trace that was cut"] += 1
        elif verdict.outcome is not good:
            asked.lost[str(verdict.outcome).replace("_", " ")] += 1
        elif kind == "own_refusal" and not _harmless_trace(items[place], generation):
            asked.lost["with a trace that may work out the harm"] += 1
        else:
            asked.kept.append(_completed(prompts[place], generation))
        if len(asked.kept) == most:
            break
    return asked


def _needs_judging(example: TrainingExample) -> bool:
    kind = example["kind"]
    named = "harmful" in kind and "unharmful" not in kind  # also of a published set, such as `vanilla_harmful`
    return named or axis_of(example) in (Axis.HARM, Axis.PRIVACY)


def _harmless_trace(item: Item, generation: Generation) -> bool:
    """Say whether what was thought before a refusal can be learnt; thinking nothing can."""
    verdicts = offline_judge(_TRACE_JUDGE).judge(item, generation)
    return all(verdict.outcome in (Outcome.REFUSED, Outcome.COMPLIED_SAFE) for verdict in verdicts)


def _completed(example: TrainingExample, generation: Generation) -> TrainingExample:
    completed: TrainingExample = {**example, "completion": (generation.answer_text or "").strip()}
    trace = (generation.trace_text or "").strip()
    if trace:
        completed["trace"] = trace
    return completed


def _prompts(kind: str) -> list[TrainingExample]:
    source = harmful_refusals() if kind == "own_refusal" else benign_prompts()
    return [{"prompt": example["prompt"], "kind": kind} for example in source]


def _options(backend: Backend, answer_tokens: int) -> PromptOptions:
    tokenizer = getattr(backend, "tokenizer", None)
    thinks = tokenizer is not None and native_tags(str(tokenizer.chat_template or ""), tokenizer.get_vocab())
    if not thinks:
        return PromptOptions(answer_tokens=answer_tokens)
    return PromptOptions(strategy="thinking", thinking_tokens=THINKING_TOKENS, answer_tokens=answer_tokens)


def _generated(
    backend: Backend, items: Sequence[Item], options: PromptOptions, *, instructed: bool = False
) -> Iterator[Generation]:
    for start in range(0, len(items), backend.batch_size):
        batch = items[start : start + backend.batch_size]
        yield from backend.generate([_request(backend, item, options, instructed=instructed) for item in batch])


def _request(backend: Backend, item: Item, options: PromptOptions, *, instructed: bool) -> Request:
    plan = build_plan(item, options)
    identity = [backend.fingerprint, options]
    if instructed:
        # In the user's turn: some templates know no system role.
        last = plan.messages[-1].around(before=SAFETY_INSTRUCTION, origin="clause")
        plan = plan.model_copy(update={"messages": (*plan.messages[:-1], last)})
    trial = Trial(
        arm="own",
        arm_fingerprint=fingerprint("own-answers", identity),
        benchmark=item.benchmark,
        item=item.id,
        item_fingerprint=item.fingerprint,
    )
    return Request(trial, plan, Sampling())
