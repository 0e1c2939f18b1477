"""The encoder: post-norm self-attention over the memory positions (DETR; MAD section 3.3)."""

from __future__ import annotations

from torch import Tensor, nn

from decoders.network.attention import Attention, FeedForward


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, a layer norm after each residual."""

    def __init__(self, *, attention: Attention, feed_forward: FeedForward) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.norms = nn.ModuleList(nn.LayerNorm(attention.width) for _ in range(2))

    def forward(self, states: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """(B, S, D) states; positions (B, S, D) enter queries and keys only; mask bool (B, 1, 1, S), True: valid."""
        queries, keys = self.attention.project(states + positions, 0, 1)
        (values,) = self.attention.project(states, 2, 2)
        states = self.norms[0](states + self.attention(queries, keys, values, mask))
        result: Tensor = self.norms[1](states + self.feed_forward(states))
        return result


class Encoder(nn.Module):
    """Layers in a row; no norm behind the last, each layer ends with one."""

    def __init__(self, *, layers: list[EncoderLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, states: Tensor, positions: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, S, D) to (B, S, D); arguments as in ``EncoderLayer``."""
        for layer in self.layers:
            states = layer(states, positions, mask)
        return states
