"""What a study's trials will take of the arms' models: tokens, time and money."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oldham.backends.base import ModelSpec
from oldham.core.errors import EmptyLedgerError
from oldham.core.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from oldham.backends.base import ServerOptions
    from oldham.core.records import ModelFingerprint
    from oldham.studies.plan import PlannedTrial
    from oldham.studies.spec import Study

_RATE_SAMPLE: Final = 200
_EMBEDDED_SPEED: Final = 386 / 211_200
"""Seconds for each token a trial of the embedded model may take: the demo on 2 cores (docs/results.md)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the trials that are still to be generated will take of the arms' models.

    What attackers and judges' models take stands apart, in `AttackerWork` and `JudgeWork`. The checks before the first
    batch are left out.
    """

    trials: int
    """How many there are."""
    prompt_tokens: int
    """Estimated tokens to read."""
    most_tokens: int
    """Most tokens to write; answers usually end earlier."""
    seconds: float | None
    """Estimated time; None where a model's speed is not known."""
    assumed: bool
    """True where a speed comes from another machine, because this one has none in the ledger yet."""
    usd: float
    """What it costs at most on servers whose prices are known; 0 without any."""


def look_up(path: Path, planned: Mapping[str, PlannedTrial]) -> tuple[frozenset[str], dict[str, float]]:
    """Find which trials are stored, and each model's seconds for each token it was allowed.

    Args:
        path: The ledger; it need not be there.
        planned: The study's distinct trials, by identity.

    Returns:
        Identities of the stored trials; and the pace of models by the identity of the model, from rows that no attacker
        has taken time of.

    Raises:
        LedgerError: The ledger is damaged.
    """
    if not path.is_file():
        return frozenset(), {}
    seconds: dict[str, float] = {}
    tokens: dict[str, int] = {}
    try:
        ledger = Ledger(path, read_only=True)
    except EmptyLedgerError:
        return frozenset(), {}
    with ledger:
        stored = ledger.generation_ids() & planned.keys()
        # Rows come in the order of their hashes, so the first ones are a fair sample of all.
        for generation in itertools.islice(ledger.generations(stored), _RATE_SAMPLE):
            model, trial = generation.model.fingerprint, planned[generation.trial.fingerprint]
            asked_others = any(call.by is not None for call in generation.calls)
            if generation.seconds is not None and not asked_others:
                seconds[model] = seconds.get(model, 0.0) + generation.seconds
                tokens[model] = tokens.get(model, 0) + trial.most_tokens
    # A model that has only scored given answers has written nothing, and has no pace.
    return frozenset(stored), {model: seconds[model] / tokens[model] for model in seconds if tokens[model]}


def estimate(
    study: Study, left: Sequence[PlannedTrial], models: Mapping[str, ModelFingerprint], rates: Mapping[str, float]
) -> Estimate:
    """Estimate what trials take.

    Args:
        study: The study.
        left: Those that are still to be generated, each once.
        models: Identity of each model by its name in the study.
        rates: Seconds for each token a model is allowed, by its identity, where that is known.
    """
    measured = {name: rates[model.fingerprint] for name, model in models.items() if model.fingerprint in rates}
    embedded = {name: _EMBEDDED_SPEED for name in models if ModelSpec.parse(name).scheme == "alias"}
    speeds = embedded | measured
    needed = {p.arm.seat for p in left}
    return Estimate(
        trials=len(left),
        prompt_tokens=sum(p.prompt_tokens for p in left),
        most_tokens=sum(p.most_tokens for p in left),
        seconds=sum(p.most_tokens * speeds[p.arm.seat] for p in left) if needed <= speeds.keys() else None,
        assumed=not needed <= measured.keys(),
        usd=sum(_price(p, study.server_of(p.arm)) for p in left),
    )


def _price(planned: PlannedTrial, server: ServerOptions | None) -> float:
    """Return what a trial costs at most; 0 where a price is not known."""
    if server is None:
        return 0.0
    read, written = server.usd_per_million_read or 0.0, server.usd_per_million_written or 0.0
    return (planned.prompt_tokens * read + planned.most_tokens * written) / 1_000_000
