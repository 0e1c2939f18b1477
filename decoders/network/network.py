"""The shared network: an image is encoded once, then every task and every strategy decodes from that memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoders.network.ait.parts import build_parts as build_ait_parts
from decoders.network.backbones.backbone import build_backbone
from decoders.network.cache import Cache
from decoders.network.mad.parts import build_parts as build_mad_parts
from decoders.network.memory import Encoding, Features, Memory
from decoders.network.options import NetworkOptions
from decoders.network.parts import NetworkParts
from tasks.formats.vocabulary import Vocabulary

PARTS = {"mad": build_mad_parts, "ait": build_ait_parts}


class Network(nn.Module):
    """Backbone, encoder, decoder and token embedding.

    Args:
        vocabulary: the shared vocabulary.
        options: sizes, as given by the preset.
        backbone: images (B, 3, height, width) to maps (B, C, h, w).
        parts: everything else.
    """

    def __init__(
        self, *, vocabulary: Vocabulary, options: NetworkOptions, backbone: nn.Module, parts: NetworkParts
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.options = options
        self.backbone = backbone
        self.projection = parts.projection
        self.positions = parts.positions
        self.encoder = parts.encoder
        self.decoder = parts.decoder
        self.embedding = parts.embedding

    def backbone_features(self, images: Tensor, pad: Tensor | None = None) -> Features:
        """Return the backbone's feature map.

        Args:
            images: (B, 3, height, width) normalized pixels, 0 where padded.
            pad: (B, height, width) bool, True where padded.
        """
        maps = self.backbone(images)
        if pad is None or not bool(pad.any()):
            return Features(maps)
        small = functional.interpolate(pad[:, None].float(), size=maps.shape[-2:], mode="nearest")  # (B, 1, h, w)
        return Features(maps, small[:, 0] > 0)

    def encode(self, features: Features) -> Encoding:
        """Return the encoder's states of projected features."""
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
        """Return cross-attention keys and values of every decoder layer, needed once per image."""
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
        """Return hidden states of token sequences: (B, N, T, D), or (layers, B, N, T, D), behind the last norm.

        Args:
            memory: of the same B images.
            tokens: (B, N, T) int64, or their embeddings (B, N, T, D); with a cache, the next T of each sequence.
            attention: ``full`` or ``causal`` self-attention within each sequence, or a bool mask, True where a token
                may look, that broadcasts to (B * N, H, T, T), or to (..., T, tokens so far) with a cache.
            cache: keys and values so far; this call adds its own.
            every_layer: whether to return the outputs of all trained layers: every one of family ``mad``, for its
                auxiliary losses, only the last of ``ait``.
            opening: (B, N) int64 first token of each sequence, which selects a task's positions in family ``ait``;
                needed only where neither ``tokens`` (as ids) nor ``cache`` have it.
        """
        ids = tokens.dtype == torch.int64
        hidden: Tensor = self.decoder(
            self.embedding(tokens) if ids else tokens,
            memory,
            opening=tokens[..., 0] if ids else opening,
            attention=attention,
            cache=cache,
            every_layer=every_layer,
        )
        return hidden

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """Return float32 logits (..., V) of hidden states (..., D) over some ids only, e.g. ``SequenceFormat.ids``."""
        return self.embedding.logits(hidden, ids)

    def embed(self, tokens: Tensor) -> Tensor:
        """(...) int64 to (..., D), as in ``decode``."""
        vectors: Tensor = self.embedding(tokens)
        return vectors

    def soft_embedding(self, probabilities: Tensor, ids: Tensor | slice) -> Tensor:
        """Return the mean embedding (..., D) of K ids, weighted by probabilities (..., K): AiT's soft token."""
        rows = self.embedding.vectors(ids)
        return (probabilities @ rows).to(rows.dtype)  # autocast may have rounded the product

    def cache(self, *, batch: int, sequences: int, length: int, static: bool = False) -> Cache:
        """Return an empty cache for B images of N sequences of up to ``length`` tokens, prompt included.

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
    """Return the network of a preset, with start values.

    Raises:
        NetworkError: if the backbone or its weights cannot be had.
    """
    backbone = build_backbone(options)
    return assemble(options, vocabulary, backbone=backbone, channels=backbone.channels)


def assemble(options: NetworkOptions, vocabulary: Vocabulary, *, backbone: nn.Module, channels: int) -> Network:
    """Return the network of ``options.family`` around a backbone whose map has ``channels`` channels."""
    parts = PARTS[options.family](options, vocabulary, channels)
    return Network(vocabulary=vocabulary, options=options, backbone=backbone, parts=parts)
