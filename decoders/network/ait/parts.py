"""The parts of AiT's transformer, built from a preset's sizes and initialized as in its release."""

from __future__ import annotations

import torch
from torch import nn

from decoders.network.ait.embedding import TiedEmbedding
from decoders.network.ait.layers import PreNormDecoderLayer, PreNormEncoderLayer
from decoders.network.ait.transformer import PreNormDecoder, PreNormEncoder, TaskPositions
from decoders.network.attention import Attention, FeedForward
from decoders.network.options import NetworkOptions
from decoders.network.parts import NetworkParts
from decoders.network.positions import SinePositions
from tasks.formats.vocabulary import Vocabulary

DEVIATION = 0.02


def build_parts(options: NetworkOptions, vocabulary: Vocabulary, channels: int) -> NetworkParts:
    """Return the parts for feature maps of ``channels`` channels (AiT section 4.1 and its release)."""
    width, hidden, dropout = options.width, options.ffn, options.dropout

    def attention() -> Attention:
        return Attention(width=width, heads=options.heads, dropout=0.0)

    def feed_forward() -> FeedForward:
        return FeedForward(width=width, hidden=hidden, activation="gelu", dropout=dropout)

    encoder_layers = [
        PreNormEncoderLayer(attention=attention(), feed_forward=feed_forward(), drop_path=options.drop_path)
        for _ in range(options.encoder_layers)
    ]
    decoder_layers = [
        PreNormDecoderLayer(
            own=attention(), cross=attention(), feed_forward=feed_forward(), drop_path=options.drop_path
        )
        for _ in range(options.decoder_layers)
    ]
    positions = TaskPositions(
        openings=vocabulary.openings, tokens=len(vocabulary), length=options.positions, width=width
    )
    parts = NetworkParts(
        projection=nn.Sequential(nn.Dropout(dropout), nn.Conv2d(channels, width, 1)),
        positions=SinePositions(width=width, unit="cell"),
        encoder=PreNormEncoder(layers=encoder_layers, width=width, hidden=hidden, dropout=dropout),
        decoder=PreNormDecoder(layers=decoder_layers, positions=positions),
        embedding=TiedEmbedding(tokens=len(vocabulary), width=width),
    )
    _initialize(parts.projection, parts.encoder, parts.decoder, parts.embedding)
    return parts


@torch.no_grad()
def _initialize(*parts: nn.Module) -> None:
    """Truncated normal of .02 for everything but norms; biases 0."""
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.LayerNorm):
                continue
            for name, parameter in module.named_parameters(recurse=False):
                if name.endswith("bias"):
                    nn.init.zeros_(parameter)
                else:
                    nn.init.trunc_normal_(parameter, std=DEVIATION)
