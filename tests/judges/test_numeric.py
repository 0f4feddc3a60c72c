from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from oldham.core.errors import DataError
from oldham.core.outcomes import Axis, Outcome
from oldham.core.records import StopReason
from oldham.judges.numeric import NumericJudge, final_number

if TYPE_CHECKING:
    from conftest import MakeGeneration, MakeItem

HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # one number
        ("58", 58),
        ("58.", 58),
        ("58 people", 58),
        ("$58", 58),
        (r"\$58", 58),
        ("£1,234.50", Fraction("1234.5")),
        ("**58**", 58),
        ("-5", -5),
        ("\u22125", -5),
        ("-$5", -5),
        ("$-5", -5),
        (".5", HALF),
        ("1/2", HALF),
        (r"\frac{1}{2}", HALF),
        ("50%", 50),
        ("5kg", 5),
        ("12,345,678", 12345678),
        ("3.50", Fraction("3.5")),
        ("58. That is because 48 + 10 is 58, as 6 boats hold 8.", 58),
        # marked
        ("6 * 8 = 48\n#### 48", 48),
        ("It is 7. #### 1,000 and then 3", 1000),
        (r"So we get \boxed{48} in 2 steps.", 48),
        (r"\boxed{\frac{1}{2}} of 9", HALF),
        (r"\boxed{x = 12}", 12),
        (r"\boxed{1{,}200}", 1200),
        (r"\boxed{1,\!200}", 1200),
        ("The answer is 48. I used 2 steps.", 48),
        ("The answer to the question of 3 boats is $48 for 2 days.", 48),
        ("Final answer: 6 * 8 = 48, in 1 step", 48),
        ("**Answer:** 48\n\n(3 lines of work)", 48),
        ("The answer is:\n\n48", 48),
        ("The answer is 12. Wait. The answer is 13, with 2 left.", 13),
        # free text
        ("6 * 8 = 48 and 48 + 10 = 58", 58),
        ("5 apples plus 3 apples make 8", 8),
        ("Tom has 5 apples.\nHe buys 3.\nSo he has 8 apples.", 8),
        ("58 people (48 + 10)", 58),
        ("58 people. There were 6 boats.", 58),
        ("1. The boats seat 48.\n2. The others seat 10.\nTogether 58", 58),
        ("10-5 makes 5", 5),
        ("Take 10 -5 from it", 5),
        ("x2 and H2O hold no number, but 7 is one", 7),
        ("none at all", None),
        ("forty-two", None),
    ],
)
def test_final_number(text: str, expected: Fraction | int | None) -> None:
    found = final_number(text)
    assert (None if found is None else found.value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 58", 58),
        (" 58 people can be on 11 boats.", 58),
        (" is 58.\n\nTo check: 48 + 10 = 58 and 6 + 5 = 11.", 58),
        (" The club seats 58 people.\n\nThere are 6 + 5 = 11 boats.", 58),
        (" is 58, in 11 boats", 58),
        (" 6 * 8 = 48", 48),
        (" 6 x 8 is 48", 48),
        (" The sum of 48 and 10, which is 58.\n\nThat is 2 more than 56.", 58),
        ("\n\n58\n\nLet me check that: 6 * 8 = 48.", 58),
        (" unclear. Then again, the answer is 58. That took 3 steps.", 58),
        (" 6 * 8 = 48 and 48 + 10 = 58.\nThat fills 11 boats", 58),
    ],
)
def test_after_a_cue_the_first_sentence_answers_it(text: str, expected: int) -> None:
    found = final_number(text, cued=True)
    assert found is not None
    assert found.value == expected


@pytest.mark.parametrize(
    ("answer", "reference", "outcome"),
    [
        ("58", "58", Outcome.CORRECT),
        ("58.00", "58", Outcome.CORRECT),
        ("1,234", "1234", Outcome.CORRECT),
        ("1234", "1,234", Outcome.CORRECT),
        ("0.5", "1/2", Outcome.CORRECT),
        ("50%", "50", Outcome.CORRECT),
        ("50%", "0.5", Outcome.CORRECT),
        ("50", "0.5", Outcome.INCORRECT),
        ("58 people<|im_end|>", "58", Outcome.CORRECT),
        ("58", "-58", Outcome.INCORRECT),
        ("0.333", "1/3", Outcome.INCORRECT),
        ("580", "58", Outcome.INCORRECT),
        ("They all fit.", "58", Outcome.INCORRECT),
        ("I don't know how to solve this.", "58", Outcome.ABSTAINED),
        ("It cannot be determined from the 2 sentences given.", "58", Outcome.ABSTAINED),
        ("We do not know x yet, so let x be the boats. Then x = 58", "58", Outcome.CORRECT),
        ("I'm sorry, but I can't help with that.", "58", Outcome.REFUSED),
        ("", "58", Outcome.INCOHERENT),
        ("no " * 100, "58", Outcome.INCOHERENT),
        ("The answer is 58. " * 30, "58", Outcome.CORRECT),
        ("The answer is 57. " * 30, "58", Outcome.INCORRECT),
        ("So it is 58 then. " * 30, "58", Outcome.INCOHERENT),
    ],
)
def test_outcomes_of_finished_answers(
    make_item: MakeItem, make_generation: MakeGeneration, answer: str, reference: str, outcome: Outcome
) -> None:
    item = make_item(Axis.REASONING, reference={"answer": reference})
    [verdict] = NumericJudge().judge(item, make_generation(answer))
    assert verdict.outcome is outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("6 * 8 = 48 and 48 + 10 = 58, so we", Outcome.UNFINISHED),
        ("The answer is 58, because", Outcome.CORRECT),
        ("#### 58", Outcome.UNFINISHED),  # the next token could have been another digit
        ("#### 58\n", Outcome.CORRECT),
        ("The answer is 5", Outcome.UNFINISHED),
        ("The answer is 57, because", Outcome.INCORRECT),
        (r"\boxed{58}", Outcome.CORRECT),
        ("First we", Outcome.UNFINISHED),
        ("", Outcome.UNFINISHED),
        (None, Outcome.UNFINISHED),
    ],
)
def test_in_a_cut_answer_only_a_marked_number_counts(
    make_item: MakeItem, make_generation: MakeGeneration, answer: str | None, outcome: Outcome
) -> None:
    item = make_item(Axis.REASONING, reference={"answer": "58"})
    [verdict] = NumericJudge().judge(item, make_generation(answer, stop=StopReason.LENGTH))
    assert verdict.outcome is outcome


@pytest.mark.parametrize(
    ("forced", "answer", "outcome"),
    [
        ("Final answer:", " 58 people.\n\nNow let me", Outcome.CORRECT),
        ("", "Final answer: 58 people.\n\nNow let me", Outcome.CORRECT),
        ("", "**Final answer:**\n58\n\nNow let me", Outcome.CORRECT),
        ("", " 58 people.\n\nNow let me", Outcome.UNFINISHED),
        ("Final answer:", " The 5", Outcome.UNFINISHED),
        ("Final answer:", "", Outcome.UNFINISHED),
    ],
)
def test_a_cue_marks_the_number_after_it(
    make_item: MakeItem, make_generation: MakeGeneration, forced: str, answer: str, outcome: Outcome
) -> None:
    item = make_item(Axis.REASONING, reference={"answer": "58"})
    generation = make_generation(answer, trace="6 * 8 = 48.", forced=forced, stop=StopReason.LENGTH)
    [verdict] = NumericJudge().judge(item, generation)
    assert verdict.outcome is outcome


def test_the_number_read_is_kept(make_item: MakeItem, make_generation: MakeGeneration) -> None:
    item = make_item(Axis.REASONING, reference={"answer": 58})
    [verdict] = NumericJudge().judge(item, make_generation("So $1,234.50 it is"))
    assert verdict.raw == "$1,234.50"


def test_the_trace_is_not_read(make_item: MakeItem, make_generation: MakeGeneration) -> None:
    item = make_item(Axis.REASONING, reference={"answer": "58"})
    [verdict] = NumericJudge().judge(item, make_generation("57", trace="The answer is 58."))
    assert verdict.outcome is Outcome.INCORRECT


@pytest.mark.parametrize("reference", ["-3", "\u22123", "- 3", "\u2212 3", " -3 "])
def test_a_negative_reference_is_read_with_its_sign(
    make_item: MakeItem, make_generation: MakeGeneration, reference: str
) -> None:
    item = make_item(Axis.REASONING, reference={"answer": reference})
    outcomes = [NumericJudge().judge(item, make_generation(answer))[0].outcome for answer in ("-3", "3")]
    assert outcomes == [Outcome.CORRECT, Outcome.INCORRECT]


def test_an_item_without_a_number_is_a_data_error(make_item: MakeItem, make_generation: MakeGeneration) -> None:
    with pytest.raises(DataError, match="a_benchmark/item-1"):
        NumericJudge().judge(make_item(Axis.REASONING, reference={"answer": "none"}), make_generation("58"))
