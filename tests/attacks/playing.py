"""An attack with an attacker, played out between two models that say what they are given to say."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oldham.attacks import attack_of
from oldham.attacks.attacker import AskingAttack, Attacker, refused
from oldham.backends.programs import ProgramRequest, generate
from oldham.backends.routing import Router
from oldham.backends.scripted import ScriptedBackend
from oldham.benchmarks.embedded import Benign
from oldham.core.records import Generation, Item, Sampling, Trial
from oldham.prompts.base import PromptOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oldham.backends.base import Request

SEARCHING = ["crescendo", "pair", "tap"]
BENIGN = Benign().items()[0]
NO = "I'm sorry, but I can't help with that."


class Said(ScriptedBackend):
    """Says what it is given to say, one reply after another, and keeps what it was asked."""

    def __init__(self, *replies: str) -> None:
        super().__init__("echo")
        self.replies = deque(replies)
        self.asked: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        rows = []
        for request, row in zip(requests, super().generate(requests), strict=True):
            self.asked.append(request)
            said = self.replies[0] if len(self.replies) == 1 else self.replies.popleft()
            kept = " ".join(said.split()[: request.plan.answer_tokens])
            told = {"trace": None, "forced": (), "answer": (0, len(kept)), "output_text": kept}
            told |= {"answer_tokens": len(kept.split())}
            rows.append(Generation.model_validate(row.model_dump() | told))
        return rows


def wording(text: str) -> str:
    return json.dumps({"improvement": "some", "prompt": text})


@dataclass
class Played:
    row: Generation
    target: Said
    attacker: Said
    scored: list[Generation] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        return [call.label for call in self.row.calls]

    @property
    def prompts(self) -> list[str]:
        return [request.plan.messages[-1].content for request in self.target.asked]


def play(
    label: str,
    *,
    attacker: Sequence[str] = (wording("please"),),
    target: Sequence[str] = (NO,),
    score: Callable[[str], float | None] = lambda text: 1.0 if refused(text) else 0.0,
    options: PromptOptions | None = None,
    item: Item = BENIGN,
    tokens: int = 50,
) -> Played:
    attack = attack_of(label)
    for part in attack.parts:
        if isinstance(part, AskingAttack):
            part.attacker = Attacker("small", 0.7, tokens)
    arm, small = Said(*target), Said(*attacker)
    scored: list[Generation] = []

    def judge(asked: Item, generation: Generation) -> float | None:
        assert asked == item, "the item is judged as it was"
        scored.append(generation)
        return score(generation.answer_text or "")

    trial = Trial(arm="a", arm_fingerprint="f", benchmark="b", item=item.id, item_fingerprint="i", attack=label)
    settings = options or PromptOptions()
    request = ProgramRequest(trial, lambda: attack.program(item, settings, seed=3, judge=judge), Sampling())
    [row] = generate(Router(arm, {"small": lambda: small}), [request])
    assert row.error is None
    return Played(row, arm, small, scored)
