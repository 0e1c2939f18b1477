"""MAD's encoder and decoder: stacks of post-norm layers (MAD section 3.3; DETR)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from decoders.network.attention import self_attention_mask
from decoders.network.cache import Cache
from decoders.network.derived import Derived
from decoders.network.mad.layers import PostNormDecoderLayer, PostNormEncoderLayer
from decoders.network.mad.steps import PostNormSteps, placed_biases, projections
from decoders.network.memory import Memory
from decoders.network.stepping import is_step

# Token rows that a CPU takes through all layers at once, so that they stay in its cache: 100 masks of 262 tokens took
# 13 % less time than all at once (float32, one thread; 6 % in bfloat16).
ROWS = 2048


class PostNormEncoder(nn.Module):
    """Encoder layers in a row; there is no norm behind the last, each layer ends with one."""

    def __init__(self, *, layers: list[PostNormEncoderLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, states: Tensor, positions: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, S, D) to (B, S, D); arguments as in ``PostNormEncoderLayer``."""
        for layer in self.layers:
            states = layer(states, positions, mask)
        return states


class PostNormDecoder(nn.Module):
    """Decoder layers in a row, with learned sequence positions and one norm that every layer's output shares.

    Args:
        layers: decoder layers.
        positions: learned positions, prompt included.
    """

    def __init__(self, *, layers: list[PostNormDecoderLayer], positions: int) -> None:
        super().__init__()
        width = layers[0].own.width
        self.layers = nn.ModuleList(layers)
        self.positions = nn.Parameter(torch.randn(positions, width))
        self.norm = nn.LayerNorm(width)
        self._biases = Derived()

    def project_memory(self, states: Tensor, positions: Tensor, pad: Tensor | None, *, placed: bool = False) -> Memory:
        """Return keys and values of every layer from encoder states (B, S, D).

        Positions (B, S, D) are added to the keys, and to the values too if they are ``placed``.
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

        ``opening`` is ignored: all tasks share their positions.
        """
        del opening
        batch, sequences, length, _ = states.shape
        memory.check_images(batch)
        self._check_length(length if cache is None else cache.length)
        if cache is not None and not every_layer and is_step(self, length, attention, cache):
            return self._step(states.view(-1, states.shape[-1]), memory, cache).view(states.shape)
        at_once = max(1, ROWS // max(1, batch * length))  # sequences
        if sequences <= at_once or cache is not None or not _splits_sequences(states, attention):
            return self._layers(states, memory, attention, cache, every_layer)
        chunks = torch.split(states, at_once, dim=1)
        return torch.cat([self._layers(chunk, memory, attention, None, every_layer) for chunk in chunks], dim=-3)

    def _layers(
        self, states: Tensor, memory: Memory, attention: str | Tensor, cache: Cache | None, every_layer: bool
    ) -> Tensor:
        batch, sequences, length, width = states.shape
        positions = self.positions[:length] if cache is None else cache.locate(self.positions, length)  # (T, D)
        mask = self_attention_mask(attention, length, cache, states.device)
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
        hidden: Tensor = self.norm(torch.stack(outputs) if every_layer else states)
        return hidden.view(*hidden.shape[:-3], batch, sequences, length, width)  # ([layers,] B, N, T, D)

    def _step(self, states: Tensor, memory: Memory, cache: Cache) -> Tensor:
        """Decode one token of each sequence (B * N, D)."""
        if cache.steps is None or cache.steps.memory is not memory:
            layers = self._stack()
            biases = self._biases.get(
                [self.positions, *projections(layers)], (), lambda: placed_biases(layers, self.positions)
            )
            cache.steps = PostNormSteps(layers, biases, memory, cache)
        cache.check_room(1)
        states = cache.steps.step(states, cache.position)
        cache.advance(1)
        output: Tensor = self.norm(states)
        return output

    def _stack(self) -> list[PostNormDecoderLayer]:
        return [cast(PostNormDecoderLayer, layer) for layer in self.layers]

    def _check_length(self, length: int) -> None:
        if length > len(self.positions):
            raise ValueError(
                f"a sequence of {length} tokens needs as many positions, the network has {len(self.positions)}; "
                "raise network.positions"
            )


def _splits_sequences(states: Tensor, attention: str | Tensor) -> bool:
    """Whether the layers take a few sequences at a time; only a CPU gains by it."""
    on_cpu = states.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return on_cpu and isinstance(attention, str)
