"""Multi-head attention in two halves, projecting and attending, so that keys and values can be made once and kept."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

ROWS = 128  # queries whose scores stay in a CPU's cache


class Attention(nn.Module):
    """Projections of queries, keys and values and of the result; the parameters of ``nn.MultiheadAttention``.

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
        """Projections ``first`` to ``last`` (0 queries, 1 keys, 2 values) of (B, T, D): each (B, H, T, D / H)."""
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
        """Attend and project back.

        Args:
            queries: (B, H, T, D / H).
            keys: (B, H, S, D / H).
            values: (B, H, S, D / H).
            mask: bool, True where a query may look, broadcast to (B, H, T, S).

        Returns:
            (B, T, D).
        """
        attended = attend(queries, keys, values, mask, self.dropout if self.training else 0.0)
        joined = attended.transpose(1, 2).flatten(2)  # (B, T, H, D / H) -> (B, T, D)
        return functional.linear(joined, self.output.weight, self.output.bias)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Scaled dot-product attention: (B, H, T, D / H) from queries, keys and values of that kind.

    On a CPU the backward pass of the fused kernel is slow (a training step took 1.8 times as long), so that gradients
    there go through plain matrix products. Its forward pass gains nothing from bfloat16 (27 ms for 1,834 queries and
    1,050 keys; 25 in float32), so that many queries in bfloat16 do as well (15 ms), a few rows at a time.
    """
    if queries.is_cuda or not torch.is_grad_enabled():
        if queries.is_cuda or queries.dtype != torch.bfloat16 or queries.shape[-2] < ROWS // 2:
            return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, dropout_p=dropout)
        pieces = range(0, queries.shape[-2], ROWS)
        rows = (slice(start, start + ROWS) for start in pieces)
        return torch.cat([_plain(queries[..., r, :], keys, values, _rows(mask, r), dropout) for r in rows], dim=-2)
    return _plain(queries, keys, values, mask, dropout)


def _rows(mask: Tensor | None, rows: slice) -> Tensor | None:
    """What a mask says of some queries."""
    return mask if mask is None or mask.shape[-2] == 1 else mask[..., rows, :]


def _plain(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Attention by two matrix products."""
    scores = (queries / math.sqrt(queries.shape[-1])) @ keys.transpose(-2, -1)  # (B, H, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1)
    if dropout:
        weights = functional.dropout(weights, dropout)
    return weights @ values


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between; dropout after each (MAD's release).

    Args:
        width: D.
        hidden: width between the two layers.
        dropout: while training.
    """

    def __init__(self, *, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.rise = nn.Linear(width, hidden)
        self.fall = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """(..., D) to (..., D), without the residual."""
        hidden = functional.relu(self.rise(states), inplace=not torch.is_grad_enabled())
        return torch.as_tensor(self.dropout(self.fall(self.dropout(hidden))))
