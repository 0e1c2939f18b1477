"""What non-causal strategies share: sequences of mask tokens, and logits read as legal tokens and probabilities.

Shapes: B images, N sequences, P prompt, L targets, V columns of the task's vocabulary, W columns that logits have.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tasks.formats.sequence import SequenceFormat


class LegalLogits:
    """Reads the network's outputs for one format.

    Probabilities are a softmax over the task's vocabulary (W = V), the set that it is trained on (MAD section 3.1).
    MAD's release computes the final ones of detection over everything before the words instead, because the result of
    its vocabulary mask is dropped; ``released`` does the same for formats whose groups are matched.

    Args:
        network: the shared network.
        format: format of the sequences.
        device: where the logits live.
        released: whether to take the released softmax.
    """

    def __init__(self, network: Any, format: SequenceFormat, device: torch.device, *, released: bool = False) -> None:
        self._network = network
        self._own = format.ids.to(device)  # (V,)
        self._ids: Tensor | slice = format.ids  # W of them; the format's own tensor, by which the network knows them
        self._columns: Tensor | None = None  # (V,) within W, None where they are the same
        if released and format.matching == "groups":
            self._ids = slice(0, network.vocabulary["word"].start)
            self._columns = self._own
        self._illegal = None if bool(format.legal.all()) else ~format.legal.to(device)  # (L, V)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) hidden states to (..., W) float32 logits."""
        return self._network.logits(hidden, self._ids).float()  # type: ignore[no-any-return]

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., W) logits to (..., V) probabilities."""
        return self._restrict(logits.softmax(dim=-1))

    def best(self, logits: Tensor) -> Tensor:
        """(..., L) int64: the likeliest legal ids of (..., L, W) logits."""
        return self._own[self._legal(logits).argmax(dim=-1)]

    def confidence(self, logits: Tensor) -> Tensor:
        """(..., L) float: probability within the task's vocabulary, in the release too, of the ids ``best`` gives."""
        chosen = self._legal(logits).argmax(dim=-1, keepdim=True)
        return self._restrict(logits).softmax(dim=-1).gather(-1, chosen)[..., 0]

    def _restrict(self, values: Tensor) -> Tensor:
        return values if self._columns is None else values[..., self._columns]

    def _legal(self, logits: Tensor) -> Tensor:
        own = self._restrict(logits)
        return own if self._illegal is None else own.masked_fill(self._illegal, -torch.inf)
