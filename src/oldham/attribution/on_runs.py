"""Probes, depth and activations of an arm of a run: reads the run, and loads the model that its arm asks.

Text is read again as it was stored, and nothing is generated. What belongs to a run goes to `RUN/attributions`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, cast, get_args

import polars as pl

from oldham.attribution.depth import DepthOptions, Pair, check_tokenizers, safety_depth
from oldham.attribution.labelled import arm_facts, labels_of, stored_generations
from oldham.attribution.prefill import PrefillOptions, complying_prefixes, coverage, prefill_depth
from oldham.attribution.probe import ProbeOptions, probe
from oldham.backends.base import ModelSpec
from oldham.backends.chat import TokenizerCodec
from oldham.backends.transformers import TransformersBackend
from oldham.core.errors import ConfigError, ModelError, UnknownNameError, did_you_mean
from oldham.engine.activations import ActivationStore, NumberFormat, StoreOptions
from oldham.engine.anatomy import anatomy_of
from oldham.engine.hooks import SITES, Point
from oldham.engine.token_layout import Positions, Where
from oldham.studies.observations import load_observations
from oldham.trajectories.openings import opening_tokens, read_openings
from oldham.trajectories.steps import sentence_ends

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from oldham.attribution.depth import DepthResult
    from oldham.attribution.prefill import PrefillResult
    from oldham.attribution.probe_result import ProbeResult
    from oldham.core.records import Generation
    from oldham.engine.activations import Stored
    from oldham.engine.hooks import Site

_SPREAD: Final = 8
"""Layers read where none is named, from the first to the last."""
_FEW_KNOWN: Final = 0.5

FOR_PROBES: Final = Positions(where=("prompt_end", "trace", "trace_end", "answer_start"), every=16)
"""What probes read by default: nothing of the answer itself."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which activations of an arm are to be stored."""

    layers: str = ""
    """`all`, or numbers and ranges such as `0,4,8-12`; empty for eight, from the first to the last."""
    sites: tuple[Site, ...] = ("resid_post",)
    """Where in each block."""
    positions: Positions = FOR_PROBES
    """Which tokens."""
    number_format: NumberFormat = "bfloat16"
    """How numbers are stored."""
    benchmarks: tuple[str, ...] = ()
    """Only these; empty for all."""
    model: str | None = None
    """Which model reads; None for the one that the arm asks. With another one, its activations on text of this arm are
    stored."""
    watch: Callable[[str, int, int], None] = field(default=lambda what, done, total: None)
    """Is told what is being done, how much of it is done, and of how much."""


_DEFAULT: Final = Wanted()


def wanted_of(
    layers: str,
    sites: Iterable[str] | None = None,
    at: Iterable[str] | None = None,
    *,
    every: int | None = None,
    benchmarks: Iterable[str] | None = None,
    number_format: str = "bfloat16",
    model: str | None = None,
    watch: Callable[[str, int, int], None] | None = None,
) -> Wanted:
    """Read from words which activations are meant.

    Args:
        layers: As for `Wanted`.
        sites: Names of sites; None or empty for `resid_post`.
        at: Names of positions; None or empty for `FOR_PROBES`.
        every: Of all, trace and answer each so-manieth token; None for 16 where no position is named, else 1.
        benchmarks: Only these; None or empty for all.
        number_format: As for `Wanted`.
        model: As for `Wanted`.
        watch: As for `Wanted`.

    Raises:
        UnknownNameError: There is no such site, position or number format.
    """
    where = tuple(at or FOR_PROBES.where)
    for kind, names, valid in (
        ("site", tuple(sites or ()), SITES),
        ("position", where, get_args(Where)),
        ("number format", (number_format,), get_args(NumberFormat)),
    ):
        for name in names:
            if name not in valid:
                raise UnknownNameError(f"There is no {kind} `{name}`.", remedy=did_you_mean(name, valid))
    return Wanted(
        layers=layers,
        sites=cast("tuple[Site, ...]", tuple(sites or ("resid_post",))),
        positions=Positions(where=cast("tuple[Where, ...]", where), every=every or (1 if at else FOR_PROBES.every)),
        number_format=cast("NumberFormat", number_format),
        benchmarks=tuple(benchmarks or ()),
        model=model,
        watch=watch or (lambda what, done, total: None),
    )


def store_activations(run_dir: Path, arm: str, folder: Path | None = None, wanted: Wanted = _DEFAULT) -> Stored:
    """Store activations of an arm's generations, those of failed ones left out.

    Args:
        run_dir: A run's directory.
        arm: One of its arms.
        folder: Where they go; None for `RUN/attributions/activations/ARM`.
        wanted: Which.

    Raises:
        OldhamError: The run cannot be read, the model cannot be loaded or is not the arm's, or the store holds others.
    """
    table = load_observations(run_dir)
    arms = table["arm"].unique().to_list()
    if arm not in arms:
        raise UnknownNameError(f"There is no arm `{arm}` here.", place=str(run_dir), remedy=did_you_mean(arm, arms))
    mine = table.filter(pl.col("arm") == arm, pl.col("generation").is_not_null())
    known = mine["benchmark"].unique().to_list()
    for name in wanted.benchmarks:
        if name not in known:
            raise UnknownNameError(f"The arm has no benchmark `{name}`.", remedy=did_you_mean(name, known))
    if wanted.benchmarks:
        mine = mine.filter(pl.col("benchmark").is_in(wanted.benchmarks))
    generations = stored_generations(run_dir, mine["generation"].unique(maintain_order=True).to_list(), partial=True)
    return _store(run_dir, arm, generations, folder or default_store(run_dir, arm), wanted)


def default_store(run_dir: Path, arm: str) -> Path:
    """Return where an arm's activations are kept by default.

    Args:
        run_dir: A run's directory.
        arm: One of its arms.
    """
    return run_dir / "attributions" / "activations" / arm


def probe_arm(
    run_dir: Path,
    arm: str,
    folder: Path | None = None,
    *,
    axes: Iterable[str] = ("harm",),
    judge: str | None = None,
    by: str = "cluster",
    wanted: Wanted = _DEFAULT,
    options: ProbeOptions | None = None,
) -> ProbeResult:
    """Probe an arm for its refusals.

    Activations that are not stored yet are stored first; only then is a model loaded.

    Args:
        run_dir: A run's directory.
        arm: One of its arms.
        folder: The activations; None for `default_store`.
        axes: `harm`, `overrefusal`, or both.
        judge: Whose verdicts are the labels; None for the first judge of each benchmark.
        by: What is held out together: `cluster` or `category`.
        wanted: Which activations, and who watches.
        options: Folds, null, intervals, positions.

    Raises:
        OldhamError: The run or the store cannot be read, there is nothing to tell apart, or the model is not the arm's.
    """
    labelled = labels_of(run_dir, arm, axes=axes, judge=judge, by=by)
    place = folder or default_store(run_dir, arm)
    store = ActivationStore(place)
    if not _has(store, labelled.generations, wanted):
        _store(run_dir, arm, stored_generations(run_dir, labelled.generations), place, wanted)
        store = ActivationStore(place)
    points = [point for point in store.points_of(labelled.generations) if _is_wanted(point, wanted)]
    watching = replace(options or ProbeOptions(), watch=lambda done, total: wanted.watch("probes", done, total))
    return probe(store, labelled, points=points, options=watching)


def depth_of_arm(
    run_dir: Path,
    arm: str,
    base: str,
    *,
    axes: Iterable[str] = ("harm",),
    judge: str | None = None,
    model: str | None = None,
    options: DepthOptions | None = None,
    watch: Callable[[str, int, int], None] | None = None,
) -> DepthResult:
    """Compare an arm's model with the base it was made from, on the arm's own text.

    Args:
        run_dir: A run's directory.
        arm: One of its arms.
        base: Name of the base model, as in a study file.
        axes: `harm`, `overrefusal`, or both.
        judge: Whose verdicts say what refuses; None for the first judge of each benchmark.
        model: The aligned model; None for the one that the arm asks.
        options: How many tokens, and the bootstrap.
        watch: Is told what is being done, how much of it is done, and of how much.

    Raises:
        OldhamError: The run cannot be read, a model cannot be loaded, or the two have different tokenizers.
    """
    labelled = labels_of(run_dir, arm, axes=axes, judge=judge, both=False)
    generations = stored_generations(run_dir, labelled.generations)
    aligned = _load(run_dir, arm, model, generations)
    other = _local(base)
    check_tokenizers(aligned.tokenizer, other.tokenizer)
    pair = Pair(aligned.model, other.model, aligned.tokenizer, model or arm_facts(run_dir, arm)["model"], base)
    told = replace(options or DepthOptions(), watch=_only("tokens compared", watch))
    return safety_depth(pair, generations, labelled, told)


def prefill_arm(
    run_dir: Path,
    arm: str,
    donor: str | None = None,
    *,
    axes: Iterable[str] = ("harm",),
    judge: str | None = None,
    model: str | None = None,
    options: PrefillOptions | None = None,
    watch: Callable[[str, int, int], None] | None = None,
) -> PrefillResult:
    """Put the beginnings of complying answers of a run behind an arm's prompts, and read whether it would refuse.

    Args:
        run_dir: A run's directory.
        arm: The arm whose model and prompts are read.
        donor: The arm whose complying answers are used; None for the arm's own.
        axes: `harm`, `overrefusal`, or both.
        judge: Whose verdicts say what complies; None for the first judge of each benchmark.
        model: The model that reads; None for the one that the arm asks.
        options: Which depths, and the bootstrap.
        watch: Is told what is being done, how much of it is done, and of how much.

    Raises:
        OldhamError: The run cannot be read, a model cannot be loaded, or nothing complies.
    """
    axes = tuple(axes)
    labelled = labels_of(run_dir, arm, axes=axes, judge=judge, both=False)
    generations = stored_generations(run_dir, labelled.generations)
    donors = None
    if donor is not None and donor != arm:
        theirs = labels_of(run_dir, donor, axes=axes, judge=judge, both=False)
        donors = (theirs, stored_generations(run_dir, theirs.generations))
    reader = _load(run_dir, arm, model, generations)
    codec = TokenizerCodec(reader.tokenizer, ())
    rows = complying_prefixes(labelled, generations, codec.decode, donors)
    name = model or arm_facts(run_dir, arm)["model"]
    counted = f"{len(rows)} prompts of the arm `{arm}`, answers that go along from the arm `{donor or arm}`."
    told = replace(options or PrefillOptions(), watch=_only("prompts read", watch))
    result = prefill_depth(reader.model, codec, rows, told, name=name, counted=counted)
    known = coverage(labelled, generations, codec)
    notes = []
    if not math.isnan(known):
        few = ": the chances miss most of what this model's refusals look like" if known < _FEW_KNOWN else ""
        notes.append(f"{known:.0%} of the arm's own refusals begin with an opening that is counted{few}.")
    if donors is None:
        notes.append("These are items that the model went along with; --prefill-from ARM takes another arm's answers.")
    return replace(result, notes=tuple(notes))


def layers_of(text: str, n_layers: int) -> list[int]:
    """Read which layers are meant.

    Args:
        text: `all`, or numbers and ranges such as `0,4,8-12`; empty for eight, from the first to the last.
        n_layers: How many the model has.

    Raises:
        ConfigError: It names no layer of the model.
    """
    if text == "all":
        return list(range(n_layers))
    if not text:
        count = min(_SPREAD, n_layers)
        return sorted({round(i * (n_layers - 1) / max(1, count - 1)) for i in range(count)})
    found: set[int] = set()
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or int(last or first) >= n_layers:
            raise ConfigError(
                f"`{piece}` names no layer of this model.",
                remedy=f"Write `all`, or numbers and ranges from 0 to {n_layers - 1}, such as 0,4,8-12.",
            )
        found |= set(range(int(first), int(last or first) + 1))
    return sorted(found)


def _store(run_dir: Path, arm: str, generations: Mapping[str, Generation], folder: Path, wanted: Wanted) -> Stored:
    reader = _load(run_dir, arm, wanted.model, generations)
    codec = TokenizerCodec(reader.tokenizer, ())
    layers = layers_of(wanted.layers, anatomy_of(reader.model).n_layers)
    total = len(generations)
    return ActivationStore(folder).write(
        reader.model,
        generations.values(),
        StoreOptions(
            model=reader.fingerprint,
            decode=codec.decode,
            points=tuple(Point(site, layer) for layer in layers for site in wanted.sites),
            positions=wanted.positions,
            number_format=wanted.number_format,
            lens_tokens=_first_tokens(codec),
            steps=_steps,
            watch=lambda done: wanted.watch("generations read", done, total),
        ),
    )


def _first_tokens(codec: TokenizerCodec) -> tuple[int, ...]:
    """Return the tokens that begin refusing openings only or complying ones only, after a space and without."""
    openings = opening_tokens(read_openings(), codec, ("", " "))
    return tuple(sorted({*openings.refusing_first, *openings.complying_first}))


def _steps(generation: Generation) -> list[int]:
    """Return where the sentences and lines of a trace end, as characters of the output."""
    if generation.trace is None:
        return []
    return [generation.trace.start + end for end in sentence_ends(generation.trace.of(generation.output_text))]


def _has(store: ActivationStore, generations: Collection[str], wanted: Wanted) -> bool:
    """Tell whether nothing needs a model: named layers are there, or any are where none is named."""
    there = store.points_of(generations)
    if not wanted.layers:
        return any(point.site in wanted.sites for point in there)
    if wanted.layers == "all":
        return False
    named = layers_of(wanted.layers, 10**6)
    return all(Point(site, layer) in there for site in wanted.sites for layer in named)


def _is_wanted(point: Point, wanted: Wanted) -> bool:
    if point.site not in wanted.sites:
        return False
    return wanted.layers in ("", "all") or point.layer in layers_of(wanted.layers, 10**6)


def _load(run_dir: Path, arm: str, model: str | None, generations: Mapping[str, Generation]) -> TransformersBackend:
    """Load the model that an arm asks, or another one that the user names."""
    if model is not None:
        return _local(model)
    facts = arm_facts(run_dir, arm)
    if facts.get("steering"):
        raise ConfigError(
            f"The arm `{arm}` steers its model, and its text is read here without steering.",
            place=str(run_dir),
            remedy=f"To look at the model without it, say so: --model {facts['model']}.",
        )
    loaded = _local(str(facts["model"]))
    for generation in generations.values():
        wrote = generation.model
        same = (wrote.weights, wrote.adapter) == (loaded.fingerprint.weights, loaded.fingerprint.adapter)
        if wrote.backend.startswith("transformers") and not same:
            raise ModelError(
                f"`{facts['model']}` is no longer the model that wrote the generations of the arm `{arm}`.",
                place=str(run_dir),
                remedy="Take the weights of then, or name a model with --model to read this text with another one.",
            )
    return loaded


def _local(name: str) -> TransformersBackend:
    if ModelSpec.parse(name).scheme not in ("alias", "hf", "path"):
        raise ConfigError(
            f"`{name}` is asked over a server, which shows no activations.",
            remedy="Name the same weights with --model: smollm2, hf:ORG/NAME or path:DIR.",
        )
    return TransformersBackend.load(name)


def _only(what: str, watch: Callable[[str, int, int], None] | None) -> Callable[[int, int], None] | None:
    return None if watch is None else lambda done, total: watch(what, done, total)
