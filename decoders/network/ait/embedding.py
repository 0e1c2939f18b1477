"""AiT's token embedding and head: one table for all tasks, logits are inner products with its rows and a bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoders.network.embedding import KEPT, as_slice


class TiedEmbedding(nn.Module):
    """V token vectors of width D, and logits ``hidden @ table.T + bias``.

    Args:
        tokens: V, ids of the vocabulary.
        width: D.
    """

    def __init__(self, *, tokens: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, width)
        self.bias = nn.Parameter(torch.zeros(tokens))
        self._kept: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self._kept_for: tuple[object, ...] = ()

    def forward(self, tokens: Tensor) -> Tensor:
        """(...) int64 to (..., D)."""
        result: Tensor = self.table(tokens)
        return result

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """(..., D) to float32 (..., V), V the given ids: an ascending int64 tensor, or a slice of the vocabulary."""
        return functional.linear(hidden, *self._rows(as_slice(ids))).float()

    def _rows(self, ids: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Weights (V, D) and bias (V,) of some ids.

        Gathered rows are kept at inference until the table changes: a step of decoding would copy megabytes otherwise.
        """
        if isinstance(ids, slice):
            return self.table.weight[ids], self.bias[ids]
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._gathered(ids)
        version = tuple((p.data_ptr(), p.dtype, p.device, p._version) for p in (self.table.weight, self.bias))
        if version != self._kept_for or len(self._kept) > KEPT:
            self._kept, self._kept_for = {}, version
        if id(ids) not in self._kept:
            self._kept[id(ids)] = (ids, *self._gathered(ids))  # the ids stay alive, so that their id stays theirs
        return self._kept[id(ids)][1:]

    def _gathered(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        own = ids.to(self.bias.device)
        return self.table.weight[own], self.bias[own]

    def train(self, mode: bool = True) -> TiedEmbedding:
        """Also forgets the kept rows."""
        self._kept = {}
        super().train(mode)
        return self
