"""One token of each sequence through MAD's decoder layers; the same arithmetic as ``PostNormDecoderLayer``.

A position is added to the input of queries and keys in every layer. Its product with their matrices is the same for all
sequences, so it is computed once and added with the bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from decoders.network.cache import Cache
from decoders.network.mad.layers import PostNormDecoderLayer
from decoders.network.memory import Memory
from decoders.network.stepping import StepAttention, layer_operands

Biases = list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]


def projections(layers: Sequence[PostNormDecoderLayer]) -> list[Tensor]:
    """Return the weights and biases on which ``placed_biases`` depends, beside the positions."""
    attentions = [attention for layer in layers for attention in (layer.own, layer.cross)]
    return [parameter for attention in attentions for parameter in attention.projection.parameters()]


def placed_biases(layers: Sequence[PostNormDecoderLayer], positions: Tensor) -> Biases:
    """Return of each layer and position the biases (3 * D) of self-attention and (D) of the cross-attention's queries.

    Args:
        layers: decoder layers.
        positions: (T, D) learned positions.
    """
    biases: Biases = []
    for layer in layers:
        width = layer.own.width
        inputs = layer.own.projection.bias.repeat(len(positions), 1)  # (T, 3 * D)
        inputs[:, : 2 * width] += positions @ layer.own.projection.weight[: 2 * width].t()
        cross = layer.cross.projection
        queries = torch.addmm(cross.bias[:width], positions, cross.weight[:width].t())  # (T, D)
        biases.append((inputs.unbind(), queries.unbind()))
    return biases


class PostNormSteps(StepAttention):
    """The layers for the steps of one cache.

    Args:
        layers: decoder layers.
        biases: of ``placed_biases``.
        memory: of the B images.
        cache: of their sequences.
    """

    def __init__(self, layers: Sequence[PostNormDecoderLayer], biases: Biases, memory: Memory, cache: Cache) -> None:
        super().__init__(memory, cache)
        self._biases = biases
        self._layers = [layer_operands(layer, list(layer.norms)) for layer in layers]

    def step(self, states: Tensor, position: int) -> Tensor:
        """(R, D) at a position to (R, D) without the decoder's norm."""
        addmm, norm = torch.addmm, functional.layer_norm
        for index, (norms, own, own_output, query, cross_output, rise, fall) in enumerate(self._layers):
            own_biases, query_biases = self._biases[index]
            attended = self.attend_own(index, addmm(own_biases[position], states, own[1]))
            states = norm(states + addmm(own_output[0], attended, own_output[1]), *norms[0])
            attended = self.attend_memory(index, addmm(query_biases[position], states, query[1]))
            states = norm(states + addmm(cross_output[0], attended, cross_output[1]), *norms[1])
            hidden = functional.relu_(addmm(rise[0], states, rise[1]))
            states = norm(states + addmm(fall[0], hidden, fall[1]), *norms[2])
        return states
