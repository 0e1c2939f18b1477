"""AiT's decoder: pre-norm blocks over one token sequence; every task has learned positions of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from decoders.network.ait.blocks import DecoderBlock
from decoders.network.cache import Cache
from decoders.network.decoder import Memory, own_mask


class TaskPositions(nn.Module):
    """Learned positions of every task, found by the token that opens a sequence.

    Args:
        openings: ids of those tokens, in order of the tables; any other token opens a sequence of the last table.
        tokens: V, ids of the vocabulary.
        length: positions of a table.
        width: D.
    """

    table_of: Tensor

    def __init__(self, *, openings: Sequence[int], tokens: int, length: int, width: int) -> None:
        super().__init__()
        self.tables = nn.Parameter(torch.zeros(len(openings), length, width))
        found = torch.full((tokens,), len(openings) - 1)
        found[list(openings)] = torch.arange(len(openings))
        self.register_buffer("table_of", found, persistent=False)

    @property
    def length(self) -> int:
        """Positions of a table."""
        return self.tables.shape[1]

    def forward(self, opening: Tensor, length: int) -> Tensor:
        """First ``length`` positions (B * N, length, D) of sequences that begin with tokens (B, N)."""
        return self.tables[:, :length][self.table_of[opening].flatten()]


class Decoder(nn.Module):
    """Blocks in a row and a last norm. Positions are added once, to the tokens.

    Args:
        layers: pre-norm blocks.
        positions: learned positions of the tasks.
    """

    def __init__(self, *, layers: list[DecoderBlock], positions: TaskPositions) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.positions = positions
        self.norm = nn.LayerNorm(layers[0].own.width)

    def project_memory(self, states: Tensor, positions: Tensor, pad: Tensor | None, *, placed: bool = False) -> Memory:
        """Keys and values of every block from memory states (B, S, D).

        ``positions``, ``pad`` and ``placed`` are not used: the states hold their places, and padding is read like
        everything else.
        """
        del positions, pad, placed
        pairs = [layer.project_memory(states) for layer in self._stack()]
        return Memory(tuple(keys for keys, _ in pairs), tuple(values for _, values in pairs))

    def forward(
        self,
        states: Tensor,
        memory: Memory,
        *,
        opening: Tensor | None,
        attention: str | Tensor = "full",
        cache: Cache | None = None,
        every_layer: bool = False,
    ) -> Tensor:
        """Decode token embeddings (B, N, T, D); arguments and result as in ``Network.decode``.

        Args:
            states: embeddings without positions.
            memory: of the same B images.
            opening: (B, N) the first token of each sequence; not needed where a cache has it already.
            attention: within each sequence.
            cache: keys, values and positions so far.
            every_layer: adds an axis of one: AiT trains the output of the last block only.

        Raises:
            ValueError: if the sequence is too long, is of other images, or nothing tells whose positions it takes.
        """
        batch, sequences, length, width = states.shape
        if batch != memory.batch:
            raise ValueError(f"tokens of {batch} images were given with the memory of {memory.batch}; select its rows")
        positions = self._positions(opening, length, cache)  # (B * N, T, D)
        mask = own_mask(attention, length, cache, states.device)
        states = states.reshape(batch * sequences, length, width) + positions
        for index, layer in enumerate(self._stack()):
            states = layer.attend_own(states, mask, None if cache is None else (cache, index))
            states = layer.attend_memory(states, memory, index)
            states = layer.feed(states)
        if cache is not None:
            cache.advance(length)
        result: Tensor = self.norm(states)
        result = result.view(batch, sequences, length, width)
        return result[None] if every_layer else result

    def _positions(self, opening: Tensor | None, length: int, cache: Cache | None) -> Tensor:
        needed = length if cache is None else cache.length
        if needed > self.positions.length:
            raise ValueError(
                f"a sequence of {needed} tokens needs as many positions, every task has {self.positions.length}; "
                "raise network.positions"
            )
        if cache is not None and cache.positions is not None:
            return cache.locate(cache.positions, length)
        if opening is None:
            raise ValueError(
                "the first tokens must be ids, or opening given: they tell which task's positions it takes"
            )
        found: Tensor = self.positions(opening, needed)
        if cache is None:
            return found
        cache.positions = found
        return cache.locate(found, length)

    def _stack(self) -> list[DecoderBlock]:
        return [cast(DecoderBlock, layer) for layer in self.layers]
