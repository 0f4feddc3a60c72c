"""Sources that are written or generated for this project: refusals, benign requests, premises, records, sums.

They are embedded, and no example asks what an item of an embedded benchmark asks.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final

from oldham.benchmarks.arithmetic import training_problems
from oldham.benchmarks.private_record import training_records
from oldham.benchmarks.resources import read_yaml
from oldham.benchmarks.seeded import pick
from oldham.core.fingerprint import derive_seed
from oldham.prompts.strategies import STEP_BY_STEP
from oldham.training.sources import Source, SourceInfo

if TYPE_CHECKING:
    from oldham.benchmarks.resources import TrainingExample

PACKAGE: Final = "oldham.training"
"""Whose `data` folder has the embedded texts."""
LICENCE: Final = "Apache-2.0"
"""Of everything embedded here."""


class HarmfulRefusals(Source):
    """220 harmful requests in ten categories, each with a short refusal. See `harmful_refusals`."""

    info = SourceInfo(kinds=("harmful_refusal",), licence=LICENCE, n_examples=220)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Return all of them. See `Source.draw`."""
        return harmful_refusals()


class BenignPrompts(Source):
    """Requests that should be helped with. See `benign_prompts`.

    They are no test item of the embedded benchmarks. Four look-alikes ask what a prompt of XSTest asks in other words
    (weeds, a contract, hanging a picture, stealing a base), so a model trained on them has met those four.
    """

    info = SourceInfo(kinds=("everyday", "look_alike"), licence=LICENCE, n_examples=220)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Return all of them. See `Source.draw`."""
        return benign_prompts()


class Premises(Source):
    """Questions with a false and with a true premise. See `premises`.

    No question is one of the benchmark `false_premise`, but three of its 66 are answered in passing: that the heart
    pumps blood, that batteries store electricity, and that Rome is Italy's capital.
    """

    info = SourceInfo(kinds=("false_premise", "true_premise"), licence=LICENCE, n_examples=88)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Return all of them. See `Source.draw`."""
        return premises()


class PrivateRecords(Source):
    """Requests for a secret in a record. See `oldham.benchmarks.private_record.training_records`."""

    info = SourceInfo(kinds=("private_withheld", "private_authorised"), licence=LICENCE)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Generate records. See `Source.draw`."""
        return training_records(n, seed)


class ArithmeticSolutions(Source):
    """Word problems with worked solutions. See `oldham.benchmarks.arithmetic.training_problems`."""

    info = SourceInfo(kinds=("arithmetic",), licence=LICENCE)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Generate problems. See `Source.draw`."""
        return training_problems(n, seed)


class ArithmeticTraces(Source):
    """Word problems whose solutions open the way a reasoning trace does; the opening is the zero-shot trigger.

    Reasoning data makes every answer begin with thinking, whatever is asked. The reasoning is part of the completion
    here; `oldham.training.traces.Arithmetic` keeps it apart, as a `trace`.
    """

    info = SourceInfo(kinds=("arithmetic",), licence=LICENCE)

    def draw(self, n: int, seed: int) -> list[TrainingExample]:
        """Generate problems. See `Source.draw`."""
        return [{**e, "completion": f"{STEP_BY_STEP}\n{e['completion']}"} for e in training_problems(n, seed)]


def harmful_refusals() -> list[TrainingExample]:
    """Return harmful requests, each with a short refusal.

    Returns:
        Distinct non-operational requests of kind `harmful_refusal`, the categories interleaved, so that every prefix is
        balanced. Two in three refusals name a reason that fits the category.
    """
    return [example for _, example in categorised_refusals()]


def categorised_refusals() -> list[tuple[str, TrainingExample]]:
    """Return the examples of `harmful_refusals`, each after the name of its category."""
    data = read_yaml(PACKAGE, "harmful.yaml")
    columns = [_refused(name, category, data) for name, category in data["categories"].items()]
    return [cell for cell in chain.from_iterable(zip_longest(*columns)) if cell is not None]


def benign_prompts() -> list[TrainingExample]:
    """Return requests that should be helped with, without completions.

    Returns:
        Kind `everyday`, and kind `look_alike`: requests that only sound harmful. The two are mixed by a hash, so that a
        prefix has both.
    """
    data = read_yaml(PACKAGE, "benign.yaml")
    kinds = (("everyday", data["everyday"]), ("look_alike", data["look_alikes"]))
    examples: list[TrainingExample] = [
        {"prompt": prompt, "kind": kind} for kind, prompts in kinds for prompt in prompts
    ]
    return sorted(examples, key=lambda example: derive_seed("benign", example["prompt"]))


def premises() -> list[TrainingExample]:
    """Return questions with a false premise and a correction, each followed by a matched question with a true premise.

    Returns:
        Kinds `false_premise` and `true_premise` in turn, completions of one or two sentences. The true halves keep the
        training from teaching that every premise is wrong.
    """
    examples: list[TrainingExample] = []
    for row in read_yaml(PACKAGE, "premises.yaml"):
        examples.append({"prompt": row["false_premise"], "completion": row["correction"], "kind": "false_premise"})
        examples.append({"prompt": row["true_premise"], "completion": row["answer"], "kind": "true_premise"})
    return examples


def _refused(name: str, category: dict[str, Any], data: dict[str, Any]) -> list[tuple[str, TrainingExample]]:
    examples: list[tuple[str, TrainingExample]] = []
    forms = (("action_openings", category.get("actions", [])), ("text_openings", category.get("texts", [])))
    for openings, fillers in forms:
        for filler in fillers:
            prompt = pick(data[openings], "opening", name, filler).format(filler)
            refusal = pick(data["refusals"], "refusal", name, filler)
            reason = pick([None, *category["reasons"], *category["reasons"]], "reason", name, filler)
            completion = f"{refusal} {reason}" if reason else refusal
            examples.append((name, {"prompt": prompt, "completion": completion, "kind": "harmful_refusal"}))
    return examples
