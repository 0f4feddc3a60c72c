"""From logits to tokens: each row draws from its own stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from oldham.core.records import Sampling

_WIDTHS: Final = (64, 1024)
_BLOCK: Final = 256


def greedy(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the best token of each row and how far the second best is behind.

    Args:
        logits: Float32, shape (rows, vocabulary); what is -inf cannot be drawn. They are changed.

    Returns:
        Token ids, the lowest of equals, and gaps in logits, 0 or more; a gap is NaN or infinite where no token or one
        alone is possible. Shape (rows,) each.
    """
    best, tokens = logits.max(dim=-1)
    logits.scatter_(1, tokens[:, None], -torch.inf)
    gaps = best - logits.amax(dim=-1)
    logits.scatter_(1, tokens[:, None], best[:, None])
    return tokens, gaps


def sample(logits: torch.Tensor, sampling: Sampling, chances: torch.Tensor) -> torch.Tensor:
    """Draw one token a row by inverting the cumulative distribution.

    A row's token depends on its own logits and chance alone, also in the last bit.

    Args:
        logits: Float32, shape (rows, vocabulary).
        sampling: Temperature above 0, and the cuts; `top_k` is applied before `top_p`.
        chances: Float64, uniform in [0, 1), shape (rows,).

    Returns:
        Token ids, shape (rows,).
    """
    scaled = logits / sampling.temperature
    size = scaled.shape[-1]
    if not sampling.top_k and sampling.top_p == 1.0:
        return _invert(scaled.softmax(dim=-1), chances)
    if sampling.top_k:
        values, tokens = scaled.topk(min(sampling.top_k, size), dim=-1)
        return _nucleus(values, tokens, values.logsumexp(dim=-1, keepdim=True), sampling.top_p, chances)
    drawn = torch.zeros(len(scaled), dtype=torch.long, device=scaled.device)
    open_rows = torch.arange(len(scaled), device=scaled.device)
    whole = scaled.logsumexp(dim=-1, keepdim=True)
    for width in (*_WIDTHS, size):
        # Sorting the whole vocabulary is slow, and most of the probability is nearly always in a few tokens.
        values, tokens = scaled[open_rows].topk(min(width, size), dim=-1)
        covered = (values.logsumexp(dim=-1) - whole[open_rows, 0]).exp() >= sampling.top_p
        covered |= width >= size
        rows = open_rows[covered]
        if len(rows):
            drawn[rows] = _nucleus(values[covered], tokens[covered], whole[rows], sampling.top_p, chances[rows])
        open_rows = open_rows[~covered]
        if not len(open_rows):
            break
    return drawn


def _nucleus(
    values: torch.Tensor, tokens: torch.Tensor, whole: torch.Tensor, top_p: float, chances: torch.Tensor
) -> torch.Tensor:
    """Draw among the likeliest tokens that make up `top_p`; values descend, shape (rows, width)."""
    kept = (values - whole).exp()
    before = kept.cumsum(dim=-1) - kept
    kept = kept.masked_fill(before >= top_p, 0.0)  # the token that crosses the line stays
    return tokens.gather(-1, _invert(kept, chances)[:, None])[:, 0]


def _invert(weights: torch.Tensor, chances: torch.Tensor) -> torch.Tensor:
    """Return the first place where the running sum exceeds each chance's share of the total.

    In two steps, first among sums of blocks and then inside one: a running sum over a whole vocabulary takes longer
    than the model's forward pass.
    """
    rows, size = weights.shape
    padded = F.pad(weights, (0, -size % _BLOCK)).view(rows, -1, _BLOCK)
    sums = padded.double().sum(dim=-1).cumsum(dim=-1)
    target = (chances * sums[:, -1])[:, None]
    block = _first_above(sums, target)
    inside = padded[torch.arange(rows, device=weights.device), block].double().cumsum(dim=-1)
    before = torch.where(block > 0, sums.gather(1, (block - 1).clamp(min=0)[:, None])[:, 0], 0.0)
    return block * _BLOCK + _first_above(inside, target - before[:, None])


def _first_above(running: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the first place where each running sum exceeds its target: always one that adds something."""
    total = running[:, -1:]
    below = torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(running, below, right=True)[:, 0]
