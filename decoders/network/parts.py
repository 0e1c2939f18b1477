"""The trainable parts of a network beside its backbone, as each family builds them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from decoders.network.ait.transformer import PreNormDecoder, PreNormEncoder
from decoders.network.embedding import TokenEmbedding
from decoders.network.mad.transformer import PostNormDecoder, PostNormEncoder
from decoders.network.positions import SinePositions


@dataclass(frozen=True)
class NetworkParts:
    """Parts of one family.

    Args:
        projection: (B, C, h, w) to (B, D, h, w).
        positions: sine positions of the memory.
        encoder: self-attention over the memory.
        decoder: sequences and memory to hidden states.
        embedding: tokens to vectors, and hidden states to logits.
    """

    projection: nn.Module
    positions: SinePositions
    encoder: PostNormEncoder | PreNormEncoder
    decoder: PostNormDecoder | PreNormDecoder
    embedding: TokenEmbedding
