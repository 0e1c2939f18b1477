"""Preallocated keys and values of the tokens decoded so far (torchtune's cache is the model)."""

from __future__ import annotations

import torch
from torch import Tensor


class Cache:
    """Self-attention keys and values of every decoder layer, filled from left to right.

    Example: a prompt of 6 tokens, then 20 single tokens need ``length=26``. The first ``decode`` gets (B, N, 6) tokens
    and writes rows 0..5, ``position`` is 6 afterwards; the next gets (B, N, 1) and writes row 6, and so on.

    A cache is used by one ``decode`` after another and never copied; ``reset`` starts a new sequence in place.

    Args:
        layers: decoder layers.
        batch: B.
        sequences: N.
        heads: H.
        length: tokens that fit.
        head_width: D / H.
        dtype: of keys and values.
        device: of keys and values.
        static: whether every step attends over the whole length under a mask and finds its row through a tensor, so
            that shapes and addresses never change (CUDA graphs, ``torch.compile``). Otherwise a step attends over the
            filled part only, which is less work.
    """

    def __init__(
        self,
        *,
        layers: int,
        batch: int,
        sequences: int,
        heads: int,
        length: int,
        head_width: int,
        dtype: torch.dtype,
        device: torch.device,
        static: bool = False,
    ) -> None:
        shape = (batch * sequences, heads, length, head_width)
        self.batch = batch
        self.sequences = sequences
        self.length = length
        self.static = static
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.positions: Tensor | None = None  # (B * N, length, D), where every task has positions of its own
        self.filled = torch.zeros((), dtype=torch.int64, device=device)
        self._columns = torch.arange(length, device=device)
        self._position = 0

    @property
    def position(self) -> int:
        """Tokens written so far; asking a static cache waits for its device."""
        return int(self.filled) if self.static else self._position

    def locate(self, positions: Tensor, length: int) -> Tensor:
        """Rows of learned positions (..., T_max, D) that belong to the next ``length`` tokens: (..., length, D).

        Raises:
            ValueError: if the tokens do not fit. A static cache does not look: that would wait for the device.
        """
        if self.static:
            return positions.index_select(-2, self._rows(length))
        if self._position + length > self.length:
            raise ValueError(
                f"the cache holds {self.length} tokens and {self._position} are written; {length} more do not fit"
            )
        return positions[..., self._position : self._position + length, :]

    def mask(self, length: int, attention: str) -> Tensor | None:
        """Where the next ``length`` tokens may look: bool (length, keys), or None for everywhere."""
        if not self.static and (attention == "full" or length == 1):
            return None
        columns = self._columns if self.static else self._columns[: self._position + length]
        if attention == "full":
            return (columns < self.filled + length).expand(length, -1)
        return columns <= self._rows(length)[:, None]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write (B * N, H, T, D / H) of one layer behind what is there; all keys and values to attend to.

        Raises:
            ValueError: if batch, heads or head width differ from the cache's.
        """
        own, new = self.keys[layer].shape, keys.shape
        if (own[0], own[1], own[3]) != (new[0], new[1], new[3]):
            raise ValueError(f"the cache has shape {tuple(own)}, the new keys {tuple(new)}; only length may differ")
        length = new[2]
        if self.static:
            rows = self._rows(length)
            self.keys[layer].index_copy_(2, rows, keys.to(self.keys[layer].dtype))
            self.values[layer].index_copy_(2, rows, values.to(self.values[layer].dtype))
            return self.keys[layer], self.values[layer]
        stop = self._position + length
        self.keys[layer][:, :, self._position : stop] = keys
        self.values[layer][:, :, self._position : stop] = values
        return self.keys[layer][:, :, :stop], self.values[layer][:, :, :stop]

    def advance(self, length: int) -> None:
        """Count ``length`` tokens as written; called once all layers have written them."""
        if self.static:
            self.filled += length
        else:
            self._position += length

    def _rows(self, length: int) -> Tensor:
        return (self.filled if self.static else self._position) + self._columns[:length]

    def reset(self) -> None:
        """Start over in the same memory."""
        self.positions = None
        self._position = 0
        self.filled.zero_()
