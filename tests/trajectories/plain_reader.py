"""The plain way to read probes: for each, a forward pass over the text it stands for, written out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_plain(model: Any, ids: Sequence[int], probes: Sequence[Any], options: Any) -> Any:
    from oldham.engine.packed import PackedReading

    return PackedReading(tuple(_read(model, ids, probe, options) for probe in probes), "reuse", "it is a test.")


def _read(model: Any, ids: Sequence[int], probe: Any, options: Any) -> Any:
    from oldham.engine.packed import Reading

    text = [*ids[: probe.after], *probe.ids]
    after = _log_probabilities(model, text)[-1]
    scores = []
    for candidate in probe.candidates:
        told = _log_probabilities(model, [*text, *candidate])[len(text) - 1 : -1]
        scores.append(sum(float(row[token]) for row, token in zip(told, candidate, strict=True)))
    blocks = model.model.layers  # not `output_hidden_states`: its last one is normalised
    hidden: list[Any] = []
    for layer in options.layers:
        handle = blocks[layer].register_forward_hook(lambda _, __, out: hidden.append(_last(out)))
        _log_probabilities(model, text)
        handle.remove()
    return Reading(
        first=after[list(options.first_tokens)].numpy(),
        candidates=np.array(scores),
        entropy=float(-(after.exp() * after).sum()),
        hidden=np.array(hidden, dtype=np.float32).reshape(len(hidden), model.config.hidden_size),
    )


def _last(out: Any) -> Any:
    return (out[0] if isinstance(out, tuple) else out)[0, -1].float().numpy()


def _log_probabilities(model: Any, ids: list[int]) -> Any:
    import torch

    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(dim=-1)
