"""What the layers of both families are made of: multi-head attention and feed-forward."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoders.network.cache import Cache

PATTERNS = ("full", "causal")
ROWS = 128  # queries whose scores stay in a CPU's cache


class Attention(nn.Module):
    """Multi-head attention in two steps, project and attend, so that keys and values can be computed once and kept.

    Its parameters are those of ``nn.MultiheadAttention``.

    Args:
        width: D.
        heads: H.
        dropout: on the attention weights while training.
    """

    def __init__(self, *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.heads = heads
        self.dropout = dropout
        self.projection = nn.Linear(width, 3 * width)  # rows: queries, keys, values
        self.output = nn.Linear(width, width)

    def project(self, inputs: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
        """Project (B, T, D) by ``first`` to ``last`` of 0 queries, 1 keys, 2 values: each (B, H, T, D / H)."""
        weight: Tensor = self.projection.weight
        bias: Tensor = self.projection.bias
        if (first, last) != (0, 2):
            rows = slice(first * self.width, (last + 1) * self.width)
            weight, bias = weight[rows], bias[rows]
        projected = functional.linear(inputs, weight, bias)
        batch, length, _ = projected.shape
        projected = projected.view(batch, length, last + 1 - first, self.heads, self.width // self.heads)
        return projected.permute(2, 0, 3, 1, 4).unbind(0)  # (last - first + 1) x (B, H, T, D / H)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend and project the result: (B, T, D).

        Args:
            queries: (B, H, T, D / H).
            keys: (B, H, S, D / H).
            values: (B, H, S, D / H).
            mask: bool, True where a query may look, broadcast to (B, H, T, S).
        """
        attended = attend(queries, keys, values, mask, self.dropout if self.training else 0.0)
        joined = attended.transpose(1, 2).flatten(2)  # (B, T, H, D / H) -> (B, T, D)
        return functional.linear(joined, self.output.weight, self.output.bias)


class FeedForward(nn.Module):
    """Two linear layers with an activation between.

    Args:
        width: D.
        hidden: width between the two layers.
        activation: ``relu`` (MAD) or ``gelu`` (AiT).
        dropout: while training, after the activation (both releases), and with ``relu`` after the second layer too.
    """

    def __init__(self, *, width: int, hidden: int, activation: Literal["relu", "gelu"], dropout: float) -> None:
        super().__init__()
        self.rise = nn.Linear(width, hidden)
        self.fall = nn.Linear(hidden, width)
        self.dropout = dropout
        self._relu = activation == "relu"

    def forward(self, states: Tensor) -> Tensor:
        """(..., D) to (..., D), without the residual."""
        hidden = functional.linear(states, self.rise.weight, self.rise.bias)
        hidden = functional.relu(hidden, inplace=not torch.is_grad_enabled()) if self._relu else functional.gelu(hidden)
        dropping = self.training and self.dropout > 0
        output = functional.linear(
            functional.dropout(hidden, self.dropout) if dropping else hidden, self.fall.weight, self.fall.bias
        )
        return functional.dropout(output, self.dropout) if dropping and self._relu else output


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Return scaled dot-product attention (B, H, T, D / H).

    Two cases on a CPU avoid the fused kernel. Its backward pass is slow (a training step took 1.8 times as long), so
    gradients use plain matrix products. Its bfloat16 forward pass is no faster than float32 (27 ms for 1,834 queries
    and 1,050 keys; 25 in float32), so many queries in bfloat16 use them too (15 ms), a block of rows at a time.
    """
    if not queries.is_cuda and torch.is_grad_enabled():
        return _matrix_products(queries, keys, values, mask, dropout)
    if queries.is_cuda or queries.dtype != torch.bfloat16 or queries.shape[-2] < ROWS // 2:
        return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, dropout_p=dropout)
    starts = range(0, queries.shape[-2], ROWS)
    blocks = (slice(start, start + ROWS) for start in starts)
    attended = [_matrix_products(queries[..., b, :], keys, values, _mask_rows(mask, b), dropout) for b in blocks]
    return torch.cat(attended, dim=-2)


def attend_few(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return attention (G, T, d) of few queries; three plain products are faster than the fused kernel there.

    On a CPU one query of 225 keys and 8 heads took 11 us instead of 17.

    Args:
        queries: (G, T, d), G the sequences or images times heads.
        keys: (G, d, S), best contiguous.
        values: (G, S, d).
        bias: (G, 1, S), added to the scores; negative infinity where no query may look.
    """
    scores = torch.bmm(queries * queries.shape[-1] ** -0.5, keys)  # (G, T, S)
    return torch.bmm((scores if bias is None else scores + bias).softmax(dim=-1), values)


def self_attention_mask(
    attention: str | Tensor, length: int, cache: Cache | None, device: torch.device
) -> Tensor | None:
    """Return where ``length`` new tokens may look: a bool mask, or None for everywhere.

    Args:
        attention: ``full``, ``causal``, or the mask itself.
        length: T.
        cache: holds the tokens before them, if any.
        device: of the mask.

    Raises:
        ValueError: if ``attention`` is another word.
    """
    if isinstance(attention, Tensor):
        return attention
    if attention not in PATTERNS:
        raise ValueError(f"attention is {attention!r}; give {' or '.join(map(repr, PATTERNS))}, or a bool mask")
    if cache is not None:
        return cache.mask(length, attention)
    if attention == "full":
        return None
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def _mask_rows(mask: Tensor | None, rows: slice) -> Tensor | None:
    return mask if mask is None or mask.shape[-2] == 1 else mask[..., rows, :]


def _matrix_products(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    scores = (queries / math.sqrt(queries.shape[-1])) @ keys.transpose(-2, -1)  # (B, H, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1)
    if dropout:
        weights = functional.dropout(weights, dropout)
    return weights @ values
