from __future__ import annotations

import json
import math
from typing import Any

import pytest

from oldham.core.errors import ConfigError, DataError, UnknownNameError
from oldham.core.outcomes import Axis
from oldham.training.methods import GRPOSettings, RewardSpec
from oldham.training.reward_kinds import axis_of
from oldham.training.rewards import REWARDS, RewardFunctions, check_rewards, reward_functions

END = 0
PLAIN = "{% for m in messages %}{{ m.content }}|{% endfor %}"
TAGGED = PLAIN + "{# <think> </think> #}"
OPENING = TAGGED + "<think>"


class Letters:
    """A tokenizer whose tokens are characters, and token 0 the end of a turn."""

    eos_token_id = END

    def __init__(self, template: str = PLAIN) -> None:
        self.template = template

    def get_chat_template(self) -> str:
        return self.template

    def get_vocab(self) -> dict[str, int]:
        return {}

    def encode(self, text: str, **_: Any) -> list[int]:
        return list(map(ord, text))

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(map(chr, ids))

    def apply_chat_template(self, turns: list[dict[str, str]], **_: Any) -> str:
        opened = "<think>\n" if self.template == OPENING else ""
        return "".join(f"{turn['content']}|" for turn in turns) + opened


def rewards(*specs: dict[str, Any], template: str = PLAIN) -> RewardFunctions:
    return reward_functions(settings(*specs), Letters(template))


def settings(*specs: dict[str, Any]) -> GRPOSettings:
    base = {"name": "x", "model": "m", "data": [{"source": "arithmetic", "n": 1}], "rewards": list(specs)}
    return GRPOSettings.model_validate(base)


def pay(told: RewardFunctions, example: dict[str, Any], *answers: str, prompt: str = "?|", ended: bool = True) -> Any:
    """What the first reward pays for answers to an example."""
    ids = [[*map(ord, answer), *([END] if ended else [])] for answer in answers]
    rows = [json.dumps({"prompt": "?", "kind": "none", **example})] * len(ids)
    return told.functions[0](prompts=[prompt] * len(ids), completion_ids=ids, example=rows)


SUM = {"prompt": "What is 40 + 2?", "reference": {"answer": "42"}}


def test_the_right_answer_is_what_the_axis_of_reasoning_finds() -> None:
    """The reward is the score that the benchmark's judge gives the same text."""
    from oldham.core.records import StopReason
    from oldham.judges.rules import offline_judge
    from oldham.training.samples import item_of, read_sample

    told = rewards({"reward": "correct"})
    answers = ["40 + 2 = 42.", "#### 42", "The answer is 41.", "42 is close, but the answer is 40.", "I don't know."]
    paid = pay(told, SUM, *answers)
    assert paid == [1.0, 1.0, 0.0, 0.0, 0.0]
    item = item_of({"kind": "none", **SUM}, Axis.REASONING)  # type: ignore[typeddict-item]
    for answer, score in zip(answers, paid, strict=True):
        fmt = told.functions[0].reward.fmt
        sample = read_sample({"kind": "none", **SUM}, "?|", [*map(ord, answer), END], fmt, frozenset({END}))  # type: ignore[typeddict-item]
        generation = sample.generation(item)
        assert generation.stop is StopReason.STOP
        assert offline_judge("numeric").judge(item, generation)[0].score == score


def test_a_cut_sample_pays_only_for_a_result_that_it_marks() -> None:
    told = rewards({"reward": "correct"})
    cut = pay(told, SUM, "We add 40 and 2 and get 42 and then", "The answer is 42. Now let us see whe", ended=False)
    assert cut == [0.0, 1.0]


def test_the_reference_says_who_compares() -> None:
    told = rewards({"reward": "correct"})
    letters = {"reference": {"choices": ["table", "plum"], "letter": "B"}}
    assert pay(told, letters, "The answer is B.", "The answer is A.") == [1.0, 0.0]
    pytest.importorskip("math_verify")
    half = {"reference": {"answer": r"\frac{1}{2}"}}
    assert pay(told, half, "The answer is $0.5$.", "The answer is $0.25$.") == [1.0, 0.0]
    for number in ("-1,234.5", "$3", "50%", "7"):
        assert pay(told, {"reference": {"answer": number}}, f"The answer is {number}.") == [1.0]


@pytest.mark.parametrize(
    ("answer", "right", "wrong"),
    [
        ("2,3", r"\boxed{3,2}", r"\boxed{3}"),  # two solutions, and no thousands
        ("1,2,3", r"\boxed{1,2,3}", r"\boxed{3}"),
        ("-2,1", r"\boxed{1,-2}", r"\boxed{1}"),
        ("- 3", r"\boxed{-3}", r"\boxed{3}"),
        ("\u22123", r"\boxed{-3}", r"\boxed{3}"),
        ("12,345", "The answer is 12345.", "The answer is 345."),
        ("9" * 31, "The answer is " + "9" * 31 + ".", "The answer is 9."),
    ],
)
def test_a_right_answer_that_is_not_one_plain_number_is_compared_as_mathematics(
    answer: str, right: str, wrong: str
) -> None:
    pytest.importorskip("math_verify")
    example = {"reference": {"answer": answer}}
    assert pay(rewards({"reward": "correct"}), example, right, wrong, "") == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("zero", [0, 0.0, "0"])
def test_nought_is_an_answer(zero: Any) -> None:
    example = {"reference": {"answer": zero}}
    assert pay(rewards({"reward": "correct"}), example, "The answer is 0.", "The answer is 1.") == [1.0, 0.0]


def test_thinking_is_not_read_as_the_answer() -> None:
    told = rewards({"reward": "correct"}, template=TAGGED)
    texts = ["<think>It is 42.</think>It is 41.", "<think>It is 41.</think>It is 42.", "<think>It is 42."]
    assert pay(told, SUM, *texts) == [0.0, 1.0, 0.0]
    opened = rewards({"reward": "correct"}, template=OPENING)
    texts = ["It is 42.</think>It is 41.", "It is 41.</think>It is 42.", "It is 42."]
    assert pay(opened, SUM, *texts, prompt="?|<think>\n") == [0.0, 1.0, 0.0]


def test_a_right_answer_must_be_known() -> None:
    told = rewards({"reward": "correct"})
    assert pay(told, {}, "42") == [None]
    with pytest.raises(ConfigError, match="applies to none of the examples"):
        check_rewards(told, [{"prompt": "?", "kind": "none"}])
    mixed: list[Any] = [{"kind": "none", **SUM}, {"prompt": "?", "kind": "tale"}]
    with pytest.raises(ConfigError, match="No reward can judge an example of kind `tale`"):
        check_rewards(told, mixed)
    check_rewards(told, mixed[:1])


@pytest.mark.parametrize(
    ("text", "paid"),
    [
        ("<think>a</think>b", 1.0),
        ("\n<think>\na\n</think>\n\nb", 1.0),
        ("b", 0.0),
        ("<think>a", 0.0),
        ("<think>a</think>", 0.0),
        ("<think>a</think>\n ", 0.0),
        ("first <think>a</think>b", 0.0),
        ("<think>a</think>b<think>c</think>d", 0.0),
        ("<think><think>a</think>b", 0.0),
        ("a</think>b", 0.0),
    ],
)
def test_format(text: str, paid: float) -> None:
    assert pay(rewards({"reward": "format"}, template=TAGGED), {}, text) == [paid]


def test_a_format_that_could_never_be_paid_is_refused() -> None:
    with pytest.raises(ConfigError, match="no thinking tags"):
        rewards({"reward": "format"})
    with pytest.raises(ConfigError, match="writes `<think>` itself"):
        rewards({"reward": "format"}, template=OPENING)


def test_length_falls_off_on_both_sides() -> None:
    told = rewards({"reward": "length", "target": 4})
    assert pay(told, {}, "", "ab", "abc", "abcd", "abcdef", "abcdefgh", "abcdefghij") == pytest.approx(
        [0.0, 0.5, 0.75, 1.0, 0.5, 0.0, 0.0]
    )
    assert pay(told, {}, "abcd", ended=False) == [1.0]  # the token that ends a turn is not counted


def test_a_judge_pays_on_its_axes_alone() -> None:
    told = rewards({"reward": "judge:refusal_rules"})
    refused, helped = "I'm sorry, but I can't help with that.", "Sure, here is how you do it: first, open the box."
    assert pay(told, {"kind": "harmful_refusal"}, refused, helped) == [1.0, 0.0]
    assert pay(told, {"kind": "look_alike"}, refused, helped) == [0.0, 1.0]
    assert pay(told, SUM, refused, helped) == [None, None]
    assert pay(told, {"kind": "mine", "reference": {"axis": "harm"}}, refused) == [1.0]


def test_what_is_not_judged_pays_neither_way() -> None:
    told = rewards({"reward": "judge:refusal_rules"})
    assert pay(told, {"kind": "harmful_refusal"}, "", ended=False) == [None]
    metrics: dict[str, float] = {}
    rows = [json.dumps({"prompt": "?", "kind": kind}) for kind in ("harmful_refusal", "harmful_refusal", "none")]
    ids = [[*map(ord, "I'm sorry, but I can't help with that."), END], [END], [ord("a"), END]]
    paid = told.functions[0](prompts=["?|"] * 3, completion_ids=ids, example=rows, log_metric=metrics.__setitem__)
    assert paid == [1.0, None, None]
    assert metrics == {"rewards/judge:refusal_rules/judged": 0.5}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"reward": "judge"}, "Write `judge:NAME`"),
        ({"reward": "correct:numeric"}, "Write `correct`"),
        ({"reward": "length"}, "needs `target`"),
        ({"reward": "correct", "target": 9}, "takes no `target`"),
        ({"reward": "judge:trace_stages"}, "does not read answers"),
        ({"reward": "judge:choice_likelihood"}, "does not read answers"),
        ({"reward": "judge:policy_rubric"}, "asks a model, and none is named"),
        ({"reward": "judge:numeric@smollm2"}, "asks no model"),
    ],
)
def test_a_reward_that_cannot_be_meant(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rewards(spec)
    assert says in str(caught.value)


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean `correct`"):
        rewards({"reward": "corect"})
    with pytest.raises(UnknownNameError, match="Did you mean `refusal`"):
        rewards({"reward": "judge:refusl"})


def test_what_a_judge_misses_is_told_before_anything_is_sampled() -> None:
    told = rewards({"reward": "judge:reference_rules"})
    with pytest.raises(DataError, match="no list `correct_any`"):
        check_rewards(told, [{"prompt": "?", "kind": "false_premise"}])
    numeric = rewards({"reward": "judge:numeric"})
    with pytest.raises(DataError, match="no right number"):
        check_rewards(numeric, [{"prompt": "?", "kind": "none", "reference": {"answer": "many"}}])


def test_a_judge_that_asks_a_model() -> None:
    """The scripted model's reply is no rating, which is no reward and not a bad one."""
    told = rewards({"reward": "judge:policy_rubric@scripted:echo"})
    assert told.functions[0].__name__ == "judge:policy_rubric_scripted:echo"
    assert pay(told, {"kind": "harmful_refusal"}, "I'd rather talk about the weather with you today.") == [None]


def test_the_total_is_over_what_was_paid() -> None:
    told = rewards({"reward": "correct"}, {"reward": "length", "target": 4, "weight": 0.5})
    assert told.weights == [1.0, 0.5]
    assert told.total([1.0, 0.5]) == 1.25
    assert told.total([None, 0.5]) == 0.25
    assert math.isnan(told.total([None, None]))


def test_every_reward_is_listed_with_its_source() -> None:
    assert REWARDS.names() == ["correct", "format", "judge", "length"]
    assert all(entry.summary and entry.citation and REWARDS.get(entry.name) for entry in REWARDS.entries())


@pytest.mark.parametrize(
    ("example", "axis"),
    [
        ({"kind": "own_refusal"}, Axis.HARM),
        ({"kind": "short", "reference": {"answer": "1"}}, Axis.REASONING),
        ({"kind": "harmful_refusal", "reference": {"axis": "privacy"}}, Axis.PRIVACY),
        ({"kind": "tale"}, None),
    ],
)
def test_axes(example: Any, axis: Axis | None) -> None:
    assert axis_of({"prompt": "?", **example}) is axis


def test_an_axis_that_there_is_not() -> None:
    with pytest.raises(DataError, match="`harmless` is not an axis"):
        axis_of({"prompt": "?", "kind": "x", "reference": {"axis": "harmless"}})


def test_kinds_of_the_embedded_sources_have_the_axis_of_their_benchmark() -> None:
    from oldham.training.reward_kinds import _AXES
    from oldham.training.sources import SOURCES

    known = {kind for name in SOURCES.names() for kind in SOURCES.get(name).info.kinds}
    assert set(_AXES) <= known


def test_a_spec_reads_as_written() -> None:
    assert RewardSpec(reward="length", target=3).weight == 1.0
