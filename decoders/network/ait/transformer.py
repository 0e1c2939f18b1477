"""AiT's encoder and decoder: stacks of pre-norm layers (AiT section 4.1; its release)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from decoders.network.ait.layers import PreNormDecoderLayer, PreNormEncoderLayer
from decoders.network.ait.steps import PreNormSteps
from decoders.network.attention import FeedForward, self_attention_mask
from decoders.network.cache import Cache
from decoders.network.memory import Memory
from decoders.network.stepping import is_step


class PreNormEncoder(nn.Module):
    """Projected features to encoder states (AiT's release; the projection behind the layers is Pix2Seq's).

    norm, + positions, layers, norm, linear, norm, + the same positions, then z + MLP(norm(z)).

    Args:
        layers: encoder layers.
        width: D.
        hidden: width inside the last MLP.
        dropout: inside the last MLP while training.
    """

    def __init__(self, *, layers: list[PreNormEncoderLayer], width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.stem_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, width)
        self.projection_norm = nn.LayerNorm(width)
        self.last_norm = nn.LayerNorm(width)
        self.last = FeedForward(width=width, hidden=hidden, activation="gelu", dropout=dropout)

    def forward(self, states: Tensor, positions: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, S, D) to (B, S, D).

        Args:
            states: projected features.
            positions: (B, S, D).
            mask: ignored; AiT attends to padding too.
        """
        del mask
        states = self.stem_norm(states) + positions
        for layer in self.layers:
            states = layer(states)
        states = self.projection_norm(self.projection(self.norm(states))) + positions
        output: Tensor = states + self.last(self.last_norm(states))
        return output


class TaskPositions(nn.Module):
    """A table of learned positions for each task; the token that opens a sequence selects it.

    Args:
        openings: ids of those tokens, in order of the tables; any other token selects the last table.
        tokens: V, ids of the vocabulary.
        length: positions of a table.
        width: D.
    """

    table_of: Tensor

    def __init__(self, *, openings: Sequence[int], tokens: int, length: int, width: int) -> None:
        super().__init__()
        self.tables = nn.Parameter(torch.zeros(len(openings), length, width))
        table_of = torch.full((tokens,), len(openings) - 1)
        table_of[list(openings)] = torch.arange(len(openings))
        self.register_buffer("table_of", table_of, persistent=False)

    @property
    def length(self) -> int:
        """Positions of a table."""
        return self.tables.shape[1]

    def forward(self, opening: Tensor, length: int) -> Tensor:
        """Return the first ``length`` positions (B * N, length, D) of sequences that begin with tokens (B, N)."""
        return self.tables[:, :length][self.table_of[opening].flatten()]


class PreNormDecoder(nn.Module):
    """Decoder layers in a row and a last norm. Positions are added once, to the tokens.

    Args:
        layers: decoder layers.
        positions: learned positions of the tasks.
    """

    def __init__(self, *, layers: list[PreNormDecoderLayer], positions: TaskPositions) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.positions = positions
        self.norm = nn.LayerNorm(layers[0].own.width)

    def project_memory(self, states: Tensor, positions: Tensor, pad: Tensor | None, *, placed: bool = False) -> Memory:
        """Return keys and values of every layer from encoder states (B, S, D).

        The other arguments are ignored: the states contain positions, and AiT attends to padding too.
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
            opening: (B, N) first token of each sequence; not needed once a cache has positions.
            attention: within each sequence.
            cache: keys, values and positions so far.
            every_layer: adds an axis of one: AiT trains the output of the last layer only.

        Raises:
            ValueError: if a sequence is too long, memory and tokens are of different images, or the opening token that
                selects the positions is missing.
        """
        batch, sequences, length, width = states.shape
        memory.check_images(batch)
        positions = self._positions(opening, length, cache)  # (B * N, T, D)
        if cache is not None and is_step(self, length, attention, cache):
            states = self._step(states.view(-1, width) + positions[:, 0], memory, cache)
            return states.view((1,) * every_layer + (batch, sequences, length, width))
        mask = self_attention_mask(attention, length, cache, states.device)
        states = states.reshape(batch * sequences, length, width) + positions
        for index, layer in enumerate(self._stack()):
            states = layer.attend_own(states, mask, None if cache is None else (cache, index))
            states = layer.attend_memory(states, memory, index)
            states = layer.feed(states)
        if cache is not None:
            cache.advance(length)
        hidden: Tensor = self.norm(states)
        hidden = hidden.view(batch, sequences, length, width)
        return hidden[None] if every_layer else hidden

    def _step(self, states: Tensor, memory: Memory, cache: Cache) -> Tensor:
        """Decode one token of each sequence (B * N, D)."""
        if cache.steps is None or cache.steps.memory is not memory:
            cache.steps = PreNormSteps(self._stack(), memory, cache)
        states = cache.steps.step(states)
        cache.advance(1)
        output: Tensor = self.norm(states)
        return output

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
                "the first tokens must be ids, or opening given: the opening token selects the task's positions"
            )
        positions: Tensor = self.positions(opening, needed)
        if cache is None:
            return positions
        cache.positions = positions
        return cache.locate(positions, length)

    def _stack(self) -> list[PreNormDecoderLayer]:
        return [cast(PreNormDecoderLayer, layer) for layer in self.layers]
