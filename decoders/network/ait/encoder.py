"""AiT's encoder: pre-norm blocks between a normalized stem and the projection that makes the decoder's memory."""

from __future__ import annotations

from torch import Tensor, nn

from decoders.network.ait.blocks import EncoderBlock, FeedForward


class Encoder(nn.Module):
    """Projected features to memory (AiT's release; the projection behind the blocks is Pix2Seq's).

    norm, + positions, blocks, norm, linear, norm, + the same positions, then z + MLP(norm(z)).

    Args:
        blocks: pre-norm blocks.
        width: D.
        hidden: width inside the last MLP.
        dropout: inside the last MLP while training.
    """

    def __init__(self, *, blocks: list[EncoderBlock], width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.stem_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, width)
        self.projection_norm = nn.LayerNorm(width)
        self.last_norm = nn.LayerNorm(width)
        self.last = FeedForward(width=width, hidden=hidden, dropout=dropout)

    def forward(self, states: Tensor, positions: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, S, D) to (B, S, D).

        Args:
            states: projected features.
            positions: (B, S, D).
            mask: not used: AiT reads padding like everything else.
        """
        del mask
        states = self.stem_norm(states) + positions
        for block in self.layers:
            states = block(states)
        states = self.projection_norm(self.projection(self.norm(states))) + positions
        result: Tensor = states + self.last(self.last_norm(states))
        return result
