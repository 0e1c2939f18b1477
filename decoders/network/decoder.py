"""The decoder: post-norm self-attention within a sequence, cross-attention to the memory, feed-forward (MAD 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from decoders.network.attention import Attention, FeedForward
from decoders.network.cache import Cache

ATTENTIONS: Sequence[str] = ("full", "causal")

# Rows of tokens that a CPU takes through all layers at once, so that they stay in its cache: 100 masks of 262 tokens
# took 13 % less time than all together (float32, one thread; 6 % in bfloat16).
ROWS = 2048


@dataclass(frozen=True)
class Memory:
    """Encoded images as the decoder reads them: projected once, read by all tasks, sequences and passes.

    Args:
        keys: of each decoder layer (B, H, S, D / H).
        values: of each decoder layer (B, H, S, D / H).
        pad: (B, S) bool, True where padded, or None without padding.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    pad: Tensor | None = None

    @property
    def batch(self) -> int:
        """B."""
        return self.keys[0].shape[0]

    @property
    def mask(self) -> Tensor | None:
        """(B, 1, 1, S) bool, True where a query may look."""
        return None if self.pad is None else ~self.pad[:, None, None, :]

    def select(self, rows: Tensor | slice) -> Memory:
        """The memory of some images, by int64 index or slice, in that order."""
        pad = None if self.pad is None else self.pad[rows]
        return Memory(tuple(k[rows] for k in self.keys), tuple(v[rows] for v in self.values), pad)


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention and feed-forward, a layer norm after each residual."""

    def __init__(self, *, own: Attention, cross: Attention, feed_forward: FeedForward) -> None:
        super().__init__()
        self.own = own
        self.cross = cross
        self.feed_forward = feed_forward
        self.norms = nn.ModuleList(nn.LayerNorm(own.width) for _ in range(3))

    def attend_own(
        self, states: Tensor, positions: Tensor, mask: Tensor | None, cache: tuple[Cache, int] | None
    ) -> Tensor:
        """Self-attention of (B * N, T, D), each sequence for itself, residual and norm included."""
        queries, keys = self.own.project(states + positions, 0, 1)
        (values,) = self.own.project(states, 2, 2)
        if cache is not None:
            keys, values = cache[0].update(cache[1], keys, values)
        result: Tensor = self.norms[0](states + self.own(queries, keys, values, mask))
        return result

    def attend_memory(self, states: Tensor, positions: Tensor, memory: Memory, layer: int) -> Tensor:
        """Cross-attention of (B * N, T, D); the N sequences of an image are one long query of its memory."""
        batch, width = memory.batch, states.shape[-1]
        (queries,) = self.cross.project((states + positions).view(batch, -1, width), 0, 0)  # (B, H, N * T, D / H)
        found = self.cross(queries, memory.keys[layer], memory.values[layer], memory.mask)  # (B, N * T, D)
        result: Tensor = self.norms[1](states + found.view_as(states))
        return result

    def feed(self, states: Tensor) -> Tensor:
        """Feed-forward of (B * N, T, D), residual and norm included."""
        result: Tensor = self.norms[2](states + self.feed_forward(states))
        return result


class Decoder(nn.Module):
    """Layers in a row, with learned sequence positions and one norm that every layer's output shares.

    Args:
        layers: decoder layers.
        positions: learned positions, prompt included.
    """

    def __init__(self, *, layers: list[DecoderLayer], positions: int) -> None:
        super().__init__()
        width = layers[0].own.width
        self.layers = nn.ModuleList(layers)
        self.positions = nn.Parameter(torch.randn(positions, width))
        self.norm = nn.LayerNorm(width)

    def project_memory(self, states: Tensor, positions: Tensor, pad: Tensor | None, *, placed: bool = False) -> Memory:
        """Keys and values of every layer from memory states (B, S, D).

        Positions (B, S, D) enter the keys, and the values too if they are ``placed``.
        """
        keys, values = [], []
        located = states + positions
        for layer in self._stack():
            keys.append(layer.cross.project(located, 1, 1)[0].contiguous())
            values.append(layer.cross.project(located if placed else states, 2, 2)[0].contiguous())
        return Memory(tuple(keys), tuple(values), pad)

    def forward(
        self,
        states: Tensor,
        memory: Memory,
        *,
        opening: Tensor | None = None,
        attention: str | Tensor = "full",
        cache: Cache | None = None,
        every_layer: bool = False,
    ) -> Tensor:
        """Decode token embeddings (B, N, T, D); arguments and result as in ``Network.decode``.

        ``opening`` is not used: all tasks share their positions.
        """
        del opening
        batch, sequences, length, _ = states.shape
        if batch != memory.batch:
            raise ValueError(f"tokens of {batch} images were given with the memory of {memory.batch}; select its rows")
        self._check_length(length if cache is None else cache.length)
        together = max(1, ROWS // max(1, batch * length))  # sequences
        if sequences <= together or cache is not None or not _in_pieces(states, attention):
            return self._layers(states, memory, attention, cache, every_layer)
        pieces = torch.split(states, together, dim=1)
        return torch.cat([self._layers(piece, memory, attention, None, every_layer) for piece in pieces], dim=-3)

    def _layers(
        self, states: Tensor, memory: Memory, attention: str | Tensor, cache: Cache | None, every_layer: bool
    ) -> Tensor:
        batch, sequences, length, width = states.shape
        positions = self.positions[:length] if cache is None else cache.locate(self.positions, length)  # (T, D)
        mask = own_mask(attention, length, cache, states.device)
        states = states.reshape(batch * sequences, length, width)  # (B * N, T, D)
        outputs: list[Tensor] = []
        for index, layer in enumerate(self._stack()):
            states = layer.attend_own(states, positions, mask, None if cache is None else (cache, index))
            states = layer.attend_memory(states, positions, memory, index)
            states = layer.feed(states)
            if every_layer:
                outputs.append(states)
        if cache is not None:
            cache.advance(length)
        result: Tensor = self.norm(torch.stack(outputs) if every_layer else states)
        return result.view(*result.shape[:-3], batch, sequences, length, width)  # ([layers,] B, N, T, D)

    def _stack(self) -> list[DecoderLayer]:
        return [cast(DecoderLayer, layer) for layer in self.layers]

    def _check_length(self, length: int) -> None:
        if length > len(self.positions):
            raise ValueError(
                f"a sequence of {length} tokens needs as many positions, the network has {len(self.positions)}; "
                "raise network.positions"
            )


def layer_stack(*, layers: int, width: int, heads: int, ffn: int, dropout: float) -> list[DecoderLayer]:
    """Equal decoder layers."""

    def attention() -> Attention:
        return Attention(width=width, heads=heads, dropout=dropout)

    return [
        DecoderLayer(
            own=attention(), cross=attention(), feed_forward=FeedForward(width=width, hidden=ffn, dropout=dropout)
        )
        for _ in range(layers)
    ]


def _in_pieces(states: Tensor, attention: str | Tensor) -> bool:
    """Whether sequences may go through the layers a few at a time; only a CPU gains by it."""
    on_cpu = states.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return on_cpu and isinstance(attention, str)


def own_mask(attention: str | Tensor, length: int, cache: Cache | None, device: torch.device) -> Tensor | None:
    """The bool mask, True where a token may look, that self-attention of ``length`` new tokens takes; None: all."""
    if isinstance(attention, Tensor):
        return attention
    if attention not in ATTENTIONS:
        raise ValueError(f"attention is {attention!r}; give {' or '.join(map(repr, ATTENTIONS))}, or a bool mask")
    if cache is not None:
        return cache.mask(length, attention)
    if attention == "full":
        return None
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()
