"""Hidden states to legal tokens, confidences and probabilities, for strategies that predict many positions a pass.

Shapes: B images, N sequences, P prompt, L targets, V columns of the task's vocabulary, W columns that logits have.
"""

from __future__ import annotations

import torch
from torch import Tensor

from decoders.base import SharedNetwork
from tasks.formats.sequence import SequenceFormat


class LegalLogits:
    """Reads the network's hidden states for one format.

    Probabilities are a softmax over the task's vocabulary (W = V), as in training (MAD section 3.1). MAD's release
    drops the result of its vocabulary mask, so detection's final softmax is over everything before the words;
    ``released`` does the same for formats whose groups are matched.

    Args:
        network: the shared network.
        format: format of the sequences.
        device: where the logits live.
        released: use the released softmax.
    """

    def __init__(
        self, network: SharedNetwork, format: SequenceFormat, device: torch.device, *, released: bool = False
    ) -> None:
        self._network = network
        self._vocabulary = format.ids.to(device)  # (V,)
        self._ids: Tensor | slice = format.ids  # (W,); this very tensor is the key of the rows that the network keeps
        self._columns: Tensor | None = None  # (V,) within W, None where they are the same
        if released and format.matching == "groups":
            self._ids = slice(0, network.vocabulary["word"].start)
            self._columns = self._vocabulary
        self._illegal = None if bool(format.legal.all()) else ~format.legal.to(device)  # (L, V)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) hidden states to (..., W) float32 logits."""
        return self._network.logits(hidden, self._ids).float()

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., W) logits to (..., V) probabilities."""
        return self._restrict(logits.softmax(dim=-1))

    def best(self, logits: Tensor) -> Tensor:
        """Return the likeliest legal ids (..., L) int64 of (..., L, W) logits."""
        return self._vocabulary[self._legal(logits).argmax(dim=-1)]

    def confidence(self, logits: Tensor) -> Tensor:
        """Return the probabilities (..., L) of the ids of ``best``, always within the task's vocabulary."""
        chosen = self._legal(logits).argmax(dim=-1, keepdim=True)
        return self._restrict(logits).softmax(dim=-1).gather(-1, chosen)[..., 0]

    def _restrict(self, values: Tensor) -> Tensor:
        return values if self._columns is None else values[..., self._columns]

    def _legal(self, logits: Tensor) -> Tensor:
        logits = self._restrict(logits)
        return logits if self._illegal is None else logits.masked_fill(self._illegal, -torch.inf)
