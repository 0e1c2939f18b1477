"""Token vectors, and the rows of them that a head multiplies, kept while the table does not change."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from decoders.network.derived import Derived, may_keep


class TokenEmbedding(nn.Module):
    """V token vectors of width D; a family adds its head.

    Args:
        tokens: V, ids of the vocabulary.
        width: D.
    """

    def __init__(self, *, tokens: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, width)
        self._rows = Derived()

    def forward(self, tokens: Tensor) -> Tensor:
        """(...) int64 to (..., D)."""
        vectors: Tensor = self.table(tokens)
        return vectors

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """(..., D) to float32 (..., V), V the given ids: an ascending int64 tensor, or a slice of the vocabulary."""
        raise NotImplementedError

    def head_rows(self, ids: Tensor | slice) -> tuple[Tensor, ...]:
        """Return the head's parameters of the given ids; at inference they are kept until a parameter changes."""
        if not may_keep(self):
            return self._select(ids, keep=False)
        key = ("head", ids.start, ids.stop) if isinstance(ids, slice) else ("head", ids)
        rows: tuple[Tensor, ...] = self._rows.get(self._row_parameters(), key, lambda: self._select(ids, keep=True))
        return rows

    def vectors(self, ids: Tensor | slice) -> Tensor:
        """Return the token vectors (K, D) of the given ids, kept as ``head_rows``."""
        if isinstance(ids, slice) or not may_keep(self):
            return rows_at(self.table.weight, ids)
        rows: Tensor = self._rows.get(self._row_parameters(), ("vectors", ids), lambda: rows_at(self.table.weight, ids))
        return rows

    def train(self, mode: bool = True) -> TokenEmbedding:
        """Also forget the kept rows."""
        self._rows.clear()
        super().train(mode)
        return self

    def _row_parameters(self) -> tuple[Tensor, ...]:
        """Parameters with a row for each token."""
        return (self.table.weight,)

    def _select(self, ids: Tensor | slice, *, keep: bool) -> tuple[Tensor, ...]:
        """The head's parameters of the given ids, in the layout that suits many uses if they are kept."""
        raise NotImplementedError


def uncast(device: str) -> AbstractContextManager[Any]:
    """Keep products float32 in a half-precision run: rounded, the likeliest bins would tie."""
    return torch.autocast(device, enabled=False) if _casts(device) else nullcontext()


def _casts(device: str) -> bool:
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def as_slice(ids: Tensor | slice) -> Tensor | slice:
    """Return ascending ids without a gap as a slice, so that no row is copied; others unchanged."""
    if isinstance(ids, slice) or not len(ids):
        return ids
    first, last = int(ids[0]), int(ids[-1])
    return slice(first, last + 1) if last + 1 - first == len(ids) else ids


def rows_at(weight: Tensor, ids: Tensor | slice) -> Tensor:
    """Return the rows of ``weight`` at the given ids."""
    index = as_slice(ids)
    return weight[index if isinstance(index, slice) else index.to(weight.device)]
