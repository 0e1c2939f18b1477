"""AiT's token embedding and head: one table for all tasks, logits are inner products with its rows and a bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoders.network.embedding import TokenEmbedding, rows_at, uncast


class TiedEmbedding(TokenEmbedding):
    """V token vectors of width D, and logits ``hidden @ table.T + bias``.

    Args:
        tokens: V, ids of the vocabulary.
        width: D.
    """

    def __init__(self, *, tokens: int, width: int) -> None:
        super().__init__(tokens=tokens, width=width)
        self.bias = nn.Parameter(torch.zeros(tokens))

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """Inner products: as ``TokenEmbedding.logits``."""
        weight, bias = self.head_rows(ids)
        with uncast(hidden.device.type):
            return functional.linear(hidden.float(), weight.float(), bias.float())

    def _row_parameters(self) -> tuple[Tensor, ...]:
        return self.table.weight, self.bias

    def _select(self, ids: Tensor | slice, *, keep: bool) -> tuple[Tensor, ...]:
        """Weights (V, D) and bias (V,); kept weights lie column by column, which a single token multiplies faster."""
        weight, bias = rows_at(self.table.weight, ids), rows_at(self.bias, ids)
        return (weight.t().contiguous().t() if keep else weight), bias
