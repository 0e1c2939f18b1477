"""The parts of MAD's transformer, built from a preset's sizes: Xavier for matrices, normal tokens and positions."""

from __future__ import annotations

import torch
from torch import nn

from decoders.network.attention import Attention, FeedForward
from decoders.network.mad.embedding import CosineEmbedding, sinusoids
from decoders.network.mad.layers import PostNormDecoderLayer, PostNormEncoderLayer
from decoders.network.mad.transformer import PostNormDecoder, PostNormEncoder
from decoders.network.options import NetworkOptions
from decoders.network.parts import NetworkParts
from decoders.network.positions import SinePositions
from tasks.formats.vocabulary import Vocabulary

VALUE_RANGES = ("coordinate", "depth_bin")  # their ids are in order of a value


def build_parts(options: NetworkOptions, vocabulary: Vocabulary, channels: int) -> NetworkParts:
    """Return the parts for feature maps of ``channels`` channels (MAD section 4.1)."""
    width, dropout = options.width, options.dropout

    def attention() -> Attention:
        return Attention(width=width, heads=options.heads, dropout=dropout)

    def feed_forward(hidden: int) -> FeedForward:
        return FeedForward(width=width, hidden=hidden, activation="relu", dropout=dropout)

    encoder_layers = [
        PostNormEncoderLayer(attention=attention(), feed_forward=feed_forward(options.encoder_ffn or options.ffn))
        for _ in range(options.encoder_layers)
    ]
    decoder_layers = [
        PostNormDecoderLayer(own=attention(), cross=attention(), feed_forward=feed_forward(options.ffn))
        for _ in range(options.decoder_layers)
    ]
    parts = NetworkParts(
        projection=nn.Conv2d(channels, width, 1),
        positions=SinePositions(width=width, unit="fraction"),
        encoder=PostNormEncoder(layers=encoder_layers),
        decoder=PostNormDecoder(layers=decoder_layers, positions=options.positions),
        embedding=CosineEmbedding(tokens=len(vocabulary), width=width),
    )
    _initialize(parts)
    if options.sinusoid_bins:
        _order_values(parts, vocabulary)
    return parts


@torch.no_grad()
def _initialize(parts: NetworkParts) -> None:
    for module in (parts.encoder, *parts.decoder.layers):
        for parameter in module.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for attention in module.modules():
            if isinstance(attention, Attention):
                nn.init.zeros_(attention.projection.bias)
                nn.init.zeros_(attention.output.bias)


@torch.no_grad()
def _order_values(parts: NetworkParts, vocabulary: Vocabulary) -> None:
    """Start tokens of neighboring values near each other."""
    table = parts.embedding.table.weight
    for ids in vocabulary:
        if ids.name in VALUE_RANGES:
            table[ids.start : ids.stop] = sinusoids(rows=len(ids), width=table.shape[1])
