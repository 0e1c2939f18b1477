"""Token embedding and its tied cosine head: the same rows embed a token and recognize it (MAD's release)."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE = math.log(1 / 0.07)
KEPT = 16  # sets of ids whose normalized rows are kept


class Embedding(nn.Module):
    """V token vectors of width D, and logits ``exp(scale) * cosine`` between them and predicted vectors.

    Args:
        tokens: V, ids of the vocabulary.
        width: D.
    """

    def __init__(self, *, tokens: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, width)
        self.predictor = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.scale = nn.Parameter(torch.tensor(SCALE))
        self._kept: dict[object, tuple[object, Tensor]] = {}
        self._kept_for: tuple[object, ...] = ()

    def forward(self, tokens: Tensor) -> Tensor:
        """(...) int64 to (..., D)."""
        result: Tensor = self.table(tokens)
        return result

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """(..., D) to float32 (..., V), V the given ids: an ascending int64 tensor, or a slice of the vocabulary."""
        predicted = functional.normalize(self.predictor(hidden).float(), dim=-1) * self.scale.float().exp()
        with uncast(hidden.device.type):
            return predicted @ self.rows(ids).T

    def rows(self, ids: Tensor | slice) -> Tensor:
        """(V, D) float32 normalized rows of the given ids; at inference they are kept until the table changes.

        Not so in training, where fused optimizers change the table without raising its version.
        """
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._normalized(as_slice(ids))
        weight = self.table.weight
        version = (weight.data_ptr(), weight.dtype, weight.device, weight._version)
        if version != self._kept_for or len(self._kept) > KEPT:
            self._kept, self._kept_for = {}, version
        key = (ids.start, ids.stop) if isinstance(ids, slice) else id(ids)
        if key not in self._kept:
            self._kept[key] = (
                ids,
                self._normalized(as_slice(ids)),
            )  # the ids stay alive, so that their id stays theirs
        return self._kept[key][1]

    def _normalized(self, ids: Tensor | slice) -> Tensor:
        weight = self.table.weight
        chosen = weight[ids] if isinstance(ids, slice) else weight[ids.to(weight.device)]
        return functional.normalize(chosen.float(), dim=-1)

    def train(self, mode: bool = True) -> Embedding:
        """Also forgets the kept rows."""
        self._kept = {}
        super().train(mode)
        return self


def uncast(device: str) -> AbstractContextManager[Any]:
    """Inside, products stay float32 in a half-precision run: rounded, the likeliest bins would tie."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def as_slice(ids: Tensor | slice) -> Tensor | slice:
    """Ascending ids without a gap as a slice, so that no row is copied; others unchanged."""
    if isinstance(ids, slice) or not len(ids):
        return ids
    first, last = int(ids[0]), int(ids[-1])
    return slice(first, last + 1) if last + 1 - first == len(ids) else ids


def sinusoids(*, rows: int, width: int) -> Tensor:
    """(rows, D) unit-variance start values in which near rows are alike: waves of 1 to ``rows`` values' length."""
    angles = torch.arange(rows)[:, None] * torch.logspace(0, -math.log10(max(rows, 2)), width // 2)  # (rows, D / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1) * math.sqrt(2)
