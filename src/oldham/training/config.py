"""What every training run is told, whatever its method: one YAML file, validated before anything is loaded."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (pydantic needs it at run time)
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from oldham.core.fingerprint import fingerprint
from oldham.core.records import Record

Order = Literal["mixed", "before", "after"]
"""Where safety data stands in the training order: among the rest, ahead of it, or behind it."""
Tracker = Literal["tensorboard", "wandb", "mlflow"]


class DataSource(Record):
    """One part of the training data."""

    source: str | None = None
    """A registered source, see `oldham list sources`."""
    file: Path | None = None
    """A JSONL file with `prompt` and `completion` on each line, and optionally `context`, `trace` and `rejected`."""
    n: int = Field(ge=1)
    """How many examples to take, from the top."""
    seed: int = 0
    """Seed of a generated source."""
    kind: str | None = None
    """Take only examples of this kind, for sources that have several."""
    answers: Literal["given", "own"] = "given"
    """`own`: the model under training answers the prompts first, so that its manner of helping is kept."""
    answer_tokens: int = Field(default=64, ge=1)
    """Most tokens of an own answer."""

    @model_validator(mode="after")
    def _one_origin(self) -> DataSource:
        if (self.source is None) == (self.file is None):
            raise ValueError("give either `source` or `file`")
        return self


class Mix(Record):
    """Safety data among the reasoning data; its share is a dose.

    The number of examples stays that of `data`: a share of them is replaced, so that runs with different shares are
    compared at equal numbers of examples.
    """

    source: str
    """A registered source of safety data."""
    ratio: float = Field(ge=0.0, le=1.0)
    """Share of the training examples that it replaces, rounded to whole examples."""
    order: Order = "mixed"
    """Where it stands in the training order."""
    seed: int = 0
    """Seed of a generated source."""
    kind: str | None = None
    """Take only examples of this kind."""


class LoraSettings(Record):
    """The adapter's shape (Hu et al. 2021, arXiv 2106.09685)."""

    r: int = Field(default=8, ge=1)
    """Rank."""
    alpha: int = Field(default=16, ge=1)
    """Scale; the update is multiplied by alpha / r."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout on the adapter's input."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Which linear layers get one."""
    layers: tuple[int, int] | None = None
    """First and last block that get one, counted from 0 and both included; None for all."""

    @model_validator(mode="after")
    def _somewhere(self) -> LoraSettings:
        if self.layers is not None and not 0 <= self.layers[0] <= self.layers[1]:
            raise ValueError("`layers` gives the first and the last block, counted from 0, such as [10, 19]")
        if not self.target_modules:
            raise ValueError("`target_modules` names no layer; leave it out for all of them")
        return self


class PanelSettings(Record):
    """A small paired safety panel, run while the model trains."""

    every: int = Field(ge=1)
    """Optimiser steps between two panels; one is run before the first step, and one after the last."""
    benchmarks: tuple[str, ...] = ("harmful:20", "benign:20", "arithmetic:20")
    """As in a study, at most 60 items together."""
    answer_tokens: int = Field(default=128, ge=1)
    """Most tokens of an answer; worked solutions need about a hundred."""
    margin: float = Field(default=0.1, gt=0.0, lt=1.0)
    """Largest loss of a safety score, against the panel before the first step, that still counts as none."""
    stop: bool = False
    """Stop training when a safety axis has lost more than the margin with 95% confidence."""


class TrainingSettings(Record):
    """What every method shares."""

    model_config = ConfigDict(allow_inf_nan=False)
    method: ClassVar[str]
    """The command's name for the method."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the run directory."""
    model: str
    """A model name as in a study file; with an adapter, training goes on from that adapter."""
    data: tuple[DataSource, ...] = Field(min_length=1)
    """The parts of the training data; they are joined and shuffled by the seed."""
    mix: Mix | None = None
    """Safety data that replaces a share of `data`."""
    steps: int = Field(default=100, ge=1)
    """Optimiser steps."""
    batch_size: int = Field(default=8, ge=1)
    """Examples a step; with several devices, on each of them."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are summed to one step."""
    learning_rate: float = Field(default=2e-4, gt=0.0)
    """Peak learning rate."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """How the learning rate goes on after the warm-up."""
    warmup_steps: int = Field(default=5, ge=0)
    """Linear warm-up."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW's."""
    adam_beta2: float = Field(default=0.999, gt=0.0, lt=1.0)
    """AdamW's second decay rate."""
    gradient_checkpointing: bool = False
    """Compute activations again instead of keeping them: slower, and long examples fit into memory."""
    max_length: int = Field(default=512, ge=16)
    """Tokens an example may have; a longer one is cut at its end."""
    doses: tuple[int, ...] = ()
    """Steps whose weights are kept as a dose; the last step always is."""
    save_every: int = Field(default=20, ge=1)
    """Steps between the checkpoints an interrupted run goes on from."""
    seed: int = Field(default=0, ge=0)
    """Seed of data order and adapter initialisation."""
    lora: LoraSettings | None = LoraSettings()
    """The adapter's shape, ignored when training goes on from an adapter; `null` trains all weights."""
    adapter_dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the kept weights; bfloat16 halves the files."""
    control: str | None = None
    """What this run is a control for, in a word: `text`, `shuffled_answers`. Told in reports."""
    panel: PanelSettings | None = None
    """What is measured while the model trains."""
    track: tuple[Tracker, ...] = ()
    """Where losses, rewards and the panel are logged besides the run directory."""
    citation: str | None = None
    """Who published these settings; a recipe's own."""

    @model_validator(mode="after")
    def _doses_inside(self) -> TrainingSettings:
        last = self._known_steps
        late = [dose for dose in self.doses if dose < 1 or (last is not None and dose > last)]
        if late:
            raise ValueError(f"dose {late[0]} lies outside the {self.steps} steps")
        return self

    @property
    def _known_steps(self) -> int | None:
        """How many steps there will be; None where that is known only once there is a tokenizer."""
        return self.steps

    def fingerprint(self) -> str:
        """Identity of the settings; a run directory belongs to one. What is only watched or told is no part of it."""
        said = self.model_dump(mode="json", exclude={"track", "citation", "control", "panel"})
        stops = self.panel if self.panel is not None and self.panel.stop else None
        return fingerprint("training", {"method": type(self).__name__, "settings": said, "stops": stops})
