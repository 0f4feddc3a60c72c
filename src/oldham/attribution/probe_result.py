"""What probes found: their scores as a table and in words, and the probes themselves, kept as JSON and safetensors."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from oldham.attribution.calibration import Calibration, Quality
from oldham.attribution.probe_text import describe
from oldham.core.errors import DataError
from oldham.coupling.results import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from oldham.attribution.labelled import Labelled
    from oldham.attribution.probe import ProbeOptions
    from oldham.engine.activations import ActivationStore

FORMAT: Final = 1
_INTERVALS: Final = ("auroc_interval", "accuracy_interval", "control_interval", "gain_interval")


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """How well a probe at one point and position tells refusals; NaN where nothing is known."""

    site: str
    """Where in the block."""
    layer: int
    """Which block, from 0."""
    position: str
    """Which token."""
    n: int
    """Generations that have this position."""
    n_refused: int
    """Refusals among them."""
    n_clusters: int
    """Clusters of prompts among them."""
    auroc: float
    """Out of fold, in [0, 1]; about one half for a worthless probe. It falls below where labels are spread evenly over
    kinds of prompts that a probe can tell: a prompt that is held out has the label that the rest of its kind lacks."""
    auroc_interval: Interval
    """Cluster bootstrap; the probes stay as fitted."""
    p_value: float
    """Share of shuffled labels under which this probe does as well."""
    p_max: float
    """The same for the best of all probes of the run: it allows for having looked at many."""
    null_mean: float
    """Mean AUROC under shuffled labels."""
    null_95: float
    """95% of the shuffled labels give no more than this."""
    accuracy: float
    """Share told right at a probability of one half, out of fold."""
    accuracy_interval: Interval
    """Cluster bootstrap."""
    majority: float
    """Accuracy of always naming the commoner label."""
    control: float
    """AUROC of a probe that sees only the logits of refusing and complying words, read off this point by the final norm
    and the unembedding; NaN outside the residual stream."""
    control_interval: Interval
    """Cluster bootstrap."""
    gain: float
    """`auroc` minus `control`, on the same rows."""
    gain_interval: Interval
    """Cluster bootstrap of the difference, paired."""
    calibration: Calibration
    """Temperature, and how good the probabilities are before and after it."""


class Fitted(NamedTuple):
    """A probe fitted on all of its rows, and what probes of its kind said of rows they had not seen."""

    weights: NDArray[np.float64]
    """Shape (width,); at `head_out` heads and sizes in one row."""
    bias: float
    """Added to activation @ weights for the logit of refusing."""
    generations: tuple[str, ...]
    """Fingerprints of the rows."""
    held_out: NDArray[np.float64]
    """Shape (rows,): logits out of fold, of the first draw of folds."""


@dataclass(frozen=True)
class ProbeResult:
    """All probes of one arm."""

    arm: str
    """The arm's name."""
    counted: str
    """What there was to tell apart, in one sentence."""
    model: str
    """Fingerprint of the model whose activations were read."""
    settings: dict[str, Any]
    """Folds, shuffles, strength, seed and the rest."""
    scores: tuple[ProbeScore, ...]
    """By position, then point."""
    fits: tuple[Fitted, ...]
    """In the order of `scores`."""
    null: NDArray[np.float64]
    """Shape (probes, shuffles): AUROC under shuffled labels. Probes with the same rows share their shuffles."""

    @classmethod
    def of(
        cls,
        scores: Sequence[ProbeScore],
        fits: Sequence[Fitted],
        null: NDArray[np.float64],
        *,
        store: ActivationStore,
        labelled: Labelled,
        options: ProbeOptions,
    ) -> Self:
        """Put scores together; called by `oldham.attribution.probe.probe`."""
        highest = np.nanmax(np.where(np.isnan(null), -np.inf, null), axis=0) if null.size else np.array([])
        told = []
        for score in scores:
            p_max = math.nan
            if len(highest) and not math.isnan(score.auroc):
                p_max = float((1 + (highest >= score.auroc).sum()) / (1 + len(highest)))
            told.append(ProbeScore(**{**_shallow(score), "p_max": p_max}))
        return cls(
            arm=labelled.arm,
            counted=labelled.counted,
            model="" if store.model is None else store.model.fingerprint,
            settings={
                name: getattr(options, name)
                for name in ("folds", "repeats", "shuffles", "resamples", "strength", "positions", "seed")
            },
            scores=tuple(told),
            fits=tuple(fits),
            null=null,
        )

    @property
    def best(self) -> ProbeScore:
        """The probe of the highest AUROC; picking it flatters it, which only `p_max` allows for."""
        return max(self.scores, key=lambda score: -math.inf if math.isnan(score.auroc) else score.auroc)

    def probabilities(self, number: int, activations: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the calibrated probability of refusing, such as at every token of a trace (the refusal cliff).

        Args:
            number: Which probe, as in `scores`.
            activations: Shape (rows, width), at the probe's point. A probe was tested at its own position only.

        Returns:
            Shape (rows,), in [0, 1]; NaN where no temperature could be fitted.
        """
        fitted, temperature = self.fits[number], self.scores[number].calibration.temperature
        logits = activations.astype(np.float64) @ fitted.weights + fitted.bias
        told: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logits / temperature, -700, 700)))
        return told

    def to_frame(self) -> pl.DataFrame:
        """Return the scores as a table, one row a probe."""
        return pl.DataFrame([_flat(score) for score in self.scores], infer_schema_length=None)

    def summary(self) -> str:
        """Return what was found as plain text, for a terminal."""
        return describe(self)

    def save(self, folder: Path) -> None:
        """Write `probe.json` (scores and settings) and `probe.safetensors` (weights, held-out logits, null).

        Args:
            folder: Made where it is not there.

        Raises:
            DataError: It cannot be written.
        """
        told = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in ("arm", "counted", "model", "settings")},
            "scores": [_nested(score) for score in self.scores],
            "generations": [list(fitted.generations) for fitted in self.fits],
        }
        tensors = {"null": self.null}
        for number, fitted in enumerate(self.fits):
            tensors[f"{number}.weights"] = fitted.weights
            tensors[f"{number}.bias"] = np.array([fitted.bias])
            tensors[f"{number}.held_out"] = fitted.held_out
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_file(tensors, folder / "probe.safetensors")
            text = json.dumps(told, indent=1)  # NaN stays NaN: Python's own reader takes it back
            (folder / "probe.json").write_text(text, encoding="utf-8")
        except OSError as error:
            raise DataError(f"The probes cannot be written ({error.strerror}).", place=str(folder)) from error

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Args:
            folder: Where it is.

        Raises:
            DataError: There are no probes, or they are damaged.
        """
        try:
            told = json.loads((folder / "probe.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "probe.safetensors")
            if told["format"] != FORMAT:
                raise ValueError(f"format {told['format']}")
            return cls(
                arm=told["arm"],
                counted=told["counted"],
                model=told["model"],
                settings={**told["settings"], "positions": tuple(told["settings"]["positions"])},
                scores=tuple(map(_score, told["scores"])),
                fits=tuple(
                    Fitted(
                        tensors[f"{number}.weights"],
                        float(tensors[f"{number}.bias"][0]),
                        tuple(generations),
                        tensors[f"{number}.held_out"],
                    )
                    for number, generations in enumerate(told["generations"])
                ),
                null=tensors["null"],
            )
        except Exception as error:  # damaged files surface as errors of several libraries
            raise DataError(
                f"The probes cannot be read ({error}).",
                place=str(folder),
                remedy="Make them again: oldham attribute probe.",
            ) from error


def _shallow(score: ProbeScore) -> dict[str, Any]:
    return {field.name: getattr(score, field.name) for field in fields(score)}


def _nested(score: ProbeScore) -> dict[str, Any]:
    told = asdict(score)
    after = score.calibration
    told["calibration"] = {
        "temperature": after.temperature,
        "before": after.before._asdict(),
        "after": after.after._asdict(),
    }
    return told


def _score(told: dict[str, Any]) -> ProbeScore:
    kept = told["calibration"]
    calibration = Calibration(kept["temperature"], Quality(**kept["before"]), Quality(**kept["after"]))
    intervals = {name: Interval(*told[name]) for name in _INTERVALS}
    return ProbeScore(**{**told, **intervals, "calibration": calibration})


def _flat(score: ProbeScore) -> dict[str, Any]:
    row = _shallow(score)
    calibration: Calibration = row.pop("calibration")
    for name in _INTERVALS:
        interval: Interval = row.pop(name)
        base = name.removesuffix("_interval")
        row |= {f"{base}_low": interval.low, f"{base}_high": interval.high}
    row["temperature"] = calibration.temperature
    for when in ("before", "after"):
        row |= {f"{name}_{when}": value for name, value in getattr(calibration, when)._asdict().items()}
    return row
