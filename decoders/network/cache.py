"""Key-value cache of the tokens decoded so far, preallocated (after torchtune's)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Cache:
    """Self-attention keys and values of every decoder layer, filled from left to right.

    Example: a prompt of 6 tokens and then 20 single tokens need ``length=26``. The first ``decode`` takes (B, N, 6)
    tokens and writes rows 0..5; ``position`` is then 6. The next takes (B, N, 1) and writes row 6, and so on. ``reset``
    starts a new sequence in the same memory.

    Args:
        layers: decoder layers.
        batch: B.
        sequences: N.
        heads: H.
        length: tokens that fit.
        head_width: D / H.
        dtype: of keys and values.
        device: of keys and values.
        static: attend over the whole length under a mask and locate rows by a tensor, so that shapes and addresses
            never change (CUDA graphs, ``torch.compile``). Otherwise steps attend over the filled part: less work.
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
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.keys = [torch.zeros_like(values) for values in self.values]
        if not static:  # column by column, as steps multiply by them
            self.keys = [keys.view(*shape[:2], head_width, length).transpose(2, 3) for keys in self.keys]
        pairs = zip(self.keys, self.values, strict=True)
        self._flat = [(keys.transpose(2, 3).flatten(0, 1), values.flatten(0, 1)) for keys, values in pairs]
        self.steps: Any = None  # what a family keeps from step to step
        self.positions: Tensor | None = None  # (B * N, length, D), where tasks differ in positions
        self.filled = torch.zeros((), dtype=torch.int64, device=device)
        self._columns = torch.arange(length, device=device)
        self._position = 0

    @property
    def position(self) -> int:
        """Tokens written so far; a static cache waits for its device."""
        return int(self.filled) if self.static else self._position

    def locate(self, positions: Tensor, length: int) -> Tensor:
        """Return the rows (..., length, D) of learned positions (..., T_max, D) for the next ``length`` tokens.

        Raises:
            ValueError: if the tokens do not fit. A static cache does not check: it would wait for the device.
        """
        if self.static:
            return positions.index_select(-2, self._rows(length))
        self.check_room(length)
        return positions[..., self._position : self._position + length, :]

    def check_room(self, length: int) -> None:
        """Raise ValueError unless ``length`` more tokens fit; not for a static cache."""
        if self._position + length > self.length:
            raise ValueError(
                f"the cache holds {self.length} tokens and {self._position} are written; {length} more do not fit"
            )

    def mask(self, length: int, attention: str) -> Tensor | None:
        """Return where the next ``length`` tokens may look: bool (length, keys), or None for everywhere."""
        if not self.static and (attention == "full" or length == 1):
            return None
        columns = self._columns if self.static else self._columns[: self._position + length]
        if attention == "full":
            return (columns < self.filled + length).expand(length, -1)
        return columns <= self._rows(length)[:, None]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append (B * N, H, T, D / H) of one layer; return all keys and values to attend to.

        Raises:
            ValueError: if batch, heads or head width differ from the cache's.
        """
        held, new = self.keys[layer].shape, keys.shape
        if (held[0], held[1], held[3]) != (new[0], new[1], new[3]):
            raise ValueError(f"the cache has shape {tuple(held)}, the new keys {tuple(new)}; only length may differ")
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

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append one token of each sequence, (B * N, H, D / H); return all (B * N * H, D / H, S) keys, and values.

        Values are (B * N * H, S, D / H). As ``update``, without its checks, for a cache that is not static.
        """
        position = self._position
        self.keys[layer].select(2, position).copy_(keys)
        self.values[layer].select(2, position).copy_(values)
        transposed, rows = self._flat[layer]
        return transposed.narrow(2, 0, position + 1), rows.narrow(1, 0, position + 1)

    def advance(self, length: int) -> None:
        """Count ``length`` tokens as written, once all layers have written them."""
        if self.static:
            self.filled += length
        else:
            self._position += length

    def _rows(self, length: int) -> Tensor:
        return (self.filled if self.static else self._position) + self._columns[:length]

    def reset(self) -> None:
        """Start over in the same memory."""
        self.positions = self.steps = None
        self._position = 0
        self.filled.zero_()
