"""Post-norm transformer layers of MAD (as in DETR): a layer norm after each residual."""

from __future__ import annotations

from torch import Tensor, nn

from decoders.network.attention import Attention, FeedForward
from decoders.network.cache import Cache
from decoders.network.memory import Memory


class PostNormEncoderLayer(nn.Module):
    """Self-attention and feed-forward."""

    def __init__(self, *, attention: Attention, feed_forward: FeedForward) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.norms = nn.ModuleList(nn.LayerNorm(attention.width) for _ in range(2))

    def forward(self, states: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """(B, S, D) to (B, S, D).

        Args:
            states: (B, S, D).
            positions: (B, S, D), added to queries and keys only.
            mask: (B, 1, 1, S) bool, True where valid.
        """
        queries, keys = self.attention.project(states + positions, 0, 1)
        (values,) = self.attention.project(states, 2, 2)
        states = self.norms[0](states + self.attention(queries, keys, values, mask))
        output: Tensor = self.norms[1](states + self.feed_forward(states))
        return output


class PostNormDecoderLayer(nn.Module):
    """Self-attention, cross-attention and feed-forward; each method includes residual and norm."""

    def __init__(self, *, own: Attention, cross: Attention, feed_forward: FeedForward) -> None:
        super().__init__()
        self.own = own
        self.cross = cross
        self.feed_forward = feed_forward
        self.norms = nn.ModuleList(nn.LayerNorm(own.width) for _ in range(3))

    def attend_own(
        self, states: Tensor, positions: Tensor, mask: Tensor | None, cache: tuple[Cache, int] | None
    ) -> Tensor:
        """Self-attention of (B * N, T, D), each sequence for itself."""
        queries, keys = self.own.project(states + positions, 0, 1)
        (values,) = self.own.project(states, 2, 2)
        if cache is not None:
            keys, values = cache[0].update(cache[1], keys, values)
        output: Tensor = self.norms[0](states + self.own(queries, keys, values, mask))
        return output

    def attend_memory(self, states: Tensor, positions: Tensor, memory: Memory, layer: int) -> Tensor:
        """Cross-attention of (B * N, T, D); the N sequences of an image are one long query of its memory."""
        batch, width = memory.batch, states.shape[-1]
        (queries,) = self.cross.project((states + positions).view(batch, -1, width), 0, 0)  # (B, H, N * T, D / H)
        attended = self.cross(queries, memory.keys[layer], memory.values[layer], memory.mask)  # (B, N * T, D)
        output: Tensor = self.norms[1](states + attended.view_as(states))
        return output

    def feed(self, states: Tensor) -> Tensor:
        """Feed-forward of (B * N, T, D)."""
        output: Tensor = self.norms[2](states + self.feed_forward(states))
        return output
