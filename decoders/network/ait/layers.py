"""Pre-norm transformer layers of AiT: each part reads a normalized input, and its output is added to the states."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from decoders.network.attention import Attention, FeedForward
from decoders.network.cache import Cache
from decoders.network.memory import Memory


class Residual(nn.Module):
    """Stochastic depth: while training, a share of the rows skips a part's output.

    Args:
        drop_path: that share.
    """

    def __init__(self, *, drop_path: float) -> None:
        from timm.layers.drop import DropPath

        super().__init__()
        self.drop_path = DropPath(drop_path)

    def add(self, states: Tensor, output: Tensor) -> Tensor:
        """Add a part's output (B, T, D) to its states (B, T, D)."""
        return states + self.drop_path(output) if self.training else states + output


class PreNormEncoderLayer(Residual):
    """Self-attention and feed-forward.

    Args:
        attention: self-attention.
        feed_forward: feed-forward.
        drop_path: share of the images whose residual is skipped while training.
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


class PreNormDecoderLayer(Residual):
    """Self-attention, cross-attention and feed-forward.

    Each method includes the residual. One norm serves the cross-attention's queries and the memory (AiT's release), so
    each layer normalizes the memory itself; its keys and values are still projected once per image.

    With one token a step, Python calls cost more than arithmetic: ``forward`` methods are called directly, which skips
    module hooks.

    Args:
        own: self-attention.
        cross: cross-attention.
        feed_forward: feed-forward.
        drop_path: share of the sequences whose residual is skipped while training.
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
        """Return keys and values (B, H, S, D / H) of encoder states (B, S, D)."""
        keys, values = self.cross.project(self.cross_norm(states), 1, 2)
        return keys.contiguous(), values.contiguous()

    def attend_own(self, states: Tensor, mask: Tensor | None, cache: tuple[Cache, int] | None) -> Tensor:
        """Self-attention of (B * N, T, D), each sequence for itself."""
        queries, keys, values = self.own.project(_normalized(self.own_norm, states), 0, 2)
        if cache is not None:
            keys, values = cache[0].update(cache[1], keys, values)
        return self.add(states, self.own.forward(queries, keys, values, mask))

    def attend_memory(self, states: Tensor, memory: Memory, layer: int) -> Tensor:
        """Cross-attention of (B * N, T, D); the N sequences of an image are one long query of its memory."""
        normalized = _normalized(self.cross_norm, states).view(memory.batch, -1, states.shape[-1])  # (B, N * T, D)
        (queries,) = self.cross.project(normalized, 0, 0)
        attended = self.cross.forward(queries, memory.keys[layer], memory.values[layer])  # (B, N * T, D)
        return self.add(states, attended.view_as(states))

    def feed(self, states: Tensor) -> Tensor:
        """Feed-forward of (B * N, T, D)."""
        return self.add(states, self.feed_forward.forward(_normalized(self.feed_norm, states)))


def _normalized(norm: nn.LayerNorm, states: Tensor) -> Tensor:
    return functional.layer_norm(states, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
