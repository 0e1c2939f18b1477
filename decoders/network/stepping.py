"""Single tokens through a decoder's layers: the tensor operations of a step, without modules and masks.

With one token a step, calls cost more than arithmetic. So a step's operands are gathered once per cache: views of the
weights, and an image's keys in the order in which few queries multiply them.

Shapes: B images, N sequences, R = B * N, H heads, d = D / H.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from decoders.network.attention import Attention, attend, attend_few
from decoders.network.cache import Cache
from decoders.network.derived import may_keep
from decoders.network.memory import Memory

MOST_SCORES = 2**15  # of a cross-attention with plain products; the fused kernel is faster from about there

Matrix = tuple[Tensor, Tensor]  # bias and transposed weight, as ``torch.addmm`` takes them
Norm = tuple[tuple[int, ...], Tensor, Tensor, float]  # as ``functional.layer_norm`` takes them


def is_step(decoder: nn.Module, length: int, attention: str | Tensor, cache: Cache) -> bool:
    """Whether a call is one token of each sequence at inference, with a cache that is not static."""
    return length == 1 and not cache.static and isinstance(attention, str) and may_keep(decoder)


class LayerOperands(NamedTuple):
    """Norms of one layer in their order, and its matrices."""

    norms: tuple[Norm, ...]
    own: Matrix
    own_output: Matrix
    query: Matrix
    cross_output: Matrix
    rise: Matrix
    fall: Matrix


def layer_operands(layer: Any, norms: Sequence[Any]) -> LayerOperands:
    """Return the operands of a decoder layer of either family.

    Args:
        layer: with attentions ``own`` and ``cross``, and ``feed_forward``.
        norms: of its self-attention, cross-attention and feed-forward.
    """
    queries: Attention = layer.cross
    return LayerOperands(
        tuple((norm.normalized_shape, norm.weight, norm.bias, norm.eps) for norm in norms),
        _matrix(layer.own.projection),
        _matrix(layer.own.output),
        (queries.projection.bias[: queries.width], queries.projection.weight[: queries.width].t()),
        _matrix(layer.cross.output),
        _matrix(layer.feed_forward.rise),
        _matrix(layer.feed_forward.fall),
    )


def _matrix(linear: nn.Linear) -> Matrix:
    return linear.bias, linear.weight.t()


class StepAttention:
    """Attention of one token of each sequence: to the tokens before it, and to the memory of its image.

    Args:
        memory: of the B images.
        cache: of their sequences, not static.
    """

    def __init__(self, memory: Memory, cache: Cache) -> None:
        self.memory, self._cache = memory, cache
        images, heads, positions, width = memory.keys[0].shape
        self._heads, self._width = heads, width
        self._fused = images * heads * cache.sequences * positions > MOST_SCORES
        self._bias: Tensor | None = None
        if memory.pad is not None:
            bias = torch.zeros_like(memory.pad, dtype=memory.keys[0].dtype).masked_fill_(memory.pad, -torch.inf)
            self._bias = bias.repeat_interleave(heads, dim=0)[:, None]  # (B * H, 1, S)
        self._memory: list[tuple[Tensor, Tensor]] = []
        if not self._fused:
            pairs = zip(memory.keys, memory.values, strict=True)
            self._memory = [(k.flatten(0, 1).transpose(1, 2).contiguous(), v.flatten(0, 1)) for k, v in pairs]

    def attend_own(self, layer: int, projected: Tensor) -> Tensor:
        """Queries, keys and values (R, 3 * D) of one token to its attention (R, D); extends the cache."""
        rows, heads, width = projected.shape[0], self._heads, self._width
        queries, keys, values = projected.view(rows, 3, heads, width).unbind(1)
        past_keys, past_values = self._cache.append(layer, keys, values)
        attended = attend_few(queries.reshape(rows * heads, 1, width), past_keys, past_values)
        return attended.view(rows, heads * width)

    def attend_memory(self, layer: int, queries: Tensor) -> Tensor:
        """Queries (R, D) to their attention (R, D)."""
        images, heads, width = self.memory.batch, self._heads, self._width
        grouped = queries.view(images, -1, heads, width).transpose(1, 2)  # (B, H, N, d)
        if self._fused:
            attended = attend(grouped, self.memory.keys[layer], self.memory.values[layer], self.memory.mask, 0.0)
        else:
            keys, values = self._memory[layer]
            attended = attend_few(grouped.reshape(images * heads, -1, width), keys, values, self._bias)
            attended = attended.view(grouped.shape)
        return attended.transpose(1, 2).reshape(queries.shape)
