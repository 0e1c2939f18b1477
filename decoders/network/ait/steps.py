"""One token of each sequence through AiT's decoder layers; the same arithmetic as ``PreNormDecoderLayer``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from decoders.network.ait.layers import PreNormDecoderLayer
from decoders.network.cache import Cache
from decoders.network.memory import Memory
from decoders.network.stepping import StepAttention, layer_operands


class PreNormSteps(StepAttention):
    """The layers for the steps of one cache."""

    def __init__(self, layers: Sequence[PreNormDecoderLayer], memory: Memory, cache: Cache) -> None:
        super().__init__(memory, cache)
        self._layers = [layer_operands(layer, (layer.own_norm, layer.cross_norm, layer.feed_norm)) for layer in layers]

    def step(self, states: Tensor) -> Tensor:
        """(R, D) with positions to (R, D) without the last norm."""
        addmm, norm = torch.addmm, functional.layer_norm
        for index, (norms, own, own_output, query, cross_output, rise, fall) in enumerate(self._layers):
            projected = addmm(own[0], norm(states, *norms[0]), own[1])
            states = states + addmm(own_output[0], self.attend_own(index, projected), own_output[1])
            queries = addmm(query[0], norm(states, *norms[1]), query[1])
            states = states + addmm(cross_output[0], self.attend_memory(index, queries), cross_output[1])
            hidden = functional.gelu(addmm(rise[0], norm(states, *norms[2]), rise[1]))
            states = states + addmm(fall[0], hidden, fall[1])
        return states
