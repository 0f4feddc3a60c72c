"""The levels of every factor that come with the package, each with a line and its source."""

from __future__ import annotations

from typing import Final

from oldham.prompts.base import CLAUSES, DEMONSTRATIONS, STRATEGIES, STRUCTURES

_MODULE: Final = "oldham.prompts."

for _name, _target, _summary, _citation in (
    ("direct", "strategies:Direct", "The answer at once, no trace.", "the usual baseline"),
    (
        "zero_shot_cot",
        "strategies:ZeroShotCoT",
        'The trace opens with "Let\'s think step by step."',
        "Kojima et al. 2022, arXiv 2205.11916",
    ),
    (
        "few_shot_cot",
        "strategies:FewShotCoT",
        "Worked examples with rationale come first.",
        "Wei et al. 2022, arXiv 2201.11903",
    ),
    (
        "plan_and_solve",
        "strategies:PlanAndSolve",
        "First devise a plan, then carry it out.",
        "Wang et al. 2023, arXiv 2305.04091",
    ),
    (
        "self_consistency",
        "strategies:SelfConsistency",
        "Several sampled traces, their answers put to the vote.",
        "Wang et al. 2023, arXiv 2203.11171",
    ),
    (
        "self_ask",
        "strategies:SelfAsk",
        "The trace asks itself follow-up questions and settles them.",
        "Press et al. 2022, arXiv 2210.03350",
    ),
    (
        "program_of_thought",
        "strategies:ProgramOfThought",
        "The trace is a program and its run, traced by hand; no code is executed.",
        "after Chen et al. 2022, arXiv 2211.12588",
    ),
    (
        "least_to_most",
        "several_calls:LeastToMost",
        "Simpler questions are listed and settled in order, each with the earlier results.",
        "Zhou et al. 2022, arXiv 2205.10625",
    ),
    (
        "step_back",
        "several_calls:StepBack",
        "First the general principle, then an answer that rests on it.",
        "Zheng et al. 2023, arXiv 2310.06117",
    ),
    (
        "self_refine",
        "several_calls:SelfRefine",
        "A draft, then feedback on it and a new version, round by round.",
        "Madaan et al. 2023, arXiv 2303.17651",
    ),
    (
        "reflect_then_answer",
        "several_calls:ReflectThenAnswer",
        "A draft, then an answer whose trace reflects on it.",
        "this project, after Shinn et al. 2023, arXiv 2303.11366",
    ),
    (
        "tree_of_thoughts",
        "several_calls:TreeOfThoughts",
        "At each depth several next thoughts are proposed and the best is picked.",
        "Yao et al. 2023, arXiv 2305.10601",
    ),
    (
        "thinking",
        "native:Thinking",
        "A reasoning model's own thinking within a budget; nothing is added.",
        "DeepSeek-AI 2025, arXiv 2501.12948",
    ),
    (
        "thinking_off",
        "native:ThinkingOff",
        "Thinking shut by the chat template's own switch and nothing else.",
        "Qwen team 2025, arXiv 2505.09388",
    ),
    ("zero_think", "native:ZeroThink", "An empty thinking block.", "Jiang et al. 2025, arXiv 2502.12025"),
    (
        "less_think",
        "native:LessThink",
        "A thinking block of one short sentence.",
        "Jiang et al. 2025, arXiv 2502.12025",
    ),
    (
        "more_think",
        "native:MoreThink",
        "A closed trace is opened again with one of two phrases.",
        "Jiang et al. 2025, arXiv 2502.12025",
    ),
    (
        "wait",
        "native:Wait",
        'A closed trace is opened again with "Wait".',
        "Muennighoff et al. 2025, arXiv 2501.19393",
    ),
):
    STRATEGIES.register(_name, _MODULE + _target, summary=_summary, citation=_citation)

for _name, _class, _summary, _citation in (
    (
        "self_reminder",
        "SelfReminder",
        "A reminder to be responsible before and after the request.",
        "Xie et al. 2023, doi 10.1038/s42256-023-00765-8",
    ),
    (
        "goal_priority",
        "GoalPriority",
        "Safety is put before helpfulness and shown by two short examples.",
        "Zhang et al. 2023, arXiv 2311.09096",
    ),
    (
        "intention_analysis",
        "IntentionAnalysis",
        "The intention behind the request is to be named first, in one pass.",
        "Zhang et al. 2024, arXiv 2401.06561",
    ),
    (
        "intention_analysis_two_turn",
        "IntentionAnalysisTwoTurn",
        "The intention is named in a turn of its own, then the request is asked again.",
        "Zhang et al. 2024, arXiv 2401.06561",
    ),
    (
        "in_context_refusal",
        "InContextRefusal",
        "Two harmful requests, each declined, as earlier turns.",
        "Wei et al. 2023, arXiv 2310.06387",
    ),
    (
        "policy_recall",
        "PolicyRecall",
        "Eight rules, and the one that applies is to be cited while thinking.",
        "this project, after Guan et al. 2024, arXiv 2412.16339",
    ),
    (
        "safety_first_trace",
        "SafetyFirstTrace",
        "The trace opens with a short cue to think of safety.",
        "Jeung et al. 2025, arXiv 2505.14667",
    ),
    (
        "reflect_before_answer",
        "ReflectBeforeAnswer",
        "A request to reflect on harm before replying.",
        "this project, after Phute et al. 2023, arXiv 2308.07308",
    ),
):
    CLAUSES.register(_name, f"{_MODULE}clauses:{_class}", summary=_summary, citation=_citation)
    CLAUSES.register(
        f"{_name}_neutral",
        f"{_MODULE}clauses:{_class}Neutral",
        summary=f"The control of `{_name}`: its form and length, about tidy writing.",
        citation="this project",
    )

for _name, _class, _summary, _citation in (
    ("free", "Free", "No form is asked for.", "the usual baseline"),
    (
        "tags",
        "Tags",
        "Reasoning between `<steps>` tags, the answer between `<answer>` tags.",
        "after DeepSeek-AI 2025, arXiv 2501.12948",
    ),
    (
        "json_steps",
        "JsonSteps",
        "One JSON object with the steps and the answer.",
        "after Tam et al. 2024, arXiv 2408.02442",
    ),
):
    STRUCTURES.register(_name, f"{_MODULE}structures:{_class}", summary=_summary, citation=_citation)

for _name, _class, _summary, _citation in (
    (
        "arithmetic",
        "Arithmetic",
        "Eight worked word problems, written for this project.",
        "after Wei et al. 2022, arXiv 2201.11903",
    ),
    (
        "everyday",
        "Everyday",
        "Eight worked everyday questions without arithmetic, written for this project.",
        "this project",
    ),
    (
        "gsm8k_train",
        "Gsm8kTrain",
        "64 worked problems of GSM8K's training split.",
        "Cobbe et al. 2021, arXiv 2110.14168",
    ),
):
    DEMONSTRATIONS.register(_name, f"{_MODULE}demonstrations:{_class}", summary=_summary, citation=_citation)
