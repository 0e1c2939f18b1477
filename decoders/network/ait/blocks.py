"""Pre-norm transformer blocks of AiT: every part reads a normalised input, and its result is added to the states."""

from __future__ import annotations

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn import functional

from decoders.network.attention import Attention
from decoders.network.cache import Cache
from decoders.network.decoder import Memory


class FeedForward(nn.Module):
    """Two linear layers with a GELU between; dropout behind the GELU only (AiT's release).

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
        return torch.as_tensor(self.fall(self.dropout(functional.gelu(self.rise(states)))))


class EncoderBlock(nn.Module):
    """Self-attention and feed-forward.

    Args:
        attention: of the block.
        feed_forward: of the block.
        drop_path: share of the images whose residual is left out while training.
    """

    def __init__(self, *, attention: Attention, feed_forward: FeedForward, drop_path: float) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.norms = nn.ModuleList(nn.LayerNorm(attention.width) for _ in range(2))
        self.drop_path = DropPath(drop_path)

    def forward(self, states: Tensor) -> Tensor:
        """(B, S, D) to (B, S, D)."""
        queries, keys, values = self.attention.project(self.norms[0](states), 0, 2)
        states = states + self.drop_path(self.attention(queries, keys, values))
        result: Tensor = states + self.drop_path(self.feed_forward(self.norms[1](states)))
        return result


class DecoderBlock(nn.Module):
    """Self-attention, cross-attention and feed-forward.

    The norm of the cross-attention's queries is also that of the memory (AiT's release), so that each block reads the
    memory in its own way; keys and values of it are still made once per image.

    Args:
        own: self-attention.
        cross: cross-attention.
        feed_forward: of the block.
        drop_path: share of the sequences whose residual is left out while training.
    """

    def __init__(self, *, own: Attention, cross: Attention, feed_forward: FeedForward, drop_path: float) -> None:
        super().__init__()
        self.own = own
        self.cross = cross
        self.feed_forward = feed_forward
        self.norms = nn.ModuleList(nn.LayerNorm(own.width) for _ in range(3))
        self.drop_path = DropPath(drop_path)

    def memorise(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, D / H) of memory states (B, S, D)."""
        keys, values = self.cross.project(self.norms[1](states), 1, 2)
        return keys.contiguous(), values.contiguous()

    def attend_own(self, states: Tensor, mask: Tensor | None, cache: tuple[Cache, int] | None) -> Tensor:
        """Self-attention of (B * N, T, D), each sequence for itself, residual included."""
        queries, keys, values = self.own.project(self.norms[0](states), 0, 2)
        if cache is not None:
            keys, values = cache[0].update(cache[1], keys, values)
        result: Tensor = states + self.drop_path(self.own(queries, keys, values, mask))
        return result

    def attend_memory(self, states: Tensor, memory: Memory, layer: int) -> Tensor:
        """Cross-attention of (B * N, T, D); the N sequences of an image are one long query of its memory."""
        together = self.norms[1](states).view(memory.batch, -1, states.shape[-1])  # (B, N * T, D)
        (queries,) = self.cross.project(together, 0, 0)
        found = self.cross(queries, memory.keys[layer], memory.values[layer])  # (B, N * T, D)
        result: Tensor = states + self.drop_path(found.view_as(states))
        return result

    def feed(self, states: Tensor) -> Tensor:
        """Feed-forward of (B * N, T, D), residual included."""
        result: Tensor = states + self.drop_path(self.feed_forward(self.norms[2](states)))
        return result
