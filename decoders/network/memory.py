"""What the network keeps of images between its stages: backbone features, encoder states, decoder memory."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Backbone features of B images.

    Args:
        map: (B, C, h, w).
        pad: (B, h, w) bool, True where padded, or None without padding.
    """

    map: Tensor
    pad: Tensor | None = None


@dataclass(frozen=True)
class Encoding:
    """Encoder states of B images.

    Args:
        states: (B, S, D).
        positions: (B, S, D) sine positions.
        pad: (B, S) bool, True where padded, or None without padding.
        grid: h and w; S = h * w in rows.
    """

    states: Tensor
    positions: Tensor
    pad: Tensor | None
    grid: tuple[int, int]


@dataclass(frozen=True)
class Memory:
    """Cross-attention keys and values: projected once per image, read by all tasks, sequences and passes.

    Args:
        keys: of each decoder layer (B, H, S, D / H).
        values: of each decoder layer (B, H, S, D / H).
        pad: (B, S) bool, True where padded, or None without padding.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    pad: Tensor | None = None

    @property
    def batch(self) -> int:
        """B."""
        return self.keys[0].shape[0]

    @property
    def mask(self) -> Tensor | None:
        """(B, 1, 1, S) bool, True where a query may look."""
        return None if self.pad is None else ~self.pad[:, None, None, :]

    def select(self, rows: Tensor | slice) -> Memory:
        """Return the memory of some images, by int64 index or slice, in that order."""
        pad = None if self.pad is None else self.pad[rows]
        return Memory(tuple(k[rows] for k in self.keys), tuple(v[rows] for v in self.values), pad)

    def check_images(self, images: int) -> None:
        """Raise ValueError unless tokens of ``images`` images can be decoded from this memory."""
        if images != self.batch:
            raise ValueError(f"tokens of {images} images were given with the memory of {self.batch}; select its rows")
