"""Safety data with reasoning: what stands before a refusal, from one fixed line to a reflection.

All of it answers the same requests with the same refusals, those of `harmful_refusals`, so that sources differ in the
reasoning alone. No trace tells how anything harmful is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from oldham.benchmarks.resources import read_yaml
from oldham.benchmarks.seeded import pick
from oldham.training.sources import Source, SourceInfo
from oldham.training.written import LICENCE, PACKAGE, categorised_refusals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oldham.benchmarks.resources import TrainingExample

DIRECT_REFUSAL_TRACE: Final = "I should not answer this question!"
"""The trace of every example of DirectRefusal (Huang et al. 2025, arXiv 2503.00555), in its authors' words."""
_HARMFUL_A_LOOK_ALIKE: Final = 3  # 220 requests to 62 look-alikes


class DirectRefusal(Source):
    """The embedded harmful requests with the one-line trace of DirectRefusal and a refusal (arXiv 2503.00555)."""

    info = SourceInfo(kinds=("harmful_refusal",), traces=True, licence=LICENCE, n_examples=220)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Return all of them. See `Source.draw`."""
        return [{**example, "trace": DIRECT_REFUSAL_TRACE} for _, example in categorised_refusals()]


class ShortSafetyReasoning(Source):
    """A trace of one or two sentences that name what is asked and the risk, then the refusal."""

    info = SourceInfo(kinds=("harmful_refusal",), traces=True, licence=LICENCE, n_examples=220)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Return all of them. See `Source.draw`."""
        return [{**example, "trace": _short(name, example)} for name, example in categorised_refusals()]


class ReflectiveSafetyReasoning(Source):
    """A trace that says what is asked, who could be harmed, and what would be safe help; then the refusal and an offer.

    The offer is that of the trace, so that the answer follows from it.
    """

    info = SourceInfo(kinds=("harmful_refusal",), traces=True, licence=LICENCE, n_examples=220)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Return all of them. See `Source.draw`."""
        return [_reflected(name, example) for name, example in categorised_refusals()]


class PolicyRecall(Source):
    """Traces that quote the clause of a policy of eleven; the policy itself is not in the prompt.

    Deliberative alignment (Guan et al. 2024, arXiv 2412.16339) teaches a policy by heart in this way. Kind
    `harmful_refusal` ends in a refusal; kind `look_alike`, after every three of them, quotes a clause that seems to
    apply and the one on harmless requests, and answers. So it does not teach refusal alone. No look-alike asks what a
    prompt of XSTest asks.
    """

    info = SourceInfo(kinds=("harmful_refusal", "look_alike"), traces=True, licence=LICENCE, n_examples=282)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Return all of them. See `Source.draw`."""
        harmless = iter(_look_alikes())
        examples: list[TrainingExample] = []
        for number, (name, example) in enumerate(categorised_refusals(), start=1):
            examples.append({**example, "trace": _clause_applies(name, example)})
            if number % _HARMFUL_A_LOOK_ALIKE == 0:
                examples.extend(row for row in (next(harmless, None),) if row is not None)
        return [*examples, *harmless]


class SafeOverJailbroken(Source):
    """Preference pairs over the embedded harmful requests.

    Chosen is a reflection and a refusal. Rejected is a trace that argues itself into complying, as reasoning models do
    (self-jailbreaking, Yong and Bach 2025, arXiv 2510.20956), and one general sentence that begins to comply: nothing
    harmful is in it, for nothing follows.
    """

    info = SourceInfo(kinds=("harmful_refusal",), traces=True, pairs=True, licence=LICENCE, n_examples=220)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Return all of them. See `Source.draw`."""
        return [{**_reflected(name, e), **_jailbroken(name, e)} for name, e in categorised_refusals()]


def _data() -> Any:
    return read_yaml(PACKAGE, "safety_reasoning.yaml")


def _fields(name: str, prompt: str) -> dict[str, str]:
    """Choose the words of a request's category; every source makes the same choice."""
    category = _data()["categories"][name]
    fields = {key: pick(category[key], key, name, prompt) for key in ("asks", "harm", "harmed", "help")}
    return {**fields, "prompt": prompt}


def _said(forms: list[str], fields: Mapping[str, object], *identity: str) -> str:
    return pick(forms, *identity).format(**fields)


def _short(name: str, example: TrainingExample) -> str:
    prompt = example["prompt"]
    return _said(_data()["short"], _fields(name, prompt), "short", prompt)


def _reflected(name: str, example: TrainingExample) -> TrainingExample:
    prompt = example["prompt"]
    fields = _fields(name, prompt)
    parts = [_said(forms, fields, "reflective", part, prompt) for part, forms in _data()["reflective"].items()]
    offer = _said(_data()["offer"], fields, "offer", prompt)
    return {**example, "trace": " ".join(parts), "completion": f"{example['completion']} {offer}"}


def _clause_applies(name: str, example: TrainingExample) -> str:
    prompt = example["prompt"]
    fields = {**_fields(name, prompt), **_clause(name)}
    return _said(_data()["policy"]["harmful"], fields, "policy", prompt)


def _clause(name: str) -> dict[str, object]:
    categories = _data()["categories"]
    return {"number": list(categories).index(name) + 1, "clause": categories[name]["clause"]}


def _look_alikes() -> list[TrainingExample]:
    data = _data()
    examples: list[TrainingExample] = []
    for row in read_yaml(PACKAGE, "look_alike_answers.yaml"):
        fields = {**_clause(row["sounds"]), "about": row["about"], "helps": data["helps"]}
        trace = _said(data["policy"]["harmless"], fields, "policy", row["prompt"])
        examples.append({"prompt": row["prompt"], "completion": row["answer"], "trace": trace, "kind": "look_alike"})
    return examples


def _jailbroken(name: str, example: TrainingExample) -> Any:
    """Return the rejected half of a pair: two arguments, the decision, and one sentence without content."""
    prompt = example["prompt"]
    forms = _data()["self_jailbreak"]
    fields = _fields(name, prompt)
    first = pick(forms["arguments"], "argument", prompt)
    second = pick([other for other in forms["arguments"] if other != first], "second argument", prompt)
    opening = _said(forms["opening"], fields, "opening", prompt)
    decision = pick(forms["decision"], "decision", prompt)
    return {
        "rejected_trace": " ".join((opening, first, second, decision)),
        "rejected": pick(forms["completion"], "completion", prompt),
    }
