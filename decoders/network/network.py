"""The shared network: an image is encoded once, then every task and every strategy decodes from that memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoders.network.ait.decoder import Decoder as AitDecoder
from decoders.network.ait.embedding import TiedEmbedding
from decoders.network.ait.encoder import Encoder as AitEncoder
from decoders.network.ait.parts import build_parts
from decoders.network.attention import Attention, FeedForward
from decoders.network.backbone import build_backbone
from decoders.network.cache import Cache
from decoders.network.decoder import Decoder, Memory, layer_stack
from decoders.network.embedding import Embedding, as_slice, sinusoids
from decoders.network.encoder import Encoder, EncoderLayer
from decoders.network.options import NetworkOptions
from decoders.network.positions import GridPositions, SinePositions
from tasks.formats.vocabulary import Vocabulary

VALUE_RANGES = ("coordinate", "depth_bin")  # ids in order of a value


@dataclass(frozen=True)
class Features:
    """What the backbone sees.

    Args:
        map: (B, C, h, w).
        pad: (B, h, w) bool, True where padded, or None without padding.
    """

    map: Tensor
    pad: Tensor | None = None


@dataclass(frozen=True)
class Encoding:
    """What the encoder makes of it.

    Args:
        states: (B, S, D).
        positions: (B, S, D) sine positions.
        pad: (B, S) bool, True where padded, or None without padding.
        grid: h and w, with S = h * w in rows.
    """

    states: Tensor
    positions: Tensor
    pad: Tensor | None
    grid: tuple[int, int]


class Network(nn.Module):
    """Backbone, encoder, decoder and token embedding.

    Args:
        vocabulary: the shared vocabulary.
        options: sizes, as given by the preset.
        backbone: images (B, 3, height, width) to maps (B, C, h, w).
        projection: (B, C, h, w) to (B, D, h, w).
        positions: sine positions of the memory.
        encoder: self-attention over the memory.
        decoder: sequences and memory to hidden states.
        embedding: tokens to vectors, and hidden states to logits.
    """

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        options: NetworkOptions,
        backbone: nn.Module,
        projection: nn.Module,
        positions: SinePositions | GridPositions,
        encoder: Encoder | AitEncoder,
        decoder: Decoder | AitDecoder,
        embedding: Embedding | TiedEmbedding,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.options = options
        self.backbone = backbone
        self.projection = projection
        self.positions = positions
        self.encoder = encoder
        self.decoder = decoder
        self.embedding = embedding

    def backbone_features(self, images: Tensor, pad: Tensor | None = None) -> Features:
        """Backbone features.

        Args:
            images: (B, 3, height, width) normalized pixels, 0 where padded.
            pad: (B, height, width) bool, True where padded.
        """
        found = self.backbone(images)
        if pad is None or not bool(pad.any()):
            return Features(found)
        small = functional.interpolate(pad[:, None].float(), size=found.shape[-2:], mode="nearest")  # (B, 1, h, w)
        return Features(found, small[:, 0] > 0)

    def encode(self, features: Features) -> Encoding:
        """Projection and encoder."""
        states = self.projection(features.map)  # (B, D, h, w)
        batch, _, height, width = states.shape
        pad = features.pad
        none = torch.zeros(batch, height, width, dtype=torch.bool, device=states.device)
        positions = self.positions(none if pad is None else pad).to(states.dtype)
        rows = positions.flatten(2).transpose(1, 2)  # (B, D, h, w) -> (B, S, D)
        flat = None if pad is None else pad.flatten(1)  # (B, S)
        mask = None if flat is None else ~flat[:, None, None, :]  # (B, 1, 1, S)
        states = self.encoder(states.flatten(2).transpose(1, 2), rows, mask)
        return Encoding(states, rows, flat, (height, width))

    def project_memory(self, encoding: Encoding) -> Memory:
        """Cross-attention keys and values of every decoder layer, to be made once per image."""
        placed = self.options.placed_values
        return self.decoder.project_memory(encoding.states, encoding.positions, encoding.pad, placed=placed)

    def decode(
        self,
        memory: Memory,
        tokens: Tensor,
        *,
        attention: str | Tensor = "full",
        cache: Cache | None = None,
        every_layer: bool = False,
        opening: Tensor | None = None,
    ) -> Tensor:
        """Hidden states of token sequences.

        Args:
            memory: of the same B images.
            tokens: (B, N, T) int64, or their embeddings (B, N, T, D); with a cache, the next T of each sequence.
            attention: ``full`` or ``causal`` self-attention within each sequence, or a bool mask, True where a token
                may look, that broadcasts to (B * N, H, T, T), or to (..., T, tokens so far) with a cache.
            cache: keys and values so far; this call adds its own.
            every_layer: whether the outputs of all layers that are trained are wanted: every one of family ``mad``,
                for its auxiliary losses, only the last one of ``ait``.
            opening: (B, N) int64 first token of each sequence, by which family ``ait`` chooses a task's positions;
                found in ``tokens`` or ``cache`` where those have it.

        Returns:
            (B, N, T, D), or (layers, B, N, T, D), behind the norm that all layers share.
        """
        ids = tokens.dtype == torch.int64
        found: Tensor = self.decoder(
            self.embedding(tokens) if ids else tokens,
            memory,
            opening=tokens[..., 0] if ids else opening,
            attention=attention,
            cache=cache,
            every_layer=every_layer,
        )
        return found

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """Float32 logits (..., V) of hidden states (..., D) over some ids only, e.g. ``SequenceFormat.ids``."""
        return self.embedding.logits(hidden, ids)

    def embed(self, tokens: Tensor) -> Tensor:
        """(...) int64 to (..., D), as ``decode`` does it."""
        found: Tensor = self.embedding(tokens)
        return found

    def soft_embedding(self, probabilities: Tensor, ids: Tensor | slice) -> Tensor:
        """Mean embedding (..., D) of the K given ids, weighted by probabilities (..., K): AiT's soft token."""
        rows = self.embedding.table.weight[as_slice(ids)]
        return (probabilities @ rows).to(rows.dtype)  # as a token's own embedding, also where products are rounded

    def cache(self, *, batch: int, sequences: int, length: int, static: bool = False) -> Cache:
        """An empty cache for B images of N sequences of up to ``length`` tokens, prompt included.

        ``static`` is for CUDA graphs and ``torch.compile``: see ``Cache``.
        """
        weight = self.embedding.table.weight
        return Cache(
            layers=len(self.decoder.layers),
            batch=batch,
            sequences=sequences,
            heads=self.options.heads,
            length=length,
            head_width=self.options.width // self.options.heads,
            dtype=weight.dtype,
            device=weight.device,
            static=static,
        )


def build_network(options: NetworkOptions, vocabulary: Vocabulary) -> Network:
    """The network of a preset.

    Family ``mad`` starts with Xavier for matrices and normal tokens and positions, ``ait`` with small normal numbers.

    Raises:
        NetworkError: if the backbone or its weights cannot be had.
    """
    backbone = build_backbone(options)
    return assemble(options, vocabulary, backbone=backbone, channels=backbone.channels)


def assemble(options: NetworkOptions, vocabulary: Vocabulary, *, backbone: nn.Module, channels: int) -> Network:
    """The network around a given backbone whose map has ``channels`` channels; ``options.family`` decides the rest."""
    builder = {"mad": _mad, "ait": _ait}[options.family]
    return builder(options, vocabulary, backbone, channels)


def _ait(options: NetworkOptions, vocabulary: Vocabulary, backbone: nn.Module, channels: int) -> Network:
    parts = build_parts(options, vocabulary, channels)
    return Network(
        vocabulary=vocabulary,
        options=options,
        backbone=backbone,
        projection=parts.projection,
        positions=parts.positions,
        encoder=parts.encoder,
        decoder=parts.decoder,
        embedding=parts.embedding,
    )


def _mad(options: NetworkOptions, vocabulary: Vocabulary, backbone: nn.Module, channels: int) -> Network:
    shape = {"width": options.width, "heads": options.heads, "dropout": options.dropout}
    encoder_layers = [
        EncoderLayer(
            attention=Attention(**shape),  # type: ignore[arg-type]
            feed_forward=FeedForward(width=options.width, hidden=options.ffn, dropout=options.dropout),
        )
        for _ in range(options.encoder_layers)
    ]
    decoder_layers = layer_stack(layers=options.decoder_layers, ffn=options.ffn, **shape)  # type: ignore[arg-type]
    network = Network(
        vocabulary=vocabulary,
        options=options,
        backbone=backbone,
        projection=nn.Conv2d(channels, options.width, 1),
        positions=SinePositions(width=options.width),
        encoder=Encoder(layers=encoder_layers),
        decoder=Decoder(layers=decoder_layers, positions=options.positions),
        embedding=Embedding(tokens=len(vocabulary), width=options.width),
    )
    _initialize(network)
    return network


def _matrices(*modules: nn.Module) -> Iterator[nn.Parameter]:
    for module in modules:
        yield from (parameter for parameter in module.parameters() if parameter.dim() > 1)


@torch.no_grad()
def _initialize(network: Network) -> None:
    for matrix in _matrices(network.encoder, *network.decoder.layers):
        nn.init.xavier_uniform_(matrix)
    for module in network.modules():
        if isinstance(module, Attention):
            nn.init.zeros_(module.projection.bias)
            nn.init.zeros_(module.output.bias)
    if network.options.sinusoid_bins:
        for found in network.vocabulary:
            if found.name in VALUE_RANGES:
                values = sinusoids(rows=len(found), width=network.options.width)
                network.embedding.table.weight[found.start : found.stop] = values
