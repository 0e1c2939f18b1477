"""Pre-norm transformer blocks of AiT: every part reads a normalized input, and its result is added to the states."""

from __future__ import annotations

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
        self.dropout = dropout

    def forward(self, states: Tensor) -> Tensor:
        """(..., D) to (..., D), without the residual."""
        hidden = functional.gelu(functional.linear(states, self.rise.weight, self.rise.bias))
        if self.training and self.dropout:
            hidden = functional.dropout(hidden, self.dropout)
        return functional.linear(hidden, self.fall.weight, self.fall.bias)


class Residual(nn.Module):
    """States plus what a part made of them, which is left out for a share of the rows while training.

    Args:
        drop_path: that share.
    """

    def __init__(self, *, drop_path: float) -> None:
        super().__init__()
        self.drop_path = DropPath(drop_path)

    def add(self, states: Tensor, found: Tensor) -> Tensor:
        """Both (B, T, D)."""
        return states + self.drop_path(found) if self.training else states + found


class EncoderBlock(Residual):
    """Self-attention and feed-forward.

    Args:
        attention: of the block.
        feed_forward: of the block.
        drop_path: share of the images whose residual is left out while training.
    """

    def __init__(self, *, attention: Attention, feed_forward: FeedForward, drop_path: float) -> None:
        super().__init__(drop_path=drop_path)
        self.attention = attention
        self.feed_forward = feed_forward
        self.attention_norm = nn.LayerNorm(attention.width)
        self.feed_norm = nn.LayerNorm(attention.width)

    def forward(self, states: Tensor) -> Tensor:
        """(B, S, D) to (B, S, D)."""
        queries, keys, values = self.attention.project(self.attention_norm(states), 0, 2)
        states = self.add(states, self.attention(queries, keys, values))
        return self.add(states, self.feed_forward(self.feed_norm(states)))


class DecoderBlock(Residual):
    """Self-attention, cross-attention and feed-forward.

    The norm of the cross-attention's queries is also that of the memory (AiT's release), so that each block reads the
    memory in its own way; keys and values of it are still made once per image.

    A step decodes one token, so that what a block costs there is calls, not arithmetic: parts are called directly where
    nothing but the call would be lost.

    Args:
        own: self-attention.
        cross: cross-attention.
        feed_forward: of the block.
        drop_path: share of the sequences whose residual is left out while training.
    """

    def __init__(self, *, own: Attention, cross: Attention, feed_forward: FeedForward, drop_path: float) -> None:
        super().__init__(drop_path=drop_path)
        self.own = own
        self.cross = cross
        self.feed_forward = feed_forward
        self.own_norm = nn.LayerNorm(own.width)
        self.cross_norm = nn.LayerNorm(own.width)
        self.feed_norm = nn.LayerNorm(own.width)

    def project_memory(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, D / H) of memory states (B, S, D)."""
        keys, values = self.cross.project(self.cross_norm(states), 1, 2)
        return keys.contiguous(), values.contiguous()

    def attend_own(self, states: Tensor, mask: Tensor | None, cache: tuple[Cache, int] | None) -> Tensor:
        """Self-attention of (B * N, T, D), each sequence for itself, residual included."""
        queries, keys, values = self.own.project(_normalized(self.own_norm, states), 0, 2)
        if cache is not None:
            keys, values = cache[0].update(cache[1], keys, values)
        return self.add(states, self.own.forward(queries, keys, values, mask))

    def attend_memory(self, states: Tensor, memory: Memory, layer: int) -> Tensor:
        """Cross-attention of (B * N, T, D); the N sequences of an image are one long query of its memory."""
        normalized = _normalized(self.cross_norm, states)
        together = normalized.view(memory.batch, -1, states.shape[-1])  # (B, N * T, D)
        (queries,) = self.cross.project(together, 0, 0)
        found = self.cross.forward(queries, memory.keys[layer], memory.values[layer])  # (B, N * T, D)
        return self.add(states, found.view_as(states))

    def feed(self, states: Tensor) -> Tensor:
        """Feed-forward of (B * N, T, D), residual included."""
        return self.add(states, self.feed_forward.forward(_normalized(self.feed_norm, states)))


def _normalized(norm: nn.LayerNorm, states: Tensor) -> Tensor:
    return functional.layer_norm(states, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
