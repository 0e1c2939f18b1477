"""AiT's token embedding and head: one table for all tasks, logits are inner products with its rows and a bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoders.network.embedding import KEPT, as_slice, uncast


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
        self._kept: dict[object, tuple[object, Tensor, Tensor]] = {}
        self._kept_for: tuple[object, ...] = ()

    def forward(self, tokens: Tensor) -> Tensor:
        """(...) int64 to (..., D)."""
        result: Tensor = self.table(tokens)
        return result

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """(..., D) to float32 (..., V), V the given ids: an ascending int64 tensor, or a slice of the vocabulary."""
        weight, bias = self._rows(ids)
        with uncast(hidden.device.type):
            return functional.linear(hidden.float(), weight.float(), bias.float())

    def _rows(self, ids: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Weights (V, D) and bias (V,) of some ids.

        At inference they are kept, column by column, until the table changes: a step of decoding would copy megabytes
        otherwise, and the product with a single token is faster so.
        """
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._gathered(ids)
        version = tuple((p.data_ptr(), p.dtype, p.device, p._version) for p in (self.table.weight, self.bias))
        if version != self._kept_for or len(self._kept) > KEPT:
            self._kept, self._kept_for = {}, version
        key = (ids.start, ids.stop) if isinstance(ids, slice) else id(ids)
        if key not in self._kept:
            weight, bias = self._gathered(ids)
            self._kept[key] = (ids, weight.t().contiguous().t(), bias)  # the ids stay alive, so that their id is theirs
        return self._kept[key][1:]

    def _gathered(self, ids: Tensor | slice) -> tuple[Tensor, Tensor]:
        own = as_slice(ids)
        own = own if isinstance(own, slice) else own.to(self.bias.device)
        return self.table.weight[own], self.bias[own]

    def train(self, mode: bool = True) -> TiedEmbedding:
        """Also forgets the kept rows."""
        self._kept = {}
        super().train(mode)
        return self
