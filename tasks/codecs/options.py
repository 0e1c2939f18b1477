"""Sizes of a learned codec, as a preset gives them; no heavy imports, the command line reads this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Values = Literal["unit", "metres", "log"]


@dataclass(frozen=True)
class CodecOptions:
    """Shape of a VQ-VAE. Defaults are AiT's depth codec (section 3.1, Table 2; widths from the release).

    Args:
        values: what the network sees: ``unit`` maps [0, 1] to [-1, 1] (masks), ``metres`` leaves depths as they are
            (0: unknown), ``log`` takes the logarithm of known depths (ours).
        side: pixels of the square maps that it learns from. Masks are always of this side; depth maps can be of any
            size that the ratio divides.
        ratio: pixels of a code along each side, a power of two; the number of halvings follows.
        width: channels behind the first convolution; each further one doubles them.
        blocks: residual blocks in the encoder and in the decoder.
        codes: K, size of the codebook.
        code_width: width of a code's vector.
    """

    values: Values = "metres"
    side: int = 480
    ratio: int = 32
    width: int = 16
    blocks: int = 2
    codes: int = 128
    code_width: int = 512

    def __post_init__(self) -> None:
        if self.ratio < 2 or self.ratio & (self.ratio - 1):
            raise ValueError(f"a codec's ratio is {self.ratio}; give a power of two, at least 2")
        if self.side < 1 or self.side % self.ratio:
            raise ValueError(f"a codec's side is {self.side}; give a multiple of its ratio {self.ratio}")
        for name in ("width", "codes", "code_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"a codec's {name} is {getattr(self, name)}; give at least 1")
        if self.blocks < 0:
            raise ValueError(f"a codec's blocks is {self.blocks}; give 0 or more")

    @property
    def halvings(self) -> int:
        """Convolutions with stride 2 in the encoder, and transposed ones in the decoder."""
        return self.ratio.bit_length() - 1
