from __future__ import annotations

import pytest

from oldham.core.errors import ConfigError, UnknownNameError
from oldham.judges import judges_for
from oldham.judges.numeric import NumericJudge


@pytest.mark.parametrize(
    ("benchmark", "judge"),
    [
        ("arithmetic", "numeric"),
        ("sums", "numeric"),
        ("harmful", "refusal"),
        ("benign", "refusal"),
        ("false_premise", "reference_rules"),
        ("private_record", "secret_match"),
        ("gsm8k", "numeric"),
        ("jailbreakbench", "refusal"),
    ],
)
def test_rules_stands_for_the_benchmarks_own_judge(benchmark: str, judge: str) -> None:
    assert judges_for(benchmark, ["rules"])[0].name == judge


def test_rules_stands_for_the_judge_of_traces_too_where_harm_is_asked_for() -> None:
    assert [found.name for found in judges_for("jailbreakbench", ["rules"])][1:] == ["trace_stages"]
    assert len(judges_for("benign", ["rules"])) == len(judges_for("gsm8k", ["rules"])) == 1


def test_judges_that_are_ready_stand_where_they_are_named() -> None:
    ready = NumericJudge()
    assert judges_for("arithmetic", [ready, "rules"]) == [ready]


def test_each_judge_comes_once_and_in_order() -> None:
    names = [judge.name for judge in judges_for("harmful", ["refusal_rules", "rules", "refusal", "refusal_rules"])]
    assert names == ["refusal_rules", "refusal", "trace_stages"]


def test_a_judge_for_other_axes_is_left_out() -> None:
    names = [judge.name for judge in judges_for("arithmetic", ["refusal_rules", "secret_match", "rules"])]
    assert names == ["numeric"]


def test_no_judge_left_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="`arithmetic`.*`reasoning`.*numeric"):
        judges_for("arithmetic", ["refusal_rules"])


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="refusal_rules"):
        judges_for("harmful", ["refusal_rule"])
    with pytest.raises(UnknownNameError, match="harmful"):
        judges_for("harmfull", ["rules"])
