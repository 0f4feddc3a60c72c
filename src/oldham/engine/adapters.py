"""Many adapters on one base: a loaded model becomes another dose without loading the base again.

A merged weight cannot be unmerged: the sum was rounded. So the base's own values are read again from its file, by
memory map and one module at a time, the adapters are merged into them in float32 by PEFT's own layers, and the sum is
rounded into the tensor that the model already has. PEFT reads an adapter into a skeleton of the model, whose weights
take no memory, so that every option of an adapter means what PEFT means by it.

Nothing is assumed about the model's files: before a module is written for the first time, what it holds is computed
from the files and compared bit by bit.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import Embedding, Linear, LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

# Whatever else an adapter's configuration sets makes it one that has to be loaded: it changes the base while it is
# read (PiSSA, OLoRA, LoftQ, ...), or cannot be merged one module at a time.
_UNDERSTOOD: Final = frozenset(
    {"r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_bias", "bias"}
    | {"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save"}
    | {"fan_in_fan_out", "init_lora_weights", "lora_dropout"}
    | {"task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"}
    | {"runtime_config", "qalora_group_size", "megatron_core"}
)
_PLAIN_STARTS: Final = (True, False, "gaussian", "orthogonal")


class AdapterSwitch:
    """Turns a loaded model into the same base with other adapters, in place.

    The weights are afterwards bit by bit those of a fresh load with the same adapters: merged in order, in float32 and
    on the CPU, rounded once. Only modules that an adapter changes, before or after, are written; each parameter stays
    the tensor it is, on its device. While switching, one module's weights are in memory a second time.

    Args:
        model: A causal language model of transformers, loaded from `folder`, its adapters merged into the weights.
        folder: Where the base's files are: `config.json` and safetensors.
        adapters: Folders of the adapters that are merged now, in order.
    """

    def __init__(self, model: Any, folder: Path, adapters: Sequence[Path] = ()) -> None:
        self.folder = folder
        self._model = model
        self._now: tuple[Path, ...] | None = tuple(adapters)
        self._stamps = {path: _stamp(path) for path in self._read_files()}
        self._known: set[str] = set()  # modules found to hold what the files say
        self._changed: set[str] = set()  # modules that hold something else than the base's values
        self._is_first = True

    @property
    def adapters(self) -> tuple[Path, ...] | None:
        """The adapters that are merged now, in order; None after a switch that was broken off in the middle."""
        return self._now

    def switch(self, adapters: Sequence[Path]) -> bool:
        """Become the base with other adapters.

        Args:
            adapters: Folders of the adapters, in the order of merging; none for the base.

        Returns:
            Whether it is done. Where not, nothing was changed, and the model has to be loaded: an adapter that is not
            LoRA, that replaces tied embeddings or has an option that changes the base while it is read, one that
            cannot be read, files that were changed since loading, or a model that is not what its files say.
        """
        wanted = tuple(adapters)
        if self._now is None or any(_stamp(path) != stamp for path, stamp in self._stamps.items()):
            return False
        try:
            with _Base(self.folder, self._model) as base, torch.no_grad():
                before = _Merge(base, self._now if self._is_first else ())
                after = _Merge(base, wanted)
                modules = sorted(self._changed | before.modules | after.modules)
                if not self._holds(before, modules):
                    return False
                self._now = None
                for name in modules:
                    self._write(name, after.weights(name))
        except _NotSwitchableError:
            return False
        self._now, self._changed, self._is_first = wanted, after.modules, False
        self._stamps = {path: stamp for path, stamp in self._stamps.items() if path.parent == self.folder}
        return True

    def _read_files(self) -> list[Path]:
        """List the files that must stay as they are: the base's, and until the first switch the merged adapters'."""
        adapters = [path for folder in self._now or () for path in folder.glob("adapter_*")]
        return [*self.folder.glob("*.safetensors*"), self.folder / "config.json", *adapters]

    def _holds(self, merge: _Merge, modules: Sequence[str]) -> bool:
        """Whether the model holds what its files say, in the modules where that has not been looked at yet."""
        unknown = [name for name in modules if name not in self._known]
        for name in unknown:
            for leaf, wanted in merge.weights(name).items():
                found = self._parameter(name, leaf)
                if not _same_bits(found.cpu(), wanted.to(found.dtype)):
                    return False
        self._known.update(unknown)
        return True

    def _write(self, name: str, weights: dict[str, torch.Tensor]) -> None:
        for leaf, value in weights.items():
            self._parameter(name, leaf).copy_(value)

    def _parameter(self, name: str, leaf: str) -> torch.Tensor:
        found: torch.Tensor = self._model.get_submodule(name).get_parameter(leaf).data
        return found


class _NotSwitchableError(Exception):
    """The model has to be loaded."""


class _Base:
    """The base's own values, by memory map, and skeletons of it.

    Raises:
        _NotSwitchableError: The model is not built as its configuration says: its embeddings were untied, say.
    """

    def __init__(self, folder: Path, model: Any) -> None:
        self._folder = folder
        self._config = AutoConfig.from_pretrained(folder, local_files_only=True)
        self._files = ExitStack()
        self._where: dict[str, Any] = {}
        skeleton = self.skeleton()
        if type(skeleton) is not type(model) or _build(skeleton) != _build(model):
            raise _NotSwitchableError
        self.leaves = _leaves(skeleton)
        """The names of each module's own parameters."""

    def __enter__(self) -> _Base:
        for path in sorted(self._folder.glob("*.safetensors")):
            file = self._files.enter_context(safe_open(path, framework="pt", device="cpu"))
            self._where |= dict.fromkeys(file.keys(), file)
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def skeleton(self, whole: Collection[str] = ()) -> Any:
        """Build the model without memory for its weights: each is one number, seen from everywhere.

        Args:
            whole: Names of the parameters that can be written to.
        """
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(self._config, dtype=torch.float32)
        stand_ins: dict[int, torch.nn.Parameter] = {}
        for name, parameter in list(model.named_parameters(remove_duplicate=False)):
            if id(parameter) not in stand_ins:
                # NaN, so that a weight which an adapter should have brought and did not is seen.
                nothing = torch.full([], torch.nan).expand(parameter.shape)
                nothing = nothing.clone() if name in whole else nothing
                stand_ins[id(parameter)] = torch.nn.Parameter(nothing, requires_grad=False)
            module, _, leaf = name.rpartition(".")
            model.get_submodule(module)._parameters[leaf] = stand_ins[id(parameter)]
        return model

    def value(self, name: str) -> torch.Tensor:
        """Read a parameter, in the file's format and not to be written into."""
        if name not in self._where:
            raise _NotSwitchableError
        value: torch.Tensor = self._where[name].get_tensor(name)
        return value


class _Merge:
    """What the base with some adapters holds, module by module."""

    def __init__(self, base: _Base, adapters: Sequence[Path]) -> None:
        self._base = base
        self._adapters = [_Adapter(base.skeleton(_stored(folder)), folder) for folder in adapters]
        self.modules = {name.rpartition(".")[0] for adapter in self._adapters for name in adapter.changes()}
        """The modules that the adapters change."""

    def weights(self, module: str) -> dict[str, torch.Tensor]:
        """Return a module's own parameters, merged, on the CPU and not to be written into."""
        weights = {leaf: self._base.value(f"{module}.{leaf}") for leaf in self._base.leaves[module]}
        for adapter in self._adapters:
            weights = adapter.merged(module, weights)
        return weights


class _Adapter:
    """One adapter, read by PEFT into a skeleton."""

    def __init__(self, skeleton: Any, folder: Path) -> None:
        _check_configuration(folder)
        tied = _tied(skeleton)
        places = dict(skeleton.named_parameters())
        unwritten = {name: parameter._version for name, parameter in places.items()}
        _read(skeleton, folder)
        self._layers: dict[str, LoraLayer] = {}
        self._brought = {n: p.detach() for n, p in places.items() if p._version != unwritten[n]}
        for name, module in skeleton.named_modules():
            if type(module) in (Linear, Embedding):
                self._layers[name] = module
            elif type(module) is ModulesToSaveWrapper:
                self._brought |= _saved(name, module)
            elif isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper):
                raise _NotSwitchableError
        if tied & set(self.changes()):
            raise _NotSwitchableError

    def changes(self) -> Iterator[str]:
        """Yield the names of the parameters that it changes."""
        yield from self._brought
        for name, layer in self._layers.items():
            yield f"{name}.weight"
            if any(layer.lora_bias.values()):
                yield f"{name}.bias"

    def merged(self, module: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return a module's parameters with the adapter merged into them."""
        weights = {leaf: self._brought.get(f"{module}.{leaf}", value) for leaf, value in weights.items()}
        layer = self._layers.get(module)
        if layer is None:
            return weights
        places = {leaf: layer.get_base_layer().get_parameter(leaf) for leaf in weights}
        empty = {leaf: place.data for leaf, place in places.items()}
        for leaf, place in places.items():
            place.data = weights[leaf].to(dtype=torch.float32, copy=True)  # merging writes into it
        layer.merge()
        layer.merged_adapters.clear()
        weights = {leaf: place.data for leaf, place in places.items()}
        for leaf, place in places.items():
            place.data = empty[leaf]
        return weights


def _stored(folder: Path) -> set[str]:
    """Return the names of an adapter's tensors, where they are the model's own as the model calls them."""
    try:
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
            names = list(file.keys())
    except Exception as error:  # a damaged file surfaces as errors of several libraries
        raise _NotSwitchableError from error
    return {name.removeprefix("base_model.model.").replace(".base_layer.", ".") for name in names}


def _check_configuration(folder: Path) -> None:
    try:
        kind = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("peft_type")
        if kind != "LORA":
            raise _NotSwitchableError
        config = LoraConfig.from_pretrained(str(folder))
    except (OSError, ValueError, TypeError) as error:  # loading it says what is wrong
        raise _NotSwitchableError from error
    plain = LoraConfig()
    for setting in dataclasses.fields(config):
        name = setting.name
        if name not in _UNDERSTOOD and getattr(config, name) != getattr(plain, name):
            raise _NotSwitchableError
    if config.init_lora_weights not in _PLAIN_STARTS:
        raise _NotSwitchableError


def _read(skeleton: Any, folder: Path) -> None:
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        # What the file lacks stays as PEFT drew it at random.
        warnings.filterwarnings("error", message="Found missing adapter keys")
        try:
            PeftModel.from_pretrained(skeleton, str(folder))
        except Exception as error:  # loading it raises the same where the files are damaged, and says so
            raise _NotSwitchableError from error


def _saved(name: str, wrapper: ModulesToSaveWrapper) -> dict[str, torch.Tensor]:
    """Return the parameters of a module that an adapter replaces, by their names in the model."""
    module = wrapper.modules_to_save[wrapper.active_adapters[0]]
    values = {f"{name}.{leaf}": value.detach() for leaf, value in module.named_parameters()}
    if any(True for _ in module.buffers()) or any(bool(value.isnan().all()) for value in values.values()):
        raise _NotSwitchableError  # buffers are not among what is written; NaN is what the skeleton held
    return values


def _leaves(model: Any) -> dict[str, list[str]]:
    names: dict[str, list[str]] = defaultdict(list)
    for name, _ in model.named_parameters(remove_duplicate=False):
        module, _, leaf = name.rpartition(".")
        names[module].append(leaf)
    return names


def _tied(model: Any) -> set[str]:
    """Return the names of the parameters that share a tensor with another."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    return {name for same in names.values() if len(same) > 1 for name in same}


def _build(model: Any) -> tuple[dict[str, torch.Size], set[str]]:
    shapes = {name: parameter.shape for name, parameter in model.named_parameters(remove_duplicate=False)}
    return shapes, _tied(model)


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8)))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
