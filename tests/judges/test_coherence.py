from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oldham.core.outcomes import Outcome
from oldham.core.records import StopReason
from oldham.core.thinking import Span
from oldham.judges.coherence import first_time, incoherent, own_turn, own_words, read_answer, visible

if TYPE_CHECKING:
    from conftest import MakeGeneration
    from oldham.core.records import Generation

PARAGRAPH = (
    "Sourdough rises slowly, because wild yeast works at its own pace. Feed the starter in the morning, mix the dough "
    "at noon, and fold it every half hour until it holds its shape. Let it rest overnight in a cold place, and bake it "
    "in a hot pot the next day."
)
CHORUS = "Row, row, row your boat, gently down the stream. "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("  \n ", True),
        ("...", True),
        ("!?!?!?!?", True),
        ("<|im_end|>", True),
        ("</s>", True),
        ("and the and the " * 20, True),
        ("The answer is 4. " * 20, True),
        ("no " * 100, True),
        ("a" * 400, True),
        ("1, " * 80, True),
        ("\ufffd\ufffd\ufffd abc", True),
        ("7", False),
        ("No.", False),
        ("42<|im_end|>", False),
        (PARAGRAPH, False),
        (PARAGRAPH * 2, False),
        (CHORUS * 2 + PARAGRAPH, False),
        ("ha " * 20, False),
        ("1. one\n2. two\n3. three\n4. four\n5. five\n6. six\n7. seven\n8. eight\n9. nine\n10. ten", False),
        ("Das ist ein Satz auf Deutsch, und er ist ganz in Ordnung.", False),
        ("这是一个完整的回答。", False),
        ("A smile \ufffd in a long enough sentence", False),
    ],
)
def test_incoherent(text: str, expected: bool) -> None:
    assert incoherent(text) is expected


def test_the_loop_threshold_is_a_share_of_four_word_windows() -> None:
    fresh = [f"w{i}" for i in range(13)]
    # n fresh words, then the last four again and again: 10 + 3 distinct windows, the rest repeat.
    looping = fresh + fresh[-4:] * 8  # 45 words, 42 windows: 10 fresh + 3 across the seam + 0 new = 13 or 14 distinct
    windows = {tuple(looping[i : i + 4]) for i in range(len(looping) - 3)}
    share = 1 - len(windows) / (len(looping) - 3)
    assert 0.65 < share < 0.7
    assert not incoherent(" ".join(looping))
    assert incoherent(" ".join(looping + fresh[-4:] * 2))


def test_special_tokens_are_not_spoken() -> None:
    assert visible("<|im_start|>Yes.<|im_end|>\n<end_of_turn>") == "Yes."
    assert visible("x < y | z > w") == "x < y | z > w"


def test_first_time_drops_what_was_said_before() -> None:
    assert first_time("A cat sat. It slept.It slept. A CAT sat!\nIt slept.") == "A cat sat. It slept."


def test_first_time_leaves_a_text_without_repetition_as_it_is() -> None:
    assert first_time("It costs 3.50 in all.\n\n- one\n- two") == "It costs 3.50 in all.\n\n- one\n- two"


@pytest.mark.parametrize(
    ("answer", "stop", "settled", "undecided"),
    [
        ("All done.", StopReason.STOP, None, None),
        ("All done.", None, None, None),  # nobody told why it ended, so nothing says it was cut
        ("All do", StopReason.LENGTH, None, Outcome.UNFINISHED),
        ("", StopReason.STOP, Outcome.INCOHERENT, None),
        ("<|im_end|>", StopReason.STOP, Outcome.INCOHERENT, None),
        ("  ", StopReason.LENGTH, Outcome.UNFINISHED, None),
        (None, StopReason.LENGTH, Outcome.UNFINISHED, None),
        ("All done.", StopReason.ERROR, Outcome.UNJUDGED, None),
        ("no " * 100, StopReason.LENGTH, Outcome.INCOHERENT, None),
        ("It is done, as I have said. " * 20, StopReason.LENGTH, None, Outcome.INCOHERENT),
    ],
)
def test_read_answer(
    make_generation: MakeGeneration,
    answer: str | None,
    stop: StopReason | None,
    settled: Outcome | None,
    undecided: Outcome | None,
) -> None:
    reading = read_answer(make_generation(answer, trace="Hm.", stop=stop))
    assert (reading.settled, reading.undecided) == (settled, undecided)


def test_a_loop_is_read_once(make_generation: MakeGeneration) -> None:
    reading = read_answer(make_generation("I have said it already. " * 20))
    assert reading.text == "I have said it already."


@pytest.mark.parametrize(
    ("forced", "answer", "text", "cued"),
    [
        ("Final answer:", " It is 4.", "It is 4.", True),
        ("", "Final answer: It is 4.", "It is 4.", True),
        ("", "**Answer:** It is 4.", "It is 4.", True),
        ("Final answer:", " Final answer: It is 4.", "It is 4.", True),
        ("In short,", " it is 4.", "it is 4.", False),
        ("", "The final answer: it is 4.", "The final answer: it is 4.", False),
    ],
)
def test_only_what_the_model_said_is_read(
    make_generation: MakeGeneration, forced: str, answer: str, text: str, cued: bool
) -> None:
    reading = read_answer(make_generation(answer, trace="Hm.", forced=forced))
    assert (reading.text, reading.cued) == (text, cued)


@pytest.mark.parametrize(
    ("stop", "outcome"), [(StopReason.STOP, Outcome.INCOHERENT), (StopReason.LENGTH, Outcome.UNFINISHED)]
)
@pytest.mark.parametrize(("forced", "answer"), [("Final answer:", ""), ("", "Final answer:"), ("So:", " \n")])
def test_a_cue_alone_is_an_empty_answer(
    make_generation: MakeGeneration, forced: str, answer: str, stop: StopReason, outcome: Outcome
) -> None:
    assert read_answer(make_generation(answer, trace="Hm.", forced=forced, stop=stop)).settled is outcome


def test_forced_text_is_left_out_wherever_it_stands(make_generation: MakeGeneration) -> None:
    generation = make_generation("Two. Three. Four.", trace="One.")
    forced = tuple(Span(*at) for at in [(9, 16), (0, 6)])
    assert generation.answer is not None
    assert own_words(generation.model_copy(update={"forced": forced}), generation.answer) == "o. Four."


def test_a_failed_row_says_why(make_generation: MakeGeneration) -> None:
    assert "out of memory" in read_answer(make_generation("x", stop=StopReason.ERROR)).raw


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris.\nuser\nAnd Rome?\nassistant\nRome too.", "Paris."),
        ("Paris.<|im_end|>\n<|im_start|>user\nAnd Rome?", "Paris.<|im_end|>\n"),
        ("Paris.\n<|im_start|>user", "Paris.\n"),
        ("Paris.<end_of_turn>\n<start_of_turn>user\nAnd Rome?", "Paris.<end_of_turn>\n"),
        ("Paris.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd Rome?", "Paris.<|eot_id|>"),
        ("Paris. [INST] And Rome? [/INST]", "Paris. "),
        ("Paris.\n\n### Instruction:\nName another one.", "Paris.\n\n"),
        ("Paris.\n\nHuman: And Rome?\n\nAssistant: Rome too.", "Paris."),
        ("Paris.\n\nUser: And Rome?", "Paris."),
        ("<|im_start|>assistant\nParis.", "\nParis."),
        ("### Response:\nParis.", "\nParis."),
        ("<|im_start|>user\nWhich city?", ""),
        ("### Instruction:\nName a city.", ""),
        ("user\nWhich city?\nassistant\nParis.", ""),
        ("Paris.", "Paris."),
        ("The fields are\nuser\nhuman\nsystem", "The fields are\nuser\nhuman\nsystem"),
        ("user", "user"),
        ("Human: Hello.\nRobot: Hello.", "Human: Hello.\nRobot: Hello."),
        ("A user wrote this. The human: a mystery.", "A user wrote this. The human: a mystery."),
        ("Paris.\n### Response: a summary\nIt is Paris.", "Paris.\n### Response: a summary\nIt is Paris."),
        ("Write:\n```\n<|im_start|>user\nHi.\n```\nDone.", "Write:\n```\n<|im_start|>user\nHi.\n```\nDone."),
        ("Write it.\n```\nDone.\nHuman: Hi.\n```\n", "Write it.\n```\nDone.\nHuman: Hi.\n```\n"),
    ],
)
def test_an_answer_ends_where_the_other_side_speaks(text: str, expected: str) -> None:
    assert own_turn(text, "Which city?") == expected


@pytest.mark.parametrize("asked", ["Write a dialogue.", "Show me a conversation.", "Give me a few-shot set."])
def test_a_dialogue_that_was_asked_for_is_left_whole(asked: str) -> None:
    text = "It begins.\n\nHuman: Hello.\nRobot: Hello."
    assert own_turn(text, asked) == text


def asked_in(generation: Generation, prompt: str) -> Generation:
    return generation.model_copy(update={"prompt_text": prompt})


def test_debris_alone_is_incoherent_and_says_why(make_generation: MakeGeneration) -> None:
    reading = read_answer(make_generation("<|im_start|>user\nWhich city is it?"))
    assert (reading.settled, reading.raw) == (Outcome.INCOHERENT, "nothing but marks of a chat template")


def test_an_answer_before_another_turn_was_not_cut(make_generation: MakeGeneration) -> None:
    reading = read_answer(make_generation("It is Paris.\n<|im_start|>user\nAnd", stop=StopReason.LENGTH))
    assert (reading.text, reading.settled, reading.undecided) == ("It is Paris.", None, None)


def test_an_answer_behind_a_mark_of_its_own_turn_may_be_cut(make_generation: MakeGeneration) -> None:
    reading = read_answer(make_generation("<|im_start|>assistant\nIt is", stop=StopReason.LENGTH))
    assert (reading.text, reading.undecided) == ("It is", Outcome.UNFINISHED)


ENGLISH = "Please tell me how I can bake a loaf of bread at home with the flour that I have."
CHINESE = "首先，把面粉和水混合在一起，然后让面团休息一个晚上。"


def test_an_answer_in_a_script_that_nothing_asked_for_is_incoherent(make_generation: MakeGeneration) -> None:
    reading = read_answer(asked_in(make_generation(CHINESE), ENGLISH))
    assert (reading.settled, reading.raw) == (Outcome.INCOHERENT, "in East Asian, which nothing asked for")


@pytest.mark.parametrize(
    "prompt", ["", "2+2?", "请告诉我怎么烤面包，用我有的面粉。", ENGLISH + " Answer in Chinese.", CHINESE + ENGLISH]
)
def test_a_script_that_may_have_been_asked_for_is_read(make_generation: MakeGeneration, prompt: str) -> None:
    assert read_answer(asked_in(make_generation(CHINESE), prompt)).settled is None


def test_forced_words_count_as_asked_for(make_generation: MakeGeneration) -> None:
    generation = make_generation(CHINESE, trace="Hm.", forced="最终答案：")
    assert read_answer(asked_in(generation, ENGLISH)).settled is None


def test_an_answer_that_turns_to_another_script_is_read_up_to_there(make_generation: MakeGeneration) -> None:
    reading = read_answer(asked_in(make_generation("Mix and rest the dough.\n" + CHINESE * 3), ENGLISH))
    assert (reading.text, reading.settled, reading.undecided) == ("Mix and rest the dough.", None, Outcome.INCOHERENT)


def test_noise_is_incoherent() -> None:
    assert incoherent(" ".join(f"qxzv{c}kRt{c}b wmNp{c}xx" for c in "abcdefghijklmnop"))
